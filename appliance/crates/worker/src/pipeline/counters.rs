//! What is counted, and the thread that reports it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use media::Size;
use worker_protocol::{FromWorker, MAX_REPORTED_LATENCIES, Report, RungReport};

use super::PipelineError;
use crate::link::{Closed, Outbox};
use crate::run::panic_text;

/// How often counters are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Running totals; each is written by one thread and read by the reporter.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) units_in: AtomicU64,
    pub(super) pictures_decoded: AtomicU64,
    pub(super) decode_errors: AtomicU64,
    pub(super) frames_repeated: AtomicU64,
    pub(super) pictures_dropped: AtomicU64,
    deinterlacing: AtomicBool,
    source_size: Mutex<Option<Size>>,
    pub(super) rungs: Vec<RungCounters>,
}

/// Running totals of one rung.
#[derive(Debug, Default)]
pub(super) struct RungCounters {
    /// How many latencies a report has room for.
    most_latencies: usize,
    pub(super) frames_in: AtomicU64,
    pub(super) pictures_out: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) busy_micros: AtomicU64,
    pub(super) queue_depth: AtomicU32,
    pub(super) frames_repeated: AtomicU64,
    /// Of the pictures since the last report.
    latencies_micros: Mutex<Vec<u32>>,
}

impl Counters {
    pub(super) fn new(rungs: usize) -> Self {
        let most_latencies = MAX_REPORTED_LATENCIES / rungs.max(1);
        let rung = || RungCounters { most_latencies, ..RungCounters::default() };
        Self { rungs: std::iter::repeat_with(rung).take(rungs).collect(), ..Self::default() }
    }

    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(counter: &AtomicU64, value: u64) {
        counter.store(value, Ordering::Relaxed);
    }

    pub(super) fn set_source(&self, size: Size, deinterlacing: bool) {
        self.deinterlacing.store(deinterlacing, Ordering::Relaxed);
        *self.source_size.lock().unwrap_or_else(PoisonError::into_inner) = Some(size);
    }

    /// The totals now; the latencies begin anew.
    pub(super) fn report(&self) -> Report {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            units_in: get(&self.units_in),
            pictures_decoded: get(&self.pictures_decoded),
            decode_errors: get(&self.decode_errors),
            frames_repeated: get(&self.frames_repeated),
            pictures_dropped: get(&self.pictures_dropped),
            deinterlacing: self.deinterlacing.load(Ordering::Relaxed),
            source_size: *self.source_size.lock().unwrap_or_else(PoisonError::into_inner),
            rungs: self
                .rungs
                .iter()
                .map(|rung| RungReport {
                    frames_in: get(&rung.frames_in),
                    pictures_out: get(&rung.pictures_out),
                    bytes_out: get(&rung.bytes_out),
                    busy_micros: get(&rung.busy_micros),
                    queue_depth: rung.queue_depth.load(Ordering::Relaxed),
                    frames_repeated: get(&rung.frames_repeated),
                    latencies_micros: std::mem::take(&mut *rung.latencies()),
                })
                .collect(),
        }
    }
}

impl RungCounters {
    fn latencies(&self) -> MutexGuard<'_, Vec<u32>> {
        self.latencies_micros.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture was this long in the encoder.
    pub(super) fn latency(&self, latency: Duration) {
        let mut latencies = self.latencies();
        if latencies.len() < self.most_latencies {
            latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// Reports once a second until it is stopped.
#[derive(Debug)]
pub(super) struct Reporter {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Reporter {
    pub(super) fn start(counters: &Arc<Counters>, outbox: &Outbox) -> Result<Self, PipelineError> {
        let (stop, stopped) = mpsc::channel();
        let (counters, outbox) = (Arc::clone(counters), outbox.clone());
        let name = "report".to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            while stopped.recv_timeout(REPORT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Err(Closed) = outbox.send(FromWorker::Report(counters.report()), Bytes::new()) {
                    return;
                }
            }
        });
        Ok(Self { stop, thread: thread.map_err(|source| PipelineError::Thread { name, source })? })
    }

    pub(super) fn stop(self) -> Result<(), PipelineError> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|panic| PipelineError::Panic { name: "report".to_owned(), what: panic_text(&*panic) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that catches up codes more pictures between two reports than a report has room for.
    #[test]
    fn the_fullest_report_can_be_sent() {
        for rungs in [1, 6, 16] {
            let counters = Counters::new(rungs);
            for rung in &counters.rungs {
                let totals = [&rung.frames_in, &rung.pictures_out, &rung.bytes_out, &rung.busy_micros];
                totals.into_iter().for_each(|total| Counters::set(total, u64::MAX));
                (0..10_000).for_each(|_| rung.latency(Duration::MAX));
            }
            let report = counters.report();
            assert!(
                report.rungs.iter().all(|rung| rung.latencies_micros.len() >= 120),
                "one of 120 a second"
            );
            worker_protocol::encode(&FromWorker::Report(report), 0).unwrap();
        }
    }
}
