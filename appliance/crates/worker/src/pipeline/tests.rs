//! The pipeline on an engine of numbers: a frame is the tag it was decoded from.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media::ladder::RungRate;
use media::{Latency, Rung};
use worker_protocol::RungJob;

use super::*;
use crate::engine::{Coded, Encode};

/// What the engine was asked to do.
#[derive(Debug, Default)]
struct Log {
    /// Pictures scaled, with the width.
    scaled: Vec<(i64, u32)>,
    /// Width of the rung, frame, grid frame.
    encoded: Vec<(u32, i64, u64, Wish)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    Panic,
}

struct Numbers {
    log: Arc<Mutex<Log>>,
    fault: Fault,
}

struct Through(Option<i64>);

struct Writer {
    width: u32,
    log: Arc<Mutex<Log>>,
    fault: Fault,
    ready: Option<u64>,
}

impl Engine for Numbers {
    type Frame = i64;
    type Decoder = Through;
    type Encoder = Writer;

    fn decoder(&mut self, _: VideoCodec, _: &[u8], _: u64) -> Result<Through, EngineError> {
        Ok(Through(None))
    }

    fn encoder(&mut self, rung: &Rung, _: media::FrameRate, _: u64) -> Result<Writer, EngineError> {
        Ok(Writer { width: rung.size.width, log: Arc::clone(&self.log), fault: self.fault, ready: None })
    }

    fn scale(&mut self, frame: &i64, to: Size) -> Result<i64, EngineError> {
        self.log.lock().unwrap().scaled.push((*frame, to.width));
        Ok(*frame)
    }

    fn black(&mut self, _: Size) -> Result<i64, EngineError> {
        Ok(-1)
    }

    fn size(_: &i64) -> Size {
        Size { width: 64, height: 36 }
    }
}

impl Decode for Through {
    type Frame = i64;

    fn send(&mut self, _: &[u8], tag: i64) -> Result<(), EngineError> {
        self.0 = Some(tag);
        Ok(())
    }

    fn receive(&mut self) -> Result<Option<Decoded<i64>>, EngineError> {
        Ok(self.0.take().map(|tag| Decoded { frame: tag, tag, deinterlaced: false }))
    }

    fn finish(&mut self) {}

    fn errors(&self) -> u64 {
        0
    }
}

impl Encode for Writer {
    type Frame = i64;

    fn configuration(&self) -> Bytes {
        Bytes::from_static(b"avcC")
    }

    fn send(&mut self, frame: &i64, tag: u64, wish: Wish) -> Result<(), EngineError> {
        self.log.lock().unwrap().encoded.push((self.width, *frame, tag, wish));
        match self.fault {
            Fault::None => {
                self.ready = Some(tag);
                Ok(())
            }
            Fault::Error => Err(EngineError::Encode("no more".into())),
            Fault::Panic => panic!("lost my head"),
        }
    }

    fn receive(&mut self) -> Result<Option<Coded>, EngineError> {
        Ok(self.ready.take().map(|tag| Coded { tag, key: false, payload: Bytes::new() }))
    }

    fn finish(&mut self) {}
}

fn rung(width: u32, rate: RungRate) -> Rung {
    Rung {
        name: width.to_string(),
        size: Size { width, height: width / 16 * 9 },
        rate,
        bit_rate: 1,
        max_bit_rate: 1,
        buffer_bits: 1,
        preset: String::new(),
        tune: None,
        profile: String::new(),
        upscale: false,
    }
}

