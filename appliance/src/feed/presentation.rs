//! One presentation of a feed, as a pure state machine: what a publisher and a worker send goes in with the time it came
//! at, and what is to be done comes out as [`Action`]s. No I/O, no clock, no task.
//!
//! The calling contract:
//! 1. [`Presentation::new`], then [`Presentation::source_joined`] for each publisher, [`Presentation::input`] for everything
//!    it sends, [`Presentation::source_gone`] at its end, and [`Presentation::tick`] several times a second.
//! 2. After [`Action::StartWorker`], everything the worker says goes to [`Presentation::worker`], and its end to
//!    [`Presentation::worker_ended`].
//! 3. Likewise after [`Action::StartSound`], with [`Presentation::sound_worker`] and [`Presentation::sound_worker_ended`];
//!    one that was replaced or stopped is not heard any more.
//! 4. After every call, the actions are taken in order. Behind [`Action::Close`] there is nothing more.
//!
//! At first a source is only looked at ([`probing`]); once its tracks and its rate are known it is on air ([`on_air`]), on
//! a grid that is never changed again. The programme outlives its source: while there is none, the last picture and then
//! a slate are shown, until another one takes its place ([`sources`]) or the grace time is over. It outlives its worker
//! too ([`on_air`]'s `workers`).

mod arrivals;
mod note;
mod on_air;
mod probing;
mod sources;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{Cadence, SegmentNumber};
use packager::segmenter::Packaged;
use packager::track::TrackSpec;
use worker_protocol::{FromWorker, Job, Report, SoundJob, ToWorker};

use crate::clock::Now;
use crate::config;
use crate::feed::source::Input;
use crate::supervisor::Death;

pub use note::{Note, NoteError, Settings};
pub use on_air::{Continuation, Facts};
pub use sources::{Role, SourceId};

use probing::{Probing, Refused};
use sources::{Heard, Sources};

/// The name of the sound's track; no rung may have it.
const AUDIO_TRACK: &str = "audio";

/// Silence of the source after which the timeline goes on without it: shorter than any player's buffer, longer than any
/// encoder's hiccup.
const STALL: Duration = Duration::from_secs(1);
/// Likewise in low latency, where players hold about as much: what a source is late by, their buffers bridge.
const STALL_LOW: Duration = Duration::from_millis(500);

/// How long a feed that kills its workers takes no publisher: long enough for somebody to look, short enough that a
/// cured encoder is not kept out for long.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Start a worker, and send it this job.
    StartWorker(Job),
    /// Send it this.
    ToWorker(ToWorker, Bytes),
    /// What is sent to it next was held, and comes at once: it is behind for no fault of its own.
    CatchUp,
    /// Start a worker for sound, in the place of any that there is, and send it this job with the track's record.
    StartSound(SoundJob, Bytes),
    /// Send it this.
    ToSound(ToWorker, Bytes),
    /// End it.
    StopSound(Death),
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
    /// Count a rule of the input that a source broke, and tell the operator where that is its action.
    Rule {
        /// Which.
        rule: config::InputRule,
        /// What is done.
        action: config::RuleAction,
        /// The sentence.
        text: String,
    },
    /// Drop what is kept of the open segment of track `.0`: a new worker encodes it anew.
    Restart(usize, SegmentNumber),
    /// Take no publisher for [`QUARANTINE`]: the feed kills its workers. With the reason.
    Quarantine(String),
    /// End this publish, with a sentence for the encoder.
    Dismiss(SourceId, String),
    /// Replace what a later daemon needs to go on; none: it is not to go on.
    Note(Option<Box<Note>>),
    /// The presentation is over, or suspended; nothing comes behind this.
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
    /// What a later daemon needs to go on with it.
    pub note: Note,
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
    /// Whether closed captions stand in its pictures.
    pub captions: bool,
}

/// One presentation.
#[derive(Debug)]
pub struct Presentation {
    config: Arc<config::Feed>,
    limits: config::SourceLimits,
    sources: Sources,
    phase: Phase,
    /// When media last came from a source on air.
    heard: Option<Instant>,
    /// Until when nobody may come back.
    quarantined_until: Option<Instant>,
    /// What a later daemon would know; none where that is an earlier one's note.
    noted: Option<Noted>,
    problem: Option<String>,
}

/// What a later daemon would know of a presentation that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// There is a source.
    Source,
    /// There is none.
    NoSource,
    /// It is not to be gone on with.
    Over,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    OnAir(Box<on_air::OnAir>),
    Closed,
}

impl Presentation {
    /// A presentation whose source is yet to come.
    #[must_use]
    pub fn new(config: Arc<config::Feed>, limits: config::SourceLimits) -> Self {
        Self {
            config,
            limits,
            sources: Sources::new(),
            phase: Phase::Waiting,
            heard: None,
            quarantined_until: None,
            noted: Some(Noted::Source),
            problem: None,
        }
    }

