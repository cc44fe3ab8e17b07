//! The real binary over a real socket, with real streams; what comes out is judged by ffmpeg.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may stop at the first surprise"
)]

mod client;
mod clip;
mod cost;
mod faults;
mod grid;
mod latency;
mod output;
mod probe;
mod slate;
mod sound;
mod sources;
mod takeover;

use std::path::Path;

use bytes::Bytes;
use client::{Outcome, Script, Worker};
use worker_protocol::{Job, ToWorker};

/// The worker under test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rungd-worker"))
}

/// Runs a job with these messages between `Start` and `Finish`.
fn transcode(job: &Job, media: Script) -> Outcome {
    let mut script = client::opening(job);
    script.extend(media);
    script.push((ToWorker::Finish, Bytes::new()));
    let outcome = Worker::start(program()).run(script);
    assert!(outcome.finished, "{:?} {:?} {}", outcome.failed, outcome.status, outcome.stderr);
    assert_eq!(outcome.status.unwrap().code(), Some(0));
    assert_eq!(outcome.stderr, "", "the worker has nothing to complain of");
    outcome
}
