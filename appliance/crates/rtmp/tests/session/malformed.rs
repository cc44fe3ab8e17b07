//! What ends a session: each rule, told with its byte offset.

use rtmp::{Limits, RefusalCode, ServerSession, SessionError};

use crate::wire::{
    self, HANDSHAKE, NULL, Peer, basic, command, connect, handshake, header, message, set_chunk_size,
};

/// The error of a peer that is publishing, and where it was told, from the first of `bytes`.
fn error_of(bytes: &[u8]) -> (u64, String) {
    let mut peer = Peer::publishing();
    let before = HANDSHAKE + connect("live").len() + wire::publish("key").len();
    let SessionError { offset, rule } = peer.send(bytes).unwrap_err();
    assert_eq!(
        peer.codes().last().map(String::as_str),
        Some(RefusalCode::Failed.as_str()),
        "the peer is told"
    );
    assert!(peer.session.is_closing());
    (offset - u64::try_from(before).unwrap(), rule.to_string())
}

#[test]
fn chunk_sizes_outside_their_bounds() {
    for bytes in [0, 0x0100_0000, 0x7FFF_FFFF, 0x8000_0080, u32::MAX] {
        assert_eq!(
            error_of(&set_chunk_size(bytes)),
            (0, format!("chunk size {bytes} is outside 1 to 16777215"))
        );
    }
}

#[test]
fn messages_over_their_bounds() {
    let after = message(128, 6, 0, 9, 1, &[0x17, 0, 0, 0, 0, 1]);
    let video = header(6, 0, 9_000_000, 9, 1);
    let offset = u64::try_from(after.len()).unwrap();
    let expected = "message of type 9 and 9000000 bytes is over the bound of 8388608".to_owned();
    assert_eq!(error_of(&[after, video].concat()), (offset, expected));
    let expected = "message of type 20 and 65537 bytes is over the bound of 65536".to_owned();
    assert_eq!(error_of(&header(3, 0, 65_537, 20, 0)), (0, expected));
}

#[test]
fn a_stranger_is_held_to_less_than_a_publisher() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&[handshake(), connect("live")].concat()).unwrap();
    let error = peer.send(&header(6, 0, 100_000, 9, 1)).unwrap_err();
    assert_eq!(error.rule.to_string(), "message of type 9 and 100000 bytes is over the bound of 65536");
    Peer::publishing().send(&header(6, 0, 100_000, 9, 1)).unwrap();
}

#[test]
fn chunk_streams_never_opened_and_one_too_many() {
    let expected =
        |format| format!("chunk of type {format} opens chunk stream 77, which has no header to go by yet");
    assert_eq!(error_of(&basic(3, 77)), (0, expected(3)));
    assert_eq!(error_of(&[basic(2, 77), vec![0; 3]].concat()), (0, expected(2)));
    // Chunk stream 3 is open already.
    let many: Vec<u8> = (100..164).flat_map(|id| header(id, 0, 0, 9, 1)).collect();
    let (offset, rule) = error_of(&many);
    assert_eq!(rule, "chunk stream 163 would be one more than the bound of 64");
    assert_eq!(offset, 63 * 13);
}

#[test]
fn unfinished_messages_together_over_the_bound() {
    let begun: Vec<u8> =
        (4..7).flat_map(|id| [header(id, 0, 8_000_000, 9, 1), vec![0x17; 128]].concat()).collect();
    let (offset, rule) = error_of(&begun);
    assert_eq!(rule, "unfinished messages come to 24000000 bytes, over the bound of 16777216");
    assert_eq!(offset, 2 * 140);
}

#[test]
fn a_message_begun_in_the_middle_of_another() {
    let bytes = [header(6, 0, 400, 9, 1), vec![0x17; 128], header(6, 0, 300, 9, 1)].concat();
    let expected =
        "message of 300 bytes begins on chunk stream 6 where 272 bytes of the last are missing".to_owned();
    assert_eq!(error_of(&bytes), (140, expected));
}

#[test]
fn control_messages_cut_short() {
    for (kind, payload, needed) in [(1, 3, 4), (2, 0, 4), (4, 1, 2), (5, 3, 4), (6, 2, 4)] {
        let expected = format!("control message of type {kind} has {payload} bytes and needs {needed}");
        assert_eq!(error_of(&message(128, 2, 0, kind, 0, &vec![0; payload])), (0, expected));
    }
    let expected = "control message of type 4 has 4 bytes and needs 6".to_owned();
    assert_eq!(error_of(&message(128, 2, 0, 4, 0, &[0, 6, 0, 0])), (0, expected));
}

