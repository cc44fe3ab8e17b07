//! What parameter sets say of a feed.

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