    /// A presentation that an earlier daemon left, gone on with at `now`. `silent` is how long it had no source by then;
    /// time in which nobody could publish, because no daemon ran, does not count.
    ///
    /// # Errors
    /// Where what was noted makes no sense to this release, with a sentence for the operator.
    pub fn resume(
        config: Arc<config::Feed>,
        limits: config::SourceLimits,
        now: Now,
        silent: Duration,
        from: Continuation,
    ) -> Result<(Self, Vec<Action>), String> {
        let (on_air, actions) = on_air::OnAir::resume(&config, limits.clone(), now, from)?;
        let mut this = Self::new(config, limits);
        this.phase = Phase::OnAir(Box::new(on_air));
        // A monotonic clock that is younger than the silence makes it shorter, which does no harm.
        this.noted = None;
        this.heard = Some(now.instant.checked_sub(silent).unwrap_or(now.instant));
        let actions = this.settle(now, actions);
        Ok((this, actions))
    }

    /// A publisher has joined.
    pub fn source_joined(&mut self, id: SourceId, role: Role) {
        let probing = self.probing();
        self.sources.join(id, role, probing);
    }

    fn probing(&self) -> Probing {
        let grid = match &self.phase {
            Phase::OnAir(on_air) => Some(on_air.frame_rate()),
            _ => None,
        };
        Probing::new(&self.config, &self.limits, grid)
    }

    /// The source that is on air, if one is.
    #[must_use]
    pub const fn source_on_air(&self) -> Option<SourceId> {
        self.sources.on_air()
    }

    /// Takes what a publisher sent at `now`.
    pub fn input(&mut self, now: Now, id: SourceId, input: Input) -> Vec<Action> {
        let empty = matches!(&input, Input::Video { payload, .. } | Input::Audio { payload, .. } if payload.is_empty());
        if empty || matches!(self.phase, Phase::Closed) {
            return Vec::new();
        }
        let mut actions = match self.sources.hear(now, id, input) {
            Heard::OnAir(input) => {
                self.heard = Some(now.instant);
                match &mut self.phase {
                    Phase::OnAir(on_air) => on_air.input(now, input),
                    _ => Vec::new(),
                }
            }
            Heard::Kept => Vec::new(),
            Heard::Refuse(reason) => self.refuse(id, reason),
        };
        actions.extend(self.switch(now));
        self.settle(now, actions)
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        if matches!(self.phase, Phase::Closed) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for (id, reason) in self.sources.tick(now) {
            actions.extend(self.refuse(id, reason));
        }
        actions.extend(self.switch(now));
        if let Phase::OnAir(on_air) = &mut self.phase {
            actions.extend(on_air.tick(now));
        }
        self.settle(now, actions)
    }

    /// Puts the source on air that should be, if another one is or none.
    fn switch(&mut self, now: Now) -> Vec<Action> {
        if self.is_filling() {
            return Vec::new();
        }
        let anew = self.probing();
        let Some(ready) = self.sources.take_over(now, self.config.backup_return, || anew) else {
            return Vec::new();
        };
        self.heard = Some(now.instant);
        match &mut self.phase {
            Phase::Waiting => match on_air::OnAir::start(&self.config, self.limits.clone(), ready) {
                Ok((on_air, actions)) => {
                    self.phase = Phase::OnAir(Box::new(on_air));
                    actions
                }
                Err(reason) => match self.sources.on_air() {
                    Some(id) => self.refuse(id, reason),
                    None => Vec::new(),
                },
            },
            Phase::OnAir(on_air) => on_air.attach(now, ready),
            Phase::Closed => Vec::new(),
        }
    }

    fn refuse(&mut self, id: SourceId, refused: impl Into<Refused>) -> Vec<Action> {
        let Refused { rule, text } = refused.into();
        self.sources.leave(id);
        self.problem = Some(text.clone());
        let action = config::RuleAction::Refuse;
        let counted = rule.map(|rule| Action::Rule { rule, action, text: text.clone() });
        counted.into_iter().chain([Action::Dismiss(id, text)]).collect()
    }

    /// A publisher has gone. Without another one the programme goes on for the grace time, if it had begun.
    pub fn source_gone(&mut self, now: Now, id: SourceId) -> Vec<Action> {
        if matches!(self.phase, Phase::Waiting) && self.problem.is_none() {
            self.problem = Some(self.sources.why_never_started(id));
        }
        let was_on_air = self.sources.leave(id);
        let mut actions = match &mut self.phase {
            Phase::OnAir(on_air) if was_on_air => on_air.detach(now),
            _ => Vec::new(),
        };
        actions.extend(self.switch(now));
        self.settle(now, actions)
    }

