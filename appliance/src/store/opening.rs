//! Opening the archive: at the start, or later where its disk was full, read-only or broken then, or did not answer.
//!
//! A thread of its own opens it, and the start waits for that so long and no longer: on a disk that hangs no call ever
//! returns. The thread holds nothing that others wait for, and what it opens too late is taken in when it is there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SendError, SyncSender};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use super::archive::backend::ArchiveBackend;
use super::archive::local::{LocalDisk, make_folder};
use super::archive::{self, Archive, ArchiveError, Gone, Job, Key, Retention};
use super::catalogue::{Catalogue, CatalogueError, Listed};
use super::listing::Listing;
use super::metrics::Metrics;
use super::replay::Replays;
use super::{Shared, StoreError, unpoisoned};
use crate::telemetry::chain;
use crate::{clock, config};

/// The catalogue's file in the state folder.
const CATALOGUE: &str = "catalogue.sqlite";
/// What SQLite keeps beside it.
const BESIDE_CATALOGUE: [&str; 2] = ["-wal", "-shm"];
/// The archive's folder in the state folder.
const ARCHIVE: &str = "archive";

/// Between two tries to open an archive. Short against the time somebody takes to make room.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Longest that a start waits for the archive. A sound one is open within a second, one of ten programmes that were on air
/// within two on a cold spinning disk (`recovery::COMPARED_BYTES` of each are read). Less would cost the programmes that a
/// slow disk still gives, since they go on only where they are found in time; more keeps encoders waiting that try again
/// for half a minute, the grace time.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// An archive in use.
pub(super) struct Open {
    pub(super) archive: Archive,
    pub(super) listing: Listing,
    pub(super) replays: Arc<Replays>,
    /// What had begun before this was open, under ids that something in it has.
    pub(super) clashing: BTreeSet<Key>,
}

impl Open {
    /// Whether a presentation may be kept in it.
    pub(super) fn has_room_for(&self, key: &Key) -> bool {
        !self.clashing.contains(key)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.archive.stop_soon();
        self.listing.stop();
    }
}

/// An archive that was opened, and what an earlier run left in it.
pub(super) struct FoundArchive {
    pub(super) open: Open,
    /// Of all presentations in it.
    pub(super) ids: Vec<Key>,
    pub(super) interrupted: Vec<Listed>,
}

/// Where an archive is.
pub(super) struct Place {
    pub(super) archive: config::Archive,
    pub(super) state_dir: PathBuf,
}

impl Place {
    pub(super) fn open(&self, metrics: &Metrics) -> Result<FoundArchive, StoreError> {
        let folder = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Folder { path, source }
        };
        make_folder(&self.state_dir).map_err(folder(&self.state_dir))?;
        let (root, path) = (self.state_dir.join(ARCHIVE), self.state_dir.join(CATALOGUE));
        let attempt = || {
            let lock = lock(&path)?;
            if root.exists() && Catalogue::is_blank(&path)? {
                put_aside(&root, "it has no catalogue", "lost")?;
            }
            let catalogue = Catalogue::open(&path)?;
            let disk = LocalDisk::open(&root).map_err(folder(&root))?;
            open(&self.archive, Arc::new(disk), (&path, catalogue, lock), metrics)
        };
        match attempt() {
            Err(damage) if is_damage(&damage) => {
                error!(catalogue = %path.display(), error = %chain(&damage),
                    "catalogue is damaged: beginning with an empty one; nothing is deleted");
                let aside = put_aside(&path, "it is damaged", "damaged")?;
                for beside in BESIDE_CATALOGUE {
                    let from = with_suffix(&path, beside);
                    if from.exists() {
                        // Under the name that SQLite looks for, should somebody mend it.
                        rename(&from, &with_suffix(&aside, beside))?;
                    }
                }
                attempt()
            }
            result => result,
        }
    }
}

