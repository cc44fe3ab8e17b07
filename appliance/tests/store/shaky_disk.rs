//! A disk that fails and hangs on command.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use appliance::config;
use appliance::store::archive::backend::{ArchiveBackend, ObjectName, Part};
use appliance::store::archive::local::LocalDisk;
use appliance::store::{FeedName, PresentationId, Store, TrackName};
use bytes::Bytes;
use prometheus::Registry;

use crate::programme::keep_all;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Works,
    Fails(io::ErrorKind),
    Hangs,
}

/// A local disk behind a mood, which writes ask for.
pub(crate) struct ShakyDisk {
    disk: LocalDisk,
    mood: Mutex<Mood>,
    /// What housekeeping hangs on, until it is let go.
    held: Mutex<Option<PresentationId>>,
    /// Whether anything has hung on it.
    holding: AtomicBool,
    /// What cannot be read.
    unreadable: Mutex<Option<(TrackName, Part)>>,
    /// What cannot be removed, nor any object of it.
    undeletable: Mutex<Option<PresentationId>>,
    changed: Condvar,
}

impl ShakyDisk {
    /// A store on such a disk, with its catalogue beside it.
    pub(crate) fn open(folder: &Path) -> (Arc<Self>, Store, Registry) {
        Self::open_holding(folder, &keep_all(), None)
    }

    /// As [`Self::open`]; whoever looks at all files of that presentation, or removes them, is held up.
    pub(crate) fn open_holding(
        folder: &Path,
        archive: &config::Archive,
        held: Option<&str>,
    ) -> (Arc<Self>, Store, Registry) {
        let shaky = Self::new(folder);
        *shaky.held.lock().unwrap() = held.map(|id| PresentationId::new(id).unwrap());
        let (store, registry) = shaky.store(folder, archive);
        (shaky, store, registry)
    }

    pub(crate) fn new(folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            disk: LocalDisk::open(&folder.join("archive")).unwrap(),
            mood: Mutex::new(Mood::Works),
            held: Mutex::default(),
            holding: AtomicBool::default(),
            unreadable: Mutex::default(),
            undeletable: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Has every read of this fail as a broken sector does.
    pub(crate) fn spoil(&self, track: &str, part: Part) {
        *self.unreadable.lock().unwrap() = Some((TrackName::new(track).unwrap(), part));
    }

    /// Has every removal of this presentation, or of an object of it, fail; none for of none.
    pub(crate) fn keep_undeletable(&self, id: Option<&str>) {
        *self.undeletable.lock().unwrap() = id.map(|id| PresentationId::new(id).unwrap());
    }

    fn may_remove(&self, presentation: &PresentationId) -> io::Result<()> {
        match self.undeletable.lock().unwrap().as_ref() == Some(presentation) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn store(self: &Arc<Self>, folder: &Path, archive: &config::Archive) -> (Store, Registry) {
        let registry = Registry::new();
        let catalogue = folder.join("catalogue.sqlite");
        let store = Store::with_backend(archive, self.clone(), &catalogue, &registry).unwrap();
        (store, registry)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    pub(crate) fn let_go(&self) {
        *self.held.lock().unwrap() = None;
        self.changed.notify_all();
    }

    /// Whether somebody is, or was, held up.
    pub(crate) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::SeqCst)
    }

    fn pass(&self, presentation: &PresentationId) {
        let held = self.held.lock().unwrap();
        let stays = |held: &mut Option<PresentationId>| {
            let stays = held.as_ref() == Some(presentation);
            self.holding.fetch_or(stays, Ordering::SeqCst);
            stays
        };
        drop(self.changed.wait_while(held, stays).unwrap());
    }
}

/// Nobody waits for a test that has failed.
impl Drop for ShakyDisk {
    fn drop(&mut self) {
        self.set(Mood::Works);
        self.let_go();
    }
}

impl ArchiveBackend for ShakyDisk {
    fn put(&self, name: &ObjectName, parts: &[Bytes]) -> io::Result<()> {
        let mood = self.changed.wait_while(self.mood.lock().unwrap(), |mood| *mood == Mood::Hangs).unwrap();
        if let Mood::Fails(kind) = *mood {
            return Err(kind.into());
        }
        drop(mood);
        self.disk.put(name, parts)
    }

    fn read(&self, name: &ObjectName, range: Range<u64>) -> io::Result<Bytes> {
        let spoilt = self.unreadable.lock().unwrap();
        if spoilt.as_ref().is_some_and(|(track, part)| *track == name.track && *part == name.part) {
            return Err(io::Error::from_raw_os_error(nix::libc::EIO));
        }
        drop(spoilt);
        self.disk.read(name, range)
    }

    fn size(&self, name: &ObjectName) -> io::Result<Option<u64>> {
        self.disk.size(name)
    }

    fn list(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        track: &TrackName,
    ) -> io::Result<Vec<(Part, u64)>> {
        self.pass(presentation);
        self.disk.list(feed, presentation, track)
    }

    fn presentations(&self) -> io::Result<Vec<(FeedName, PresentationId)>> {
        self.disk.presentations()
    }

    fn remove(&self, name: &ObjectName) -> io::Result<()> {
        self.may_remove(&name.presentation)?;
        self.disk.remove(name)
    }

    fn remove_presentation(&self, feed: &FeedName, presentation: &PresentationId) -> io::Result<()> {
        self.pass(presentation);
        self.may_remove(presentation)?;
        self.disk.remove_presentation(feed, presentation)
    }
}
