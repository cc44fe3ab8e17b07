//! CMAF (ISO/IEC 23000-19): init segments, and chunks of a movie fragment and its samples.
//!
//! Every track is alone in its file, under track identifier 1. Times are on the presentation's timeline, with no edit
//! list: `tfdt` of a segment is exactly where it begins. Composition offsets are signed (`trun` version 1, as brand
//! `cmf2` asks), but the segmenters make none that is negative.

use bytes::Bytes;
use media::{MediaTime, VideoCodec};

mod fragment;
mod init;

pub use fragment::{Fragment, Sample, write_chunk};
pub use init::init_segment;

/// The only track of its file.
const TRACK_ID: u32 = 1;

/// One CMAF chunk, ready to be written out: the smallest thing that a segment is passed on in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Boxes up to and including the `mdat` header, then the samples' payloads as they came, not copied.
    pub parts: Vec<Bytes>,
    /// Its `tfdt`, in the track's timescale.
    pub start: MediaTime,
    /// The sum of its samples' durations, in the track's timescale.
    pub duration: MediaTime,
    /// Whether decoding can start with its first sample.
    pub independent: bool,
    /// Length of all parts together.
    pub bytes: u64,
}

/// What cannot be written as CMAF.
#[derive(Debug, thiserror::Error)]
pub enum CmafError {
    /// The configuration record does not parse.
    #[error("{} configuration record of {bytes} bytes is malformed", codec.name())]
    Configuration {
        /// The coding format.
        codec: VideoCodec,
        /// The record's length.
        bytes: usize,
        /// What the parser met.
        #[source]
        source: mp4_atom::Error,
    },
    /// There is no `AudioSpecificConfig`.
    #[error("audio track has no AudioSpecificConfig")]
    NoAudioConfiguration,
    /// The picture does not fit a sample entry.
    #[error("picture size {size} is over {} in one direction", u16::MAX)]
    PictureSize {
        /// The size.
        size: media::Size,
    },
    /// A value does not fit its field.
    #[error("{field} of {value} does not fit its field in the {container} box")]
    Field {
        /// Box type.
        container: &'static str,
        /// What it is.
        field: &'static str,
        /// Its value.
        value: i128,
    },
    /// A chunk without samples.
    #[error("chunk at {start} has no samples")]
    Empty {
        /// Where it stands.
        start: MediaTime,
    },
    /// The box writer failed.
    #[error("{container} box cannot be written")]
    Write {
        /// Box type.
        container: &'static str,
        /// What the writer met.
        #[source]
        source: mp4_atom::Error,
    },
}
