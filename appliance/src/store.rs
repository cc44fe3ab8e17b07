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
//!   a [`PresentationView`]. A segment is listed once it is whole on every track.
//! - The archive ([`archive`]) follows behind. It never holds the feed up: where it fails it says so
//!   ([`Store::archive_health`]) and live goes on.
//! - A replay is listed once it is on disk and in the catalogue.

pub mod archive;
mod catalogue;
mod live;
mod metrics;
pub mod name;
mod replay;
mod segment;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use media::{Cadence, MediaTime, SegmentNumber, Timescale};
use packager::cmaf::Chunk;
use packager::wall_clock::rfc3339;
use packager::window::{Window, WindowTrackKind};
use prometheus::Registry;
use serde::Serialize;
use tokio::task;
use tracing::warn;

pub use self::archive::{ArchiveError, ArchiveHealth};
pub use self::catalogue::CatalogueError;
pub use self::name::{FeedName, InvalidName, PresentationId, TrackName};
pub use self::replay::{Replay, Stored};
pub use self::segment::{Complete, Discarded, Segment, SegmentReader};
pub use self::view::PresentationView;

use self::archive::backend::ArchiveBackend;
use self::archive::local::LocalDisk;
use self::archive::{Archive, Job, Retention};
use self::catalogue::{Catalogue, KindRecord, Listed, PresentationRecord, TrackRecord};
use self::metrics::Metrics;
use self::replay::Replays;
use crate::{clock, config};

/// The catalogue's file in the state folder.
const CATALOGUE: &str = "catalogue.sqlite";
/// The archive's folder in the state folder.
const ARCHIVE: &str = "archive";

/// What may go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder or the archive's cannot be made.
    #[error("folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive whose catalogue is missing cannot be put aside.
    #[error("archive {} has no catalogue and cannot be put aside", path.display())]
    PutAside {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon uses the catalogue, or nobody can be kept from it.
    #[error("catalogue is in use: {} cannot be locked", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An archived object cannot be read.
    #[error("archived object cannot be read")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// A name cannot stand in a URL.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Two tracks have one name, or there is none.
    #[error("presentation {id} has {tracks} tracks of {names} names; every track needs a name of its own")]
    Tracks {
        /// Which.
        id: PresentationId,
        /// How many tracks.
        tracks: usize,
        /// How many names.
        names: usize,
    },
    /// The feed has had a presentation of this id.
    #[error("feed {feed} has a presentation {id} already")]
    Taken {
        /// Which feed.
        feed: FeedName,
        /// Which id.
        id: PresentationId,
    },
    /// A metric is registered twice: two stores share one registry.
    #[error("metrics of the store cannot be registered")]
    Metrics {
        /// Why.
        #[from]
        source: prometheus::Error,
    },
    /// The runtime is stopping.
    #[error("a lookup was given up because the daemon stops")]
    Stopping {
        /// Why.
        #[from]
        source: task::JoinError,
    },
}

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
    /// How far back viewers may seek while it is live; this much is kept in memory.
    pub window: Duration,
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

/// What the outside may know of a presentation: an entry of `/api/v1/presentations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresentationInfo {
    /// Whose it is.
    pub feed: String,
    /// Its id.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Whether more is coming.
    pub live: bool,
    /// Whether it can be had from the archive.
    pub archived: bool,
    /// Wall time of its beginning, in milliseconds since 1970.
    pub availability_start_unix_millis: u64,
    /// Wall time of its end, likewise.
    pub ended_unix_millis: Option<u64>,
    /// How long what is archived lasts; of what is in memory only where nothing is archived.
    pub duration_millis: u64,
    /// Its size, likewise.
    pub bytes: u64,
    /// Path of its DASH manifest.
    pub dash_url: String,
    /// Path of its HLS master playlist.
    pub hls_url: String,
    /// The names of its tracks.
    pub tracks: Vec<String>,
}

/// Where a media object was found.
pub enum Media {
    /// An initialization segment in memory.
    Init(Bytes),
    /// A segment in memory, whole or being written.
    Segment(Arc<Segment>),
    /// An object in the archive.
    Stored(Stored),
}

struct Shared {
    current: Mutex<BTreeMap<FeedName, Arc<PresentationView>>>,
    archive: Option<Archive>,
    replays: Option<Arc<Replays>>,
    metrics: Metrics,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(archive) = &self.archive {
            archive.stop_soon();
        }
    }
}

