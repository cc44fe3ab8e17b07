//! A worker is started, and another one in its place when it has died.

use bytes::Bytes;
use media::gop::Item;
use worker_protocol::{Job, RungJob, ToWorker};

use super::workers::Sequel;
use super::{OnAir, unit_to_worker};
use crate::clock::Now;
use crate::feed::presentation::Action;
use crate::supervisor::Death;

impl OnAir {
    /// Starts a worker that goes on where the last one stopped: every rung from the beginning of its open segment, or
    /// behind the chunks of it that viewers know, with the source's pictures from the last key frame before it.
    pub(super) fn start_worker(&mut self, actions: &mut Vec<Action>) {
        if self.gap.is_some() {
            return self.start_slate_worker(actions);
        }
        let Some(video) = &mut self.video else { return };
        let mut rungs = Vec::with_capacity(video.rungs.len());
        for (track, state) in video.rungs.iter_mut().enumerate() {
            let (segment, first_frame, void) = state.restart(self.begun);
            if self.begun && void {
                actions.push(Action::Restart(track, segment));
            }
            rungs.push(RungJob { rung: state.rung.clone(), first_frame });
        }
        if !self.begun {
            // Nothing is listed yet: the pictures of the dead worker are made again.
            let pictures = video.rungs.len();
            self.held.retain(|(track, _)| *track >= pictures);
        }
        let from = self.cadence.time_of(video.open_from());
        actions.push(Action::StartWorker(Job {
            feed: self.feed.clone(),
            title: self.title.clone(),
            slate: false,
            latency: self.latency,
            cadence: self.cadence,
            rungs,
        }));
        let fill =
            ToWorker::FillTo { frame: video.filled, slate_from: self.cadence.frame_at(video.slate_time()) };
        let filled_first =
            video.gop.replay_start(from).is_none_or(|start| start >= self.cadence.time_of(video.filled));
        let fill_needed = video.filled > video.open_from();
        if fill_needed && filled_first {
            actions.push(Action::ToWorker(fill.clone(), Bytes::new()));
        }
        if !self.poisoned {
            for item in video.gop.replay_from(from) {
                actions.push(match item {
                    Item::Configuration(configuration) => Action::ToWorker(
                        ToWorker::VideoConfiguration { codec: configuration.codec },
                        configuration.record,
                    ),
                    Item::Unit(unit) => unit_to_worker(unit),
                });
            }
        }
        if fill_needed && !filled_first {
            actions.push(Action::ToWorker(fill, Bytes::new()));
        }
    }

    /// The worker's process has ended. Another one takes its place, unless there is nothing left to do or no hope.
    pub(in super::super) fn worker_ended(&mut self, now: Now, death: &Death) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finishing {
            if *death != Death::Finished {
                self.problem.get_or_insert_with(|| death.to_string());
            }
            self.died_finishing(death, &mut actions);
            return actions;
        }
        if self.has_slate() {
            return actions;
        }
        match self.workers.died(now.instant) {
            Sequel::Replace(at) => {
                self.warning = Some(format!("{death}; another one goes on"));
                self.replace_at = Some(at);
            }
            Sequel::Quarantine(at) => {
                let reason = format!("the feed kills its workers ({death}); it is taken off for a while");
                self.poisoned = true;
                self.send_away(reason.clone());
                actions.push(Action::Quarantine(reason));
                self.replace_at = Some(at);
            }
            Sequel::GiveUp => {
                self.send_away(death.to_string());
                self.close(&mut actions);
            }
        }
        actions
    }
}
