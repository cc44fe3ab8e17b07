//! Pictures into chunks and segments.

use std::collections::BTreeSet;

use media::ladder::RungRate;
use media::{Cadence, MediaTime, SegmentNumber, Timescale};

use super::decode_times::{LAG, Next, Slot, decode_times};
use super::{Packaged, Picture, SegmentError, chunks_per_segment, sequence_number};
use crate::cmaf::{Fragment, Sample, write_chunk};

/// Cuts a rung's pictures, which come in decoding order, into chunks and segments.
///
/// A segment is a closed GOP, so the first picture decoded is the first one shown, and decoding begins and ends with
/// showing: `tfdt` of a segment is where it stands on the timeline, and no edit list is needed.
#[derive(Debug)]
pub struct VideoSegmenter {
    cadence: Cadence,
    /// Grid frames from one picture to the next.
    step: u64,
    zero_unix_millis: Option<u64>,
    segment: SegmentNumber,
    /// Pictures of the open segment that have come.
    pictures: u64,
    /// How many pictures from the segment's start on have come without a gap, in the order of showing.
    gapless: u64,
    /// Those behind the first gap, by place in the segment: as many as the encoder reorders.
    ahead: BTreeSet<u64>,
    /// Chunks of the open segment that went out.
    chunks: u32,
    /// Whether any picture of the open segment came before one that is shown before it.
    reordered: bool,
    /// When the open chunk's first picture is decoded, in ticks; `None` where it begins a segment.
    decoding: Option<i64>,
    /// Pictures of the open chunk.
    waiting: Vec<Waiting>,
}

/// A picture whose decoding time is not settled yet.
#[derive(Debug)]
struct Waiting {
    picture: Picture,
    /// The time of the first picture that has not come before this one, in ticks: the latest to decode it.
    bound: i64,
}

impl VideoSegmenter {
    /// A segmenter whose first picture is the first of `first_segment`.
    #[must_use]
    pub fn new(cadence: Cadence, rate: RungRate, first_segment: SegmentNumber) -> Self {
        let step = match rate {
            RungRate::Full => 1,
            RungRate::Half => 2,
        };
        Self {
            cadence,
            step,
            zero_unix_millis: None,
            segment: first_segment,
            pictures: 0,
            gapless: 0,
            ahead: BTreeSet::new(),
            chunks: 0,
            reordered: false,
            decoding: None,
            waiting: Vec::new(),
        }
    }

    /// Writes a `prft` into every chunk, from the wall time of presentation time zero in milliseconds since 1970.
    #[must_use]
    pub const fn with_producer_time(mut self, zero_unix_millis: u64) -> Self {
        self.zero_unix_millis = Some(zero_unix_millis);
        self
    }

    /// The segment that is open, or will be with the next picture.
    #[must_use]
    pub const fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// Takes the next picture in decoding order; gives the chunk that it makes whole, and the end of the segment where
    /// it is the last.
    ///
    /// Where pictures are reordered a chunk comes out with the first picture of the next one: its last picture lasts
    /// longer if [`Self::finish`] comes instead.
    ///
    /// # Errors
    /// Where the picture does not fit the open segment; it is as if it had not come.
    pub fn push(&mut self, picture: Picture) -> Result<Vec<Packaged>, SegmentError> {
        let place = self.place_of(&picture)?;
        let mut out = Vec::new();
        if self.is_chunk_full() {
            out.push(self.close_chunk(self.remaining())?);
        }
        self.waiting.push(Waiting { picture, bound: self.time_of(self.gapless).ticks() });
        self.pictures += 1;
        self.reordered |= place > self.gapless;
        self.ahead.insert(place);
        while self.ahead.remove(&self.gapless) {
            self.gapless += 1;
        }
        let remaining = self.remaining();
        let whole = remaining == 0;
        if whole || self.is_chunk_full() && !self.reordered {
            out.push(self.close_chunk(remaining)?);
        }
        if whole {
            out.push(self.close_segment());
        }
        Ok(out)
    }

    /// Closes a segment that has begun, shorter than it should be, where no more pictures will come. Nothing can
    /// follow it without a gap.
    ///
    /// # Errors
    /// Where pictures lack in between: then the segment is of no use.
    pub fn finish(&mut self) -> Result<Vec<Packaged>, SegmentError> {
        if self.pictures == 0 {
            return Ok(Vec::new());
        }
        if !self.ahead.is_empty() {
            return Err(self.missing());
        }
        let mut out = Vec::new();
        if !self.waiting.is_empty() {
            out.push(self.close_chunk(0)?);
        }
        out.push(self.close_segment());
        Ok(out)
    }

    /// The grid frame behind the chunks that went out: what another encoder would have to begin with, by an IDR picture,
    /// to go on with the open segment as it is. Where pictures are reordered, what went out may lack some that are shown
    /// before its last; then it is the first of the segment.
    #[must_use]
    pub fn next_after_chunks(&self) -> u64 {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let gone_out = if self.reordered { 0 } else { self.pictures.saturating_sub(waiting) };
        self.cadence.first_frame(self.segment).saturating_add(gone_out * self.step)
    }

    /// Forgets the pictures from [`Self::next_after_chunks`] on: those that no chunk went out with, or all of the open
    /// segment. False where chunks that went out are forgotten with them.
    pub fn rewind(&mut self) -> bool {
        let first = self.cadence.first_frame(self.segment);
        self.pictures = self.next_after_chunks().saturating_sub(first) / self.step;
        self.gapless = self.pictures;
        self.ahead.clear();
        self.waiting.clear();
        self.reordered = false;
        let kept = self.pictures > 0 || self.chunks == 0;
        if !kept {
            self.chunks = 0;
            self.decoding = None;
        }
        kept
    }

