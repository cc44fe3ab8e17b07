//! Which grid frames a decoded picture is put out as.
//!
//! Source stamps are milliseconds, so pictures jitter around the grid, and the source's clock is never quite the
//! grid's. A picture takes the frame that is due as long as it stands within three quarters of a frame, not only when that
//! is the nearest: after a slip the error is a quarter of a frame on the other side, and jitter must make up half a
//! frame to slip back. So a drop and a repeat never chase each other.

use std::ops::Range;

use crate::{Cadence, MediaTime};

/// Quarters of a frame that a picture may be away from the frame that is due and still take it.
const DUE_QUARTERS: i128 = 3;
/// Longest stretch filled at once, in seconds: a bound on what one call can ask of the encoders. The daemon fills for
/// a silent source long before.
pub const MAX_FILL_SECONDS: u64 = 10;
/// Pictures beyond [`MAX_FILL_SECONDS`], one after the other, before they are believed.
const BEYOND_BELIEVED: u32 = 8;

/// What to put out for one picture: first the repeats, then the picture itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// Grid frames that show the picture before this one.
    pub repeat_previous: Range<u64>,
    /// The grid frame that shows this one; none where it is dropped.
    pub this: Option<u64>,
}

/// Running totals of a [`FramePicker`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PickerCounters {
    /// Grid frames that repeat the picture before them.
    pub repeated: u64,
    /// Pictures dropped because their grid frame was out already.
    pub dropped: u64,
    /// Pictures dropped because they stand more than [`MAX_FILL_SECONDS`] ahead.
    pub beyond: u64,
}

/// Puts pictures on the grid: every grid frame from the first on comes out exactly once, in order.
///
/// Calling contract: give pictures in display order to [`Self::picture`], and [`Self::fill_to`] where the source is
/// silent; put out what either says before the next call. [`Self::next_frame`] is the first frame still open.
#[derive(Debug, Clone)]
pub struct FramePicker {
    cadence: Cadence,
    next: u64,
    /// Frames from one picture to the next, as of the last.
    step: u64,
    beyond_in_a_row: u32,
    counters: PickerCounters,
}

impl FramePicker {
    /// A picker whose first grid frame is `first_frame`.
    #[must_use]
    pub const fn new(cadence: Cadence, first_frame: u64) -> Self {
        let counters = PickerCounters { repeated: 0, dropped: 0, beyond: 0 };
        Self { cadence, next: first_frame, step: 1, beyond_in_a_row: 0, counters }
    }

