//! From handshake to media, refusals, and the ends of a publish.

use rml_rtmp::messages::RtmpMessage;
use rml_rtmp::rml_amf0::Amf0Value;
use rtmp::{AudioKind, Event, FrameType, Limits, PublishEnd, RefusalCode, Stage, StreamKey, VideoKind};

use crate::wire::{self, NULL, Peer, command, connect, handshake, message, number, publish, string};

#[test]
fn a_whole_session_is_told_in_order() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&wire::whole_session()).unwrap();
    let mut events = peer.events.iter();
    assert_eq!(events.next(), Some(&Event::HandshakeDone));
    let Some(Event::Connect(request)) = events.next() else { panic!("no connect") };
    assert_eq!((request.app.as_str(), request.can_reconnect, request.enhanced), ("live", true, true));
    let Some(Event::Publish { key, app, kind }) = events.next() else { panic!("no publish") };
    assert_eq!((key.as_bytes(), app.as_str(), kind.as_str()), (&b"key"[..], "live", "live"));
    let Some(Event::Metadata(metadata)) = events.next() else { panic!("no metadata") };
    assert_eq!((metadata.width, metadata.height, metadata.frame_rate), (Some(1280), Some(720), Some(29.97)));
    assert_eq!(
        (metadata.has_video, metadata.has_audio, metadata.audio_channels),
        (Some(true), Some(true), Some(2))
    );
    let Some(Event::Video(tag)) = events.next() else { panic!("no video") };
    assert!(matches!(&tag.kind, VideoKind::Configuration(record) if record.as_ref() == [1, 66, 0, 30]));
    let Some(Event::Audio(tag)) = events.next() else { panic!("no audio") };
    assert!(matches!(&tag.kind, AudioKind::Configuration(config) if config.as_ref() == [0x12, 0x10]));
    let media: Vec<_> = events.collect();
    let pictures: Vec<_> = media
        .iter()
        .filter_map(|event| match event {
            Event::Video(tag) => Some(tag),
            _ => None,
        })
        .collect();
    // Frames 0, 9 and 18 are empty tags.
    assert_eq!(pictures.len(), 22);
    assert!(pictures.iter().all(|tag| tag.composition_millis == 40 && tag.frame == FrameType::Inter));
    assert_eq!(pictures[21].timestamp_millis, 960);
    assert!(matches!(&pictures[0].kind, VideoKind::Picture(bytes) if bytes.as_ref() == [1; 600]));
    assert_eq!(media.iter().filter(|event| matches!(event, Event::Audio(_))).count(), 25);
    assert_eq!(media.last(), Some(&&Event::PublishEnded(PublishEnd::Unpublish)));
    assert_eq!(peer.session.stage(), Stage::Connected);
    assert_eq!(peer.session.buffered(), 0);
}

#[test]
fn it_makes_no_difference_how_the_bytes_are_cut() {
    let mut whole = Peer::new(Limits::default());
    whole.send(&wire::whole_session()).unwrap();
    for piece in [1, 2, 3, 7, 127, 128, 129, 1536] {
        let mut cut = Peer::new(Limits::default());
        for bytes in wire::whole_session().chunks(piece) {
            cut.send(bytes).unwrap();
        }
        assert_eq!(cut.events, whole.events, "pieces of {piece}");
        assert_eq!(cut.commands(), whole.commands(), "pieces of {piece}");
    }
}

#[test]
fn answers_are_those_that_encoders_wait_for() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&[handshake(), connect("live"), publish("key")].concat()).unwrap();
    let names: Vec<_> =
        peer.commands().into_iter().map(|(name, transaction, ..)| (name, transaction)).collect();
    let expected = [
        ("_result", 1.0),
        ("_result", 2.0),
        ("_result", 3.0),
        ("_result", 4.0),
        ("onFCPublish", 0.0),
        ("onStatus", 0.0),
    ];
    assert_eq!(names, expected.map(|(name, transaction)| (name.to_owned(), transaction)));
    assert_eq!(
        peer.codes(),
        ["NetConnection.Connect.Success", "NetStream.Publish.Start", "NetStream.Publish.Start"]
    );
    let Some(RtmpMessage::Amf0Command { command_object, .. }) =
        peer.answers.iter().find(|message| matches!(message, RtmpMessage::Amf0Command { .. }))
    else {
        panic!("no answer to connect")
    };
    let properties = command_object.clone().get_object_properties().unwrap();
    assert_eq!(properties["capsEx"], Amf0Value::Number(15.0));
    let Amf0Value::StrictArray(list) = &properties["fourCcList"] else { panic!("no fourCcList") };
    for four_cc in ["avc1", "hvc1", "av01"] {
        assert!(list.contains(&Amf0Value::Utf8String(four_cc.to_owned())), "{four_cc}");
    }
    let map = properties["videoFourCcInfoMap"].clone().get_object_properties().unwrap();
    assert_eq!(map["hvc1"], Amf0Value::Number(1.0));
    let opening: Vec<_> = peer.answers.iter().take(3).map(RtmpMessage::get_message_type_id).collect();
    assert_eq!(opening, [5, 6, 1], "window, bandwidth, chunk size");
}

