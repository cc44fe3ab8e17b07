//! The supervisor with the real worker: each way that it ends is told for what it is. What stand-ins do to it is tried
//! in its unit tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appliance::config;
use appliance::supervisor::metrics::Metrics;
use appliance::supervisor::{Death, Worker, WorkerEvent, spawn};
use bytes::Bytes;
use media::ladder::RungRate;
use media::{Cadence, FrameRate, Latency, Rung, Size};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prometheus::Registry;
use test_support::wait::until_gone;
use worker_protocol::{DeviceId, FromWorker, Job, RungJob, ToWorker};

/// Longest wait for anything that has to happen, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
/// A deadline that is to pass.
const SOON: Duration = Duration::from_secs(1);

/// The worker beside the daemon.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_rungd")).with_file_name("rungd-worker");
    assert!(program.is_file(), "{} is not built: run `cargo build -p worker`", program.display());
    program
}

struct Stage {
    config: config::Worker,
    metrics: Metrics,
}

impl Stage {
    fn new() -> Self {
        let config = config::Worker {
            program: program(),
            start_timeout: DEADLINE,
            hang_timeout: DEADLINE,
            finish_timeout: DEADLINE,
            environment: std::collections::BTreeMap::new(),
        };
        Self { config, metrics: Metrics::register(&Registry::new()).unwrap() }
    }

    fn spawn(&self) -> Worker {
        spawn(&self.config, &DeviceId::software(), "studio-a", &self.metrics).unwrap()
    }

    /// A worker that has its job and has put out its first picture.
    async fn on_air(&self) -> Worker {
        let mut worker = self.spawn();
        worker.send(ToWorker::Start(job()), Bytes::new()).unwrap();
        fill(&worker, 100);
        loop {
            match event(&mut worker).await {
                WorkerEvent::Message(FromWorker::Picture { .. }, _) => return worker,
                WorkerEvent::Message(..) => {}
                WorkerEvent::Ended(death) => panic!("{death}"),
            }
        }
    }
}

fn job() -> Job {
    let rung = |name: &str, width, height, rate| Rung {
        name: name.to_owned(),
        size: Size { width, height },
        rate,
        bit_rate: 200_000,
        max_bit_rate: 240_000,
        buffer_bits: 240_000,
        preset: "ultrafast".to_owned(),
        tune: None,
        profile: "high".to_owned(),
        upscale: false,
    };
    let rungs = [rung("180p", 320, 180, RungRate::Full), rung("90p", 160, 90, RungRate::Half)];
    Job {
        feed: "studio-a".to_owned(),
        title: "Studio A".to_owned(),
        cadence: Cadence::new(FrameRate::PAL, Duration::from_secs(2), Duration::from_millis(500)),
        latency: Latency::Standard,
        slate: false,
        rungs: rungs.into_iter().map(|rung| RungJob { rung, first_frame: 0 }).collect(),
    }
}

fn fill(worker: &Worker, frame: u64) {
    worker.send(ToWorker::FillTo { frame, slate_from: u64::MAX }, Bytes::new()).unwrap();
}

async fn event(worker: &mut Worker) -> WorkerEvent {
    tokio::time::timeout(DEADLINE, worker.event()).await.expect("an event in time").expect("an end")
}

/// How it ends, with all that it said before.
async fn end(mut worker: Worker) -> (Death, Vec<FromWorker>) {
    let mut said = Vec::new();
    loop {
        match event(&mut worker).await {
            WorkerEvent::Message(message, _) => said.push(message),
            WorkerEvent::Ended(death) => {
                assert!(worker.event().await.is_none(), "nothing comes behind the end");
                assert!(!Path::new(&format!("/proc/{}", worker.pid())).exists(), "the process is gone");
                return (death, said);
            }
        }
    }
}

fn signal(worker: &Worker, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(worker.pid()).unwrap()), signal).unwrap();
}

