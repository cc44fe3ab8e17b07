//! Sockets that carry media are not waited on; they are looked at, all at the same moments.
//!
//! Media comes in small pieces all the time: 77 a second from one encoder of 30 pictures, and as many again from its
//! worker. Where each of them wakes a thread, waking costs more than the media. So these sockets are not in the event
//! loop: [`Paced`] reads what has come every [`PACE`], at moments that all of them share, and one wake-up serves them
//! all. What is read is late by half of that in the mean, which is a picture's length at most.
//!
//! A socket that brings or takes much is looked at sooner ([`BUSY`]), so that its kernel buffer does not bound its rate.

mod beat;
mod thread;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock;
use beat::Turn;

pub(crate) use beat::Interval;
pub(crate) use thread::MediaThread;

/// Between two looks at a socket.
pub(crate) const PACE: Duration = Duration::from_millis(25);
/// Between two looks at a socket that brings or takes as much as its buffer holds.
const BUSY: Duration = Duration::from_millis(2);
/// Bytes since the last look that make it busy: half of what the kernel buffers of a stream of its own accord
/// (`net.core.rmem_default`).
const BUSY_BYTES: usize = 96 * 1024;

/// How many times the common pace a period is. For constants: one that is no multiple does not compile.
pub(crate) const fn beats(period: Duration) -> u64 {
    assert!(period.as_nanos().is_multiple_of(PACE.as_nanos()), "no multiple of the common pace");
    let (mut beats, mut time) = (0, Duration::ZERO);
    while time.as_nanos() < period.as_nanos() {
        time = time.saturating_add(PACE);
        beats += 1;
    }
    beats
}

/// An interval whose moments are moments of the common pace, one of so many.
pub(crate) fn interval(beats: u64) -> Interval {
    Interval::new(beats)
}

/// A stream socket that does not block.
pub(crate) trait Socket: Read + Write + Unpin {
    /// Says that nothing more will be written.
    fn end_writing(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for UnixStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A socket that is looked at at the common pace. It must not block.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    socket: S,
    reading: Looks,
    writing: Looks,
}

/// When one side of a socket is looked at.
#[derive(Debug, Default)]
struct Looks {
    /// What the next look is at.
    next: Next,
    /// For looks at the common pace; made where the first of them is waited for.
    turn: Option<Turn>,
    /// For sooner ones.
    sooner: Option<Pin<Box<Sleep>>>,
    /// Bytes since the last wait.
    moved: usize,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    AtOnce,
    AtBeat,
    Sooner,
}

impl Looks {
    /// Ready once a look is due.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match (&self.next, &mut self.turn, &mut self.sooner) {
            (Next::AtBeat, Some(turn), _) => ready!(turn.poll(context)),
            (Next::Sooner, _, Some(sooner)) => ready!(sooner.as_mut().poll(context)),
            _ => {}
        }
        self.next = Next::AtOnce;
        Poll::Ready(())
    }

    /// There is no more to be had now.
    fn wait(&mut self) {
        match std::mem::take(&mut self.moved) >= BUSY_BYTES {
            true => {
                let at = (clock::now() + BUSY).into();
                match &mut self.sooner {
                    Some(sooner) => sooner.as_mut().reset(at),
                    None => self.sooner = Some(Box::pin(tokio::time::sleep_until(at))),
                }
                self.next = Next::Sooner;
            }
            false => {
                self.turn.get_or_insert_with(Turn::new).wait_for(1);
                self.next = Next::AtBeat;
            }
        }
    }

    /// Does `attempt` as often as it says that it was interrupted, or that it would block and a look is due.
    fn drive(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll(context));
            match attempt() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(),
                Ok(bytes) => {
                    self.moved = self.moved.saturating_add(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S: Socket> Paced<S> {
    /// Looks at `socket`, which does not block, from now on.
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, reading: Looks::default(), writing: Looks::default() }
    }
}

impl<S: Socket> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, reading, .. } = self.get_mut();
        let room = into.initialize_unfilled();
        let read = ready!(reading.drive(context, || socket.read(room)))?;
        // That was all there was; asking again at once would only be told so.
        if read > 0 && read < room.len() {
            reading.wait();
        }
        into.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, writing, .. } = self.get_mut();
        writing.drive(context, || socket.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, writing, .. } = self.get_mut();
        writing.drive(context, || socket.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.end_writing())
    }
}

/// A TCP connection: in the event loop until it carries media, and paced from then on.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Each event wakes its task.
    Awaited(tokio::net::TcpStream),
    /// See [`Paced`].
    Paced(Paced<TcpStream>),
    /// It could not be taken out of the event loop.
    Broken,
}

impl Connection {
    /// From now on it is looked at at the common pace.
    ///
    /// # Errors
    /// Where the kernel does not let go of it; it is of no use then.
    pub(crate) fn pace(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Broken) {
            Self::Awaited(socket) => *self = Self::Paced(Paced::new(socket.into_std()?)),
            paced => *self = paced,
        }
        Ok(())
    }
}

fn broken() -> io::Error {
    ErrorKind::NotConnected.into()
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Awaited(socket) => Pin::new(socket).poll_read(context, into),
            Self::Paced(socket) => Pin::new(socket).poll_read(context, into),
            Self::Broken => Poll::Ready(Err(broken())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Awaited(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Paced(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Broken => Poll::Ready(Err(broken())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Awaited(socket) => Pin::new(socket).poll_flush(context),
            Self::Paced(socket) => Pin::new(socket).poll_flush(context),
            Self::Broken => Poll::Ready(Err(broken())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Awaited(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Paced(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Broken => Poll::Ready(Err(broken())),
        }
    }
}

#[cfg(test)]
mod tests;
