//! What a manifest is written from: the tracks of a presentation and the segments that are listed.

use std::time::Duration;

use media::{FrameRate, MediaTime, SegmentNumber, Size};

/// A presentation as a viewer may see it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The feed's display name.
    pub title: String,
    /// `MPD@availabilityStartTime`: wall time of presentation time zero, in milliseconds since 1970. Set once.
    pub availability_start_unix_millis: u64,
    /// When this state was reached, likewise: `MPD@publishTime`.
    pub published_unix_millis: u64,
    /// Whether more segments will come: `dynamic`, or `static` with `EXT-X-ENDLIST`.
    pub live: bool,
    /// Nominal segment length.
    pub segment_duration: Duration,
    /// How far back a viewer may seek while live: `timeShiftBufferDepth`.
    pub time_shift: Duration,
    /// Where `UTCTiming` points: an absolute path or URL.
    pub time_url: String,
    /// What stands before media paths in the manifests: empty, or `20261121T031500Z/`.
    pub media_base: String,
    /// Video rungs, best first, then audio.
    pub tracks: Vec<WindowTrack>,
}

/// One track of a window. All tracks list the same segment numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowTrack {
    /// Its name in URLs: the rung's, or `audio`.
    pub name: String,
    /// RFC 6381 codecs string, from the actual parameter sets.
    pub codecs: String,
    /// Highest bit rate of any one segment so far, in bits per second, at least the configured one.
    pub peak_bit_rate: u64,
    /// Mean bit rate so far, in bits per second.
    pub mean_bit_rate: u64,
    /// Ticks per second of the times below.
    pub timescale: media::Timescale,
    /// What only video or only audio has.
    pub kind: WindowTrackKind,
    /// The segments listed, consecutive, oldest first.
    pub segments: Vec<WindowSegment>,
}

/// What only video or only audio has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowTrackKind {
    /// A rung.
    Video {
        /// Picture size; square samples.
        size: Size,
        /// Frames a second of this rung.
        frame_rate: FrameRate,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        sample_rate: u32,
        /// Speakers.
        channels: u8,
    },
}

/// One listed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSegment {
    /// Its number.
    pub number: SegmentNumber,
    /// Its `tfdt`, which is also its earliest presentation time.
    pub start: MediaTime,
    /// Its length.
    pub duration: MediaTime,
    /// Its size in bytes.
    pub bytes: u64,
}

#[cfg(test)]
pub(crate) mod sample;
