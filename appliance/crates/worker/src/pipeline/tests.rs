//! The pipeline on an engine of numbers: a frame is the tag it was decoded from.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media::ladder::RungRate;
use media::{Latency, Rung};
use worker_protocol::{RungJob, VERSION};

use super::*;
use crate::engine::{Coded, Encode, Planes};

/// Frames that are no tags of the source.
const BLACK: i64 = -1;
const SLATE: i64 = -2;

/// What the engine was asked to do.
#[derive(Debug, Default)]
struct Log {
    /// Pictures scaled, with the width.
    scaled: Vec<(i64, u32)>,
    /// Widths of pictures drawn.
    drawn: Vec<u32>,
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

    fn decoder(&mut self, _: VideoCodec, _: &[u8], _: u64, _: Latency) -> Result<Through, EngineError> {
        Ok(Through(None))
    }

    fn encoder(
        &mut self,
        _: VideoCodec,
        rung: &Rung,
        _: media::FrameRate,
        _: u64,
        _: Latency,
    ) -> Result<Writer, EngineError> {
        Ok(Writer { width: rung.size.width, log: Arc::clone(&self.log), fault: self.fault, ready: None })
    }

    fn scale(&mut self, frame: &i64, to: Size) -> Result<i64, EngineError> {
        self.log.lock().unwrap().scaled.push((*frame, to.width));
        Ok(*frame)
    }

    fn black(&mut self, _: Size) -> Result<i64, EngineError> {
        Ok(BLACK)
    }

    fn drawn(&mut self, planes: &Planes) -> Result<i64, EngineError> {
        self.log.lock().unwrap().drawn.push(planes.size.width);
        Ok(SLATE)
    }

