//! Waiting for a condition, with a deadline. The one place here that reads the clock, and the one place where tests sleep:
//! a test waits for what is to come about ([`wait_until`], [`until`]), or makes something last so long, or happen at such an
//! instant ([`Stopwatch::reach`]); never for luck.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often one is that comes about within milliseconds.
const CLOSE_POLL_INTERVAL: Duration = Duration::from_micros(200);
/// How often one is on a runtime, whose other tasks go on meanwhile.
const TASK_POLL_INTERVAL: Duration = Duration::from_millis(5);

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

    /// Blocks until `at` after the start: for what a test makes last, or happen at an instant. What is to come about by then
    /// is waited for as such.
    pub fn reach(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.elapsed()));
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
pub fn poll<T>(deadline: Duration, condition: impl FnMut() -> Option<T>) -> Option<T> {
    poll_every(POLL_INTERVAL, deadline, condition)
}

/// As [`wait_until`], for what takes milliseconds and is to be caught in the act.
///
/// # Panics
/// With `what` was waited for, where nothing came within `deadline`.
pub fn wait_closely<T>(deadline: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    poll_every(CLOSE_POLL_INTERVAL, deadline, condition)
        .unwrap_or_else(|| panic!("waited {deadline:?} for {what}"))
}

/// As [`wait_until`], in a task: others of its runtime go on meanwhile.
///
/// # Panics
/// With `what` was waited for, where nothing came within `deadline`.
pub async fn until<T>(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Stopwatch::start();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(since.elapsed() <= deadline, "waited {deadline:?} for {what}");
        tokio::time::sleep(TASK_POLL_INTERVAL).await;
    }
}

/// As [`until`], for a process to have ended and been reaped.
///
/// # Panics
/// Where it is still there after `deadline`.
pub async fn until_gone(deadline: Duration, pid: u32) {
    let process = format!("/proc/{pid}");
    let gone = async || (!std::path::Path::new(&process).exists()).then_some(());
    until(deadline, &format!("process {pid} to be gone"), gone).await;
}

fn poll_every<T>(
    interval: Duration,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Option<T> {
    let since = Stopwatch::start();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if since.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(interval);
    }
}
