//! What a worker does when source, daemon or both misbehave.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use media::VideoCodec;
use worker_protocol::{FromWorker, ToWorker, VERSION};

use crate::client::{Outcome, Script, Worker, job, opening, rung};
use crate::clip::Clip;
use crate::{output, program, transcode};

fn run(script: Script) -> Outcome {
    Worker::start(program()).run(script)
}

fn small_job() -> worker_protocol::Job {
    job("25", vec![rung("180", 320, 180, 400_000)])
}

fn assert_failed(outcome: &Outcome, words: &str, code: i32) {
    let reason = outcome.failed.as_deref().unwrap_or_else(|| panic!("no reason; stderr {}", outcome.stderr));
    assert!(reason.contains(words), "{reason}");
    assert_eq!(outcome.status.unwrap().code(), Some(code), "{reason}");
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
}

#[test]
fn damaged_units_are_concealed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -c:v libx264 -bf 2 -g 50");
    let mut damaged = clip.clone();
    for (index, unit) in damaged.units.iter_mut().enumerate() {
        if index % 7 == 3 && !unit.key {
            // Behind the length and the slice header.
            let mut bytes = BytesMut::from(&unit.payload[..]);
            for (at, byte) in bytes.iter_mut().enumerate().skip(16) {
                *byte ^= u8::try_from(at * 31 % 256).unwrap();
            }
            unit.payload = bytes.freeze();
        }
        if index % 29 == 11 {
            unit.payload = Bytes::from_static(&[0, 0, 0xff, 0xff, 0x65]);
        }
    }
    let job = small_job();
    let mut script = damaged.script(0);
    script.push((ToWorker::FillTo { frame: 100, slate_from: u64::MAX }, Bytes::new()));
    let outcome = transcode(&job, script);
    output::check(folder.path(), &job, &outcome, 100);
    let report = outcome.last_report();
    assert!(report.decode_errors >= 5, "{report:?}");
    assert!(report.pictures_decoded >= 80, "{report:?}");
}

#[test]
fn an_empty_unit_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut clip = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -bf 0");
    clip.units[10].payload = Bytes::new();
    let outcome = transcode(&small_job(), clip.script(0));
    assert_eq!(outcome.rungs[0].pictures.len(), 25);
    assert_eq!(outcome.last_report().decode_errors, 1);
}

#[test]
fn a_garbage_record_fails_with_a_sentence() {
    for record in [&b"garbage"[..], &[], &[1, 100, 0, 31, 0xff, 0xe1, 0, 200, 0x67, 100]] {
        let mut script = opening(&small_job());
        script.push((ToWorker::VideoConfiguration { codec: VideoCodec::H264 }, Bytes::from(record)));
        assert_failed(&run(script), "cannot decode this source", 1);
    }
}

#[test]
fn a_source_that_never_decodes_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264");
    let mut script = opening(&small_job());
    script.extend(clip.script(0).into_iter().take(1));
    for k in 0..400 {
        let message = ToWorker::Video { dts_ticks: k * 3600, pts_ticks: k * 3600, key: true };
        script.push((message, Bytes::from_static(b"\0\0\0\x05\x41nope")));
    }
    assert_failed(&run(script), "no picture could be decoded from the last 300 units", 1);
}

#[test]
fn a_daemon_of_another_version_is_refused() {
    let version = VERSION + 1;
    let outcome = run(vec![(ToWorker::Hello { version }, Bytes::new())]);
    assert_failed(&outcome, &format!("version {version}"), 3);
    assert_eq!(outcome.hello.unwrap().0, VERSION);
}

#[test]
fn messages_out_of_order_are_refused() {
    let video = (ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true }, Bytes::from_static(b"x"));
    let hello = (ToWorker::Hello { version: VERSION }, Bytes::new());
    assert_failed(&run(vec![video.clone()]), "Video came where Hello was due", 3);
    assert_failed(&run(vec![hello.clone(), video.clone()]), "Video came where Start was due", 3);
    let mut script = opening(&small_job());
    script.push(video);
    assert_failed(&run(script), "Video came where VideoConfiguration was due", 3);
    let mut script = opening(&small_job());
    script.push(hello);
    assert_failed(&run(script), "Hello came where media was due", 3);
}

