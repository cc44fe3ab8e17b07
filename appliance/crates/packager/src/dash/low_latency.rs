//! Low latency (DASH-IF CR-Low-Latency-Live; ISO/IEC 23009-1, 5.3.9.5.3 and annex K): the segment being written is to
//! be had as soon as its first chunk is there.
//!
//! A `SegmentTimeline` can only name what is known. Here `@duration` says it all from the start: segment `n` stands at
//! `(n - 1) * duration` and is there at `availabilityStartTime + n * duration - availabilityTimeOffset`, so a player
//! asks for the next one at its time without another look at the MPD. `startNumber` is 1 and stands at presentation
//! time zero as long as the presentation lasts; `timeShiftBufferDepth` alone says how far back there is something.
//!
//! The length of a segment is exact for pictures, and is given on their clock for sound as well, where it need not be
//! a whole number of samples. A segment of sound begins at the first AAC frame that begins in its time: its `tfdt` is up
//! to one frame after what the MPD says (5.3.9.5.3 would allow half a segment), and players go by the `tfdt`.
//!
//! Once ended it is still written so where it begins with segment 1: players that watch it end would trip over another
//! addressing (Shaka Player does, by an exception). Where its beginning is gone, it has to be listed for those who come
//! then.

use std::time::Duration;

use media::{MediaTime, SegmentNumber, Timescale};

use super::schema::{
    Latency as LatencyElement, PlaybackRate, ProducerReferenceTime, SegmentTemplate, ServiceDescription,
};
use super::utc_timing;
use crate::wall_clock::rfc3339;
use crate::window::{Latency, Window, WindowTrack, WindowTrackKind};

/// Of the only `ServiceDescription` and the only `ProducerReferenceTime` of an adaptation set.
const ID: u32 = 0;
/// How fast and slow a player may go to keep its distance: what nobody hears, with pitch kept.
const PLAYBACK_RATE: PlaybackRate = PlaybackRate { max: "1.04", min: "0.96" };
/// How often an MPD is asked for again, in segments. It changes only when the presentation ends.
const UPDATE_SEGMENTS: u32 = 2;
/// What a player holds before it plays, in chunks: one, and one on its way.
const BUFFER_CHUNKS: u32 = 2;
/// How far over the target latency a player may fall before it had better jump than go faster, in segments.
const BEHIND_SEGMENTS: u32 = 2;
/// Samples of the longest AAC frame, in the track's timescale.
const AAC_FRAME: i64 = 1024;

/// A window that is written as low latency.
#[derive(Debug, Clone, Copy)]
pub(super) struct LowLatency<'a> {
    window: &'a Window,
    chunk: Duration,
    target: Duration,
}

impl<'a> LowLatency<'a> {
    /// None where the window is not, or cannot be any more.
    pub(super) fn of(window: &'a Window) -> Option<Self> {
        let Latency::Low { chunk_duration, target_latency } = window.latency else { return None };
        let from_first = |track: &WindowTrack| {
            track.segments.first().is_some_and(|segment| segment.number == SegmentNumber::FIRST)
        };
        let whole = window.live || window.tracks.iter().all(from_first);
        whole.then_some(Self { window, chunk: chunk_duration, target: target_latency })
    }

    /// Where an ended presentation ends: sound may last a part of an AAC frame longer than the last segment's time, and
    /// is cut there, or that part would be one more segment.
    pub(super) fn end(self, end: Duration) -> Duration {
        let last =
            self.window.tracks.iter().filter_map(|track| track.segments.last()).map(|last| last.number);
        last.max().map_or(end, |last| end.min(self.window.nominal_end(last).to_duration()))
    }

    pub(super) fn update_period(self) -> Duration {
        self.window.segment_duration.saturating_mul(UPDATE_SEGMENTS)
    }

    pub(super) fn buffer_time(self) -> Duration {
        self.chunk.saturating_mul(BUFFER_CHUNKS).min(self.window.segment_duration)
    }

    /// How far behind to be, and nothing else says it: there is no `suggestedPresentationDelay`. dash.js and ExoPlayer pass
    /// over that where there is a service description, and Shaka Player 5.2 adds it: it takes the distance that `target`
    /// asks for from the end of what can be sought to, which lies the suggested delay before what can be fetched
    /// (`onTimeUpdate_` in its `player.js`, `getSeekRangeEnd` in its `presentation_timeline.js`). With both it plays slow
    /// until it is twice as far behind.
    pub(super) fn service_description(self) -> Option<ServiceDescription> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let behind = self.window.segment_duration.saturating_mul(BEHIND_SEGMENTS);
        self.window.live.then(|| ServiceDescription {
            id: ID,
            latency: LatencyElement {
                reference_id: ID,
                target: millis(self.target),
                max: millis(self.target.saturating_add(behind)),
                // Nearer than a chunk there is nothing.
                min: millis((self.target / 2).max(self.chunk).min(self.target)),
            },
            playback_rate: PLAYBACK_RATE,
        })
    }

    /// What the `prft` in the chunks say, once: wall time goes with presentation time from their zeros on. `captured`
    /// goes with their flags (ISO/IEC 14496-12, 8.16.5: a consistent, small offset from the real time of what is seen),
    /// since it is when pictures come in, not when they leave the encoder.
    pub(super) fn producer_reference_time(self) -> Option<ProducerReferenceTime> {
        self.window.live.then(|| ProducerReferenceTime {
            id: ID,
            inband: true,
            kind: "captured",
            wall_clock_time: rfc3339(self.window.availability_start_unix_millis),
            presentation_time: 0,
            utc_timing: utc_timing(self.window),
        })
    }

    pub(super) fn template(
        self,
        track: &WindowTrack,
        initialization: String,
        media: String,
    ) -> SegmentTemplate {
        let live = self.window.live;
        SegmentTemplate {
            timescale: Timescale::VIDEO.get(),
            initialization,
            media,
            start_number: 1,
            duration: u64::try_from(self.window.segment_ticks()).ok(),
            presentation_time_offset: None,
            availability_time_offset: live.then(|| seconds_down(self.availability_time_offset(track))),
            availability_time_complete: live.then_some(false),
            timeline: None,
        }
    }

    /// How long before its end a segment can be asked for: once its first chunk is there. A chunk of sound holds the
    /// frames that begin in its time, and so may end a frame later.
    fn availability_time_offset(self, track: &WindowTrack) -> Duration {
        let over = match track.kind {
            WindowTrackKind::Video { .. } => Duration::ZERO,
            WindowTrackKind::Audio { .. } => MediaTime::new(AAC_FRAME, track.timescale).to_duration(),
        };
        self.window.segment_duration.saturating_sub(self.chunk).saturating_sub(over)
    }
}

/// `xs:double`, in milliseconds rounded down: nothing is promised before its time.
fn seconds_down(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}
