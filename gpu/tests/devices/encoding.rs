//! What comes out of encoders.

use std::time::Duration;

use gpu::encode::{EncodeError, Preset, Profile, Tuning};
use gpu::frame::Size;
use gpu::{Codec, Coded, Device, Encoder, EncoderConfig, Frame, FrameKind, RateControl};

use crate::on_devices;
use crate::pictures::{decoded_by_ffmpeg, drawn, psnr, size};

pub(crate) fn config(codec: Codec, size: Size, bit_rate: u32) -> EncoderConfig {
    EncoderConfig {
        codec,
        size,
        frame_rate: (25, 1),
        rate: RateControl { bit_rate, max_bit_rate: bit_rate, buffer_bits: bit_rate },
        preset: Preset::P4,
        tuning: Tuning::LowLatency,
        profile: Profile::High,
        b_frames: 0,
        lookahead: 0,
        low_latency: false,
        captions: true,
        patience: Duration::from_secs(20),
    }
}

/// The codecs that the device encodes; none where it has no encoder.
pub(crate) fn codecs(device: &Device) -> Vec<Codec> {
    match device.caps().encode {
        Ok(caps) => caps.iter().map(|caps| caps.codec).collect(),
        Err(EncodeError::NoEncoder) => {
            println!("{device:?} does not encode");
            Vec::new()
        }
        Err(error) => panic!("{error}: {error:?}"),
    }
}

/// Encodes drawn pictures; an IDR picture every `distance`.
fn encode(
    device: &Device,
    encoder: &mut Encoder,
    pictures: usize,
    distance: usize,
    mut between: impl FnMut(&mut Encoder, usize),
) -> Vec<Coded> {
    let size = encoder.config().size;
    let mut coded = Vec::new();
    for number in 0..pictures {
        between(encoder, number);
        let [luma, blue, red] = drawn(size, number);
        let frame = Frame::from_planes(device, size, [&luma, &blue, &red]).unwrap();
        let kind = if number.is_multiple_of(distance) { FrameKind::Idr } else { FrameKind::Any };
        encoder.send(&frame, 1000 + number as u64, kind).unwrap();
        while let Some(picture) = encoder.receive().unwrap() {
            coded.push(picture);
        }
    }
    encoder.finish();
    while let Some(picture) = encoder.receive().unwrap() {
        coded.push(picture);
    }
    coded
}

fn check(codec: Codec, encoder: &Encoder, coded: &[Coded], pictures: usize, distance: usize) {
    let size = encoder.config().size;
    let mut tags: Vec<u64> = coded.iter().map(|picture| picture.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (1000..1000 + pictures as u64).collect::<Vec<_>>(), "each picture comes out once");
    for picture in coded {
        let number = picture.tag as usize - 1000;
        assert_eq!(picture.key, number.is_multiple_of(distance), "{codec} picture {number}");
    }
    let shown = decoded_by_ffmpeg(codec, encoder.configuration(), coded, size);
    assert_eq!(shown.len(), pictures, "{codec}");
    for (number, picture) in shown.iter().enumerate() {
        let quality = psnr(picture, &drawn(size, number).concat());
        assert!(quality > 33.0, "{codec} picture {number}: {quality:.1} dB");
    }
}

#[test]
fn idr_pictures_stand_where_they_are_asked_for_and_nowhere_else() {
    on_devices("encoding::idr_pictures_stand_where_they_are_asked_for_and_nowhere_else", |device| {
        for codec in codecs(device) {
            for (low_latency, b_frames) in [(true, 0), (false, 0), (false, 2)] {
                let mut config = config(codec, size(320, 180), 1_500_000);
                config.low_latency = low_latency;
                config.b_frames = b_frames;
                if b_frames > 0 {
                    config.tuning = Tuning::HighQuality;
                }
                let mut encoder = Encoder::open(device, &config).unwrap();
                let coded = encode(device, &mut encoder, 30, 12, |_, _| {});
                check(codec, &encoder, &coded, 30, 12);
            }
        }
    });
}

