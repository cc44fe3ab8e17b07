//! Deadlines that hyper does not keep: for the first bytes of a connection, and for a peer that stops reading.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Limits;

/// What an HTTP/2 client begins with (RFC 9113, 3.4). Telling the versions apart needs as much of it as matches, and
/// that is waited for without a deadline of its own.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with those deadlines.
pub(super) struct Guarded<S> {
    stream: S,
    stalled: IntCounter,
    stall_timeout: Duration,
    /// Until the version is told.
    beginning: Option<Pin<Box<Sleep>>>,
    matched: usize,
    /// Since the peer took nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, limits: &Limits, stalled: IntCounter) -> Self {
        Self {
            stream,
            stalled,
            stall_timeout: limits.stall_timeout,
            beginning: Some(Box::pin(sleep(limits.head_timeout))),
            matched: 0,
            stall: None,
        }
    }

    /// Looks at what came while the version is not told. Once it is, the head of the request has hyper's deadline.
    fn began(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if PREFACE.get(self.matched) != Some(&byte) {
                self.beginning = None;
                return;
            }
            self.matched += 1;
        }
        if self.matched == PREFACE.len() {
            self.beginning = None;
        }
    }

    fn wrote<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let timeout = self.stall_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stall.as_mut().poll(context));
        self.stalled.inc();
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the peer reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(beginning) = &mut this.beginning else { return polled };
        if polled.is_ready() {
            this.began(buffer.filled().get(before..).unwrap_or_default());
            return polled;
        }
        ready!(beginning.as_mut().poll(context));
        this.stalled.inc();
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the peer sends no request")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(context, polled)
    }
}
