//! Coded sound to coded sound: AAC in, samples at another rate in another layout, AAC-LC out.
//!
//! - [`decode`]: [`SoundDecoder`], raw AAC frames in, samples out; a damaged one is silence as long as a frame is;
//! - [`remix`]: [`Remixer`], samples of any rate and layout to those of one track;
//! - [`encode`]: [`SoundEncoder`], samples in, raw AAC-LC frames out.
//!
//! Samples are planes of 32-bit floats, one a channel, from -1 to 1.

pub mod decode;
pub mod encode;
pub mod remix;

use ffmpeg_next::ChannelLayout;

use crate::error::LibraryError;

pub use decode::{Samples, SoundDecoder};
pub use encode::{CodedSound, SAMPLES_PER_FRAME, SoundEncoder};
pub use remix::Remixer;

/// A step that fails. Damaged frames are no error; they are concealed and counted.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// libavcodec is built without it.
    #[error("libavcodec has no AAC {0}")]
    Missing(&'static str),
    /// The decoder refuses the configuration record.
    #[error("AAC decoder does not open with a record of {bytes} bytes")]
    OpenDecoder {
        /// Length of the record.
        bytes: usize,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// The decoder has no memory left.
    #[error("decoding a frame of {bytes} bytes")]
    Decode {
        /// Length of the frame.
        bytes: usize,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// Samples of this form cannot be converted.
    #[error("converting sound of {rate} Hz and {channels} channels")]
    Remix {
        /// Its rate.
        rate: u32,
        /// Its channels.
        channels: u16,
        /// What libswresample says.
        #[source]
        source: LibraryError,
    },
    /// A layout that no encoder is opened for.
    #[error("channelConfiguration {0} is not encoded; 1 to 6 are")]
    Layout(u8),
    /// The encoder refuses the settings.
    #[error(
        "AAC encoder does not open for {rate} Hz, channelConfiguration {channel_configuration}, {bit_rate} bit/s"
    )]
    OpenEncoder {
        /// Samples a second.
        rate: u32,
        /// `channelConfiguration`.
        channel_configuration: u8,
        /// Bits a second.
        bit_rate: u32,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// Planes that are not those of one frame.
    #[error(
        "{planes} planes of {samples} samples given to an encoder of {channels} channels and {SAMPLES_PER_FRAME} samples a frame"
    )]
    Planes {
        /// How many came.
        planes: usize,
        /// The length of the shortest.
        samples: usize,
        /// How many are due.
        channels: usize,
    },
    /// Encoding fails.
    #[error("encoding a frame")]
    Encode(#[source] LibraryError),
}

/// What a track's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundFormat {
    /// Samples a second.
    pub sample_rate: u32,
    /// `channelConfiguration` of ISO/IEC 14496-3, table 1.19: 1 to 6 can be made.
    pub channel_configuration: u8,
}

impl SoundFormat {
    /// The speakers, as libavcodec's encoder has them for the configurations that need no program config element.
    fn layout(self) -> Result<ChannelLayout, SoundError> {
        Ok(match self.channel_configuration {
            1 => ChannelLayout::MONO,
            2 => ChannelLayout::STEREO,
            3 => ChannelLayout::SURROUND,
            4 => ChannelLayout::_4POINT0,
            5 => ChannelLayout::_5POINT0_BACK,
            6 => ChannelLayout::_5POINT1_BACK,
            other => return Err(SoundError::Layout(other)),
        })
    }

    /// How many planes its samples have; none for a configuration that cannot be made.
    #[must_use]
    pub fn channels(self) -> usize {
        match self.channel_configuration {
            channels @ 1..=6 => usize::from(channels),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
