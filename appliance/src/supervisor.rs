//! Workers: one process a feed, and another one for its sound while that has to be converted; spawned with one socket and
//! no environment but what the operator gives it.
//!
//! [`link`] carries the messages of one worker; this file starts it, watches its deadlines and tells why it ended. What
//! to do about an end is the feed's business.

pub mod link;
pub mod metrics;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use worker_protocol::{DeviceId, FromWorker, ToWorker, VERSION};

use crate::clock;
use crate::config;
use crate::pace::{self, Paced};
use crate::supervisor::metrics::Metrics;

/// Pictures, or frames of sound, waiting for a worker: two seconds of 60 a second, and some. Beyond it the feed sheds.
const QUEUE_TO_WORKER: usize = 160;
/// Pictures waiting for a worker that is new: what it is brought up to date with, 30 s of 60 frames a second and some. It
/// takes them faster than they came.
const REPLAY_TO_WORKER: usize = 2048;
/// Room beside them for what may not be shed: the source's configuration, how far to fill, and the end.
const ROOM_FOR_CONTROL: usize = 32;
/// Of that, room that filling leaves for the rest.
const ROOM_BESIDE_FILLING: usize = 16;
/// Bytes waiting for a worker: over a second of the highest bit rate that the configuration allows.
const QUEUED_BYTES_TO_WORKER: usize = 64 * 1024 * 1024;
/// Messages waiting for a feed: beyond it the worker's own bounded queues fill.
const QUEUE_FROM_WORKER: usize = 256;
/// How often deadlines are looked at.
const WATCH_BEATS: u64 = pace::beats(Duration::from_millis(250));
/// Longest time from the socket's end, or from a worker's last word, to the process's end before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a killed process to be gone. One that is stuck in a driver may never be, and nobody waits for it.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No socket.
    #[error("cannot make a socket pair for the worker")]
    Socket(#[source] io::Error),
    /// No process.
    #[error("cannot start worker {}", program.display())]
    Spawn {
        /// What was to be run.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// It put out all there was, and left.
    Finished,
    /// It said why it cannot go on.
    Failed(String),
    /// It left by itself, without a word.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It speaks another version of the protocol.
    Version(u16),
    /// It broke the framing.
    Protocol(String),
    /// No `Hello` in time.
    StartTimeout(Duration),
    /// No output in time, though it was fed.
    Hung(Duration),
    /// It is so far behind that it cannot be told of a change of its source.
    Behind,
    /// It did not finish in time.
    FinishTimeout(Duration),
}

impl Death {
    /// A word from a closed list, for a metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Exited(_) => "exited",
            Self::Signalled(_) => "signalled",
            Self::Version(_) => "version",
            Self::Protocol(_) => "protocol",
            Self::StartTimeout(_) => "start_timeout",
            Self::Hung(_) => "hung",
            Self::Behind => "behind",
            Self::FinishTimeout(_) => "finish_timeout",
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the worker finished"),
            Self::Failed(reason) => write!(f, "the worker gave up: {reason}"),
            Self::Exited(code) => write!(f, "the worker exited with code {code}"),
            // A daemon that kills its worker knows why; this was somebody else's.
            Self::Signalled(9) => f.write_str(
                "the worker was ended by signal 9 (SIGKILL); the kernel's log says whether memory ran out",
            ),
            Self::Signalled(signal) => write!(f, "the worker was ended by signal {signal}"),
            Self::Version(version) => {
                write!(
                    f,
                    "the worker speaks protocol version {version}, not {VERSION}: install both from one build"
                )
            }
            Self::Protocol(fault) => write!(f, "the worker broke the protocol: {fault}"),
            Self::StartTimeout(bound) => write!(f, "the worker did not answer within {bound:?}"),
            Self::Hung(bound) => write!(f, "the worker put nothing out for {bound:?} though it was fed"),
            Self::Behind => f.write_str(
                "the worker is too far behind to be told that its source changed; use a lighter ladder",
            ),
            Self::FinishTimeout(bound) => write!(f, "the worker did not finish within {bound:?}"),
        }
    }
}