#[test]
fn bad_amf() {
    let rule = |payload: &[u8]| error_of(&message(128, 3, 0, 20, 0, payload)).1;
    assert_eq!(
        rule(&[2, 0xFF, 0xFF, b'a']),
        "amf0 string at byte 3 of the message needs 65535 bytes, 1 left"
    );
    assert_eq!(rule(&[0, 1, 2]), "amf0 number at byte 1 of the message needs 8 bytes, 2 left");
    assert_eq!(rule(&[0x11]), "amf0 marker 0x11 at byte 0 of the message is not a value");
    assert_eq!(rule(&[9]), "amf0 marker 0x09 at byte 0 of the message is not a value");
    let deep: Vec<u8> = std::iter::repeat_n([3, 0, 1, b'x'], 10_000).flatten().collect();
    assert_eq!(rule(&deep), "amf0 objects nest deeper than the bound of 16 at byte 68 of the message");
    let arrays: Vec<u8> = std::iter::repeat_n([10, 0, 0, 0, 1], 10_000).flatten().collect();
    assert_eq!(rule(&arrays), "amf0 objects nest deeper than the bound of 16 at byte 85 of the message");
    assert_eq!(rule(&[5; 2000]), "amf0 message of more than 1024 values");
    assert_eq!(
        rule(&[10, 0xFF, 0xFF, 0xFF, 0xFF]),
        "amf0 marker at byte 5 of the message needs 1 bytes, 0 left"
    );
    assert_eq!(rule(&[5]), "command message does not begin with a name");
    assert_eq!(rule(&[]), "command message does not begin with a name");
}

#[test]
fn bad_flv() {
    let video = |payload: &[u8]| error_of(&message(128, 6, 0, 9, 1, payload)).1;
    assert_eq!(video(&[0x17]), "avc packet type at byte 1 of the tag needs 1 bytes, 0 left");
    assert_eq!(video(&[0x17, 1, 0]), "composition time at byte 2 of the tag needs 3 bytes, 1 left");
    assert_eq!(video(&[0x17, 9, 0, 0, 0, 1]), "avc packet type 9 is not defined");
    assert_eq!(video(&[0x17, 0, 0, 0, 0]), "video sequence header is empty");
    assert_eq!(video(&[0x07, 1, 0, 0, 0, 1]), "video frame type 0 is not defined");
    assert_eq!(video(&[0x90, b'h', b'v']), "fourcc at byte 1 of the tag needs 4 bytes, 2 left");
    assert_eq!(video(b"\x99avc1"), "video packet type 9 is not defined");
    assert_eq!(
        video(&[0x97, 2, 0x0F, 0x42, 0x40, 0x03]),
        "nanosecond offset 1000000 is over the bound of 999999"
    );
    assert_eq!(video(&[0x96, 0x31]), "multitrack type 3 is not defined");
    assert_eq!(video(b"\x96\x11avc1\0\0\0\x09x"), "track at byte 10 of the tag needs 9 bytes, 1 left");
    let audio = |payload: &[u8]| error_of(&message(128, 6, 0, 8, 1, payload)).1;
    assert_eq!(audio(&[0xAF, 7, 0]), "aac packet type 7 is not defined");
    assert_eq!(audio(&[0xAF, 0]), "aac sequence header is empty");
    assert_eq!(audio(b"\x93mp4a"), "audio packet type 3 is not defined");
    let aggregate = |payload: &[u8]| error_of(&message(128, 6, 0, 22, 1, payload)).1;
    assert_eq!(aggregate(&[9, 0, 0]), "part of an aggregate message at byte 0 needs 11 bytes, 3 left");
    assert_eq!(
        aggregate(&[9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5]),
        "part of an aggregate message at byte 0 needs 267 bytes, 12 left"
    );
}

#[test]
fn commands_out_of_place() {
    let rule = |bytes: &[u8]| Peer::new(Limits::default()).send(bytes).unwrap_err();
    let early = message(128, 3, 0, 20, 0, &command("publish", 1.0, &[NULL]));
    let error = rule(&[handshake(), early].concat());
    assert_eq!(error.to_string(), "byte 3073 of the connection: command \"publish\" before connect");
    let nowhere = message(128, 3, 0, 20, 0, &command("connect", 1.0, &[&wire::object(&[])]));
    assert_eq!(rule(&[handshake(), nowhere].concat()).rule.to_string(), "connect names no application");
    assert_eq!(error_of(&connect("live")).1, "second connect on one connection");
    let create = message(128, 3, 0, 20, 0, &command("createStream", 1.0, &[NULL]));
    assert_eq!(error_of(&create.repeat(20)).1, "createStream beyond the bound of 16 streams");
    let unnamed = message(128, 3, 0, 20, 0, &command("publish", 1.0, &[NULL]));
    assert_eq!(error_of(&unnamed).1, "publish names no stream");
}

#[test]
fn other_protocols_on_the_port() {
    let rule = |bytes: &[u8]| ServerSession::new(Limits::default()).input(bytes).unwrap_err();
    assert!(rule(b"GET /live HTTP/1.1\r\n").to_string().contains("looks like HTTP"));
    assert!(rule(&[0x16, 3, 1, 2, 0]).to_string().contains("looks like TLS"));
    let error = rule(&[6]);
    assert_eq!((error.offset, error.rule.layer()), (0, "handshake"));
    assert!(error.to_string().contains("version 6"));
}
