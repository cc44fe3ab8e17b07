//! What the worker sends: rungs that are open, coded pictures, and how it does.

use bytes::Bytes;
use packager::segmenter::Picture;
use packager::track::TrackSpec;
use worker_protocol::{FromWorker, Report};

use super::pictures::RungState;
use super::{Finding, OnAir};
use crate::clock::Now;
use crate::feed::presentation::{AUDIO_TRACK, Action, Opening, OpeningTrack};

/// Source pictures in which a decoder must have found at least one picture.
const HOPELESS_UNITS: u64 = 250;
/// What an AAC stream of a studio has at most; a manifest must say something before the first segment is measured.
const NOMINAL_AUDIO_BIT_RATE: u64 = 128_000;

impl OnAir {
    pub(in super::super) fn worker(&mut self, now: Now, message: FromWorker, payload: Bytes) -> Vec<Action> {
        let mut actions = Vec::new();
        match message {
            FromWorker::RungOpened { rung, codec, size, captions } => {
                let Some(state) = self.rung(rung) else { return actions };
                state.captions = captions;
                let spec = TrackSpec::video(codec, payload, size, state.frame_rate());
                match &state.spec {
                    None => state.spec = Some(spec),
                    // Viewers have the first worker's init segment, and would decode nonsense with it.
                    Some(first) if *first != spec => {
                        self.send_away(format!("a new worker encodes rung {rung} with other parameters"));
                        // Nothing of what it sends may stand behind what there is.
                        self.close_as_it_is(&mut actions);
                        return actions;
                    }
                    Some(_) => {}
                }
                self.begin_if_open(&mut actions);
            }
            FromWorker::Picture { rung, frame, key } => {
                let picture = Picture { frame, key, payload };
                match &mut self.gap {
                    Some(gap) => gap.push(usize::from(rung), picture),
                    None => self.coded_picture(now, rung, picture, &mut actions),
                }
            }
            FromWorker::Report(report) => self.note_report(report),
            FromWorker::Finished if self.gap.is_some() => self.slate_is_coded(),
            FromWorker::Finished => {
                if !self.finishing {
                    self.send_away("the worker finished before its source did".to_owned());
                }
                self.close(&mut actions);
            }
            FromWorker::Warning { text } => self.heed(Finding::Warn { rule: "worker", text }, &mut actions),
            FromWorker::Hello { .. }
            | FromWorker::Failed { .. }
            | FromWorker::SoundOpened
            | FromWorker::ConvertedSound { .. }
            | FromWorker::SoundReport(_) => {}
        }
        actions
    }

    fn rung(&mut self, index: u8) -> Option<&mut RungState> {
        self.video.as_mut()?.rungs.get_mut(usize::from(index))
    }

    fn coded_picture(&mut self, now: Now, rung: u8, picture: Picture, actions: &mut Vec<Action>) {
        let Some(state) = self.rung(rung) else { return };
        if state.spec.is_none() {
            return self
                .give_up(format!("the worker sent pictures of rung {rung} before it opened"), actions);
        }
        state.meter.add(now.instant, picture.payload.len());
        match state.push(picture) {
            Ok(packages) => {
                packages.into_iter().for_each(|package| self.keep(usize::from(rung), package, actions))
            }
            Err(fault) => {
                return self.give_up(format!("rung {rung} cannot be packaged: {fault}"), actions);
            }
        }
        if let Some(video) = &mut self.video {
            // That stands still for a segment, but for low latency.
            let from = video.open_from();
            if video.released_to != from {
                video.released_to = from;
                video.gop.release_before(self.cadence.time_of(from));
            }
        }
        if let (Some(video), Some(audio)) = (&self.video, &mut self.audio) {
            let packaged = audio.release_to(self.cadence.time_of(video.frames_out()));
            self.keep_audio(packaged, actions);
        }
    }

    fn note_report(&mut self, report: Report) {
        let Some(video) = &mut self.video else { return };
        if report.pictures_decoded == 0 && report.units_in >= HOPELESS_UNITS {
            let reason = format!(
                "none of the first {} {} pictures could be decoded; check the encoder",
                report.units_in,
                video.codec.name()
            );
            self.send_away(reason);
            return;
        }
        video.report = Some(report);
    }

    /// Opens the presentation in the store once every track has its parameters.
    pub(super) fn begin_if_open(&mut self, actions: &mut Vec<Action>) {
        let rungs = self.video.as_ref().map_or(&[][..], |video| &video.rungs);
        if self.begun || self.video.as_ref().is_some_and(|video| !video.are_open()) {
            return;
        }
        let video_tracks = rungs.iter().filter_map(|state| {
            Some(OpeningTrack {
                name: state.rung.name.clone(),
                spec: state.spec.clone()?,
                nominal_bit_rate: u64::from(state.rung.bit_rate),
                captions: self.captions && state.captions,
            })
        });
        let audio_track = self.audio.as_ref().map(|audio| OpeningTrack {
            name: AUDIO_TRACK.to_owned(),
            spec: audio.spec.clone(),
            nominal_bit_rate: NOMINAL_AUDIO_BIT_RATE,
            captions: false,
        });
        actions.push(Action::Begin(Opening {
            availability_start_unix_millis: self.zero.unix_millis,
            cadence: self.cadence,
            tracks: video_tracks.chain(audio_track).collect(),
            note: self.note(None),
        }));
        self.begun = true;
        actions.extend(self.held.drain(..).map(|(track, package)| Action::Keep(track, package)));
    }
}
