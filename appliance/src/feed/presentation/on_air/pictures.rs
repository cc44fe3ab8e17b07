//! The pictures of a presentation: what the worker's rungs have put out.

use bytes::Bytes;
use media::gop::GopBuffer;
use media::ladder::RungRate;
use media::{Cadence, FrameRate, Latency, MediaTime, Rung, SegmentNumber, VideoCodec};
use packager::SegmentError;
use packager::segmenter::{Packaged, Picture, VideoSegmenter};
use packager::track::TrackSpec;
use worker_protocol::Report;

use crate::config;
use crate::feed::meter::Meter;

/// How long the last picture is held before the slate.
const LAST_PICTURE_MILLIS: i64 = 1000;

/// Where tracks begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Their first segment.
    pub(super) segment: SegmentNumber,
    /// Wall time of presentation time zero, in milliseconds since 1970, where chunks are to say when they happened.
    pub(super) producer_zero: Option<u64>,
}

impl Start {
    pub(super) fn new(config: &config::Feed, segment: SegmentNumber, zero_unix_millis: u64) -> Self {
        // Standard latency has no use for them, and they are bytes of every chunk.
        Self { segment, producer_zero: (config.latency == Latency::Low).then_some(zero_unix_millis) }
    }
}

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
    /// Where the source's own pictures ended.
    pub(super) source_end: MediaTime,
    pub(super) codec: VideoCodec,
    /// The configuration record in force.
    pub(super) configuration: Bytes,
    /// What a new worker is brought up to date with.
    pub(super) gop: GopBuffer,
    /// The grid frame before which that has let go of what no decoder needs.
    pub(super) released_to: u64,
    pub(super) report: Option<Report>,
}

/// One rung.
#[derive(Debug)]
pub(super) struct RungState {
    pub(super) rung: Rung,
    /// There once its encoder is open.
    pub(super) spec: Option<TrackSpec>,
    /// Whether it passes closed captions on.
    pub(super) captions: bool,
    pub(super) meter: Meter,
    cadence: Cadence,
    producer_zero: Option<u64>,
    segmenter: VideoSegmenter,
    /// How many pictures have come out.
    pictures: u64,
}

impl RungState {
    /// A rung of a presentation on this grid, from a segment on.
    pub(super) fn new(rung: Rung, cadence: Cadence, start: Start) -> Self {
        let segmenter = segmenter(cadence, rung.rate, start);
        let mut this = Self {
            rung,
            spec: None,
            captions: false,
            meter: Meter::default(),
            cadence,
            producer_zero: start.producer_zero,
            segmenter,
            pictures: 0,
        };
        this.pictures = this.open_from() / this.step();
        this
    }

    pub(super) fn frame_rate(&self) -> FrameRate {
        match self.rung.rate {
            RungRate::Full => self.cadence.frame_rate(),
            RungRate::Half => self.cadence.frame_rate().half(),
        }
    }

    /// A new worker goes on with this rung, in its open segment, whose number is given with the first grid frame to make
    /// and whether what there is of the segment is void. It is made anew from its beginning, but for chunks that viewers
    /// have been told of: those stay, and the worker begins behind them. `begun` says whether there can be such.
    pub(super) fn restart(&mut self, begun: bool) -> (SegmentNumber, u64, bool) {
        let segment = self.segmenter.segment();
        let (step, start) = (self.step(), self.cadence.first_frame(segment));
        let was_open = self.pictures > start / step;
        let first = if begun { self.open_from() } else { start };
        self.pictures = first / step;
        if begun && self.announces_chunks() && self.segmenter.rewind() {
            return (segment, first, false);
        }
        self.segmenter =
            segmenter(self.cadence, self.rung.rate, Start { segment, producer_zero: self.producer_zero });
        (segment, first, was_open)
    }

    /// Low latency: chunks are announced as they come, and say when they happened.
    const fn announces_chunks(&self) -> bool {
        self.producer_zero.is_some()
    }

    /// The first grid frame that a new worker would have to make.
    pub(super) fn open_from(&self) -> u64 {
        match self.announces_chunks() {
            true => self.segmenter.next_after_chunks(),
            false => self.cadence.first_frame(self.segmenter.segment()),
        }
    }

    /// How many pictures a whole segment has.
    pub(super) fn pictures_per_segment(&self) -> u64 {
        u64::from(self.cadence.frames_per_segment()) / self.step()
    }

    const fn step(&self) -> u64 {
        match self.rung.rate {
            RungRate::Full => 1,
            RungRate::Half => 2,
        }
    }

    /// Takes a coded picture.
    pub(super) fn push(&mut self, picture: Picture) -> Result<Vec<Packaged>, SegmentError> {
        let packages = self.segmenter.push(picture)?;
        self.pictures = self.pictures.saturating_add(1);
        Ok(packages)
    }
}

fn segmenter(cadence: Cadence, rate: RungRate, start: Start) -> VideoSegmenter {
    let segmenter = VideoSegmenter::new(cadence, rate, start.segment);
    match start.producer_zero {
        Some(zero) => segmenter.with_producer_time(zero),
        None => segmenter,
    }
}

impl Pictures {
    /// Without rungs and without a source.
    pub(super) const fn new(gop: GopBuffer) -> Self {
        Self {
            rungs: Vec::new(),
            head: MediaTime::ZERO,
            read: MediaTime::ZERO,
            filled: 0,
            source_end: MediaTime::ZERO,
            codec: VideoCodec::H264,
            configuration: Bytes::new(),
            gop,
            released_to: 0,
            report: None,
        }
    }

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

    /// When the slate comes: the last picture is held for a second first.
    pub(super) fn slate_time(&self) -> MediaTime {
        self.source_end.plus(MediaTime::from_millis(LAST_PICTURE_MILLIS))
    }

    /// Everything before `time` is there, and the slate is shown from there on until a source comes.
    pub(super) fn slate_from(&mut self, time: MediaTime, frame: u64) {
        self.head = time;
        self.filled = frame;
        self.source_end = time.minus(MediaTime::from_millis(LAST_PICTURE_MILLIS));
    }

    /// The first grid frame that a new worker would have to make of any rung.
    pub(super) fn open_from(&self) -> u64 {
        self.rungs.iter().map(RungState::open_from).min().unwrap_or(0)
    }

    /// Whether every rung has come equally far.
    pub(super) fn is_even(&self) -> bool {
        let frames = self.frames_out();
        self.rungs.iter().all(|rung| match rung.rung.rate {
            RungRate::Full => rung.pictures == frames,
            RungRate::Half => rung.pictures == frames.div_ceil(2),
        })
    }

    /// Closes the last segments where every rung has come equally far, and gives the number of frames there are.
    ///
    /// After a worker's death each rung ends elsewhere. A segment that is of another length on each of them would be of
    /// use to no player, so it is left open then, and the store drops it.
    pub(super) fn end(&mut self) -> Option<(u64, Vec<(usize, Packaged)>)> {
        if !self.is_even() {
            return None;
        }
        let frames = self.frames_out();
        let mut last = Vec::new();
        for (track, rung) in self.rungs.iter_mut().enumerate() {
            let packages = rung.segmenter.finish().ok()?;
            last.extend(packages.into_iter().map(|package| (track, package)));
        }
        Some((frames, last))
    }
}
