//! Another source takes its place in the programme: with any stamps, any encoder settings, any size or rate.

use media::probe::Source;
use worker_protocol::ToWorker;

use super::OnAir;
use crate::feed::presentation::Action;
use crate::feed::presentation::probing::{Held, Ready};
use crate::feed::presentation::watch::Finding;
use crate::feed::source::Input;

impl OnAir {
    /// Another source takes its place in the programme: at the latency that there was, on the next grid time.
    pub(in super::super) fn attach(&mut self, ready: Ready) -> Vec<Action> {
        let Ready { source, zero, held } = ready;
        let mut actions = Vec::new();
        let elapsed = self.elapsed(zero);
        let stamp = held.first().and_then(|held| match &held.input {
            Input::Video { stamp, .. } | Input::Audio { stamp, .. } => Some(*stamp),
            _ => None,
        });
        if let Some(stamp) = stamp {
            let frame = self.cadence.frame_at(self.timeline.return_at(elapsed));
            let next = if self.cadence.time_of(frame) < self.timeline.return_at(elapsed) {
                frame + 1
            } else {
                frame
            };
            self.timeline.anchor(elapsed, stamp, self.cadence.time_of(next));
        }
        if let (Some(video), Some(params)) = (&mut self.video, &source.video) {
            video.gop.clear();
            video.codec = params.codec;
            video.configuration = params.configuration.clone();
            video.gop.configuration(params.codec, params.configuration.clone());
            let message = ToWorker::VideoConfiguration { codec: params.codec };
            actions.push(Action::ToWorker(message, params.configuration.clone()));
        }
        self.attached = true;
        self.poisoned = false;
        self.problem = None;
        self.warning = None;
        self.watch.anew();
        for finding in self.watch.source(zero.instant, &source, None) {
            self.heed(finding, &mut actions);
        }
        if let Some(text) = self.silent_because(&source) {
            self.heed(Finding::Warn { rule: "audio_format", text }, &mut actions);
        }
        self.sound_fits = self.sound_fits_of(&source);
        self.source = source;
        for Held { at, input } in held {
            actions.extend(self.input(at, input));
        }
        actions
    }

    /// The source has gone. The programme goes on without.
    pub(in super::super) fn detach(&mut self) {
        self.attached = false;
    }

    /// The sound of a track is what its init segment says: another sample rate or layout cannot stand in it.
    fn sound_fits_of(&self, source: &Source) -> bool {
        match (&self.audio, &source.audio) {
            (Some(sound), Some(params)) => sound.params.configuration == params.configuration,
            _ => true,
        }
    }

    fn silent_because(&self, source: &Source) -> Option<String> {
        let (sound, params) = (self.audio.as_ref()?, source.audio.as_ref()?);
        (!self.sound_fits_of(source)).then(|| {
            format!(
                "the encoder came back with sound of {} Hz and {} channels where the programme has {} Hz and {}; \
                 there is silence until the next programme",
                params.sample_rate, params.channels, sound.params.sample_rate, sound.params.channels
            )
        })
    }
}
