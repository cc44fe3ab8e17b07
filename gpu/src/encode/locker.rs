//! The thread that waits for coded pictures, so that the submitting one does not (NVENC programming guide, "Threading
//! model").

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::access_unit;
use crate::device::Codec;
use crate::error::NvencError;
use crate::ffi::nvenc::{Output, Session};

/// What became of an output.
pub(super) struct Done {
    pub(super) output: Output,
    pub(super) picture: Result<Picture, NvencError>,
}

/// A coded picture.
pub(super) struct Picture {
    pub(super) timestamp: u64,
    pub(super) key: bool,
    /// As a sample has it.
    pub(super) data: Vec<u8>,
}

/// Waiting that came to no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It took longer than it may.
    Stuck,
    /// The thread is gone.
    Gone,
}

/// The thread, and how many outputs it has been given and not given back.
pub(super) struct Locker {
    /// Taken away to end the thread.
    outputs: Option<Sender<Output>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    inside: usize,
}

impl Locker {
    pub(super) fn start(session: &Arc<Session>, codec: Codec) -> io::Result<Self> {
        let session = Arc::clone(session);
        let (outputs, to_lock) = channel::<Output>();
        let (give, done) = channel();
        let run = move || {
            for output in to_lock {
                let picture = session.lock(output).map(|locked| Picture {
                    timestamp: locked.timestamp,
                    key: locked.key,
                    data: access_unit::sample(codec, &locked.data),
                });
                if give.send(Done { output, picture }).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("nvenc-lock".to_owned()).spawn(run)?;
        Ok(Self { outputs: Some(outputs), done, thread: Some(thread), inside: 0 })
    }

    /// Outputs that were not given back yet.
    pub(super) const fn inside(&self) -> usize {
        self.inside
    }

    /// Has an output waited for.
    pub(super) fn give(&mut self, output: Output) {
        if let Some(outputs) = &self.outputs
            && outputs.send(output).is_ok()
        {
            self.inside += 1;
        }
    }

    /// What is done already.
    pub(super) fn try_take(&mut self) -> Result<Option<Done>, Waiting> {
        match self.done.try_recv() {
            Ok(done) => {
                self.inside = self.inside.saturating_sub(1);
                Ok(Some(done))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Waiting::Gone),
        }
    }

    /// Waits for the next one.
    pub(super) fn take(&mut self, patience: Duration) -> Result<Done, Waiting> {
        match self.done.recv_timeout(patience) {
            Ok(done) => {
                self.inside = self.inside.saturating_sub(1);
                Ok(done)
            }
            Err(RecvTimeoutError::Timeout) => Err(Waiting::Stuck),
            Err(RecvTimeoutError::Disconnected) => Err(Waiting::Gone),
        }
    }

    /// Ends the thread once it has locked what it was given; must not be called where that never ends.
    pub(super) fn stop(&mut self) {
        self.outputs = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about, and what it would say changes nothing.
            let _ = thread.join();
        }
    }
}
