//! What an encoder is opened with.

use std::time::Duration;

use crate::device::Codec;
use crate::frame::Size;

/// How much time is taken for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Fastest.
    P1,
    /// Faster.
    P2,
    /// Fast.
    P3,
    /// Medium.
    P4,
    /// Slow.
    P5,
    /// Slower.
    P6,
    /// Slowest, best.
    P7,
}

impl Preset {
    /// All of them, fastest first.
    pub const ALL: [Self; 7] = [Self::P1, Self::P2, Self::P3, Self::P4, Self::P5, Self::P6, Self::P7];

    /// Its name: `p1` to `p7`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P1 => "p1",
            Self::P2 => "p2",
            Self::P3 => "p3",
            Self::P4 => "p4",
            Self::P5 => "p5",
            Self::P6 => "p6",
            Self::P7 => "p7",
        }
    }

    /// The preset of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }
}

/// What the encoder is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tuning {
    /// Quality; pictures may be reordered.
    HighQuality,
    /// Pictures come out at once.
    LowLatency,
    /// As low latency, with less done for quality.
    UltraLowLatency,
}

/// What a decoder must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// H.264 Baseline.
    Baseline,
    /// H.264 Main, HEVC Main, AV1 Main.
    Main,
    /// H.264 High; the same as Main for others.
    High,
}

impl Profile {
    /// The profile of a name: `baseline`, `main`, `high`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "baseline" => Some(Self::Baseline),
            "main" => Some(Self::Main),
            "high" => Some(Self::High),
            _ => None,
        }
    }
}

/// The bit rate of an encoder. Constant where both rates are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateControl {
    /// Mean, in bits per second.
    pub bit_rate: u32,
    /// Highest over the VBV buffer, in bits per second.
    pub max_bit_rate: u32,
    /// VBV buffer, in bits.
    pub buffer_bits: u32,
}

/// What an encoder is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderConfig {
    /// The coding format.
    pub codec: Codec,
    /// Picture size; even.
    pub size: Size,
    /// Frames a second, as a ratio.
    pub frame_rate: (u32, u32),
    /// Bit rate.
    pub rate: RateControl,
    /// How much time is taken for a picture.
    pub preset: Preset,
    /// What it is tuned for.
    pub tuning: Tuning,
    /// What a decoder must be able to do.
    pub profile: Profile,
    /// B-frames between two others, as far as the device has them; 0 where each picture is to come out at once.
    pub b_frames: u32,
    /// Pictures to look ahead, as far as the device can; each is latency.
    pub lookahead: u32,
    /// Whether [`super::Encoder::receive`] waits for the picture just sent, which then comes out before the next one is sent.
    /// Without it pictures are encoded while others are being sent, and come out with a later one.
    pub low_latency: bool,
    /// Whether the pictures' closed captions are put out, where the format has them (not AV1).
    pub captions: bool,
    /// How long the device may take for a picture before it is held to be stuck.
    pub patience: Duration,
}
