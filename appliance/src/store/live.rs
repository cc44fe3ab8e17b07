//! The live window of one presentation: what is in memory and what of it is listed. Pure; `now` is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{MediaTime, SegmentNumber, Timescale};
use packager::window::WindowSegment;

use super::segment::Segment;

/// Segments kept below the oldest listed one, so that one which a manifest named a moment ago still answers: a
/// manifest is at most one segment old when the next is fetched, and its oldest segment is then still being read.
const GRACE_SEGMENTS: u64 = 3;

/// Segments that may stand above the newest listed one before the oldest are given up. Tracks are written side by
/// side, so more than two can only mean that one of them has stopped; memory must stay bounded all the same.
const MAX_UNLISTED: u64 = 30;

/// Bit rates of one track over all its segments so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BitRates {
    peak: u64,
    bits: u128,
    nanos: u128,
}

impl BitRates {
    /// Counts a segment in.
    pub(super) fn add(&mut self, bytes: u64, duration: MediaTime) {
        let (bits, nanos) = (u128::from(bytes) * 8, duration.to_duration().as_nanos());
        self.bits += bits;
        self.nanos += nanos;
        let rate = (bits * 1_000_000_000).checked_div(nanos).unwrap_or(0);
        self.peak = self.peak.max(u64::try_from(rate).unwrap_or(u64::MAX));
    }

    /// Highest of any one segment, in bits per second, at least `nominal`.
    #[must_use]
    pub(super) fn peak(&self, nominal: u64) -> u64 {
        self.peak.max(nominal)
    }

    /// Mean over all segments, in bits per second; `nominal` before the first.
    #[must_use]
    pub(super) fn mean(&self, nominal: u64) -> u64 {
        let rate = (self.bits * 1_000_000_000).checked_div(self.nanos);
        rate.map_or(nominal, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Where a segment is to be had.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// In memory, whole or being written.
    Here(Arc<Segment>),
    /// It is the next to be written.
    Soon,
    /// It is not in memory, and will not be.
    Not,
}

/// What a change did.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// A segment that has become whole, for the archive.
    pub(super) completed: Option<Arc<Segment>>,
    /// Whether a segment was opened.
    pub(super) opened: bool,
    /// Whether the list changed.
    pub(super) listed: bool,
    /// Whether the call came for a segment that no longer takes anything.
    pub(super) late: bool,
}

#[derive(Debug)]
struct Track {
    timescale: Timescale,
    segments: BTreeMap<u64, Arc<Segment>>,
    whole: BTreeMap<u64, WindowSegment>,
    newest: u64,
    rates: BitRates,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LiveWindow {
    tracks: Vec<Track>,
    window: Duration,
    segment_duration: MediaTime,
    /// First and last number listed; they are consecutive and whole on all tracks.
    listed: Option<(u64, u64)>,
    published_unix_millis: u64,
    ended: bool,
    bytes: u64,
}

impl LiveWindow {
    pub(super) fn new(
        timescales: impl IntoIterator<Item = Timescale>,
        window: Duration,
        segment_duration: MediaTime,
        now_unix_millis: u64,
    ) -> Self {
        let track = |timescale| Track {
            timescale,
            segments: BTreeMap::new(),
            whole: BTreeMap::new(),
            newest: 0,
            rates: BitRates::default(),
        };
        Self {
            tracks: timescales.into_iter().map(track).collect(),
            window,
            segment_duration,
            listed: None,
            published_unix_millis: now_unix_millis,
            ended: false,
            bytes: 0,
        }
    }

    /// Appends to a segment, which it opens where it is new.
    pub(super) fn push(&mut self, track: usize, number: SegmentNumber, parts: Vec<Bytes>) -> Change {
        let oldest = self.listed.map_or(0, |(first, _)| first);
        let Some(state) = self.tracks.get_mut(track).filter(|_| !self.ended) else {
            return Change { late: true, ..Change::default() };
        };
        if number.0 == 0 || number.0 < state.newest || number.0 < oldest {
            return Change { late: true, ..Change::default() };
        }
        state.newest = number.0;
        let opened = !state.segments.contains_key(&number.0);
        let segment = state.segments.entry(number.0).or_insert_with(|| Arc::new(Segment::new(number)));
        let added = segment.append(parts);
        self.bytes += added;
        self.evict();
        Change { late: added == 0, opened, ..Change::default() }
    }

