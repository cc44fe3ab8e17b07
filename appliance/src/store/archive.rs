//! The archive: written behind the live window by a thread of its own, and never in its way.
//!
//! Jobs stand in one lane a presentation, in order: begin, segments, end. A job that fails stays at the head of its
//! lane and is tried again ([`RETRY_AFTER`]) for as long as its segment is in memory, so a full disk that is mended
//! within the window costs nothing; meanwhile the archive reports itself degraded. What waits holds no memory of its
//! own: the bytes are the live window's, and when that lets go of them the segment is counted as lost.

pub mod backend;
pub mod local;
mod recovery;
mod retention;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{error, info, warn};

use self::backend::{ArchiveBackend, ObjectName, Part};
use super::catalogue::{Catalogue, CatalogueError, NewSegment, PresentationRecord};
use super::metrics::Metrics;
use super::name::{FeedName, InvalidName, PresentationId, TrackName};
use super::segment::Segment;
use crate::clock;
use media::SegmentNumber;
use packager::window::WindowSegment;

pub(super) use self::recovery::recover;
pub(super) use self::retention::Retention;

/// Between two tries of a job that failed. Short against the window, long against a disk that is in trouble.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Segments that may wait over all presentations. They hold no media of their own (see the module), so this only
/// bounds the queue: 4096 are ten feeds of five tracks for nearly three minutes.
const MAX_WAITING: usize = 4096;

/// A job that has waited this long for a disk is a disk in trouble: half of a short live window.
const BEHIND: Duration = Duration::from_secs(10);

/// How long a thread that nobody waits for goes on with what waits.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks at what is too old or too much.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// What may go wrong with the archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An object could not be kept.
    #[error("archive: {object} cannot be written")]
    Write {
        /// Which.
        object: String,
        /// Why.
        source: io::Error,
    },
    /// What is kept cannot be listed.
    #[error("archive: cannot be listed")]
    List {
        /// Why.
        source: io::Error,
    },
    /// Something could not be removed.
    #[error("archive: {object} cannot be removed")]
    Remove {
        /// What.
        object: String,
        /// Why.
        source: io::Error,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A name that cannot be one stands in the catalogue.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The thread cannot be started.
    #[error("archive: its thread cannot be started")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

impl ArchiveError {
    /// The label of the failures' counter.
    fn step(&self) -> &'static str {
        match self {
            Self::Write { .. } => "write",
            Self::List { .. } => "list",
            Self::Remove { .. } => "remove",
            Self::Catalogue(_) | Self::Name(_) => "catalogue",
            Self::Thread { .. } => "thread",
        }
    }
}

/// Which presentation a lane belongs to.
pub(super) type Key = (FeedName, PresentationId);

/// What is to be done for a presentation.
pub(super) enum Job {
    Begin { record: PresentationRecord, inits: Vec<Bytes> },
    Segment { track: usize, name: TrackName, segment: Arc<Segment> },
    End { ended_unix_millis: u64, settled: Box<dyn FnOnce() + Send> },
}

/// How the archive is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveHealth {
    /// What is wrong, in a sentence; none while all is well.
    pub degraded: Option<String>,
    /// Segments waiting to be written.
    pub waiting: usize,
    /// Segments that never reached the archive since the start.
    pub lost: u64,
}

#[derive(Default)]
struct Lane {
    /// With when each was handed over.
    jobs: VecDeque<(Instant, Job)>,
    row: Option<i64>,
    retry_at: Option<Instant>,
    problem: Option<String>,
}

#[derive(Default)]
struct Queue {
    lanes: BTreeMap<Key, Lane>,
    waiting: usize,
    lost: u64,
    full: bool,
    /// Since when the thread has been at one job.
    busy_since: Option<Instant>,
    retention_problem: Option<String>,
    retention_due: bool,
    stopping: Option<Instant>,
    stopped: bool,
}