#[tokio::test]
async fn a_job_that_is_done_is_finished() {
    let stage = Stage::new();
    let worker = stage.spawn();
    worker.send(ToWorker::Start(job()), Bytes::new()).unwrap();
    fill(&worker, 120);
    worker.send(ToWorker::Finish, Bytes::new()).unwrap();
    let (death, said) = end(worker).await;
    assert_eq!(death, Death::Finished);
    assert_eq!(stage.metrics.ended.with_label_values(&["finished"]).get(), 1);
    assert!(matches!(said.first(), Some(FromWorker::Hello { .. })));
    assert!(matches!(said.last(), Some(FromWorker::Finished)));
    for (index, step) in [(0u8, 1u64), (1, 2)] {
        let frames: Vec<u64> = said
            .iter()
            .filter_map(|message| match message {
                FromWorker::Picture { rung, frame, .. } if *rung == index => Some(*frame),
                _ => None,
            })
            .collect();
        let once: BTreeSet<u64> = frames.iter().copied().collect();
        assert_eq!(once.len(), frames.len(), "rung {index} has every frame once");
        assert!(once.into_iter().eq((0..120u64).filter(|frame| frame.is_multiple_of(step))), "rung {index}");
    }
}

#[tokio::test]
async fn one_that_is_killed_is_told_by_its_signal() {
    let stage = Stage::new();
    let worker = stage.on_air().await;
    signal(&worker, Signal::SIGKILL);
    assert_eq!(end(worker).await.0, Death::Signalled(9));
}

#[tokio::test]
async fn one_that_stands_still_is_hung() {
    let mut stage = Stage::new();
    // Encoders have to open in this time as well.
    let bound = Duration::from_secs(5);
    stage.config.hang_timeout = bound;
    let worker = stage.on_air().await;
    signal(&worker, Signal::SIGSTOP);
    fill(&worker, 200);
    assert_eq!(end(worker).await.0, Death::Hung(bound));
}

#[tokio::test]
async fn one_that_stands_still_does_not_keep_the_end_waiting() {
    let mut stage = Stage::new();
    stage.config.finish_timeout = SOON;
    let worker = stage.on_air().await;
    signal(&worker, Signal::SIGSTOP);
    worker.send(ToWorker::Finish, Bytes::new()).unwrap();
    assert_eq!(end(worker).await.0, Death::FinishTimeout(SOON));
}

#[tokio::test]
async fn one_that_cannot_do_its_job_says_why() {
    let stage = Stage::new();
    let worker = stage.spawn();
    worker.send(ToWorker::Start(Job { rungs: Vec::new(), ..job() }), Bytes::new()).unwrap();
    let (death, _) = end(worker).await;
    assert!(matches!(&death, Death::Failed(reason) if reason.contains("job with 0 rungs")), "{death}");

    let worker = stage.on_air().await;
    let picture = ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true };
    worker.send(picture, Bytes::from_static(b"picture")).unwrap();
    let (death, _) = end(worker).await;
    assert!(matches!(&death, Death::Failed(reason) if reason.contains("VideoConfiguration")), "{death}");
}

#[tokio::test]
async fn one_that_nobody_wants_any_more_goes() {
    let stage = Stage::new();
    let worker = stage.on_air().await;
    let pid = worker.pid();
    drop(worker);
    until_gone(DEADLINE, pid).await;
}

/// On one thread and without a pause, so that nothing is taken from the queue meanwhile.
#[tokio::test]
async fn a_new_worker_is_given_a_long_replay_and_then_held_to_the_usual_queue() {
    let picture = |i: i64| ToWorker::Video { dts_ticks: i, pts_ticks: i, key: i == 0 };
    let accepted =
        |worker: &Worker| (0..3000).take_while(|i| worker.send(picture(*i), Bytes::new()).is_ok()).count();
    let stage = Stage::new();
    let mut replayed = stage.spawn();
    assert_eq!(accepted(&replayed), 2048);
    replayed.look();
    replayed
        .send(ToWorker::FillTo { frame: 1, slate_from: 1 }, Bytes::new())
        .expect("room for what may not be shed");

    let mut in_step = stage.spawn();
    in_step.look();
    assert_eq!(accepted(&in_step), 160);
    in_step.send(ToWorker::Finish, Bytes::new()).expect("room for the end");
}
