//! What parameter sets say of a feed.
//!
//! The records come from strangers: their length is bounded before anything is read, every read is checked, and
//! nothing is allocated by a number that a record names. [`nal`] looks into the coded units themselves.

mod aac;
mod av1;
mod bits;
pub mod fuzz;
mod h264;
mod hevc;
pub mod nal;
mod sample_aspect;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{FrameRate, Size};

/// A video coding format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264 | ISO/IEC 14496-10.
    H264,
    /// HEVC | ISO/IEC 23008-2.
    Hevc,
    /// AV1.
    Av1,
}

impl VideoCodec {
    /// The name that people know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
        }
    }
}

/// Longest configuration record read: 31 sequence and 255 picture parameter sets of ordinary length fit many times.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Largest side of a coded picture, in pixels: that of HEVC level 6.2 and H.264 level 6.2, rounded up to a power.
pub const MAX_CODED_SIDE: u32 = 16_384;

/// A configuration record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// It is longer than anything honest.
    #[error("{record} of {bytes} bytes is over the bound of {MAX_RECORD_BYTES}")]
    TooLong {
        /// Which record.
        record: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It ends within a field.
    #[error("{record} of {bytes} bytes ends before or within {field}")]
    Truncated {
        /// Which record.
        record: &'static str,
        /// The field, named as in its standard.
        field: &'static str,
        /// The record's length.
        bytes: usize,
    },
    /// It is of another version than 1.
    #[error("{record} is of version {found}, not 1")]
    Version {
        /// Which record.
        record: &'static str,
        /// Its version.
        found: u8,
    },
    /// A field is outside its bound.
    #[error("{field} of {record} is {value}, not {bound}")]
    Value {
        /// Which record.
        record: &'static str,
        /// The field, named as in its standard.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        bound: &'static str,
    },
    /// A field is valid, but what it asks for is not supported.
    #[error("{field} {value} of {record} is not supported; supported: {supported}")]
    Unsupported {
        /// Which record.
        record: &'static str,
        /// The field, named as in its standard.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What is supported.
        supported: &'static str,
    },
    /// What it is there for is not in it.
    #[error("{record} holds no {what}")]
    Missing {
        /// Which record.
        record: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

/// What is known of a video stream from its configuration record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoParams {
    /// The coding format.
    pub codec: VideoCodec,
    /// The configuration record: `avcC`, `hvcC` or `av1C` body (ISO/IEC 14496-15; AV1-ISOBMFF 2.3).
    pub configuration: Bytes,
    /// Coded picture size after cropping.
    pub size: Size,
    /// Sample aspect ratio; `(1, 1)` where unspecified.
    pub sample_aspect_ratio: (u32, u32),
    /// The rate that timing information declares, if it does.
    pub frame_rate: Option<FrameRate>,
    /// Whether pictures may be coded as fields or with interlaced frames.
    pub interlaced: bool,
    /// Bits per luma sample.
    pub bit_depth: u8,
}

impl VideoParams {
    /// Reads the configuration record of `codec`.
    ///
    /// # Errors
    /// Where it is over [`MAX_RECORD_BYTES`], cut short, of another version, or holds a value outside its bound.
    pub fn parse(codec: VideoCodec, configuration: Bytes) -> Result<Self, ParamsError> {
        let record = match codec {
            VideoCodec::H264 => "avcC",
            VideoCodec::Hevc => "hvcC",
            VideoCodec::Av1 => "av1C",
        };
        if configuration.len() > MAX_RECORD_BYTES {
            return Err(ParamsError::TooLong { record, bytes: configuration.len() });
        }
        let StreamParams { size, sample_aspect_ratio, frame_rate, interlaced, bit_depth } = match codec {
            VideoCodec::H264 => h264::parse(&configuration),
            VideoCodec::Hevc => hevc::parse(&configuration),
            VideoCodec::Av1 => av1::parse(&configuration),
        }?;
        Ok(Self { codec, configuration, size, sample_aspect_ratio, frame_rate, interlaced, bit_depth })
    }

    /// Reads an `avcC` body (ISO/IEC 14496-15, 5.3.3.1.2) and the first sequence parameter set in it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_avcc(configuration: Bytes) -> Result<Self, ParamsError> {
        Self::parse(VideoCodec::H264, configuration)
    }

    /// Reads an `hvcC` body (ISO/IEC 14496-15, 8.3.3.1.2) and the first sequence parameter set in it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_hvcc(configuration: Bytes) -> Result<Self, ParamsError> {
        Self::parse(VideoCodec::Hevc, configuration)
    }

    /// Reads an `av1C` body (AV1-ISOBMFF, 2.3.3) and the sequence header in it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_av1c(configuration: Bytes) -> Result<Self, ParamsError> {
        Self::parse(VideoCodec::Av1, configuration)
    }

    /// The size in square pixels: [`Self::size`] stretched across by the sample aspect ratio where samples are wide,
    /// down where they are narrow, so that no line or column is thrown away.
    #[must_use]
    pub fn display_size(&self) -> Size {
        self.size.in_square_pixels(self.sample_aspect_ratio)
    }
}