#[test]
fn an_unknown_application_is_refused_with_a_sentence() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&[handshake(), connect("other"), publish("key")].concat()).unwrap();
    let refusal = ("_error", 1.0, "error", "NetConnection.Connect.Rejected", "no such application");
    let (name, transaction, level, code, description) = refusal;
    let expected = (name.to_owned(), transaction, level.to_owned(), code.to_owned(), description.to_owned());
    assert_eq!(peer.commands(), [expected]);
    assert!(peer.session.is_closing());
    assert!(!peer.events.iter().any(|event| matches!(event, Event::Publish { .. })));
}

#[test]
fn a_refused_publish_never_starts() {
    let mut peer = Peer::new(Limits::default());
    peer.accept = false;
    peer.send(&[handshake(), connect("live"), publish("wrong")].concat()).unwrap();
    let last = peer.commands().pop().unwrap();
    assert_eq!(
        (last.0.as_str(), last.2.as_str(), last.3.as_str()),
        ("onStatus", "error", "NetStream.Publish.BadName")
    );
    assert_eq!(last.4, "the key is not known");
    assert!(!peer.codes().contains(&"NetStream.Publish.Start".to_owned()));
    assert!(peer.session.is_closing());
    // Media that is under way already is dropped.
    peer.send(&message(128, 6, 0, 9, 1, &[0x17, 0, 0, 0, 0, 1])).unwrap();
    assert!(matches!(peer.events.last(), Some(Event::Publish { .. })));
}

#[test]
fn input_waits_for_the_decision() {
    let mut peer = Peer::new(Limits::default());
    let bytes = [handshake(), connect("live"), publish("key")].concat();
    peer.session.input(&bytes).unwrap();
    assert!(!peer.session.wants_input());
    assert_eq!(peer.session.poll_event(), Some(Event::HandshakeDone));
    assert!(matches!(peer.session.poll_event(), Some(Event::Connect(_))));
    assert_eq!(peer.session.poll_event(), None, "publish is held back");
    peer.session.accept_connect().unwrap();
    assert!(matches!(peer.session.poll_event(), Some(Event::Publish { .. })));
    assert!(!peer.session.wants_input());
    peer.session.accept_publish().unwrap();
    assert!(peer.session.wants_input());
    assert_eq!(peer.session.stage(), Stage::Publishing);
}

#[test]
fn what_is_held_is_bounded() {
    let limits = Limits { held_bytes: 1000, ..Limits::default() };
    let mut session = rtmp::ServerSession::new(limits);
    session.input(&[handshake(), connect("live")].concat()).unwrap();
    session.input(&[0; 1000]).unwrap();
    let error = session.input(&[0]).unwrap_err();
    assert!(
        error.to_string().contains("1001 bytes came while connect or publish was being decided"),
        "{error}"
    );
    assert_eq!(session.input(&[0]).unwrap_err(), error, "and stays so");
}

#[test]
fn a_publish_may_end_and_begin_again() {
    let mut peer = Peer::publishing();
    peer.send(&message(128, 3, 0, 20, 1, &command("closeStream", 0.0, &[NULL]))).unwrap();
    assert_eq!(peer.events, [Event::PublishEnded(PublishEnd::CloseStream)]);
    peer.send(&publish("again")).unwrap();
    assert!(matches!(peer.events.last(), Some(Event::Publish { key, .. }) if key.as_bytes() == b"again"));
    assert_eq!(peer.session.stage(), Stage::Publishing);
    peer.send(&message(128, 3, 0, 20, 0, &command("deleteStream", 9.0, &[NULL, &number(2.0)]))).unwrap();
    assert_eq!(peer.events.last(), Some(&Event::PublishEnded(PublishEnd::DeleteStream)));
}

