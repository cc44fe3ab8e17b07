//! The archive: written behind the live window by threads of its own, and never in its way.
//!
//! Jobs stand in one lane a presentation, in order: begin, segments, end. A segment's file is written as soon as it is
//! whole on its track; once a number is on disk on every track, the rows of all its tracks are noted in one
//! transaction, and the presentation is told that the number is kept. A job that fails stays at the head of its lane
//! and is tried again for as long as its segment is in memory, so a full disk that is mended within that time costs
//! nothing; meanwhile the archive reports itself degraded. What waits holds no memory of its own: the bytes are the
//! live window's, and when that lets go of them the segment is counted as lost.

pub mod backend;
mod gone;
pub mod local;
mod queue;
mod recovery;
mod retention;
mod writer;

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::SegmentNumber;
use tracing::{error, info, warn};

use self::backend::ArchiveBackend;
use self::queue::{Lane, MAX_WAITING, Queue};
use self::writer::{Housekeeping, Writer};
use super::catalogue::{Catalogue, CatalogueError, Listed, PresentationRecord};
use super::metrics::Metrics;
use super::name::{FeedName, InvalidName, PresentationId, TrackName};
use super::segment::Segment;
use crate::clock;

pub(super) use self::gone::Gone;
pub(super) use self::recovery::recover;
pub(super) use self::retention::Retention;

/// Threads that write, each for one presentation at a time. A disk syncs several files together in little more time
/// than one, and presentations that complete their segments at the same moment need not wait for each other.
const WRITERS: usize = 4;

/// How long threads that nobody waits for go on with what waits.
const STOP_WITHIN: Duration = Duration::from_secs(5);

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

/// Told of each number that is kept on every track.
pub(super) type Kept = Arc<dyn Fn(SegmentNumber) + Send + Sync>;

/// What is to be done for a presentation.
pub(super) enum Job {
    Begin { record: PresentationRecord, inits: Vec<Bytes>, resume: Vec<u8> },
    Segment { track: usize, name: TrackName, segment: Arc<Segment> },
    Resume(Vec<u8>),
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

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    metrics: Metrics,
    gone: Gone,
    /// Held until nothing more is written.
    lock: Mutex<Option<File>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a thread to a job that has become ready. While the threads stop, whoever waits for that may be the one called
    /// instead, so all are.
    fn call(&self, queue: &Queue) {
        match queue.stopping {
            None => self.changed.notify_one(),
            Some(_) => self.changed.notify_all(),
        }
    }

    /// Counts segments that left memory before they were written.
    fn lose(&self, queue: &mut Queue, segments: u64) {
        if queue.lost == 0 && segments > 0 {
            error!(segments, "segments left memory before they were archived");
        }
        queue.lost += segments;
        self.metrics.archive_segments_lost.with_label_values(&["left the window"]).inc_by(segments);
    }

    fn show(&self, queue: &Queue) {
        self.metrics.archive_queue_segments.set(i64::try_from(queue.waiting).unwrap_or(i64::MAX));
    }
}

/// The near end of the archive's threads.
#[derive(Clone)]
pub(super) struct Archive {
    shared: Arc<Shared>,
}

