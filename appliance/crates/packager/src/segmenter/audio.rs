//! Audio frames into chunks and segments.

use bytes::Bytes;
use media::{Cadence, MediaTime, SegmentNumber, Timescale};

use super::{Packaged, SegmentError, chunks_per_segment, sequence_number};
use crate::cmaf::{Fragment, Sample, write_chunk};

/// Where audio frames stand: frame `j` at `j * samples_per_frame / sample_rate` from presentation time zero. Audio
/// frames do not end where pictures do: segment `n` holds those that begin in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioGrid {
    cadence: Cadence,
    scale: Timescale,
    samples_per_frame: u32,
}

impl AudioGrid {
    /// The grid of a stream of `sample_rate` hertz and `samples_per_frame` samples a frame, both of the core coder.
    ///
    /// # Errors
    /// Where either is zero, or a frame is longer than a segment, so that some segment would hold none.
    pub fn new(cadence: Cadence, sample_rate: u32, samples_per_frame: u32) -> Result<Self, SegmentError> {
        let no_grid = SegmentError::NoAudioGrid { sample_rate, samples_per_frame };
        let scale = match Timescale::new(sample_rate) {
            Some(scale) if samples_per_frame > 0 => scale,
            _ => return Err(no_grid),
        };
        let frame = MediaTime::new(i64::from(samples_per_frame), scale);
        let segment = cadence.segment_duration();
        if frame > segment {
            return Err(SegmentError::AudioFrameTooLong { frame, segment });
        }
        Ok(Self { cadence, scale, samples_per_frame })
    }

    /// The clock of the audio track: its sample rate.
    #[must_use]
    pub const fn timescale(&self) -> Timescale {
        self.scale
    }

    /// When audio frame `j` begins, exactly.
    #[must_use]
    pub fn time_of(&self, frame: u64) -> MediaTime {
        let ticks = u128::from(frame) * u128::from(self.samples_per_frame);
        MediaTime::new(i64::try_from(ticks).unwrap_or(i64::MAX), self.scale)
    }

    /// The first audio frame that begins at or after `time`; zero for times before the start.
    #[must_use]
    pub fn first_frame_from(&self, time: MediaTime) -> u64 {
        let ticks = u128::try_from(time.ticks()).unwrap_or(0);
        let per_frame = u128::from(time.scale().get()) * u128::from(self.samples_per_frame);
        u64::try_from((ticks * u128::from(self.scale.get())).div_ceil(per_frame)).unwrap_or(u64::MAX)
    }

    /// The first audio frame of a segment.
    #[must_use]
    pub fn first_frame(&self, segment: SegmentNumber) -> u64 {
        self.first_frame_from(self.cadence.segment_start(segment))
    }
}

/// Cuts audio frames, which come one after the other, into chunks and segments.
#[derive(Debug)]
pub struct AudioSegmenter {
    grid: AudioGrid,
    zero_unix_millis: Option<u64>,
    segment: SegmentNumber,
    /// The open segment's first frame, and the next one's.
    first: u64,
    end: u64,
    /// The frame that comes next.
    next: u64,
    /// Chunks of the open segment that went out.
    chunks: u32,
    /// Samples of the open chunk.
    samples: Vec<Sample>,
}

impl AudioSegmenter {
    /// A segmenter whose first frame is the first of `first_segment`.
    #[must_use]
    pub fn new(grid: AudioGrid, first_segment: SegmentNumber) -> Self {
        let first = grid.first_frame(first_segment);
        Self {
            grid,
            zero_unix_millis: None,
            segment: first_segment,
            first,
            end: grid.first_frame(first_segment.next()),
            next: first,
            chunks: 0,
            samples: Vec::new(),
        }
    }

    /// Writes a `prft` into every chunk, from the wall time of presentation time zero in milliseconds since 1970.
    #[must_use]
    pub const fn with_producer_time(mut self, zero_unix_millis: u64) -> Self {
        self.zero_unix_millis = Some(zero_unix_millis);
        self
    }

    /// Where the frames stand.
    #[must_use]
    pub const fn grid(&self) -> &AudioGrid {
        &self.grid
    }

    /// The segment that is open, or will be with the next frame.
    #[must_use]
    pub const fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// The number of the frame that has to come next.
    #[must_use]
    pub const fn next_frame(&self) -> u64 {
        self.next
    }

    /// Takes audio frame `frame`; gives the chunk that it makes whole, and the end of the segment where it is the last.
    ///
    /// # Errors
    /// Where it is not the next one or has no bytes; it is as if it had not come.
    pub fn push(&mut self, frame: u64, payload: Bytes) -> Result<Vec<Packaged>, SegmentError> {
        let segment = self.segment;
        if frame != self.next {
            return Err(SegmentError::AudioOrder { frame, expected: self.next, segment });
        }
        if payload.is_empty() {
            return Err(SegmentError::NoBytes { frame, segment });
        }
        let duration = self.grid.samples_per_frame;
        self.samples.push(Sample { duration, composition_offset: 0, key: true, payload });
        let before = self.chunk_of(frame);
        self.next = frame.saturating_add(1);
        let whole = self.next >= self.end;
        let mut out = Vec::new();
        if whole || self.chunk_of(self.next) > before {
            out.push(self.close_chunk()?);
        }
        if whole {
            out.push(self.close_segment());
        }
        Ok(out)
    }

    /// Closes a segment that has begun, shorter than it should be, where no more frames will come. Nothing can follow
    /// it without a gap.
    ///
    /// # Errors
    /// Where the last chunk cannot be written.
    pub fn finish(&mut self) -> Result<Vec<Packaged>, SegmentError> {
        if self.next == self.first {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        if !self.samples.is_empty() {
            out.push(self.close_chunk()?);
        }
        out.push(self.close_segment());
        Ok(out)
    }

    /// The chunk of the open segment that a frame belongs to: that of the grid frame in force when it begins.
    fn chunk_of(&self, frame: u64) -> u64 {
        let cadence = &self.grid.cadence;
        let picture = cadence.frame_at(self.grid.time_of(frame));
        picture.saturating_sub(cadence.first_frame(self.segment)) / u64::from(cadence.frames_per_chunk())
    }

    fn close_chunk(&mut self) -> Result<Packaged, SegmentError> {
        let segment = self.segment;
        let samples = std::mem::take(&mut self.samples);
        let from = self.next.saturating_sub(u64::try_from(samples.len()).unwrap_or(u64::MAX));
        let fragment = Fragment {
            sequence_number: sequence_number(segment, chunks_per_segment(&self.grid.cadence), self.chunks),
            start: self.grid.time_of(from),
            begins_segment: from == self.first,
            zero_unix_millis: self.zero_unix_millis,
            samples,
        };
        self.chunks = self.chunks.saturating_add(1);
        let chunk = write_chunk(fragment).map_err(|source| SegmentError::Write { segment, source })?;
        Ok(Packaged::Chunk { segment, chunk })
    }

    fn close_segment(&mut self) -> Packaged {
        let (segment, start) = (self.segment, self.grid.time_of(self.first));
        let duration = self.grid.time_of(self.next).minus(start);
        self.segment = segment.next();
        self.first = self.next;
        self.end = self.grid.first_frame(self.segment.next());
        self.chunks = 0;
        Packaged::SegmentEnd { segment, start, duration }
    }
}
