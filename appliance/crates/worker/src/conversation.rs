//! What the daemon says, in the order in which it must: `Hello`, a job, and then what is fed to that.

use std::sync::mpsc::Receiver;

use worker_protocol::{ToWorker, VERSION};

use crate::link::{Closed, Incoming};

/// The daemon breaks the protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The daemon is of another version.
    #[error("daemon speaks worker protocol version {theirs}, this worker {VERSION}")]
    Version {
        /// Its version.
        theirs: u16,
    },
    /// A message where another is due.
    #[error("{got} came where {due} was due")]
    Order {
        /// What came.
        got: &'static str,
        /// What was due.
        due: &'static str,
    },
}

impl OrderError {
    /// `got` came where `due` was due.
    pub(crate) const fn of(got: &ToWorker, due: &'static str) -> Self {
        Self::Order { got: name(got), due }
    }
}

/// Hears the daemon's `Hello`, and gives what comes behind it: a job.
///
/// # Errors
/// The outer one where the link has ended.
pub(crate) fn greet(inbox: &Receiver<Incoming>) -> Result<Result<Incoming, OrderError>, Closed> {
    Ok(match next(inbox)?.0 {
        ToWorker::Hello { version: VERSION } => Ok(next(inbox)?),
        ToWorker::Hello { version } => Err(OrderError::Version { theirs: version }),
        other => Err(OrderError::of(&other, "Hello")),
    })
}

/// What comes next.
///
/// # Errors
/// Where the link has ended.
pub(crate) fn next(inbox: &Receiver<Incoming>) -> Result<Incoming, Closed> {
    inbox.recv().map_err(|_| Closed)
}

/// What a message is called.
const fn name(message: &ToWorker) -> &'static str {
    match message {
        ToWorker::Hello { .. } => "Hello",
        ToWorker::Start(_) => "Start",
        ToWorker::VideoConfiguration { .. } => "VideoConfiguration",
        ToWorker::Video { .. } => "Video",
        ToWorker::FillTo { .. } => "FillTo",
        ToWorker::Finish => "Finish",
        ToWorker::StartSound(_) => "StartSound",
        ToWorker::SoundConfiguration => "SoundConfiguration",
        ToWorker::Sound { .. } => "Sound",
    }
}