/// Whether the catalogue is not what it was when it was written.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Catalogue(error) | StoreError::Archive(ArchiveError::Catalogue(error)) => {
            error.is_damage()
        }
        StoreError::Name(_) | StoreError::Archive(ArchiveError::Name(_)) => true,
        _ => false,
    }
}

/// Puts in order what an earlier run left, and starts the threads.
pub(super) fn open(
    archive: &config::Archive,
    backend: Arc<dyn ArchiveBackend>,
    (path, catalogue, lock): (&Path, Catalogue, File),
    metrics: &Metrics,
) -> Result<FoundArchive, StoreError> {
    let catalogue = Mutex::new(catalogue);
    let recovered = archive::recover(backend.as_ref(), &catalogue)?;
    let replays = Arc::new(Replays::open(path, backend.clone())?);
    let listed = replays.list(None)?;
    let gone = Gone::of(&listed);
    let ids = listed.into_iter().map(|listed| (listed.record.feed, listed.record.id)).collect();
    let retention = Retention { max_age: archive.max_age, max_bytes: archive.max_bytes };
    let listing = Listing::start().map_err(|source| StoreError::Thread { source })?;
    let archive =
        Archive::start(backend, catalogue, lock, (retention, recovered.unchecked, gone), metrics.clone())?;
    let open = Open { archive, listing, replays, clashing: BTreeSet::new() };
    Ok(FoundArchive { open, ids, interrupted: recovered.interrupted })
}

/// Whether it is for an operator to decide, and no disk's state: nothing is gained by trying again.
fn is_lasting(error: &StoreError) -> bool {
    match error {
        StoreError::Locked { source, .. } => source.kind() == ErrorKind::WouldBlock,
        StoreError::Catalogue(error) | StoreError::Archive(ArchiveError::Catalogue(error)) => {
            matches!(error, CatalogueError::Schema { .. })
        }
        StoreError::Thread { .. } | StoreError::Archive(ArchiveError::Thread { .. }) => true,
        _ => false,
    }
}

/// What a start is told: the archive, or none where it is to be gone on without one for now.
type Opened = Result<Option<FoundArchive>, StoreError>;

/// Opens the archive at the start. Where that fails, or takes too long, it is gone on without, and tried until there is one.
///
/// # Errors
///
/// Where it is for an operator to decide.
pub(super) fn open_at_start(shared: &Arc<Shared>, place: Place) -> Opened {
    // Nothing is handed over that nobody takes: what is opened too late comes back to the thread.
    let (start, opened) = mpsc::sync_channel(0);
    let (store, metrics) = (Arc::downgrade(shared), shared.metrics.clone());
    let opens = thread::Builder::new().name("archive-opens".to_owned());
    opens
        .spawn(move || run(&store, &place, &metrics, &start))
        .map_err(|source| StoreError::Thread { source })?;
    // A thread that is gone answers no more than a disk that hangs.
    opened.recv_timeout(OPEN_WITHIN).unwrap_or_else(|_| {
        let error = StoreError::Unanswered { within: OPEN_WITHIN };
        error!(%error, "archive cannot be used: live goes on without, until it is open");
        // Before the thread can find that nobody waits for it.
        in_trouble(shared, &error);
        Ok(None)
    })
}

/// The thread. It keeps no store alive while it waits for the disk.
fn run(store: &Weak<Shared>, place: &Place, metrics: &Metrics, start: &SyncSender<Opened>) {
    let opened = match place.open(metrics) {
        Err(error) if !is_lasting(&error) => {
            error!(error = %chain(&error), "archive cannot be used: live goes on without, and it is tried again");
            if let Some(shared) = store.upgrade() {
                in_trouble(&shared, &error);
            }
            Ok(None)
        }
        opened => opened.map(Some),
    };
    let failed = matches!(opened, Ok(None));
    match start.send(opened) {
        Ok(()) if !failed => {}
        Err(SendError(Ok(Some(found)))) => adopt_later(store, found),
        Err(SendError(Err(error))) if !is_worth_a_try(store, &error) => {}
        Ok(()) | Err(_) => try_again(store, place, metrics),
    }
}