    /// Says that a segment is whole, and lists its number if it now is on every track.
    pub(super) fn complete(
        &mut self,
        track: usize,
        number: SegmentNumber,
        start: MediaTime,
        duration: MediaTime,
        now_unix_millis: u64,
    ) -> Change {
        let late = Change { late: true, ..Change::default() };
        let Some(state) = self.tracks.get_mut(track).filter(|_| !self.ended) else { return late };
        let Some(segment) = state.segments.get(&number.0).cloned() else { return late };
        let (start, duration) = (start.rescale(state.timescale), duration.rescale(state.timescale));
        if !segment.finish(start, duration) {
            return late;
        }
        let bytes = segment.bytes();
        state.whole.insert(number.0, WindowSegment { number, start, duration, bytes });
        state.rates.add(bytes, duration);
        let listed = self.list(number.0);
        if listed {
            self.published_unix_millis = now_unix_millis;
            self.evict();
        }
        Change { completed: Some(segment), listed, ..Change::default() }
    }

    /// No more comes: what is not whole is dropped.
    pub(super) fn end(&mut self, now_unix_millis: u64) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.published_unix_millis = now_unix_millis;
        for track in &mut self.tracks {
            for (number, segment) in &track.segments {
                if !track.whole.contains_key(number) {
                    self.bytes = self.bytes.saturating_sub(segment.discard_if_open());
                }
            }
            track.segments.retain(|number, _| track.whole.contains_key(number));
        }
    }

    pub(super) fn find(&self, track: usize, number: SegmentNumber) -> Found {
        let Some(state) = self.tracks.get(track) else { return Found::Not };
        if let Some(segment) = state.segments.get(&number.0) {
            return Found::Here(segment.clone());
        }
        let next = self.tracks.iter().map(|track| track.newest).max().unwrap_or(0).saturating_add(1);
        match !self.ended && number.0 > state.newest && number.0 <= next {
            true => Found::Soon,
            false => Found::Not,
        }
    }

    /// The segments listed of one track, oldest first.
    pub(super) fn listed(&self, track: usize) -> Vec<WindowSegment> {
        match (self.listed, self.tracks.get(track)) {
            (Some((first, last)), Some(track)) => {
                track.whole.range(first..=last).map(|(_, listed)| *listed).collect()
            }
            _ => Vec::new(),
        }
    }

    /// First and last number listed.
    pub(super) fn range(&self) -> Option<(SegmentNumber, SegmentNumber)> {
        self.listed.map(|(first, last)| (SegmentNumber(first), SegmentNumber(last)))
    }

