//! Rate limits on log lines, so that a stranger cannot fill the disk or hide something among noise.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets `burst` events of each class through in a period, and counts the others. Pure: `now` is an argument.
///
/// A class is from a closed list (a refusal's reason, a kind of garbage), never something that a peer chose: there is
/// one entry for each, for ever. The period of a class begins with its first event and is not sliding, so up to twice
/// `burst` may come close together where one ends and the next begins. What was suppressed is told with the next event
/// let through, which may be much later.
#[derive(Debug)]
pub struct RateLimited<C> {
    burst: u32,
    period: Duration,
    classes: BTreeMap<C, Period>,
}

#[derive(Debug)]
struct Period {
    began: Instant,
    admitted: u32,
    suppressed: u64,
}

impl<C: Ord> RateLimited<C> {
    /// `burst` events a `period` for each class.
    #[must_use]
    pub const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, classes: BTreeMap::new() }
    }

    /// Whether an event of `class` at `now` is let through: then how many were suppressed since the last that was.
    pub fn admit(&mut self, class: C, now: Instant) -> Option<u64> {
        let period = self.classes.entry(class).or_insert(Period { began: now, admitted: 0, suppressed: 0 });
        if now.saturating_duration_since(period.began) >= self.period {
            period.began = now;
            period.admitted = 0;
        }
        if period.admitted >= self.burst {
            period.suppressed = period.suppressed.saturating_add(1);
            return None;
        }
        period.admitted += 1;
        Some(std::mem::take(&mut period.suppressed))
    }
}

/// A [`RateLimited`] that stands in a `static`, as [`warn_limited`](crate::warn_limited) places one at each call.
#[derive(Debug)]
pub struct LogLimit(Mutex<RateLimited<()>>);

impl LogLimit {
    /// Lines of one place let through in a minute: enough to see who it is, too few to fill a disk.
    pub const BURST: u32 = 10;
    /// The minute.
    pub const PERIOD: Duration = Duration::from_secs(60);

    /// [`Self::BURST`] lines a [`Self::PERIOD`].
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "only ever made in a static, where Default cannot be called"
    )]
    pub const fn new() -> Self {
        Self(Mutex::new(RateLimited::new(Self::BURST, Self::PERIOD)))
    }

    /// Whether a line at `now` is let through: then how many were suppressed since the last that was.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // A counter is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).admit((), now)
    }
}

/// `tracing::event!` for what a stranger can trigger: each place in the code logs at most [`LogLimit::BURST`] lines a
/// minute, and says with the next line how many it left out, as the field `suppressed`.
///
/// ```
/// use appliance::log_limited;
/// let peer = "192.0.2.7:4711";
/// log_limited!(tracing::Level::INFO, %peer, "tls handshake failed");
/// ```
#[macro_export]
macro_rules! log_limited {
    ($level:expr, $($event:tt)+) => {{
        static LIMIT: $crate::telemetry::LogLimit = $crate::telemetry::LogLimit::new();
        if let Some(suppressed) = LIMIT.admit($crate::clock::now()) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            ::tracing::event!($level, suppressed, $($event)+);
        }
    }};
}

/// [`log_limited`](crate::log_limited) at level `WARN`.
#[macro_export]
macro_rules! warn_limited {
    ($($event:tt)+) => { $crate::log_limited!(::tracing::Level::WARN, $($event)+) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rest_is_counted() {
        let start = crate::clock::now();
        let second = |seconds| start + Duration::from_secs(seconds);
        let mut limit = RateLimited::new(2, Duration::from_secs(60));
        let at = |limit: &mut RateLimited<&str>, class, seconds| limit.admit(class, second(seconds));
        assert_eq!(at(&mut limit, "tls", 0), Some(0));
        assert_eq!(at(&mut limit, "tls", 1), Some(0));
        assert_eq!(at(&mut limit, "tls", 2), None);
        assert_eq!(at(&mut limit, "tls", 59), None);
        assert_eq!(at(&mut limit, "key", 59), Some(0), "classes do not share a limit");
        assert_eq!(at(&mut limit, "tls", 60), Some(2), "and what was left out is told once");
        assert_eq!(at(&mut limit, "tls", 61), Some(0));
        assert_eq!(at(&mut limit, "tls", 62), None);
    }

    #[test]
    fn a_clock_that_stands_still_or_runs_backwards_does_no_harm() {
        let later = crate::clock::now() + Duration::from_secs(100);
        let mut limit = RateLimited::new(1, Duration::from_secs(60));
        assert_eq!(limit.admit((), later), Some(0));
        assert_eq!(limit.admit((), later - Duration::from_secs(90)), None);
        assert_eq!(limit.admit((), later), None);
    }

    #[test]
    fn one_place_in_the_code_logs_a_burst_and_no_more() {
        let lines = std::sync::Arc::new(Mutex::new(Vec::<u8>::new()));
        let writer = std::sync::Arc::clone(&lines);
        struct Shared(std::sync::Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || Shared(std::sync::Arc::clone(&writer))).finish();
        tracing::subscriber::with_default(subscriber, || {
            for attempt in 0..1000 {
                warn_limited!(attempt, "knock");
            }
        });
        let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 10, "{text}");
    }
}
