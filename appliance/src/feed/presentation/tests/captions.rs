//! Closed captions are announced where they come, and of the rungs that pass them on.

use bytes::Bytes;
use media::SourceStamp;

use super::driver::{Driver, PLAIN, VIDEO};
use crate::feed::source::Input;

/// An SEI NAL unit of captions as encoders put it before a picture, and a slice; length fields of 4 bytes.
const WITH_CAPTIONS: &[u8] =
    b"\0\0\0\x11\x06\x04\x0d\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20\x80\0\0\0\x02\x65\x88";

fn announced(first: &'static [u8]) -> Vec<bool> {
    let mut driver = Driver::new(PLAIN);
    driver.configure(VIDEO);
    let stamp = SourceStamp { millis: 0, nanos: 0, composition_millis: 0 };
    driver.input(Input::Video { stamp, key: true, payload: Bytes::from_static(first) });
    driver.play(VIDEO, 3_000);
    driver.log.opening.unwrap().tracks.iter().map(|track| track.captions).collect()
}

#[test]
fn captions_are_announced_where_they_come() {
    assert_eq!(announced(WITH_CAPTIONS), [true; 3]);
    assert_eq!(announced(b"picture"), [false; 3]);
}
