//! Presentations that an earlier run left without an end: it was killed, or lost its power.

use std::time::Duration;

use media::{Cadence, MediaTime, SegmentNumber};
use packager::window::WindowTrackKind;
use tracing::{error, info};

use super::catalogue::Listed;
use super::live::Past;
use super::name::{FeedName, PresentationId, TrackName};
use super::opening::Open;
use super::view::{Keeping, PresentationView};
use super::{NewTrack, Presentation, Store, StoreError, kept, unpoisoned};
use crate::telemetry::chain;

/// A presentation that an earlier run left without an end. Its live URL answers as if it went on, with what was kept.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// Whose it is.
    pub feed: FeedName,
    /// Its id, which it keeps.
    pub id: PresentationId,
    /// What people call it.
    pub title: String,
    /// Wall time of presentation time zero, in milliseconds since 1970; it keeps that too.
    pub availability_start_unix_millis: u64,
    /// Its grid.
    pub cadence: Cadence,
    /// How far back viewers may seek.
    pub window: Duration,
    /// How much of that is kept in memory.
    pub memory: Duration,
    /// How far behind real time viewers are meant to be, in low latency; none for the standard.
    pub target_latency: Option<Duration>,
    /// What the feed noted last; see [`super::NewPresentation::resume`].
    pub resume: Vec<u8>,
    /// Its tracks, in the order in which they were begun.
    pub tracks: Vec<InterruptedTrack>,
    /// What is to be written next: all numbers that were kept on every track lie below, and nothing is kept above.
    pub next_segment: SegmentNumber,
    /// Where the last segment of the first track ends: where the next one begins.
    pub last_end: MediaTime,
}

/// A track of an [`Interrupted`] presentation.
#[derive(Debug, Clone)]
pub struct InterruptedTrack {
    /// As it was begun.
    pub track: NewTrack,
    /// Where its last segment ends, in its own timescale; of sound that is near [`Interrupted::last_end`], not at it.
    pub end: MediaTime,
}

impl Interrupted {
    /// Wall time of the end of what was kept, in milliseconds since 1970.
    #[must_use]
    pub fn last_end_unix_millis(&self) -> u64 {
        let end = u64::try_from(self.last_end.to_duration().as_millis()).unwrap_or(u64::MAX);
        self.availability_start_unix_millis.saturating_add(end)
    }
}

impl Store {
    /// The interrupted presentation of a feed; none once it is gone on with, ended, or replaced by a new one.
    #[must_use]
    pub fn interrupted(&self, feed: &str) -> Option<Interrupted> {
        unpoisoned(&self.shared.interrupted).get(&FeedName::new(feed).ok()?).cloned()
    }

    /// The interrupted presentations of all feeds, also of those that the configuration no longer names.
    #[must_use]
    pub fn all_interrupted(&self) -> Vec<Interrupted> {
        unpoisoned(&self.shared.interrupted).values().cloned().collect()
    }

    /// Goes on with an interrupted presentation, from [`Interrupted::next_segment`] on.
    ///
    /// # Errors
    ///
    /// Where it is not interrupted any more.
    pub fn resume(&self, interrupted: Interrupted) -> Result<Presentation, StoreError> {
        let Interrupted { feed, id, next_segment, .. } = interrupted;
        let view = self.decide(&feed, &id)?;
        info!(%feed, presentation = %id, %next_segment, "presentation goes on");
        Ok(Presentation::new(view, self.clone()))
    }

    /// Ends the interrupted presentation of a feed, which is from then on a recording; false where there is none.
    pub fn close_interrupted(&self, feed: &str, ended_unix_millis: u64) -> bool {
        let Some(interrupted) = self.interrupted(feed) else { return false };
        let Interrupted { feed, id, .. } = interrupted;
        let Ok(view) = self.decide(&feed, &id) else { return false };
        info!(%feed, presentation = %id, "interrupted presentation ends");
        self.shared.end(&view, ended_unix_millis);
        true
    }

    fn decide(
        &self,
        feed: &FeedName,
        id: &PresentationId,
    ) -> Result<std::sync::Arc<PresentationView>, StoreError> {
        let not = || StoreError::NotInterrupted { feed: feed.clone(), id: id.clone() };
        let mut interrupted = unpoisoned(&self.shared.interrupted);
        interrupted.get(feed).filter(|interrupted| interrupted.id == *id).ok_or_else(not)?;
        let view = self.current().get(feed).filter(|view| view.id() == id).cloned().ok_or_else(not)?;
        interrupted.remove(feed);
        Ok(view)
    }

    /// Puts what an earlier run left back on the live URLs. What cannot be read is left as it is, for the next start.
    pub(super) fn take_up(&self, open: &Open, left: &[Listed]) {
        for listed in left {
            if let Err(error) = self.take_up_one(open, listed) {
                let record = &listed.record;
                error!(feed = %record.feed, presentation = %record.id, error = %chain(&error),
                    "what was on air cannot be gone on with");
            }
        }
    }

    fn take_up_one(&self, open: &Open, listed: &Listed) -> Result<(), StoreError> {
        let Open { archive, listing, replays, .. } = open;
        let record = &listed.record;
        let past = replays.past(listed)?;
        let resume = replays.resume(listed.row)?;
        let names = record.tracks.iter().map(|track| TrackName::new(&track.name));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let mut inits = Vec::with_capacity(names.len());
        for name in &names {
            let read = replays.read_init(record, name);
            inits.push(read.map_err(|source| StoreError::Read { source })?);
        }
        let interrupted = interrupted(listed, &past, &inits, resume);
        let published = listed.last_end_unix_millis();
        let keeping = Keeping::kept(self.shared.metrics.clone(), archive.clone(), listing.clone());
        let view = PresentationView::new(record.clone(), names, inits, keeping, published);
        view.take_up(past);
        archive.open_lane(&view.key(), record.tracks.len(), Some(listed.row), kept(&view));
        info!(feed = %record.feed, presentation = %record.id, next = %interrupted.next_segment,
            "presentation was interrupted");
        unpoisoned(&self.shared.interrupted).insert(record.feed.clone(), interrupted);
        self.current().insert(record.feed.clone(), view);
        Ok(())
    }
}

fn interrupted(listed: &Listed, past: &[Past], inits: &[bytes::Bytes], resume: Vec<u8>) -> Interrupted {
    let record = &listed.record;
    let end = |past: &Past| past.segments.last().map(|last| last.start.plus(last.duration));
    let tracks = record.tracks.iter().zip(past).zip(inits).map(|((track, past), init)| InterruptedTrack {
        track: NewTrack {
            name: track.name.clone(),
            kind: WindowTrackKind::from(&track.kind),
            codecs: track.codecs.clone(),
            timescale: track.timescale,
            init: init.clone(),
            nominal_bit_rate: track.nominal_bit_rate,
        },
        end: end(past).unwrap_or(MediaTime::new(0, track.timescale)),
    });
    let last = past.first().and_then(|past| past.segments.last());
    Interrupted {
        feed: record.feed.clone(),
        id: record.id.clone(),
        title: record.title.clone(),
        availability_start_unix_millis: record.availability_start_unix_millis,
        cadence: record.cadence,
        window: record.window,
        memory: record.memory,
        target_latency: record.target_latency,
        resume,
        next_segment: last.map_or(SegmentNumber::FIRST, |last| last.number.next()),
        last_end: past.first().and_then(end).unwrap_or(MediaTime::ZERO),
        tracks: tracks.collect(),
    }
}
