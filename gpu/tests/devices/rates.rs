//! A variable rate: its mean, its peak and its buffer.

use gpu::{Codec, Encoder, Frame, FrameKind, RateControl};
use test_support::rates::{FPS, highest_level, kbits, noise};

use crate::encoding::{codecs, config};
use crate::on_devices;
use crate::pictures::size;

/// Pictures that are easy to code, and pictures behind them that are not: seconds. If these took the peak of a variable rate
/// to their end, all would be half as much again as its mean.
const EASY: usize = 3;
const HARD: usize = 9;
/// As many as show that a constant rate has no peak.
const HARD_AT_A_CONSTANT_RATE: usize = 3;
/// Bits a second, and bits of the buffer.
const MEAN: u32 = 300_000;
const PEAK: u32 = 600_000;
const BUFFER: u32 = 300_000;

/// Sizes of coded pictures, in bits.
fn coded(device: &gpu::Device, codec: Codec, rate: RateControl, hard: usize) -> Vec<usize> {
    let side = size(320, 180);
    let mut config = config(codec, side, rate.bit_rate);
    config.rate = rate;
    let mut encoder = Encoder::open(device, &config).unwrap();
    let mut bits = Vec::new();
    let chroma = vec![128; 160 * 90];
    for number in 0..(EASY + hard) * FPS {
        let luma = if number < EASY * FPS { vec![100; 320 * 180] } else { noise(320 * 180, number) };
        let frame = Frame::from_planes(device, side, [&luma, &chroma, &chroma]).unwrap();
        let kind = if number == 0 { FrameKind::Idr } else { FrameKind::Any };
        encoder.send(&frame, number as u64, kind).unwrap();
        bits.extend(std::iter::from_fn(|| encoder.receive().unwrap()).map(|picture| picture.data.len() * 8));
    }
    encoder.finish();
    bits.extend(std::iter::from_fn(|| encoder.receive().unwrap()).map(|picture| picture.data.len() * 8));
    assert_eq!(bits.len(), (EASY + hard) * FPS);
    bits
}

#[test]
fn a_variable_rate_keeps_its_mean_its_peak_and_its_buffer() {
    on_devices("rates::a_variable_rate_keeps_its_mean_its_peak_and_its_buffer", |device| {
        for codec in codecs(device) {
            let rate = |max_bit_rate, buffer_bits| RateControl { bit_rate: MEAN, max_bit_rate, buffer_bits };
            let variable = coded(device, codec, rate(PEAK, BUFFER), HARD);
            let constant = coded(device, codec, rate(MEAN, BUFFER / 2), HARD_AT_A_CONSTANT_RATE);
            for (bits, rate, buffer) in [(&variable, PEAK, BUFFER), (&constant, MEAN, BUFFER / 2)] {
                let level = highest_level(bits, rate);
                println!("{codec}: {:?} kbit in each second, {level} bits in the buffer", kbits(bits));
                // A part in twenty: devices count headers that are taken away here, and others that are put in.
                let most = buffer as usize / 20 * 21;
                assert!(level <= most, "{codec}: a buffer of {buffer} bits at {rate} a second holds {level}");
            }
            let all: usize = variable.iter().sum();
            let mean = all / (EASY + HARD);
            assert!(mean < MEAN as usize / 5 * 6, "{codec}: {mean} bits a second, and {MEAN} is the mean");
            let (variable, constant) = (kbits(&variable), kbits(&constant));
            let mean_of = |seconds: &[usize]| seconds.iter().sum::<usize>() / seconds.len();
            let constant = mean_of(&constant[EASY + 1..]);
            assert!(constant < 330, "{codec}: {constant} kbit a second, and the rate is constant");
            let end = mean_of(&variable[EASY + HARD - 3..]);
            assert!(
                (240..360).contains(&end),
                "{codec}: {variable:?} kbit in each second, and the mean is {MEAN}"
            );
            if codec == Codec::Av1 && device.info().name.starts_with("Simulated") {
                println!("libaom, in the simulated driver, has no peak: {variable:?} kbit in each second");
                continue;
            }
            // What the easy pictures have left over, the first of the others may have.
            let first = mean_of(&variable[EASY + 1..EASY + 3]);
            assert!(
                (400..630).contains(&first),
                "{codec}: {variable:?} kbit in each second, and the peak is {PEAK}"
            );
        }
    });
}
