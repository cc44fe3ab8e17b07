//! What is counted of workers.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

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
        let started = IntCounter::new("rungd_worker_starts_total", "Worker processes started")?;
        let ended = IntCounterVec::new(
            Opts::new("rungd_worker_ends_total", "Worker processes ended, by reason"),
            &["reason"],
        )?;
        registry.register(Box::new(started.clone()))?;
        registry.register(Box::new(ended.clone()))?;
        Ok(Self { started, ended })
    }
}