    /// Ends the programme: puts out what is left.
    pub fn finish(&mut self, now: Now) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::Waiting => vec![Action::Close],
            Phase::OnAir(on_air) => on_air.finish(),
            Phase::Closed => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// This daemon stops, and a later one is to go on where this one is then: puts out what is left of whole segments.
    pub fn suspend(&mut self, now: Now) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::Waiting => vec![Action::Close],
            Phase::OnAir(on_air) => on_air.suspend(),
            Phase::Closed => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// Whether time in which no daemon ran is still to be filled: [`Self::fill_gap`] is to be called, as often as the store
    /// takes more.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        matches!(&self.phase, Phase::OnAir(on_air) if on_air.is_filling())
    }

    /// Fills at most so many segments of it.
    pub fn fill_gap(&mut self, now: Now, most: u64) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::OnAir(on_air) => on_air.fill_gap(now, most),
            _ => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// Takes what the worker said at `now`.
    pub fn worker(&mut self, now: Now, message: FromWorker, payload: Bytes) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::OnAir(on_air) => on_air.worker(now, message, payload),
            _ => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// The worker's process has ended.
    pub fn worker_ended(&mut self, now: Now, death: &Death) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::OnAir(on_air) => on_air.worker_ended(now, death),
            _ => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// Takes what the worker for sound said at `now`.
    pub fn sound_worker(&mut self, now: Now, message: FromWorker, payload: Bytes) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::OnAir(on_air) => on_air.sound_worker(now, message, payload),
            _ => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// The process of the worker for sound has ended.
    pub fn sound_worker_ended(&mut self, now: Now, death: &Death) -> Vec<Action> {
        let actions = match &mut self.phase {
            Phase::OnAir(on_air) => on_air.sound_worker_ended(now, death),
            _ => Vec::new(),
        };
        self.settle(now, actions)
    }

    /// Does what follows from where things stand now: sends away who cannot be used, ends what has no more reason to go
    /// on, and closes behind the last action.
    fn settle(&mut self, now: Now, mut actions: Vec<Action>) -> Vec<Action> {
        if actions.iter().any(|action| matches!(action, Action::Quarantine(_))) {
            self.quarantined_until = Some(now.instant + QUARANTINE);
        }
        match &mut self.phase {
            Phase::Waiting if self.sources.is_empty() => actions.push(Action::Close),
            Phase::OnAir(on_air) => {
                if let Some(reason) = on_air.take_dismissal() {
                    if let Some(id) = self.sources.on_air() {
                        self.sources.leave(id);
                        actions.push(Action::Dismiss(id, reason));
                    }
                    actions.extend(on_air.detach(now));
                }
                // A connection that stands but is silent is ingest's to give up, and one that is still looked at may go on
                // air; the grace time counts from the last unit, or from when its encoder may come back.
                let excused = self.quarantined_until.filter(|_| !self.config.grace.is_zero());
                let since = self.heard.max(excused);
                let silent =
                    since.map_or(Duration::ZERO, |since| now.instant.saturating_duration_since(since));
                if self.sources.is_empty() && silent >= self.config.grace && !on_air.is_finishing() {
                    actions.extend(on_air.finish());
                }
            }
            _ => {}
        }
        actions.extend(self.note(now));
        let before = actions.len();
        actions.retain(|action| !matches!(action, Action::Close));
        if actions.len() < before {
            if let Phase::OnAir(on_air) = &self.phase {
                self.problem = on_air.problem().map(str::to_owned);
            }
            self.phase = Phase::Closed;
            actions.push(Action::Close);
        }
        actions
    }

    /// Notes for a later daemon what has changed.
    fn note(&mut self, now: Now) -> Option<Action> {
        let Phase::OnAir(on_air) = &self.phase else { return None };
        if !on_air.is_begun() || on_air.is_suspended() {
            return None;
        }
        let state = match (on_air.is_finishing(), self.sources.on_air()) {
            (true, _) => Noted::Over,
            (false, Some(_)) => Noted::Source,
            (false, None) => Noted::NoSource,
        };
        if self.noted.replace(state) == Some(state) {
            return None;
        }
        let silent = self.heard.map_or(Duration::ZERO, |heard| now.instant.saturating_duration_since(heard));
        let silent = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        let since = now.unix_millis.saturating_sub(silent);
        Some(Action::Note(match state {
            Noted::Over => None,
            Noted::Source => Some(Box::new(on_air.note(None))),
            Noted::NoSource => Some(Box::new(on_air.note(Some(since)))),
        }))
    }

    /// Whether what is left is being put out.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        matches!(&self.phase, Phase::OnAir(on_air) if on_air.is_finishing())
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