/// The store. Clones share one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the store in `state_dir`, puts in order what an earlier run left, and starts the archive's thread.
    ///
    /// # Errors
    ///
    /// Where the folder or the catalogue cannot be used. Without an archive only where metrics clash.
    pub fn open(
        archive: &config::Archive,
        state_dir: &Path,
        registry: &Registry,
    ) -> Result<Self, StoreError> {
        if !archive.enabled {
            return Ok(Self::assemble(None, Metrics::register(registry)?));
        }
        let folder = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Folder { path, source }
        };
        fs::create_dir_all(state_dir).map_err(folder(state_dir))?;
        let (root, catalogue) = (state_dir.join(ARCHIVE), state_dir.join(CATALOGUE));
        if root.exists() && !catalogue.exists() {
            put_aside(&root)?;
        }
        let disk = LocalDisk::open(&root).map_err(folder(&root))?;
        Self::with_backend(archive, Arc::new(disk), &catalogue, registry)
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
        let lock = lock(catalogue)?;
        let mut writing = Catalogue::open(catalogue)?;
        archive::recover(backend.as_ref(), &mut writing)?;
        let replays = Replays::open(catalogue, backend.clone())?;
        let retention = Retention { max_age: archive.max_age, max_bytes: archive.max_bytes };
        let metrics = Metrics::register(registry)?;
        let archive = Archive::start(backend, writing, lock, retention, metrics.clone())?;
        Ok(Self::assemble(Some((archive, replays)), metrics))
    }

    fn assemble(archive: Option<(Archive, Replays)>, metrics: Metrics) -> Self {
        let (archive, replays) = archive.unzip();
        let shared = Shared { current: Mutex::default(), archive, replays: replays.map(Arc::new), metrics };
        Self { shared: Arc::new(shared) }
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<FeedName, Arc<PresentationView>>> {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a presentation, which takes the feed's live URL. The one before it is ended, if it was not, and is from
    /// then on to be had from the archive only.
    ///
    /// # Errors
    ///
    /// Where a name cannot be one, two tracks share one, or the feed has had this id. Blocks for one look into the
    /// catalogue.
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
        let in_memory = self.current().get(&feed).is_some_and(|view| *view.id() == id);
        let archived = match &self.shared.replays {
            Some(replays) => replays.find(&feed, &id)?.is_some(),
            None => false,
        };
        if in_memory || archived {
            return Err(StoreError::Taken { feed, id });
        }
        let inits: Vec<Bytes> = new.tracks.iter().map(|track| track.init.clone()).collect();
        let record = PresentationRecord {
            feed: feed.clone(),
            id,
            title: new.title,
            availability_start_unix_millis: new.availability_start_unix_millis,
            cadence: new.cadence,
            tracks: new.tracks.into_iter().map(TrackRecord::from).collect(),
        };
        let view = PresentationView::new(record.clone(), names, inits.clone(), new.window, now_unix_millis);
        let view = Arc::new(view);
        if let Some(archive) = &self.shared.archive {
            archive.submit(&view.key(), Job::Begin { record, inits });
        }
        if let Some(before) = self.current().insert(feed, view.clone()) {
            self.shared.end(&before, now_unix_millis);
            before.release();
        }
        Ok(Presentation { view, store: self.clone() })
    }

    /// The presentation on a feed's live URL: on air, or the last one since the start.
    #[must_use]
    pub fn live(&self, feed: &str) -> Option<Arc<PresentationView>> {
        self.current().get(&FeedName::new(feed).ok()?).cloned()
    }

    /// Every presentation of one feed, or of all: what is in memory and what is archived, newest first. None for a
    /// name that cannot be a feed's.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn presentations(&self, feed: Option<&str>) -> Result<Vec<PresentationInfo>, StoreError> {
        let feed = match feed.map(FeedName::new).transpose() {
            Ok(feed) => feed,
            Err(_) => return Ok(Vec::new()),
        };
        let archived = match self.shared.replays.clone() {
            Some(replays) => {
                let feed = feed.clone();
                task::spawn_blocking(move || replays.list(feed.as_ref())).await??
            }
            None => Vec::new(),
        };
        let mut infos: Vec<PresentationInfo> = archived
            .iter()
            .filter(|listed| !listed.duration.is_zero())
            .map(PresentationInfo::of_listed)
            .collect();
        for view in
            self.current().values().filter(|view| feed.as_ref().is_none_or(|feed| view.feed() == feed))
        {
            let id = view.id().as_str();
            match infos.iter_mut().find(|info| info.feed == view.feed().as_str() && info.id == id) {
                Some(info) => info.live = view.is_live(),
                None => infos.push(PresentationInfo::of_view(view)),
            }
        }
        infos.sort_by(|a, b| {
            (b.availability_start_unix_millis, &b.id).cmp(&(a.availability_start_unix_millis, &a.id))
        });
        Ok(infos)
    }

    /// How the archive is doing; none where there is none.
    #[must_use]
    pub fn archive_health(&self) -> Option<ArchiveHealth> {
        self.shared.archive.as_ref().map(Archive::health)
    }

    /// A presentation in the archive.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn replay(&self, feed: &FeedName, id: &PresentationId) -> Result<Option<Replay>, StoreError> {
        let Some(replays) = self.shared.replays.clone() else { return Ok(None) };
        let (feed, id) = (feed.clone(), id.clone());
        Ok(task::spawn_blocking(move || replays.find(&feed, &id)).await??)
    }

    /// What a manifest of a replay is written from.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn replay_window(
        &self,
        replay: &Replay,
        media_base: &str,
    ) -> Result<Option<Window>, StoreError> {
        let Some(replays) = self.shared.replays.clone() else { return Ok(None) };
        let (replay, media_base) = (replay.clone(), media_base.to_owned());
        Ok(Some(task::spawn_blocking(move || replays.window(&replay, &media_base)).await??))
    }

    /// What a manifest at a feed's live URL is written from: the window in memory, and once the presentation has
    /// ended and is archived, all of it.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn live_window(&self, view: &PresentationView, media_base: &str) -> Result<Window, StoreError> {
        if view.is_settled()
            && let Some(replay) = self.replay(view.feed(), view.id()).await?
            && let Some(window) = self.replay_window(&replay, media_base).await?
            && window.tracks.iter().all(|track| !track.segments.is_empty())
        {
            return Ok(window);
        }
        Ok(view.window(media_base))
    }

    /// A segment of a presentation, or its track's initialization segment where `number` is none: from memory where
    /// it is there or about to be, else from the archive. The second value is whether it is sound.
    ///
    /// # Errors
    ///
    /// Where the archive cannot be read.
    pub async fn media(
        &self,
        feed: &FeedName,
        id: &PresentationId,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<Option<(Media, bool)>, StoreError> {
        let current = self.current().get(feed).cloned();
        if let Some(view) = current.filter(|view| view.id() == id)
            && let Some(found) = view.media(track, number).await
        {
            return Ok(Some(found));
        }
        let Some(replays) = self.shared.replays.clone() else { return Ok(None) };
        let (feed, id, track) = (feed.clone(), id.clone(), track.clone());
        task::spawn_blocking(move || {
            let Some(replay) = replays.find(&feed, &id)? else { return Ok(None) };
            let audio = replay.track(&track).is_some_and(|index| replay.is_audio(index));
            let stored = match number {
                Some(number) => replays.segment(&replay, &track, number)?,
                None => replays.init(&replay, &track).map_err(|source| StoreError::Read { source })?,
            };
            Ok(stored.map(|stored| (Media::Stored(stored), audio)))
        })
        .await?
    }

    /// Ends what is live, lets the archive write what waits, and stops it, within `timeout`.
    pub async fn shutdown(&self, timeout: Duration) {
        let now_unix_millis = clock::unix_millis();
        let views: Vec<_> = self.current().values().cloned().collect();
        for view in views {
            self.shared.end(&view, now_unix_millis);
        }
        let Some(archive) = self.shared.archive.clone() else { return };
        let deadline = clock::now() + timeout;
        if let Err(error) = task::spawn_blocking(move || archive.stop(deadline)).await {
            warn!(%error, "archive was not waited for");
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archive = self.shared.archive.is_some();
        f.debug_struct("Store").field("archive", &archive).finish_non_exhaustive()
    }
}

impl Shared {
    fn end(&self, view: &Arc<PresentationView>, now_unix_millis: u64) {
        if !view.end(now_unix_millis, &self.metrics) {
            return;
        }
        if let Some(archive) = &self.archive {
            let settled = view.clone();
            let settled = Box::new(move || settled.settle());
            archive.submit(&view.key(), Job::End { ended_unix_millis: now_unix_millis, settled });
        }
    }
}

/// The writer of one presentation. Dropped, it ends it.
#[derive(Debug)]
pub struct Presentation {
    view: Arc<PresentationView>,
    store: Store,
}

impl Presentation {
    /// What viewers see of it.
    #[must_use]
    pub fn view(&self) -> &Arc<PresentationView> {
        &self.view
    }

    /// Appends a chunk to a segment, which it opens where it is new. Numbers of a track only grow; a chunk for a
    /// segment that is whole or gone is dropped and counted.
    pub fn push(&self, track: usize, segment: SegmentNumber, chunk: Chunk) {
        self.view.push(track, segment, chunk, &self.store.shared.metrics);
    }

    /// Says that a segment is whole. It is listed once it is on every track.
    pub fn complete(&self, track: usize, segment: SegmentNumber, start: MediaTime, duration: MediaTime) {
        let shared = &self.store.shared;
        let now_unix_millis = clock::unix_millis();
        let archive = shared.archive.as_ref();
        self.view.complete(track, segment, (start, duration), now_unix_millis, archive, &shared.metrics);
    }

    /// Ends it: a segment that is not whole is dropped, the manifest turns static in place.
    pub fn end(self, now_unix_millis: u64) {
        self.store.shared.end(&self.view, now_unix_millis);
    }
}

impl Drop for Presentation {
    fn drop(&mut self) {
        self.store.shared.end(&self.view, clock::unix_millis());
    }
}

impl From<NewTrack> for TrackRecord {
    fn from(track: NewTrack) -> Self {
        Self {
            kind: KindRecord::from(&track.kind),
            name: track.name,
            codecs: track.codecs,
            timescale: track.timescale,
            nominal_bit_rate: track.nominal_bit_rate,
        }
    }
}

impl PresentationInfo {
    fn of_listed(listed: &Listed) -> Self {
        let (feed, id) = (listed.record.feed.to_string(), listed.record.id.to_string());
        Self {
            title: listed.record.title.clone(),
            live: false,
            archived: true,
            availability_start_unix_millis: listed.record.availability_start_unix_millis,
            ended_unix_millis: listed.ended_unix_millis,
            duration_millis: u64::try_from(listed.duration.as_millis()).unwrap_or(u64::MAX),
            bytes: listed.bytes,
            dash_url: format!("/replay/{feed}/{id}/manifest.mpd"),
            hls_url: format!("/replay/{feed}/{id}/master.m3u8"),
            tracks: listed.record.tracks.iter().map(|track| track.name.clone()).collect(),
            feed,
            id,
        }
    }

    fn of_view(view: &PresentationView) -> Self {
        let feed = view.feed().to_string();
        let window = view.window("");
        let length = window.tracks.first().map_or(Duration::ZERO, |track| {
            track.segments.iter().map(|segment| segment.duration.to_duration()).sum()
        });
        Self {
            id: view.id().to_string(),
            title: window.title,
            live: view.is_live(),
            archived: false,
            availability_start_unix_millis: window.availability_start_unix_millis,
            ended_unix_millis: (!view.is_live()).then_some(window.published_unix_millis),
            duration_millis: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            bytes: view.memory_bytes(),
            dash_url: format!("/live/{feed}/manifest.mpd"),
            hls_url: format!("/live/{feed}/master.m3u8"),
            tracks: view.names.iter().map(ToString::to_string).collect(),
            feed,
        }
    }
}

/// The id of a presentation that begins at this wall time, in milliseconds since 1970: `20261121T031500.123Z`.
#[must_use]
pub fn presentation_id(availability_start_unix_millis: u64) -> String {
    rfc3339(availability_start_unix_millis).replace(['-', ':'], "")
}

/// Keeps a second daemon away: what the one has written and not noted yet, the other would take for remains.
fn lock(catalogue: &Path) -> Result<File, StoreError> {
    let path = catalogue.with_extension("lock");
    let locked = File::create(&path).and_then(|file| file.try_lock().map(|()| file).map_err(io::Error::from));
    locked.map_err(|source| StoreError::Locked { path, source })
}

/// An archive whose catalogue is gone is not this store's to delete: it is moved out of the way, and said so.
fn put_aside(root: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::PutAside { path: root.to_owned(), source };
    if fs::read_dir(root).map_err(failed)?.next().is_none() {
        return Ok(());
    }
    let aside = root.with_added_extension(format!("lost-{}", clock::unix_millis()));
    warn!(from = %root.display(), to = %aside.display(), "archive has no catalogue: moving it out of the way");
    fs::rename(root, &aside).map_err(failed)
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
