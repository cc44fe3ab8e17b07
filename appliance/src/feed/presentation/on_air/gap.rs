//! The time that the daemon was away for: filled with the slate, faster than any encoder would.
//!
//! A slate is a still, and a segment is a closed group of pictures, so the coded pictures of one slate segment can stand
//! in any other as well. A worker codes one segment of each rung, and its pictures are put out again for every segment
//! that is wholly past. What is left is less than a segment, and the next worker's to catch up with.

use bytes::Bytes;
use packager::segmenter::Picture;
use worker_protocol::{Job, RungJob, ToWorker};

use media::{MediaTime, SegmentNumber};

use super::OnAir;
use crate::clock::Now;
use crate::feed::presentation::Action;

/// Whole segments from which on coding one for all is quicker than coding each: it takes a worker of its own.
const WORTH_REPEATING: u64 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Gap {
    /// By rung: the pictures of one slate segment, in decoding order.
    slate: Vec<Vec<Picture>>,
    /// The first frame of the segment that they were coded for.
    first_frame: u64,
    /// Whether they are all there.
    coded: bool,
}

impl Gap {
    /// A picture of the slate has been coded.
    pub(super) fn push(&mut self, rung: usize, picture: Picture) {
        if let Some(pictures) = self.slate.get_mut(rung) {
            pictures.push(picture);
        }
    }
}

impl OnAir {
    /// Whether the time that the daemon was away for is still being filled. Meanwhile no source can be on air.
    pub(in super::super) const fn is_filling(&self) -> bool {
        self.gap.is_some()
    }

    /// The segment to be made next, where all tracks are equally far.
    fn next_segment(&self) -> SegmentNumber {
        match (&self.video, &self.audio) {
            (Some(video), _) => self.cadence.segment_of(video.open_from()),
            (None, Some(audio)) => audio.segment(),
            (None, None) => SegmentNumber::FIRST,
        }
    }

    /// Goes on from here: by coding a slate first where there is a gap to fill with it.
    pub(super) fn open_gap(&mut self, now: Now, actions: &mut Vec<Action>) {
        let next = self.next_segment();
        let worth = SegmentNumber(next.0.saturating_add(WORTH_REPEATING));
        let elapsed = MediaTime::from_duration(self.elapsed(now), media::Timescale::VIDEO);
        if self.cadence.segment_start(worth) <= elapsed {
            let first_frame = self.cadence.first_frame(next);
            let coded = self.video.is_none();
            self.gap = Some(Gap { slate: Vec::new(), first_frame, coded });
        }
        self.start_worker(actions);
    }

    /// Starts a worker that codes one segment of the slate.
    pub(super) fn start_slate_worker(&mut self, actions: &mut Vec<Action>) {
        let (Some(video), Some(gap)) = (&self.video, &mut self.gap) else { return };
        let first_frame = gap.first_frame;
        gap.slate = vec![Vec::new(); video.rungs.len()];
        let rungs = video.rungs.iter().map(|state| RungJob { rung: state.rung.clone(), first_frame });
        actions.push(Action::StartWorker(Job {
            feed: self.feed.clone(),
            title: self.title.clone(),
            slate: false,
            latency: self.latency,
            cadence: self.cadence,
            rungs: rungs.collect(),
        }));
        let frame = first_frame.saturating_add(u64::from(self.cadence.frames_per_segment()));
        actions.push(Action::ToWorker(ToWorker::FillTo { frame, slate_from: first_frame }, Bytes::new()));
        actions.push(Action::ToWorker(ToWorker::Finish, Bytes::new()));
    }

    /// The worker has put out all of the slate.
    pub(super) fn slate_is_coded(&mut self) {
        let (Some(video), Some(gap)) = (&self.video, &mut self.gap) else { return };
        gap.coded = video.rungs.iter().zip(&gap.slate).all(|(state, pictures)| {
            u64::try_from(pictures.len()).is_ok_and(|count| count == state.pictures_per_segment())
        });
    }

    /// Whether the worker that has ended was only there to code the slate, and did.
    pub(super) fn has_slate(&self) -> bool {
        self.gap.as_ref().is_some_and(|gap| gap.coded)
    }

    /// Fills up to `most` segments of the gap, and goes on with a worker where that was all.
    pub(in super::super) fn fill_gap(&mut self, now: Now, most: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(gap) = self.gap.take() else { return actions };
        if !gap.coded || self.finishing {
            self.gap = Some(gap);
            return actions;
        }
        let elapsed = MediaTime::from_duration(self.elapsed(now), media::Timescale::VIDEO);
        for _ in 0..most {
            let end = self.cadence.segment_start(self.next_segment().next());
            if end > elapsed {
                self.start_worker(&mut actions);
                return actions;
            }
            self.fill_segment(&gap, end, &mut actions);
            if self.finishing {
                return actions;
            }
        }
        self.gap = Some(gap);
        actions
    }

    /// Puts the slate in the next segment, which ends at `end`.
    fn fill_segment(&mut self, gap: &Gap, end: MediaTime, actions: &mut Vec<Action>) {
        let first_frame = self.cadence.first_frame(self.next_segment());
        let mut packages = Vec::new();
        if let Some(video) = &mut self.video {
            for (track, (state, pictures)) in video.rungs.iter_mut().zip(&gap.slate).enumerate() {
                for picture in pictures {
                    let within = picture.frame.saturating_sub(gap.first_frame);
                    let picture = Picture { frame: first_frame.saturating_add(within), ..picture.clone() };
                    match state.push(picture) {
                        Ok(packaged) => packages.extend(packaged.into_iter().map(|package| (track, package))),
                        Err(fault) => {
                            return self.give_up(format!("the slate cannot be packaged: {fault}"), actions);
                        }
                    }
                }
            }
            video.slate_from(end, self.cadence.frame_at(end));
        }
        packages.into_iter().for_each(|(track, package)| self.keep(track, package, actions));
        if let Some(audio) = &mut self.audio {
            let packaged = audio.pass_segment(end);
            self.keep_audio(packaged, actions);
        }
        self.timeline.filled_to(end);
    }
}