impl Archive {
    pub(super) fn start(
        backend: Arc<dyn ArchiveBackend>,
        catalogue: Mutex<Catalogue>,
        lock: File,
        (retention, unchecked, gone): (Retention, Vec<Listed>, Gone),
        metrics: Metrics,
    ) -> Result<Self, ArchiveError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            metrics,
            gone,
            lock: Mutex::new(Some(lock)),
        });
        let archive = Self { shared: shared.clone() };
        let catalogue = Arc::new(catalogue);
        let mut housekeeping = Some(Housekeeping::new(retention, unchecked));
        for _ in 0..WRITERS {
            let (backend, catalogue) = (backend.clone(), catalogue.clone());
            let writer = Writer { shared: shared.clone(), backend, catalogue };
            let housekeeping = housekeeping.take();
            shared.lock().running += 1;
            let spawned =
                thread::Builder::new().name("archive".to_owned()).spawn(move || writer.run(housekeeping));
            if let Err(source) = spawned {
                shared.lock().running -= 1;
                archive.stop_soon();
                return Err(ArchiveError::Thread { source });
            }
        }
        Ok(archive)
    }

    /// Opens the lane of a presentation of `tracks` tracks; `row` is where it is in the catalogue already.
    pub(super) fn open_lane(&self, key: &Key, tracks: usize, row: Option<i64>, kept: Kept) {
        self.shared.lock().lanes.insert(key.clone(), Lane::new(tracks, row, kept));
    }

    /// Notes whether a presentation lists what is not kept.
    pub(super) fn set_unprotected(&self, key: &Key, unprotected: bool) {
        let mut queue = self.shared.lock();
        let Some(lane) = queue.lanes.get_mut(key) else { return };
        if std::mem::replace(&mut lane.unprotected, unprotected) != unprotected {
            match unprotected {
                true => {
                    warn!(feed = %key.0, presentation = %key.1, "archive is behind: listing goes on without it")
                }
                false => info!(feed = %key.0, presentation = %key.1, "archive has caught up"),
            }
        }
    }

    /// Says that nothing of a presentation before `first` will ever be kept.
    pub(super) fn begins_at(&self, key: &Key, first: SegmentNumber) {
        self.shared.gone.all_before(key.clone(), first);
    }

    /// Segments that may be handed over before the queue is full.
    pub(super) fn room(&self) -> usize {
        MAX_WAITING.saturating_sub(self.shared.lock().waiting)
    }

    /// Hands a job over to an open lane. Never blocks; a segment that finds the queue full is lost, and counted.
    pub(super) fn submit(&self, key: &Key, job: Job) {
        let mut queue = self.shared.lock();
        if let Job::Segment { segment, .. } = &job {
            if queue.waiting >= MAX_WAITING {
                // On a disk that hangs nobody looks at them: they would keep those out that can still be written.
                let gone = queue.drop_what_is_gone();
                self.shared.lose(&mut queue, gone);
            }
            if queue.waiting >= MAX_WAITING || queue.stopped || !queue.lanes.contains_key(key) {
                queue.full |= queue.waiting >= MAX_WAITING;
                queue.lost += 1;
                self.shared.metrics.archive_segments_lost.with_label_values(&["queue full"]).inc();
                self.shared.show(&queue);
                tracing::debug!(feed = %key.0, number = %segment.number(), "segment is not archived");
                return;
            }
            queue.waiting += 1;
        }
        let begins = matches!(job, Job::Begin { .. });
        queue.retention_due |= begins;
        // Threads that have stopped have closed all lanes.
        let Some(lane) = queue.lanes.get_mut(key) else { return };
        lane.jobs.push_back((clock::now(), job));
        self.shared.show(&queue);
        match begins {
            // One of the threads alone keeps house, and it must hear of this.
            true => self.shared.changed.notify_all(),
            false => self.shared.call(&queue),
        }
    }

    /// Whether memory knows that a segment is not kept any more; without a number, that nothing of its presentation is.
    pub(super) fn is_gone(&self, key: &Key, number: Option<SegmentNumber>) -> bool {
        self.shared.gone.has(key, number)
    }

    pub(super) fn health(&self) -> ArchiveHealth {
        self.shared.lock().health(clock::now())
    }

    /// Lets the threads do what waits, and stops them, at the latest at `deadline`. Blocks until then.
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

    /// Tells the threads to stop once they have done what waits, and does not wait for them.
    pub(super) fn stop_soon(&self) {
        let mut queue = self.shared.lock();
        if queue.stopping.is_none() {
            queue.stopping = Some(clock::now() + STOP_WITHIN);
        }
        self.shared.changed.notify_all();
    }
}
