//! Presentations in the archive: found in the catalogue, read from where they are kept.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use media::SegmentNumber;
use packager::window::{Latency, Window, WindowSegment};

use super::archive::backend::{ArchiveBackend, ObjectName, Part};
use super::catalogue::{Catalogue, CatalogueError, Listed};
use super::live::BitRates;
use super::name::{FeedName, PresentationId, TrackName};
use super::view::TIME_URL;

/// Connections to the catalogue: while one lists the segments of a long recording, which takes a while, others look
/// single ones up.
const READERS: usize = 3;

/// A presentation in the archive.
#[derive(Debug, Clone)]
pub struct Replay {
    pub(super) listed: Listed,
}

impl Replay {
    /// Whether nothing will be added to it.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.listed.ended_unix_millis.is_some()
    }

    /// Grows with every segment that is added.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.listed.bytes.wrapping_mul(2).wrapping_add(u64::from(self.is_ended()))
    }

    /// The track of this name.
    #[must_use]
    pub fn track(&self, name: &TrackName) -> Option<usize> {
        self.listed.record.tracks.iter().position(|track| track.name == name.as_str())
    }

    /// Whether a track is sound.
    #[must_use]
    pub fn is_audio(&self, track: usize) -> bool {
        self.listed.record.tracks.get(track).is_some_and(super::catalogue::TrackRecord::is_audio)
    }
}

/// An object in the archive that can be read piece by piece.
#[derive(Clone)]
pub struct Stored {
    backend: Arc<dyn ArchiveBackend>,
    name: ObjectName,
    bytes: u64,
}

impl Stored {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads all of `range`. Blocks.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is shorter than it was said to be.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        let bytes = self.backend.read(&self.name, range)?;
        match u64::try_from(bytes.len()) == Ok(wanted) {
            true => Ok(bytes),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The near end of what is archived. Calls block.
pub(super) struct Replays {
    catalogues: [Mutex<Catalogue>; READERS],
    backend: Arc<dyn ArchiveBackend>,
}

impl Replays {
    pub(super) fn open(catalogue: &Path, backend: Arc<dyn ArchiveBackend>) -> Result<Self, CatalogueError> {
        let open = || Catalogue::open_for_reading(catalogue).map(Mutex::new);
        Ok(Self { catalogues: [open()?, open()?, open()?], backend })
    }

    /// A connection that nobody uses now, or the first that becomes free.
    fn lock(&self) -> MutexGuard<'_, Catalogue> {
        let free = self.catalogues.iter().find_map(|catalogue| catalogue.try_lock().ok());
        let [first, ..] = &self.catalogues;
        free.unwrap_or_else(|| first.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn list(&self, feed: Option<&FeedName>) -> Result<Vec<Listed>, CatalogueError> {
        self.lock().list(feed)
    }

    pub(super) fn find(
        &self,
        feed: &FeedName,
        id: &PresentationId,
    ) -> Result<Option<Replay>, CatalogueError> {
        Ok(self.lock().find(feed, id)?.map(|listed| Replay { listed }))
    }

    /// What a manifest of it is written from. Only segments that every track has are listed, and where segments were
    /// lost only the longest stretch without a hole, since neither manifest can list one.
    pub(super) fn window(&self, replay: &Replay, media_base: &str) -> Result<Window, CatalogueError> {
        let Listed { row, record, ended_unix_millis, duration, .. } = &replay.listed;
        let mut tracks = Vec::with_capacity(record.tracks.len());
        for (index, track) in record.tracks.iter().enumerate() {
            tracks.push(self.lock().segments(*row, index, track.timescale)?);
        }
        let stretch = longest_stretch(&tracks);
        let listed = tracks.into_iter().zip(&record.tracks).map(|(mut segments, track)| {
            segments.retain(|segment| stretch.contains(&segment.number.0));
            let mut rates = BitRates::default();
            for segment in &segments {
                rates.add(segment.bytes, segment.duration);
            }
            track.window(segments, &rates)
        });
        let end = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let published =
            ended_unix_millis.unwrap_or(record.availability_start_unix_millis.saturating_add(end));
        Ok(Window {
            title: record.title.clone(),
            availability_start_unix_millis: record.availability_start_unix_millis,
            published_unix_millis: published,
            // What is still on air grows here too, segment by segment: the same programme with all of its past.
            live: !replay.is_ended(),
            segment_duration: record.cadence.segment_duration().to_duration(),
            latency: Latency::Standard,
            time_shift: *duration,
            time_url: TIME_URL.to_owned(),
            media_base: media_base.to_owned(),
            tracks: listed.collect(),
        })
    }

    pub(super) fn segment(
        &self,
        replay: &Replay,
        track: &TrackName,
        number: SegmentNumber,
    ) -> Result<Option<Stored>, CatalogueError> {
        let Some(index) = replay.track(track) else { return Ok(None) };
        let Some(bytes) = self.lock().segment_bytes(replay.listed.row, index, number)? else {
            return Ok(None);
        };
        Ok(Some(self.stored(replay, track, Part::Segment(number), bytes)))
    }

    pub(super) fn init(&self, replay: &Replay, track: &TrackName) -> io::Result<Option<Stored>> {
        if replay.track(track).is_none() {
            return Ok(None);
        }
        let mut stored = self.stored(replay, track, Part::Init, 0);
        let Some(bytes) = self.backend.size(&stored.name)? else { return Ok(None) };
        stored.bytes = bytes;
        Ok(Some(stored))
    }

    fn stored(&self, replay: &Replay, track: &TrackName, part: Part, bytes: u64) -> Stored {
        let record = &replay.listed.record;
        let (feed, presentation) = (record.feed.clone(), record.id.clone());
        let name = ObjectName { feed, presentation, track: track.clone(), part };
        Stored { backend: self.backend.clone(), name, bytes }
    }
}

/// The longest range of consecutive numbers that all tracks have; the later of two equal ones.
fn longest_stretch(tracks: &[Vec<WindowSegment>]) -> Range<u64> {
    let Some((first, others)) = tracks.split_first() else { return 0..0 };
    let has = |track: &Vec<WindowSegment>, number: u64| {
        track.binary_search_by_key(&number, |segment| segment.number.0).is_ok()
    };
    let mut longest = 0..0;
    let mut current = 0..0;
    for number in first.iter().map(|segment| segment.number.0) {
        if !others.iter().all(|track| has(track, number)) {
            continue;
        }
        current = if number == current.end { current.start..number + 1 } else { number..number + 1 };
        if current.end - current.start >= longest.end - longest.start {
            longest = current.clone();
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use media::MediaTime;

    use super::*;

    fn track(numbers: &[u64]) -> Vec<WindowSegment> {
        let segment = |&number: &u64| WindowSegment {
            number: SegmentNumber(number),
            start: MediaTime::ZERO,
            duration: MediaTime::ZERO,
            bytes: 1,
        };
        numbers.iter().map(segment).collect()
    }

    #[test]
    fn a_hole_in_one_track_is_a_hole_in_all() {
        assert_eq!(longest_stretch(&[]), 0..0);
        assert_eq!(longest_stretch(&[track(&[])]), 0..0);
        assert_eq!(longest_stretch(&[track(&[1, 2, 3])]), 1..4);
        assert_eq!(longest_stretch(&[track(&[1, 2, 3, 4, 5, 6]), track(&[1, 2, 4, 5, 6])]), 4..7);
        assert_eq!(longest_stretch(&[track(&[1, 2]), track(&[3, 4])]), 0..0);
    }
}