/// Runs a job of two rungs, the second at half the rate, at 25 frames a second in segments of 50.
fn run_with(fault: Fault, media: &[ToWorker]) -> (Result<(), PipelineError>, Log, Vec<FromWorker>) {
    let cadence = Cadence::new("25".parse().unwrap(), Duration::from_secs(2), Duration::from_millis(500));
    let rungs = [rung(64, RungRate::Full), rung(32, RungRate::Half)];
    let job = Job {
        feed: "a".to_owned(),
        title: "A".to_owned(),
        cadence,
        latency: Latency::Standard,
        slate: false,
        rungs: rungs.map(|rung| RungJob { rung, first_frame: 50 }).into(),
    };
    let (inbox_in, inbox) = mpsc::channel();
    let (outbox, out) = mpsc::sync_channel(10_000);
    let opening = [ToWorker::Hello { version: VERSION }, ToWorker::Start(job)];
    for message in opening.iter().chain(media).chain([&ToWorker::Finish]) {
        inbox_in.send((message.clone(), Bytes::from_static(b"x"))).unwrap();
    }
    let log = Arc::default();
    let result = run(Numbers { log: Arc::clone(&log), fault }, &inbox, &Outbox(outbox));
    let log = std::mem::take(&mut *log.lock().unwrap());
    (result, log, out.try_iter().map(|(message, _)| message).collect())
}

fn configuration() -> ToWorker {
    ToWorker::VideoConfiguration { codec: VideoCodec::H264 }
}

fn video(frame: i64) -> ToWorker {
    ToWorker::Video { dts_ticks: frame * 3600, pts_ticks: frame * 3600, key: false }
}

#[test]
fn a_picture_is_scaled_once_however_often_it_is_shown() {
    let media =
        [configuration(), video(50), video(53), ToWorker::FillTo { frame: 102, slate_from: u64::MAX }];
    let (result, log, said) = run_with(Fault::None, &media);
    result.unwrap();
    let mut scaled = log.scaled;
    scaled.sort_unstable();
    assert_eq!(scaled, [(50 * 3600, 32), (50 * 3600, 64), (53 * 3600, 32), (53 * 3600, 64)]);
    let shown = |width| -> Vec<(u64, i64)> {
        let of = log.encoded.iter().filter(|(w, ..)| *w == width);
        of.map(|(_, picture, frame, _)| (*frame, picture / 3600)).collect()
    };
    let full: Vec<(u64, i64)> = (50..102).map(|frame| (frame, if frame < 53 { 50 } else { 53 })).collect();
    let half: Vec<(u64, i64)> = full.iter().copied().filter(|(frame, _)| frame % 2 == 0).collect();
    assert_eq!((shown(64), shown(32)), (full, half));
    for (_, _, frame, wish) in &log.encoded {
        assert_eq!(
            *wish,
            Wish { idr: frame % 50 == 0, repeated: ![50, 53].contains(frame) },
            "frame {frame}"
        );
    }
    assert_eq!(said.last(), Some(&FromWorker::Finished));
    let Some(FromWorker::Report(report)) = said.iter().rev().nth(1) else { panic!("{said:?}") };
    assert_eq!((report.frames_repeated, report.pictures_dropped, report.units_in), (50, 0, 2));
}

#[test]
fn what_was_missing_before_the_first_picture_shows_that_picture() {
    let (result, log, _) = run_with(Fault::None, &[configuration(), video(55)]);
    result.unwrap();
    let shown: Vec<(u64, i64)> =
        log.encoded.iter().filter(|e| e.0 == 64).map(|e| (e.2, e.1 / 3600)).collect();
    assert_eq!(shown, [(50, 55), (51, 55), (52, 55), (53, 55), (54, 55), (55, 55)]);
}

#[test]
fn an_encoder_that_fails_or_panics_ends_the_job_with_its_reason() {
    let media: Vec<ToWorker> = [configuration()].into_iter().chain((50..90).map(video)).collect();
    let (result, ..) = run_with(Fault::Error, &media);
    let error = result.unwrap_err();
    assert_eq!(crate::run::chain(&error), "rung 64: encoding failed: no more");
    let (result, ..) = run_with(Fault::Panic, &media);
    let error = result.unwrap_err();
    assert!(matches!(error, PipelineError::Panic { .. }));
    assert_eq!(error.to_string(), "thread rung-64 panicked: lost my head");
}
