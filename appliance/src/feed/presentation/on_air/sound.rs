//! The sound of a presentation: placed on its line, and let out no further than the pictures have come.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use media::audio_line::{AudioLine, LineFrame};
use media::{AudioParams, Cadence, MediaTime, SegmentNumber};
use packager::segmenter::{AudioGrid, AudioSegmenter, Packaged};
use packager::track::TrackSpec;

use super::pictures::Start;

/// Most frames that wait for pictures: over two minutes at 96 kHz. A worker that is so far behind has been ended long
/// before.
const MAX_WAITING_FRAMES: usize = 16 * 1024;
/// Most bytes of them: half a minute at 4 Mbit/s, which no sound has.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// The sound of a presentation.
///
/// Pictures come out of their encoders some time after the sound of the same moment came in. Sound waits for them, so
/// that however the presentation ends, both can end at the same time.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) spec: TrackSpec,
    pub(super) params: AudioParams,
    pub(super) track: usize,
    pub(super) frame_duration: Duration,
    /// Where the source's sound has come to, or has been filled to.
    pub(super) head: MediaTime,
    line: AudioLine,
    segmenter: AudioSegmenter,
    waiting: VecDeque<LineFrame>,
    waiting_bytes: usize,
    /// Frames that begin here or later wait; none do where there are no pictures.
    limit: Option<MediaTime>,
}

impl Sound {
    /// Sound of a presentation on this grid, from a segment on.
    pub(super) fn new(
        params: &AudioParams,
        cadence: Cadence,
        track: usize,
        beside_pictures: bool,
        start: Start,
    ) -> Result<Self, String> {
        let grid =
            AudioGrid::new(cadence, params.sample_rate, params.samples_per_frame).map_err(unpackaged)?;
        let mut segmenter = AudioSegmenter::new(grid, start.segment);
        if let Some(zero) = start.producer_zero {
            segmenter = segmenter.with_producer_time(zero);
        }
        let spec = TrackSpec::audio(params.clone()).ok_or("the sound has a sample rate of zero")?;
        let frame_duration =
            MediaTime::new(i64::from(params.samples_per_frame), spec.timescale).to_duration();
        let from = cadence.segment_start(start.segment);
        Ok(Self {
            spec,
            params: params.clone(),
            track,
            frame_duration,
            head: from,
            line: AudioLine::new(params, segmenter.next_frame()).map_err(|fault| fault.to_string())?,
            segmenter,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            limit: beside_pictures.then_some(from),
        })
    }

    /// The segment that is open.
    pub(super) const fn segment(&self) -> SegmentNumber {
        self.segmenter.segment()
    }

    /// Silent frames put in so far.
    pub(super) fn silent_frames(&self) -> u64 {
        self.line.counters().silent
    }

    /// Takes a frame that is heard at `at`.
    pub(super) fn place(&mut self, at: MediaTime, payload: Bytes) -> Result<Vec<Packaged>, String> {
        let frames = self.line.frame(at, payload);
        self.queue(frames)?;
        self.release()
    }

    /// Where the next frame stands.
    pub(super) fn free_from(&self) -> MediaTime {
        self.line.time_of(self.line.next_index())
    }

    /// Another source's frames come.
    pub(super) fn find_place_anew(&mut self) {
        self.line.find_place_anew();
    }

    /// Puts silence up to `time`.
    pub(super) fn fill_to(&mut self, time: MediaTime) -> Result<Vec<Packaged>, String> {
        let mut out = Vec::new();
        loop {
            let frames = self.line.fill_to(time);
            if frames.is_empty() {
                return Ok(out);
            }
            self.queue(frames)?;
            out.extend(self.release()?);
        }
    }

    /// Pictures have come out up to `time`: lets out the sound that they are seen with.
    pub(super) fn release_to(&mut self, time: MediaTime) -> Result<Vec<Packaged>, String> {
        self.limit = self.limit.map(|limit| limit.max(time));
        self.release()
    }

    /// Ends the sound where the pictures end, to a frame: what is later is dropped, what lacks is silence.
    pub(super) fn end_at(&mut self, time: MediaTime) -> Result<Vec<Packaged>, String> {
        let mut out = self.release_to(time)?;
        // A last segment of one picture still has sound.
        out.extend(self.fill_until(time)?);
        out.extend(self.end()?);
        Ok(out)
    }

    /// Puts silence for every frame that begins before `time`.
    fn fill_until(&mut self, time: MediaTime) -> Result<Vec<Packaged>, String> {
        let end = self.segmenter.grid().first_frame_from(time);
        self.fill_to(self.line.time_of(end))
    }

    /// Makes the open segment, which ends at `time`, whole with silence.
    pub(super) fn pass_segment(&mut self, time: MediaTime) -> Result<Vec<Packaged>, String> {
        let mut out = self.release_to(time)?;
        out.extend(self.fill_until(time)?);
        self.head = time;
        Ok(out)
    }

    /// Closes the last segment.
    pub(super) fn end(&mut self) -> Result<Vec<Packaged>, String> {
        self.waiting.clear();
        self.segmenter.finish().map_err(unpackaged)
    }

    fn queue(&mut self, frames: Vec<LineFrame>) -> Result<(), String> {
        for frame in frames {
            self.waiting_bytes = self.waiting_bytes.saturating_add(frame.payload.len());
            self.waiting.push_back(frame);
        }
        if self.limit.is_some()
            && (self.waiting.len() > MAX_WAITING_FRAMES || self.waiting_bytes > MAX_WAITING_BYTES)
        {
            return Err(format!(
                "the encoders are {} frames of sound behind, the bound is {MAX_WAITING_FRAMES}, or \
                 {MAX_WAITING_BYTES} bytes",
                self.waiting.len()
            ));
        }
        Ok(())
    }

    fn release(&mut self) -> Result<Vec<Packaged>, String> {
        let mut out = Vec::new();
        while let Some(frame) = self.waiting.front() {
            if self.limit.is_some_and(|limit| self.line.time_of(frame.index) >= limit) {
                break;
            }
            let Some(frame) = self.waiting.pop_front() else { break };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(frame.payload.len());
            out.extend(self.segmenter.push(frame.index, frame.payload).map_err(unpackaged)?);
        }
        Ok(out)
    }
}

fn unpackaged(fault: packager::SegmentError) -> String {
    format!("the sound cannot be packaged: {fault}")
}
