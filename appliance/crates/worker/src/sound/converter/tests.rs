#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "counts of samples in tests are far under 2^24"
)]

use std::f32::consts::PI;

use super::*;

/// Sample rates of ISO/IEC 14496-3, table 1.18.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// AAC-LC by its index of [`RATES`] and its `channelConfiguration`.
fn params(rate: u32, channel_configuration: u8) -> AudioParams {
    let index = RATES.iter().position(|known| *known == rate).unwrap();
    let bits = 2 << 11 | u16::try_from(index).unwrap() << 7 | u16::from(channel_configuration) << 3;
    AudioParams::parse(Bytes::copy_from_slice(&bits.to_be_bytes())).unwrap()
}

fn format(params: &AudioParams) -> SoundFormat {
    SoundFormat { sample_rate: params.sample_rate, channel_configuration: params.channel_configuration }
}

/// Raw frames of a sound that is silent up to sample `from`, then a tone; the first is heard at zero.
fn coded(params: &AudioParams, frames: usize, from: usize) -> Vec<Vec<u8>> {
    let rate = params.sample_rate as f32;
    let wave =
        |n: usize| if n < from { 0.0 } else { 0.25 * (2.0 * PI * 440.0 * (n - from) as f32 / rate).sin() };
    let mut encoder = SoundEncoder::open(&Device::open(), format(params), 128_000).unwrap();
    let mut out = Vec::new();
    for frame in 0..frames {
        let samples: Vec<f32> = (0..1024).map(|n| wave(frame * 1024 + n)).collect();
        encoder.send(&vec![samples; format(params).channels()]).unwrap();
        out.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    }
    encoder.finish();
    out.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    out.into_iter().filter(|frame| frame.position >= 0).map(|frame| frame.data).collect()
}

fn converter(source: &AudioParams, track: &AudioParams) -> Converter {
    let mut converter = Converter::new(track, 128_000).unwrap();
    converter.configure(&source.configuration).unwrap();
    converter
}

/// When frame `index` of a source that begins at `start` is heard, in 90 kHz ticks of whole milliseconds.
fn stamp(source: &AudioParams, start: i64, index: usize) -> i64 {
    let ticks = start + index as i64 * 1024 * 90_000 / i64::from(source.sample_rate);
    (ticks + 45).div_euclid(90) * 90
}

/// Where the tone is heard in the track, in samples.
fn onset(track: &AudioParams, frames: &[Converted]) -> i64 {
    let mut decoder = SoundDecoder::open(&Device::open(), &track.configuration, track.sample_rate).unwrap();
    let mut remixer = Remixer::new(format(track)).unwrap();
    for frame in frames {
        let mut planes = vec![Vec::new(); format(track).channels()];
        remixer.convert(&decoder.decode(&frame.data).unwrap(), &mut planes).unwrap();
        let loud = |plane: &Vec<f32>| plane.iter().position(|sample: &f32| sample.abs() > 0.08);
        if let Some(at) = planes.iter().filter_map(loud).min() {
            assert_eq!(decoder.errors(), 0);
            return frame.position + at as i64;
        }
    }
    panic!("no tone in {} frames", frames.len());
}

#[test]
fn every_usual_track_can_be_made() {
    for rate in RATES {
        for channel_configuration in 1..=6 {
            let track = params(rate, channel_configuration);
            assert!(SoundJob::fits(&track));
            Converter::new(&track, 32_000 * u32::from(track.channels))
                .unwrap_or_else(|fault| panic!("{rate} Hz, {channel_configuration}: {fault}"));
        }
    }
    for other in [
        AudioParams { object_type: 5, ..params(24_000, 2) },
        AudioParams { samples_per_frame: 960, ..params(48_000, 2) },
        params(48_000, 7),
    ] {
        assert!(!SoundJob::fits(&other));
        assert!(matches!(Converter::new(&other, 64_000), Err(ConvertError::Track { .. })));
    }
}

#[test]
fn what_is_heard_stays_where_it_was_to_two_milliseconds() {
    for (source, track) in [
        (params(44_100, 1), params(48_000, 2)),
        (params(48_000, 6), params(48_000, 2)),
        (params(48_000, 2), params(44_100, 1)),
        (params(22_050, 1), params(48_000, 6)),
        (params(32_000, 2), params(8_000, 1)),
    ] {
        for start in [0, 111_111, -5_000] {
            let mut converter = converter(&source, &track);
            let begins = 30_000;
            let mut out = Vec::new();
            for (index, frame) in coded(&source, 60, begins).iter().enumerate() {
                out.extend(converter.push(frame, stamp(&source, start, index)).unwrap());
            }
            out.extend(converter.finish().unwrap());
            let name = format!("{} Hz to {} Hz from {start}", source.sample_rate, track.sample_rate);
            let first = out[0].position;
            assert_eq!(first % 1024, 0, "{name}");
            let ms = i64::from(track.sample_rate) / 1000;
            for (index, frame) in out.iter().enumerate() {
                let away = frame.position - first - index as i64 * 1024;
                assert!(away.abs() <= 2 * ms, "{name}: frame {index} is {away} samples off");
                assert!(!frame.data.is_empty());
            }
            let seconds = start as f64 / 90_000.0 + begins as f64 / f64::from(source.sample_rate);
            let off = onset(&track, &out) as f64 / f64::from(track.sample_rate) - seconds;
            assert!((-0.001..0.002).contains(&off), "{name}: {:.2} ms late", off * 1000.0);
            // All of it comes out, and no more than the rest of a frame beside it.
            let length = 60.0 * 1024.0 / f64::from(source.sample_rate);
            let heard = (out.len() * 1024) as f64 / f64::from(track.sample_rate);
            let frame = 1024.0 / f64::from(track.sample_rate);
            assert!((0.0..2.01 * frame).contains(&(heard - length)), "{name}: {heard} s of {length} s");
        }
    }
}

