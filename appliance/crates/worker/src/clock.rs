//! The one file that reads the clock.

use std::time::Instant;

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