#[test]
fn jobs_that_cannot_be_done_are_refused() {
    let refused = |change: fn(&mut worker_protocol::Job)| {
        let mut job = small_job();
        change(&mut job);
        run(opening(&job))
    };
    assert_failed(&refused(|job| job.rungs.clear()), "job with 0 rungs", 3);
    assert_failed(&refused(|job| job.rungs[0].rung.size.width = 321), "321x180", 3);
    // x264 has written why.
    let outcome = refused(|job| job.rungs[0].rung.preset = "swift".to_owned());
    assert_failed(&outcome, "preset swift", 1);
    assert!(outcome.stderr.contains("invalid preset 'swift'"), "{}", outcome.stderr);
}

#[test]
fn garbage_on_the_socket_is_refused() {
    let mut worker = Worker::start(program());
    assert!(matches!(worker.receive(), Some((FromWorker::Hello { .. }, _))));
    std::io::Write::write_all(&mut worker.socket, &[0xff; 64]).unwrap();
    let Some((FromWorker::Failed { reason }, _)) = worker.receive() else { panic!("no reason") };
    assert!(reason.contains("over the bound"), "{reason}");
    assert_eq!(worker.child.wait().unwrap().code(), Some(3));
}

/// Waits for the end of a process, which must come soon.
fn ends_soon(worker: &mut Worker) -> Option<i32> {
    let (done, ended) = std::sync::mpsc::channel();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(worker.child.id()).unwrap());
    std::thread::spawn(move || {
        let status = nix::sys::wait::waitpid(pid, None);
        let _ = done.send(status);
    });
    match ended.recv_timeout(Duration::from_secs(10)).expect("the worker ends") {
        Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => Some(code),
        _ => None,
    }
}

#[test]
fn a_worker_ends_with_its_socket() {
    // Before any message, and in the middle of work with nobody reading.
    let mut idle = Worker::start(program());
    assert!(matches!(idle.receive(), Some((FromWorker::Hello { .. }, _))));
    idle.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(ends_soon(&mut idle), Some(4));

    let folder = tempfile::tempdir().unwrap();
    let clip =
        Clip::make(folder.path(), "-f lavfi -i testsrc2=s=1280x720:r=25:d=4 -c:v libx264 -preset ultrafast");
    let job = job("25", vec![rung("720", 1280, 720, 20_000_000)]);
    let mut busy = Worker::start(program());
    busy.socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut stuck = false;
    'feed: for round in 0..50 {
        let script = if round == 0 { opening(&job) } else { clip.script(round * 100 * 3600) };
        for (message, payload) in script {
            if Worker::send(&busy.socket, &message, &payload).is_err() {
                stuck = true;
                break 'feed;
            }
        }
    }
    assert!(stuck, "a worker whose output nobody reads must stop reading");
    busy.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(ends_soon(&mut busy), Some(4));
}

#[test]
fn input_may_be_closed_after_finish() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264");
    let mut worker = Worker::start(program());
    let mut script = opening(&small_job());
    script.extend(clip.script(0));
    script.push((ToWorker::Finish, Bytes::new()));
    for (message, payload) in script {
        Worker::send(&worker.socket, &message, &payload).unwrap();
    }
    worker.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut pictures = 0;
    while let Some((message, _)) = worker.receive() {
        match message {
            FromWorker::Picture { .. } => pictures += 1,
            FromWorker::Finished => break,
            FromWorker::Failed { reason } => panic!("{reason}"),
            _ => {}
        }
    }
    assert_eq!(pictures, 25);
    assert_eq!(ends_soon(&mut worker), Some(0));
}
