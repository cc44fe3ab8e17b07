//! At the start: what an earlier run left is put in order, so that the catalogue and the files agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::Duration;

use media::SegmentNumber;
use packager::window::WindowSegment;
use tracing::{error, info, warn};

use super::ArchiveError;
use super::backend::{ArchiveBackend, ObjectName, Part};
use crate::store::catalogue::{ALL, Catalogue, Listed, Noted, TrackRecord};
use crate::store::name::{FeedName, PresentationId, TrackName};
use crate::store::unpoisoned;
use crate::warn_limited;

/// How much of a presentation is read and compared with its checksums, from its end on. What was written was synced
/// before it was noted, so only a disk that lies about that can lose anything, and then the last of it: this is 13 s at
/// 10 Mbit/s, and read in a fraction of a second.
const COMPARED_BYTES: u64 = 16 << 20;

/// Numbers of a presentation whose files are all looked at before the daemon serves. Of one that is longer, as of a
/// channel that never ends, only the newest are, and the rest once it has ended: a look at every file of ten channels'
/// days would take longer than viewers wait.
const ALL_LOOKED_AT: u64 = 4096;

/// The newest, of a presentation that is longer.
const NEWEST_LOOKED_AT: u64 = 256;

/// Numbers after the last noted one of which files may be left: those that were being written.
const BEING_WRITTEN: u64 = 16;

/// Recordings that ended this long before the last sign of life are looked at like those that did not end.
const RECENT_MILLIS: u64 = 60_000;

/// What an earlier run left.
#[derive(Debug, Default)]
pub(in crate::store) struct Recovered {
    /// Presentations without an end, one a feed at most.
    pub(in crate::store) interrupted: Vec<Listed>,
    /// Recordings whose files are still to be looked at.
    pub(in crate::store) unchecked: Vec<Listed>,
}

/// Looks at what was written last: forgets what is torn or has no file, removes files that the catalogue does not
/// name, and ends what cannot be gone on with. Presentations that can be are left without an end.
pub(in crate::store) fn recover(
    backend: &dyn ArchiveBackend,
    catalogue: &Mutex<Catalogue>,
) -> Result<Recovered, ArchiveError> {
    let listed = unpoisoned(catalogue).list(None)?;
    let known: HashSet<_> = listed
        .iter()
        .map(|presentation| (presentation.record.feed.clone(), presentation.record.id.clone()))
        .collect();
    let end = |presentation: &Listed| {
        presentation.ended_unix_millis.unwrap_or_else(|| presentation.last_end_unix_millis())
    };
    let last_sign = listed.iter().map(end).max().unwrap_or(0);
    let mut recovered = Recovered::default();
    // Newest first.
    for presentation in listed {
        let record = &presentation.record;
        let recent = end(&presentation) >= last_sign.saturating_sub(RECENT_MILLIS);
        if presentation.ended_unix_millis.is_some() && !recent {
            recovered.unchecked.push(presentation);
            continue;
        }
        let last = unpoisoned(catalogue).last_number(presentation.row)?.unwrap_or(SegmentNumber::FIRST).0;
        let newest = Look { from: last.saturating_sub(NEWEST_LOOKED_AT), ..Look::ALL };
        let long = last > ALL_LOOKED_AT;
        let left = long && reconcile(backend, catalogue, &presentation, newest)?;
        // Where none of the newest can be played, an older one may be.
        if !left && !reconcile(backend, catalogue, &presentation, Look::ALL)? {
            continue;
        }
        if presentation.ended_unix_millis.is_some() {
            recovered.unchecked.extend(long.then_some(presentation));
            continue;
        }
        let Some(presentation) = unpoisoned(catalogue).find(&record.feed, &record.id)? else { continue };
        let record = &presentation.record;
        let superseded = recovered.interrupted.iter().any(|newer| newer.record.feed == record.feed);
        if superseded || record.window.is_zero() {
            info!(feed = %record.feed, presentation = %record.id, "ending what an earlier run left open");
            unpoisoned(catalogue).end(presentation.row, presentation.last_end_unix_millis())?;
            continue;
        }
        recovered.interrupted.push(presentation);
    }
    for (feed, id) in backend.presentations().map_err(|source| ArchiveError::List { source })? {
        if known.contains(&(feed.clone(), id.clone())) {
            continue;
        }
        warn!(%feed, presentation = %id, "removing files of a presentation that the catalogue does not name");
        remove_presentation(backend, &feed, &id);
    }
    Ok(recovered)
}