/// What a worker tells its feed.
#[derive(Debug)]
pub enum WorkerEvent {
    /// A message with its payload.
    Message(FromWorker, Bytes),
    /// The last event.
    Ended(Death),
}

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    pid: u32,
    link: Arc<link::Link>,
    to: mpsc::Sender<(ToWorker, Bytes)>,
    from: mpsc::Receiver<WorkerEvent>,
    /// Whether it has been brought up to date, and is held to the shorter queue.
    in_step: bool,
}

/// The worker's queue has no room: it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind;

impl Worker {
    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Queues a message. One for a worker that has ended is dropped: its end is on the way as an event.
    ///
    /// # Errors
    /// [`Behind`] where the queue has no room. Pictures and sound leave room for [`ToWorker::FillTo`], and both leave room for
    /// what comes rarely and must arrive. [`ToWorker::Finish`] always finds some.
    pub fn send(&self, message: ToWorker, payload: Bytes) -> Result<(), Behind> {
        let (left_free, bytes) = match &message {
            ToWorker::Video { .. } | ToWorker::Sound { .. } if self.in_step => {
                (REPLAY_TO_WORKER + ROOM_FOR_CONTROL - QUEUE_TO_WORKER, payload.len())
            }
            ToWorker::Video { .. } | ToWorker::Sound { .. } => (ROOM_FOR_CONTROL, payload.len()),
            ToWorker::FillTo { .. } => (ROOM_BESIDE_FILLING, 0),
            ToWorker::VideoConfiguration { .. } | ToWorker::SoundConfiguration => (1, 0),
            ToWorker::Hello { .. } | ToWorker::Start(_) | ToWorker::StartSound(_) | ToWorker::Finish => {
                (0, 0)
            }
        };
        let has_room =
            self.to.capacity() > left_free && self.link.has_room_for(bytes, QUEUED_BYTES_TO_WORKER);
        if !has_room && !self.to.is_closed() {
            return Err(Behind);
        }
        self.link.note_queued(&message, payload.len(), clock::now());
        match self.to.try_send((message, payload)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Behind),
        }
    }

    /// What is sent next was held and comes at once: its queue takes it, as a new worker's does.
    pub const fn catch_up(&mut self) {
        self.in_step = false;
    }

    /// Lets time pass: a worker whose queue has come down to what is usual is held to that from then on.
    pub fn look(&mut self) {
        self.in_step |= self.to.max_capacity() - self.to.capacity() < QUEUE_TO_WORKER;
    }

    /// Ends it, for a reason that its process does not know.
    pub fn give_up(self, death: Death) {
        self.link.give_up(death);
    }

    /// The next event; `None` behind [`WorkerEvent::Ended`]. Cancel safe.
    pub async fn event(&mut self) -> Option<WorkerEvent> {
        self.from.recv().await
    }

    /// An event that has come already.
    pub fn event_already(&mut self) -> Option<WorkerEvent> {
        self.from.try_recv().ok()
    }
}

/// Starts a worker for `feed` on `device`. It stays inert until it gets [`ToWorker::Start`].
///
/// # Errors
/// Where no process can be made; later failures come as [`WorkerEvent::Ended`].
pub fn spawn(
    config: &config::Worker,
    device: &DeviceId,
    feed: &str,
    metrics: &Metrics,
) -> Result<Worker, SpawnError> {
    let arguments = ["run".to_owned(), format!("--device={device}")];
    start(config, &arguments, feed, metrics)
}

/// Starts a worker for the sound of `feed`. It stays inert until it gets [`ToWorker::StartSound`].
///
/// # Errors
/// As [`spawn`].
pub fn spawn_for_sound(config: &config::Worker, feed: &str, metrics: &Metrics) -> Result<Worker, SpawnError> {
    start(config, &["sound".to_owned()], feed, metrics)
}