fn in_trouble(shared: &Shared, error: &StoreError) {
    *unpoisoned(&shared.trouble) = Some(format!("archive: cannot be used: {}", chain(error)));
}

/// Notes why there is no archive yet, long after the start; false where there is to be none, or no store any more.
fn is_worth_a_try(store: &Weak<Shared>, error: &StoreError) -> bool {
    let Some(shared) = store.upgrade() else { return false };
    in_trouble(&shared, error);
    // A daemon that was killed keeps its lock until the disk that it waits for lets it go.
    let lasting = is_lasting(error) && !matches!(error, StoreError::Locked { .. });
    if lasting {
        error!(error = %chain(error), "archive cannot be used, and is not tried again");
    }
    !lasting
}

fn try_again(store: &Weak<Shared>, place: &Place, metrics: &Metrics) {
    loop {
        thread::sleep(TRY_AGAIN);
        if store.strong_count() == 0 {
            return;
        }
        match place.open(metrics) {
            Ok(found) => return adopt_later(store, found),
            Err(error) if is_worth_a_try(store, &error) => {}
            Err(_) => return,
        }
    }
}

fn adopt_later(store: &Weak<Shared>, found: FoundArchive) {
    // What was interrupted stays so for the next daemon, where this one is about to go.
    if let Some(shared) = store.upgrade().filter(|shared| !shared.stopping.load(Ordering::Relaxed)) {
        adopt(&shared, found);
    }
}

/// What was on air long ago is a recording; what has begun since and is on air is kept from where memory has it.
fn adopt(shared: &Shared, found: FoundArchive) {
    let FoundArchive { mut open, ids, interrupted } = found;
    {
        let mut taken = unpoisoned(&shared.taken);
        open.clashing = ids.iter().filter(|key| taken.contains(key)).cloned().collect();
        taken.extend(ids);
    }
    for listed in interrupted {
        let ended_unix_millis = listed.last_end_unix_millis();
        let (row, tracks) = (listed.row, listed.record.tracks.len());
        let key = (listed.record.feed, listed.record.id);
        info!(feed = %key.0, presentation = %key.1, "interrupted presentation ends");
        open.archive.open_lane(&key, tracks, Some(row), Arc::new(|_| ()));
        open.archive.submit(&key, Job::End { ended_unix_millis, settled: Box::new(|| ()) });
    }
    let open = shared.archive.get_or_init(|| open);
    *unpoisoned(&shared.trouble) = None;
    info!("archive can be used");
    // Whoever is not among them yet looks for the archive once it is.
    let on_air: Vec<_> = unpoisoned(&shared.current).values().cloned().collect();
    on_air.iter().for_each(|view| view.take_in(open));
}

/// Keeps a second daemon away: what the one has written and not noted yet, the other would take for remains.
pub(super) fn lock(catalogue: &Path) -> Result<File, StoreError> {
    let path = catalogue.with_extension("lock");
    let locked = File::create(&path).and_then(|file| file.try_lock().map(|()| file).map_err(io::Error::from));
    locked.map_err(|source| StoreError::Locked { path, source })
}

/// What this store has no use for is not its to delete: it is moved out of the way, and said so.
fn put_aside(path: &Path, why: &str, mark: &str) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::PutAside { path: path.to_owned(), source };
    let aside = path.with_added_extension(format!("{mark}-{}", clock::unix_millis()));
    if path.is_dir() && fs::read_dir(path).map_err(failed)?.next().is_none() {
        return Ok(aside);
    }
    warn!(from = %path.display(), to = %aside.display(), why, "moving it out of the way");
    rename(path, &aside)?;
    Ok(aside)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| StoreError::PutAside { path: from.to_owned(), source })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
