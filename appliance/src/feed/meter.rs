//! Bytes over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a rate is measured: long enough to hold two key frames of a usual encoder.
const SPAN: Duration = Duration::from_secs(5);
/// Width of one slot.
const SLOT: Duration = Duration::from_millis(250);

/// A sliding sum of bytes over the last 5 s.
#[derive(Debug, Default)]
pub(super) struct Meter {
    slots: VecDeque<(Instant, u64)>,
    since: Option<Instant>,
}

impl Meter {
    /// Counts `bytes` at `now`.
    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.since.get_or_insert(now);
        match self.slots.back_mut() {
            Some((start, sum)) if now.saturating_duration_since(*start) < SLOT => *sum += bytes,
            _ => self.slots.push_back((now, bytes)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.slots.front().is_some_and(|(start, _)| now.saturating_duration_since(*start) > SPAN) {
            self.slots.pop_front();
        }
    }

    /// Bits per second over the last 5 s, or since the first byte where that is less.
    pub(super) fn bits_per_second(&mut self, now: Instant) -> u64 {
        self.forget(now);
        let Some(since) = self.since else { return 0 };
        let span = now.saturating_duration_since(since).clamp(SLOT, SPAN);
        let bits: u64 = self.slots.iter().map(|(_, bytes)| bytes * 8).sum();
        bits * 1000 / u64::try_from(span.as_millis()).unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn a_rate_settles_and_fades() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for i in 0..100 {
            meter.add(start + Duration::from_millis(i * 100), 1250);
        }
        let rate = meter.bits_per_second(start + Duration::from_secs(10));
        assert!((90_000..=110_000).contains(&rate), "{rate} bit/s for 100 000 bit/s put in");
        assert_eq!(meter.bits_per_second(start + Duration::from_secs(20)), 0);
    }
}
