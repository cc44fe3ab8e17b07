//! A presentation that an earlier daemon left is gone on with.

use bytes::Bytes;
use media::gop::GopBuffer;
use media::probe::Source;
use media::{AudioParams, Cadence, SegmentNumber};
use packager::track::TrackSpec;

use super::pictures::{Pictures, RungState, Start};
use super::sound::Sound;
use super::{GOP_BOUNDS, OnAir, Zero};
use crate::clock::Now;
use crate::config;
use crate::feed::presentation::Action;
use crate::feed::presentation::note::{Note, NotedRung};

/// Where to go on.
#[derive(Debug, Clone)]
pub struct Continuation {
    /// What was noted.
    pub note: Note,
    /// Wall time of presentation time zero, in milliseconds since 1970.
    pub availability_start_unix_millis: u64,
    /// The grid.
    pub cadence: Cadence,
    /// What is to be written next, on every track.
    pub next_segment: SegmentNumber,
}

impl OnAir {
    /// Goes on at `now`: what lies between is filled with the slate, until a source comes.
    ///
    /// # Errors
    /// Where what was noted makes no sense to this release, with a sentence for the operator.
    pub(in super::super) fn resume(
        config: &config::Feed,
        limits: config::SourceLimits,
        now: Now,
        from: Continuation,
    ) -> Result<(Self, Vec<Action>), String> {
        let Continuation { note, availability_start_unix_millis, cadence, next_segment } = from;
        let start = cadence.segment_start(next_segment);
        let age = now.unix_millis.saturating_sub(availability_start_unix_millis);
        let zero = Zero {
            unix_millis: availability_start_unix_millis,
            taken_up: now.instant,
            // A wall clock that was set back in the meantime does not take back what was listed.
            age: std::time::Duration::from_millis(age).max(start.to_duration()),
        };
        let at = Start::new(config, next_segment, availability_start_unix_millis);
        let rungs: Vec<_> = note.rungs.iter().map(|rung| reopened(rung, cadence, at)).collect();
        let audio = match &note.audio {
            Some(record) => {
                let params =
                    AudioParams::parse(Bytes::from(record.clone())).map_err(|fault| fault.to_string())?;
                Some(Sound::new(&params, cadence, rungs.len(), !rungs.is_empty(), at)?)
            }
            None => None,
        };
        let video = (!rungs.is_empty()).then(|| {
            let mut video = Pictures { rungs, ..Pictures::new(GopBuffer::new(GOP_BOUNDS)) };
            video.slate_from(start, cadence.first_frame(next_segment));
            video
        });
        if video.is_none() && audio.is_none() {
            return Err("it has no tracks".to_owned());
        }
        // Nothing is known of it until it comes.
        let source = Source { video: None, audio: None, frame_rate: cadence.frame_rate() };
        let mut this = Self::assemble(config, limits, (zero, cadence), source, (video, audio));
        this.begun = true;
        this.timeline.filled_to(start);
        let mut actions = Vec::new();
        this.open_gap(now, &mut actions);
        Ok((this, actions))
    }

    /// What a later daemon needs to go on; `silent_since_unix_millis` is since when there is no source.
    pub(in super::super) fn note(&self, silent_since_unix_millis: Option<u64>) -> Note {
        let rungs = self.video.as_ref().map_or(&[][..], |video| &video.rungs);
        let rungs =
            rungs.iter().filter_map(|state| NotedRung::of(&state.rung, state.spec.as_ref()?)).collect();
        let audio = self.audio.as_ref().map(|audio| audio.params.configuration.to_vec());
        Note::new(self.settings.clone(), rungs, audio, silent_since_unix_millis)
    }

    /// Whether the store has it, and a later daemon could go on with it.
    pub(in super::super) const fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether a later daemon is to go on with it.
    pub(in super::super) const fn is_suspended(&self) -> bool {
        self.suspended
    }
}

fn reopened(noted: &NotedRung, cadence: Cadence, at: Start) -> RungState {
    let mut state = RungState::new(noted.rung.clone(), cadence, at);
    let configuration = Bytes::from(noted.configuration.clone());
    state.spec = Some(TrackSpec::video(noted.codec, configuration, noted.size, state.frame_rate()));
    state
}
