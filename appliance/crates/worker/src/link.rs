//! The socket to the daemon: a thread that reads, one that writes, one that waits for the other end to go, and a
//! bounded queue each way.
//!
//! When the pipeline does not keep up, its queue fills, the reader stops reading, the socket's buffer fills, and the
//! daemon's writes wait: that is all the flow control there is. When the daemon does not read, encoders wait likewise.

use std::io::{self, IoSlice, Read, Write};
use std::iter;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use worker_protocol::{FrameDecoder, FrameError, FromWorker, ToWorker, encode};

/// Messages read ahead of the pipeline; a third of a second of pictures. The socket's buffer holds more.
pub(crate) const INBOX_MESSAGES: usize = 8;
/// Messages waiting for the socket: about a second of pictures of four rungs.
pub(crate) const OUTBOX_MESSAGES: usize = 128;
/// How long pictures wait for others to go with them: the rungs' pictures of one frame come out one shortly after the
/// other, and each write wakes the daemon.
const GATHER: Duration = Duration::from_millis(12);
/// Messages written at once; their slices are far under the kernel's bound of 1024 (`UIO_MAXIOV`).
const GATHERED_MESSAGES: usize = 64;

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Standard input is not there or not a socket.
    #[error("standard input is not a connected socket")]
    Socket(#[source] io::Error),
    /// Reading.
    #[error("reading from the daemon failed")]
    Read(#[source] io::Error),
    /// The daemon breaks the framing.
    #[error("message {number} from the daemon")]
    Frame {
        /// Which message, counted from 1.
        number: u64,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// Our own message is over a bound.
    #[error("message to the daemon")]
    Encode(#[source] FrameError),
    /// Writing.
    #[error("writing to the daemon failed")]
    Write(#[source] io::Error),
    /// Waiting for the other end to go.
    #[error("watching the socket failed")]
    Watch(#[source] Errno),
}

/// The other end of the queue is gone; whoever held it has said why.
#[derive(Debug, thiserror::Error)]
#[error("the link to the daemon is closed")]
pub(crate) struct Closed;

/// What comes from the daemon, with its payload.
pub(crate) type Incoming = (ToWorker, Bytes);

/// Where messages to the daemon go; clones feed the same queue.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(pub(crate) SyncSender<(FromWorker, Bytes)>);

impl Outbox {
    /// Queues a message; waits while the queue is full.
    pub(crate) fn send(&self, message: FromWorker, payload: Bytes) -> Result<(), Closed> {
        self.0.send((message, payload)).map_err(|_| Closed)
    }
}

/// The socket at standard input.
///
/// # Errors
/// Where that is none.
pub(crate) fn socket() -> Result<UnixStream, LinkError> {
    let fd = io::stdin().as_fd().try_clone_to_owned().map_err(LinkError::Socket)?;
    let socket = UnixStream::from(fd);
    socket.peer_addr().map_err(LinkError::Socket)?;
    socket.set_nonblocking(false).map_err(LinkError::Socket)?;
    Ok(socket)
}

/// Reads messages into the queue until the daemon closes its side or the pipeline has gone.
///
/// # Errors
/// Where the socket fails or its bytes are no messages.
pub(crate) fn read(mut socket: &UnixStream, inbox: &SyncSender<Incoming>) -> Result<(), LinkError> {
    let mut decoder = FrameDecoder::default();
    let mut number = 1;
    loop {
        let got = loop {
            match socket.read(decoder.room()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(LinkError::Read)?,
            }
        };
        decoder.filled(got);
        if got == 0 {
            return Ok(());
        }
        while let Some(incoming) =
            decoder.next_message::<ToWorker>().map_err(|source| LinkError::Frame { number, source })?
        {
            number += 1;
            if inbox.send(incoming).is_err() {
                return Ok(());
            }
        }
    }
}

/// Writes messages from the queue until its last sender has gone, or a last message is written. `finishing` is set
/// before `Finished` is.
///
/// # Errors
/// Where the socket fails.
pub(crate) fn write(
    socket: &UnixStream,
    outbox: &Receiver<(FromWorker, Bytes)>,
    finishing: &AtomicBool,
) -> Result<(), LinkError> {
    let mut parts = Vec::with_capacity(2 * GATHERED_MESSAGES);
    while let Ok(first) = outbox.recv() {
        if matches!(first.0, FromWorker::Picture { .. }) {
            thread::sleep(GATHER);
        }
        let mut last_word = false;
        for (message, payload) in iter::once(first).chain(outbox.try_iter()).take(GATHERED_MESSAGES) {
            if matches!(message, FromWorker::Finished) {
                finishing.store(true, Ordering::SeqCst);
            }
            last_word |= matches!(message, FromWorker::Finished | FromWorker::Failed { .. });
            parts.push(encode(&message, payload.len()).map_err(LinkError::Encode)?);
            parts.push(payload);
        }
        write_parts(socket, &parts).map_err(LinkError::Write)?;
        parts.clear();
        if last_word {
            return Ok(());
        }
    }
    Ok(())
}

fn write_parts(mut socket: &UnixStream, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = slices.as_mut_slice();
    // Empty slices at the front are stepped over, so that what is left is never nothing but them.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match socket.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the other end is closed altogether, whatever is still unread. It is how a worker whose codec hangs, so
/// that nobody reads, still does not outlive its daemon.
///
/// # Errors
/// Where the kernel refuses to wait.
pub(crate) fn wait_for_hangup(socket: &UnixStream) -> Result<(), LinkError> {
    loop {
        // Hang-up and error are always reported, and nothing else is asked for.
        let mut watched = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(source) => return Err(LinkError::Watch(source)),
        }
    }
}
