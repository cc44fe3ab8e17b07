//! A variable rate, by each control that drivers have for it: its mean or its quality, its peak and its buffer.

use test_support::rates::{FPS, highest_level, kbits, noise};
use vaapi::{Codec, Device, EncoderConfig, EntryPoint, Frame, FrameKind, RateControl, RateMode, Size};

use crate::annex_b;
use crate::encoding::{config, open};
use crate::pictures::{natural, planes};
use crate::{ARC, on_simulated};

const SIZE: Size = Size { width: 320, height: 180 };
/// Pictures that are easy to code, and pictures behind them that are not: seconds. If these took the peak to their end,
/// all would be half as much again as the mean.
const EASY: usize = 3;
const HARD: usize = 9;
/// Bits a second, and bits of the buffer.
const MEAN: u32 = 300_000;
const PEAK: u32 = 600_000;
const BUFFER: u32 = 240_000;
/// A device whose driver has QVBR, and no VBR.
const NO_VBR: &str = "[[device]]\nmodel = \"intel\"\nvbr = false\n";

/// Sizes of coded pictures, in bits.
fn coded(device: &Device, config: &EncoderConfig, mode: RateMode, pictures: &[Vec<u8>]) -> Vec<usize> {
    let mut encoder = open(device, config);
    assert_eq!(encoder.rate_mode(), mode);
    let mut bits = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        let frame = Frame::from_planes(device, SIZE, planes(picture, SIZE)).unwrap();
        let kind = if number == 0 { FrameKind::Idr } else { FrameKind::Any };
        let tag = u64::try_from(number).unwrap();
        encoder.send(&frame, tag, kind).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
        bits.extend(std::iter::from_fn(|| encoder.receive().unwrap()).map(|picture| picture.data.len() * 8));
    }
    encoder.finish();
    bits.extend(std::iter::from_fn(|| encoder.receive().unwrap()).map(|picture| picture.data.len() * 8));
    assert_eq!(bits.len(), pictures.len());
    bits
}

fn variable(codec: Codec, rate: RateControl) -> EncoderConfig {
    EncoderConfig { rate, entry_point: EntryPoint::Full, low_latency: true, ..config(codec, SIZE) }
}

/// Pictures that are easy to code, and then some that are not, at a mean and a peak: what the peak's buffer holds, how much
/// there is right behind the easy ones, and in the end, which is the mean's where there is one.
fn check_peak(device: &Device, codec: Codec, mode: RateMode) {
    let samples = usize::try_from(SIZE.samples()).unwrap();
    let picture = |number: usize| {
        let luma = if number < EASY * FPS { vec![100; samples] } else { noise(samples, number) };
        [luma, vec![128; samples / 2]].concat()
    };
    let pictures: Vec<_> = (0..(EASY + HARD) * FPS).map(picture).collect();
    let rate = RateControl { bit_rate: MEAN, max_bit_rate: PEAK, buffer_bits: BUFFER };
    let bits = coded(device, &variable(codec, rate), mode, &pictures);
    let level = highest_level(&bits, PEAK);
    println!("{codec:?} {mode:?}: {:?} kbit in each second, {level} bits in the buffer", kbits(&bits));
    let seconds = kbits(&bits);
    let mean_of = |seconds: &[usize]| seconds.iter().sum::<usize>() / seconds.len();
    // What the easy pictures have left over, the first of the others may have.
    let first = mean_of(&seconds[EASY + 1..EASY + 3]);
    assert!((400..660).contains(&first), "{codec:?} {mode:?}: {seconds:?} kbit in each second");
    let end = mean_of(&seconds[EASY + HARD - 3..]);
    let right = if mode == RateMode::Vbr { 240..360 } else { 250..660 };
    assert!(right.contains(&end), "{codec:?} {mode:?}: {seconds:?} kbit in each second, which end so");
    let most = usize::try_from(BUFFER).unwrap() / 20 * 21;
    assert!(level <= most, "{codec:?} {mode:?}: a buffer of {BUFFER} bits holds {level}");
}

#[test]
fn a_variable_rate_keeps_its_peak_and_its_buffer() {
    on_simulated("rates::a_variable_rate_keeps_its_peak_and_its_buffer", ARC, |device| {
        for codec in Codec::ALL {
            check_peak(device, codec, RateMode::Vbr);
        }
    });
}

#[test]
fn without_vbr_a_quality_is_kept_below_the_peak() {
    let test = "rates::without_vbr_a_quality_is_kept_below_the_peak";
    on_simulated(test, NO_VBR, |device| {
        for codec in Codec::ALL {
            check_peak(device, codec, RateMode::Qvbr);
            // More than any quality takes: a mean would be spent, a quality is not exceeded.
            let rate = RateControl { bit_rate: 4_000_000, max_bit_rate: 6_000_000, buffer_bits: 3_000_000 };
            let bits = coded(device, &variable(codec, rate), RateMode::Qvbr, &natural(SIZE, 50));
            let second = kbits(&bits)[1];
            println!("{codec:?}: {second} kbit in the second second");
            assert!(second < 2000, "{codec:?}: {second} kbit a second of 4000");
        }
    });
}
