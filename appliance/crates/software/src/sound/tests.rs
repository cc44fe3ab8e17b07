#![allow(clippy::cast_precision_loss, reason = "counts of samples in tests are far under 2^24")]

use std::f32::consts::PI;

use super::*;
use crate::device::Device;

const STEREO: SoundFormat = SoundFormat { sample_rate: 48_000, channel_configuration: 2 };
const MONO: SoundFormat = SoundFormat { sample_rate: 44_100, channel_configuration: 1 };
const SURROUND: SoundFormat = SoundFormat { sample_rate: 48_000, channel_configuration: 6 };

/// A tone of 440 Hz in the channels of `in_channels`, silent before sample `from`.
fn tone(format: SoundFormat, samples: usize, from: usize, in_channels: &[usize]) -> Vec<Vec<f32>> {
    let rate = format.sample_rate as f32;
    let wave: Vec<f32> = (0..samples)
        .map(|n| if n < from { 0.0 } else { 0.25 * (2.0 * PI * 440.0 * (n - from) as f32 / rate).sin() })
        .collect();
    let silent = vec![0.0; samples];
    (0..format.channels())
        .map(|c| if in_channels.contains(&c) { wave.clone() } else { silent.clone() })
        .collect()
}

fn encode(format: SoundFormat, planes: &[Vec<f32>]) -> (SoundFormat, Vec<u8>, Vec<CodedSound>) {
    let mut encoder =
        SoundEncoder::open(&Device::open(), format, 64_000 * u32::from(format.channel_configuration))
            .unwrap();
    let mut coded = Vec::new();
    let mut left = planes.to_vec();
    while left[0].len() >= SAMPLES_PER_FRAME {
        encoder.send(&left).unwrap();
        left.iter_mut().for_each(|plane| drop(plane.drain(..SAMPLES_PER_FRAME)));
        coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    }
    encoder.finish();
    coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    (format, encoder.configuration().to_vec(), coded)
}

/// What `to` hears of frames; the first sample stands where the first frame's does.
fn convert(
    (from, configuration, coded): &(SoundFormat, Vec<u8>, Vec<CodedSound>),
    to: SoundFormat,
) -> Vec<Vec<f32>> {
    let mut decoder = SoundDecoder::open(&Device::open(), configuration, from.sample_rate).unwrap();
    let mut remixer = Remixer::new(to).unwrap();
    let mut planes = vec![Vec::new(); to.channels()];
    for frame in coded {
        let samples = decoder.decode(&frame.data).unwrap();
        assert_eq!(samples.count(), SAMPLES_PER_FRAME);
        remixer.convert(&samples, &mut planes).unwrap();
    }
    remixer.flush(&mut planes).unwrap();
    assert_eq!(decoder.errors(), 0);
    planes
}

/// Of what is heard from `from` on, in samples.
fn level(plane: &[f32], from: usize) -> f32 {
    let heard = &plane[from..plane.len() - 2_000];
    (heard.iter().map(|sample| sample * sample).sum::<f32>() / heard.len() as f32).sqrt()
}

/// The first sample that is louder than silence and what an encoder makes of it.
fn onset(plane: &[f32]) -> usize {
    plane.iter().position(|sample| sample.abs() > 0.08).expect("a tone")
}

fn assert_near(got: f32, want: f32) {
    assert!((got - want).abs() < want.max(0.01) * 0.1, "a level of {got}, not {want}");
}

/// Of a sine with the amplitude of [`tone`].
const LEVEL: f32 = 0.176_78;

#[test]
fn frames_are_counted_from_before_the_first_sample() {
    let (_, configuration, coded) = encode(STEREO, &tone(STEREO, 20 * 1024, 0, &[0, 1]));
    assert_eq!(configuration.get(..2), Some(&[0x11, 0x90][..]), "{configuration:?}");
    let positions: Vec<i64> = coded.iter().map(|frame| frame.position).collect();
    assert_eq!(positions, (-1..20).map(|frame| frame * 1024).collect::<Vec<_>>());
    assert!(coded.iter().all(|frame| frame.data.len() < 6144 / 8 * 2));
}

