//! The end of a presentation, or of this daemon's part in it.

use std::time::Duration;

use bytes::Bytes;
use media::{MediaTime, Timescale};
use worker_protocol::ToWorker;

use super::OnAir;
use crate::feed::presentation::Action;
use crate::supervisor::Death;

/// Sound beyond the last picture that is cut off at the end rather than seen with a still picture.
const TAIL: Duration = Duration::from_millis(500);

impl OnAir {
    /// The programme has ended: puts out what is left.
    pub(in super::super) fn finish(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.finishing {
            self.begin_to_finish(&mut actions);
        }
        actions
    }

    pub(super) fn begin_to_finish(&mut self, actions: &mut Vec<Action>) {
        self.finishing = true;
        self.finish_conversion(actions);
        match self.replace_at.take() {
            None => self.put_out_what_is_left(actions),
            Some(_) if self.begun && self.gap.is_none() => self.finish_with_another(actions),
            // Nobody has seen anything yet, or of the slate only whole segments.
            Some(_) => self.close(actions),
        }
    }

    /// The worker is gone, and each rung ends elsewhere. In low latency viewers know chunks of the open segment, which must
    /// not be dropped with it; so another worker makes the rungs even, once.
    fn finish_with_another(&mut self, actions: &mut Vec<Action>) {
        self.finishes_again = true;
        if let Some(video) = &mut self.video
            && self.poisoned
        {
            // It is given no pictures of the source, and fills up to where the farthest rung is.
            video.filled = video.filled.max(video.frames_out());
        }
        self.start_worker(actions);
        self.put_out_what_is_left(actions);
    }

    /// A worker died at `death` while it put out what was left.
    pub(super) fn died_finishing(&mut self, death: &Death, actions: &mut Vec<Action>) {
        let crashed = matches!(death, Death::Failed(_) | Death::Exited(_) | Death::Signalled(_));
        let uneven = self.video.as_ref().is_some_and(|video| !video.is_even());
        if crashed && uneven && self.begun && self.gap.is_none() && !self.finishes_again && !self.suspended {
            return self.finish_with_another(actions);
        }
        self.close(actions);
    }

    fn put_out_what_is_left(&mut self, actions: &mut Vec<Action>) {
        let Some(video) = &self.video else { return self.close(actions) };
        if self.gap.is_some() {
            // The worker codes the slate, and there is none to put out what is left.
            return self.close(actions);
        }
        if let Some(audio) = &self.audio
            && audio.head.minus(video.head) > MediaTime::from_duration(TAIL, Timescale::VIDEO)
        {
            // A short tail is cut instead: filling would cost the pictures that the decoder still holds.
            let frame = self.cadence.nearest_frame(audio.head);
            let slate_from = u64::MAX;
            actions.push(Action::ToWorker(ToWorker::FillTo { frame, slate_from }, Bytes::new()));
        }
        actions.push(Action::ToWorker(ToWorker::Finish, Bytes::new()));
    }

    /// Closes the last segments, sound and picture at the same time.
    pub(super) fn close(&mut self, actions: &mut Vec<Action>) {
        if self.suspended {
            self.complete_sound(actions);
            return self.close_as_it_is(actions);
        }
        self.finishing = true;
        self.release_behind(actions);
        let mut last = Vec::new();
        let mut sound_ends_at = None;
        if let Some(video) = &mut self.video
            && let Some((frames, packages)) = video.end()
        {
            last = packages;
            sound_ends_at = Some(self.cadence.time_of(frames));
        }
        if let Some(audio) = &mut self.audio {
            let packages = match (sound_ends_at, &self.video) {
                (Some(time), _) => audio.end_at(time),
                (None, None) => audio.end(),
                (None, Some(_)) => Ok(Vec::new()),
            };
            match packages {
                Ok(packages) => last.extend(packages.into_iter().map(|package| (audio.track, package))),
                Err(fault) => {
                    self.problem.get_or_insert(fault);
                }
            }
        }
        if self.begun {
            actions.extend(last.into_iter().map(|(track, package)| Action::Keep(track, package)));
        }
        actions.push(Action::Close);
    }

    /// This daemon stops and a later one is to go on: puts out what is left of whole segments. One that is cut short could
    /// have nothing behind it.
    pub(in super::super) fn suspend(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finishing {
            return actions;
        }
        self.finishing = true;
        self.suspended = true;
        match self.video.is_none() || self.replace_at.is_some() || self.gap.is_some() {
            true => self.close_as_it_is(&mut actions),
            false => {
                self.finish_conversion(&mut actions);
                actions.push(Action::ToWorker(ToWorker::Finish, Bytes::new()));
            }
        }
        actions
    }

    /// Makes the sound whole of each segment whose pictures are, with silence for what it lacks: that would have come within
    /// tens of milliseconds. Viewers in low latency have been told of those pictures, and for want of a little sound all of
    /// the segment would be made anew, of the slate.
    fn complete_sound(&mut self, actions: &mut Vec<Action>) {
        self.release_behind(actions);
        let (Some(video), Some(audio)) = (&self.video, &mut self.audio) else { return };
        let open = self.cadence.segment_of(video.open_from());
        if self.begun && audio.segment() < open {
            let packaged = audio.pass_segment(self.cadence.segment_start(open));
            self.keep_audio(packaged, actions);
        }
    }

    /// Closes without making anything of what is not whole.
    pub(super) fn close_as_it_is(&mut self, actions: &mut Vec<Action>) {
        self.finishing = true;
        actions.push(Action::Close);
    }
}
