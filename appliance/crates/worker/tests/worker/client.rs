//! A daemon in small: starts a worker, feeds it, and keeps what comes back.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use media::{Cadence, FrameRate, Latency, Rung, Size, ladder::RungRate};
use worker_protocol::{
    FrameDecoder, FromWorker, Job, Report, RungJob, SoundReport, ToWorker, VERSION, encode,
};

/// Longest silence of a worker that is still taken to live.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a worker is told, in order.
pub(crate) type Script = Vec<(ToWorker, Bytes)>;

/// One coded picture of a rung.
pub(crate) struct Picture {
    pub(crate) frame: u64,
    pub(crate) key: bool,
    pub(crate) payload: Bytes,
}

/// What came of one rung.
#[derive(Default)]
pub(crate) struct RungOutput {
    pub(crate) size: Option<Size>,
    pub(crate) configuration: Bytes,
    pub(crate) pictures: Vec<Picture>,
}

/// All that a worker did.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) hello: Option<(u16, String)>,
    pub(crate) rungs: Vec<RungOutput>,
    pub(crate) reports: Vec<Report>,
    /// Whether the sound's encoder opened, and its frames with their positions.
    pub(crate) sound: Option<Vec<(i64, Bytes)>>,
    pub(crate) sound_reports: Vec<SoundReport>,
    pub(crate) warnings: Vec<String>,
    pub(crate) finished: bool,
    pub(crate) failed: Option<String>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn last_report(&self) -> &Report {
        self.reports.last().expect("a report")
    }
}

/// A running worker.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) socket: UnixStream,
    decoder: FrameDecoder,
}

impl Worker {
    pub(crate) fn start(program: &Path) -> Self {
        Self::start_as(program, "run")
    }

    pub(crate) fn start_as(program: &Path, command: &str) -> Self {
        Self::start_with(program, &[command], &[])
    }

    /// With these arguments, and this environment.
    pub(crate) fn start_with(program: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        Self { child, socket: ours, decoder: FrameDecoder::default() }
    }

    pub(crate) fn send(mut socket: &UnixStream, message: &ToWorker, payload: &[u8]) -> std::io::Result<()> {
        let head = encode(message, payload.len()).expect("within bounds");
        socket.write_all(&head)?;
        socket.write_all(payload)
    }

    /// The next message; none at the end of the stream.
    pub(crate) fn receive(&mut self) -> Option<(FromWorker, Bytes)> {
        loop {
            if let Some(message) = self.decoder.next_message().expect("well framed") {
                return Some(message);
            }
            let got = match self.socket.read(self.decoder.room()) {
                // The worker has ended without reading all that it was told.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
                other => other.expect("the worker says something in time"),
            };
            self.decoder.filled(got);
            if got == 0 {
                return None;
            }
        }
    }

    /// Says all of `script` while taking in all that comes, until the worker ends.
    pub(crate) fn run(mut self, script: Script) -> Outcome {
        let socket = self.socket.try_clone().expect("a second handle");
        let feeder = std::thread::spawn(move || {
            for (message, payload) in script {
                // A worker that has failed reads no more.
                if Self::send(&socket, &message, &payload).is_err() {
                    return;
                }
            }
        });
        let mut outcome = Outcome::default();
        while let Some((message, payload)) = self.receive() {
            outcome.take(message, payload);
        }
        feeder.join().expect("the feeder ends");
        outcome.status = Some(self.child.wait().expect("the worker ends"));
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut outcome.stderr).expect("text");
        }
        outcome
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    fn rung(&mut self, index: u8) -> &mut RungOutput {
        let index = usize::from(index);
        while self.rungs.len() <= index {
            self.rungs.push(RungOutput::default());
        }
        &mut self.rungs[index]
    }

    pub(crate) fn take(&mut self, message: FromWorker, payload: Bytes) {
        assert!(!self.finished && self.failed.is_none(), "{message:?} after the last message");
        match message {
            FromWorker::Hello { version, build } => self.hello = Some((version, build)),
            FromWorker::RungOpened { rung, size, .. } => {
                let rung = self.rung(rung);
                assert!(rung.size.is_none(), "opened twice");
                rung.size = Some(size);
                rung.configuration = payload;
            }
            FromWorker::Picture { rung, frame, key } => {
                let rung = self.rung(rung);
                assert!(rung.size.is_some(), "a picture before the rung is opened");
                rung.pictures.push(Picture { frame, key, payload });
            }
            FromWorker::Report(report) => self.reports.push(report),
            FromWorker::Warning { text } => self.warnings.push(text),
            FromWorker::SoundOpened => {
                assert!(self.sound.replace(Vec::new()).is_none(), "opened twice");
            }
            FromWorker::ConvertedSound { position } => {
                self.sound.as_mut().expect("sound comes behind its opening").push((position, payload));
            }
            FromWorker::SoundReport(report) => self.sound_reports.push(report),
            FromWorker::Finished => self.finished = true,
            FromWorker::Failed { reason } => self.failed = Some(reason),
        }
    }
}

/// A rung with ordinary settings.
pub(crate) fn rung(name: &str, width: u32, height: u32, bit_rate: u32) -> Rung {
    Rung {
        name: name.to_owned(),
        size: Size { width, height },
        rate: RungRate::Full,
        bit_rate,
        max_bit_rate: bit_rate / 10 * 11,
        buffer_bits: bit_rate * 2,
        preset: "veryfast".to_owned(),
        tune: None,
        profile: "high".to_owned(),
        upscale: false,
    }
}

/// A job at `fps` with segments of 2 s, from the presentation's beginning.
pub(crate) fn job(fps: &str, rungs: Vec<Rung>) -> Job {
    let rate: FrameRate = fps.parse().expect("a rate");
    let cadence = Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(500));
    Job {
        feed: "test".to_owned(),
        title: "Test".to_owned(),
        cadence,
        latency: Latency::Standard,
        slate: false,
        rungs: rungs.into_iter().map(|rung| RungJob { rung, first_frame: 0 }).collect(),
    }
}

/// The beginning of every script.
pub(crate) fn opening(job: &Job) -> Script {
    vec![(ToWorker::Hello { version: VERSION }, Bytes::new()), (ToWorker::Start(job.clone()), Bytes::new())]
}