#[test]
fn a_clock_that_drifts_and_a_hole_are_told() {
    let (source, track) = (params(44_100, 1), params(48_000, 2));
    let frames = coded(&source, 400, 0);
    let mut converter = converter(&source, &track);
    let mut out = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        // 0.1 % fast, and a second is lost on the way.
        let hole = if index >= 200 { 90_000 } else { 0 };
        let stamp = stamp(&source, 0, index);
        out.extend(converter.push(frame, stamp - stamp / 1000 + hole).unwrap());
    }
    let away: Vec<i64> =
        out.iter().enumerate().map(|(index, frame)| frame.position - index as i64 * 1024).collect();
    // Frame 183 is 3.9 s into it: 4 ms early.
    assert!((-250..=-130).contains(&away[183]), "{}", away[183]);
    let last = *away.last().unwrap();
    assert!((48_000 - 520..=48_000 - 350).contains(&last), "{last}");
    // The hole stands where it was, whole: what comes of the stamps' whole milliseconds is under 100 samples.
    let steps: Vec<i64> =
        away.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| step.abs() > 200).collect();
    assert!(matches!(steps[..], [47_800..=48_200]), "{steps:?}");
}

#[test]
fn damage_is_concealed_and_counted_and_moves_nothing() {
    let (source, track) = (params(44_100, 1), params(48_000, 2));
    let mut frames = coded(&source, 200, 30_000);
    for (index, frame) in frames.iter_mut().enumerate() {
        match index % 10 {
            4 => frame.clear(),
            7 => frame.iter_mut().for_each(|byte| *byte = !*byte),
            _ => {}
        }
    }
    let mut converter = converter(&source, &track);
    let mut out = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        out.extend(converter.push(frame, stamp(&source, 0, index)).unwrap());
    }
    out.extend(converter.finish().unwrap());
    let report = converter.report();
    assert_eq!((report.frames_in, report.frames_out), (200, out.len() as u64));
    assert!((20..=40).contains(&report.decode_errors), "{report:?}");
    for (index, frame) in out.iter().enumerate() {
        assert!((frame.position - index as i64 * 1024).abs() <= 96, "frame {index} at {}", frame.position);
    }
}

#[test]
fn a_new_record_goes_on_with_the_same_frames() {
    let (first, second, track) = (params(44_100, 1), params(48_000, 6), params(48_000, 2));
    let mut converter = converter(&first, &track);
    let mut out = Vec::new();
    for (index, frame) in coded(&first, 43, 0).iter().enumerate() {
        out.extend(converter.push(frame, stamp(&first, 0, index)).unwrap());
    }
    converter.configure(&second.configuration).unwrap();
    let start = 43 * 1024 * 90_000 / 44_100;
    for (index, frame) in coded(&second, 43, 0).iter().enumerate() {
        out.extend(converter.push(frame, stamp(&second, start, index)).unwrap());
    }
    out.extend(converter.finish().unwrap());
    assert_eq!(converter.report().decode_errors, 0);
    for (index, frame) in out.iter().enumerate() {
        assert!((frame.position - index as i64 * 1024).abs() <= 96, "frame {index} at {}", frame.position);
    }
}

/// Whatever comes from a daemon that was sent anything: an error or frames, in bounded memory.
#[test]
fn wild_frames_and_times_are_survived() {
    let (source, track) = (params(44_100, 1), params(48_000, 2));
    let frames = coded(&source, 20, 0);
    let mut converter = converter(&source, &track);
    let mut random = 7u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 24
    };
    for index in 0..800 {
        let mut frame = frames[index % frames.len()].clone();
        for _ in 0..next() % 6 {
            let at = next() as usize % frame.len();
            frame[at] ^= 1 << (next() % 8);
        }
        let pts = match next() % 5 {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => next() as i64 * 1_000_003,
            _ => stamp(&source, 0, index),
        };
        converter.push(&frame, pts).unwrap();
        assert!(converter.planes[0].len() < 2 * SAMPLES_PER_FRAME && converter.marks.len() < 16);
        assert!(converter.inside.len() < 8);
    }
    assert!(converter.configure(b"garbage").is_err());
}
