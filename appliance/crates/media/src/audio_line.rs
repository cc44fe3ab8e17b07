//! AAC frames, placed in time, to a line of consecutive frames.
//!
//! Frame `j` of a presentation stands at `j * samples_per_frame / sample_rate`: audio is counted, not stamped, since
//! its stamps are rounded to milliseconds and only its sample count is exact. The line follows the count and watches
//! how far the stamps are from it. A steady distance over the tolerance is corrected by whole frames, put in or left
//! out; a great one at once.
//!
//! A steady distance is a clock's drift, and its correction is one frame every minute or two. It is made where it is heard
//! least: from a little before the tolerance on, the line looks out for a frame that took few bits, which is a quiet
//! one. What is put in is the frame before once more, a dent in the sound being plainer than a repeat; where a frame may
//! be coded by its difference from the one before (HE-AAC's spectral bands), and in a gap, it is silence.

mod silence;

use std::time::Duration;

use bytes::Bytes;

use crate::{AudioParams, MediaTime, Timescale};

/// Distance of stamps and count that is let be. With half a frame of rounding this keeps sound within 40 ms of the
/// picture (EBU R37 allows 40 ms early and 60 ms late).
const TOLERANCE: Duration = Duration::from_millis(28);
/// What a frame's half length gets on top where frames are longer than that (HE-AAC at low rates): stamps of whole
/// milliseconds must not chase each other.
const LONG_FRAME_SLACK: Duration = Duration::from_millis(10);
/// Distance that is no jitter but a gap or an overlap, and is corrected at once.
const AT_ONCE: Duration = Duration::from_millis(120);
/// Frames in a row that must be away, all to one side, before a smaller distance is corrected.
const STEADY_FRAMES: u32 = 8;
/// How much closer than the tolerance a distance may be corrected, at a quiet frame: at 200 ppm there are 40 s to find one.
const QUIET_MARGIN: Duration = Duration::from_millis(8);
/// Frames in a row that must be away before a distance within the tolerance is corrected: a second.
const STEADY_FRAMES_FOR_QUIET: u32 = 48;
/// A frame is quiet that has no more than this share of the mean payload.
const QUIET_DIVISOR: u64 = 2;
/// The mean payload is that of so many frames, more or less: one and a half seconds.
const MEAN_FRAMES: u64 = 64;
/// Highest rate of a core coder, in samples a second, that encoders put spectral band replication on without saying so
/// in the configuration (ISO/IEC 14496-3, 1.6.5): it doubles the rate, and 48 kHz is what comes out at most.
const MAX_SBR_CORE_RATE: u32 = 24_000;
/// Longest silence put in by one call, in seconds.
pub const MAX_FILL_SECONDS: u64 = 10;
/// Frames beyond [`MAX_FILL_SECONDS`], one after the other, before they are believed.
const BEYOND_BELIEVED: u32 = 16;

/// A stream that the line has no silence for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudioLineError {
    /// Its channels are laid out by a program config element, or in a way the standard reserves.
    #[error("no silence can be written for channelConfiguration {0}; supported: 1 to 7, 11, 12 and 14")]
    ChannelConfiguration(u8),
    /// Its sample rate is zero.
    #[error("sample rate is 0")]
    SampleRate,
}

/// One frame on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFrame {
    /// Its number; consecutive over all that the line puts out.
    pub index: u64,
    /// A raw AAC frame.
    pub payload: Bytes,
    /// Whether it is silence that was put in. A frame put in again is not.
    pub silence: bool,
}

/// Running totals of an [`AudioLine`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudioLineCounters {
    /// Silent frames put in.
    pub silent: u64,
    /// Frames put in again, to make up for drift.
    pub repeated: u64,
    /// Frames left out, because their time was out already.
    pub dropped: u64,
    /// Frames left out because they stand more than [`MAX_FILL_SECONDS`] ahead.
    pub beyond: u64,
}

