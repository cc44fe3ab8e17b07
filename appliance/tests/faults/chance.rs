//! Random numbers that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const VARIABLE: &str = "RUNGD_FAULTS_SEED";

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Says its seed where the test
/// fails.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// From the environment, else from the time.
    #[expect(clippy::disallowed_methods, reason = "a seed that differs from run to run")]
    pub(crate) fn new() -> Self {
        let given = std::env::var(VARIABLE).ok();
        let seed = given.map_or_else(
            || {
                let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
                u64::try_from(nanos & u128::from(u32::MAX)).unwrap()
            },
            |text| text.parse().unwrap_or_else(|e| panic!("{VARIABLE}={text}: {e}")),
        );
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Milliseconds within the range.
    pub(crate) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next() % (range.end - range.start))
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the same instants again: {VARIABLE}={}", self.seed);
        }
    }
}