    /// The first grid frame that is not out yet.
    #[must_use]
    pub const fn next_frame(&self) -> u64 {
        self.next
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> PickerCounters {
        self.counters
    }

    /// Where the picture that is shown at `pts` goes.
    pub fn picture(&mut self, pts: MediaTime) -> Pick {
        let Some(frame) = self.frame_for(pts) else {
            self.counters.dropped += 1;
            return Pick { repeat_previous: self.next..self.next, this: None };
        };
        let most = self.max_fill();
        if frame - self.next > most {
            self.counters.beyond += 1;
            self.beyond_in_a_row += 1;
            // One wild stamp must not push the timeline ahead; a run of them says that this is where the source is.
            let believed = self.beyond_in_a_row > BEYOND_BELIEVED;
            let to = if believed { self.next.saturating_add(most) } else { self.next };
            return Pick { repeat_previous: self.repeat_to(to), this: None };
        }
        self.beyond_in_a_row = 0;
        let since_last = frame - self.next + 1;
        let repeat_previous = self.repeat_to(frame);
        self.next = frame.saturating_add(1);
        self.step = since_last;
        Pick { repeat_previous, this: Some(frame) }
    }

    /// The frames to put out, repeating the picture before, so that every grid frame before `frame` is out. Where that
    /// is over [`MAX_FILL_SECONDS`] it is only the first part; call again until it is empty.
    pub fn fill_to(&mut self, frame: u64) -> Range<u64> {
        self.step = 1;
        self.repeat_to(frame.min(self.next.saturating_add(self.max_fill())))
    }

    fn repeat_to(&mut self, frame: u64) -> Range<u64> {
        let range = self.next..frame.max(self.next);
        self.next = range.end;
        self.counters.repeated += range.end - range.start;
        range
    }

    fn max_fill(&self) -> u64 {
        let rate = self.cadence.frame_rate();
        (MAX_FILL_SECONDS * u64::from(rate.numerator())).div_ceil(u64::from(rate.denominator())).max(1)
    }

    fn frame_for(&self, pts: MediaTime) -> Option<u64> {
        let rate = self.cadence.frame_rate();
        let at = i128::from(pts.ticks()) * i128::from(rate.numerator());
        let per_frame = i128::from(rate.denominator()) * i128::from(pts.scale().get());
        let away = |frame: u64| (at - i128::from(frame) * per_frame).abs();
        if 4 * away(self.next) <= DUE_QUARTERS * per_frame {
            return Some(self.next);
        }
        // A source at a half or a third of the grid's rate keeps its step likewise, with less patience, since other
        // patterns (24 on 30) change it all the time.
        let stepped = self.next.saturating_add(self.step - 1);
        if self.step > 1 && 5 * away(stepped) <= 3 * per_frame {
            return Some(stepped);
        }
        let nearest = (2 * at + per_frame).div_euclid(2 * per_frame);
        if nearest < i128::from(self.next) {
            return None;
        }
        Some(u64::try_from(nearest).unwrap_or(u64::MAX - 1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::FrameRate;

    fn picker(n: u32, d: u32) -> FramePicker {
        let rate = FrameRate::new(n, d).unwrap();
        FramePicker::new(Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(500)), 0)
    }

    /// Pictures of `n/d` a second, offset by `phase_micros`, their clock `ppm` fast, stamped in milliseconds.
    fn run(
        picker: &mut FramePicker,
        n: u64,
        d: u64,
        count: u64,
        phase_micros: u64,
        ppm: i64,
        jitter: &[i64],
    ) {
        for k in 0..count {
            let micros = k * d * 1_000_000 / n + phase_micros;
            let micros = micros.checked_add_signed(micros.cast_signed() * ppm / 1_000_000).unwrap();
            let wobble = jitter[usize::try_from(k).unwrap() % jitter.len()];
            picker.picture(MediaTime::from_millis(i64::try_from(micros / 1000).unwrap() + wobble));
        }
    }

    #[test]
    fn millisecond_stamps_neither_drop_nor_repeat() {
        let jitter = [0, 2, -3, 1, 3, -2, -1];
        for (n, d) in [(25, 1), (30_000, 1001), (60_000, 1001), (24_000, 1001), (50, 1), (60, 1)] {
            for phase in [0, 2_000, 5_000, 8_000] {
                let mut picker = picker(n, d);
                run(&mut picker, u64::from(n), u64::from(d), 10_000, phase, 0, &jitter);
                let PickerCounters { repeated, dropped, beyond } = picker.counters();
                assert_eq!((repeated, dropped, beyond), (0, 0, 0), "{n}/{d} at {phase} us");
            }
        }
    }

    #[test]
    fn a_drifting_clock_slips_one_way_only() {
        // 100 ppm over 10 minutes is 60 ms: three or four frames of 59.94.
        for (ppm, slips) in [(100, 3..=4), (-100, 3..=4)] {
            let mut picker = picker(60_000, 1001);
            run(&mut picker, 60_000, 1001, 36_000, 0, ppm, &[0, 3, -3, 1, -2]);
            let PickerCounters { repeated, dropped, .. } = picker.counters();
            let (one, other) = if ppm > 0 { (repeated, dropped) } else { (dropped, repeated) };
            assert!(slips.contains(&one), "{ppm} ppm: {one} slips");
            assert_eq!(other, 0, "{ppm} ppm");
        }
    }

    #[test]
    fn other_rates_are_evenly_repeated_and_dropped() {
        let mut half = picker(50, 1);
        run(&mut half, 25, 1, 1000, 0, 0, &[0, 1, -1]);
        assert_eq!((half.counters().repeated, half.counters().dropped), (999, 0));
        let mut double = picker(25, 1);
        run(&mut double, 50, 1, 1000, 0, 0, &[0, 1, -1]);
        assert_eq!((double.counters().repeated, double.counters().dropped), (0, 500 - 1));
        let mut film = picker(30, 1);
        run(&mut film, 24, 1, 2400, 0, 0, &[0]);
        assert!((598..=600).contains(&film.counters().repeated), "{}", film.counters().repeated);
        assert_eq!(film.counters().dropped, 0);
    }

    #[test]
    fn fills_and_drops_what_comes_for_filled_frames() {
        let mut picker = picker(25, 1);
        assert_eq!(picker.picture(MediaTime::ZERO).this, Some(0));
        assert_eq!(picker.fill_to(10), 1..10);
        assert_eq!(picker.picture(MediaTime::from_millis(200)).this, None);
        assert_eq!(picker.picture(MediaTime::from_millis(400)).this, Some(10));
        assert_eq!(
            picker.picture(MediaTime::from_millis(600)),
            Pick { repeat_previous: 11..15, this: Some(15) }
        );
    }

    #[test]
    fn one_wild_stamp_moves_nothing_and_a_run_of_them_does() {
        let mut picker = picker(25, 1);
        picker.picture(MediaTime::ZERO);
        let wild = MediaTime::new(i64::MAX, crate::Timescale::MILLIS);
        assert_eq!(picker.picture(wild), Pick { repeat_previous: 1..1, this: None });
        assert_eq!(picker.picture(MediaTime::from_millis(40)).this, Some(1));
        let moved =
            (0..=BEYOND_BELIEVED).map(|_| picker.picture(MediaTime::from_millis(60_000))).last().unwrap();
        assert_eq!(moved, Pick { repeat_previous: 2..252, this: None });
    }

    proptest! {
        #[test]
        fn every_frame_comes_once_in_order(
            first in 0u64..1_000_000,
            inputs in prop::collection::vec((any::<bool>(), any::<i64>(), -2000i64..30_000), 0..200),
            rate in 0usize..4,
        ) {
            let (n, d) = [(25, 1), (30_000, 1001), (60_000, 1001), (1, 10)][rate];
            let mut picker = picker(n, d);
            picker.next = first;
            let mut due = first;
            let mut millis = picker.cadence.time_of(first).ticks() / 90;
            for (fill, wild, step) in inputs {
                let before = due;
                let range = if fill {
                    picker.fill_to(due.saturating_add_signed(step))
                } else {
                    millis = if wild % 50 == 0 { wild } else { millis.saturating_add(step) };
                    let pick = picker.picture(MediaTime::from_millis(millis));
                    if let Some(this) = pick.this {
                        prop_assert_eq!(this, pick.repeat_previous.end);
                        due = this + 1;
                    }
                    pick.repeat_previous
                };
                prop_assert_eq!(range.start, before);
                prop_assert!(range.end - range.start <= picker.max_fill());
                due = due.max(range.end);
                prop_assert_eq!(picker.next_frame(), due);
            }
        }
    }
}
