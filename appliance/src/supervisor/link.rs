//! The messages of one worker, both ways, and when they were last seen.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::ChildStderr;
use tokio::sync::mpsc;
use tracing::warn;
use worker_protocol::{FrameDecoder, FromWorker, ToWorker, VERSION, encode};

use super::{Death, WorkerEvent};
use crate::clock;
use crate::config;

/// Bytes asked of the socket at a time: a coded picture of a middling rung.
const READ_BYTES: usize = 64 * 1024;
/// Longest line of a worker's stderr that is logged, in bytes.
const MAX_STDERR_LINE: usize = 500;
/// Most lines of a worker's stderr that are logged in its life.
const MAX_STDERR_LINES: u32 = 200;

/// How a link ended.
#[derive(Debug)]
pub(super) enum End {
    /// The worker closed its end.
    Closed {
        /// It had said `Finished`.
        finished: bool,
        /// It had said `Failed`.
        failed: Option<String>,
    },
    /// We end it.
    Death(Death),
    /// The feed has dropped it.
    Abandoned,
}

/// Times of a link's last signs of life.
#[derive(Debug)]
pub(super) struct Link {
    signs: Mutex<Signs>,
}

#[derive(Debug, Clone)]
struct Signs {
    started: Instant,
    greeted: bool,
    /// When the oldest picture was fed that nothing has come out for since.
    fed_since_output: Option<Instant>,
    finish_sent: Option<Instant>,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            signs: Mutex::new(Signs {
                started: now,
                greeted: false,
                fed_since_output: None,
                finish_sent: None,
            }),
        }
    }

    /// The deadline that has passed at `now`, if one has.
    pub(super) fn overdue(&self, now: Instant, config: &config::Worker) -> Option<Death> {
        let signs = self.signs();
        let over = |since: Instant, bound: Duration| now.saturating_duration_since(since) > bound;
        if !signs.greeted && over(signs.started, config.start_timeout) {
            return Some(Death::StartTimeout(config.start_timeout));
        }
        if signs.finish_sent.is_some_and(|since| over(since, config.finish_timeout)) {
            return Some(Death::FinishTimeout(config.finish_timeout));
        }
        let hung = signs.fed_since_output.is_some_and(|since| over(since, config.hang_timeout));
        hung.then_some(Death::Hung(config.hang_timeout))
    }

    /// Carries messages until the worker closes or breaks the protocol.
    pub(super) async fn carry(
        &self,
        socket: UnixStream,
        outgoing: mpsc::Receiver<(ToWorker, Bytes)>,
        events: &mpsc::Sender<WorkerEvent>,
    ) -> End {
        let (reader, writer) = socket.into_split();
        tokio::select! {
            end = self.read(reader, events) => end,
            fault = self.write(writer, outgoing) => End::Death(fault),
        }
    }

    async fn write(
        &self,
        mut socket: OwnedWriteHalf,
        mut outgoing: mpsc::Receiver<(ToWorker, Bytes)>,
    ) -> Death {
        let mut next = Some((ToWorker::Hello { version: VERSION }, Bytes::new()));
        while let Some((message, payload)) = next {
            let header = match encode(&message, payload.len()) {
                Ok(header) => header,
                Err(fault) => return Death::Protocol(fault.to_string()),
            };
            // A broken pipe is told by the reader, with the worker's own word or exit code.
            if socket.write_all_buf(&mut header.chain(payload)).await.is_err() {
                return std::future::pending().await;
            }
            self.note_sent(&message, clock::now());
            next = outgoing.recv().await;
        }
        std::future::pending().await
    }

    async fn read(&self, mut socket: OwnedReadHalf, events: &mpsc::Sender<WorkerEvent>) -> End {
        let mut decoder = FrameDecoder::default();
        let (mut finished, mut failed) = (false, None);
        loop {
            decoder.buffer().reserve(READ_BYTES);
            match socket.read_buf(decoder.buffer()).await {
                Ok(0) | Err(_) => return End::Closed { finished, failed },
                Ok(_) => {}
            }
            loop {
                let (message, payload) = match decoder.next::<FromWorker>() {
                    Ok(Some(whole)) => whole,
                    Ok(None) => break,
                    Err(fault) => return End::Death(Death::Protocol(fault.to_string())),
                };
                match &message {
                    FromWorker::Hello { version, .. } if *version != VERSION => {
                        return End::Death(Death::Version(*version));
                    }
                    FromWorker::Finished => finished = true,
                    FromWorker::Failed { reason } => failed = Some(reason.clone()),
                    _ => {}
                }
                self.note_received(&message);
                if events.send(WorkerEvent::Message(message, payload)).await.is_err() {
                    return End::Abandoned;
                }
            }
        }
    }

    fn note_sent(&self, message: &ToWorker, now: Instant) {
        let mut signs = self.signs();
        match message {
            ToWorker::Video { .. } | ToWorker::FillTo { .. } => {
                signs.fed_since_output.get_or_insert(now);
            }
            ToWorker::Finish => signs.finish_sent = Some(now),
            _ => {}
        }
    }

    fn note_received(&self, message: &FromWorker) {
        let mut signs = self.signs();
        match message {
            FromWorker::Hello { .. } => signs.greeted = true,
            FromWorker::Picture { .. } => signs.fed_since_output = None,
            _ => {}
        }
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Logs what a worker writes to stderr: its libraries' complaints, or a panic. Bounded in line length and number.
pub(super) async fn log_stderr(stderr: ChildStderr, feed: String, pid: u32) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut logged = 0;
    loop {
        line.clear();
        let limit = u64::try_from(MAX_STDERR_LINE).unwrap_or(u64::MAX);
        match (&mut lines).take(limit).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        logged += 1;
        if logged <= MAX_STDERR_LINES {
            warn!(feed, pid, "worker says: {}", String::from_utf8_lossy(&line).trim_end().escape_debug());
        } else if logged == MAX_STDERR_LINES + 1 {
            warn!(feed, pid, "worker says more; no more of it is logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> config::Worker {
        config::Worker {
            program: "rungd-worker".into(),
            start_timeout: Duration::from_secs(5),
            hang_timeout: Duration::from_secs(10),
            finish_timeout: Duration::from_secs(3),
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn deadlines_name_what_was_awaited() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let link = Link::new(start);
        assert_eq!(link.overdue(at(5), &config()), None);
        assert_eq!(link.overdue(at(6), &config()), Some(Death::StartTimeout(Duration::from_secs(5))));

        link.note_received(&FromWorker::Hello { version: VERSION, build: String::new() });
        let video = ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true };
        link.note_sent(&video, at(6));
        link.note_sent(&video, at(15));
        assert_eq!(link.overdue(at(17), &config()), Some(Death::Hung(Duration::from_secs(10))));
        link.note_received(&FromWorker::Picture { rung: 0, frame: 0, key: true });
        assert_eq!(link.overdue(at(100), &config()), None);

        link.note_sent(&ToWorker::Finish, at(100));
        assert_eq!(link.overdue(at(104), &config()), Some(Death::FinishTimeout(Duration::from_secs(3))));
    }
}
