//! Frames of a source to frames of a track, each with the time that it is heard at.
//!
//! What comes out is counted in samples, as a track is: its first frame begins on a multiple of a frame's length, with
//! silence before the source's first sample, so that a daemon that counts frames hears it where the source has it. The
//! source's times say from then on how far it has wandered off the count; that is told with each frame, and corrected by
//! who counts the track's.

use std::collections::VecDeque;

use bytes::Bytes;
use media::{AudioParams, MediaTime, Timescale};
use software::Device;
use software::sound::{
    Remixer, SAMPLES_PER_FRAME, Samples, SoundDecoder, SoundEncoder, SoundError, SoundFormat,
};
use worker_protocol::{SoundJob, SoundReport};

use super::ConvertError;
use crate::conversation::OrderError;

/// Beyond any presentation, in samples; keeps sums within bounds.
const FARTHEST: i64 = i64::MAX / 8;

/// A frame of the track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    /// Where it is heard, in samples.
    pub(super) position: i64,
    pub(super) data: Bytes,
}

/// From which sample on the source's times are so far from the count.
#[derive(Debug, Clone, Copy)]
struct Mark {
    from: i64,
    away: i64,
}

/// See the module.
pub(super) struct Converter {
    device: Device,
    format: SoundFormat,
    scale: Timescale,
    decoder: Option<SoundDecoder>,
    remixer: Remixer,
    encoder: SoundEncoder,
    /// Samples of the track that are not encoded yet, by channel.
    planes: Vec<Vec<f32>>,
    /// Where the first sample that was encoded stands, once there is one.
    zero: Option<i64>,
    /// Samples encoded.
    encoded: i64,
    marks: VecDeque<Mark>,
    /// What is in the encoder: counted in samples encoded, and where it is heard.
    inside: VecDeque<(i64, i64)>,
    report: SoundReport,
    /// Errors of decoders that are closed, and what could be decoded and not converted.
    errors_before: u64,
}

impl Converter {
    /// One whose frames stand in `track`.
    ///
    /// # Errors
    /// Where the track is not AAC-LC of a usual layout, or the encoder does not open for it.
    pub(super) fn new(track: &AudioParams, bit_rate: u32) -> Result<Self, ConvertError> {
        let unfit = || ConvertError::Track {
            object_type: track.object_type,
            channel_configuration: track.channel_configuration,
            samples_per_frame: track.samples_per_frame,
        };
        let scale = Timescale::new(track.sample_rate).filter(|_| SoundJob::fits(track)).ok_or_else(unfit)?;
        let format = SoundFormat {
            sample_rate: track.sample_rate,
            channel_configuration: track.channel_configuration,
        };
        let device = Device::open();
        let encoder = SoundEncoder::open(&device, format, bit_rate)?;
        let record = Bytes::copy_from_slice(encoder.configuration());
        let made = AudioParams::parse(record)
            .map_err(|source| ConvertError::Record { whose: "encoder's", source })?;
        if !made.decodes_alike(track) {
            return Err(ConvertError::Other(format!(
                "{} Hz, channelConfiguration {}, object type {}, {} samples a frame",
                made.sample_rate, made.channel_configuration, made.object_type, made.samples_per_frame
            )));
        }
        Ok(Self {
            device,
            format,
            scale,
            decoder: None,
            remixer: Remixer::new(format)?,
            encoder,
            planes: vec![Vec::new(); format.channels()],
            zero: None,
            encoded: 0,
            marks: VecDeque::new(),
            inside: VecDeque::new(),
            report: SoundReport::default(),
            errors_before: 0,
        })
    }

    /// The source's frames are of this record from now on.
    pub(super) fn configure(&mut self, record: &[u8]) -> Result<(), ConvertError> {
        let params = AudioParams::parse(Bytes::copy_from_slice(record))
            .map_err(|source| ConvertError::Record { whose: "source's", source })?;
        let decoder = SoundDecoder::open(&self.device, record, params.sample_rate)?;
        if let Some(old) = self.decoder.replace(decoder) {
            self.errors_before = self.errors_before.saturating_add(old.errors());
        }
        Ok(())
    }

