//! Feeds the video of an MP4 to a worker as fast as it takes it, for measuring.
//!
//! `feed WORKER FILE FPS RUNG...`, where a rung is `WIDTHxHEIGHT:BITS_PER_SECOND[:PRESET]`. Prints the wall time and
//! what came out; resources of the worker are measured by running it under `time`, as `WORKER`'s wrapper.
#![allow(dead_code, missing_docs, reason = "the modules are shared with the tests, which use the rest")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool for measuring may stop at the first surprise"
)]

#[path = "../tests/worker/client.rs"]
mod client;
#[path = "../tests/worker/clip.rs"]
mod clip;
#[path = "arguments/rungs.rs"]
mod rungs;

use std::path::Path;

use worker_protocol::ToWorker;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, file, fps, rungs @ ..] = arguments.as_slice() else {
        eprintln!("usage: feed WORKER FILE FPS WIDTHxHEIGHT:BITS_PER_SECOND[:PRESET]...");
        std::process::exit(2);
    };
    let job = client::job(fps, rungs.iter().map(|text| rungs::rung_of(text)).collect());
    let clip = clip::Clip::read(Path::new(file));
    let mut script = client::opening(&job);
    script.extend(clip.script(0));
    script.push((ToWorker::Finish, bytes::Bytes::new()));
    let outcome = client::Worker::start(Path::new(program)).run(script);
    eprint!("{}", outcome.stderr);
    println!("finished: {}, failed: {:?}, exit: {:?}", outcome.finished, outcome.failed, outcome.status);
    println!("{:#?}", outcome.reports.last());
    for rung in &outcome.rungs {
        let bytes: usize = rung.pictures.iter().map(|p| p.payload.len()).sum();
        println!("{:?}: {} pictures, {bytes} bytes", rung.size, rung.pictures.len());
    }
}
