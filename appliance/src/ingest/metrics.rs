//! What is counted of publishers' connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use crate::telemetry::Register;

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
        let register = Register(registry);
        Ok(Self {
            connections: register.counters(
                "rungd_ingest_connections_total",
                "Connections accepted",
                &["protocol"],
            )?,
            ends: register.counters(
                "rungd_ingest_ends_total",
                "Connections ended, by reason",
                &["reason"],
            )?,
            bytes: register.counter("rungd_ingest_bytes_total", "Bytes read from publishers, inside TLS")?,
            publishing: register.gauge("rungd_ingest_publishing", "Publishes that are on")?,
            refusals: register.counters(
                "rungd_ingest_refusals_total",
                "Publishes refused, by reason",
                &["reason"],
            )?,
        })
    }

    /// Counts a refusal, by a word from a closed list.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.with_label_values(&[reason]).inc();
    }
}
