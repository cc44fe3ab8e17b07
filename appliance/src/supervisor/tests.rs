//! Workers that are none: each dies, or is ended, for a reason that is told.

use std::io::Write as _;
use std::path::PathBuf;

use media::VideoCodec;
use prometheus::Registry;
use test_support::wait::{until, until_gone};

use super::*;

/// Longest wait for anything that has to happen, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(30);
/// A deadline that is to pass.
const SOON: Duration = Duration::from_millis(300);

struct Stage {
    folder: tempfile::TempDir,
    config: config::Worker,
    metrics: Metrics,
}

impl Stage {
    /// `script` stands in for the worker; its socket is its standard input.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("worker");
        // Another process writes it: a file that is open for writing anywhere, as in a child that another test is just
        // making, cannot be run.
        let mut writer = std::process::Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        write!(writer.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
        assert!(writer.wait().unwrap().success());
        let config = config::Worker {
            program,
            start_timeout: DEADLINE,
            hang_timeout: DEADLINE,
            finish_timeout: DEADLINE,
            environment: std::collections::BTreeMap::new(),
        };
        Self { folder, config, metrics: Metrics::register(&Registry::new()).unwrap() }
    }

    fn spawn(&self) -> Worker {
        spawn(&self.config, &DeviceId::software(), "studio-a", &self.metrics).unwrap()
    }

    /// How it ends, with all that it said before.
    async fn end(&self, mut worker: Worker) -> (Death, Vec<FromWorker>) {
        let mut said = Vec::new();
        let end = async {
            loop {
                match worker.event().await.expect("an end") {
                    WorkerEvent::Message(message, _) => said.push(message),
                    WorkerEvent::Ended(death) => return death,
                }
            }
        };
        let death = tokio::time::timeout(2 * DEADLINE, end).await.expect("it ends in time");
        assert!(worker.event().await.is_none(), "nothing comes behind the end");
        assert_eq!(self.metrics.ended.with_label_values(&[death.label()]).get(), 1);
        until_gone(DEADLINE, worker.pid()).await;
        (death, said)
    }