/// Looks at the files of a recording, by their sizes only. It was listed at the start: what has expired since is gone, and
/// its row may be another's by now, or is left for what makes room to go on with.
pub(super) fn check(
    backend: &dyn ArchiveBackend,
    catalogue: &Mutex<Catalogue>,
    listed: &Listed,
) -> Result<(), ArchiveError> {
    let found = unpoisoned(catalogue).find(&listed.record.feed, &listed.record.id)?;
    let Some(presentation) = found.filter(|found| found.row == listed.row && !found.duration().is_zero())
    else {
        return Ok(());
    };
    reconcile(backend, catalogue, &presentation, Look { compared: 0, ..Look::ALL }).map(drop)
}

/// What of a presentation is looked at.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// The first number.
    from: u64,
    /// Bytes that are compared with their checksums, from the end on.
    compared: u64,
}

impl Look {
    const ALL: Self = Self { from: 0, compared: COMPARED_BYTES };
}

/// Makes rows and files of one presentation agree, as far as it is looked at. Numbers that are not whole on every track
/// go, since they can never be listed. False where nothing is left that could be played; where all of it was looked at,
/// it is then removed.
fn reconcile(
    backend: &dyn ArchiveBackend,
    catalogue: &Mutex<Catalogue>,
    presentation: &Listed,
    Look { from, compared }: Look,
) -> Result<bool, ArchiveError> {
    let record = &presentation.record;
    let mut inits = true;
    let mut rows: Vec<BTreeMap<u64, Noted>> = Vec::new();
    let mut files: Vec<HashMap<Part, u64>> = Vec::new();
    for (index, track) in record.tracks.iter().enumerate() {
        let noted = unpoisoned(catalogue).segments(
            presentation.row,
            index,
            track.timescale,
            SegmentNumber(from),
            ALL,
        )?;
        let noted: BTreeMap<u64, Noted> =
            noted.into_iter().map(|noted| (noted.segment.number.0, noted)).collect();
        let mut of_track = match from {
            0 => list(backend, presentation, track)?,
            _ => probe(backend, presentation, track, from, noted.keys().next_back().copied())?,
        };
        let size = of_track.remove(&Part::Init);
        inits &= size.is_some_and(|size| {
            compared == 0 || is_intact(backend, presentation, track, Part::Init, size, track.init_crc32)
        });
        rows.push(noted);
        files.push(of_track);
    }
    let numbers: BTreeSet<u64> = rows.iter().flat_map(BTreeMap::keys).copied().collect();
    let mut left = compared;
    let mut whole = BTreeSet::new();
    for number in numbers.into_iter().rev() {
        let part = Part::Segment(SegmentNumber(number));
        let intact = record.tracks.iter().zip(&rows).zip(&files).all(|((track, rows), files)| {
            let Some(noted) = rows.get(&number) else { return false };
            let size = noted.segment.bytes;
            if files.get(&part) != Some(&size) {
                return false;
            }
            let compare = left > 0;
            left = left.saturating_sub(size);
            !compare || is_intact(backend, presentation, track, part, size, noted.crc32)
        });
        if intact {
            whole.insert(number);
        }
    }
    if from > 0 && (whole.is_empty() || !inits) {
        return Ok(false);
    }
    if whole.is_empty() || !inits {
        info!(feed = %record.feed, presentation = %record.id, "removing a presentation of which nothing can be played");
        unpoisoned(catalogue).remove(presentation.row)?;
        remove_presentation(backend, &record.feed, &record.id);
        return Ok(false);
    }
    forget(catalogue, presentation, &rows, &whole, from)?;
    for (track, files) in record.tracks.iter().zip(files) {
        for part in files.into_keys() {
            if matches!(part, Part::Segment(number) if whole.contains(&number.0)) {
                continue;
            }
            let object = name_of(presentation, track, part)?;
            if let Err(error) = backend.remove(&object) {
                warn_limited!(%object, %error, "a file that the catalogue does not name stays behind");
            }
        }
    }
    Ok(true)
}

