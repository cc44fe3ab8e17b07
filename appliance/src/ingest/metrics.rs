//! What is counted of publishers' connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What is counted of publishers' connections.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Connections accepted, by `protocol`: `rtmp` or `rtmps`.
    pub connections: IntCounterVec,
    /// Connections ended, by `reason`: the words of [`super::connection::End::label`].
    pub ends: IntCounterVec,
    /// Bytes read from publishers, below TLS.
    pub bytes: IntCounter,
    /// Publishes that are on.
    pub publishing: IntGauge,
    refusals: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let this = Self {
            connections: counters("rungd_ingest_connections_total", "Connections accepted", "protocol")?,
            ends: counters("rungd_ingest_ends_total", "Connections ended, by reason", "reason")?,
            bytes: IntCounter::new("rungd_ingest_bytes_total", "Bytes read from publishers, inside TLS")?,
            publishing: IntGauge::new("rungd_ingest_publishing", "Publishes that are on")?,
            refusals: counters("rungd_ingest_refusals_total", "Publishes refused, by reason", "reason")?,
        };
        registry.register(Box::new(this.bytes.clone()))?;
        registry.register(Box::new(this.publishing.clone()))?;
        Ok(this)
    }

    /// Counts a refusal, by a word from a closed list.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.with_label_values(&[reason]).inc();
    }
}
