//! Starts the threads, waits for the first that ends, and says why.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use bytes::Bytes;
use software::Device;
use worker_protocol::{DeviceId, EngineKind, FromWorker, VERSION};

use crate::engine::nvidia::{NvidiaDecodeEngine, NvidiaEngine};
use crate::engine::software::SoftwareEngine;
use crate::engine::vaapi::VaapiEngine;
use crate::link::{self, Incoming, LinkError, Outbox};
use crate::pipeline::{self, Alarm, PipelineError};
use crate::sandbox::{self, SandboxError};
use crate::sound::{self, ConvertError};

/// How long a failing worker tries to say why: a daemon that does not read for so long will not read it at all.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a worker ends before its work is done.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// The sandbox.
    #[error("sandbox")]
    Sandbox(#[from] SandboxError),
    /// The socket.
    #[error("link")]
    Link(#[from] LinkError),
    /// The daemon closed the socket first.
    #[error("the daemon closed the socket")]
    Gone,
    /// The pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The sound.
    #[error(transparent)]
    Sound(#[from] ConvertError),
    /// A thread could not be started.
    #[error("cannot start thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked: a bug of ours.
    #[error("thread {name} panicked: {what}")]
    Panic {
        /// Its name.
        name: &'static str,
        /// What it said.
        what: String,
    },
}

impl RunError {
    /// The one mapping from errors to exit codes. 2 is clap's, for arguments.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Pipeline(error) if error.is_protocol() => 3,
            Self::Sound(error) if error.is_protocol() => 3,
            Self::Pipeline(PipelineError::Panic { .. }) | Self::Panic { .. } => 5,
            Self::Pipeline(_) | Self::Sound(_) => 1,
            Self::Link(LinkError::Frame { .. }) => 3,
            Self::Gone | Self::Link(LinkError::Read(_) | LinkError::Write(_)) => 4,
            Self::Sandbox(_) | Self::Link(_) | Self::Thread { .. } => 6,
        }
    }
}

/// An error and all that caused it, as one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// The threads whose end decides the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Reader,
    Writer,
    Hangup,
    Pipeline,
    /// An encoder of the pipeline.
    Rung,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Reader => "link-read",
            Self::Writer => "link-write",
            Self::Hangup => "link-hangup",
            Self::Pipeline => "pipeline",
            Self::Rung => "rung",
        }
    }
}

type Ended = (Part, Result<(), RunError>);

fn spawn<F>(part: Part, ended: &Sender<Ended>, body: F) -> Result<(), RunError>
where
    F: FnOnce() -> Result<(), RunError> + Send + 'static,
{
    let ended = ended.clone();
    let name = part.name();
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(body))
            .unwrap_or_else(|payload| Err(RunError::Panic { name, what: panic_text(&*payload) }));
        // Nobody listens any more where the process is already ending.
        let _ = ended.send((part, result));
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|source| RunError::Thread { name, source })
}

/// What a process is there for.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// To transcode pictures on a device.
    Pictures(DeviceId),
    /// To convert sound.
    Sound,
}

impl Work {
    const fn engine(&self) -> EngineKind {
        match self {
            Self::Pictures(device) => device.engine(),
            Self::Sound => EngineKind::Software,
        }
    }
}

