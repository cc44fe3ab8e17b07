//! The one file of the daemon that reads the clock. Everything else takes `now` as an argument.
#![expect(clippy::disallowed_methods, reason = "this is the file that may")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for deadlines and for the pace of a timeline.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall time in milliseconds since 1970, for what viewers and logs see. Zero before 1970.
#[must_use]
pub fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Milliseconds since 1970.
    pub unix_millis: u64,
}

/// Both clocks at once.
#[must_use]
pub fn both() -> Now {
    Now { instant: now(), unix_millis: unix_millis() }
}
