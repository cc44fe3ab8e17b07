//! Which sample belongs to which chunk and segment.
//!
//! Everything is decided by the [`Cadence`] and a sample's own number: two segmenters, started at different segments
//! on different machines, cut the same way.

use bytes::Bytes;
use media::{Cadence, MediaTime, SegmentNumber};

use crate::cmaf::{Chunk, CmafError};

mod audio;
mod decode_times;
#[cfg(test)]
mod tests;
mod video;

pub use audio::{AudioGrid, AudioSegmenter};
pub use video::VideoSegmenter;

/// One coded picture, as an encoder gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The grid frame it shows.
    pub frame: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// Length-prefixed NAL units, without parameter sets.
    pub payload: Bytes,
}

/// What comes out of a segmenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packaged {
    /// The next chunk of a segment.
    Chunk {
        /// The segment it belongs to.
        segment: SegmentNumber,
        /// The chunk.
        chunk: Chunk,
    },
    /// A segment is whole: all of its chunks have come out.
    SegmentEnd {
        /// Its number.
        segment: SegmentNumber,
        /// Its `tfdt`, which is also its earliest presentation time.
        start: MediaTime,
        /// Its length.
        duration: MediaTime,
    },
}

/// A sample that does not fit; the segmenter is as it was before. Only after [`Self::Ticks`] and [`Self::Write`], which
/// no honest encoder causes, the chunk is lost and the segment cannot become whole.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// A segment has to begin with an IDR picture.
    #[error("frame {frame} begins segment {segment} but is not a key picture")]
    NotKey {
        /// The grid frame.
        frame: u64,
        /// The segment.
        segment: SegmentNumber,
    },
    /// A picture of another segment.
    #[error("frame {frame} is outside of segment {segment}, frames {first} to {last}")]
    Outside {
        /// The grid frame.
        frame: u64,
        /// The segment that is open.
        segment: SegmentNumber,
        /// Its first frame.
        first: u64,
        /// Its last frame.
        last: u64,
    },
    /// A half-rate rung has every second frame only.
    #[error("frame {frame} is odd, and a half-rate rung has even frames of segment {segment} only")]
    OffGrid {
        /// The grid frame.
        frame: u64,
        /// The segment that is open.
        segment: SegmentNumber,
    },
    /// The same picture twice.
    #[error("frame {frame} of segment {segment} has already come")]
    Repeated {
        /// The grid frame.
        frame: u64,
        /// The segment that is open.
        segment: SegmentNumber,
    },
    /// The segment cannot become whole.
    #[error("frame {frame} of segment {segment} has not come")]
    Missing {
        /// The first grid frame that lacks.
        frame: u64,
        /// The segment that is open.
        segment: SegmentNumber,
    },
    /// A picture or audio frame without bytes.
    #[error("frame {frame} of segment {segment} has no bytes")]
    NoBytes {
        /// The grid or audio frame.
        frame: u64,
        /// The segment that is open.
        segment: SegmentNumber,
    },
    /// Audio frames come one after the other.
    #[error("audio frame {frame} has come where {expected} was expected, in segment {segment}")]
    AudioOrder {
        /// Its number.
        frame: u64,
        /// The number of the next one.
        expected: u64,
        /// The segment that is open.
        segment: SegmentNumber,
    },
    /// An audio grid needs a sample rate and samples.
    #[error("audio frames of {samples_per_frame} samples at {sample_rate} Hz make no grid")]
    NoAudioGrid {
        /// Samples a second.
        sample_rate: u32,
        /// Samples in a frame.
        samples_per_frame: u32,
    },
    /// Some segments would be without sound.
    #[error("an audio frame of {frame} is longer than a segment of {segment}")]
    AudioFrameTooLong {
        /// Length of an audio frame.
        frame: MediaTime,
        /// Length of a segment.
        segment: MediaTime,
    },
    /// A sample lasts or waits longer than a chunk can say.
    #[error("frame {frame} has a {what} of {ticks} ticks, more than 32 bits can say")]
    Ticks {
        /// The grid frame.
        frame: u64,
        /// What is too long.
        what: &'static str,
        /// Its length in the track's timescale.
        ticks: i64,
    },
    /// The chunk cannot be written.
    #[error("chunk of segment {segment} cannot be written")]
    Write {
        /// The segment that is open.
        segment: SegmentNumber,
        /// What does not fit.
        #[source]
        source: CmafError,
    },
}

/// How many chunks a segment has at most.
fn chunks_per_segment(cadence: &Cadence) -> u32 {
    cadence.frames_per_segment().div_ceil(cadence.frames_per_chunk())
}

/// `mfhd` of the `chunk`-th chunk of a segment: grows along a track, and is the same after a restart. Wraps after
/// 2³² chunks, as it may (ISO/IEC 14496-12, 8.8.5.1 asks for order within a file).
fn sequence_number(segment: SegmentNumber, chunks_per_segment: u32, chunk: u32) -> u32 {
    let before = segment.0.saturating_sub(1).wrapping_mul(u64::from(chunks_per_segment));
    let number = before.wrapping_add(u64::from(chunk)).wrapping_add(1) & u64::from(u32::MAX);
    u32::try_from(number).unwrap_or(u32::MAX)
}
