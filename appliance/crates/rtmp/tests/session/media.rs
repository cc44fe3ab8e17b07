//! Tags, classic and enhanced, as parsed from messages.

use rtmp::{AudioKind, AudioTag, Event, FrameType, MediaKind, VideoCodecId, VideoKind, VideoTag, Warning};

use crate::wire::{Peer, message};

fn events(kind: u8, payload: &[u8]) -> Vec<Event> {
    let mut peer = Peer::publishing();
    peer.send(&message(128, 6, 77, kind, 1, payload)).unwrap();
    peer.events
}

fn video(payload: &[u8]) -> VideoTag {
    let mut events = events(9, payload);
    let Some(Event::Video(tag)) = events.pop() else { panic!("{events:?}") };
    tag
}

fn audio(payload: &[u8]) -> AudioTag {
    let mut events = events(8, payload);
    let Some(Event::Audio(tag)) = events.pop() else { panic!("{events:?}") };
    tag
}

fn picture(tag: &VideoTag) -> &[u8] {
    let VideoKind::Picture(bytes) = &tag.kind else { panic!("{tag:?}") };
    bytes
}

fn configuration(tag: &VideoTag) -> &[u8] {
    let VideoKind::Configuration(bytes) = &tag.kind else { panic!("{tag:?}") };
    bytes
}

#[test]
fn classic_avc() {
    let tag = video(&[0x17, 1, 0xFF, 0xFF, 0xFE, 1, 2]);
    assert_eq!((tag.timestamp_millis, tag.composition_millis, tag.nanos), (77, -2, 0));
    assert_eq!((tag.codec, tag.frame, picture(&tag)), (VideoCodecId::Avc, FrameType::Key, &[1, 2][..]));
    assert_eq!(video(&[0x27, 1, 0, 1, 0, 1]).composition_millis, 256);
    assert_eq!(video(&[0x37, 1, 0, 0, 0, 1]).frame, FrameType::Disposable);
    assert_eq!(configuration(&video(&[0x17, 0, 0, 0, 0, 9])), [9]);
    assert_eq!(video(&[0x17, 2, 0, 0, 0]).kind, VideoKind::End);
    assert_eq!(video(&[0x17, 2]).kind, VideoKind::End);
    assert_eq!(video(&[0x1C, 1, 0, 0, 3, 1]).codec, VideoCodecId::Hevc);
    assert_eq!(events(9, &[0x57, 0]), [], "a command frame");
    assert_eq!(events(9, &[0x27, 1, 0, 0, 0]), [], "an empty one");
}

#[test]
fn enhanced_video() {
    let tag = video(b"\x90hvc1conf");
    assert_eq!((tag.codec, configuration(&tag)), (VideoCodecId::Hevc, &b"conf"[..]));
    let tag = video(b"\x91hvc1\0\0\x28data");
    assert_eq!((tag.composition_millis, tag.frame, picture(&tag)), (40, FrameType::Key, &b"data"[..]));
    let tag = video(b"\xA3hvc1data");
    assert_eq!((tag.composition_millis, tag.frame, picture(&tag)), (0, FrameType::Inter, &b"data"[..]));
    let tag = video(b"\x91avc1\xFF\xFF\xFFdata");
    assert_eq!((tag.codec, tag.composition_millis), (VideoCodecId::Avc, -1));
    let tag = video(b"\x91av01data");
    assert_eq!((tag.codec, tag.composition_millis, picture(&tag)), (VideoCodecId::Av1, 0, &b"data"[..]));
    assert_eq!(video(b"\x92av01").kind, VideoKind::End);
    assert_eq!(events(9, b"\xD4hvc1whatever"), [], "colour metadata");
    assert_eq!(events(9, b"\xD0\x00"), [], "a command");
}