#[test]
fn another_rate_keeps_its_time_and_mono_its_loudness() {
    for (from, to) in [
        (MONO, STEREO),
        (MONO, SoundFormat { sample_rate: 32_000, ..STEREO }),
        (SoundFormat { sample_rate: 22_050, channel_configuration: 1 }, STEREO),
        (SoundFormat { sample_rate: 48_000, channel_configuration: 1 }, STEREO),
        (SoundFormat { sample_rate: 96_000, channel_configuration: 1 }, MONO),
    ] {
        let begins = 20_000;
        let sound = encode(from, &tone(from, 60 * 1024, begins, &[0]));
        let heard = convert(&sound, to);
        let (rate_from, rate_to) = (from.sample_rate as f32, to.sample_rate as f32);
        for plane in &heard {
            // The first frame stands before the first sample.
            let due = (begins + 1024) as f32 * rate_to / rate_from;
            let off = (onset(plane) as f32 - due) / rate_to * 1000.0;
            assert!((-1.0..2.0).contains(&off), "{from:?} to {to:?}: {off} ms late");
            assert_near(level(plane, onset(plane) + 4_000), LEVEL);
            let length = sound.2.len() as f32 * 1024.0 * rate_to / rate_from;
            assert!((plane.len() as f32 - length).abs() < 4.0, "{} samples, not {length}", plane.len());
        }
    }
}

#[test]
fn surround_goes_into_two_speakers_and_two_into_one() {
    // Left, right, centre, low, left surround, right surround, as libavcodec orders the planes.
    for (channel, left, right) in
        [(0, 1.0, 0.0), (1, 0.0, 1.0), (2, 0.707, 0.707), (4, 0.707, 0.0), (5, 0.0, 0.707)]
    {
        let sound = encode(SURROUND, &tone(SURROUND, 40 * 1024, 0, &[channel]));
        let heard = convert(&sound, STEREO);
        assert_near(level(&heard[0], 8_000), LEVEL * left);
        assert_near(level(&heard[1], 8_000), LEVEL * right);
    }
    for (channels, share) in [(&[0, 1][..], 1.0), (&[0], 0.5)] {
        let sound = encode(STEREO, &tone(STEREO, 40 * 1024, 0, channels));
        assert_near(level(&convert(&sound, MONO)[0], 8_000), LEVEL * share);
    }
    // One that has a speaker of its own stays there.
    let sound = encode(MONO, &tone(MONO, 40 * 1024, 0, &[0]));
    let heard = convert(&sound, SURROUND);
    assert_near(level(&heard[2], 8_000), LEVEL);
    assert_near(level(&heard[0], 8_000), 0.0);
}

#[test]
fn damage_is_silence_of_the_same_length_and_counted() {
    let (_, configuration, coded) = encode(MONO, &tone(MONO, 200 * 1024, 0, &[0]));
    let mut decoder = SoundDecoder::open(&Device::open(), &configuration, 44_100).unwrap();
    let mut remixer = Remixer::new(STEREO).unwrap();
    let mut planes = vec![Vec::new(); 2];
    let mut random = 1u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 16
    };
    for (index, frame) in coded.iter().enumerate() {
        let mut data = frame.data.clone();
        match index % 8 {
            2 => data.clear(),
            3 => data.truncate(data.len() / 3),
            4 => data.iter_mut().for_each(|byte| *byte = next().to_le_bytes()[0]),
            5 => data[next() as usize % 4] ^= 1 << (next() % 8),
            6 => data = vec![0xff; 60_000],
            _ => {}
        }
        let samples = decoder.decode(&data).unwrap();
        assert!((1..=8192).contains(&samples.count()));
        remixer.convert(&samples, &mut planes).unwrap();
    }
    remixer.flush(&mut planes).unwrap();
    assert!(decoder.errors() > 75, "{}", decoder.errors());
    assert!(planes.iter().flatten().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
    assert!(level(&planes[0], 0) > LEVEL / 4.0, "frames between are heard");
}

#[test]
fn what_cannot_be_opened_is_said() {
    let device = Device::open();
    let refused = |result: Result<SoundDecoder, SoundError>| result.err().expect("refused").to_string();
    for record in [&[][..], &[0xff; 40], &[0x08]] {
        assert!(refused(SoundDecoder::open(&device, record, 48_000)).contains("does not open"));
    }
    let none = SoundFormat { sample_rate: 48_000, channel_configuration: 7 };
    assert!(matches!(Remixer::new(none), Err(SoundError::Layout(7))));
    let odd = SoundFormat { sample_rate: 47_999, channel_configuration: 2 };
    let fault = SoundEncoder::open(&device, odd, 128_000).err().expect("refused");
    assert!(fault.to_string().contains("47999 Hz"), "{fault}");
    let mut encoder = SoundEncoder::open(&device, STEREO, 128_000).unwrap();
    assert!(matches!(encoder.send(&[vec![0.0; 1024]]), Err(SoundError::Planes { planes: 1, .. })));
    assert!(matches!(
        encoder.send(&[vec![0.0; 1024], vec![0.0; 9]]),
        Err(SoundError::Planes { samples: 9, .. })
    ));
}