    fn still(&mut self, _: &[u8], _: Size) -> Result<i64, EngineError> {
        Err(EngineError::Still("no picture".into()))
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

/// A job of two rungs, the second at half the rate, at 25 frames a second in segments of 50.
fn job(first_frames: [u64; 2]) -> Job {
    let cadence = Cadence::new("25".parse().unwrap(), Duration::from_secs(2), Duration::from_millis(500));
    let rungs = [rung(64, RungRate::Full), rung(32, RungRate::Half)];
    Job {
        feed: "a".to_owned(),
        title: "A".to_owned(),
        cadence,
        latency: Latency::Standard,
        slate: true,
        rungs: rungs
            .into_iter()
            .zip(first_frames)
            .map(|(rung, first_frame)| RungJob { rung, first_frame })
            .collect(),
    }
}

/// What came of a job.
struct Done {
    result: Result<(), PipelineError>,
    log: Log,
    said: Vec<FromWorker>,
    alarms: Vec<PipelineError>,
}

impl Done {
    /// Grid frames of the rung so wide, with the grid frame that the picture shown was made for.
    fn shown(&self, width: u32) -> Vec<(u64, i64)> {
        let of = self.log.encoded.iter().filter(|(w, ..)| *w == width);
        of.map(|(_, picture, frame, _)| (*frame, if *picture < 0 { *picture } else { picture / 3600 }))
            .collect()
    }
}

/// Sends messages into a queue, with a payload that is no picture.
fn feed<'a>(
    messages: impl IntoIterator<Item = &'a ToWorker>,
) -> (mpsc::Sender<Incoming>, Receiver<Incoming>) {
    let (inbox_in, inbox) = mpsc::channel();
    for message in messages {
        inbox_in.send((message.clone(), Bytes::from_static(b"x"))).unwrap();
    }
    (inbox_in, inbox)
}

fn run_job(job: Job, fault: Fault, media: &[ToWorker]) -> Done {
    let opening = [ToWorker::Hello { version: VERSION }, ToWorker::Start(job)];
    let (_inbox_in, inbox) = feed(opening.iter().chain(media).chain([&ToWorker::Finish]));
    let (outbox, out) = mpsc::sync_channel(10_000);
    let (alarm, alarms) = alarm();
    let log = Arc::default();
    let result = run(|| Ok(Numbers { log: Arc::clone(&log), fault }), &inbox, &Outbox(outbox), &alarm);
    // A pipeline that fails does not wait for its rungs: they have all ended once none can raise the alarm any more.
    drop(alarm);
    let alarms = alarms.iter().collect();
    let log = std::mem::take(&mut *log.lock().unwrap());
    let said = out.try_iter().map(|(message, _)| message).collect();
    Done { result, log, said, alarms }
}

fn run_with(fault: Fault, media: &[ToWorker]) -> Done {
    run_job(job([50, 50]), fault, media)
}

fn alarm() -> (Alarm, Receiver<PipelineError>) {
    let (raised, alarms) = mpsc::channel();
    (Alarm(Arc::new(move |error| raised.send(error).unwrap())), alarms)
}

fn configuration() -> ToWorker {
    ToWorker::VideoConfiguration { codec: VideoCodec::H264 }
}

fn video(frame: i64) -> ToWorker {
    ToWorker::Video { dts_ticks: frame * 3600, pts_ticks: frame * 3600, key: false }
}

fn fill(frame: u64, slate_from: u64) -> ToWorker {
    ToWorker::FillTo { frame, slate_from }
}

#[test]
fn a_picture_is_scaled_once_however_often_it_is_shown() {
    let done = run_with(Fault::None, &[configuration(), video(50), video(53), fill(102, u64::MAX)]);
    let (shown_full, shown_half) = (done.shown(64), done.shown(32));
    done.result.unwrap();
    let mut scaled = done.log.scaled;
    scaled.sort_unstable();
    assert_eq!(scaled, [(50 * 3600, 32), (50 * 3600, 64), (53 * 3600, 32), (53 * 3600, 64)]);
    let full: Vec<(u64, i64)> = (50..102).map(|frame| (frame, if frame < 53 { 50 } else { 53 })).collect();
    let half: Vec<(u64, i64)> = full.iter().copied().filter(|(frame, _)| frame % 2 == 0).collect();
    assert_eq!((shown_full, shown_half), (full, half));
    for (_, _, frame, wish) in &done.log.encoded {
        assert_eq!(
            *wish,
            Wish { idr: frame % 50 == 0, repeated: ![50, 53].contains(frame) },
            "frame {frame}"
        );
    }
    assert_eq!(done.said.last(), Some(&FromWorker::Finished));
    let Some(FromWorker::Report(report)) = done.said.iter().rev().nth(1) else { panic!("{:?}", done.said) };
    assert_eq!((report.frames_repeated, report.pictures_dropped, report.units_in), (50, 0, 2));
    let rungs: Vec<_> = report.rungs.iter().map(|rung| (rung.frames_in, rung.frames_repeated)).collect();
    assert_eq!(rungs, [(52, 50), (26, 25)]);
    for rung in &report.rungs {
        assert_eq!(u64::try_from(rung.latencies_micros.len()).unwrap(), rung.pictures_out);
    }
}

#[test]
fn what_was_missing_before_the_first_picture_shows_that_picture() {
    let done = run_with(Fault::None, &[configuration(), video(55)]);
    assert_eq!(done.shown(64), [(50, 55), (51, 55), (52, 55), (53, 55), (54, 55), (55, 55)]);
    done.result.unwrap();
}

#[test]
fn the_slate_stands_from_its_frame_on_until_a_picture_comes() {
    let media =
        [fill(56, 53), configuration(), video(58), fill(63, 61), video(65), fill(67, 68), fill(70, 69)];
    let done = run_with(Fault::None, &media);
    let wanted = [
        (50..53, BLACK),
        (53..58, SLATE),
        (58..61, 58),
        // The gap to the next picture shows what stood before it.
        (61..65, SLATE),
        (65..69, 65),
        (69..70, SLATE),
    ];
    let wanted: Vec<(u64, i64)> =
        wanted.into_iter().flat_map(|(frames, shown)| frames.map(move |frame| (frame, shown))).collect();
    assert_eq!(done.shown(64), wanted);
    done.result.unwrap();
    assert_eq!(done.log.drawn, [64, 32], "once for each rung");
    let warned = "the slate's picture cannot be decoded: no picture; the built-in card takes its place";
    assert!(done.said.contains(&FromWorker::Warning { text: warned.to_owned() }), "{:?}", done.said);
}

#[test]
fn each_rung_begins_at_its_own_first_frame() {
    let media = [configuration(), video(57), video(58), video(59), video(60), video(61), fill(101, u64::MAX)];
    let done = run_job(job([60, 57]), Fault::None, &media);
    let full: Vec<(u64, i64)> = (60..101u64).map(|frame| (frame, frame.min(61).cast_signed())).collect();
    assert_eq!(done.shown(64), full);
    // The first even frame from 57 on.
    assert_eq!(done.shown(32).first(), Some(&(58, 58)));
    let idr = |width| -> Vec<u64> {
        done.log.encoded.iter().filter(|e| e.0 == width && e.3.idr).map(|e| e.2).collect()
    };
    assert_eq!((idr(64), idr(32)), (vec![60, 100], vec![58, 100]));
    done.result.unwrap();
}

#[test]
fn a_worker_that_takes_over_a_silent_source_repeats_its_last_picture() {
    // All of the replayed group of pictures is out already.
    let media = [configuration(), video(40), video(41), video(42), fill(53, 52)];
    let done = run_with(Fault::None, &media);
    assert_eq!(done.shown(64), [(50, 42), (51, 42), (52, SLATE)]);
    done.result.unwrap();
}

#[test]
fn an_encoder_that_fails_or_panics_raises_the_alarm_with_its_reason() {
    let media: Vec<ToWorker> = [configuration()].into_iter().chain((50..90).map(video)).collect();
    let done = run_with(Fault::Error, &media);
    assert!(matches!(done.result, Err(PipelineError::Closed(_))));
    let reasons: Vec<String> = done.alarms.iter().map(|error| crate::run::chain(error)).collect();
    assert!(reasons.contains(&"rung 64: encoding failed: no more".to_owned()), "{reasons:?}");
    let done = run_with(Fault::Panic, &media);
    let reasons: Vec<String> = done.alarms.iter().map(|error| crate::run::chain(error)).collect();
    assert!(reasons.contains(&"thread rung-64 panicked: lost my head".to_owned()), "{reasons:?}");
}

#[test]
fn an_encoder_that_fails_while_the_source_is_silent_is_noticed_at_once() {
    let media =
        [ToWorker::Hello { version: VERSION }, ToWorker::Start(job([50, 50])), configuration(), video(50)];
    let (inbox_in, inbox) = feed(&media);
    let (outbox, _out) = mpsc::sync_channel(10_000);
    let (alarm, alarms) = alarm();
    let pipeline = std::thread::spawn(move || {
        run(|| Ok(Numbers { log: Arc::default(), fault: Fault::Error }), &inbox, &Outbox(outbox), &alarm)
    });
    // Nothing more is said, and nothing closed.
    let error = alarms.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(crate::run::chain(&error).ends_with("encoding failed: no more"), "{error}");
    drop(inbox_in);
    assert!(pipeline.join().unwrap().is_err());
}