/// Puts AAC frames on a line. Every index from the first on comes out exactly once, in order.
///
/// Calling contract: give frames to [`Self::frame`] as the timeline placed them, and [`Self::fill_to`] where the
/// source is silent. [`Self::next_index`] is the first index still open.
#[derive(Debug, Clone)]
pub struct AudioLine {
    scale: Timescale,
    samples_per_frame: u32,
    silence: Bytes,
    next: u64,
    running: bool,
    /// The frame before, where it may be put in again.
    repeatable: bool,
    last: Option<Bytes>,
    /// Mean payload of late, in 1/64 byte; zero before there is one.
    mean_payload: u64,
    /// Frames in a row that were away to one side by more than the tolerance, and the least distance among them, in
    /// samples.
    away: (u32, i64),
    /// Frames in a row that were away to one side by nearly so much (negative: before).
    nearly_away: i64,
    to_drop: u64,
    beyond_in_a_row: u32,
    counters: AudioLineCounters,
}

/// What a frame's distance from the count asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    None,
    /// So many frames, of a gap or an overlap.
    Gap(i64),
    /// So many frames, nearly always one, of a clock that runs fast or slow.
    Drift(i64),
}

/// Bytes of a payload, in 1/64, so that a mean keeps its fractions.
fn fixed(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap_or(u64::MAX / 128).min(1 << 32) * MEAN_FRAMES
}

impl AudioLine {
    /// A line whose first frame is `first_index` (zero at a presentation's start).
    ///
    /// # Errors
    /// Where no silence can be written for the stream.
    pub fn new(params: &AudioParams, first_index: u64) -> Result<Self, AudioLineError> {
        let configuration = params.channel_configuration;
        let silence =
            silence::frame(configuration).ok_or(AudioLineError::ChannelConfiguration(configuration))?;
        Ok(Self {
            scale: Timescale::new(params.sample_rate).ok_or(AudioLineError::SampleRate)?,
            samples_per_frame: params.samples_per_frame.max(1),
            silence,
            next: first_index,
            running: false,
            repeatable: params.is_aac_lc() && params.sample_rate > MAX_SBR_CORE_RATE,
            last: None,
            mean_payload: 0,
            away: (0, 0),
            nearly_away: 0,
            to_drop: 0,
            beyond_in_a_row: 0,
            counters: AudioLineCounters::default(),
        })
    }

