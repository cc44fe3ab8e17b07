//! How fast a device codes: pictures of 1080p through its real decoders and encoders, as JSON.
//!
//! The pictures are drawn: texture that drifts, with grain, which asks about as much of an encoder as camera pictures
//! do. Sessions are added until that gives no more. Decoding is measured with every format that the device decodes, of
//! streams that the CPU codes first; encoding with every format that the device's own encoders
//! opened for, at each preset. Rungs are coded in H.264.

mod pictures;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use media::ladder::RungRate;
use media::{FrameRate, Latency, Rung, Size, VideoCodec};
use worker_protocol::device::{Ability, Calibration, DeviceReport, Speed, Step};
use worker_protocol::{DeviceId, EngineKind};

use crate::clock;
use crate::engine::nvidia::{NvidiaDecodeEngine, NvidiaEngine};
use crate::engine::software::SoftwareEngine;
use crate::engine::vaapi::VaapiEngine;
use crate::engine::{Decode, Encode, Engine, EngineError, Planes, Wish};
use crate::probe;
use crate::run::chain;
use pictures::{Coded, PicturesError};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Of pictures.
    size: Size,
    /// How long each speed is measured.
    span: Duration,
    /// Sessions tried at once.
    sessions: &'static [u32],
    /// x264's presets.
    presets: &'static [&'static str],
}

/// What operators are told: with the size that ladders begin with.
const FULL: Effort = Effort {
    size: Size { width: 1920, height: 1080 },
    span: Duration::from_millis(1500),
    sessions: &[1, 2, 4, 8, 16],
    presets: &PRESETS,
};
/// More sessions must give so much more, in percent, to be worth trying yet more.
const WORTH_PERCENT: f64 = 5.0;
/// x264's presets that ladders may name, fastest first.
const PRESETS: [&str; 9] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];
/// A segment's worth of pictures between IDR pictures.
const GOP: u64 = 50;
/// Groups of pictures that a decoder may take and give nothing of: no device holds back a second one.
const SILENT_GROUPS: u32 = 2;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The device, as `probe` names it
    #[arg(long, value_name = "DEVICE")]
    device: DeviceId,
}

