//! Segments: the live window in memory, the archive behind it, the catalogue.
//!
//! ```text
//! feed ─▶ Presentation ─▶ live window ─▶ viewers (also of the segment being written)
//!                              │ whole segments
//!                              ▼
//!                     archive's thread ─▶ disk, then catalogue ─▶ viewers of replays
//! ```
//!
//! - [`Store::begin`] opens a presentation of a feed; its writer is the [`Presentation`] handed out, its readers hold
//!   a [`PresentationView`]. A segment is listed once it is whole on every track and, where there is an archive, kept
//!   there: what was listed outlives the daemon.
//! - The archive ([`archive`]) never holds the feed up: where it does not answer within a fraction of a second it says
//!   so ([`Store::archive_health`]) and live goes on without it.
//! - Memory holds the newest part of the window, the archive the rest; one list stands before both.
//! - What an earlier run left without an end is interrupted: it answers at its live URL until its feed goes on with it
//!   ([`Store::resume`]) or ends it ([`Store::close_interrupted`]).
//! - A replay is listed once it is on disk and in the catalogue.

pub mod archive;
mod catalogue;
mod error;
mod info;
mod interrupted;
mod listing;
mod live;
mod metrics;
pub mod name;
mod opening;
mod presentation;
mod reading;
mod replay;
mod segment;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use media::{Cadence, Timescale};
use packager::wall_clock::rfc3339;
use packager::window::WindowTrackKind;
use prometheus::Registry;
use tokio::task;
use tracing::warn;

pub use self::archive::{ArchiveError, ArchiveHealth};
pub use self::catalogue::CatalogueError;
pub use self::error::StoreError;
pub use self::info::PresentationInfo;
pub use self::interrupted::{Interrupted, InterruptedTrack};
pub use self::name::{FeedName, InvalidName, PresentationId, TrackName};
pub use self::presentation::Presentation;
pub use self::reading::Media;
pub use self::replay::{Replay, Stored};
pub use self::segment::{Complete, Discarded, Segment, SegmentChunk, SegmentReader};
pub use self::view::{Absent, OpenSegment, PresentationView, Progress};

use self::archive::backend::ArchiveBackend;
use self::archive::{Job, Kept, Key};
use self::catalogue::{Catalogue, KindRecord, PresentationRecord, TrackRecord};
use self::metrics::Metrics;
use self::opening::{FoundArchive, Open, Place};
use self::replay::Replays;
use self::view::Keeping;
use crate::{clock, config};

/// How much of a window is kept in memory where nobody said: what viewers near the live edge read, and what bridges a
/// disk in trouble.
pub const DEFAULT_MEMORY: Duration = Duration::from_secs(60);

/// A presentation to be begun.
#[derive(Debug, Clone)]
pub struct NewPresentation {
    /// Whose it is.
    pub feed: String,
    /// What people call it.
    pub title: String,
    /// Unique in its feed and fit for URLs: `20261121T031500.123Z`. See [`PresentationId`].
    pub id: String,
    /// Wall time of presentation time zero, in milliseconds since 1970.
    pub availability_start_unix_millis: u64,
    /// Its grid.
    pub cadence: Cadence,
    /// How far back viewers may seek while it is live.
    pub window: Duration,
    /// How much of the window is kept in memory, the newest; the rest is read from the archive. Without an archive all
    /// of the window is in memory. See [`DEFAULT_MEMORY`].
    pub memory: Duration,
    /// How far behind real time viewers are meant to be, in low latency; none for the standard, in which nothing is
    /// announced before it is whole.
    pub target_latency: Option<Duration>,
    /// What the feed wants to know when it goes on with this presentation after the daemon died; the store does not
    /// look into it. See [`Presentation::note_resume`].
    pub resume: Vec<u8>,
    /// Video rungs, best first, then audio.
    pub tracks: Vec<NewTrack>,
}

/// A track of a [`NewPresentation`].
#[derive(Debug, Clone)]
pub struct NewTrack {
    /// The rung's name, or `audio`. See [`TrackName`].
    pub name: String,
    /// What only video or only audio has.
    pub kind: WindowTrackKind,
    /// RFC 6381 codecs string.
    pub codecs: String,
    /// Ticks per second of its segments' times.
    pub timescale: Timescale,
    /// The initialization segment.
    pub init: Bytes,
    /// The configured bit rate, in bits per second.
    pub nominal_bit_rate: u64,
}

struct Shared {
    current: Mutex<BTreeMap<FeedName, Arc<PresentationView>>>,
    /// Of `current`: what nobody has decided on yet.
    interrupted: Mutex<BTreeMap<FeedName, Interrupted>>,
    /// Of `current`: what is left to the next daemon.
    suspended: Mutex<BTreeSet<FeedName>>,
    /// Every id that was ever begun and is not forgotten, so that nobody has to wait for a disk to know.
    taken: Mutex<BTreeSet<Key>>,
    /// Set once it can be used.
    archive: OnceLock<Open>,
    /// Why an archive that is to be there cannot be used yet.
    trouble: Mutex<Option<String>>,
    /// Set once the daemon stops: what is opened now is not taken in any more.
    stopping: AtomicBool,
    metrics: Metrics,
}

