//! Pictures in the device's memory in, access units out: NVENC.

use std::fmt;
use std::time::Duration;

use crate::caps::EncodeCaps;
use crate::device::{Codec, Device};
use crate::error::{CudaError, NvencError};
use crate::frame::{Frame, Size};

pub use crate::ffi::nvenc::LoadError;

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
    /// Whether [`Encoder::receive`] waits for the picture just sent, which then comes out before the next one is sent.
    /// Without it pictures are encoded while others are being sent, and come out with a later one.
    pub low_latency: bool,
    /// How long the device may take for a picture before it is held to be stuck.
    pub patience: Duration,
}

/// How a picture is to be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// As the encoder sees fit, but not as an IDR picture.
    Any,
    /// As an IDR picture (a key frame, in AV1).
    Idr,
}

/// One coded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// What [`Encoder::send`] was given for it.
    pub tag: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// NAL units with lengths of 4 bytes, without parameter sets and delimiters; a temporal unit of OBUs for AV1.
    pub data: Vec<u8>,
}

/// An encoder that cannot be opened or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The library cannot be used.
    #[error("no encoding on this machine")]
    Load(#[from] LoadError),
    /// The device has no encoder.
    #[error("the device has no video encoder; it can only decode")]
    NoEncoder,
    /// The driver's limit of sessions is reached, or there is no memory for one more.
    #[error("no further encode session: the driver's limit is reached ({source})")]
    SessionCap {
        /// What the driver says.
        source: NvencError,
    },
    /// No session opens.
    #[error("no encode session opens")]
    Session(#[source] NvencError),
    /// The device has no encoder for the format.
    #[error("the device has no encoder for {0}")]
    Missing(Codec),
    /// A size that the device does not encode.
    #[error("the device encodes {codec} from {min} to {max}, not {size}")]
    Size {
        /// The coding format.
        codec: Codec,
        /// The size asked for.
        size: Size,
        /// Smallest.
        min: Size,
        /// Largest.
        max: Size,
    },
    /// The settings are refused.
    #[error("{codec} encoder does not open for {size}, preset {}", preset.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Picture size.
        size: Size,
        /// Preset.
        preset: Preset,
        /// What the driver says.
        #[source]
        source: NvencError,
    },
    /// A picture of another size.
    #[error("picture of {got} given to an encoder of {size}")]
    FrameSize {
        /// Size of the picture.
        got: Size,
        /// Size of the encoder.
        size: Size,
    },
    /// Encoding fails.
    #[error("encoding a picture of {size}")]
    Encode {
        /// Picture size.
        size: Size,
        /// What the driver says.
        #[source]
        source: NvencError,
    },
    /// The device fails.
    #[error("a picture for the encoder")]
    Device(#[source] CudaError),
}

/// Encodes one rung.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Encoder {
    config: EncoderConfig,
    configuration: Vec<u8>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} {})", self.config.codec, self.config.size)
    }
}

pub(crate) fn caps(_device: &Device) -> Result<Vec<EncodeCaps>, EncodeError> {
    crate::device::nvenc()?;
    Err(EncodeError::NoEncoder)
}

impl Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// Where the device has no encoder, none for the format or the size, or no session more.
    pub fn open(_device: &Device, _config: &EncoderConfig) -> Result<Self, EncodeError> {
        crate::device::nvenc()?;
        Err(EncodeError::NoEncoder)
    }

    /// The `avcC`, `hvcC` or `av1C` record (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1; AV1-ISOBMFF 2.3) of all that it puts
    /// out.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// What it was opened with, and the bit rate it has now.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Encodes the next picture of the constant rate. `tag` comes out with it; any value will do. Waits until the
    /// picture is there, if it is still being made.
    ///
    /// # Errors
    /// Where the picture's size is not the encoder's, or the device fails.
    pub fn send(&mut self, frame: &Frame, _tag: u64, _kind: FrameKind) -> Result<(), EncodeError> {
        Err(EncodeError::FrameSize { got: frame.size(), size: self.config.size })
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {}

    /// The next coded picture in decoding order; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device fails, or takes longer than it was given.
    pub fn receive(&mut self) -> Result<Option<Coded>, EncodeError> {
        Ok(None)
    }

    /// Changes the bit rate from the next picture on. The parameter sets stay.
    ///
    /// # Errors
    /// Where the device refuses it.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<(), EncodeError> {
        self.config.rate = rate;
        Ok(())
    }
}
