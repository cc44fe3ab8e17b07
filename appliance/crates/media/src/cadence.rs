//! Where output frames stand and where segments begin.
//!
//! Frame `k` of a presentation stands at `k / fps`; a segment is a whole, even number of frames. Both are a function
//! of the presentation's timeline alone and are decided before encoding, so that every rung, every worker and every
//! restart cuts the same segments.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{FrameRate, MediaTime, Timescale};

/// A half-rate rung's chunks of an odd number of frames have a picture more and a picture less in turn, and no part may be
/// shorter than 85 % of the longest (RFC 8216bis, 4.4.4.9): 12/14 of 13 frames is the first that is not.
const LEAST_ODD_CHUNK: u32 = 13;
/// How much longer or shorter than wished a chunk may be for the sake of dividing its segment, as a fraction.
const FARTHEST: (u128, u128) = (3, 2);

/// The number of a segment in its presentation; the first is 1, as `SegmentTemplate@startNumber` has it by default
/// (ISO/IEC 23009-1, 5.3.9.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The first segment of every presentation.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The grid of one presentation: its frame rate, and how many frames make a segment and a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cadence {
    frame_rate: FrameRate,
    frames_per_segment: u32,
    frames_per_chunk: u32,
}

impl Cadence {
    /// The cadence nearest to the wished lengths: a segment is an even number of frames (so that half-rate rungs share
    /// its boundaries) whose length is a whole number of 90 kHz ticks. A chunk is a whole part of a segment: a length
    /// that divides it, the nearest by proportion. It is even, so that half-rate rungs share these boundaries too, or
    /// long enough that their chunks, a picture more and a picture less in turn, are nearly of one length. A segment
    /// that nothing near divides has chunks of the even length nearest, and a shorter one at its end.
    #[must_use]
    pub fn new(frame_rate: FrameRate, segment: Duration, chunk: Duration) -> Self {
        // fps = n/d; F frames last F * 90000 * d / n ticks, whole when F is a multiple of n / gcd(n, 90000 * d).
        let ticks_of_d = u64::from(Timescale::VIDEO.get()) * u64::from(frame_rate.denominator());
        let n = u64::from(frame_rate.numerator());
        let whole = n / gcd(n, ticks_of_d);
        let step = if whole.is_multiple_of(2) { whole } else { whole * 2 };
        // The multiple of `step` nearest to `length`, rounded once: 12.5 frames are nearer to 12 than to 14.
        let nearest = |length: Duration, step: u64| {
            let nanos = u128::from(frame_rate.denominator()) * 1_000_000_000;
            let twice = 2 * length.as_nanos() * u128::from(frame_rate.numerator()) / nanos;
            let steps = (twice + u128::from(step)) / (2 * u128::from(step));
            u64::try_from(steps.max(1)).unwrap_or(u64::MAX).saturating_mul(step)
        };
        let frames_per_segment = u32::try_from(nearest(segment, step)).unwrap_or(u32::MAX - 1);
        let undivided = || {
            let frames = if nearest(chunk, 1) == 1 { 1 } else { nearest(chunk, 2) };
            u32::try_from(frames).unwrap_or(u32::MAX).min(frames_per_segment)
        };
        let frames_per_chunk = divisor(frame_rate, frames_per_segment, chunk).unwrap_or_else(undivided);
        Self { frame_rate, frames_per_segment, frames_per_chunk }
    }

    /// Frames per second.
    #[must_use]
    pub const fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// Frames in a segment; even.
    #[must_use]
    pub const fn frames_per_segment(&self) -> u32 {
        self.frames_per_segment
    }

    /// Frames in a CMAF chunk; nearly always a divisor of [`Self::frames_per_segment`], else the last is shorter.
    #[must_use]
    pub const fn frames_per_chunk(&self) -> u32 {
        self.frames_per_chunk
    }

    /// The time of frame `k`, in 90 kHz ticks rounded down. Exact at segment boundaries; in between it never drifts,
    /// since it is computed from `k` and not summed.
    #[must_use]
    pub fn time_of(&self, frame: u64) -> MediaTime {
        let ticks = u128::from(frame)
            * u128::from(Timescale::VIDEO.get())
            * u128::from(self.frame_rate.denominator())
            / u128::from(self.frame_rate.numerator());
        MediaTime::new(i64::try_from(ticks).unwrap_or(i64::MAX), Timescale::VIDEO)
    }