/// Does the work of one feed as the daemon says; the exit code says how it ended.
pub(crate) fn run(work: Work) -> ExitCode {
    match start(work).and_then(wait) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rungd-worker: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// What waiting for the end needs.
struct Started {
    ended: Receiver<Ended>,
    outbox: Outbox,
    /// Set before `Finished` is written: from then on the daemon may go.
    finishing: Arc<AtomicBool>,
}

fn start(work: Work) -> Result<Started, RunError> {
    sandbox::enter(work.engine())?;
    let socket = Arc::new(link::socket()?);
    let (ended, ended_out) = mpsc::channel();
    let finishing = Arc::new(AtomicBool::new(false));
    let (inbox_in, inbox) = mpsc::sync_channel(link::INBOX_MESSAGES);
    let (outbox, outbox_out) = mpsc::sync_channel(link::OUTBOX_MESSAGES);
    let outbox = Outbox(outbox);

    let build = format!("rungd-worker {}, {}", env!("CARGO_PKG_VERSION"), Device::open().name());
    // The queue is empty and its receiver alive: neither waits nor fails.
    let _ = outbox.send(FromWorker::Hello { version: VERSION, build }, Bytes::new());

    let (writing, finishing_writer) = (Arc::clone(&socket), Arc::clone(&finishing));
    spawn(Part::Writer, &ended, move || Ok(link::write(&writing, &outbox_out, &finishing_writer)?))?;
    let watched = Arc::clone(&socket);
    spawn(Part::Hangup, &ended, move || Ok(link::wait_for_hangup(&watched)?))?;
    spawn(Part::Reader, &ended, move || Ok(link::read(&socket, &inbox_in)?))?;
    let work_outbox = outbox.clone();
    let raised = ended.clone();
    // Nobody listens any more where the process is already ending.
    let alarm = Alarm(Arc::new(move |error| drop(raised.send((Part::Rung, Err(error.into()))))));
    // The engine is made where it is used: its conversions stay on their thread, and a driver that hangs while it opens
    // hangs that one.
    spawn(Part::Pipeline, &ended, move || {
        match work {
            Work::Pictures(device) => pictures(&device, &inbox, &work_outbox, &alarm)?,
            Work::Sound => sound::run(&inbox, &work_outbox)?,
        }
        Ok(())
    })?;
    Ok(Started { ended: ended_out, outbox, finishing })
}

fn pictures(
    id: &DeviceId,
    inbox: &Receiver<Incoming>,
    outbox: &Outbox,
    alarm: &Alarm,
) -> Result<(), PipelineError> {
    match id.engine() {
        EngineKind::Software => pipeline::run(|| Ok(SoftwareEngine::open()), inbox, outbox, alarm),
        EngineKind::Vaapi => pipeline::run(|| VaapiEngine::open(id.address()), inbox, outbox, alarm),
        EngineKind::Nvidia => pipeline::run(|| NvidiaEngine::open(id.address()), inbox, outbox, alarm),
        EngineKind::NvidiaDecode => {
            pipeline::run(|| NvidiaDecodeEngine::open(id.address()), inbox, outbox, alarm)
        }
    }
}

/// Waits for the end that decides, and where it is a failure tells the daemon.
fn wait(started: Started) -> Result<(), RunError> {
    let Started { ended, outbox, finishing } = started;
    let (mut input_ended, mut pipeline_closed) = (false, false);
    let error = loop {
        if input_ended && pipeline_closed {
            break RunError::Gone;
        }
        match ended.recv() {
            // All is queued, and the last message ends the writer. Its success or failure is ours.
            Ok((Part::Pipeline, Ok(()))) => return wait_for_writer(&ended, None),
            Ok((Part::Writer, Ok(()))) if finishing.load(Ordering::SeqCst) => return Ok(()),
            Ok((Part::Hangup, Ok(()))) if finishing.load(Ordering::SeqCst) => {
                return wait_for_writer(&ended, None);
            }
            // Its side closed: the pipeline finds its queue closed, unless it has had Finish and needs no more.
            Ok((Part::Reader, Ok(()))) => input_ended = true,
            // Who closed the queue says why.
            Ok((
                Part::Pipeline,
                Err(RunError::Pipeline(PipelineError::Closed(_)) | RunError::Sound(ConvertError::Closed(_))),
            )) => pipeline_closed = true,
            Ok((Part::Hangup | Part::Writer | Part::Rung, Ok(()))) | Err(_) => break RunError::Gone,
            Ok((_, Err(error))) => break error,
        }
    };
    if !matches!(error, RunError::Gone | RunError::Link(LinkError::Write(_) | LinkError::Read(_))) {
        let failed = FromWorker::Failed { reason: chain(&error) };
        // The queue may be full: a thread waits in our place, and goes with the process.
        let waiting = std::thread::Builder::new()
            .name("last-words".to_owned())
            .spawn(move || outbox.send(failed, Bytes::new()));
        if waiting.is_ok() {
            // Whether it was written or not, the exit code is the error's.
            let _ = wait_for_writer(&ended, Some(LAST_WORDS_TIMEOUT));
        }
    }
    Err(error)
}

/// Waits for the end of the writer, or for so long after each other end.
fn wait_for_writer(ended: &Receiver<Ended>, timeout: Option<Duration>) -> Result<(), RunError> {
    loop {
        let next = match timeout {
            Some(timeout) => ended.recv_timeout(timeout).ok(),
            None => ended.recv().ok(),
        };
        match next {
            Some((Part::Writer, result)) => return result,
            Some(_) => {}
            None => return Err(RunError::Gone),
        }
    }
}
