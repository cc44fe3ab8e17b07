//! The worker for pictures: started, fed, and heard.

use bytes::Bytes;
use tracing::warn;
use worker_protocol::{FromWorker, Job, ToWorker};

use super::{AT_ONCE, Programme};
use crate::clock;
use crate::supervisor::{self, Worker, WorkerEvent};

impl Programme {
    /// Takes what the worker said, and what else it has said by now.
    pub(super) fn worker_events(&mut self, event: WorkerEvent) {
        self.worker_event(event);
        for _ in 0..AT_ONCE {
            if self.closed {
                return;
            }
            let Some(event) = self.worker.as_mut().and_then(Worker::event_already) else { return };
            self.worker_event(event);
        }
    }

    pub(super) fn worker_event(&mut self, event: WorkerEvent) {
        let now = clock::both();
        let actions = match event {
            WorkerEvent::Message(message, payload) => {
                if let FromWorker::Report(report) = &message {
                    for (rung, report) in self.rungs.iter().zip(&report.rungs) {
                        self.parts.metrics.latencies(&self.config.name, rung, report);
                    }
                }
                if let FromWorker::Hello { build, .. } = &message {
                    self.worker_build.clone_from(build);
                }
                let last_word = matches!(message, FromWorker::Finished);
                if last_word {
                    // Its last report is not lost for the metrics.
                    self.publish_status();
                }
                self.presentation.worker(now, message, payload)
            }
            WorkerEvent::Ended(death) => {
                self.worker.take().into_iter().for_each(|worker| worker.give_up(death.clone()));
                if !matches!(death, supervisor::Death::Finished) {
                    self.parts.metrics.worker_death(&self.config.name);
                }
                self.presentation.worker_ended(now, &death)
            }
        };
        self.act(actions);
    }

    pub(super) fn start_worker(&mut self, job: Job) {
        self.rungs = job.rungs.iter().map(|rung| rung.rung.name.clone()).collect();
        let device = match self.device.take() {
            Some(device) => device,
            None => {
                match self.parts.devices.take(&self.config.device, self.device_before.as_ref(), load(&job)) {
                    Ok(device) => device,
                    Err(fault) => return self.fail(&fault),
                }
            }
        };
        let metrics = &self.parts.worker_metrics;
        let spawned = supervisor::spawn(&self.parts.worker, device.id(), &self.config.name, metrics);
        self.device = Some(device);
        match spawned {
            Ok(worker) => {
                self.worker = Some(worker);
                self.shedding = false;
                let job = Job { slate: !self.slate.is_empty(), ..job };
                self.send(ToWorker::Start(job), self.slate.clone());
            }
            Err(fault) => self.fail(&fault),
        }
    }

    /// Queues a message for the worker. One that is behind loses pictures up to the next key frame: the queue is bounded,
    /// and a decoder can make nothing of what follows a missing picture.
    pub(super) fn send(&mut self, message: ToWorker, payload: Bytes) {
        let Some(worker) = &self.worker else { return };
        match &message {
            ToWorker::Video { key, .. } => {
                if self.shedding && !key {
                    return self.parts.metrics.shed(&self.config.name);
                }
                let was_shedding =
                    std::mem::replace(&mut self.shedding, worker.send(message, payload).is_err());
                if self.shedding {
                    self.parts.metrics.shed(&self.config.name);
                }
                if self.shedding && !was_shedding {
                    warn!(
                        feed = self.config.name,
                        "the worker is behind; pictures are shed up to the next key frame"
                    );
                }
            }
            // The next one says all that this one does.
            ToWorker::FillTo { .. } => drop(worker.send(message, payload)),
            _ => {
                if worker.send(message, payload).is_err() {
                    self.worker_event(WorkerEvent::Ended(supervisor::Death::Behind));
                }
            }
        }
    }
}

/// Luma samples a second of all rungs.
fn load(job: &Job) -> u64 {
    let grid = job.cadence.frame_rate();
    job.rungs.iter().map(|rung| rung.rung.samples_per_second(grid)).fold(0, u64::saturating_add)
}

/// What a worker says next; nothing, for ever, where there is none. Cancel safe.
pub(super) async fn next_event(worker: &mut Option<Worker>) -> WorkerEvent {
    match worker {
        Some(worker) => match worker.event().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
