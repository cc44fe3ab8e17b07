//! What a manifest is written from: the tracks of a presentation and the segments that are listed.

use std::time::Duration;

use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};

mod edge;

pub use edge::{LiveEdge, OpenSegment, Part, SegmentParts};

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
    /// How far behind real time viewers are meant to be.
    pub latency: Latency,
    /// How far back a viewer may seek while live: `timeShiftBufferDepth`.
    pub time_shift: Duration,
    /// Where `UTCTiming` points: an absolute path or URL.
    pub time_url: String,
    /// What players are to take for zero: the presentation's own while it is live, and where it was; of a recording whose
    /// beginning is gone, where what is left begins.
    pub origin: MediaTime,
    /// What stands before media paths in the manifests: empty, or `20261121T031500Z/`.
    pub media_base: String,
    /// Video rungs, best first, then audio.
    pub tracks: Vec<WindowTrack>,
}

/// How far behind real time viewers are meant to be. What has ended keeps it: the MPD goes on addressing segments as
/// before, for those who watch it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Latency {
    /// Nothing is announced before it is whole.
    #[default]
    Standard,
    /// The segment being written is announced, chunk by chunk.
    Low {
        /// Nominal length of a chunk; see [`Latency::low`].
        chunk_duration: Duration,
        /// From a picture's coming in to its being shown, as the operator wishes it.
        target_latency: Duration,
    },
}

impl Latency {
    /// Low latency with the chunks of this cadence. Their length is rounded down to a nanosecond, and not to a tick as
    /// [`Cadence::time_of`] does, for the longest chunk to be known from it.
    #[must_use]
    pub fn low(cadence: &Cadence, target_latency: Duration) -> Self {
        let rate = cadence.frame_rate();
        let nanos = u128::from(cadence.frames_per_chunk()) * u128::from(rate.denominator()) * 1_000_000_000
            / u128::from(rate.numerator());
        let chunk_duration = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Self::Low { chunk_duration, target_latency }
    }
}

impl Window {
    /// Segment length in ticks of the video clock, of which it is a whole number ([`Cadence::new`]).
    pub(crate) fn segment_ticks(&self) -> i64 {
        let nanos = i64::try_from(self.segment_duration.as_nanos()).unwrap_or(i64::MAX);
        Timescale::new(1_000_000_000)
            .map_or(0, |scale| MediaTime::new(nanos, scale).ticks_at(Timescale::VIDEO))
    }

    /// Where a segment ends by the cadence, which is where the next one begins.
    pub(crate) fn nominal_end(&self, number: SegmentNumber) -> MediaTime {
        let segments = i64::try_from(number.0).unwrap_or(i64::MAX);
        MediaTime::new(self.segment_ticks().saturating_mul(segments), Timescale::VIDEO)
    }
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
    /// For low latency: the parts of the newest segments, and the one being written. Empty otherwise.
    pub edge: LiveEdge,
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
        /// Whether closed captions (CEA-608 in CEA-708's packets) stand in its pictures.
        captions: bool,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        sample_rate: u32,
        /// Speakers.
        channels: u8,
    },
}

impl WindowTrackKind {
    /// Whether closed captions stand in its pictures.
    #[must_use]
    pub const fn has_captions(&self) -> bool {
        matches!(self, Self::Video { captions: true, .. })
    }
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