    async fn death(&self) -> Death {
        self.end(self.spawn()).await.0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A shell command that sends a message.
fn say(message: &FromWorker) -> String {
    let frame = worker_protocol::encode(message, 0).unwrap();
    let octal: String = frame.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{octal}' >&0")
}

fn hello(version: u16) -> String {
    say(&FromWorker::Hello { version, build: "stand-in".to_owned() })
}

fn video(bytes: usize) -> (ToWorker, Bytes) {
    let payload = Bytes::from(vec![0; bytes]);
    (ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true }, payload)
}

#[tokio::test]
async fn one_that_leaves_tells_by_its_exit_code_or_signal() {
    assert_eq!(Stage::new("exit 7").death().await, Death::Exited(7));
    assert_eq!(Stage::new("exit 0").death().await, Death::Exited(0));
    assert_eq!(Stage::new("kill -SEGV $$").death().await, Death::Signalled(11));
    let after_hello = Stage::new(&format!("{}; exit 101", hello(VERSION))).death().await;
    assert_eq!(after_hello, Death::Exited(101));
}

#[tokio::test]
async fn one_that_writes_garbage_is_ended() {
    let death = Stage::new("printf '\\377\\377\\377\\377garbage' >&0; exec /bin/sleep 600").death().await;
    assert!(matches!(&death, Death::Protocol(fault) if fault.contains("over the bound")), "{death}");
    let header = Stage::new("printf '\\012\\0\\0\\0\\010\\0garbagex' >&0; exec /bin/sleep 600").death().await;
    assert!(matches!(&header, Death::Protocol(fault) if fault.contains("not a message")), "{header}");
}

#[tokio::test]
async fn one_of_another_build_is_ended() {
    let death = Stage::new(&format!("{}; exec /bin/sleep 600", hello(99))).death().await;
    assert_eq!(death, Death::Version(99));
    assert!(death.to_string().contains("install both from one build"));
}

#[tokio::test]
async fn one_that_says_nothing_is_ended() {
    let mut stage = Stage::new("exec /bin/sleep 600");
    stage.config.start_timeout = SOON;
    assert_eq!(stage.death().await, Death::StartTimeout(SOON));
}

#[tokio::test]
async fn one_that_does_not_answer_its_job_is_ended() {
    let mut stage = Stage::new(&format!("{}; exec /bin/cat <&0 >/dev/null", hello(VERSION)));
    stage.config.start_timeout = Duration::from_secs(1);
    let worker = stage.spawn();
    let rate = media::FrameRate::PAL;
    worker
        .send(
            ToWorker::Start(worker_protocol::Job {
                feed: "studio-a".to_owned(),
                title: "Studio A".to_owned(),
                cadence: media::Cadence::new(rate, Duration::from_secs(2), Duration::from_secs(1)),
                latency: media::Latency::Standard,
                slate: false,
                rungs: Vec::new(),
            }),
            Bytes::new(),
        )
        .unwrap();
    assert_eq!(stage.end(worker).await.0, Death::StartTimeout(Duration::from_secs(1)));
}

#[tokio::test]
async fn one_that_gives_up_is_quoted_though_it_lingers() {
    let failed = say(&FromWorker::Failed { reason: "no encoder".to_owned() });
    let leaves = Stage::new(&format!("{}; {failed}; exit 1", hello(VERSION))).death().await;
    assert_eq!(leaves, Death::Failed("no encoder".to_owned()));
    let lingers = Stage::new(&format!("{}; {failed}; exec /bin/sleep 600", hello(VERSION))).death().await;
    assert_eq!(lingers, Death::Failed("no encoder".to_owned()));
}

#[tokio::test]
async fn one_that_has_finished_has_finished_whatever_its_exit_code() {
    let finished = say(&FromWorker::Finished);
    let stage = Stage::new(&format!("{}; {finished}; exit 5", hello(VERSION)));
    let (death, said) = stage.end(stage.spawn()).await;
    assert_eq!(death, Death::Finished);
    assert!(matches!(&said[..], [FromWorker::Hello { .. }, FromWorker::Finished]), "{said:?}");
}

#[tokio::test]
async fn one_that_closes_its_socket_and_goes_on_is_ended() {
    let death = Stage::new(&format!("{}; exec 0<&-; exec /bin/sleep 600", hello(VERSION))).death().await;
    assert!(matches!(&death, Death::Protocol(fault) if fault.contains("did not exit")), "{death}");
}

#[tokio::test]
async fn one_that_is_fed_and_puts_nothing_out_is_hung() {
    for (script, message) in [
        // It reads all of it.
        ("exec /bin/cat <&0 >/dev/null", video(10)),
        (
            "exec /bin/cat <&0 >/dev/null",
            (ToWorker::FillTo { frame: 100, slate_from: u64::MAX }, Bytes::new()),
        ),
        // It reads nothing, and what it is sent fits no socket.
        ("exec /bin/sleep 600", video(8 * 1024 * 1024)),
    ] {
        let mut stage = Stage::new(&format!("{}; {script}", hello(VERSION)));
        stage.config.hang_timeout = SOON;
        let worker = stage.spawn();
        worker.send(message.0, message.1).unwrap();
        assert_eq!(stage.end(worker).await.0, Death::Hung(SOON), "{script}");
    }
}

#[tokio::test]
async fn one_that_hangs_between_two_pictures_is_hung_though_the_writer_waits() {
    // It answers the first picture, and never reads the rest.
    let picture = say(&FromWorker::Picture { rung: 0, frame: 0, key: true });
    let mut stage = Stage::new(&format!(
        "{}; /usr/bin/head -c 100 >/dev/null; {picture}; exec /bin/sleep 600",
        hello(VERSION)
    ));
    // Its first answer, for which the shell starts programs, has to come in this time as well.
    let bound = Duration::from_secs(5);
    stage.config.hang_timeout = bound;
    let mut worker = stage.spawn();
    let (message, payload) = video(4 * 1024 * 1024);
    worker.send(message, payload).unwrap();
    loop {
        match worker.event().await.unwrap() {
            WorkerEvent::Message(FromWorker::Picture { .. }, _) => break,
            WorkerEvent::Message(..) => {}
            WorkerEvent::Ended(death) => panic!("{death}"),
        }
    }
    // The first is still being written, so this one waits behind it.
    let (message, payload) = video(10);
    worker.send(message, payload).unwrap();
    assert_eq!(stage.end(worker).await.0, Death::Hung(bound));
}

#[tokio::test]
async fn one_that_never_reads_finish_is_ended_in_its_time_all_the_same() {
    let mut stage = Stage::new(&format!("{}; exec /bin/sleep 600", hello(VERSION)));
    stage.config.finish_timeout = SOON;
    let worker = stage.spawn();
    let (message, payload) = video(8 * 1024 * 1024);
    worker.send(message, payload).unwrap();
    worker.send(ToWorker::Finish, Bytes::new()).unwrap();
    assert_eq!(stage.end(worker).await.0, Death::FinishTimeout(SOON));
}

#[tokio::test]
async fn what_is_given_up_is_told_with_the_reason() {
    let stage = Stage::new("exec /bin/sleep 600");
    let worker = stage.spawn();
    let pid = worker.pid();
    worker.give_up(Death::Behind);
    until_gone(DEADLINE, pid).await;
    until(DEADLINE, "its end to be counted", async || {
        (stage.metrics.ended.with_label_values(&["behind"]).get() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_dropped_is_ended() {
    let stage = Stage::new(&format!("{}; exec /bin/sleep 600", hello(VERSION)));
    let mut worker = stage.spawn();
    assert!(matches!(worker.event().await, Some(WorkerEvent::Message(FromWorker::Hello { .. }, _))));
    let pid = worker.pid();
    drop(worker);
    until_gone(DEADLINE, pid).await;
}

#[tokio::test]
async fn a_flood_of_complaints_neither_blocks_nor_kills() {
    let stage = Stage::new(
        "/usr/bin/head -c 20000000 /dev/zero >&2; /usr/bin/yes | /usr/bin/head -n 100000 >&2; exit 3",
    );
    assert_eq!(stage.death().await, Death::Exited(3));
}

#[tokio::test]
async fn its_environment_is_the_operators_and_its_place_the_root() {
    let stage = Stage::new("");
    let seen = stage.path("seen");
    let script = format!(
        "{{ /usr/bin/tr '\\0' '\\n' < /proc/$$/environ; /bin/readlink /proc/$$/cwd; echo \"$@\"; }} > {}; exit 0",
        seen.display()
    );
    let stage = Stage::new(&script);
    assert_eq!(stage.death().await, Death::Exited(0));
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "/\nrun --device=software\n");

    let mut stage = Stage::new(&script);
    stage.config.environment = [("LIBVA_DRIVER_NAME".to_owned(), "iHD".to_owned())].into();
    assert_eq!(stage.death().await, Death::Exited(0));
    let seen = std::fs::read_to_string(seen).unwrap();
    assert_eq!(seen, "LIBVA_DRIVER_NAME=iHD\n/\nrun --device=software\n");
}

#[tokio::test]
async fn one_for_sound_is_told_so_and_held_to_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let mut stage = Stage::new(&format!(
        "echo \"$@\" > {}; {}; exec /bin/cat <&0 >/dev/null",
        seen.display(),
        hello(VERSION)
    ));
    // In which it has to write its words down, and to say hello.
    let bound = Duration::from_secs(5);
    stage.config.start_timeout = bound;
    let worker = spawn_for_sound(&stage.config, "studio-a", &stage.metrics).unwrap();
    let job = worker_protocol::SoundJob { feed: "studio-a".to_owned(), bit_rate: 64_000 };
    worker.send(ToWorker::StartSound(job), Bytes::from_static(&[0x11, 0x90])).unwrap();
    let mut frames = 0;
    while worker.send(ToWorker::Sound { pts_ticks: 0 }, Bytes::from_static(&[0; 300])).is_ok() {
        frames += 1;
    }
    assert_eq!(frames, REPLAY_TO_WORKER - 1, "beside its job");
    assert_eq!(worker.send(ToWorker::SoundConfiguration, Bytes::new()), Ok(()));
    assert_eq!(worker.send(ToWorker::Finish, Bytes::new()), Ok(()));
    // It never says that its encoder is open.
    assert_eq!(stage.end(worker).await.0, Death::StartTimeout(bound));
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "sound\n");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let mut stage = Stage::new("");
    stage.config.program = "/nowhere/rungd-worker".into();
    let fault = spawn(&stage.config, &DeviceId::software(), "studio-a", &stage.metrics).unwrap_err();
    assert_eq!(fault.to_string(), "cannot start worker /nowhere/rungd-worker");
}

#[tokio::test]
async fn a_queue_that_is_full_of_pictures_still_takes_what_must_arrive() {
    let mut stage = Stage::new(&format!("{}; exec /bin/sleep 600", hello(VERSION)));
    stage.config.finish_timeout = SOON;
    let worker = stage.spawn();
    let mut pictures = 0;
    while worker.send(video(1000).0, Bytes::from_static(&[0; 1000])).is_ok() {
        pictures += 1;
    }
    assert_eq!(pictures, REPLAY_TO_WORKER, "nothing is taken out while this thread does not wait");
    let configuration = || ToWorker::VideoConfiguration { codec: VideoCodec::H264 };
    let mut fills = 0;
    while worker.send(ToWorker::FillTo { frame: 1, slate_from: u64::MAX }, Bytes::new()).is_ok() {
        fills += 1;
    }
    assert_eq!(fills, ROOM_FOR_CONTROL - ROOM_BESIDE_FILLING);
    let mut configurations = 0;
    while worker.send(configuration(), Bytes::new()).is_ok() {
        configurations += 1;
    }
    assert_eq!(configurations, ROOM_BESIDE_FILLING - 1);
    assert_eq!(worker.send(ToWorker::Finish, Bytes::new()), Ok(()));
    assert_eq!(stage.end(worker).await.0, Death::FinishTimeout(SOON));
}

/// A publisher that stood by goes on air with all of its last group of pictures, which may be hundreds.
#[tokio::test]
async fn a_worker_in_step_takes_as_much_at_once_only_where_it_is_to_catch_up() {
    let stage = Stage::new(&format!("{}; exec /bin/sleep 600", hello(VERSION)));
    let mut worker = stage.spawn();
    worker.look();
    let fill = |worker: &Worker| {
        (0..).take_while(|_| worker.send(video(10).0, Bytes::from_static(&[0; 10])).is_ok()).count()
    };
    assert_eq!(fill(&worker), QUEUE_TO_WORKER);
    worker.catch_up();
    assert_eq!(fill(&worker), REPLAY_TO_WORKER - QUEUE_TO_WORKER);
    worker.look();
    assert!(!worker.in_step, "not until it has caught up");
}

#[tokio::test]
async fn a_queue_of_large_pictures_is_bounded_in_bytes() {
    let stage = Stage::new(&format!("{}; exec /bin/sleep 600", hello(VERSION)));
    let worker = stage.spawn();
    let (_, payload) = video(8 * 1024 * 1024);
    let mut pictures = 0;
    while worker.send(video(0).0, payload.clone()).is_ok() {
        pictures += 1;
    }
    assert_eq!(pictures, 8);
    assert_eq!(worker.send(ToWorker::Finish, Bytes::new()), Ok(()));
}
