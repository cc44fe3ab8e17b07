//! What the timeline says of the units it placed.

use std::time::Duration;

use crate::MediaTime;

/// Why the offset was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The stamps jumped forward.
    Forward,
    /// The stamps jumped backward.
    Backward,
    /// The source stayed late.
    Late,
    /// A track's first stamp has nothing to do with the other track's.
    Apart,
}

/// Something an operator may want to know of a unit's stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelineEvent {
    /// The track's offset was changed, so that it goes on at the time that was due.
    Reanchored {
        /// Why.
        cause: Cause,
        /// How far the stamps were from where they were due, in milliseconds.
        off_by_millis: i64,
    },
    /// The track follows the other's new offset.
    Followed,
    /// The source paused for this long, in stamps and in wall time alike.
    Gap(Duration),
    /// The stamp went back by this; the unit is held at the last time.
    Backward(Duration),
    /// The stamp is that of the unit before; the unit is put behind it.
    StoodStill,
    /// The unit is this far ahead of wall time: stop reading.
    Lead(Duration),
    /// The unit comes this long after its time was filled without it.
    TooLate(Duration),
}

/// A unit on the presentation's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// When it is decoded, in 90 kHz ticks; strictly increasing per track and publish session. May be negative.
    pub dts: MediaTime,
    /// When it is shown, in 90 kHz ticks; at or after `dts`.
    pub pts: MediaTime,
    /// What was done to its stamp, if anything.
    pub event: Option<TimelineEvent>,
}

/// Running totals of a [`Timeline`](super::Timeline).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimelineCounters {
    /// Stamps that wrapped at 2^32 ms.
    pub wraps: u64,
    /// Changes of offset because stamps jumped or tracks are apart: once per jump, whichever tracks it is seen on.
    pub jumps: u64,
    /// Changes of offset because the source stayed late.
    pub lateness_jumps: u64,
    /// Pauses of the source that wall time explains.
    pub gaps: u64,
    /// Units held because their stamp went back.
    pub backward: u64,
    /// Units whose stamp stood still.
    pub stood_still: u64,
    /// Units ahead of wall time by more than the bound.
    pub leading: u64,
    /// Units that came after their time was filled.
    pub too_late: u64,
    /// Composition offsets over the bound.
    pub bad_composition: u64,
    /// Steps, of less than a frame each, by which both tracks were moved to make up for the drift of the source's clock.
    pub drift_corrections: u64,
}