impl Shared {
    fn replays(&self) -> Option<Arc<Replays>> {
        self.archive.get().map(|open| open.replays.clone())
    }
}

/// The store. Clones share one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the store in `state_dir`, puts in order what an earlier run left, and starts the archive's thread. An archive
    /// whose disk is full, read-only or broken is not waited for, one whose disk hangs for some seconds: it is degraded, and
    /// opened as soon as it can be.
    ///
    /// # Errors
    ///
    /// Where another daemon uses it, or a newer release has; without an archive only where metrics clash.
    pub fn open(
        archive: &config::Archive,
        state_dir: &Path,
        registry: &Registry,
    ) -> Result<Self, StoreError> {
        let store = Self::assemble(Metrics::register(registry)?);
        if !archive.enabled {
            return Ok(store);
        }
        let place = Place { archive: archive.clone(), state_dir: state_dir.to_owned() };
        if let Some(found) = opening::open_at_start(&store.shared, place)? {
            store.adopt(found);
        }
        Ok(store)
    }

    /// As [`Self::open`], with objects kept by `backend` and the catalogue at a path.
    ///
    /// # Errors
    ///
    /// Where the catalogue or the backend cannot be used.
    pub fn with_backend(
        archive: &config::Archive,
        backend: Arc<dyn ArchiveBackend>,
        catalogue: &Path,
        registry: &Registry,
    ) -> Result<Self, StoreError> {
        let store = Self::assemble(Metrics::register(registry)?);
        let lock = opening::lock(catalogue)?;
        let writing = Catalogue::open(catalogue)?;
        let metrics = &store.shared.metrics;
        store.adopt(opening::open(archive, backend, (catalogue, writing, lock), metrics)?);
        Ok(store)
    }

    fn assemble(metrics: Metrics) -> Self {
        let shared = Shared {
            current: Mutex::default(),
            interrupted: Mutex::default(),
            suspended: Mutex::default(),
            taken: Mutex::default(),
            archive: OnceLock::new(),
            trouble: Mutex::default(),
            stopping: AtomicBool::new(false),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// At the start: what was on air goes on.
    fn adopt(&self, found: FoundArchive) {
        let FoundArchive { open, ids, interrupted } = found;
        unpoisoned(&self.shared.taken).extend(ids);
        let open = self.shared.archive.get_or_init(|| open);
        self.take_up(open, &interrupted);
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<FeedName, Arc<PresentationView>>> {
        unpoisoned(&self.shared.current)
    }

    /// Begins a presentation, which takes the feed's live URL. The one before it is ended, if it was not, and is from
    /// then on to be had from the archive only.
    ///
    /// # Errors
    ///
    /// Where a name cannot be one, two tracks share one, or the feed has had this id. Waits for no disk.
    pub fn begin(&self, new: NewPresentation) -> Result<Presentation, StoreError> {
        let now_unix_millis = clock::unix_millis();
        let (feed, id) = (FeedName::new(&new.feed)?, PresentationId::new(&new.id)?);
        let names =
            new.tracks.iter().map(|track| TrackName::new(&track.name)).collect::<Result<Vec<_>, _>>()?;
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        if names.is_empty() || distinct.len() != names.len() {
            return Err(StoreError::Tracks { id, tracks: names.len(), names: distinct.len() });
        }
        if !unpoisoned(&self.shared.taken).insert((feed.clone(), id.clone())) {
            return Err(StoreError::Taken { feed, id });
        }
        let inits: Vec<Bytes> = new.tracks.iter().map(|track| track.init.clone()).collect();
        let metrics = self.shared.metrics.clone();
        // One look, since an archive may be opened at any moment.
        let open = self.shared.archive.get().filter(|open| open.has_room_for(&(feed.clone(), id.clone())));
        let keeping = match open {
            Some(open) => Keeping::kept(metrics, open.archive.clone(), open.listing.clone()),
            None => {
                // What was to be on disk cannot all be in memory.
                let in_trouble = unpoisoned(&self.shared.trouble).is_some();
                let time_shift = if in_trouble { new.window.min(new.memory) } else { new.window };
                Keeping::not_yet(metrics, time_shift, new.resume.clone())
            }
        };
        let record = PresentationRecord {
            feed: feed.clone(),
            id,
            title: new.title,
            availability_start_unix_millis: new.availability_start_unix_millis,
            cadence: new.cadence,
            window: new.window,
            memory: new.memory,
            target_latency: new.target_latency,
            tracks: new.tracks.into_iter().map(TrackRecord::from).collect(),
        };
        let view = PresentationView::new(record.clone(), names, inits.clone(), keeping, now_unix_millis);
        if let Some(archive) = view.archive() {
            let key = view.key();
            archive.open_lane(&key, record.tracks.len(), None, kept(&view));
            archive.submit(&key, Job::Begin { record, inits, resume: new.resume });
        }
        let interrupted = unpoisoned(&self.shared.interrupted).remove(&feed);
        unpoisoned(&self.shared.suspended).remove(&feed);
        if let Some(before) = self.current().insert(feed, view.clone()) {
            let ended = interrupted.map_or(now_unix_millis, |before| before.last_end_unix_millis());
            self.shared.end(&before, ended);
            before.release();
        }
        // One that was opened meanwhile may not have found it among what is on air.
        if let Some(open) = self.shared.archive.get() {
            view.take_in(open);
        }
        Ok(Presentation::new(view, self.clone()))
    }

    /// The presentation on a feed's live URL: on air, or the last one since the start.
    #[must_use]
    pub fn live(&self, feed: &str) -> Option<Arc<PresentationView>> {
        self.current().get(&FeedName::new(feed).ok()?).cloned()
    }

    /// Whether what begins now is kept on disk; see [`PresentationView::is_archived`] for what has begun.
    #[must_use]
    pub fn is_archiving(&self) -> bool {
        self.shared.archive.get().is_some()
    }

    /// How the archive is doing; none where there is none.
    #[must_use]
    pub fn archive_health(&self) -> Option<ArchiveHealth> {
        let trouble = || unpoisoned(&self.shared.trouble).clone();
        let Some(open) = self.shared.archive.get() else {
            return trouble()
                .map(|trouble| ArchiveHealth { degraded: Some(trouble), ..ArchiveHealth::default() });
        };
        let mut health = open.archive.health();
        if health.degraded.is_none() {
            let without =
                self.current().values().find(|view| view.is_live() && view.archive().is_none()).cloned();
            health.degraded = without.map(|view| {
                format!(
                    "archive: what {} has on air is not kept: the archive has another presentation {}",
                    view.feed(),
                    view.id()
                )
            });
        }
        Some(health)
    }

    /// Has the metrics say what [`Self::archive_health`] does. Called before they are gathered: how long a disk has not
    /// answered, and whether what is on air has an archive, changes without anything being told here.
    pub fn show_health(&self) {
        let degraded = self.archive_health().is_some_and(|health| health.degraded.is_some());
        self.shared.metrics.archive_degraded.set(i64::from(degraded));
    }

    /// Ends what is live, lets the archive write what waits, and stops it, within `timeout`. What is interrupted or
    /// suspended stays so, and nobody is kept waiting for it any more.
    pub async fn shutdown(&self, timeout: Duration) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let now_unix_millis = clock::unix_millis();
        let views: Vec<_> = self.current().values().cloned().collect();
        for view in views {
            let kept = unpoisoned(&self.shared.interrupted).contains_key(view.feed())
                || unpoisoned(&self.shared.suspended).contains(view.feed());
            if !kept {
                self.shared.end(&view, now_unix_millis);
            }
        }
        if let Some(archive) = self.shared.archive.get().map(|open| open.archive.clone()) {
            let deadline = clock::now() + timeout;
            if let Err(error) = task::spawn_blocking(move || archive.stop(deadline)).await {
                warn!(%error, "archive was not waited for");
            }
        }
        // Last, since who comes again at once is to find the next daemon, not this one.
        self.current().values().for_each(|view| view.leave());
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archive = self.shared.archive.get().is_some();
        f.debug_struct("Store").field("archive", &archive).finish_non_exhaustive()
    }
}

impl Shared {
    fn end(&self, view: &Arc<PresentationView>, ended_unix_millis: u64) {
        if !view.close(ended_unix_millis) {
            return;
        }
        if let Some(archive) = view.archive() {
            let settled = view.clone();
            let settled = Box::new(move || settled.settle());
            archive.submit(&view.key(), Job::End { ended_unix_millis, settled });
        }
    }
}

/// What the archive calls for each number that it has; it does not keep the view.
fn kept(view: &Arc<PresentationView>) -> Kept {
    let view = Arc::downgrade(view);
    Arc::new(move |number| {
        if let Some(view) = view.upgrade() {
            view.kept(number);
        }
    })
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<NewTrack> for TrackRecord {
    fn from(track: NewTrack) -> Self {
        Self {
            kind: KindRecord::from(&track.kind),
            init_crc32: Some(crc32fast::hash(&track.init)),
            name: track.name,
            codecs: track.codecs,
            timescale: track.timescale,
            nominal_bit_rate: track.nominal_bit_rate,
        }
    }
}

/// The id of a presentation that begins at this wall time, in milliseconds since 1970: `20261121T031500.123Z`.
#[must_use]
pub fn presentation_id(availability_start_unix_millis: u64) -> String {
    rfc3339(availability_start_unix_millis).replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_wall_time() {
        let id = presentation_id(1_795_230_900_123);
        assert_eq!(id, "20261121T031500.123Z");
        assert!(PresentationId::new(&id).is_ok());
        assert!(PresentationId::new(&presentation_id(0)).is_ok());
    }
}