#[test]
fn a_second_publish_at_once_is_refused_and_the_first_goes_on() {
    let mut peer = Peer::publishing();
    let again = command("publish", 9.0, &[NULL, &string("b"), &string("live")]);
    peer.send(&message(128, 3, 0, 20, 2, &again)).unwrap();
    assert_eq!(peer.codes(), ["NetStream.Publish.BadName"]);
    assert_eq!(peer.session.stage(), Stage::Publishing);
}

#[test]
fn players_are_sent_away_politely() {
    let mut peer = Peer::new(Limits::default());
    let play = message(128, 3, 0, 20, 1, &command("play", 4.0, &[NULL, &string("key")]));
    peer.send(&[handshake(), connect("live"), play].concat()).unwrap();
    let last = peer.commands().pop().unwrap();
    assert_eq!((last.2.as_str(), last.3.as_str()), ("error", "NetStream.Play.Failed"));
    assert!(last.4.contains("HLS"), "{}", last.4);
    assert!(peer.session.is_closing());
}

#[test]
fn unknown_commands_are_answered_where_an_answer_is_wanted() {
    let mut peer = Peer::publishing();
    peer.send(&message(128, 3, 0, 20, 0, &command("frobnicate", 11.0, &[NULL]))).unwrap();
    peer.send(&message(128, 3, 0, 20, 0, &command("murmur", 0.0, &[NULL]))).unwrap();
    let commands = peer.commands();
    assert_eq!(commands.len(), 1);
    assert_eq!((commands[0].0.as_str(), commands[0].1), ("_error", 11.0));
}

#[test]
fn commands_marked_amf3_are_read() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&[handshake(), connect("live")].concat()).unwrap();
    let publish = [&[0][..], &command("publish", 5.0, &[NULL, &string("key"), &string("live")])].concat();
    peer.send(&message(128, 3, 0, 17, 1, &publish)).unwrap();
    assert!(matches!(peer.events.last(), Some(Event::Publish { .. })));
    peer.send(&message(128, 4, 0, 15, 1, &[&[0][..], &wire::metadata()].concat())).unwrap();
    assert!(matches!(peer.events.last(), Some(Event::Metadata(_))));
}

#[test]
fn keys_lose_their_query_and_are_never_printed() {
    for name in ["s3cret", "s3cret?auth=1", "/s3cret/"] {
        assert_eq!(StreamKey::from_stream_name(name).as_bytes(), b"s3cret");
    }
    let mut peer = Peer::new(Limits::default());
    peer.send(&[handshake(), connect("live?s3cret"), publish("s3cret")].concat()).unwrap();
    assert!(peer.events.iter().any(|event| matches!(event, Event::Publish { .. })));
    let printed = format!("{:?}", peer.events);
    assert!(!printed.contains("s3cret"), "{printed}");
}

#[test]
fn pings_are_answered_and_acknowledgements_sent() {
    let mut peer = Peer::publishing();
    peer.send(&message(128, 2, 0, 4, 0, &[0, 6, 0, 0, 0x30, 0x39])).unwrap();
    assert!(matches!(
        peer.answers.last(),
        Some(RtmpMessage::UserControl { timestamp: Some(time), .. }) if time.value == 12345
    ));
    peer.answers.clear();
    peer.send(&message(128, 2, 0, 5, 0, &20_000u32.to_be_bytes())).unwrap();
    let picture = message(128, 6, 0, 9, 1, &[vec![0x17, 1, 0, 0, 0], vec![7; 25_000]].concat());
    peer.send(&picture).unwrap();
    let acknowledged = peer.answers.iter().find_map(|message| match message {
        RtmpMessage::Acknowledgement { sequence_number } => Some(*sequence_number),
        _ => None,
    });
    assert!(acknowledged.is_some_and(|bytes| bytes > 25_000), "{acknowledged:?}");
}

#[test]
fn the_owner_can_end_ping_and_redirect() {
    let mut peer = Peer::publishing();
    peer.session.request_reconnect(Some("rtmps://elsewhere/live"), "going down for service");
    peer.session.ping(7);
    peer.session.end(RefusalCode::Rejected, "frame rate 500 is over the bound of 240");
    peer.read_answers();
    assert_eq!(peer.codes(), ["NetConnection.Connect.ReconnectRequest", "NetStream.Publish.Rejected"]);
    assert!(peer.commands().iter().all(|command| !command.4.is_empty()));
    assert!(peer.session.is_closing());
}

#[test]
fn a_long_sentence_is_cut_and_still_one_chunk() {
    let mut peer = Peer::publishing();
    peer.session.end(RefusalCode::Failed, &"ü€😀".repeat(10_000));
    peer.read_answers();
    assert_eq!(peer.codes(), ["NetStream.Failed"]);
}