    /// The length of one frame at this rate, as wall time.
    #[must_use]
    pub fn frame_duration(&self) -> Duration {
        Duration::from_nanos(
            1_000_000_000 * u64::from(self.frame_rate.denominator()) / u64::from(self.frame_rate.numerator()),
        )
    }

    /// The length of a segment.
    #[must_use]
    pub fn segment_duration(&self) -> MediaTime {
        self.time_of(u64::from(self.frames_per_segment))
    }

    /// The segments that `reach` takes in, the oldest perhaps in part; at least one.
    #[must_use]
    pub fn segments_in(&self, reach: Duration) -> u64 {
        // A file may hold a grid whose segments round to nothing.
        let length = self.segment_duration().to_duration().max(Duration::from_millis(1));
        u64::try_from(reach.as_nanos().div_ceil(length.as_nanos()).max(1)).unwrap_or(u64::MAX)
    }

    /// The frame in force at `time`: the last that stands at or before it. Zero for times before the start.
    #[must_use]
    pub fn frame_at(&self, time: MediaTime) -> u64 {
        self.frames_before(time, false)
    }

    /// The frame that stands nearest to `time`.
    #[must_use]
    pub fn nearest_frame(&self, time: MediaTime) -> u64 {
        self.frames_before(time, true)
    }

    fn frames_before(&self, time: MediaTime, nearest: bool) -> u64 {
        let ticks = i128::from(time.ticks());
        let per_frame = i128::from(self.frame_rate.denominator()) * i128::from(time.scale().get());
        let scaled =
            ticks * i128::from(self.frame_rate.numerator()) + if nearest { per_frame / 2 } else { 0 };
        // Frame times are rounded down to a tick, so a time that is itself a frame's time may lie a fraction below it.
        let frame = u64::try_from(scaled.max(0) / per_frame).unwrap_or(u64::MAX);
        match !nearest && self.time_of(frame.saturating_add(1)) <= time {
            true => frame.saturating_add(1),
            false => frame,
        }
    }

    /// The segment that frame `k` belongs to.
    #[must_use]
    pub fn segment_of(&self, frame: u64) -> SegmentNumber {
        SegmentNumber(frame / u64::from(self.frames_per_segment) + 1)
    }

    /// The first frame of a segment; of the first for number zero.
    #[must_use]
    pub fn first_frame(&self, segment: SegmentNumber) -> u64 {
        segment.0.saturating_sub(1).saturating_mul(u64::from(self.frames_per_segment))
    }

    /// Whether frame `k` begins a segment, and so must be an IDR picture.
    #[must_use]
    pub fn begins_segment(&self, frame: u64) -> bool {
        frame.is_multiple_of(u64::from(self.frames_per_segment))
    }

    /// Where a segment begins.
    #[must_use]
    pub fn segment_start(&self, segment: SegmentNumber) -> MediaTime {
        self.time_of(self.first_frame(segment))
    }
}