/// Best effort: what the catalogue does not name is never served, and the next start tries again. No archive at all
/// would be worse.
fn remove_presentation(backend: &dyn ArchiveBackend, feed: &FeedName, presentation: &PresentationId) {
    if let Err(error) = backend.remove_presentation(feed, presentation) {
        warn_limited!(%feed, %presentation, %error, "files of a presentation stay behind");
    }
}

/// All files of a track, with their sizes.
fn list(
    backend: &dyn ArchiveBackend,
    presentation: &Listed,
    track: &TrackRecord,
) -> Result<HashMap<Part, u64>, ArchiveError> {
    let record = &presentation.record;
    let listed = backend.list(&record.feed, &record.id, &TrackName::new(&track.name)?);
    Ok(listed.map_err(|source| ArchiveError::List { source })?.into_iter().collect())
}

/// The files of a track from number `from` on, with their sizes, without looking at those before.
fn probe(
    backend: &dyn ArchiveBackend,
    presentation: &Listed,
    track: &TrackRecord,
    from: u64,
    last: Option<u64>,
) -> Result<HashMap<Part, u64>, ArchiveError> {
    let last = last.unwrap_or(from).saturating_add(BEING_WRITTEN);
    let parts = (from..=last).map(|number| Part::Segment(SegmentNumber(number)));
    let mut found = HashMap::new();
    for part in parts.chain([Part::Init]) {
        let size = backend.size(&name_of(presentation, track, part)?);
        if let Some(size) = size.map_err(|source| ArchiveError::List { source })? {
            found.insert(part, size);
        }
    }
    Ok(found)
}

/// Forgets rows of numbers that are not `whole`.
fn forget(
    catalogue: &Mutex<Catalogue>,
    presentation: &Listed,
    rows: &[BTreeMap<u64, Noted>],
    whole: &BTreeSet<u64>,
    looked_from: u64,
) -> Result<(), ArchiveError> {
    let mut gone: Vec<(usize, WindowSegment)> = Vec::new();
    for (track, rows) in rows.iter().enumerate() {
        let torn = rows.values().filter(|noted| !whole.contains(&noted.segment.number.0));
        gone.extend(torn.map(|noted| (track, noted.segment)));
    }
    if gone.is_empty() {
        return Ok(());
    }
    let record = &presentation.record;
    let lost: BTreeSet<u64> = gone.iter().map(|(_, segment)| segment.number.0).collect();
    warn!(feed = %record.feed, presentation = %record.id, numbers = ?lost, "dropping segments that are torn or missing");
    let ends = |noted: &Noted| noted.segment.start.plus(noted.segment.duration).to_duration();
    let left = || rows.iter().flat_map(|rows| rows.values()).filter(|n| whole.contains(&n.segment.number.0));
    let start = rows.first().and_then(|rows| rows.values().find(|n| whole.contains(&n.segment.number.0)));
    let start = start.map_or(Duration::ZERO, |noted| noted.segment.start.to_duration());
    // That of the first track; where the beginning is still there, or was not looked at, it is what it was.
    let start = match looked_from > 0 || (presentation.start.is_zero() && whole.contains(&1)) {
        true => presentation.start,
        false => start,
    };
    let end = left().map(ends).max().unwrap_or_default();
    Ok(unpoisoned(catalogue).remove_segments(presentation.row, &gone, (start, end))?)
}

fn name_of(presentation: &Listed, track: &TrackRecord, part: Part) -> Result<ObjectName, ArchiveError> {
    let (feed, id) = (presentation.record.feed.clone(), presentation.record.id.clone());
    Ok(ObjectName { feed, presentation: id, track: TrackName::new(&track.name)?, part })
}

