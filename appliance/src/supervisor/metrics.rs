//! What is counted of workers.

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::telemetry::Register;

/// What is counted of workers.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Processes started.
    pub started: IntCounter,
    /// Processes ended, by `reason`: the words of [`super::Death::label`].
    pub ended: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        Ok(Self {
            started: register.counter("rungd_worker_starts_total", "Worker processes started")?,
            ended: register.counters(
                "rungd_worker_ends_total",
                "Worker processes ended, by reason",
                &["reason"],
            )?,
        })
    }
}
