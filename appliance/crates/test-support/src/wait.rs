//! Waiting for a condition, with a deadline. The one place here that reads the clock.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Time since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a test measures the real time that the real daemon takes")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a test measures the real time that the real daemon takes")]
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.0)
    }
}

/// What `condition` gives once it gives something.
///
/// # Panics
/// With `what` was waited for, where nothing came within `deadline`.
pub fn wait_until<T>(deadline: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    poll(deadline, condition).unwrap_or_else(|| panic!("waited {deadline:?} for {what}"))
}

/// What `condition` gives once it gives something; none where that is not within `deadline`.
pub fn poll<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Stopwatch::start();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if since.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