    pub(super) fn rates(&self, track: usize) -> BitRates {
        self.tracks.get(track).map_or_else(BitRates::default, |track| track.rates)
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn published_unix_millis(&self) -> u64 {
        self.published_unix_millis
    }

    /// Bytes of media held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Segments held, over all tracks.
    pub(super) fn segments(&self) -> usize {
        self.tracks.iter().map(|track| track.segments.len()).sum()
    }

    /// Lets go of everything without taking it from those who still read it or write it to disk.
    pub(super) fn release(&mut self) {
        for track in &mut self.tracks {
            track.segments.clear();
            track.whole.clear();
        }
        self.listed = None;
        self.bytes = 0;
    }

    fn list(&mut self, number: u64) -> bool {
        if !self.tracks.iter().all(|track| track.whole.contains_key(&number)) {
            return false;
        }
        match &mut self.listed {
            Some((_, last)) if number == last.saturating_add(1) => *last = number,
            Some((_, last)) if number <= *last => return false,
            // The first, or the first after a hole: what lies before a hole cannot be listed with what lies after it.
            listed => *listed = Some((number, number)),
        }
        true
    }

    fn evict(&mut self) {
        if let Some((first, last)) = &mut self.listed {
            // Whole segments that lie inside the window stay listed; the newest always is.
            let length = self.segment_duration.to_duration().max(Duration::from_millis(1));
            let kept = self.window.as_nanos().div_ceil(length.as_nanos()).max(1);
            let kept = u64::try_from(kept).unwrap_or(u64::MAX);
            *first = (*first).max(last.saturating_add(1).saturating_sub(kept));
        }
        let newest = self.tracks.iter().map(|track| track.newest).max().unwrap_or(0);
        let bound = match self.listed {
            Some((first, last)) => {
                let stalled = newest.saturating_sub(MAX_UNLISTED);
                if stalled > last { stalled } else { first.saturating_sub(GRACE_SEGMENTS) }
            }
            None => newest.saturating_sub(MAX_UNLISTED),
        };
        for track in &mut self.tracks {
            while let Some(entry) = track.segments.first_entry().filter(|entry| *entry.key() < bound) {
                self.bytes = self.bytes.saturating_sub(entry.get().discard());
                track.whole.remove(entry.key());
                entry.remove();
            }
        }
        if self.listed.is_some_and(|(_, last)| last < bound) {
            self.listed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_SECONDS: i64 = 180_000;

    fn window(tracks: usize, seconds: u64) -> LiveWindow {
        let segment = MediaTime::new(TWO_SECONDS, Timescale::VIDEO);
        LiveWindow::new(vec![Timescale::VIDEO; tracks], Duration::from_secs(seconds), segment, 0)
    }

    fn whole(live: &mut LiveWindow, track: usize, number: u64) -> Change {
        live.push(track, SegmentNumber(number), vec![Bytes::from_static(&[0; 1000])]);
        let start = MediaTime::new(TWO_SECONDS * i64::try_from(number - 1).unwrap(), Timescale::VIDEO);
        let duration = MediaTime::new(TWO_SECONDS, Timescale::VIDEO);
        live.complete(track, SegmentNumber(number), start, duration, number)
    }

    fn numbers(live: &LiveWindow, track: usize) -> Vec<u64> {
        live.listed(track).iter().map(|segment| segment.number.0).collect()
    }

    #[test]
    fn a_segment_is_listed_once_it_is_whole_on_every_track() {
        let mut live = window(2, 60);
        live.push(0, SegmentNumber(1), vec![Bytes::from_static(b"x")]);
        assert!(numbers(&live, 0).is_empty());
        assert!(matches!(live.find(0, SegmentNumber(1)), Found::Here(_)));
        assert!(!whole(&mut live, 0, 1).listed);
        assert!(!whole(&mut live, 0, 2).listed);
        assert!(whole(&mut live, 1, 1).listed);
        assert_eq!((numbers(&live, 0), numbers(&live, 1)), (vec![1], vec![1]));
        assert_eq!(live.published_unix_millis(), 1);
    }

    #[test]
    fn memory_is_bounded_by_the_window_and_its_grace() {
        let mut live = window(2, 10);
        for number in 1..=100 {
            whole(&mut live, 0, number);
            whole(&mut live, 1, number);
        }
        assert_eq!(numbers(&live, 0), [96, 97, 98, 99, 100]);
        assert_eq!(numbers(&live, 1), [96, 97, 98, 99, 100]);
        assert_eq!(live.bytes(), 2 * 8 * 1000);
        assert!(matches!(live.find(1, SegmentNumber(93)), Found::Here(_)));
        assert!(matches!(live.find(1, SegmentNumber(92)), Found::Not));
        assert!(matches!(live.find(1, SegmentNumber(101)), Found::Soon));
        assert!(matches!(live.find(1, SegmentNumber(102)), Found::Not));
        assert!(matches!(live.find(2, SegmentNumber(100)), Found::Not));
    }

    #[test]
    fn a_track_that_stops_does_not_hold_memory_without_bound() {
        let mut live = window(2, 10);
        for number in 1..=5 {
            whole(&mut live, 0, number);
            whole(&mut live, 1, number);
        }
        for number in 6..=1000 {
            whole(&mut live, 0, number);
        }
        assert!(live.bytes() <= 32 * 1000, "{} bytes", live.bytes());
        assert!(numbers(&live, 0).is_empty());
        assert!(whole(&mut live, 1, 1000).listed);
        assert_eq!(numbers(&live, 0), [1000]);
    }

    #[test]
    fn a_hole_starts_the_list_anew() {
        let mut live = window(1, 60);
        for number in [1, 2, 4, 5] {
            whole(&mut live, 0, number);
        }
        assert_eq!(numbers(&live, 0), [4, 5]);
        assert!(whole(&mut live, 0, 3).late);
    }

    #[test]
    fn the_end_drops_what_is_not_whole() {
        let mut live = window(1, 60);
        whole(&mut live, 0, 1);
        live.push(0, SegmentNumber(2), vec![Bytes::from_static(b"half")]);
        live.end(77);
        assert_eq!((numbers(&live, 0), live.bytes(), live.published_unix_millis()), (vec![1], 1000, 77));
        assert!(matches!(live.find(0, SegmentNumber(2)), Found::Not));
        assert!(matches!(live.find(0, SegmentNumber(3)), Found::Not));
        assert!(live.push(0, SegmentNumber(2), vec![Bytes::from_static(b"x")]).late);
    }

    #[test]
    fn rates_come_from_the_segments() {
        let mut rates = BitRates::default();
        assert_eq!((rates.peak(5), rates.mean(5)), (5, 5));
        rates.add(1000, MediaTime::from_millis(1000));
        rates.add(3000, MediaTime::from_millis(1000));
        assert_eq!((rates.peak(5), rates.mean(5)), (24_000, 16_000));
    }
}
