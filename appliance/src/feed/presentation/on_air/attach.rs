//! Another source takes its place in the programme: with any stamps, any encoder settings, any size or rate.

use std::time::Duration;

use media::probe::Source;
use media::{Arrival, FrameRate, MediaTime, TimelineConfig, Timescale, Track};
use worker_protocol::ToWorker;

use super::OnAir;
use super::left_out::LeftOut;
use crate::clock::Now;
use crate::feed::presentation::Action;
use crate::feed::presentation::probing::{Held, Ready};
use crate::feed::source::Input;

impl OnAir {
    /// Another source takes its place in the programme, at the latency that there was: what it sent just now is what is
    /// shown next. What it sent before, back to the last key frame, is there for the decoder.
    pub(in super::super) fn attach(&mut self, now: Now, ready: Ready) -> Vec<Action> {
        let Ready { mut source, zero, held, announced } = ready;
        // Its sound may begin any time, and is known by its record.
        source.audio = source.audio.or(announced);
        self.since = zero.instant;
        let mut actions = Vec::new();
        let heard = self.is_heard(&source);
        let arrivals = held.iter().filter_map(|Held { at, input }| {
            let (track, stamp) = match input {
                Input::Video { stamp, .. } if self.video.is_some() => (Track::Video, *stamp),
                Input::Audio { stamp, .. } if self.audio.is_some() && heard => (Track::Audio, *stamp),
                _ => return None,
            };
            Some(Arrival { at: self.elapsed(*at), track, stamp })
        });
        let arrivals: Vec<_> = arrivals.collect();
        let (picture, sound) = frame_lengths(&source, self.cadence.frame_rate());
        self.timeline.set_nominal(picture, sound);
        self.timeline.rejoin(&arrivals, &self.cadence);
        if let (Some(video), Some(params)) = (&mut self.video, &source.video) {
            video.gop.clear();
            video.codec = params.codec;
            video.configuration = params.configuration.clone();
            video.gop.configuration(params.codec, params.configuration.clone());
            actions.push(Action::CatchUp);
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
        self.choose_sound(now, &source, &mut actions);
        self.source = source;
        self.left_out = LeftOut::default();
        self.sound_changed = None;
        self.tell_of_extra_tracks(&mut actions);
        for Held { at, input } in held {
            actions.extend(self.input(at, input));
        }
        actions
    }

    /// The source has gone. The programme goes on without.
    pub(in super::super) fn detach(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.attached = false;
        self.end_conversion(now, &mut actions);
        actions
    }
}

/// What is between two pictures, and two frames of sound, of a source, where it says so; else as on a grid of that rate.
pub(super) fn frame_lengths(source: &Source, grid: FrameRate) -> (Duration, Duration) {
    let rate = source.video.as_ref().and_then(|video| video.frame_rate).unwrap_or(grid);
    let nanos = 1_000_000_000 * u64::from(rate.denominator()) / u64::from(rate.numerator());
    let sound = source.audio.as_ref().and_then(|params| {
        let rate = Timescale::new(params.sample_rate)?;
        Some(MediaTime::new(i64::from(params.samples_per_frame), rate).to_duration())
    });
    (Duration::from_nanos(nanos), sound.unwrap_or(TimelineConfig::default().audio_frame))
}