/// The worker's program, to be run for whatever it is told in its arguments: with nothing of the daemon's but a pipe for its
/// words, and dead when nobody holds it any more. One that hangs in a driver may not die; nobody waits for it.
pub(crate) fn command(config: &config::Worker) -> Command {
    let mut command = Command::new(&config.program);
    command
        .env_clear()
        .envs(&config.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A ^C at the daemon's terminal is for the daemon, which has its workers put out what is left.
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn start(
    config: &config::Worker,
    arguments: &[String],
    feed: &str,
    metrics: &Metrics,
) -> Result<Worker, SpawnError> {
    let (ours, theirs) = UnixStream::pair().map_err(SpawnError::Socket)?;
    ours.set_nonblocking(true).map_err(SpawnError::Socket)?;
    let reader = Paced::new(ours.try_clone().map_err(SpawnError::Socket)?);
    let socket = (reader, Paced::new(ours));
    let mut child = command(config)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(|source| SpawnError::Spawn { program: config.program.clone(), source })?;
    let pid = child.id().unwrap_or_default();
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(link::log_stderr(stderr, feed.to_owned(), pid));
    }
    let (to, outgoing) = mpsc::channel(REPLAY_TO_WORKER + ROOM_FOR_CONTROL);
    let (events, from) = mpsc::channel(QUEUE_FROM_WORKER);
    info!(feed, pid, arguments = arguments.join(" "), "worker started");
    metrics.started.inc();
    let watched = Watched { config: config.clone(), feed: feed.to_owned(), pid, metrics: metrics.clone() };
    let link = Arc::new(link::Link::new(clock::now()));
    tokio::spawn(watched.run(child, link.clone(), socket, outgoing, events));
    Ok(Worker { pid, link, to, from, in_step: false })
}

struct Watched {
    config: config::Worker,
    feed: String,
    pid: u32,
    metrics: Metrics,
}

impl Watched {
    async fn run(
        self,
        mut child: Child,
        link: Arc<link::Link>,
        socket: (Paced<UnixStream>, Paced<UnixStream>),
        outgoing: mpsc::Receiver<(ToWorker, Bytes)>,
        events: mpsc::Sender<WorkerEvent>,
    ) {
        let verdict = tokio::select! {
            end = link.carry(socket, outgoing, &events) => end,
            death = self.watch(&link) => link::End::Death(death),
            () = events.closed() => link::End::Abandoned,
        };
        let death = self.bury(&mut child, verdict, &link).await;
        self.metrics.ended.with_label_values(&[death.label()]).inc();
        match death {
            Death::Finished => debug!(feed = self.feed, pid = self.pid, "worker ended"),
            _ => warn!(feed = self.feed, pid = self.pid, reason = %death, "worker ended"),
        }
        // A feed that no longer listens has dropped the worker, and needs no word of its end.
        let _ = events.send(WorkerEvent::Ended(death)).await;
    }

    /// Ends when a deadline has passed.
    async fn watch(&self, link: &link::Link) -> Death {
        let mut interval = pace::interval(WATCH_BEATS);
        loop {
            interval.tick().await;
            if let Some(death) = link.overdue(clock::now(), &self.config) {
                return death;
            }
        }
    }

    async fn bury(&self, child: &mut Child, end: link::End, link: &link::Link) -> Death {
        // A worker that left by itself is given a moment, so that its exit status is its own and not our SIGKILL.
        let patience = match end {
            link::End::Closed { .. } => EXIT_TIMEOUT,
            _ => Duration::ZERO,
        };
        let left = tokio::time::timeout(patience, child.wait()).await.ok();
        if left.is_none() {
            let _ = child.start_kill();
            // The runtime reaps it whenever it goes.
            if tokio::time::timeout(KILL_TIMEOUT, child.wait()).await.is_err() {
                warn!(feed = self.feed, pid = self.pid, "the worker does not die; its driver may hang");
            }
        }
        match (end, left) {
            (link::End::Death(death), _) => death,
            (link::End::Abandoned, _) => link.given_up().unwrap_or(Death::Finished),
            (link::End::Closed { finished: true, .. }, _) => Death::Finished,
            (link::End::Closed { failed: Some(reason), .. }, _) => Death::Failed(reason),
            (link::End::Closed { .. }, Some(Ok(status))) => exit_of(&status),
            (link::End::Closed { .. }, Some(Err(_))) => Death::Exited(-1),
            (link::End::Closed { .. }, None) => {
                Death::Protocol(format!("it closed its socket and did not exit within {EXIT_TIMEOUT:?}"))
            }
        }
    }
}

fn exit_of(status: &ExitStatus) -> Death {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Death::Exited(code),
        (None, signal) => Death::Signalled(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
