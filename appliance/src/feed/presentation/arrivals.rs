//! How many units of a source come, and how regularly.

use std::time::{Duration, Instant};

use media::MediaTime;

/// Over how long units are counted.
const SPAN: Duration = Duration::from_secs(2);
/// RFC 3550, 6.4.1: by which part of a difference the jitter follows it.
const GAIN: f64 = 1.0 / 16.0;

/// How many units of a source come, and how regularly. A daemon that looks at a socket now and then (`pace`) has some
/// milliseconds of jitter of its own in it.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    last: Option<(Instant, MediaTime)>,
    jitter: f64,
    /// Since when how many are being counted.
    counting: Option<(Instant, u32)>,
    per_second: Option<f64>,
}

impl Arrivals {
    /// A unit that stands at `time` came.
    pub(super) fn unit(&mut self, now: Instant, time: MediaTime) {
        if let Some((then, before)) = self.last.replace((now, time)) {
            let came = now.saturating_duration_since(then).as_secs_f64();
            let (ahead, back) = (time.minus(before).to_duration(), before.minus(time).to_duration());
            let stands = ahead.as_secs_f64() - back.as_secs_f64();
            self.jitter += ((came - stands).abs() - self.jitter) * GAIN;
        }
        let (since, count) = self.counting.get_or_insert((now, 0));
        let span = now.saturating_duration_since(*since);
        if span >= SPAN {
            self.per_second = Some(f64::from(*count) / span.as_secs_f64());
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }

    /// How many came a second, lately; none before that is known.
    pub(super) fn per_second(&self, now: Instant) -> Option<f64> {
        let (since, count) = self.counting?;
        let span = now.saturating_duration_since(since);
        // One that has fallen silent.
        if span >= SPAN * 2 {
            return Some(f64::from(count) / span.as_secs_f64());
        }
        self.per_second
    }

    /// The mean deviation of the distances at which they came from those at which they stand (RFC 3550, 6.4.1).
    pub(super) fn jitter(&self) -> Duration {
        Duration::try_from_secs_f64(self.jitter).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use media::Timescale;

    use super::*;

    /// Units at 25 a second, each `late` milliseconds after it is due.
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn arrivals(late: impl Fn(u64) -> u64) -> (Arrivals, Instant) {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        for unit in 0..250 {
            let due = Duration::from_millis(unit * 40);
            let at = start + due + Duration::from_millis(late(unit));
            arrivals.unit(at, MediaTime::from_duration(due, Timescale::VIDEO));
        }
        (arrivals, start)
    }

    #[test]
    fn a_regular_source_has_its_rate_and_no_jitter() {
        let (regular, start) = arrivals(|_| 30);
        let rate = regular.per_second(start + Duration::from_secs(10));
        assert!(rate.is_some_and(|rate| (rate - 25.0).abs() < 0.01), "{rate:?}");
        assert!(regular.jitter() < Duration::from_micros(100), "{:?}", regular.jitter());
        let silent = regular.per_second(start + Duration::from_secs(60));
        assert!(silent.is_some_and(|rate| rate < 1.0), "{silent:?}");
    }

    #[test]
    fn jitter_is_the_mean_deviation() {
        // Each second unit is 10 ms late: the distances are 10 ms too long and too short in turn.
        let (uneven, _) = arrivals(|unit| unit % 2 * 10);
        let jitter = uneven.jitter().as_secs_f64();
        assert!((jitter - 0.010).abs() < 0.001, "{jitter}");
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        let (none, start) = (Arrivals::default(), arrivals(|_| 0).1);
        assert_eq!((none.per_second(start), none.jitter()), (None, Duration::ZERO));
    }
}
