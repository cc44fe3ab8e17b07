//! The live window of one presentation: what is in memory and what of it is listed. Pure; `now` is an argument.
//!
//! With an archive a number that is whole on every track is listed once the archive has it on every track, so that
//! what was listed outlives the daemon. It waits for that for a bounded time; once a number is listed without it, the
//! numbers after it wait no more until the archive has caught up. Numbers are listed in their order.
//!
//! The list may reach back further than memory does: what is below is in the archive. What left memory without ever
//! getting there ends the list behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{MediaTime, SegmentNumber, Timescale};
use packager::cmaf::Chunk;
use packager::window::{LiveEdge, WindowSegment};

use super::segment::Segment;
use crate::clock::Now;

/// Segments kept below the oldest listed one, so that one which a manifest named a moment ago still answers: a
/// manifest is at most one segment old when the next is fetched, and its oldest segment is then still being read.
pub(super) const GRACE_SEGMENTS: u64 = 3;

/// Segments that may stand above the newest listed one before the oldest are given up. Tracks are written side by
/// side, so more than two can only mean that one of them has stopped; memory must stay bounded all the same.
const MAX_UNLISTED: u64 = 30;

/// Segments whose parts are shown at most; as many as [`LiveEdge`] keeps, or more.
const EDGE_SEGMENTS: u64 = 16;

/// Segments that memory holds at least, whatever it is bounded to: one is read, one is fetched, one is written.
const MIN_IN_MEMORY: u64 = 3;

/// Bit rates of one track over all its segments so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BitRates {
    peak: u64,
    bits: u128,
    nanos: u128,
}

impl BitRates {
    /// Over segments of so many bytes and such a length together, of which the highest is `peak` bits per second.
    pub(super) fn of(peak: u64, bytes: u64, duration: MediaTime) -> Self {
        Self { peak, bits: u128::from(bytes) * 8, nanos: duration.to_duration().as_nanos() }
    }

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
    /// Numbers listed that the archive does not have.
    pub(super) unprotected: u64,
    /// Whether the call came for a segment that no longer takes anything.
    pub(super) late: bool,
}

/// How far things reach, in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// What is listed.
    pub(super) window: u64,
    /// What of it is in memory; the rest is the archive's. Without an archive it is the window.
    pub(super) memory: u64,
    /// How long a number waits for the archive; none where there is no archive.
    pub(super) wait: Option<Duration>,
}

impl Reach {
    fn in_memory(self) -> u64 {
        match self.wait {
            Some(_) => self.memory.max(MIN_IN_MEMORY).min(self.window),
            None => self.window,
        }
    }
}

/// What there was when an archive came.
#[derive(Debug)]
pub(super) struct Backlog {
    /// All that is whole and in memory, with its track, by its number.
    pub(super) whole: Vec<(usize, Arc<Segment>)>,
    /// The newest number that anybody may have seen something of; zero before the first.
    pub(super) newest: SegmentNumber,
}

/// What an earlier run left of a track.
#[derive(Debug, Clone)]
pub(super) struct Past {
    /// Archived segments that are listed, oldest first; the same numbers on every track.
    pub(super) segments: Vec<WindowSegment>,
    /// Over all segments, also those no longer listed.
    pub(super) rates: BitRates,
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
    segment_duration: MediaTime,
    /// Numbers that are listed.
    window: u64,
    /// Numbers of those that memory holds.
    memory: u64,
    wait: Option<Duration>,
    /// First and last number listed; they are consecutive and whole on all tracks.
    listed: Option<(u64, u64)>,
    /// Numbers that are whole on all tracks and wait for the archive, with how long they do at most.
    pending: BTreeMap<u64, Instant>,
    /// Numbers in memory, listed or pending, that the archive does not have.
    unkept: BTreeSet<u64>,
    /// The first segment that is told of in parts: an earlier run may have told of parts of those before it, and they are
    /// lost.
    parts_from: SegmentNumber,
    published_unix_millis: u64,
    /// Nothing is taken any more.
    closed: bool,
    /// What was due when it was closed.
    due_at_end: u64,
    bytes: u64,
}

