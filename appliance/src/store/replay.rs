//! Presentations in the archive: found in the catalogue, read from where they are kept.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use media::{MediaTime, SegmentNumber};
use packager::window::{Latency, Window, WindowSegment};

use super::archive::backend::{ArchiveBackend, ObjectName, Part};
use super::catalogue::{ALL, Catalogue, CatalogueError, Listed, PresentationRecord, TrackRecord};
use super::live::{BitRates, Past};
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

    /// Grows with every change of its segments, and at its end.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.listed.revision.wrapping_mul(2).wrapping_add(u64::from(self.is_ended()))
    }

    /// The track of this name.
    #[must_use]
    pub fn track(&self, name: &TrackName) -> Option<usize> {
        self.listed.record.tracks.iter().position(|track| track.name == name.as_str())
    }

    /// Whether a track is sound.
    #[must_use]
    pub fn is_audio(&self, track: usize) -> bool {
        self.listed.record.tracks.get(track).is_some_and(TrackRecord::is_audio)
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
        // One that has ended with nothing to be played is none, or is being removed.
        let empty = |listed: &Listed| listed.ended_unix_millis.is_some() && listed.duration().is_zero();
        let found = self.lock().find(feed, id)?.filter(|listed| !empty(listed));
        Ok(found.map(|listed| Replay { listed }))
    }

    /// What a manifest of it is written from. Only segments that every track has are listed. Where segments were lost,
    /// only one stretch without a hole is, since a hole cannot be listed inside a Period, nor in a playlist: of a
    /// recording the longest; of what is still on air, and of what live viewers see end (`newest`), the newest.
    pub(super) fn window(
        &self,
        replay: &Replay,
        media_base: &str,
        newest: bool,
    ) -> Result<Window, CatalogueError> {
        let Listed { row, record, ended_unix_millis, .. } = &replay.listed;
        let duration = replay.listed.duration();
        let mut tracks = Vec::with_capacity(record.tracks.len());
        for (index, track) in record.tracks.iter().enumerate() {
            let noted = self.lock().segments(*row, index, track.timescale, SegmentNumber::FIRST, ALL)?;
            tracks.push(noted.into_iter().map(|noted| noted.segment).collect::<Vec<_>>());
        }
        let stretches = stretches(&tracks);
        let stretch = match newest || !replay.is_ended() {
            true => stretches.last(),
            false => stretches.iter().max_by_key(|stretch| stretch.end - stretch.start),
        };
        let stretch = stretch.cloned().unwrap_or_default();
        let listed = tracks.into_iter().zip(&record.tracks).map(|(mut segments, track)| {
            segments.retain(|segment| stretch.contains(&segment.number.0));
            let mut rates = BitRates::default();
            for segment in &segments {
                rates.add(segment.bytes, segment.duration);
            }
            track.window(segments, &rates)
        });
        let tracks: Vec<_> = listed.collect();
        // What ends under live viewers goes on with the times that there were.
        let origin = match replay.is_ended() && !newest {
            true => tracks.iter().filter_map(|track| track.segments.first()).map(|first| first.start).min(),
            false => None,
        };
        Ok(Window {
            title: record.title.clone(),
            availability_start_unix_millis: record.availability_start_unix_millis,
            published_unix_millis: ended_unix_millis.unwrap_or(replay.listed.last_end_unix_millis()),
            // What is still on air grows here too, segment by segment: the same programme with all of its past.
            live: !replay.is_ended(),
            segment_duration: record.cadence.segment_duration().to_duration(),
            latency: Latency::Standard,
            time_shift: duration,
            time_url: TIME_URL.to_owned(),
            origin: origin.unwrap_or(MediaTime::ZERO),
            media_base: media_base.to_owned(),
            tracks,
        })
    }

    /// What of an interrupted presentation its live URL lists: the newest stretch, as far back as its window reaches.
    pub(super) fn past(&self, listed: &Listed) -> Result<Vec<Past>, CatalogueError> {
        let Listed { row, record, .. } = listed;
        let last = self.lock().last_number(*row)?.unwrap_or(SegmentNumber::FIRST);
        let window = record.cadence.segments_in(record.window);
        let from = SegmentNumber(last.0.saturating_add(1).saturating_sub(window));
        let mut tracks = Vec::with_capacity(record.tracks.len());
        for (index, track) in record.tracks.iter().enumerate() {
            let noted = self.lock().segments(*row, index, track.timescale, from, ALL)?;
            tracks.push(noted.into_iter().map(|noted| noted.segment).collect::<Vec<_>>());
        }
        let newest = stretches(&tracks).pop().unwrap_or_default();
        let mut past = Vec::with_capacity(tracks.len());
        for ((index, track), mut segments) in record.tracks.iter().enumerate().zip(tracks) {
            segments.retain(|segment| newest.contains(&segment.number.0));
            let rates = self.lock().rates(*row, index, track.timescale)?;
            past.push(Past { segments, rates });
        }
        Ok(past)
    }

    /// What the feed noted for taking a presentation up again.
    pub(super) fn resume(&self, row: i64) -> Result<Vec<u8>, CatalogueError> {
        self.lock().resume(row)
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

    /// All of a track's initialization segment. Blocks.
    pub(super) fn read_init(&self, record: &PresentationRecord, track: &TrackName) -> io::Result<Bytes> {
        let (feed, presentation, track) = (record.feed.clone(), record.id.clone(), track.clone());
        let name = ObjectName { feed, presentation, track, part: Part::Init };
        let size = self.backend.size(&name)?.ok_or(ErrorKind::NotFound)?;
        self.backend.read(&name, 0..size)
    }

    fn stored(&self, replay: &Replay, track: &TrackName, part: Part, bytes: u64) -> Stored {
        let record = &replay.listed.record;
        let (feed, presentation) = (record.feed.clone(), record.id.clone());
        let name = ObjectName { feed, presentation, track: track.clone(), part };
        Stored { backend: self.backend.clone(), name, bytes }
    }
}

