//! AMF0 as encoders write it, the rarer types included.

use rml_rtmp::rml_amf0::Amf0Value;
use rtmp::{Event, Limits, amf};

use crate::wire::{Peer, ecma_array, message, name, number, object, string};

fn decode(bytes: &[u8]) -> Vec<Amf0Value> {
    amf::decode(bytes, &Limits::default()).unwrap()
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

#[test]
fn dates_long_strings_and_typed_objects_are_read() {
    let date = [&[0x0B][..], &1000f64.to_be_bytes(), &[0, 0]].concat();
    assert_eq!(decode(&date), [Amf0Value::Number(1000.0)]);
    let long = [&[0x0C][..], &70_000u32.to_be_bytes(), &[b'x'; 70_000]].concat();
    assert_eq!(decode(&long), [text(&"x".repeat(70_000))]);
    let typed = [&[0x10][..], &name("Class"), &object(&[("a", string("b"))])[1..]].concat();
    let Amf0Value::Object(properties) = &decode(&typed)[0] else { panic!("no object") };
    assert_eq!(properties["a"], text("b"));
    assert_eq!(decode(&[5, 6, 0x0D, 7, 0, 0, 1, 2]).len(), 5);
}

#[test]
fn text_that_is_not_utf_8_keeps_what_can_be_read() {
    assert_eq!(decode(&[2, 0, 3, b'a', 0xE4, b'b']), [text("a\u{FFFD}b")]);
}

#[test]
fn arrays_may_end_with_their_message_or_twice() {
    let array = ecma_array(&[("width", number(640.0)), ("height", number(360.0))]);
    let open = &array[..array.len() - 3];
    assert_eq!(decode(open), decode(&array));
    assert_eq!(decode(&[&array[..], &[0, 0, 9]].concat()), decode(&array));
    assert!(
        amf::decode(&object(&[("a", number(1.0))])[..13], &Limits::default()).is_err(),
        "an object may not"
    );
}

#[test]
fn metadata_with_odd_values_gives_what_there_is() {
    let properties = [
        ("width", number(f64::NAN)),
        ("height", number(-360.0)),
        ("framerate", number(f64::INFINITY)),
        ("videocodecid", number(f64::from(u32::from_be_bytes(*b"hvc1")))),
        ("audiocodecid", string("mp4a")),
        ("encoder", string(&"e\n".repeat(1000))),
        ("creationdate", [&[0x0B][..], &0f64.to_be_bytes(), &[0, 0]].concat()),
    ];
    let mut peer = Peer::publishing();
    let data = [string("onMetaData"), object(&properties)].concat();
    peer.send(&message(128, 4, 0, 18, 1, &data)).unwrap();
    let [Event::Metadata(metadata)] = peer.events.as_slice() else { panic!("{:?}", peer.events) };
    assert_eq!((metadata.width, metadata.height, metadata.frame_rate), (None, None, None));
    assert_eq!(metadata.video_codec.as_deref(), Some("hvc1"));
    assert_eq!(metadata.audio_codec.as_deref(), Some("mp4a"));
    assert_eq!(metadata.encoder.as_deref(), Some("e".repeat(256).as_str()));
    // Cue points and the like are nothing to us.
    peer.send(&message(128, 4, 0, 18, 1, &[string("onTextData"), object(&[])].concat())).unwrap();
    peer.send(&message(128, 4, 0, 18, 1, &string("@clearDataFrame"))).unwrap();
    assert_eq!(peer.events.len(), 1);
}