/// Whether an object's bytes are those that were written. One without a checksum is. So is one that the disk cannot read:
/// that says nothing of what was written, and the disk may yet give it out, as a removed file never will be.
fn is_intact(
    backend: &dyn ArchiveBackend,
    presentation: &Listed,
    track: &TrackRecord,
    part: Part,
    size: u64,
    crc32: Option<u32>,
) -> bool {
    let Some(crc32) = crc32 else { return true };
    let Ok(object) = name_of(presentation, track, part) else { return false };
    match backend.read(&object, 0..size) {
        Ok(bytes) => u64::try_from(bytes.len()) == Ok(size) && crc32fast::hash(&bytes) == crc32,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => {
            error!(%object, %error, "what was archived cannot be read; it is kept");
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use media::{Cadence, FrameRate, MediaTime, Timescale};

    use super::*;
    use crate::store::archive::local::LocalDisk;
    use crate::store::catalogue::{KindRecord, NewSegment, PresentationRecord};

    const SEGMENT: &[u8] = b"a segment";

    fn record(id: &str) -> PresentationRecord {
        let second = Duration::from_secs(1);
        PresentationRecord {
            feed: FeedName::new("studio-a").unwrap(),
            id: PresentationId::new(id).unwrap(),
            title: String::new(),
            availability_start_unix_millis: 0,
            cadence: Cadence::new(FrameRate::PAL, second, second),
            window: second,
            memory: second,
            target_latency: None,
            tracks: vec![TrackRecord {
                name: "audio".to_owned(),
                codecs: String::new(),
                timescale: Timescale::MILLIS,
                nominal_bit_rate: 1,
                kind: KindRecord::Audio { sample_rate: 48_000, channels: 2 },
                init_crc32: None,
            }],
        }
    }

    /// A presentation of one segment, on disk and noted.
    fn begin(disk: &LocalDisk, catalogue: &Mutex<Catalogue>, id: &str) -> Listed {
        let record = record(id);
        let row = unpoisoned(catalogue).begin(&record, b"").unwrap();
        let track = TrackName::new("audio").unwrap();
        for part in [Part::Init, Part::Segment(SegmentNumber(1))] {
            let (feed, presentation) = (record.feed.clone(), record.id.clone());
            let object = ObjectName { feed, presentation, track: track.clone(), part };
            disk.put(&object, &[SEGMENT.into()]).unwrap();
        }
        let segment = WindowSegment {
            number: SegmentNumber(1),
            start: MediaTime::ZERO,
            duration: MediaTime::from_millis(1000),
            bytes: u64::try_from(SEGMENT.len()).unwrap(),
        };
        unpoisoned(catalogue).add(&[NewSegment { row, track: 0, segment, crc32: 0 }]).unwrap();
        unpoisoned(catalogue).find(&record.feed, &record.id).unwrap().unwrap()
    }

    /// SQLite gives the highest row again once it is free.
    #[test]
    fn what_has_expired_since_the_start_is_not_looked_at_in_the_row_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let disk = LocalDisk::open(&folder.path().join("archive")).unwrap();
        let catalogue = Mutex::new(Catalogue::open(&folder.path().join("catalogue.sqlite")).unwrap());
        let old = begin(&disk, &catalogue, "1");
        unpoisoned(&catalogue).remove(old.row).unwrap();
        disk.remove_presentation(&old.record.feed, &old.record.id).unwrap();
        let live = begin(&disk, &catalogue, "2");
        assert_eq!(live.row, old.row);
        check(&disk, &catalogue, &old).unwrap();
        let left = unpoisoned(&catalogue).list(None).unwrap();
        assert_eq!(left, [live]);
    }

    /// What makes room goes on with it: nothing of it is to be a recording again.
    #[test]
    fn what_is_being_removed_is_left_to_that() {
        let folder = tempfile::tempdir().unwrap();
        let disk = LocalDisk::open(&folder.path().join("archive")).unwrap();
        let catalogue = Mutex::new(Catalogue::open(&folder.path().join("catalogue.sqlite")).unwrap());
        let old = begin(&disk, &catalogue, "1");
        unpoisoned(&catalogue).end(old.row, 1000).unwrap();
        unpoisoned(&catalogue).empty(old.row).unwrap();
        disk.remove_presentation(&old.record.feed, &old.record.id).unwrap();
        check(&disk, &catalogue, &old).unwrap();
        let left = unpoisoned(&catalogue).list(None).unwrap();
        assert_eq!(left.iter().map(|left| left.row).collect::<Vec<_>>(), [old.row]);
    }
}