/// The ranges of consecutive numbers that all tracks have, in order.
fn stretches(tracks: &[Vec<WindowSegment>]) -> Vec<Range<u64>> {
    let Some((first, others)) = tracks.split_first() else { return Vec::new() };
    let has = |track: &Vec<WindowSegment>, number: u64| {
        track.binary_search_by_key(&number, |segment| segment.number.0).is_ok()
    };
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for number in first.iter().map(|segment| segment.number.0) {
        if !others.iter().all(|track| has(track, number)) {
            continue;
        }
        match stretches.last_mut().filter(|stretch| stretch.end == number) {
            Some(stretch) => stretch.end = number + 1,
            None => stretches.push(number..number + 1),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(stretches(&[]), []);
        assert_eq!(stretches(&[track(&[])]), []);
        assert_eq!(stretches(&[track(&[1, 2, 3, 5])]), [1..4, 5..6]);
        assert_eq!(stretches(&[track(&[1, 2, 3, 4, 5, 6]), track(&[1, 2, 4, 5, 6])]), [1..3, 4..7]);
        assert_eq!(stretches(&[track(&[1, 2]), track(&[3, 4])]), []);
    }

    proptest! {
        #[test]
        fn stretches_hold_what_all_tracks_have(tracks in prop::collection::vec(
            prop::collection::btree_set(1..40_u64, 0..40), 1..4)) {
            let numbers: Vec<Vec<u64>> = tracks.iter().map(|set| set.iter().copied().collect()).collect();
            let lists: Vec<_> = numbers.iter().map(|numbers| track(numbers)).collect();
            let found = stretches(&lists);
            for number in 0..41 {
                let all = tracks.iter().all(|set| set.contains(&number));
                prop_assert_eq!(found.iter().any(|stretch| stretch.contains(&number)), all);
            }
            prop_assert!(found.windows(2).all(|two| two[0].end < two[1].start), "{found:?}");
        }
    }
}
