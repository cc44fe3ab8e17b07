//! What scalers make of pictures, and the whole way through a device.

use vaapi::scale::ScaleError;
use vaapi::{Codec, Decoder, DecoderConfig, Frame, FrameKind, Scaler, Size};

use crate::annex_b;
use crate::encoding::{config, open};
use crate::pictures::{Stream, joined, natural, planes};
use crate::{ARC, on_devices, on_simulated};

const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

#[test]
fn pictures_are_fitted_between_black_bars() {
    on_devices("scaling::pictures_are_fitted_between_black_bars", |device| {
        let (luma, chroma) = (vec![200u8; 64 * 48], vec![128u8; 32 * 24]);
        let frame = Frame::from_planes(device, size(64, 48), [&luma, &chroma, &chroma]).unwrap();
        let mut scaler = Scaler::new(device);
        let scaled = scaler.scale(&frame, size(128, 72)).unwrap();
        let samples = scaled.samples().unwrap();
        let row = &samples.planes[0][36 * 128..37 * 128];
        assert_eq!((row[0], row[14], row[112], row[127]), (16, 16, 16, 16), "{row:?}");
        assert!(row[20..108].iter().all(|sample| sample.abs_diff(200) <= 2), "{row:?}");
        assert_eq!(samples.planes[1][0], 128);
        assert!(matches!(scaler.scale(&frame, size(33, 18)), Err(ScaleError::Target(_))));
        let same = scaler.scale(&scaled, size(128, 72)).unwrap();
        assert!(joined(&same.samples().unwrap()) == joined(&samples), "a picture that is ready stays");
    });
}

#[test]
fn black_is_black_and_planes_come_back() {
    on_devices("scaling::black_is_black_and_planes_come_back", |device| {
        let black = Frame::black(device, size(62, 34)).unwrap().samples().unwrap();
        assert!(black.planes[0].iter().all(|sample| *sample == 16));
        assert!(black.planes[1].iter().chain(&black.planes[2]).all(|sample| *sample == 128));
        let picture = natural(size(426, 242), 1).remove(0);
        let frame = Frame::from_planes(device, size(426, 242), planes(&picture, size(426, 242))).unwrap();
        assert!(joined(&frame.samples().unwrap()) == picture);
        let error = Frame::from_planes(device, size(4, 4), [&[0; 16], &[0; 4], &[0; 3]]).unwrap_err();
        assert_eq!(error.to_string(), "plane 2 of a 4x4 picture has 3 bytes, not 4");
    });
}

#[test]
fn a_ladder_runs_from_one_decoder() {
    on_simulated("scaling::a_ladder_runs_from_one_decoder", ARC, |device| {
        let stream = Stream::natural(Codec::H264, "1280x720", "yuv420p", 30, "bframes=2");
        let decoder_config = DecoderConfig { codec: Codec::H264, configuration: &stream.record };
        let mut decoder = Decoder::open(device, &decoder_config).unwrap();
        let mut scaler = Scaler::new(device);
        let sizes = [size(1280, 720), size(640, 360), size(426, 240)];
        let mut encoders: Vec<_> = sizes.iter().map(|to| open(device, &config(Codec::H264, *to))).collect();
        let mut coded = [0; 3];
        let mut run = |decoder: &mut Decoder, last: bool| {
            while let Some(decoded) = decoder.receive().unwrap() {
                for ((to, encoder), count) in sizes.iter().zip(&mut encoders).zip(&mut coded) {
                    let frame = scaler.scale(&decoded.frame, *to).unwrap();
                    encoder.send(&frame, decoded.tag.cast_unsigned(), FrameKind::Any).unwrap();
                    while encoder.receive().unwrap().is_some() {
                        *count += 1;
                    }
                }
            }
            if last {
                for (encoder, count) in encoders.iter_mut().zip(&mut coded) {
                    encoder.finish();
                    while encoder.receive().unwrap().is_some() {
                        *count += 1;
                    }
                }
            }
        };
        for (tag, unit) in (0..).zip(&stream.units) {
            decoder.send(&annex_b::sample(unit), tag).unwrap();
            run(&mut decoder, false);
        }
        decoder.finish();
        run(&mut decoder, true);
        assert_eq!(coded, [30, 30, 30]);
    });
}
