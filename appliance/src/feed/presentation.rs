//! One presentation of a feed, as a pure state machine: what a publisher and a worker send goes in with the time it came
//! at, and what is to be done comes out as [`Action`]s. No I/O, no clock, no task.
//!
//! The calling contract:
//! 1. [`Presentation::new`], then [`Presentation::input`] for everything the publisher sends, [`Presentation::tick`]
//!    several times a second, and [`Presentation::publisher_gone`] once at its end.
//! 2. After [`Action::StartWorker`], everything the worker says goes to [`Presentation::worker`], and its end to
//!    [`Presentation::worker_ended`].
//! 3. After every call, the actions are taken in order. Behind [`Action::Close`] there is nothing more.
//!
//! At first the source is only looked at ([`probing`]); once its tracks and its rate are known it is on air
//! ([`on_air`]), on a grid that is never changed again.

mod on_air;
mod probing;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::Cadence;
use packager::segmenter::Packaged;
use packager::track::TrackSpec;
use worker_protocol::{FromWorker, Job, Report, ToWorker};

use crate::clock::Now;
use crate::config;
use crate::feed::source::Input;
use crate::supervisor::Death;

pub use on_air::Facts;

/// Silence of the source after which the timeline goes on without it: shorter than any player's buffer, longer than any
/// encoder's hiccup.
const STALL: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Start a worker, and send it this job.
    StartWorker(Job),
    /// Send it this.
    ToWorker(ToWorker, Bytes),
    /// Open the presentation in the store.
    Begin(Opening),
    /// Keep this of track `.0`, in the order of [`Opening::tracks`].
    Keep(usize, Packaged),
    /// Tell the operator; `rule` is a word from a closed list, for a metric's label.
    Warn {
        /// Which rule of the source's was broken.
        rule: &'static str,
        /// The sentence.
        text: String,
    },
    /// End the publish, with a sentence for the encoder.
    Dismiss(String),
    /// The presentation is over; nothing comes behind this.
    Close,
}

/// A presentation at its beginning.
#[derive(Debug)]
pub struct Opening {
    /// Wall time of presentation time zero.
    pub availability_start_unix_millis: u64,
    /// The grid.
    pub cadence: Cadence,
    /// Its tracks: video rungs, best first, then audio.
    pub tracks: Vec<OpeningTrack>,
}

/// A track at its beginning.
#[derive(Debug)]
pub struct OpeningTrack {
    /// Its name in URLs.
    pub name: String,
    /// Its parameters.
    pub spec: TrackSpec,
    /// The configured bit rate, in bits per second; for audio an upper bound of what is usual.
    pub nominal_bit_rate: u64,
}

/// One presentation.
#[derive(Debug)]
pub struct Presentation {
    config: Arc<config::Feed>,
    limits: config::SourceLimits,
    phase: Phase,
    problem: Option<String>,
}

#[derive(Debug)]
enum Phase {
    Probing(Box<probing::Probing>),
    OnAir(Box<on_air::OnAir>),
    Closed,
}

impl Presentation {
    /// A presentation whose source is yet to be seen.
    #[must_use]
    pub fn new(config: Arc<config::Feed>, limits: config::SourceLimits) -> Self {
        let probing = Box::new(probing::Probing::new(&config, &limits));
        Self { config, limits, phase: Phase::Probing(probing), problem: None }
    }

    /// Takes what the publisher sent at `now`.
    pub fn input(&mut self, now: Now, input: Input) -> Vec<Action> {
        if matches!(&input, Input::Video { payload, .. } | Input::Audio { payload, .. } if payload.is_empty())
        {
            return Vec::new();
        }
        match &mut self.phase {
            Phase::Probing(probing) => {
                let verdict = probing.input(now, input);
                self.decide(verdict)
            }
            Phase::OnAir(on_air) => {
                let actions = on_air.input(now, input);
                self.close_behind(actions)
            }
            Phase::Closed => Vec::new(),
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        match &mut self.phase {
            Phase::Probing(probing) => {
                let verdict = probing.tick(now);
                self.decide(verdict)
            }
            Phase::OnAir(on_air) => {
                let actions = on_air.tick(now);
                self.close_behind(actions)
            }
            Phase::Closed => Vec::new(),
        }
    }

    fn decide(&mut self, verdict: probing::Verdict) -> Vec<Action> {
        match verdict {
            probing::Verdict::NeedMore => Vec::new(),
            probing::Verdict::Refuse(reason) => self.refuse(reason),
            probing::Verdict::Ready(ready) => {
                let on_air = on_air::OnAir::start(&self.config, self.limits.clone(), *ready);
                match on_air {
                    Ok((on_air, actions)) => {
                        self.phase = Phase::OnAir(Box::new(on_air));
                        self.close_behind(actions)
                    }
                    Err(reason) => self.refuse(reason),
                }
            }
        }
    }

    fn refuse(&mut self, reason: String) -> Vec<Action> {
        self.problem = Some(reason.clone());
        self.phase = Phase::Closed;
        vec![Action::Dismiss(reason), Action::Close]
    }

    /// The publisher has gone, or is being sent away: puts out what is left.
    pub fn publisher_gone(&mut self) -> Vec<Action> {
        match &mut self.phase {
            Phase::Probing(probing) => {
                self.problem = Some(probing.why_never_started());
                self.phase = Phase::Closed;
                vec![Action::Close]
            }
            Phase::OnAir(on_air) => {
                let actions = on_air.finish();
                self.close_behind(actions)
            }
            Phase::Closed => Vec::new(),
        }
    }

    /// Takes what the worker said at `now`.
    pub fn worker(&mut self, now: Now, message: FromWorker, payload: Bytes) -> Vec<Action> {
        match &mut self.phase {
            Phase::OnAir(on_air) => {
                let actions = on_air.worker(now, message, payload);
                self.close_behind(actions)
            }
            _ => Vec::new(),
        }
    }

    /// The worker's process has ended.
    pub fn worker_ended(&mut self, death: &Death) -> Vec<Action> {
        match &mut self.phase {
            Phase::OnAir(on_air) => {
                let actions = on_air.worker_ended(death);
                self.close_behind(actions)
            }
            _ => Vec::new(),
        }
    }

    fn close_behind(&mut self, actions: Vec<Action>) -> Vec<Action> {
        if actions.iter().any(|action| matches!(action, Action::Close)) {
            if let Phase::OnAir(on_air) = &mut self.phase {
                self.problem = on_air.problem().map(str::to_owned);
            }
            self.phase = Phase::Closed;
        }
        actions
    }

    /// Whether the source runs so far ahead of wall time that no more of it should be read yet.
    #[must_use]
    pub fn is_ahead(&self, now: Now) -> bool {
        match &self.phase {
            Phase::OnAir(on_air) => on_air.is_ahead(now),
            _ => false,
        }
    }

    /// What is known of a source on air.
    #[must_use]
    pub fn facts(&mut self, now: Now) -> Option<Facts> {
        match &mut self.phase {
            Phase::OnAir(on_air) => Some(on_air.facts(now)),
            _ => None,
        }
    }

    /// The worker's last report.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match &self.phase {
            Phase::OnAir(on_air) => on_air.report(),
            _ => None,
        }
    }

    /// What went wrong, if anything did; else what the operator was warned of last.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match &self.phase {
            Phase::OnAir(on_air) => on_air.problem().or(on_air.warning()),
            _ => self.problem.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
