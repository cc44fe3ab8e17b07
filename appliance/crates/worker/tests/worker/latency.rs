//! Low latency: nothing is held back.

use bytes::Bytes;
use media::Latency;
use worker_protocol::{FromWorker, ToWorker};

use crate::client::{Worker, job, opening, rung};
use crate::clip::Clip;
use crate::{output, program};

/// Gives a worker one unit at a time, and the next when the first has come out as a picture of every rung. The source
/// must hold nothing back either.
fn in_step(encoder: &str) {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(folder.path(), &format!("-f lavfi -i testsrc2=s=640x360:r=25:d=3 -g 25 {encoder}"));
    let rungs = [(640, 360, 1_500_000), (426, 240, 600_000), (256, 144, 300_000)];
    let mut job = job("25", rungs.map(|(w, h, bits)| rung(&h.to_string(), w, h, bits)).into());
    job.latency = Latency::Low;
    let mut worker = Worker::start(program());
    let configuration = (ToWorker::VideoConfiguration { codec: clip.codec }, clip.configuration.clone());
    for (message, payload) in opening(&job).into_iter().chain([configuration]) {
        Worker::send(&worker.socket, &message, &payload).unwrap();
    }
    let mut outcome = crate::client::Outcome::default();
    for (frame, unit) in (0u64..).zip(&clip.units) {
        let ticks = job.cadence.time_of(frame).ticks();
        let message = ToWorker::Video { dts_ticks: ticks, pts_ticks: ticks, key: unit.key };
        Worker::send(&worker.socket, &message, &unit.payload).unwrap();
        let mut lacking = job.rungs.len();
        while lacking > 0 {
            // It fails where nothing comes: the picture is held back.
            let (message, payload) = worker.receive().expect("it goes on");
            if let FromWorker::Picture { frame: shown, .. } = &message {
                assert_eq!(*shown, frame);
                lacking -= 1;
            }
            outcome.take(message, payload);
        }
    }
    Worker::send(&worker.socket, &ToWorker::Finish, &Bytes::new()).unwrap();
    while let Some((message, payload)) = worker.receive() {
        outcome.take(message, payload);
    }
    output::check(folder.path(), &job, &outcome, 75);
}

#[test]
fn each_picture_comes_out_before_the_next_unit_goes_in() {
    in_step("-c:v libx264 -tune zerolatency -bf 0");
}

#[test]
fn hevc_and_av1_sources_hold_nothing_back_either() {
    in_step("-c:v libx265 -x265-params log-level=none:bframes=0 -tune zerolatency");
    in_step("-c:v libaom-av1 -cpu-used 8 -row-mt 1 -lag-in-frames 0");
}
