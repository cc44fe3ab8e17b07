//! The pictures that are coded: drawn the same everywhere, so that figures of machines can be compared.

use bytes::Bytes;
use media::{Latency, Rung, Size, VideoCodec};
use software::sample::{self, SampleError};

use super::{GOP, frame_rate, rung};
use crate::engine::software::SoftwareEngine;
use crate::engine::{Encode, Engine, EngineError, Planes, Wish};

/// Distinct pictures; they are shown over and over.
const PICTURES: u32 = 12;
/// How far the texture drifts from picture to picture, in samples across.
const DRIFT: u32 = 6;
/// Amplitude of the grain.
const GRAIN: u32 = 5;

/// A coded group of pictures that can be repeated.
pub(super) struct Coded {
    /// `avcC`, `hvcC` or `av1C`.
    pub(super) configuration: Bytes,
    /// Length-prefixed units, or temporal units, in decoding order.
    pub(super) units: Vec<Bytes>,
}

/// Noise that is the same on every run: a 32-bit mix of its argument.
const fn mixed(seed: u32) -> u32 {
    let mut x = seed.wrapping_mul(0x9e37_79b1);
    x ^= x >> 15;
    x = x.wrapping_mul(0x85eb_ca77);
    x ^ x >> 13
}

/// A value of 0 to 255 that changes smoothly over `scale` samples.
fn smooth(x: u32, y: u32, scale: u32, salt: u32) -> u32 {
    let (cell_x, cell_y) = (x / scale, y / scale);
    let (part_x, part_y) = (x % scale, y % scale);
    let corner = |dx: u32, dy: u32| mixed((cell_x + dx) ^ (cell_y + dy).rotate_left(16) ^ salt) & 0xff;
    let across = |dy: u32| corner(0, dy) * (scale - part_x) + corner(1, dy) * part_x;
    (across(0) * (scale - part_y) + across(1) * part_y) / (scale * scale)
}

fn plane(size: Size, shift: u32, salt: u32, grain: u32) -> Vec<u8> {
    let mut samples = Vec::with_capacity(usize::try_from(size.area()).unwrap_or_default());
    for y in 0..size.height {
        for x in 0..size.width {
            let at = x + shift;
            let texture = smooth(at, y, 128, salt) / 2
                + smooth(at, y, 24, salt + 1) / 3
                + smooth(at, y, 6, salt + 2) / 6;
            let noise = mixed(x ^ y.rotate_left(12) ^ (shift + salt).rotate_left(23)) % (2 * grain + 1);
            // Within limited range: 16 to 235.
            let sample = 16 + (texture + noise).min(250) * 219 / 255;
            samples.push(u8::try_from(sample).unwrap_or(235));
        }
    }
    samples
}

/// The pictures.
pub(super) fn drawn(size: Size) -> Vec<Planes> {
    let half = Size { width: size.width / 2, height: size.height / 2 };
    let picture = |index: u32| Planes {
        size,
        samples: [
            plane(size, index * DRIFT, 0, GRAIN),
            plane(half, index * DRIFT / 2, 11, 1),
            plane(half, index * DRIFT / 2, 22, 1),
        ],
    };
    (0..PICTURES).map(picture).collect()
}

/// Pictures that cannot be coded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PicturesError {
    /// In H.264, which everything is coded in.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// In another format.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// The pictures as a camera's encoder would send them.
pub(super) fn coded(codec: VideoCodec, size: Size, drawn: &[Planes]) -> Result<Coded, PicturesError> {
    let engine = &mut SoftwareEngine::open();
    let rung = rung(size, "superfast");
    let frames = drawn.iter().map(|planes| engine.drawn(planes)).collect::<Result<Vec<_>, _>>()?;
    let other = match codec {
        VideoCodec::H264 => return Ok(in_h264(engine, &rung, &frames)?),
        VideoCodec::Hevc => software::Codec::Hevc,
        VideoCodec::Av1 => software::Codec::Av1,
    };
    let count = usize::try_from(GOP).unwrap_or(1);
    let sample = sample::code(other, &frames, count, rung.bit_rate)?;
    let units = sample.units.into_iter().map(Bytes::from).collect();
    Ok(Coded { configuration: sample.configuration.into(), units })
}

fn in_h264<E: Engine>(engine: &mut E, rung: &Rung, frames: &[E::Frame]) -> Result<Coded, EngineError> {
    let mut encoder = engine.encoder(VideoCodec::H264, rung, frame_rate(), 1, Latency::Low)?;
    let mut units = Vec::new();
    for (tag, frame) in (0..GOP).zip(frames.iter().cycle()) {
        encoder.send(frame, tag, Wish { idr: tag == 0, repeated: false })?;
        while let Some(unit) = encoder.receive()? {
            units.push(unit.payload);
        }
    }
    encoder.finish();
    while let Some(unit) = encoder.receive()? {
        units.push(unit.payload);
    }
    Ok(Coded { configuration: encoder.configuration(), units })
}
