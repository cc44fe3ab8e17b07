//! A source whose clock is off, through the presentation, a real worker and the packager, in compressed time: what comes out
//! stays as far behind the wall clock as it was, and has no hole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use appliance::clock::Now;
use appliance::config::{Config, KeyHash};
use appliance::feed::presentation::{Action, Presentation, Role, SourceId};
use appliance::feed::source::Input;
use appliance::supervisor::metrics::Metrics;
use appliance::supervisor::{self, Worker, WorkerEvent};
use bytes::Bytes;
use media::{MediaTime, SourceStamp, Timescale, VideoCodec};
use packager::segmenter::Packaged;
use test_support::asked::long_form;
use test_support::media_check;
use test_support::rungd::binary;
use worker_protocol::{DeviceId, FromWorker, ToWorker};

use crate::alone;

const SOURCE: SourceId = 0;
/// Of a source at 25 frames a second and 48 kHz, in microseconds.
const PICTURE_MICROS: u64 = 40_000;
const TICK_MICROS: u64 = 100_000;
/// Pictures that the worker may be behind: the test is faster than it, and it would be held to be overloaded.
const MOST_BEHIND: u64 = 50;
/// A worker that puts nothing out for so long, in real time, has stopped.
const WORKER_DEADLINE: Duration = Duration::from_secs(20);
/// A worker that says nothing for so long has said what there is, or was kept from running; its reports come every second.
const QUIET_AFTER: Duration = Duration::from_millis(150);
/// How much less may have come out than a minute before: a frame. Where it is more, the worker is heard to its reports.
const LESS_BY_MILLIS: i64 = 40;
/// Until the timeline has seen how the source's clock runs.
const SETTLED_AFTER_SECONDS: u64 = 180;
/// What latency may vary by: a frame more and a frame less, and the frame that is being worked on.
const STEADY_WITHIN_MILLIS: i64 = 120;
/// How far off the clock is, in parts per million, and for how long.
const SHORT: (i64, u64) = (450, 10);
const LONG: (i64, u64) = (200, 60);

const CONFIGURATION: &str = r#"
state_dir = "state"
[ingest]
rtmp = ["127.0.0.1:0"]
[feed.studio-a]
latency = "low"
ladder = [{ name = "72p", size = "128x72", bit_rate = "100k", preset = "ultrafast" }]
"#;

/// What ffmpeg makes of ten seconds, as FLV has it.
#[derive(Debug, Default)]
struct Clip {
    video_record: Bytes,
    audio_record: Bytes,
    pictures: Vec<(bool, Bytes)>,
    sound: Vec<Bytes>,
}

