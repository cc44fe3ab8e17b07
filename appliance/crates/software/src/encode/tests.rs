//! What an encoder promises beyond one picture.

use std::sync::Arc;

use super::*;
use crate::frame;

fn config(captions: bool) -> EncoderConfig {
    EncoderConfig {
        size: Size { width: 320, height: 180 },
        frame_rate: (25, 1),
        rate: RateControl { bit_rate: 1_500_000, max_bit_rate: 1_650_000, buffer_bits: 750_000 },
        preset: "veryfast".to_owned(),
        tune: None,
        profile: "high".to_owned(),
        threads: 1,
        low_latency: false,
        captions,
    }
}

fn open(captions: bool) -> Encoder {
    Encoder::open(&Device::open(), &config(captions)).unwrap()
}

/// A picture of noise, which takes all the bits there are.
fn noise(seed: u32) -> ffmpeg_next::frame::Video {
    let mut video = frame::blank(Size { width: 320, height: 180 }).unwrap();
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    for sample in video.data_mut(0) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *sample = u8::try_from(16 + (state >> 24) * 200 / 256).unwrap();
    }
    video
}

fn take(encoder: &mut Encoder, coded: &mut Vec<Coded>) {
    while let Some(picture) = encoder.receive().unwrap() {
        coded.push(picture);
    }
}

#[test]
fn the_bit_rate_can_be_changed_while_it_runs() {
    let mut encoder = open(false);
    let record = encoder.configuration().to_vec();
    let mut coded = Vec::new();
    for tag in 0..200 {
        if tag == 100 {
            let rate = RateControl { bit_rate: 500_000, max_bit_rate: 550_000, buffer_bits: 250_000 };
            encoder.set_rate(rate).unwrap();
        }
        let video = noise(u32::try_from(tag).unwrap());
        encoder.send(&Frame(Arc::new(video)), tag, FrameKind::Any).unwrap();
        take(&mut encoder, &mut coded);
    }
    encoder.finish();
    take(&mut encoder, &mut coded);
    let bytes = |from, to| -> usize {
        coded.iter().filter(|c| (from..to).contains(&c.tag)).map(|c| c.data.as_ref().len()).sum()
    };
    let (before, after) = (bytes(25, 100), bytes(125, 200));
    assert!(after * 2 < before, "{before} bytes before, {after} after");
    assert_eq!(record, encoder.configuration());
    assert_eq!(coded.iter().filter(|c| c.key).count(), 1, "no key frame but the first");
}

#[test]
fn captions_are_passed_on_once_and_only_where_wanted() {
    // NAL unit types of each picture: 6 is supplemental information.
    let types = |captions: bool, kinds: [FrameKind; 3]| -> Vec<(u64, Vec<u8>)> {
        let mut encoder = open(captions);
        let mut video = noise(1);
        assert!(video.new_side_data(side_data::Type::A53CC, 6).is_some());
        let frame = Frame(Arc::new(video));
        let mut coded = Vec::new();
        for (tag, kind) in (0..).zip(kinds) {
            encoder.send(&frame, tag, kind).unwrap();
        }
        encoder.finish();
        take(&mut encoder, &mut coded);
        coded.sort_by_key(|c| c.tag);
        let types = |mut data: &[u8]| {
            let mut types = Vec::new();
            while let Some((length, rest)) = data.split_first_chunk::<4>() {
                let (unit, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
                types.push(unit[0] & 0x1f);
                data = rest;
            }
            types
        };
        coded.iter().map(|c| (c.tag, types(c.data.as_ref()))).collect()
    };
    let kinds = [FrameKind::Idr, FrameKind::Repeated, FrameKind::RepeatedIdr];
    assert_eq!(types(true, kinds), [(0, vec![6, 5]), (1, vec![1]), (2, vec![5])]);
    let kinds = [FrameKind::Idr, FrameKind::Any, FrameKind::Idr];
    assert_eq!(types(false, kinds), [(0, vec![5]), (1, vec![1]), (2, vec![5])]);
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let frame = Frame::black(Size { width: 64, height: 36 }).unwrap();
    let error = open(false).send(&frame, 0, FrameKind::Any).unwrap_err();
    assert_eq!(error.to_string(), "picture of 64x36 given to an encoder of 320x180");
}

#[test]
fn parameter_sets_do_not_depend_on_threads() {
    // A worker that takes over has another share of the cores, and its viewers have the first one's parameter sets.
    let record = |low_latency: bool, threads: usize, preset: &str| {
        let config = EncoderConfig { low_latency, threads, preset: preset.to_owned(), ..config(true) };
        Encoder::open(&Device::open(), &config).unwrap().configuration().to_vec()
    };
    for preset in ["ultrafast", "veryfast", "medium", "slow"] {
        for low_latency in [false, true] {
            let one = record(low_latency, 1, preset);
            for threads in [2, 3, 4, 8] {
                assert_eq!(
                    record(low_latency, threads, preset),
                    one,
                    "{preset}, {threads} threads, {low_latency}"
                );
            }
        }
    }
}

#[test]
fn with_low_latency_each_picture_comes_out_before_the_next_goes_in() {
    for threads in [1, 4] {
        let config =
            EncoderConfig { low_latency: true, threads, tune: Some("film".to_owned()), ..config(false) };
        let mut encoder = Encoder::open(&Device::open(), &config).unwrap();
        for tag in 0..40 {
            let kind = if tag % 25 == 0 { FrameKind::Idr } else { FrameKind::Any };
            let video = noise(u32::try_from(tag).unwrap());
            encoder.send(&Frame(Arc::new(video)), tag, kind).unwrap();
            let coded = encoder.receive().unwrap().map(|coded| (coded.tag, coded.key));
            assert_eq!(coded, Some((tag, tag % 25 == 0)), "{threads} threads");
            assert!(encoder.receive().unwrap().is_none());
        }
    }
}
