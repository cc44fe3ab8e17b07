//! The pictures of a presentation: what the worker's rungs have put out.

use bytes::Bytes;
use media::ladder::RungRate;
use media::{Cadence, FrameRate, MediaTime, Rung, SegmentNumber, VideoCodec};
use packager::SegmentError;
use packager::segmenter::{Packaged, Picture, VideoSegmenter};
use packager::track::TrackSpec;
use worker_protocol::Report;

use crate::feed::meter::Meter;

/// The pictures of a presentation.
#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) rungs: Vec<RungState>,
    /// Up to where the source's pictures, as they are shown, have come, or have been filled.
    pub(super) head: MediaTime,
    /// When the latest picture of the source is decoded: how far it has been read.
    pub(super) read: MediaTime,
    /// The first grid frame that the worker was not told to fill.
    pub(super) filled: u64,
    pub(super) codec: VideoCodec,
    /// The configuration record in force.
    pub(super) configuration: Bytes,
    pub(super) report: Option<Report>,
}

/// One rung.
#[derive(Debug)]
pub(super) struct RungState {
    pub(super) rung: Rung,
    /// There once its encoder is open.
    pub(super) spec: Option<TrackSpec>,
    pub(super) meter: Meter,
    cadence: Cadence,
    segmenter: VideoSegmenter,
    /// How many pictures have come out.
    pictures: u64,
}

impl RungState {
    pub(super) fn new(rung: Rung, cadence: Cadence) -> Self {
        let segmenter = VideoSegmenter::new(cadence, rung.rate, SegmentNumber::FIRST);
        Self { rung, spec: None, meter: Meter::default(), cadence, segmenter, pictures: 0 }
    }

    pub(super) fn frame_rate(&self) -> FrameRate {
        match self.rung.rate {
            RungRate::Full => self.cadence.frame_rate(),
            RungRate::Half => self.cadence.frame_rate().half(),
        }
    }

    /// Takes a coded picture.
    pub(super) fn push(&mut self, picture: Picture) -> Result<Vec<Packaged>, SegmentError> {
        let packages = self.segmenter.push(picture)?;
        self.pictures = self.pictures.saturating_add(1);
        Ok(packages)
    }
}

impl Pictures {
    /// Whether every rung's encoder is open.
    pub(super) fn are_open(&self) -> bool {
        self.rungs.iter().all(|rung| rung.spec.is_some())
    }

    /// How many grid frames the rung that is farthest has put out.
    pub(super) fn frames_out(&self) -> u64 {
        let farthest = |rate: RungRate| {
            self.rungs.iter().filter(|rung| rung.rung.rate == rate).map(|rung| rung.pictures).max()
        };
        // The last picture of a half-rate rung may reach a frame beyond the others' last.
        farthest(RungRate::Full)
            .or_else(|| farthest(RungRate::Half).map(|pictures| pictures.saturating_mul(2)))
            .unwrap_or(0)
    }

    /// Closes the last segments where every rung has come equally far, and gives the number of frames there are.
    ///
    /// After a worker's death each rung ends elsewhere. A segment that is of another length on each of them would be of
    /// use to no player, so it is left open then, and the store drops it.
    pub(super) fn end(&mut self) -> Option<(u64, Vec<(usize, Packaged)>)> {
        let frames = self.frames_out();
        let level = self.rungs.iter().all(|rung| match rung.rung.rate {
            RungRate::Full => rung.pictures == frames,
            RungRate::Half => rung.pictures == frames.div_ceil(2),
        });
        if !level {
            return None;
        }
        let mut last = Vec::new();
        for (track, rung) in self.rungs.iter_mut().enumerate() {
            let packages = rung.segmenter.finish().ok()?;
            last.extend(packages.into_iter().map(|package| (track, package)));
        }
        Some((frames, last))
    }
}