    /// The first index that is not out yet.
    #[must_use]
    pub const fn next_index(&self) -> u64 {
        self.next
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> AudioLineCounters {
        self.counters
    }

    /// Where frame `index` stands, in samples.
    #[must_use]
    pub fn time_of(&self, index: u64) -> MediaTime {
        let samples =
            i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(i64::from(self.samples_per_frame));
        MediaTime::new(samples, self.scale)
    }

    /// Takes the frame that is heard at `pts`; gives what to put out, in order.
    pub fn frame(&mut self, pts: MediaTime, payload: Bytes) -> Vec<LineFrame> {
        let per_frame = i64::from(self.samples_per_frame);
        // Beyond any presentation; keeps the sums below within bounds.
        let limit = i64::MAX / 4;
        let at = pts.ticks_at(self.scale).clamp(-limit, limit);
        let away = at - self.time_of(self.next).ticks().min(limit);
        if away > self.samples(Duration::from_secs(MAX_FILL_SECONDS)) {
            self.counters.beyond += 1;
            self.beyond_in_a_row += 1;
            // As with pictures: one wild stamp moves nothing, a run of them does.
            let believed = self.beyond_in_a_row > BEYOND_BELIEVED;
            return if believed { self.silent(self.max_fill()) } else { Vec::new() };
        }
        self.beyond_in_a_row = 0;
        if self.to_drop > 0 && away < 0 {
            self.to_drop -= 1;
            self.counters.dropped += 1;
            return Vec::new();
        }
        self.to_drop = 0;
        let correction = match self.running {
            // The first frame goes where it is nearest.
            false => Correction::Gap((away.abs() + per_frame / 2) / per_frame),
            true => self.correction(away, self.is_quiet(&payload)),
        };
        self.note_payload(&payload);
        let frames = match correction {
            Correction::None => 0,
            Correction::Gap(frames) | Correction::Drift(frames) => u64::try_from(frames).unwrap_or(0),
        };
        if frames > 0 && away < 0 {
            self.to_drop = frames - 1;
            self.counters.dropped += 1;
            return Vec::new();
        }
        self.running = true;
        let mut out = match (correction, self.last.take()) {
            (Correction::Drift(1), Some(last)) => self.again(last),
            _ => self.silent(frames),
        };
        self.last = self.repeatable.then(|| payload.clone());
        out.push(LineFrame { index: self.next, payload, silence: false });
        self.next = self.next.saturating_add(1);
        out
    }

    /// Silence for every open frame that ends at or before `time`, no more than [`MAX_FILL_SECONDS`] at once; call
    /// again until there is none.
    pub fn fill_to(&mut self, time: MediaTime) -> Vec<LineFrame> {
        let samples = u64::try_from(time.ticks_at(self.scale)).unwrap_or(0);
        let end = samples / u64::from(self.samples_per_frame);
        let count = end.saturating_sub(self.next);
        if count > 0 {
            self.find_place_anew();
        }
        self.silent(count.min(self.max_fill()))
    }

    /// What comes next is another source's: its first frame goes where it is nearest, and is not held to the count of what
    /// came before.
    pub fn find_place_anew(&mut self) {
        self.running = false;
        self.to_drop = 0;
        self.settle();
        self.last = None;
    }

    /// What to correct now, for a frame that stands `away` samples behind the count (negative: before).
    fn correction(&mut self, away: i64, quiet: bool) -> Correction {
        let per_frame = i64::from(self.samples_per_frame);
        let in_frames = |away: i64| (away.abs() + per_frame / 2) / per_frame;
        if away.abs() >= self.samples(AT_ONCE).max(2 * per_frame) {
            self.settle();
            return Correction::Gap(in_frames(away));
        }
        let tolerance = self.samples(TOLERANCE).max(per_frame / 2 + self.samples(LONG_FRAME_SLACK));
        let nearly = away.abs() > tolerance - self.samples(QUIET_MARGIN);
        self.nearly_away = match nearly {
            true if self.nearly_away.signum() == away.signum() => self.nearly_away + away.signum(),
            true => away.signum(),
            false => 0,
        };
        if quiet && self.nearly_away.unsigned_abs() >= u64::from(STEADY_FRAMES_FOR_QUIET) {
            self.settle();
            return Correction::Drift(1);
        }
        if away.abs() <= tolerance {
            self.away = (0, 0);
            return Correction::None;
        }
        let (seen, least) = self.away;
        self.away = match seen > 0 && least.signum() == away.signum() {
            true => (seen + 1, least.signum() * least.abs().min(away.abs())),
            false => (1, away),
        };
        if self.away.0 < STEADY_FRAMES {
            return Correction::None;
        }
        let least = self.away.1;
        self.settle();
        Correction::Drift(in_frames(least).max(1))
    }

    const fn settle(&mut self) {
        self.away = (0, 0);
        self.nearly_away = 0;
    }

    /// Whether the frame took few bits, for this stream.
    fn is_quiet(&self, payload: &Bytes) -> bool {
        self.mean_payload > 0 && fixed(payload) <= self.mean_payload / QUIET_DIVISOR
    }

    fn note_payload(&mut self, payload: &Bytes) {
        self.mean_payload = match self.mean_payload {
            0 => fixed(payload),
            mean => mean - mean / MEAN_FRAMES + fixed(payload) / MEAN_FRAMES,
        };
    }

    fn again(&mut self, payload: Bytes) -> Vec<LineFrame> {
        let index = self.next;
        self.next = index.saturating_add(1);
        self.counters.repeated += 1;
        vec![LineFrame { index, payload, silence: false }]
    }

    fn silent(&mut self, count: u64) -> Vec<LineFrame> {
        let from = self.next;
        self.next = from.saturating_add(count);
        self.counters.silent += self.next - from;
        (from..self.next)
            .map(|index| LineFrame { index, payload: self.silence.clone(), silence: true })
            .collect()
    }

    fn max_fill(&self) -> u64 {
        (MAX_FILL_SECONDS * u64::from(self.scale.get())).div_ceil(u64::from(self.samples_per_frame))
    }

    fn samples(&self, duration: Duration) -> i64 {
        MediaTime::from_duration(duration, self.scale).ticks()
    }
}

#[cfg(test)]
mod tests;
