//! The worker for sound: one beside the worker for pictures, while sound has to be converted.

use bytes::Bytes;
use worker_protocol::{SoundJob, ToWorker};

use super::Programme;
use crate::clock;
use crate::supervisor::{self, Death, WorkerEvent};
use crate::telemetry::chain;

impl Programme {
    pub(super) fn sound_worker_event(&mut self, event: WorkerEvent) {
        let now = clock::both();
        let actions = match event {
            WorkerEvent::Message(message, payload) => self.presentation.sound_worker(now, message, payload),
            WorkerEvent::Ended(death) => {
                self.sound_worker.take().into_iter().for_each(|worker| worker.give_up(death.clone()));
                if !matches!(death, Death::Finished) {
                    self.parts.metrics.worker_death(&self.config.name);
                }
                self.presentation.sound_worker_ended(now, &death)
            }
        };
        self.act(actions);
    }

    pub(super) fn start_sound_worker(&mut self, job: SoundJob, track: Bytes) {
        let metrics = &self.parts.worker_metrics;
        match supervisor::spawn_for_sound(&self.parts.worker, &self.config.name, metrics) {
            Ok(worker) => {
                self.sound_worker = Some(worker);
                self.send_sound(ToWorker::StartSound(job), track);
            }
            Err(fault) => {
                let death = Death::Failed(chain(&fault));
                self.sound_worker_event(WorkerEvent::Ended(death));
            }
        }
    }

    /// Ends one that is of no use.
    pub(super) fn stop_sound_worker(&mut self, death: Death) {
        if let Some(worker) = self.sound_worker.take() {
            worker.give_up(death);
            self.parts.metrics.worker_death(&self.config.name);
        }
    }

    /// Queues a message for the worker for sound. Sound that finds no room is lost, and silence stands there.
    pub(super) fn send_sound(&mut self, message: ToWorker, payload: Bytes) {
        let Some(worker) = &self.sound_worker else { return };
        let is_sound = matches!(message, ToWorker::Sound { .. });
        if worker.send(message, payload).is_ok() {
            return;
        }
        match is_sound {
            true => self.parts.metrics.shed_sound(&self.config.name),
            false => self.sound_worker_event(WorkerEvent::Ended(Death::Behind)),
        }
    }
}