#[test]
fn nanoseconds_from_modifiers() {
    let tag = video(b"\x97\x02\x0F\x42\x3F\x03hvc1data");
    assert_eq!((tag.nanos, picture(&tag)), (999_999, &b"data"[..]));
    // One of an unknown type is passed over, as is one of more than 255 bytes.
    let long = [&[0x97, 0xFF, 0x01, 0x2B][..], &[7; 300], &[0x17], &[2, 0, 0, 5, 0x01], b"av01x"].concat();
    let tag = video(&long);
    assert_eq!((tag.nanos, picture(&tag)), (5, &b"x"[..]));
    let tag = audio(b"\x97\x02\0\0\x09\x01mp4adata");
    assert_eq!((tag.nanos, tag.kind), (9, AudioKind::Frame(b"data".as_slice().into())));
}

#[test]
fn the_default_track_of_many() {
    let warning = Event::Warning(Warning::OtherVideoTracks);
    assert_eq!(picture(&video(b"\x96\x03hvc1\0data")), b"data");
    assert_eq!(events(9, b"\x96\x03hvc1\x01data"), std::slice::from_ref(&warning));
    let many = b"\x96\x11avc1\x01\0\0\x05\0\0\0no\x00\0\0\x07\0\0\x09yeah";
    let told = events(9, many);
    assert_eq!(told[0], warning);
    let Event::Video(tag) = &told[1] else { panic!("{told:?}") };
    assert_eq!((tag.composition_millis, picture(tag)), (9, &b"yeah"[..]));
    let codecs = b"\x96\x20vp09\x01\0\0\x01xav01\x00\0\0\x04conf";
    let told = events(9, codecs);
    let Event::Video(tag) = &told[1] else { panic!("{told:?}") };
    assert_eq!((tag.codec, configuration(tag)), (VideoCodecId::Av1, &b"conf"[..]));
    let told = events(8, b"\x95\x11mp4a\x00\0\0\x02ab\x01\0\0\x02cd");
    assert_eq!(told[0], Event::Warning(Warning::OtherAudioTracks));
    assert!(matches!(&told[1], Event::Audio(tag) if tag.kind == AudioKind::Frame(b"ab".as_slice().into())));
}

#[test]
fn aac_classic_and_enhanced() {
    assert_eq!(audio(&[0xAF, 0, 0x12, 0x10]).kind, AudioKind::Configuration([0x12, 0x10].as_slice().into()));
    assert_eq!(audio(&[0xAF, 1, 5]).kind, AudioKind::Frame([5].as_slice().into()));
    assert_eq!(audio(b"\x90mp4a\x12\x10").kind, AudioKind::Configuration([0x12, 0x10].as_slice().into()));
    assert_eq!(audio(b"\x91mp4a\x05").kind, AudioKind::Frame([5].as_slice().into()));
    assert_eq!(events(8, &[0xAF]), []);
    assert_eq!(events(8, &[0xAF, 1]), []);
    assert_eq!(events(8, b"\x94mp4a\x01\x02\0\0\0\x03"), [], "channels");
    assert_eq!(events(8, b"\x92mp4a"), [], "the end");
}

#[test]
fn coding_formats_that_are_not_read_are_named_once() {
    let name = |kind, payload: &[u8]| match events(kind, payload).as_slice() {
        [Event::Unsupported { name, media }] => {
            assert_eq!(*media == MediaKind::Video, kind == 9);
            name.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(name(9, &[0x12, 0]), "Sorenson H.263");
    assert_eq!(name(9, &[0x14, 0]), "On2 VP6");
    assert_eq!(name(9, b"\x90vp09conf"), "VP9");
    assert_eq!(name(9, b"\x90zzzzconf"), "video codec zzzz");
    assert_eq!(name(9, b"\x90\0\x01\x02\x03conf"), "video codec 0x00010203");
    assert_eq!(name(8, &[0x2F, 0]), "MP3");
    assert_eq!(name(8, &[0xB2, 0]), "Speex");
    assert_eq!(name(8, b"\x91Opus\0"), "Opus");
    assert_eq!(name(8, b"\x91ac-3\0"), "AC-3");
    let mut peer = Peer::publishing();
    for _ in 0..3 {
        peer.send(&message(128, 6, 0, 8, 1, &[0x2F, 0])).unwrap();
    }
    assert_eq!(peer.events.len(), 1);
}
