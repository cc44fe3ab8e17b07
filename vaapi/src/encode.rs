//! Pictures in, H.264 or HEVC access units out.

use crate::caps::{EntryPoint, RateMode};
use crate::device::{Codec, Device};
use crate::error::CallError;
use crate::frame::{Frame, Size};

/// An encoder that cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The device encodes no such pictures.
    #[error("this device encodes no {}", .0.name())]
    Unsupported(Codec),
    /// The picture size is not one the device takes.
    #[error("pictures of {size} cannot be encoded: sides are even, at least 16 and at most {most}")]
    Size {
        /// What was asked for.
        size: Size,
        /// What the device takes.
        most: Size,
    },
    /// A profile that does not exist, or that the device does not have.
    #[error("profile {profile:?} of {} is not one that this device encodes", codec.name())]
    Profile {
        /// The coding format.
        codec: Codec,
        /// What was asked for.
        profile: String,
    },
    /// The rate of frames is not one.
    #[error("frame rate {0}/{1} is none")]
    FrameRate(u32, u32),
    /// No rate control of the driver will do.
    #[error("the driver has none of the rate controls CBR, VBR, QVBR and CQP for {}", .0.name())]
    RateControl(Codec),
    /// The driver refuses the encoder.
    #[error("no {} encoder for {size} through {}", codec.name(), entry_point.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Picture size.
        size: Size,
        /// Which way through the hardware.
        entry_point: EntryPoint,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// A picture of another size or form.
    #[error("picture of {got} with {bit_depth} bits given to an encoder of {size} with 8")]
    FrameSize {
        /// Size of the picture.
        got: Size,
        /// Bits of a sample.
        bit_depth: u8,
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
        source: CallError,
    },
    /// What the driver put out is not what was asked for.
    #[error("the driver put out {what}")]
    Output {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The bit rate of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateControl {
    /// Mean, in bits per second.
    pub bit_rate: u32,
    /// Highest over the VBV buffer, in bits per second. The same as the mean asks for a constant rate.
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
    /// Profile: `baseline`, `main` or `high` for H.264, `main` for HEVC.
    pub profile: String,
    /// Which way through the hardware, where there is a choice.
    pub entry_point: EntryPoint,
    /// Quality from 0, the fastest, to 100, the best: mapped onto the driver's levels.
    pub quality: u8,
    /// Whether each picture is to come out as soon as it is coded, rather than to keep the device busy.
    pub low_latency: bool,
}

/// What a picture is to be coded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An IDR picture, with which a segment can begin.
    Idr,
    /// Whatever the encoder thinks best, though no key frame.
    Any,
}

/// One coded picture: NAL units with 4-byte lengths, without parameter sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// What [`Encoder::send`] was given for it.
    pub tag: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// The NAL units.
    pub data: Vec<u8>,
}

/// Encodes one rung.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Encoder {
    config: EncoderConfig,
    configuration: Vec<u8>,
    rate_mode: RateMode,
    entry_point: EntryPoint,
}

impl Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// Where the device does not encode such pictures, or its driver refuses.
    pub fn open(device: &Device, config: &EncoderConfig) -> Result<Self, EncodeError> {
        let caps = device.caps().encoder(config.codec, 8, config.entry_point);
        let caps = caps.ok_or(EncodeError::Unsupported(config.codec))?;
        let rate_mode = *caps.rate_modes.first().ok_or(EncodeError::RateControl(config.codec))?;
        Ok(Self {
            config: config.clone(),
            configuration: Vec::new(),
            rate_mode,
            entry_point: caps.entry_point,
        })
    }

    /// The `AVCDecoderConfigurationRecord` or `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15) of all that it puts
    /// out: a function of the configuration and the device.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// What it was opened with, and the bit rate it has now.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The rate control in use.
    #[must_use]
    pub const fn rate_mode(&self) -> RateMode {
        self.rate_mode
    }

    /// The way through the hardware in use.
    #[must_use]
    pub const fn entry_point(&self) -> EntryPoint {
        self.entry_point
    }

    /// Encodes the next picture of the constant rate. `tag` comes out with it; any value will do.
    ///
    /// # Errors
    /// Where the picture's size is not the encoder's, or the device fails.
    pub fn send(&mut self, frame: &Frame, tag: u64, kind: FrameKind) -> Result<(), EncodeError> {
        let _ = (frame, tag, kind);
        Err(EncodeError::Unsupported(self.config.codec))
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {}

    /// The next coded picture in decoding order; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn receive(&mut self) -> Result<Option<Coded>, EncodeError> {
        Ok(None)
    }

    /// Changes the bit rate from the next picture on. The parameter sets stay.
    ///
    /// # Errors
    /// None now; the driver answers with the next picture.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<(), EncodeError> {
        self.config.rate = rate;
        Ok(())
    }
}
