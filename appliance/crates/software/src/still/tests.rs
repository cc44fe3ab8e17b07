//! Pictures as image editors write them, made by libavcodec's own encoders, and files that are none.

use ffmpeg_next::{Rational, encoder};

use super::*;

const HD: Size = Size { width: 1280, height: 720 };

/// A picture of one colour coded as a file.
fn file(id: codec::Id, format: Pixel, size: Size, sample: &[u8]) -> Vec<u8> {
    let found = encoder::find(id).unwrap();
    let mut video = codec::Context::new_with_codec(found).encoder().video().unwrap();
    video.set_width(size.width);
    video.set_height(size.height);
    video.set_format(format);
    video.set_time_base(Rational::new(1, 25));
    let mut opened = video.open_as(found).unwrap();
    let mut picture = ffi::allocate(format, size).unwrap();
    for plane in 0..picture.planes() {
        let sample = if picture.planes() == 1 { sample } else { &sample[plane..=plane] };
        for (at, byte) in picture.data_mut(plane).iter_mut().enumerate() {
            *byte = sample[at % sample.len()];
        }
    }
    picture.set_pts(Some(0));
    opened.send_frame(&picture).unwrap();
    opened.send_eof().unwrap();
    let mut packet = Packet::empty();
    opened.receive_packet(&mut packet).unwrap();
    packet.data().unwrap().to_vec()
}

fn middle(frame: &Frame) -> [u8; 3] {
    let at = |plane: usize| {
        let row = usize::try_from(frame.size().height / 2).unwrap();
        let column = usize::try_from(frame.size().width / 2).unwrap();
        frame.0.data(plane)[row * frame.0.stride(plane) + column]
    };
    [at(0), at(1), at(2)]
}

fn assert_near(got: [u8; 3], wanted: [u8; 3]) {
    assert!(got.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2), "{got:?}, wanted {wanted:?}");
}

#[test]
fn colours_become_limited_range_709() {
    let size = Size { width: 64, height: 36 };
    // Green of BT.709 in limited range: Rec. ITU-R BT.709, 3.2 and 4.6.
    let green = [173, 42, 26];
    let png = file(codec::Id::PNG, Pixel::RGB24, size, &[0, 255, 0]);
    let frame = decode(&png, HD).unwrap();
    assert_eq!(frame.size(), size);
    assert_near(middle(&frame), green);
    // The same green as JFIF has it: BT.601, all of the range.
    let jpeg = file(codec::Id::MJPEG, Pixel::YUVJ444P, size, &[150, 44, 21]);
    assert_near(middle(&decode(&jpeg, HD).unwrap()), green);
    let grey = file(codec::Id::PNG, Pixel::GRAY8, size, &[255]);
    assert_near(middle(&decode(&grey, HD).unwrap()), [235, 128, 128]);
}

#[test]
fn what_is_transparent_is_black() {
    let size = Size { width: 64, height: 36 };
    let clear = file(codec::Id::PNG, Pixel::RGBA, size, &[255, 255, 255, 0]);
    assert_near(middle(&decode(&clear, HD).unwrap()), [16, 128, 128]);
    let half = file(codec::Id::PNG, Pixel::RGBA, size, &[255, 255, 255, 128]);
    assert_near(middle(&decode(&half, HD).unwrap()), [126, 128, 128]);
}

#[test]
fn a_large_picture_is_made_smaller_and_a_small_one_left() {
    let shape = |width, height| {
        let png = file(codec::Id::PNG, Pixel::GRAY8, Size { width, height }, &[100]);
        let size = decode(&png, HD).unwrap().size();
        (size.width, size.height)
    };
    assert_eq!(shape(2560, 1440), (1280, 720));
    assert_eq!(shape(1001, 2000), (360, 720));
    assert_eq!(shape(4000, 10), (1280, 3));
    assert_eq!(shape(321, 181), (321, 181));
    assert_eq!(shape(1, 1), (1, 1));
}

#[test]
fn a_picture_over_the_bound_is_refused_before_it_is_decoded() {
    let mut png = file(codec::Id::PNG, Pixel::GRAY8, Size { width: 16, height: 17 }, &[100]);
    png[16..20].copy_from_slice(&1_000_000u32.to_be_bytes());
    let error = decode(&png, HD).unwrap_err();
    assert_eq!(error.to_string(), "picture of 1000000x17 is not within 1 and 16777216 samples");
    let mut jpeg = file(codec::Id::MJPEG, Pixel::YUVJ420P, Size { width: 16, height: 17 }, &[100; 3]);
    let header = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[header + 5..header + 9].copy_from_slice(&[0xff; 4]);
    let error = decode(&jpeg, HD).unwrap_err();
    assert_eq!(error.to_string(), "picture of 65535x65535 is not within 1 and 16777216 samples");
}

#[test]
fn files_that_are_no_pictures_are_refused() {
    // It keeps libavcodec from writing what it finds wrong.
    let _ = crate::Device::open();
    let size = Size { width: 64, height: 36 };
    for (id, format) in [(codec::Id::PNG, Pixel::RGB24), (codec::Id::MJPEG, Pixel::YUVJ420P)] {
        let whole = file(id, format, size, &[10, 200, 90]);
        assert!(decode(&whole, HD).is_ok());
        for length in 0..whole.len() {
            // What is cut off behind the picture does not matter; what is cut off within may be concealed.
            let _ = decode(&whole[..length], HD);
        }
        assert!(decode(&whole[..whole.len() / 2], HD).is_err(), "half a {}", id.name());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = decode(&damaged, HD);
        }
    }
    assert!(matches!(decode(b"GIF89a", HD), Err(StillError::Format { bytes: 6 })));
    assert!(matches!(decode(&[], HD), Err(StillError::Format { .. })));
    assert!(matches!(decode(PNG, HD), Err(StillError::NoSize { .. })));
    assert!(matches!(decode(&[0xff, 0xd8, 0xff, 0xe0, 0, 0], HD), Err(StillError::NoSize { .. })));
}