#[test]
fn low_latency_gives_each_picture_before_the_next_is_sent() {
    on_devices("encoding::low_latency_gives_each_picture_before_the_next_is_sent", |device| {
        for codec in codecs(device) {
            let mut config = config(codec, size(320, 180), 1_000_000);
            config.low_latency = true;
            let mut encoder = Encoder::open(device, &config).unwrap();
            let frame = Frame::black(device, size(320, 180)).unwrap();
            for tag in 0..20 {
                encoder.send(&frame, tag, FrameKind::Any).unwrap();
                assert_eq!(encoder.receive().unwrap().map(|picture| picture.tag), Some(tag));
                assert_eq!(encoder.receive().unwrap(), None);
            }
        }
    });
}

#[test]
fn the_bit_rate_changes_without_an_idr_picture() {
    on_devices("encoding::the_bit_rate_changes_without_an_idr_picture", |device| {
        for codec in codecs(device) {
            if codec != Codec::H264 && device.info().name.starts_with("Simulated") {
                println!("skipped for {codec}: the software in the simulated driver cannot change its rate");
                continue;
            }
            let mut encoder = Encoder::open(device, &config(codec, size(320, 180), 200_000)).unwrap();
            let configuration = encoder.configuration().to_vec();
            let coded = encode(device, &mut encoder, 150, 1000, |encoder, number| {
                if number == 75 {
                    let rate =
                        RateControl { bit_rate: 1_000_000, max_bit_rate: 1_000_000, buffer_bits: 1_000_000 };
                    encoder.set_rate(rate).unwrap();
                }
            });
            assert_eq!(encoder.configuration(), configuration);
            assert_eq!(coded.iter().filter(|picture| picture.key).count(), 1, "{codec}");
            // Whole seconds, once the change has had one to take hold.
            let kbits = |from: usize, to: usize| {
                let bytes: usize = coded[from..to].iter().map(|picture| picture.data.len()).sum();
                bytes * 8 * 25 / (to - from) / 1000
            };
            let (before, after) = (kbits(25, 75), kbits(100, 150));
            assert!(
                (150..260).contains(&before) && (700..1250).contains(&after),
                "{codec}: {before}, {after} kbit/s"
            );
        }
    });
}

#[test]
fn sessions_come_and_go_without_a_trace() {
    on_devices("encoding::sessions_come_and_go_without_a_trace", |device| {
        if !codecs(device).contains(&Codec::H264) {
            return;
        }
        let config = config(Codec::H264, size(320, 180), 500_000);
        let frame = Frame::black(device, size(320, 180)).unwrap();
        let round = || {
            // Dropped with pictures inside.
            let mut encoder = Encoder::open(device, &config).unwrap();
            for tag in 0..5 {
                encoder.send(&frame, tag, FrameKind::Any).unwrap();
            }
        };
        round();
        let (before, _) = device.memory().unwrap();
        for _ in 0..30 {
            round();
        }
        let (after, _) = device.memory().unwrap();
        assert!(after + (1 << 20) >= before, "{before} bytes were free, and {after} after thirty sessions");
    });
}

#[test]
fn what_cannot_be_encoded_is_refused_in_words() {
    on_devices("encoding::what_cannot_be_encoded_is_refused_in_words", |device| {
        for codec in codecs(device) {
            for side in [size(16, 16), size(16384, 16384), size(641, 360)] {
                let error = Encoder::open(device, &config(codec, side, 1_000_000)).unwrap_err();
                assert!(matches!(error, EncodeError::Size { .. }), "{error}");
            }
            let mut encoder = Encoder::open(device, &config(codec, size(640, 360), 1_000_000)).unwrap();
            let small = Frame::black(device, size(320, 180)).unwrap();
            let error = encoder.send(&small, 0, FrameKind::Any).unwrap_err();
            assert_eq!(error.to_string(), "picture of 320x180 given to an encoder of 640x360");
        }
    });
}
