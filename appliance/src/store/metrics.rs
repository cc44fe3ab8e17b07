//! What the store counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::telemetry::Register;

/// The metrics of the store. Labels are feeds of the configuration, or come from closed lists.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) memory_bytes: IntGaugeVec,
    pub(super) memory_segments: IntGaugeVec,
    pub(super) segments_completed: IntCounterVec,
    pub(super) late_chunks: IntCounterVec,
    pub(super) listed_unprotected: IntCounterVec,
    pub(super) archive_queue_segments: IntGauge,
    pub(super) archive_writes: IntCounter,
    pub(super) archive_bytes_written: IntCounter,
    pub(super) archive_failures: IntCounterVec,
    pub(super) archive_segments_lost: IntCounterVec,
    pub(super) archive_degraded: IntGauge,
    pub(super) archive_stored_bytes: IntGauge,
    pub(super) archive_presentations: IntGauge,
    pub(super) archive_presentations_expired: IntCounter,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let feed = &["feed"][..];
        Ok(Self {
            memory_bytes: register.gauges(
                "rungd_store_memory_bytes",
                "Media bytes in the live window.",
                feed,
            )?,
            memory_segments: register.gauges(
                "rungd_store_memory_segments",
                "Segments in the live window, over all tracks.",
                feed,
            )?,
            segments_completed: register.counters(
                "rungd_store_segments_completed_total",
                "Segments that became whole in memory, over all tracks.",
                feed,
            )?,
            late_chunks: register.counters(
                "rungd_store_late_chunks_total",
                "Chunks and completions for segments that no longer took them.",
                feed,
            )?,
            listed_unprotected: register.counters(
                "rungd_store_listed_unprotected_total",
                "Segment numbers listed before the archive had them.",
                feed,
            )?,
            archive_queue_segments: register.gauge(
                "rungd_store_archive_queue_segments",
                "Segments waiting to be written to the archive.",
            )?,
            archive_writes: register
                .counter("rungd_store_archive_writes_total", "Segments written to the archive.")?,
            archive_bytes_written: register.counter(
                "rungd_store_archive_written_bytes_total",
                "Bytes of segments written to the archive.",
            )?,
            archive_failures: register.counters(
                "rungd_store_archive_failures_total",
                "Archive steps that failed, by step; each is tried again while its segment is in memory.",
                &["step"],
            )?,
            archive_segments_lost: register.counters(
                "rungd_store_archive_segments_lost_total",
                "Segments that never reached the archive, by reason.",
                &["reason"],
            )?,
            archive_degraded: register.gauge(
                "rungd_store_archive_degraded",
                "1 while the archive cannot keep up or be written, or does not get all that is on air.",
            )?,
            archive_stored_bytes: register
                .gauge("rungd_store_archive_stored_bytes", "Bytes of segments in the archive.")?,
            archive_presentations: register
                .gauge("rungd_store_archive_presentations", "Presentations in the catalogue.")?,
            archive_presentations_expired: register.counter(
                "rungd_store_archive_presentations_expired_total",
                "Presentations removed by age or by bytes, or of which nothing could be played.",
            )?,
        })
    }
}
