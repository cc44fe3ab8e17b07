//! The messages of one worker, both ways, and when they were last seen.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::mpsc;
use tracing::warn;
use worker_protocol::{FrameDecoder, FromWorker, ToWorker, VERSION, encode};

use super::{Death, EXIT_TIMEOUT, WorkerEvent};
use crate::clock;
use crate::config;
use crate::pace::Paced;
use crate::telemetry::RateLimited;

/// Longest line of a worker's stderr that is logged, in bytes.
const MAX_STDERR_LINE: usize = 500;
/// Lines of a worker's stderr that are logged in a [`STDERR_PERIOD`]: a panic with its backtrace.
const STDERR_LINES: u32 = 60;
/// See [`STDERR_LINES`].
const STDERR_PERIOD: Duration = Duration::from_secs(60);

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
    /// Bytes of payload on their way to the worker.
    queued_bytes: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Signs {
    started: Instant,
    greeted: bool,
    /// When it was given its job, until it answers.
    job_sent: Option<Instant>,
    /// Its reason, where it said that it cannot go on, and when.
    failed: Option<(Instant, String)>,
    /// When the oldest picture was fed that nothing has come out for since.
    fed_since_output: Option<Instant>,
    /// Whether one is being written.
    feeding: bool,
    /// How many source pictures it had decoded by its last report.
    decoded: u64,
    /// When the end of its source was put in its queue.
    finish_queued: Option<Instant>,
    /// Why its feed ends it.
    given_up: Option<Death>,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            signs: Mutex::new(Signs {
                started: now,
                greeted: false,
                job_sent: None,
                failed: None,
                fed_since_output: None,
                feeding: false,
                decoded: 0,
                finish_queued: None,
                given_up: None,
            }),
            queued_bytes: AtomicUsize::new(0),
        }
    }

    /// The deadline that has passed at `now`, if one has.
    pub(super) fn overdue(&self, now: Instant, config: &config::Worker) -> Option<Death> {
        let signs = self.signs();
        let over = |since: Instant, bound: Duration| now.saturating_duration_since(since) > bound;
        if !signs.greeted && over(signs.started, config.start_timeout) {
            return Some(Death::StartTimeout(config.start_timeout));
        }
        if let Some((_, reason)) = signs.failed.as_ref().filter(|(since, _)| over(*since, EXIT_TIMEOUT)) {
            return Some(Death::Failed(reason.clone()));
        }
        if signs.job_sent.is_some_and(|since| over(since, config.start_timeout)) {
            return Some(Death::StartTimeout(config.start_timeout));
        }
        if signs.finish_queued.is_some_and(|since| over(since, config.finish_timeout)) {
            return Some(Death::FinishTimeout(config.finish_timeout));
        }
        let hung = signs.fed_since_output.is_some_and(|since| over(since, config.hang_timeout));
        hung.then_some(Death::Hung(config.hang_timeout))
    }

    /// The feed ends it.
    pub(super) fn give_up(&self, death: Death) {
        self.signs().given_up = Some(death);
    }

    /// Why the feed has ended it, where it was not done with it.
    pub(super) fn given_up(&self) -> Option<Death> {
        self.signs().given_up.clone()
    }

    /// Whether `bytes` more may wait, for a bound of `most`. One picture always may.
    pub(super) fn has_room_for(&self, bytes: usize, most: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        queued == 0 || queued.saturating_add(bytes) <= most
    }

    /// A message is about to be queued.
    pub(super) fn note_queued(&self, message: &ToWorker, bytes: usize, now: Instant) {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if matches!(message, ToWorker::Finish) {
            // Not when it is written: a worker that hangs does not read, and the writer waits.
            self.signs().finish_queued.get_or_insert(now);
        }
    }

    /// Carries messages until the worker closes or breaks the protocol.
    pub(super) async fn carry(
        &self,
        (reader, writer): (Paced<UnixStream>, Paced<UnixStream>),
        outgoing: mpsc::Receiver<(ToWorker, Bytes)>,
        events: &mpsc::Sender<WorkerEvent>,
    ) -> End {
        tokio::select! {
            end = self.read(reader, events) => end,
            fault = self.write(writer, outgoing) => End::Death(fault),
        }
    }

    async fn write(
        &self,
        mut socket: Paced<UnixStream>,
        mut outgoing: mpsc::Receiver<(ToWorker, Bytes)>,
    ) -> Death {
        let mut next = Some((ToWorker::Hello { version: VERSION }, Bytes::new()));
        while let Some((message, payload)) = next {
            let header = match encode(&message, payload.len()) {
                Ok(header) => header,
                Err(fault) => return Death::Protocol(fault.to_string()),
            };
            // Before it is written: where the socket is full and the worker hangs, it never is.
            self.note_fed(&message, clock::now());
            let bytes = payload.len();
            // A broken pipe is told by the reader, with the worker's own word or exit code.
            if socket.write_all_buf(&mut header.chain(payload)).await.is_err() {
                return std::future::pending().await;
            }
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.signs().feeding = false;
            next = outgoing.recv().await;
        }
        std::future::pending().await
    }

    async fn read(&self, mut socket: Paced<UnixStream>, events: &mpsc::Sender<WorkerEvent>) -> End {
        let mut decoder = FrameDecoder::default();
        let (mut finished, mut failed) = (false, None);
        loop {
            match socket.read(decoder.room()).await {
                Ok(0) | Err(_) => return End::Closed { finished, failed },
                Ok(bytes) => decoder.filled(bytes),
            }
            loop {
                let (message, payload) = match decoder.next_message::<FromWorker>() {
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
                self.note_received(&message, clock::now());
                if events.send(WorkerEvent::Message(message, payload)).await.is_err() {
                    return End::Abandoned;
                }
            }
        }
    }

    fn note_fed(&self, message: &ToWorker, now: Instant) {
        let mut signs = self.signs();
        match message {
            ToWorker::Video { .. } | ToWorker::FillTo { .. } => {
                signs.fed_since_output.get_or_insert(now);
                signs.feeding = true;
            }
            ToWorker::Start(_) | ToWorker::StartSound(_) => signs.job_sent = Some(now),
            _ => {}
        }
    }

    fn note_received(&self, message: &FromWorker, now: Instant) {
        let mut signs = self.signs();
        match message {
            FromWorker::Hello { .. } => signs.greeted = true,
            FromWorker::RungOpened { .. } | FromWorker::SoundOpened => signs.job_sent = None,
            FromWorker::Picture { .. } => signs.fed_since_output = signs.feeding.then_some(now),
            FromWorker::Failed { reason } => signs.failed = Some((now, reason.clone())),
            // One that is brought up to date decodes for as long as a group of pictures takes, and puts nothing out.
            FromWorker::Report(report) if report.pictures_decoded > signs.decoded => {
                signs.decoded = report.pictures_decoded;
                signs.fed_since_output = signs.fed_since_output.map(|_| now);
            }
            // Whether sound comes in time is its feed's to judge: it knows where its source's has come to.
            FromWorker::ConvertedSound { .. }
            | FromWorker::SoundReport(_)
            | FromWorker::Report(_)
            | FromWorker::Warning { .. }
            | FromWorker::Finished => {}
        }
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Logs what a worker writes to stderr: its libraries' complaints, or a panic. Bounded in line length and in number.
pub(super) async fn log_stderr(stderr: ChildStderr, feed: String, pid: u32) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut limit = RateLimited::new(STDERR_LINES, STDERR_PERIOD);
    loop {
        line.clear();
        let most = u64::try_from(MAX_STDERR_LINE).unwrap_or(u64::MAX);
        match (&mut lines).take(most).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if let Some(suppressed) = limit.admit((), clock::now()) {
            let text = String::from_utf8_lossy(&line);
            warn!(feed, pid, suppressed, "worker says: {}", text.trim_end().escape_debug());
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
            environment: std::collections::BTreeMap::new(),
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

        let hello = FromWorker::Hello { version: VERSION, build: String::new() };
        link.note_received(&hello, at(6));
        assert_eq!(link.overdue(at(100), &config()), None);

        let video = ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true };
        link.note_fed(&video, at(6));
        link.note_fed(&video, at(15));
        assert_eq!(link.overdue(at(17), &config()), Some(Death::Hung(Duration::from_secs(10))));
        // What is still being written counts from then.
        link.note_received(&FromWorker::Picture { rung: 0, frame: 0, key: true }, at(17));
        assert_eq!(link.overdue(at(27), &config()), None);
        assert_eq!(link.overdue(at(28), &config()), Some(Death::Hung(Duration::from_secs(10))));
        link.signs().feeding = false;
        link.note_received(&FromWorker::Picture { rung: 0, frame: 1, key: false }, at(28));
        assert_eq!(link.overdue(at(100), &config()), None);
        link.note_fed(&ToWorker::FillTo { frame: 9, slate_from: u64::MAX }, at(100));
        assert_eq!(link.overdue(at(111), &config()), Some(Death::Hung(Duration::from_secs(10))));
        link.note_received(&FromWorker::Picture { rung: 0, frame: 9, key: false }, at(111));

        // It decodes what it is brought up to date with; but only for as long as it does.
        link.note_fed(&video, at(111));
        let report = |pictures_decoded| {
            FromWorker::Report(worker_protocol::Report { pictures_decoded, ..Default::default() })
        };
        link.note_received(&report(300), at(120));
        link.note_received(&report(300), at(125));
        assert_eq!(link.overdue(at(130), &config()), None);
        assert_eq!(link.overdue(at(131), &config()), Some(Death::Hung(Duration::from_secs(10))));
        link.note_received(&FromWorker::Picture { rung: 0, frame: 9, key: false }, at(111));
        link.signs().fed_since_output = None;

        link.note_queued(&ToWorker::Finish, 0, at(111));
        assert_eq!(link.overdue(at(115), &config()), Some(Death::FinishTimeout(Duration::from_secs(3))));
        link.note_received(&FromWorker::Failed { reason: "so".to_owned() }, at(112));
        assert_eq!(link.overdue(at(115), &config()), Some(Death::Failed("so".to_owned())));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn bytes_on_their_way_are_bounded_but_for_one_picture() {
        let link = Link::new(Instant::now());
        assert!(link.has_room_for(1000, 100));
        link.note_queued(&ToWorker::Video { dts_ticks: 0, pts_ticks: 0, key: true }, 60, Instant::now());
        assert!(link.has_room_for(40, 100));
        assert!(!link.has_room_for(41, 100));
    }
}