/// What the parameter sets of any video coding format say.
struct StreamParams {
    size: Size,
    sample_aspect_ratio: (u32, u32),
    frame_rate: Option<FrameRate>,
    interlaced: bool,
    bit_depth: u8,
}

/// A side of the picture after `cut` samples are cropped off it.
fn cropped(record: &'static str, field: &'static str, side: u32, cut: u64) -> Result<u32, ParamsError> {
    let left = u64::from(side).checked_sub(cut).and_then(|left| u32::try_from(left).ok());
    match left {
        Some(left) if left > 0 => Ok(left),
        _ => Err(ParamsError::Value { record, field, value: cut, bound: "less than the picture" }),
    }
}

/// A rate as timing information has it; nothing where it is none that a picture has, such as a time base of 1/1000.
fn declared_rate(numerator: u64, denominator: u64) -> Option<FrameRate> {
    let divisor = gcd(numerator, denominator).max(1);
    let (n, d) = (u32::try_from(numerator / divisor).ok()?, u32::try_from(denominator / divisor).ok()?);
    let exact = FrameRate::new(n, d)?;
    // 2997/100 is meant to be 30000/1001.
    FrameRate::declared(exact.as_f64()).or(Some(exact))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What is known of an AAC stream from its `AudioSpecificConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioParams {
    /// The `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1), as it came.
    pub configuration: Bytes,
    /// The audio object type: 2 for AAC-LC, 5 for HE-AAC, 29 for HE-AAC v2.
    pub object_type: u8,
    /// Samples a second of the core coder, on which frames are counted.
    pub sample_rate: u32,
    /// Speakers; 6 for 5.1.
    pub channels: u8,
    /// `channelConfiguration` of the core coder; 0 where a program config element says it.
    pub channel_configuration: u8,
    /// Samples in a frame of the core coder: 1024 or 960.
    pub samples_per_frame: u32,
}

impl AudioParams {
    /// Reads an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1): AAC-LC, with SBR and parametric stereo signalled
    /// hierarchically or backward-compatibly.
    ///
    /// # Errors
    /// Where it is over [`MAX_RECORD_BYTES`], cut short, or asks for what is not AAC-LC at its core.
    pub fn parse(configuration: Bytes) -> Result<Self, ParamsError> {
        if configuration.len() > MAX_RECORD_BYTES {
            return Err(ParamsError::TooLong { record: "AudioSpecificConfig", bytes: configuration.len() });
        }
        let fields = aac::parse(&configuration)?;
        Ok(Self {
            configuration,
            object_type: fields.object_type,
            sample_rate: fields.sample_rate,
            channels: fields.channels,
            channel_configuration: fields.channel_configuration,
            samples_per_frame: fields.samples_per_frame,
        })
    }

    /// Whether it is AAC-LC, and says of no band replicated beside it.
    #[must_use]
    pub const fn is_aac_lc(&self) -> bool {
        self.object_type == aac::OBJECT_TYPE_AAC_LC
    }

    /// Whether frames of either record decode under the other's. Records of AAC-LC need not be the same for that: some
    /// encoders say besides that there is no SBR.
    #[must_use]
    pub fn decodes_alike(&self, other: &Self) -> bool {
        let plain = |params: &Self| params.is_aac_lc() && params.channel_configuration != 0;
        let said =
            |params: &Self| (params.sample_rate, params.channel_configuration, params.samples_per_frame);
        self.configuration == other.configuration
            || (plain(self) && plain(other) && said(self) == said(other))
    }
}

#[cfg(test)]
mod tests;