impl LiveWindow {
    pub(super) fn new(
        timescales: impl IntoIterator<Item = Timescale>,
        reach: Reach,
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
            segment_duration,
            window: reach.window,
            memory: reach.in_memory(),
            wait: reach.wait,
            listed: None,
            pending: BTreeMap::new(),
            unkept: BTreeSet::new(),
            parts_from: SegmentNumber(0),
            published_unix_millis: now_unix_millis,
            closed: false,
            due_at_end: 0,
            bytes: 0,
        }
    }

    /// Lists what an earlier run left. Nothing up to the last of it is taken again. `due` is the segment that the earlier
    /// run would have been writing by now: parts of all up to it, and of the one behind the last, it may have told of.
    pub(super) fn take_up(&mut self, past: Vec<Past>, due: SegmentNumber) {
        let last = past.iter().filter_map(|track| track.segments.last()).map(|segment| segment.number).max();
        self.parts_from = last.map_or(SegmentNumber::FIRST, SegmentNumber::next).max(due).next();
        let numbers = past.first().map(|track| {
            let number = |segment: Option<&WindowSegment>| segment.map(|segment| segment.number.0);
            (number(track.segments.first()), number(track.segments.last()))
        });
        let Some((Some(first), Some(last))) = numbers else { return };
        for (track, past) in self.tracks.iter_mut().zip(past) {
            track.newest = last;
            track.rates = past.rates;
            track.whole = past.segments.into_iter().map(|segment| (segment.number.0, segment)).collect();
        }
        self.listed = Some((first, last));
        self.evict();
    }

    /// There is an archive from now on, which has nothing yet: gives what it is to be told of first. What is listed stays
    /// so, unprotected until the archive has it, and the list grows to its new reach.
    pub(super) fn protect(&mut self, reach: Reach) -> Backlog {
        (self.window, self.memory, self.wait) = (reach.window, reach.in_memory(), reach.wait);
        let mut whole: BTreeMap<u64, Vec<(usize, Arc<Segment>)>> = BTreeMap::new();
        for (index, track) in self.tracks.iter().enumerate() {
            for (number, segment) in &track.segments {
                if track.whole.contains_key(number) {
                    whole.entry(*number).or_default().push((index, segment.clone()));
                }
            }
        }
        let on_every_track = whole.iter().filter(|(_, segments)| segments.len() == self.tracks.len());
        self.unkept = on_every_track.map(|(number, _)| *number).collect();
        let newest = self.tracks.iter().map(|track| track.newest).max().unwrap_or(0);
        Backlog { whole: whole.into_values().flatten().collect(), newest: SegmentNumber(newest) }
    }

    /// Appends to a segment, which it opens where it is new.
    pub(super) fn push(&mut self, track: usize, number: SegmentNumber, chunk: Chunk) -> Change {
        let late = Change { late: true, ..Change::default() };
        let oldest = self.listed.map_or(0, |(first, _)| first);
        let Some(state) = self.tracks.get_mut(track).filter(|_| !self.closed) else { return late };
        let gone = state.whole.contains_key(&number.0) && !state.segments.contains_key(&number.0);
        if number.0 == 0 || number.0 < state.newest || number.0 < oldest || gone {
            return late;
        }
        state.newest = number.0;
        let opened = !state.segments.contains_key(&number.0);
        let segment = state.segments.entry(number.0).or_insert_with(|| Arc::new(Segment::new(number)));
        let added = segment.append(chunk);
        self.bytes += added;
        self.evict();
        Change { late: added == 0, opened, ..Change::default() }
    }

    /// Drops what is there of a segment that is not whole, and of those after it; false where there is nothing of it.
    pub(super) fn restart(&mut self, track: usize, number: SegmentNumber) -> bool {
        let Some(state) = self.tracks.get_mut(track).filter(|_| !self.closed) else { return false };
        let dropped: Vec<u64> = state
            .segments
            .range(number.0..)
            .map(|(number, _)| *number)
            .filter(|number| !state.whole.contains_key(number))
            .collect();
        for number in &dropped {
            if let Some(segment) = state.segments.remove(number) {
                self.bytes = self.bytes.saturating_sub(segment.discard_if_open());
            }
        }
        if let Some(first) = dropped.first() {
            let whole = state.whole.last_key_value().map_or(0, |(number, _)| *number);
            state.newest = first.saturating_sub(1).max(whole);
        }
        !dropped.is_empty()
    }

    /// Says that a segment is whole, and lists its number if it now is on every track and need not wait.
    pub(super) fn complete(
        &mut self,
        track: usize,
        number: SegmentNumber,
        (start, duration): (MediaTime, MediaTime),
        now: Now,
    ) -> Change {
        let late = Change { late: true, ..Change::default() };
        let Some(state) = self.tracks.get_mut(track).filter(|_| !self.closed) else { return late };
        let Some(segment) = state.segments.get(&number.0).cloned() else { return late };
        let (start, duration) = (start.rescale(state.timescale), duration.rescale(state.timescale));
        if !segment.finish(start, duration) {
            return late;
        }
        let bytes = segment.bytes();
        state.whole.insert(number.0, WindowSegment { number, start, duration, bytes });
        state.rates.add(bytes, duration);
        let last = self.listed.map_or(0, |(_, last)| last);
        if number.0 > last && self.tracks.iter().all(|track| track.whole.contains_key(&number.0)) {
            if self.wait.is_some() {
                self.unkept.insert(number.0);
            }
            self.pending.insert(number.0, now.instant + self.wait.unwrap_or_default());
        }
        Change { completed: Some(segment), ..self.advance(now) }
    }

    /// Says that the archive has a number on every track.
    pub(super) fn kept(&mut self, number: SegmentNumber, now: Now) -> Change {
        self.unkept.remove(&number.0);
        self.advance(now)
    }

    /// Lists what need not wait, or has waited long enough.
    pub(super) fn advance(&mut self, now: Now) -> Change {
        let mut change = Change::default();
        while let Some((number, until)) = self.pending.first_key_value().map(|(n, until)| (*n, *until)) {
            let kept = !self.unkept.contains(&number);
            if !kept && !self.is_unprotected() && until > now.instant {
                break;
            }
            self.pending.pop_first();
            if self.list(number) {
                change.listed = true;
                change.unprotected += u64::from(!kept);
            }
        }
        if change.listed {
            self.published_unix_millis = now.unix_millis;
            self.evict();
        }
        change
    }

    /// When [`Self::advance`] would list the next number without the archive.
    pub(super) fn next_advance(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(_, until)| *until)
    }

    /// Whether something in memory is listed that the archive does not have.
    pub(super) fn is_unprotected(&self) -> bool {
        self.listed.is_some_and(|(_, last)| self.unkept.first().is_some_and(|number| *number <= last))
    }

    /// No more comes: what is not whole is dropped. It has ended once nothing waits to be listed. `due` as in
    /// [`Self::find`].
    pub(super) fn close(&mut self, now_unix_millis: u64, due: SegmentNumber) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.due_at_end = due.0;
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

    /// Where a segment is to be had. What is not there yet is so soon where it is the next to be written, or no later than
    /// `due`: the one that is due by the clock, where viewers reckon with that.
    pub(super) fn find(&self, track: usize, number: SegmentNumber, due: SegmentNumber) -> Found {
        let Some(state) = self.tracks.get(track) else { return Found::Not };
        if let Some(segment) = state.segments.get(&number.0) {
            return Found::Here(segment.clone());
        }
        let next = self.tracks.iter().map(|track| track.newest).max().unwrap_or(0).saturating_add(1);
        match !self.closed && number.0 > state.newest && number.0 <= next.max(due.0) {
            true => Found::Soon,
            false => Found::Not,
        }
    }

    /// The segment of a track that follows on the list: being written, or whole and waiting to be listed.
    pub(super) fn open(&self, track: usize) -> Option<Arc<Segment>> {
        let state = self.tracks.get(track)?;
        let next = self.listed.map_or(0, |(_, last)| last).saturating_add(1);
        match self.listed {
            Some(_) => state.segments.get(&next).cloned(),
            None => state.segments.first_key_value().map(|(_, segment)| segment.clone()),
        }
    }

    /// The parts at the live edge of a track, such that it follows on the list: a segment that is whole and not listed
    /// yet counts as being written.
    pub(super) fn edge(&self, track: usize) -> LiveEdge {
        let mut edge = LiveEdge::new(self.segment_duration.to_duration()).since(self.parts_from);
        let Some(state) = self.tracks.get(track) else { return edge };
        let near = |(first, last): (u64, u64)| first.max(last.saturating_sub(EDGE_SEGMENTS))..=last;
        for (number, segment) in self.listed.into_iter().flat_map(|listed| state.segments.range(near(listed)))
        {
            let number = SegmentNumber(*number);
            for chunk in segment.chunks() {
                edge.push(number, &chunk.into());
            }
            edge.complete(number);
        }
        if let Some(open) = self.open(track).filter(|_| !self.closed) {
            for chunk in open.chunks() {
                edge.push(open.number(), &chunk.into());
            }
        }
        edge
    }

    /// Whether parts of a segment may be lost that an earlier run told of. What is there of it now has none, for no name of
    /// a part to stand for two things.
    pub(super) fn lost_parts(&self, number: SegmentNumber) -> bool {
        number < self.parts_from
    }

    /// Says that all parts are lost: this run ends.
    pub(super) fn lose_parts(&mut self) {
        self.parts_from = SegmentNumber(u64::MAX);
    }

    /// Whether the archive does not have a segment on every track: after a power cut it may be made anew, of other bytes.
    pub(super) fn is_fleeting(&self, number: SegmentNumber) -> bool {
        let follows = self.listed.is_none_or(|(_, last)| number.0 > last);
        self.wait.is_some() && (follows || self.unkept.contains(&number.0))
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

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// By how many numbers one lies past the end of what has ended, and past what was due at that moment; none for what
    /// does not follow the end, or while more comes.
    pub(super) fn past_end(&self, number: SegmentNumber) -> Option<u64> {
        let last =
            self.tracks.iter().filter_map(|track| track.whole.last_key_value()).map(|(n, _)| *n).max()?;
        let follows = self.closed && number.0 > last;
        follows.then(|| number.0.saturating_sub(last.max(self.due_at_end)))
    }

    /// Whether the list will not grow any more.
    pub(super) fn ended(&self) -> bool {
        self.closed && self.pending.is_empty()
    }

    pub(super) fn published_unix_millis(&self) -> u64 {
        self.published_unix_millis
    }

    /// Bytes of media held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Numbers in memory, listed or pending, that the archive does not have.
    pub(super) fn unkept(&self) -> usize {
        self.unkept.len()
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
        self.pending.clear();
        self.unkept.clear();
        self.listed = None;
        self.bytes = 0;
    }

    fn list(&mut self, number: u64) -> bool {
        match &mut self.listed {
            Some((_, last)) if number == last.saturating_add(1) => *last = number,
            Some((_, last)) if number <= *last => return false,
            // The first, or the first after a hole: what lies before a hole cannot be listed with what lies after it.
            listed => *listed = Some((number, number)),
        }
        true
    }

    fn evict(&mut self) {
        // The first number that memory must hold.
        let mut held = None;
        if let Some((first, last)) = &mut self.listed {
            let after = last.saturating_add(1);
            *first = (*first).max(after.saturating_sub(self.window));
            let memory = (*first).max(after.saturating_sub(self.memory));
            if let Some(lost) = self.unkept.range(..memory).next_back() {
                *first = (*first).max(lost.saturating_add(1));
            }
            held = Some((memory, *last));
        }
        let newest = self.tracks.iter().map(|track| track.newest).max().unwrap_or(0);
        let stalled = newest.saturating_sub(MAX_UNLISTED);
        let bound = match held {
            Some((memory, last)) if stalled <= last => memory.saturating_sub(GRACE_SEGMENTS),
            _ => stalled,
        };
        let listed = self.listed.map_or(bound, |(first, _)| bound.min(first.saturating_sub(GRACE_SEGMENTS)));
        for track in &mut self.tracks {
            while let Some(entry) = track.segments.first_entry().filter(|entry| *entry.key() < bound) {
                self.bytes = self.bytes.saturating_sub(entry.get().discard());
                entry.remove();
            }
            while let Some(entry) = track.whole.first_entry().filter(|entry| *entry.key() < listed) {
                entry.remove();
            }
        }
        self.pending.retain(|number, _| *number >= bound);
        let lost = self.unkept.range(..bound).next_back().copied();
        self.unkept.retain(|number| *number >= bound);
        let without_archive = if self.wait.is_none() { bound.checked_sub(1) } else { None };
        if let (Some((first, last)), Some(lost)) = (&mut self.listed, lost.max(without_archive)) {
            *first = (*first).max(lost.saturating_add(1));
            if *first > *last {
                self.listed = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