impl Clip {
    fn make(folder: &Path) -> Self {
        let path = folder.join("clip.flv");
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x72:rate=25"])
            .args(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "10", "-pix_fmt", "yuv420p"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50"])
            .args(["-c:a", "aac", "-b:a", "32k", "-y"])
            .arg(&path)
            .output()
            .expect("ffmpeg runs; make deps installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::read(&Bytes::from(std::fs::read(path).unwrap()))
    }

    /// FLV 10.1, annex E: a header of 9 bytes, and before every tag of type, size, time and stream the last one's size.
    fn read(flv: &Bytes) -> Self {
        let mut clip = Self::default();
        let mut at = 9 + 4;
        while at + 11 <= flv.len() {
            let size =
                usize::from(flv[at + 1]) << 16 | usize::from(flv[at + 2]) << 8 | usize::from(flv[at + 3]);
            let body = flv.slice(at + 11..at + 11 + size);
            match (flv[at], body.get(1)) {
                (9, Some(0)) => clip.video_record = body.slice(5..),
                (9, Some(1)) => clip.pictures.push((body[0] >> 4 == 1, body.slice(5..))),
                (8, Some(0)) => clip.audio_record = body.slice(2..),
                (8, Some(1)) => clip.sound.push(body.slice(2..)),
                _ => {}
            }
            at += 11 + size + 4;
        }
        assert_eq!(clip.pictures.len(), 250);
        clip
    }
}

/// One track as it came out.
#[derive(Debug)]
struct Track {
    bytes: Vec<u8>,
    end: Option<MediaTime>,
    segments: u64,
}

struct Compressed {
    presentation: Presentation,
    worker: Option<Worker>,
    config: Config,
    metrics: Metrics,
    origin: Instant,
    now_micros: u64,
    next_tick_micros: u64,
    fed: u64,
    /// The first frame that has not come out.
    out: u64,
    repeated_and_dropped: (u64, u64),
    /// Coded pictures taken in and put out, by the last report; none where pictures wait within the worker.
    reported: Option<(u64, u64)>,
    reports: u64,
    tracks: BTreeMap<usize, Track>,
}

impl Compressed {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn new(folder: &Path) -> Self {
        let path = folder.join("rungd.toml");
        let text = format!(
            "{CONFIGURATION}keys = [\"{}\"]\n[worker]\nprogram = \"{}\"\n",
            KeyHash::of(b"secret-of-studio-a-0123456789"),
            binary("rungd-worker").display()
        );
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap_or_else(|faults| panic!("{faults:?}"));
        let mut presentation =
            Presentation::new(Arc::new(config.feeds[0].clone()), config.ingest.limits.clone());
        presentation.source_joined(SOURCE, Role::Primary);
        Self {
            presentation,
            worker: None,
            metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
            config,
            origin: Instant::now(),
            now_micros: 0,
            next_tick_micros: 0,
            fed: 0,
            out: 0,
            repeated_and_dropped: (0, 0),
            reported: None,
            reports: 0,
            tracks: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        let since = Duration::from_micros(self.now_micros);
        Now { instant: self.origin + since, unix_millis: 1_800_000_000_000 + self.now_micros / 1000 }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartWorker(job) => {
                    let device = DeviceId::software();
                    let worker = supervisor::spawn(&self.config.worker, &device, "studio-a", &self.metrics);
                    let worker = worker.unwrap();
                    worker.send(ToWorker::Start(job), Bytes::new()).unwrap();
                    self.worker = Some(worker);
                }
                Action::ToWorker(message, payload) => {
                    if let Some(worker) = &self.worker {
                        worker.send(message, payload).expect("a worker that keeps up");
                    }
                }
                Action::Begin(opening) => {
                    for (index, track) in opening.tracks.iter().enumerate() {
                        let bytes = packager::cmaf::init_segment(&track.spec).unwrap().to_vec();
                        self.tracks.insert(index, Track { bytes, end: None, segments: 0 });
                    }
                }
                Action::Keep(track, package) => self.keep(track, package),
                Action::Warn { text, .. } | Action::Rule { text, .. } => panic!("a rule is broken: {text}"),
                Action::Dismiss(_, why) => panic!("the source is sent away: {why}"),
                Action::Restart(..) | Action::Quarantine(_) => panic!("a worker died"),
                Action::CatchUp | Action::Note(_) | Action::Close => {}
                Action::StartSound(..) | Action::ToSound(..) | Action::StopSound(_) => panic!("sound fits"),
            }
        }
    }

    fn keep(&mut self, track: usize, package: Packaged) {
        let state = self.tracks.get_mut(&track).unwrap();
        match package {
            Packaged::Chunk { segment, chunk } => {
                let due = state.end.unwrap_or(MediaTime::ZERO);
                assert_eq!(chunk.start, due, "track {track}, segment {segment}: a hole, or an overlap");
                state.end = Some(chunk.start.plus(chunk.duration));
                chunk.parts.iter().for_each(|part| state.bytes.extend_from_slice(part));
            }
            Packaged::SegmentEnd { segment, .. } => {
                state.segments += 1;
                assert_eq!(segment.0, state.segments, "track {track}: numbers");
            }
        }
    }

    fn input(&mut self, input: Input) {
        let actions = self.presentation.input(self.now(), SOURCE, input);
        self.act(actions);
    }

    /// Lets simulated time pass.
    fn until(&mut self, micros: u64) {
        while self.next_tick_micros <= micros {
            self.now_micros = self.now_micros.max(self.next_tick_micros);
            self.next_tick_micros += TICK_MICROS;
            if let Some(worker) = &mut self.worker {
                worker.look();
            }
            let actions = self.presentation.tick(self.now());
            self.act(actions);
        }
        self.now_micros = self.now_micros.max(micros);
    }

    /// Hears the worker until it is at most so many pictures behind.
    async fn hear(&mut self, most_behind: u64) {
        while self.out + most_behind < self.fed {
            assert!(self.hear_one(WORKER_DEADLINE).await, "the worker puts nothing out any more");
        }
    }

    /// Hears the worker until it has nothing more to say for a while.
    async fn hear_soon(&mut self) {
        while self.hear_one(QUIET_AFTER).await {}
    }

    /// Hears the worker out: until two reports in a row say that it took nothing more in and put nothing more out.
    async fn hear_out(&mut self) {
        let mut before = None;
        loop {
            let reports = self.reports;
            while self.reports == reports {
                assert!(self.hear_one(WORKER_DEADLINE).await, "the worker reports nothing any more");
            }
            if self.reported.is_some() && self.reported == before {
                return;
            }
            before = self.reported;
        }
    }

    /// Milliseconds that what came out is ahead of the wall clock.
    fn lead(&self) -> i64 {
        let out = i64::try_from(self.out * PICTURE_MICROS / 1000).unwrap();
        out - i64::try_from(self.now_micros / 1000).unwrap()
    }

    /// Hears one thing; false where the worker says nothing for so long.
    async fn hear_one(&mut self, patience: Duration) -> bool {
        let worker = self.worker.as_mut().expect("a worker");
        let Ok(event) = tokio::time::timeout(patience, worker.event()).await else { return false };
        match event.expect("a worker that goes on") {
            WorkerEvent::Message(message, payload) => {
                match &message {
                    FromWorker::Picture { frame, .. } => self.out = self.out.max(frame + 1),
                    FromWorker::Report(report) => {
                        self.repeated_and_dropped = (report.frames_repeated, report.pictures_dropped);
                        let rung = &report.rungs[0];
                        self.reported =
                            (rung.queue_depth == 0).then_some((report.units_in, rung.pictures_out));
                        self.reports += 1;
                    }
                    _ => {}
                }
                let actions = self.presentation.worker(self.now(), message, payload);
                self.act(actions);
            }
            WorkerEvent::Ended(death) => panic!("{death}"),
        }
        true
    }
}

/// Milliseconds that what comes out is ahead of the wall clock, minute by minute; and pictures repeated and dropped.
async fn play(ppm: i64, seconds: u64) -> (Vec<i64>, (u64, u64)) {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(folder.path());
    let mut run = Compressed::new(folder.path());
    run.input(Input::VideoConfiguration { codec: VideoCodec::H264, record: clip.video_record.clone() });
    run.input(Input::AudioConfiguration(clip.audio_record.clone()));
    // When a unit of this source time arrives: a clock that is fast stamps a second before it is over.
    let arrives = |source: u64| {
        let offset = i64::try_from(source / 1_000).unwrap() * ppm / 1_000;
        source.checked_add_signed(-offset).unwrap()
    };
    let stamp = |source: u64| SourceStamp {
        millis: u32::try_from(source / 1000).unwrap(),
        nanos: 0,
        composition_millis: 0,
    };
    let (mut picture, mut frame) = (0_u64, 0_u64);
    let mut leads = Vec::new();
    let mut next_look = 60_000_000;
    while picture * PICTURE_MICROS < seconds * 1_000_000 {
        let (video_at, audio_at) = (picture * PICTURE_MICROS, frame * 1024 * 1_000_000 / 48_000);
        run.until(arrives(video_at.min(audio_at)));
        if video_at <= audio_at {
            let (key, payload) =
                clip.pictures[usize::try_from(picture).unwrap() % clip.pictures.len()].clone();
            run.input(Input::Video { stamp: stamp(video_at), key, payload });
            picture += 1;
            run.fed = picture;
            if run.worker.is_some() {
                run.hear(MOST_BEHIND).await;
            }
        } else {
            let payload = clip.sound[usize::try_from(frame).unwrap() % clip.sound.len()].clone();
            run.input(Input::Audio { stamp: stamp(audio_at), payload });
            frame += 1;
        }
        if run.now_micros >= next_look {
            next_look += 60_000_000;
            run.hear_soon().await;
            if leads.last().is_none_or(|before| run.lead() < before - LESS_BY_MILLIS) {
                run.hear_out().await;
            }
            leads.push(run.lead());
        }
    }
    run.hear_out().await;
    let counted = run.repeated_and_dropped;
    let actions = run.presentation.source_gone(run.now(), SOURCE);
    run.act(actions);
    for (index, track) in &run.tracks {
        let path = folder.path().join(format!("{index}.mp4"));
        std::fs::File::create(&path).unwrap().write_all(&track.bytes).unwrap();
        let errors = media_check::decode_errors(path.to_str().unwrap());
        assert!(errors.is_empty(), "ffmpeg on track {index}: {errors}");
    }
    let ends: Vec<i64> =
        run.tracks.values().filter_map(|t| Some(t.end?.ticks_at(Timescale::MILLIS))).collect();
    assert!(ends[0].abs_diff(ends[1]) < 1_200, "pictures and sound end at {ends:?} ms");
    (leads, counted)
}

#[test]
fn a_source_whose_clock_is_off_keeps_its_latency() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (off, minutes) = if long_form() { LONG } else { SHORT };
    let settled = SETTLED_AFTER_SECONDS / 60;
    let drift = |minutes: u64| i64::try_from(minutes * 60).unwrap() * off / 1_000;
    assert!(
        drift(minutes - settled) > STEADY_WITHIN_MILLIS * 3 / 2,
        "what no correction gives is over the bound"
    );
    for ppm in [off, -off] {
        let since = test_support::Stopwatch::start();
        let (leads, (repeated, dropped)) = runtime.block_on(play(ppm, minutes * 60));
        let steady = leads.get(usize::try_from(settled).unwrap()..).unwrap();
        let (least, most) = (steady.iter().min().unwrap(), steady.iter().max().unwrap());
        println!(
            "{ppm} ppm for {minutes} minutes, in {:?}: {least} to {most} ms ahead of the wall clock, {repeated} pictures \
             repeated, {dropped} dropped",
            since.elapsed()
        );
        assert!(most - least <= STEADY_WITHIN_MILLIS, "{ppm} ppm: {leads:?}");
        // In frames of 40 ms: fast clocks have to lose them, slow ones to gain them.
        let due = u64::try_from(drift(minutes) / 40).unwrap();
        let (right, wrong) = if ppm > 0 { (dropped, repeated) } else { (repeated, dropped) };
        assert!(right.abs_diff(due) <= 2 + due / 4, "{ppm} ppm: {right} of about {due}");
        assert!(wrong <= 2, "{ppm} ppm: {wrong} the other way");
    }
}
