//! What a publisher hands over, free of RTMP and FLV.

use bytes::Bytes;
use media::probe::Hints;
use media::{SourceStamp, Track, VideoCodec};

/// One thing that a publisher sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What the encoder says of its stream (`onMetaData`). Hints, not to be trusted.
    Hints(Hints),
    /// A video configuration record: `avcC`, `hvcC` or `av1C`.
    VideoConfiguration {
        /// The coding format.
        codec: VideoCodec,
        /// The record.
        record: Bytes,
    },
    /// A coded picture.
    Video {
        /// The source's own times.
        stamp: SourceStamp,
        /// Whether decoding can start here, as the container has it.
        key: bool,
        /// Length-prefixed NAL units, or a temporal unit of OBUs.
        payload: Bytes,
    },
    /// An `AudioSpecificConfig`.
    AudioConfiguration(Bytes),
    /// A raw AAC frame.
    Audio {
        /// The source's own times.
        stamp: SourceStamp,
        /// The frame.
        payload: Bytes,
    },
    /// Media in a format that is not taken, by its name.
    Unsupported {
        /// Pictures or sound.
        track: Track,
        /// `VP6`, `MP3`, or what the encoder calls it.
        codec: String,
    },
}

impl Input {
    /// Bytes of media or of a record in it.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::VideoConfiguration { record, .. } | Self::AudioConfiguration(record) => record.len(),
            Self::Video { payload, .. } | Self::Audio { payload, .. } => payload.len(),
            Self::Hints(_) | Self::Unsupported { .. } => 0,
        }
    }
}