    /// Pictures of the open segment that are to come.
    fn remaining(&self) -> u64 {
        self.pictures_in(self.cadence.frames_per_segment()).saturating_sub(self.pictures)
    }

    /// The picture's place in the segment, in the order of showing, where it may come now.
    fn place_of(&self, picture: &Picture) -> Result<u64, SegmentError> {
        let (frame, segment) = (picture.frame, self.segment);
        let first = self.cadence.first_frame(segment);
        let last = first.saturating_add(u64::from(self.cadence.frames_per_segment()) - 1);
        if frame > last && picture.key && self.pictures > 0 {
            return Err(self.missing());
        }
        if frame < first || frame > last {
            return Err(SegmentError::Outside { frame, segment, first, last });
        }
        let offset = frame - first;
        if !offset.is_multiple_of(self.step) {
            return Err(SegmentError::OffGrid { frame, segment });
        }
        let place = offset / self.step;
        if self.pictures == 0 && place > 0 {
            return Err(self.missing());
        }
        if self.pictures == 0 && !picture.key {
            return Err(SegmentError::NotKey { frame, segment });
        }
        if place < self.gapless || self.ahead.contains(&place) {
            return Err(SegmentError::Repeated { frame, segment });
        }
        if picture.payload.is_empty() {
            return Err(SegmentError::NoBytes { frame, segment });
        }
        Ok(place)
    }

    fn close_chunk(&mut self, remaining: u64) -> Result<Packaged, SegmentError> {
        let segment = self.segment;
        let start = self.decoding.unwrap_or(self.time_of(0).ticks());
        let lag = if self.reordered { LAG } else { 0 };
        let first = self.pictures.saturating_sub(u64::try_from(self.waiting.len()).unwrap_or(u64::MAX));
        let slot = |place: u64, bound| Slot { bound, wish: self.time_of(place.saturating_sub(lag)).ticks() };
        let slots: Vec<_> =
            (first..).zip(&self.waiting).map(|(place, waiting)| slot(place, waiting.bound)).collect();
        let next = Next {
            slot: slot(self.pictures, self.time_of(self.gapless).ticks()),
            remaining,
            reordered: self.reordered,
        };
        let times = decode_times(self.interval(), start, &slots, next);
        let pictures = self.waiting.drain(..).map(|waiting| waiting.picture);
        let samples =
            pictures.zip(times.windows(2)).map(|(picture, pair)| sample(&self.cadence, picture, pair));
        let fragment = Fragment {
            sequence_number: sequence_number(segment, chunks_per_segment(&self.cadence), self.chunks),
            start: MediaTime::new(start, Timescale::VIDEO),
            begins_segment: self.decoding.is_none(),
            zero_unix_millis: self.zero_unix_millis,
            samples: samples.collect::<Result<_, _>>()?,
        };
        self.decoding = times.last().copied();
        self.chunks = self.chunks.saturating_add(1);
        let chunk = write_chunk(fragment).map_err(|source| SegmentError::Write { segment, source })?;
        Ok(Packaged::Chunk { segment, chunk })
    }

    fn close_segment(&mut self) -> Packaged {
        let (segment, start) = (self.segment, self.time_of(0));
        let duration = self.time_of(self.pictures).minus(start);
        self.segment = segment.next();
        self.pictures = 0;
        self.gapless = 0;
        self.chunks = 0;
        self.reordered = false;
        self.decoding = None;
        Packaged::SegmentEnd { segment, start, duration }
    }

    /// When the picture at `place` of the open segment is shown.
    fn time_of(&self, place: u64) -> MediaTime {
        let first = self.cadence.first_frame(self.segment);
        self.cadence.time_of(first.saturating_add(place.saturating_mul(self.step)))
    }

    fn missing(&self) -> SegmentError {
        let first = self.cadence.first_frame(self.segment);
        SegmentError::Missing { frame: first.saturating_add(self.gapless * self.step), segment: self.segment }
    }

    /// The distance of pictures in ticks, rounded up.
    fn interval(&self) -> i64 {
        let rate = self.cadence.frame_rate();
        let ticks = u64::from(Timescale::VIDEO.get()) * u64::from(rate.denominator()) * self.step;
        i64::try_from(ticks.div_ceil(u64::from(rate.numerator()))).unwrap_or(i64::MAX)
    }

    fn pictures_in(&self, frames: u32) -> u64 {
        (u64::from(frames) / self.step).max(1)
    }

    /// Whether the next picture begins another chunk. Where chunks are an odd number of frames, those of half the rate
    /// have a picture more and a picture less in turn.
    fn is_chunk_full(&self) -> bool {
        let chunk_of = |pictures: u64| pictures * self.step / u64::from(self.cadence.frames_per_chunk());
        !self.waiting.is_empty() && chunk_of(self.pictures) > chunk_of(self.pictures.saturating_sub(1))
    }
}

/// `decoded` is when the picture and the one behind it are decoded.
fn sample(cadence: &Cadence, picture: Picture, decoded: &[i64]) -> Result<Sample, SegmentError> {
    let frame = picture.frame;
    let (from, to) =
        (decoded.first().copied().unwrap_or_default(), decoded.last().copied().unwrap_or_default());
    let lasts = to.saturating_sub(from);
    let waits = cadence.time_of(frame).ticks().saturating_sub(from);
    let duration =
        u32::try_from(lasts).map_err(|_| SegmentError::Ticks { frame, what: "duration", ticks: lasts })?;
    let composition_offset = i32::try_from(waits).map_err(|_| SegmentError::Ticks {
        frame,
        what: "composition offset",
        ticks: waits,
    })?;
    Ok(Sample { duration, composition_offset, key: picture.key, payload: picture.payload })
}