impl Queue {
    fn health(&self, now: Instant) -> ArchiveHealth {
        let full = self.full.then(|| format!("archive: more than {MAX_WAITING} segments are waiting"));
        let problem = self.lanes.values().find_map(|lane| lane.problem.clone());
        let heads = self.lanes.values().filter_map(|lane| lane.jobs.front().map(|(since, _)| *since));
        let oldest = heads.chain(self.busy_since).min();
        let behind =
            oldest.map(|since| now.saturating_duration_since(since)).filter(|behind| *behind > BEHIND);
        let behind = behind.map(|behind| format!("archive: the disk is {} s behind", behind.as_secs()));
        let degraded = problem.or(full).or(behind).or_else(|| self.retention_problem.clone());
        ArchiveHealth { degraded, waiting: self.waiting, lost: self.lost }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    metrics: Metrics,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, queue: &Queue) {
        self.metrics.archive_queue_segments.set(i64::try_from(queue.waiting).unwrap_or(i64::MAX));
        let degraded = queue.health(clock::now()).degraded.is_some();
        self.metrics.archive_degraded.set(i64::from(degraded));
    }
}

/// The near end of the archive's thread.
#[derive(Clone)]
pub(super) struct Archive {
    shared: Arc<Shared>,
}

impl Archive {
    pub(super) fn start(
        backend: Arc<dyn ArchiveBackend>,
        catalogue: Catalogue,
        lock: File,
        retention: Retention,
        metrics: Metrics,
    ) -> Result<Self, ArchiveError> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), metrics });
        let writer = Writer { shared: shared.clone(), backend, catalogue, retention, lock: Some(lock) };
        thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| ArchiveError::Thread { source })?;
        Ok(Self { shared })
    }

    /// Hands a job over. Never blocks; a segment that finds the queue full is lost, and counted.
    pub(super) fn submit(&self, key: &Key, job: Job) {
        let mut queue = self.shared.lock();
        if let Job::Segment { segment, .. } = &job {
            if queue.waiting >= MAX_WAITING || queue.stopped {
                queue.full |= queue.waiting >= MAX_WAITING;
                queue.lost += 1;
                self.shared.metrics.archive_segments_lost.with_label_values(&["queue full"]).inc();
                self.shared.show(&queue);
                tracing::debug!(feed = %key.0, number = %segment.number(), "segment is not archived");
                return;
            }
            queue.waiting += 1;
        }
        queue.retention_due |= matches!(job, Job::Begin { .. });
        queue.lanes.entry(key.clone()).or_default().jobs.push_back((clock::now(), job));
        self.shared.show(&queue);
        self.shared.changed.notify_all();
    }

    pub(super) fn health(&self) -> ArchiveHealth {
        self.shared.lock().health(clock::now())
    }

    /// Lets the thread do what waits, and stops it, at the latest at `deadline`. Blocks until then.
    pub(super) fn stop(&self, deadline: Instant) {
        let mut queue = self.shared.lock();
        queue.stopping = Some(deadline);
        self.shared.changed.notify_all();
        while !queue.stopped {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Tells the thread to stop once it has done what waits, and does not wait for it.
    pub(super) fn stop_soon(&self) {
        let mut queue = self.shared.lock();
        if queue.stopping.is_none() {
            queue.stopping = Some(clock::now() + STOP_WITHIN);
        }
        self.shared.changed.notify_all();
    }
}

struct Writer {
    shared: Arc<Shared>,
    backend: Arc<dyn ArchiveBackend>,
    catalogue: Catalogue,
    retention: Retention,
    /// Held until nothing more is written.
    lock: Option<File>,
}

impl Writer {
    fn run(mut self) {
        let mut next_retention = clock::now();
        let mut last: Option<Key> = None;
        loop {
            let now = clock::now();
            let mut queue = self.shared.lock();
            let overdue = queue.stopping.is_some_and(|deadline| now >= deadline);
            if overdue {
                drop(queue);
                return self.stopped();
            }
            if let Some((key, handed_over, job, row)) = take_next(&mut queue, last.as_ref(), now) {
                queue.busy_since = Some(now);
                drop(queue);
                self.work(&key, handed_over, job, row);
                last = Some(key);
                continue;
            }
            let idle = queue.lanes.values().all(|lane| lane.jobs.is_empty());
            if queue.stopping.is_some() && idle {
                drop(queue);
                return self.stopped();
            }
            if std::mem::take(&mut queue.retention_due) || now >= next_retention {
                drop(queue);
                self.retain();
                next_retention = now + RETENTION_EVERY;
                continue;
            }
            let wake = queue.lanes.values().filter_map(|lane| lane.retry_at).chain(queue.stopping).min();
            let wake = wake.map_or(next_retention, |wake| wake.min(next_retention));
            let pause = wake.saturating_duration_since(now).max(Duration::from_millis(1));
            drop(self.shared.changed.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn stopped(mut self) {
        // Whoever waits for the end may open the store again at once.
        drop(self.lock.take());
        let mut queue = self.shared.lock();
        queue.stopped = true;
        if queue.waiting > 0 {
            warn!(segments = queue.waiting, "archive stops before it has written everything");
        }
        queue.lanes.clear();
        self.shared.changed.notify_all();
    }

    /// Does one job, and puts it back where it fails.
    fn work(&mut self, key: &Key, handed_over: Instant, job: Job, row: Option<i64>) {
        let counted = matches!(job, Job::Segment { .. });
        let mut kept = true;
        // `Begin` is always first in its lane and stays there until it succeeds, so the others find a row.
        let done = match (&job, row) {
            (Job::Begin { record, inits }, _) => self.begin(record, inits).map(Some),
            (Job::Segment { track, name, segment }, Some(row)) => {
                self.segment(key, row, *track, name, segment).map(|written| {
                    kept = written;
                    Some(row)
                })
            }
            (Job::End { ended_unix_millis, .. }, Some(row)) => {
                self.catalogue.end(row, *ended_unix_millis).map(|()| None).map_err(Into::into)
            }
            (Job::Segment { .. } | Job::End { .. }, None) => Ok(None),
        };
        let mut queue = self.shared.lock();
        queue.busy_since = None;
        let lane = queue.lanes.entry(key.clone()).or_default();
        let settled = match done {
            Ok(row) => {
                lane.row = row;
                lane.retry_at = None;
                // Giving a segment up says nothing of the disk.
                if kept && lane.problem.take().is_some() {
                    info!(feed = %key.0, presentation = %key.1, "archive writes again");
                }
                match job {
                    Job::End { settled, .. } => {
                        queue.lanes.remove(key);
                        Some(settled)
                    }
                    Job::Begin { .. } | Job::Segment { .. } => None,
                }
            }
            Err(error) => {
                self.shared.metrics.archive_failures.with_label_values(&[error.step()]).inc();
                if lane.problem.is_none() {
                    warn!(feed = %key.0, presentation = %key.1, error = %chain(&error), "archive is degraded");
                }
                lane.problem = Some(chain(&error));
                lane.retry_at = Some(clock::now() + RETRY_AFTER);
                lane.jobs.push_front((handed_over, job));
                None
            }
        };
        if counted && lane_took(&queue, key) {
            queue.waiting = queue.waiting.saturating_sub(1);
            queue.full &= queue.waiting >= MAX_WAITING / 2;
        }
        self.shared.show(&queue);
        drop(queue);
        if let Some(settled) = settled {
            settled();
        }
    }

    fn begin(&mut self, record: &PresentationRecord, inits: &[Bytes]) -> Result<i64, ArchiveError> {
        for (track, init) in record.tracks.iter().zip(inits) {
            let object = ObjectName {
                feed: record.feed.clone(),
                presentation: record.id.clone(),
                track: TrackName::new(&track.name)?,
                part: Part::Init,
            };
            self.put(&object, std::slice::from_ref(init))?;
        }
        Ok(self.catalogue.begin(record)?)
    }

    fn segment(
        &mut self,
        key: &Key,
        row: i64,
        track: usize,
        name: &TrackName,
        segment: &Segment,
    ) -> Result<bool, ArchiveError> {
        let Some(whole) = segment.complete() else {
            self.lost(key, segment.number());
            return Ok(false);
        };
        let part = Part::Segment(segment.number());
        let object =
            ObjectName { feed: key.0.clone(), presentation: key.1.clone(), track: name.clone(), part };
        self.put(&object, &whole.parts)?;
        let listed = WindowSegment {
            number: segment.number(),
            start: whole.start,
            duration: whole.duration,
            bytes: whole.bytes,
        };
        self.catalogue.add(&NewSegment { row, track, segment: listed })?;
        self.shared.metrics.archive_writes.inc();
        self.shared.metrics.archive_bytes_written.inc_by(whole.bytes);
        Ok(true)
    }

    fn put(&self, object: &ObjectName, parts: &[Bytes]) -> Result<(), ArchiveError> {
        let written = self.backend.put(object, parts);
        written.map_err(|source| ArchiveError::Write { object: object.to_string(), source })
    }

    fn lost(&self, key: &Key, number: SegmentNumber) {
        self.shared.metrics.archive_segments_lost.with_label_values(&["left the window"]).inc();
        let mut queue = self.shared.lock();
        if queue.lost == 0 {
            error!(feed = %key.0, presentation = %key.1, %number, "segment left the window before it was archived");
        }
        queue.lost += 1;
    }

    fn retain(&mut self) {
        let outcome = retention::retain(
            self.backend.as_ref(),
            &self.catalogue,
            &self.retention,
            &self.shared.metrics,
            clock::unix_millis(),
        );
        let problem = outcome.err().map(|error| {
            self.shared.metrics.archive_failures.with_label_values(&[error.step()]).inc();
            chain(&error)
        });
        let mut queue = self.shared.lock();
        if let Some(problem) = problem.as_ref().filter(|_| queue.retention_problem.is_none()) {
            warn!(error = %problem, "archive cannot make room");
        }
        queue.retention_problem = problem;
        self.shared.show(&queue);
    }
}

/// Whether the job that was at the head of the lane is no longer there.
fn lane_took(queue: &Queue, key: &Key) -> bool {
    queue.lanes.get(key).is_none_or(|lane| lane.retry_at.is_none())
}

/// The head of the first lane after `last` that is not waiting for its next try, so that lanes take turns.
fn take_next(
    queue: &mut Queue,
    last: Option<&Key>,
    now: Instant,
) -> Option<(Key, Instant, Job, Option<i64>)> {
    let ready = |lane: &Lane| !lane.jobs.is_empty() && lane.retry_at.is_none_or(|at| at <= now);
    let after = |key: &Key| last.is_some_and(|last| key > last);
    let mut keys = queue.lanes.iter().filter(|(_, lane)| ready(lane)).map(|(key, _)| key);
    let first = keys.clone().next()?.clone();
    let key = keys.find(|key| after(key)).cloned().unwrap_or(first);
    let lane = queue.lanes.get_mut(&key)?;
    lane.retry_at = None;
    let (handed_over, job) = lane.jobs.pop_front()?;
    Some((key, handed_over, job, lane.row))
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(feed: &str) -> Key {
        (FeedName::new(feed).unwrap(), PresentationId::new("1").unwrap())
    }

    fn hand_over(queue: &mut Queue, feed: &str, at: Instant) {
        let end = Job::End { ended_unix_millis: 0, settled: Box::new(|| ()) };
        queue.lanes.entry(key(feed)).or_default().jobs.push_back((at, end));
    }

    fn next(queue: &mut Queue, last: Option<&Key>, now: Instant) -> Option<Key> {
        take_next(queue, last, now).map(|(key, ..)| key)
    }

    #[test]
    fn lanes_take_turns_and_one_that_failed_waits() {
        let now = clock::now();
        let mut queue = Queue::default();
        for feed in ["a", "a", "b", "c"] {
            hand_over(&mut queue, feed, now);
        }
        assert_eq!(next(&mut queue, None, now), Some(key("a")));
        assert_eq!(next(&mut queue, Some(&key("a")), now), Some(key("b")));
        queue.lanes.get_mut(&key("c")).unwrap().retry_at = Some(now + RETRY_AFTER);
        assert_eq!(next(&mut queue, Some(&key("b")), now), Some(key("a")));
        assert_eq!(next(&mut queue, Some(&key("a")), now), None);
        assert_eq!(next(&mut queue, Some(&key("a")), now + RETRY_AFTER), Some(key("c")));
    }

    #[test]
    fn a_disk_that_hangs_is_told_of() {
        let now = clock::now();
        let mut queue = Queue::default();
        assert_eq!(queue.health(now), ArchiveHealth::default());
        hand_over(&mut queue, "a", now);
        assert_eq!(queue.health(now + BEHIND).degraded, None);
        let late = now + BEHIND + Duration::from_secs(1);
        assert_eq!(queue.health(late).degraded.as_deref(), Some("archive: the disk is 11 s behind"));
        // In the middle of a write that does not return.
        let _ = take_next(&mut queue, None, now);
        queue.busy_since = Some(now);
        assert!(queue.health(late).degraded.is_some());
    }
}
