//! The archive on a local disk: `<root>/<feed>/<presentation>/<track>/init.mp4` and `<number>.m4s`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::backend::{ArchiveBackend, ObjectName, Part};
use crate::store::name::{FeedName, PresentationId, TrackName};
use crate::warn_limited;

/// What a file is called until it is whole and on disk.
const TEMPORARY: &str = "tmp";
/// Slices that one call writes (`UIO_MAXIOV`, writev(2)).
const MAX_SLICES: usize = 1024;

/// Objects as files below a folder.
#[derive(Debug, Clone)]
pub struct LocalDisk {
    root: PathBuf,
}

impl LocalDisk {
    /// Below `root`, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_folder(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn presentation(&self, feed: &FeedName, presentation: &PresentationId) -> PathBuf {
        self.root.join(feed.as_str()).join(presentation.as_str())
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        let track = self.presentation(&name.feed, &name.presentation).join(name.track.as_str());
        track.join(name.part.file_name())
    }
}

/// Makes a folder and those above it that are missing, and makes the entry of each durable: what is synced within a folder
/// that a power cut takes away is lost.
pub(in crate::store) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match (fs::create_dir(folder), above) {
        (Err(error), Some(above)) if error.kind() == ErrorKind::NotFound => {
            make_folder(above)?;
            fs::create_dir(folder)
        }
        (made, _) => made,
    };
    match made {
        // Another thread was quicker.
        Err(_) if folder.is_dir() => {}
        made => made?,
    }
    let synced = sync_folder(above.unwrap_or(Path::new(".")));
    if synced.is_err() {
        // The next try must not take it for durable because it is there.
        let _ = fs::remove_dir(folder);
    }
    synced
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn absent_is<T>(result: io::Result<T>, absent: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(absent),
        result => result,
    }
}

fn write_synced(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    // A segment is a hundred parts: one for each picture.
    for parts in parts.chunks(MAX_SLICES) {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    file.sync_all()
}

impl ArchiveBackend for LocalDisk {
    fn put(&self, name: &ObjectName, parts: &[Bytes]) -> io::Result<()> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        let temporary = path.with_added_extension(TEMPORARY);
        let written = write_synced(&temporary, parts).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // On a full disk half a segment would be in the way of everybody else.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        sync_folder(folder)
    }

    fn read(&self, name: &ObjectName, range: Range<u64>) -> io::Result<Bytes> {
        let mut file = File::open(self.path(name))?;
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end.saturating_sub(range.start);
        let capacity = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut bytes = Vec::with_capacity(capacity);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn size(&self, name: &ObjectName) -> io::Result<Option<u64>> {
        absent_is(fs::metadata(self.path(name)).map(|metadata| Some(metadata.len())), None)
    }

    fn list(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        track: &TrackName,
    ) -> io::Result<Vec<(Part, u64)>> {
        let folder = self.presentation(feed, presentation).join(track.as_str());
        let Some(entries) = absent_is(fs::read_dir(folder).map(Some), None)? else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if let Some(part) = Part::of_file_name(&name) {
                parts.push((part, entry.metadata()?.len()));
            } else if name.ends_with(&format!(".{TEMPORARY}")) {
                // Left by a run that was killed in the middle of a write; listing happens before any write of ours. Where
                // one stays, no more than its own segment cannot be written.
                if let Err(error) = fs::remove_file(entry.path()) {
                    warn_limited!(path = %entry.path().display(), %error, "a file cut off stays behind");
                }
            }
        }
        Ok(parts)
    }

    fn presentations(&self) -> io::Result<Vec<(FeedName, PresentationId)>> {
        let mut found = Vec::new();
        for feed in fs::read_dir(&self.root)? {
            let feed = feed?;
            let Ok(name) = FeedName::new(&feed.file_name().to_string_lossy()) else { continue };
            if !feed.file_type()?.is_dir() {
                continue;
            }
            for presentation in fs::read_dir(feed.path())? {
                let id = PresentationId::new(&presentation?.file_name().to_string_lossy());
                found.extend(id.map(|id| (name.clone(), id)));
            }
        }
        Ok(found)
    }

    fn remove(&self, name: &ObjectName) -> io::Result<()> {
        absent_is(fs::remove_file(self.path(name)), ())
    }

    fn remove_presentation(&self, feed: &FeedName, presentation: &PresentationId) -> io::Result<()> {
        absent_is(fs::remove_dir_all(self.presentation(feed, presentation)), ())?;
        // The feed's folder goes with its last presentation; a folder that is not empty refuses, which is right.
        let _ = fs::remove_dir(self.root.join(feed.as_str()));
        Ok(())
    }
}
