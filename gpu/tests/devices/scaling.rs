//! What a device scales is what the CPU scales, bit for bit.

use gpu::frame::{Colour, Format};
use gpu::scale::whole::{Picture, scale};
use gpu::{Device, Frame, Scaler};

use crate::on_devices;
use crate::pictures::{drawn, psnr, size};

/// A drawn picture as decoders give it.
fn picture(width: u32, height: u32, format: Format, colour: Colour, aspect: (u32, u32)) -> Picture {
    let size = size(width, height);
    let [luma, blue, red] = drawn(size, 3);
    let chroma: Vec<u8> = blue.iter().zip(&red).flat_map(|(b, r)| [*b, *r]).collect();
    let planes = [luma, chroma].map(|plane| match format {
        Format::Nv12 => plane,
        Format::P016 => plane.iter().flat_map(|s| (u16::from(*s) << 8 | 0x40).to_ne_bytes()).collect(),
    });
    Picture { size, format, colour, aspect, planes }
}

fn upload(device: &Device, picture: &Picture) -> Frame {
    let [luma, chroma] = &picture.planes;
    Frame::from_decoded_planes(
        device,
        picture.size,
        picture.format,
        picture.colour,
        picture.aspect,
        [luma, chroma],
    )
    .unwrap()
}

fn bt(matrix: u8, full_range: bool) -> Colour {
    Colour { matrix, full_range }
}

#[test]
fn scales_as_the_reference_does() {
    on_devices("scaling::scales_as_the_reference_does", |device| {
        let mut scaler = Scaler::new(device);
        let cases = [
            (picture(640, 360, Format::Nv12, bt(1, false), (1, 1)), size(426, 240)),
            (picture(640, 360, Format::Nv12, bt(1, false), (1, 1)), size(1280, 720)),
            (picture(640, 360, Format::P016, bt(9, false), (1, 1)), size(320, 180)),
            (picture(720, 576, Format::Nv12, bt(6, false), (64, 45)), size(640, 360)),
            (picture(720, 576, Format::Nv12, bt(2, true), (16, 15)), size(640, 360)),
            (picture(96, 320, Format::P016, bt(1, true), (1, 1)), size(640, 360)),
            (picture(640, 360, Format::P016, bt(1, false), (1, 1)), size(640, 360)),
            (picture(2, 2, Format::Nv12, bt(1, false), (1, 1)), size(64, 64)),
        ];
        for (picture, to) in cases {
            let frame = upload(device, &picture);
            assert_eq!(frame.to_decoded_planes().unwrap(), picture.planes, "what was written is read");
            // Twice, so that a target is used again.
            for _ in 0..2 {
                let scaled = scaler.scale(&frame, to).unwrap();
                assert_eq!((scaled.size(), scaled.format()), (to, Format::Nv12));
                assert_eq!(scaled.colour(), Colour::TARGET);
                let want = scale(&picture, to).unwrap();
                let got = scaled.to_decoded_planes().unwrap();
                for (plane, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert!(got == want, "{:?} to {to}, plane {plane}: {} dB", picture.size, psnr(got, want));
                }
            }
        }
    });
}

#[test]
fn a_ready_picture_is_passed_on_and_memory_is_used_again() {
    on_devices("scaling::a_ready_picture_is_passed_on_and_memory_is_used_again", |device| {
        let mut scaler = Scaler::new(device);
        let [luma, blue, red] = drawn(size(320, 180), 1);
        let frame = Frame::from_planes(device, size(320, 180), [&luma, &blue, &red]).unwrap();
        assert!(scaler.scale(&frame, size(320, 180)).unwrap().is_same(&frame));
        assert_eq!(frame.to_planes().unwrap(), [luma, blue, red]);
        let (before, _) = device.memory().unwrap();
        let first = scaler.scale(&frame, size(160, 90)).unwrap();
        drop(first);
        let (one, _) = device.memory().unwrap();
        for _ in 0..100 {
            drop(scaler.scale(&frame, size(160, 90)).unwrap());
        }
        let (many, _) = device.memory().unwrap();
        assert!(
            many >= one,
            "{before} bytes were free before, {one} after one picture, {many} after a hundred"
        );
        assert!(scaler.scale(&frame, size(161, 90)).is_err());
        let black = Frame::black(device, size(64, 36)).unwrap().to_planes().unwrap();
        assert!(black[0].iter().all(|y| *y == 16) && black[1..].iter().flatten().all(|c| *c == 128));
    });
}
