//! Feeds the video of an MP4 to a worker in real time, and measures how long each unit takes to come out as a picture.
//!
//! `latency WORKER FILE FPS low|standard RUNG...`, where a rung is `WIDTHxHEIGHT:BITS_PER_SECOND[:PRESET]`. The source
//! should have no B-frames: what it reorders itself is counted too. The file is repeated for a minute.
#![allow(dead_code, missing_docs, reason = "the modules are shared with the tests, which use the rest")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a tool for measuring reads the clock, and may stop at the first surprise"
)]

#[path = "../tests/worker/client.rs"]
mod client;
#[path = "../tests/worker/clip.rs"]
mod clip;
#[path = "arguments/rungs.rs"]
mod rungs;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::Latency;
use worker_protocol::{FromWorker, ToWorker};

/// How long it runs.
const LENGTH: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, file, fps, latency, rungs @ ..] = arguments.as_slice() else {
        eprintln!("usage: latency WORKER FILE FPS low|standard WIDTHxHEIGHT:BITS_PER_SECOND[:PRESET]...");
        std::process::exit(2);
    };
    let mut job = client::job(fps, rungs.iter().map(|text| rungs::rung_of(text)).collect());
    job.latency = if latency == "low" { Latency::Low } else { Latency::Standard };
    let clip = clip::Clip::read(Path::new(file));
    let mut worker = client::Worker::start(Path::new(program));
    let socket = worker.socket.try_clone().expect("a second handle");
    let (sent, sendings) = mpsc::channel();
    let cadence = job.cadence;
    let opening = client::opening(&job);
    let feeder = std::thread::spawn(move || {
        let configuration = (ToWorker::VideoConfiguration { codec: clip.codec }, clip.configuration.clone());
        for (message, payload) in opening.into_iter().chain([configuration]) {
            client::Worker::send(&socket, &message, &payload).expect("the worker listens");
        }
        let begun = Instant::now();
        for (frame, unit) in (0u64..).zip(clip.units.iter().cycle()) {
            let ticks = cadence.time_of(frame).ticks();
            let due = begun + cadence.time_of(frame).to_duration();
            if due - begun > LENGTH {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let message = ToWorker::Video {
                dts_ticks: ticks,
                pts_ticks: ticks + unit.pts - unit.dts - (clip.units[0].pts - clip.units[0].dts),
                key: unit.key,
            };
            sent.send(Instant::now()).expect("somebody counts");
            client::Worker::send(&socket, &message, &unit.payload).expect("the worker listens");
        }
        client::Worker::send(&socket, &ToWorker::Finish, &Bytes::new()).expect("the worker listens");
    });
    let mut times = Vec::new();
    let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); job.rungs.len()];
    while let Some((message, _)) = worker.receive() {
        let now = Instant::now();
        times.extend(sendings.try_iter());
        match message {
            FromWorker::Picture { rung, frame, .. } => {
                let at = times.get(usize::try_from(frame).expect("small")).expect("sent before it comes");
                taken[usize::from(rung)].push(now - *at);
            }
            FromWorker::Failed { reason } => panic!("{reason}"),
            FromWorker::Finished => break,
            _ => {}
        }
    }
    feeder.join().expect("the feeder ends");
    for (rung, mut taken) in job.rungs.iter().zip(taken) {
        taken.sort_unstable();
        let at = |share: usize| taken[(taken.len() - 1) * share / 1000];
        println!(
            "{}: {} pictures, median {:?}, 99 % {:?}, worst {:?}",
            rung.rung.size,
            taken.len(),
            at(500),
            at(990),
            at(1000)
        );
    }
}
