//! Opening the archive: at the start, or later where its disk was full, read-only or broken then.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use super::archive::backend::ArchiveBackend;
use super::archive::local::{LocalDisk, make_folder};
use super::archive::{self, Archive, ArchiveError, Job, Key, Retention};
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

/// An archive in use.
pub(super) struct Open {
    pub(super) archive: Archive,
    pub(super) listing: Listing,
    pub(super) replays: Arc<Replays>,
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
    let ids = replays.list(None)?.into_iter().map(|listed| (listed.record.feed, listed.record.id)).collect();
    let retention = Retention { max_age: archive.max_age, max_bytes: archive.max_bytes };
    let listing = Listing::start().map_err(|source| StoreError::Thread { source })?;
    let archive =
        Archive::start(backend, catalogue, lock, (retention, recovered.unchecked), metrics.clone())?;
    Ok(FoundArchive { open: Open { archive, listing, replays }, ids, interrupted: recovered.interrupted })
}

/// Whether it is for an operator to decide, and no disk's state: nothing is gained by trying again.
pub(super) fn is_lasting(error: &StoreError) -> bool {
    match error {
        StoreError::Locked { source, .. } => source.kind() == ErrorKind::WouldBlock,
        StoreError::Catalogue(error) | StoreError::Archive(ArchiveError::Catalogue(error)) => {
            matches!(error, CatalogueError::Schema { .. })
        }
        StoreError::Thread { .. } | StoreError::Archive(ArchiveError::Thread { .. }) => true,
        _ => false,
    }
}

/// Goes on without an archive, and tries until there is one.
pub(super) fn open_later(shared: &Arc<Shared>, place: Place, error: &StoreError) -> Result<(), StoreError> {
    error!(error = %chain(error), "archive cannot be used: live goes on without, and it is tried again");
    in_trouble(shared, error);
    let shared = Arc::downgrade(shared);
    let spawned =
        thread::Builder::new().name("archive-opens".to_owned()).spawn(move || try_again(&shared, &place));
    spawned.map(drop).map_err(|source| StoreError::Thread { source })
}

fn in_trouble(shared: &Shared, error: &StoreError) {
    *unpoisoned(&shared.trouble) = Some(format!("archive: cannot be used: {}", chain(error)));
    shared.metrics.archive_degraded.set(1);
}

fn try_again(shared: &Weak<Shared>, place: &Place) {
    loop {
        thread::sleep(TRY_AGAIN);
        let Some(shared) = shared.upgrade() else { return };
        match place.open(&shared.metrics) {
            Ok(found) => return adopt(&shared, found),
            Err(error) if is_lasting(&error) => {
                error!(error = %chain(&error), "archive cannot be used, and is not tried again");
                return in_trouble(&shared, &error);
            }
            Err(error) => in_trouble(&shared, &error),
        }
    }
}

/// What was on air long ago is a recording; what has begun since is on air without an archive, and stays so.
fn adopt(shared: &Shared, found: FoundArchive) {
    let FoundArchive { open, ids, interrupted } = found;
    unpoisoned(&shared.taken).extend(ids);
    for listed in interrupted {
        let ended_unix_millis = listed.last_end_unix_millis();
        let (row, tracks) = (listed.row, listed.record.tracks.len());
        let key = (listed.record.feed, listed.record.id);
        info!(feed = %key.0, presentation = %key.1, "interrupted presentation ends");
        open.archive.open_lane(&key, tracks, Some(row), Arc::new(|_| ()));
        open.archive.submit(&key, Job::End { ended_unix_millis, settled: Box::new(|| ()) });
    }
    let _ = shared.archive.set(open);
    *unpoisoned(&shared.trouble) = None;
    shared.metrics.archive_degraded.set(0);
    info!("archive can be used: what begins from now on is kept");
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
