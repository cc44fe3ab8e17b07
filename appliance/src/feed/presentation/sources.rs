//! The publishers of a presentation: which of them is on air, and what is kept of those that could be.

use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::config::BackupReturn;
use crate::feed::source::Input;

use super::probing::{Probing, Ready, Refused, Verdict};

/// Names a publish within its feed.
pub type SourceId = u64;

/// What a publisher's key makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The feed's own key.
    Primary,
    /// The backup key.
    Backup,
}

/// How long the source on air may be silent before another one takes over: with the switch itself, under a second.
const SILENCE: Duration = Duration::from_millis(700);

/// What is to be done with a source's input.
pub(super) enum Heard {
    /// It is on air: use it.
    OnAir(Input),
    /// It is kept for later, or dropped.
    Kept,
    /// The source cannot be used, for this reason.
    Refuse(Refused),
}

/// The publishers of a presentation.
#[derive(Debug)]
pub(super) struct Sources {
    all: Vec<Source>,
    on_air: Option<SourceId>,
}

#[derive(Debug)]
struct Source {
    id: SourceId,
    role: Role,
    /// What it is and its last units, from a key frame on; none while it is on air.
    standby: Option<Probing>,
    heard: Option<Instant>,
    records: Records,
}

/// What an encoder says once, at its beginning.
#[derive(Debug, Default)]
struct Records {
    hints: Option<Input>,
    video: Option<Input>,
    audio: Option<Input>,
}

impl Records {
    fn note(&mut self, input: &Input) {
        let place = match input {
            Input::Hints(_) => &mut self.hints,
            Input::VideoConfiguration { .. } => &mut self.video,
            Input::AudioConfiguration(_) => &mut self.audio,
            Input::Video { .. } | Input::Audio { .. } | Input::Unsupported { .. } => return,
        };
        *place = Some(input.clone());
    }

    fn all(&self) -> impl Iterator<Item = Input> {
        [&self.hints, &self.video, &self.audio].into_iter().flatten().cloned()
    }
}

impl Source {
    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_none_or(|heard| now.saturating_duration_since(heard) > SILENCE)
    }

    fn is_ready(&self, now: Instant) -> bool {
        !self.is_silent(now) && self.standby.as_ref().is_some_and(Probing::is_ready)
    }
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new(), on_air: None }
    }

    pub(super) fn join(&mut self, id: SourceId, role: Role, probing: Probing) {
        self.all.push(Source { id, role, standby: Some(probing), heard: None, records: Records::default() });
    }

    pub(super) const fn on_air(&self) -> Option<SourceId> {
        self.on_air
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A source went. Whether it was on air.
    pub(super) fn leave(&mut self, id: SourceId) -> bool {
        self.all.retain(|source| source.id != id);
        let was_on_air = self.on_air == Some(id);
        if was_on_air {
            self.on_air = None;
        }
        was_on_air
    }

    pub(super) fn hear(&mut self, now: Now, id: SourceId, input: Input) -> Heard {
        let Some(source) = self.all.iter_mut().find(|source| source.id == id) else { return Heard::Kept };
        if matches!(input, Input::Video { .. } | Input::Audio { .. }) {
            source.heard = Some(now.instant);
        }
        source.records.note(&input);
        match &mut source.standby {
            None => Heard::OnAir(input),
            Some(probing) => match probing.input(now, input) {
                Verdict::Refuse(reason) => Heard::Refuse(reason),
                Verdict::NeedMore | Verdict::Ready => Heard::Kept,
            },
        }
    }

    /// Lets time pass for those that are being looked at; gives those that cannot be used, with the reason.
    pub(super) fn tick(&mut self, now: Now) -> Vec<(SourceId, Refused)> {
        let looked_at = self.all.iter_mut().filter_map(|source| {
            let verdict = source.standby.as_mut()?.tick(now);
            match verdict {
                Verdict::Refuse(reason) => Some((source.id, reason)),
                Verdict::NeedMore | Verdict::Ready => None,
            }
        });
        looked_at.collect()
    }

    /// The source that should be on air instead of what is, with what it is and its last units. One that leaves the air
    /// without having gone is looked at anew.
    pub(super) fn take_over(
        &mut self,
        now: Now,
        policy: BackupReturn,
        anew: impl FnOnce() -> Probing,
    ) -> Option<Ready> {
        let current = self.on_air.and_then(|id| self.all.iter().position(|source| source.id == id));
        let better = |role: Role| {
            self.all.iter().position(|source| source.role == role && source.is_ready(now.instant))
        };
        let next = match current.and_then(|index| self.all.get(index)) {
            None => better(Role::Primary).or_else(|| better(Role::Backup)),
            Some(source) if source.is_silent(now.instant) => {
                better(Role::Primary).or_else(|| better(Role::Backup))
            }
            Some(source) if source.role == Role::Backup && policy == BackupReturn::AtOnce => {
                better(Role::Primary)
            }
            Some(_) => None,
        }?;
        let next_source = self.all.get_mut(next)?;
        let ready = next_source.standby.as_mut()?.take(now)?;
        next_source.standby = None;
        self.on_air = Some(next_source.id);
        if let Some(source) =
            current.filter(|current| *current != next).and_then(|index| self.all.get_mut(index))
        {
            let mut probing = anew();
            for record in source.records.all() {
                probing.input(now, record);
            }
            source.standby = Some(probing);
        }
        Some(ready)
    }

    /// Why a source that is gone was never on air.
    pub(super) fn why_never_started(&self, id: SourceId) -> String {
        let source = self.all.iter().find(|source| source.id == id);
        source
            .and_then(|source| source.standby.as_ref())
            .map_or_else(|| "the encoder has gone".to_owned(), Probing::why_never_started)
    }
}