/// A measurement that cannot be made.
#[derive(Debug, thiserror::Error)]
enum CalibrateError {
    /// The device is not among those that can be used.
    #[error("{0} is no device that can be used here")]
    Unknown(DeviceId),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The pictures to decode could not be made.
    #[error("cannot make pictures to decode")]
    Pictures(#[source] EngineError),
    /// A decoder takes pictures, and gives none.
    #[error("no picture came of {units} units, {damaged} of which the decoder counts as damaged")]
    Silent {
        /// What it was sent.
        units: i64,
        /// Its errors.
        damaged: u64,
    },
    /// A session's thread failed.
    #[error("a measuring thread failed")]
    Thread,
}

/// Prints what was measured.
pub(crate) fn calibrate(arguments: &Arguments) -> ExitCode {
    match measure(&arguments.device) {
        Ok(calibration) => probe::print(&calibration),
        Err(error) => {
            eprintln!("rungd-worker: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn measure(id: &DeviceId) -> Result<Calibration, CalibrateError> {
    let node = Path::new(id.address());
    let node = (id.engine() == EngineKind::Vaapi && node.is_absolute()).then(|| node.to_owned());
    let found = probe::look(id.engine(), node.as_slice());
    let report = found.device(id).ok_or_else(|| CalibrateError::Unknown(id.clone()))?;
    let (speeds, problems) = measured(&FULL, report)?;
    let (name, driver) = (report.name.clone(), report.driver.clone());
    Ok(Calibration { id: id.clone(), name, driver, speeds, problems })
}

/// All speeds of a device that was found, and why others are missing.
fn measured(effort: &Effort, report: &DeviceReport) -> Result<(Vec<Speed>, Vec<String>), CalibrateError> {
    let formats = |abilities: &[Ability]| abilities.iter().map(|ability| ability.codec).collect::<Vec<_>>();
    let (decodes, encodes) = (formats(&report.decode), formats(&report.encode));
    let address = report.id.address();
    match report.id.engine() {
        EngineKind::Software => of(effort, &decodes, &encodes, &|| Ok(SoftwareEngine::open())),
        EngineKind::Vaapi => of(effort, &decodes, &encodes, &|| VaapiEngine::open(address)),
        EngineKind::Nvidia => of(effort, &decodes, &encodes, &|| NvidiaEngine::open(address)),
        EngineKind::NvidiaDecode => of(effort, &decodes, &encodes, &|| NvidiaDecodeEngine::open(address)),
    }
}

/// All speeds of an engine that `open` opens, and that decodes and encodes these formats. What does not work keeps nobody
/// from knowing the rest: it becomes a sentence.
fn of<E: Engine>(
    effort: &Effort,
    decodes: &[VideoCodec],
    encodes: &[VideoCodec],
    open: &(impl Fn() -> Result<E, EngineError> + Sync),
) -> Result<(Vec<Speed>, Vec<String>), CalibrateError> {
    let drawn = pictures::drawn(effort.size);
    let mut speeds = Vec::with_capacity(decodes.len() + encodes.len() * effort.presets.len());
    let mut problems = Vec::new();
    for codec in decodes.iter().copied() {
        let coded = match pictures::coded(codec, effort.size, &drawn) {
            Ok(coded) => coded,
            Err(PicturesError::Sample(error)) => {
                problems.push(format!("decoding {} is not measured: {}", codec.name(), chain(&error)));
                continue;
            }
            Err(PicturesError::Engine(error)) => return Err(CalibrateError::Pictures(error)),
        };
        match best(effort, &|_| decode(effort, &mut open()?, codec, &coded)) {
            Ok((rate, sessions)) => speeds.push(speed(Step::Decode, codec, "", rate, sessions)),
            Err(error @ (CalibrateError::Engine(_) | CalibrateError::Silent { .. })) => {
                problems.push(format!("decoding {} is not measured: {}", codec.name(), chain(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    for codec in encodes.iter().copied() {
        for preset in effort.presets {
            let session = |sessions| encode(effort, &mut open()?, codec, &drawn, preset, sessions);
            match best(effort, &session) {
                Ok((rate, sessions)) => speeds.push(speed(Step::Encode, codec, preset, rate, sessions)),
                Err(CalibrateError::Engine(error)) => {
                    let (codec, error) = (codec.name(), chain(&error));
                    problems.push(format!("encoding {codec} at {preset} is not measured: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok((speeds, problems))
}

fn speed(step: Step, codec: VideoCodec, preset: &str, rate: f64, sessions: u32) -> Speed {
    let megasamples_per_second = (rate * 10.0).round() / 10.0;
    Speed { step, codec, preset: preset.to_owned(), megasamples_per_second, sessions }
}

/// The best of several numbers of sessions, in millions of luma samples a second, and how many gave it. A number that
/// cannot be had (a cap of the driver, memory) ends the search.
fn best(
    effort: &Effort,
    session: &(impl Fn(u32) -> Result<f64, CalibrateError> + Sync),
) -> Result<(f64, u32), CalibrateError> {
    let mut best = (0.0, 0);
    for sessions in effort.sessions.iter().copied() {
        let rates: Result<Vec<f64>, _> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..sessions).map(|_| scope.spawn(|| session(sessions))).collect();
            let rates = running.into_iter().map(|thread| thread.join().map_err(|_| CalibrateError::Thread));
            rates.map(|rate| rate?).collect()
        });
        let rate: f64 = match rates {
            Ok(rates) => rates.into_iter().sum(),
            Err(CalibrateError::Engine(_) | CalibrateError::Silent { .. }) if sessions > 1 => {
                return Ok(best);
            }
            Err(error) => return Err(error),
        };
        let worth = rate > best.0 * (1.0 + WORTH_PERCENT / 100.0);
        if rate > best.0 {
            best = (rate, sessions);
        }
        if !worth {
            return Ok(best);
        }
    }
    Ok(best)
}

/// Counts pictures from the first one on.
struct Meter {
    begun: Option<std::time::Instant>,
    pictures: u32,
}

impl Meter {
    const fn new() -> Self {
        Self { begun: None, pictures: 0 }
    }

    fn count(&mut self) {
        match self.begun {
            Some(_) => self.pictures += 1,
            None => self.begun = Some(clock::now()),
        }
    }

    fn elapsed(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| clock::now().saturating_duration_since(begun))
    }

    /// Whether a rate can be told of: also of a thread that was not served for all of the span.
    fn is_over(&self, span: Duration) -> bool {
        self.pictures > 0 && self.elapsed() >= span
    }

    /// Millions of luma samples a second, of pictures of this size.
    fn rate(&self, size: Size) -> f64 {
        let megasamples = f64::from(size.width) * f64::from(size.height) / 1e6;
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 { f64::from(self.pictures) * megasamples / seconds } else { 0.0 }
    }
}

fn decode<E: Engine>(
    effort: &Effort,
    engine: &mut E,
    codec: VideoCodec,
    coded: &Coded,
) -> Result<f64, CalibrateError> {
    let load = effort.size.samples_per_second(frame_rate());
    let mut decoder = engine.decoder(codec, &coded.configuration, load, Latency::Standard)?;
    let mut meter = Meter::new();
    let mut tag = 0;
    // Time counts from the first picture on, which may never come.
    let mut silent = 0;
    while !meter.is_over(effort.span) {
        if silent == SILENT_GROUPS {
            return Err(CalibrateError::Silent { units: tag, damaged: decoder.errors() });
        }
        for unit in &coded.units {
            decoder.send(unit, tag)?;
            tag += 1;
            while decoder.receive()?.is_some() {
                meter.count();
            }
        }
        if meter.begun.is_none() {
            silent += 1;
        }
    }
    Ok(meter.rate(effort.size))
}

fn encode<E: Engine>(
    effort: &Effort,
    engine: &mut E,
    codec: VideoCodec,
    drawn: &[Planes],
    preset: &str,
    sessions: u32,
) -> Result<f64, CalibrateError> {
    let rung = rung(effort.size, preset);
    let all = rung.samples_per_second(frame_rate()).saturating_mul(u64::from(sessions));
    let frames: Vec<E::Frame> = drawn.iter().map(|planes| engine.drawn(planes)).collect::<Result<_, _>>()?;
    let mut encoder = engine.encoder(codec, &rung, frame_rate(), all, Latency::Standard)?;
    let mut meter = Meter::new();
    for (tag, frame) in (0..).zip(frames.iter().cycle()) {
        if meter.is_over(effort.span) {
            break;
        }
        encoder.send(frame, tag, Wish { idr: tag % GOP == 0, repeated: false })?;
        while encoder.receive()?.is_some() {
            meter.count();
        }
    }
    Ok(meter.rate(effort.size))
}

fn frame_rate() -> FrameRate {
    FrameRate::PAL
}

/// As the default ladder has 1080p.
fn rung(size: Size, preset: &str) -> Rung {
    Rung {
        name: "1080p".to_owned(),
        size,
        rate: RungRate::Full,
        bit_rate: 5_000_000,
        max_bit_rate: 6_000_000,
        buffer_bits: 9_000_000,
        preset: preset.to_owned(),
        tune: None,
        profile: "high".to_owned(),
        upscale: false,
    }
}

#[cfg(test)]
mod tests;