    /// Takes a frame of the source.
    pub(super) fn push(&mut self, coded: &[u8], pts_ticks: i64) -> Result<Vec<Converted>, ConvertError> {
        let Some(decoder) = &mut self.decoder else {
            return Err(OrderError::Order { got: "Sound", due: "SoundConfiguration" }.into());
        };
        self.report.frames_in += 1;
        let samples = decoder.decode(coded)?;
        let at = MediaTime::new(pts_ticks, Timescale::VIDEO).ticks_at(self.scale).clamp(-FARTHEST, FARTHEST);
        self.mark(at);
        match self.remixer.convert(&samples, &mut self.planes) {
            Err(SoundError::Remix { source, .. }) if !source.is_out_of_memory() => {
                self.errors_before = self.errors_before.saturating_add(1);
                self.put_silence(self.length_of(&samples));
            }
            other => other?,
        }
        self.encode()
    }

    /// The next sample of the source is heard at `at`.
    fn mark(&mut self, at: i64) {
        let zero = match self.zero {
            Some(zero) => zero,
            None => {
                let per_frame = frame_samples();
                let zero = at.div_euclid(per_frame) * per_frame;
                self.zero = Some(zero);
                self.put_silence(usize::try_from(at - zero).unwrap_or(0));
                zero
            }
        };
        let waiting = self.planes.first().map_or(0, Vec::len).saturating_add(self.remixer.delay());
        let from = self.encoded.saturating_add(i64::try_from(waiting).unwrap_or(i64::MAX / 2));
        let away = at.saturating_sub(zero.saturating_add(from));
        self.marks.push_back(Mark { from, away });
    }

    fn put_silence(&mut self, samples: usize) {
        for plane in &mut self.planes {
            plane.resize(plane.len().saturating_add(samples), 0.0);
        }
    }

    /// How many samples of the track as long as these are.
    fn length_of(&self, samples: &Samples) -> usize {
        let rate = |rate: u32| usize::try_from(rate).unwrap_or(usize::MAX);
        samples.count().saturating_mul(rate(self.format.sample_rate)) / rate(samples.rate()).max(1)
    }

    /// How far the source's times are from the count at a sample.
    fn away_at(&mut self, sample: i64) -> i64 {
        while self.marks.get(1).is_some_and(|next| next.from <= sample) {
            self.marks.pop_front();
        }
        self.marks.front().map_or(0, |mark| mark.away)
    }

    fn encode(&mut self) -> Result<Vec<Converted>, ConvertError> {
        let mut out = Vec::new();
        while self.planes.iter().all(|plane| plane.len() >= SAMPLES_PER_FRAME) {
            let heard = self.zero.unwrap_or(0).saturating_add(self.encoded);
            let heard = heard.saturating_add(self.away_at(self.encoded));
            self.encoder.send(&self.planes)?;
            self.planes.iter_mut().for_each(|plane| drop(plane.drain(..SAMPLES_PER_FRAME)));
            self.inside.push_back((self.encoded, heard));
            self.encoded = self.encoded.saturating_add(frame_samples());
            self.receive(&mut out)?;
        }
        Ok(out)
    }

    fn receive(&mut self, out: &mut Vec<Converted>) -> Result<(), ConvertError> {
        while let Some(coded) = self.encoder.receive()? {
            // What an encoder begins with stands before the first sample.
            let Some(index) = self.inside.iter().position(|(from, _)| *from == coded.position) else {
                continue;
            };
            let Some((_, position)) = self.inside.remove(index) else { continue };
            self.report.frames_out += 1;
            out.push(Converted { position, data: coded.data.into() });
        }
        Ok(())
    }

    /// Nothing more comes: gives what is left.
    pub(super) fn finish(&mut self) -> Result<Vec<Converted>, ConvertError> {
        self.remixer.flush(&mut self.planes)?;
        let over = self.planes.first().map_or(0, Vec::len) % SAMPLES_PER_FRAME;
        if over > 0 {
            self.put_silence(SAMPLES_PER_FRAME - over);
        }
        let mut out = self.encode()?;
        self.encoder.finish();
        self.receive(&mut out)?;
        Ok(out)
    }

    /// Totals.
    pub(super) fn report(&self) -> SoundReport {
        let errors = self.decoder.as_ref().map_or(0, SoundDecoder::errors);
        SoundReport { decode_errors: self.errors_before.saturating_add(errors), ..self.report }
    }
}

fn frame_samples() -> i64 {
    i64::try_from(SAMPLES_PER_FRAME).unwrap_or(1024)
}

#[cfg(test)]
mod tests;
