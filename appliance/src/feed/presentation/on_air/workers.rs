//! When a worker that died is replaced, and when no more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long deaths are counted.
const SPAN: Duration = Duration::from_secs(60);
/// Deaths in that time after which the source is held to be the cause.
const QUARANTINE_AFTER: usize = 3;
/// Deaths in that time after which it is not the source: nothing was fed to the last of them.
const GIVE_UP_AFTER: usize = 5;
/// How long the second worker waits, and each further one twice as long; the first replacement comes at once.
const BACK_OFF: Duration = Duration::from_millis(250);

/// What follows from a worker's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequel {
    /// A new worker goes on, at this time.
    Replace(Instant),
    /// Likewise, but the source is not given to it.
    Quarantine(Instant),
    /// There is no going on.
    GiveUp,
}

/// The deaths of the last minute.
#[derive(Debug, Default)]
pub(super) struct Workers {
    deaths: VecDeque<Instant>,
}

impl Workers {
    /// A worker died at `now`.
    pub(super) fn died(&mut self, now: Instant) -> Sequel {
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|death| now.saturating_duration_since(*death) > SPAN) {
            self.deaths.pop_front();
        }
        let recent = self.deaths.len();
        let waited = match recent {
            0 | 1 => Duration::ZERO,
            _ => BACK_OFF * 2u32.saturating_pow(u32::try_from(recent - 2).unwrap_or(u32::MAX).min(8)),
        };
        match recent {
            GIVE_UP_AFTER.. => Sequel::GiveUp,
            QUARANTINE_AFTER.. => Sequel::Quarantine(now + waited),
            _ => Sequel::Replace(now + waited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn rare_deaths_are_mended_and_frequent_ones_are_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rare = Workers::default();
        assert!((0..100).all(|i| matches!(rare.died(at(i * 31)), Sequel::Replace(_))));

        let mut frequent = Workers::default();
        assert_eq!(frequent.died(at(0)), Sequel::Replace(at(0)));
        assert_eq!(frequent.died(at(1)), Sequel::Replace(at(1) + BACK_OFF));
        assert!(matches!(frequent.died(at(2)), Sequel::Quarantine(_)));
        assert!(matches!(frequent.died(at(3)), Sequel::Quarantine(_)));
        assert_eq!(frequent.died(at(4)), Sequel::GiveUp);
    }
}
