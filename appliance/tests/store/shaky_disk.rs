//! A disk that fails and hangs on command.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

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
    changed: Condvar,
}

impl ShakyDisk {
    /// A store on such a disk, with its catalogue beside it.
    pub(crate) fn open(folder: &Path) -> (Arc<Self>, Store, Registry) {
        let disk = LocalDisk::open(&folder.join("archive")).unwrap();
        let shaky = Arc::new(Self { disk, mood: Mutex::new(Mood::Works), changed: Condvar::new() });
        let registry = Registry::new();
        let catalogue = folder.join("catalogue.sqlite");
        let store = Store::with_backend(&keep_all(), shaky.clone(), &catalogue, &registry).unwrap();
        (shaky, store, registry)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }
}

/// Nobody waits for a test that has failed.
impl Drop for ShakyDisk {
    fn drop(&mut self) {
        self.set(Mood::Works);
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
        self.disk.list(feed, presentation, track)
    }

    fn presentations(&self) -> io::Result<Vec<(FeedName, PresentationId)>> {
        self.disk.presentations()
    }

    fn remove(&self, name: &ObjectName) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn remove_presentation(&self, feed: &FeedName, presentation: &PresentationId) -> io::Result<()> {
        self.disk.remove_presentation(feed, presentation)
    }
}