/// The chunk length that divides a segment of so many frames and is nearest to `chunk` by proportion; none where that
/// is farther than [`FARTHEST`].
fn divisor(rate: FrameRate, frames_per_segment: u32, chunk: Duration) -> Option<u32> {
    let wished = chunk.as_nanos().max(1);
    // The longer of both over the shorter, as a fraction.
    let proportion = |frames: u32| {
        let nanos = u128::from(frames) * u128::from(rate.denominator()) * 1_000_000_000;
        let length = (nanos / u128::from(rate.numerator())).max(1);
        (length.max(wished), length.min(wished))
    };
    let fits = |frames: &u32| frames.is_multiple_of(2) || *frames == 1 || *frames >= LEAST_ODD_CHUNK;
    let small = (1..).take_while(|d| u64::from(*d) * u64::from(*d) <= u64::from(frames_per_segment));
    let divisors = small
        .filter(|d| frames_per_segment.is_multiple_of(*d))
        .flat_map(|d| [d, frames_per_segment / d])
        .filter(fits);
    let nearer = |a: &u32, b: &u32| {
        let ((a_long, a_short), (b_long, b_short)) = (proportion(*a), proportion(*b));
        a_long.saturating_mul(b_short).cmp(&b_long.saturating_mul(a_short))
    };
    divisors.min_by(nearer).filter(|frames| {
        let (long, short) = proportion(*frames);
        long.saturating_mul(FARTHEST.1) <= short.saturating_mul(FARTHEST.0)
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cadence(n: u32, d: u32) -> Cadence {
        Cadence::new(FrameRate::new(n, d).unwrap(), Duration::from_secs(2), Duration::from_millis(500))
    }

    #[test]
    fn segments_are_even_and_near_the_target() {
        assert_eq!(cadence(30_000, 1001).frames_per_segment(), 60);
        assert_eq!(cadence(30_000, 1001).segment_duration(), MediaTime::new(180_180, Timescale::VIDEO));
        assert_eq!(cadence(25, 1).frames_per_segment(), 50);
        assert_eq!(cadence(24_000, 1001).frames_per_segment(), 48);
        assert_eq!(cadence(60_000, 1001).frames_per_segment(), 120);
    }

    #[test]
    fn a_window_takes_in_its_oldest_segment_in_part() {
        let cadence = Cadence::new(FrameRate::PAL, Duration::from_secs(2), Duration::from_secs(1));
        for (millis, segments) in [(0, 1), (1, 1), (2000, 1), (2001, 2), (60_000, 30)] {
            assert_eq!(cadence.segments_in(Duration::from_millis(millis)), segments, "{millis} ms");
        }
        assert_eq!(cadence.segments_in(Duration::MAX), u64::MAX / 2 + 1);
    }

    #[test]
    fn chunks_divide_their_segment_and_are_near_the_target() {
        let frames = |n, d| cadence(n, d).frames_per_chunk();
        assert_eq!((frames(25, 1), frames(50, 1), frames(15, 1)), (10, 25, 6));
        assert_eq!((frames(24, 1), frames(24_000, 1001)), (12, 12));
        assert_eq!((frames(30, 1), frames(30_000, 1001), frames(60_000, 1001)), (15, 15, 30));
        // 34 frames, which nothing near divides.
        assert_eq!(frames(17, 1), 8);
        let of = |segment, chunk| {
            let (segment, chunk) = (Duration::from_millis(segment), Duration::from_millis(chunk));
            Cadence::new(FrameRate::PAL, segment, chunk).frames_per_chunk()
        };
        // A frame; not five, of which half the rate has 3 and 2 pictures; a segment.
        assert_eq!((of(2000, 40), of(2000, 200), of(2000, 2000)), (1, 6, 50));
        assert_eq!((of(400, 80), of(1000, 500)), (2, 13));
    }

    proptest! {
        #[test]
        fn a_chunk_is_part_of_a_segment(num in 1u32..240, ntsc: bool, segment in 1000u64..10_000, part in 1u64..=100) {
            let rate = if ntsc { FrameRate::new(num * 1000, 1001) } else { FrameRate::new(num, 1) }.unwrap();
            let chunk = Duration::from_millis((segment * part / 100).max(100));
            let cadence = Cadence::new(rate, Duration::from_millis(segment), chunk);
            let (chunk_frames, frames) = (cadence.frames_per_chunk(), cadence.frames_per_segment());
            prop_assert!(chunk_frames >= 1 && chunk_frames <= frames);
            let odd = !chunk_frames.is_multiple_of(2);
            prop_assert!(!odd || chunk_frames == 1 || chunk_frames >= 13);
            if frames.is_multiple_of(chunk_frames) && chunk_frames > 1 {
                let length = cadence.time_of(u64::from(chunk_frames)).to_duration();
                prop_assert!(length <= chunk * 3 / 2 + cadence.frame_duration() && length * 3 / 2 + cadence.frame_duration() >= chunk);
            }
        }

        #[test]
        fn a_frame_stands_in_force_at_its_own_time(k in 0u64..100_000_000, rate in 0usize..5) {
            let cadence = [cadence(25, 1), cadence(30_000, 1001), cadence(60_000, 1001), cadence(24_000, 1001), cadence(17, 1)][rate];
            prop_assert_eq!(cadence.frame_at(cadence.time_of(k)), k);
            prop_assert_eq!(cadence.nearest_frame(cadence.time_of(k)), k);
        }

        #[test]
        fn segments_last_exactly_as_long_as_each_other(n in 1u64..1_000_000, num in 1u32..240, ntsc: bool) {
            let rate = if ntsc { FrameRate::new(num * 1000, 1001) } else { FrameRate::new(num, 1) }.unwrap();
            let cadence = Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(500));
            let length = cadence.segment_start(SegmentNumber(n + 1)).minus(cadence.segment_start(SegmentNumber(n)));
            prop_assert_eq!(length, cadence.segment_duration());
            prop_assert_eq!(cadence.segment_of(cadence.first_frame(SegmentNumber(n))), SegmentNumber(n));
        }
    }
}
