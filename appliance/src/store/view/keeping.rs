//! Where a presentation is kept: from its beginning, or from when there is an archive.
//!
//! What began while the archive could not be used is taken in as soon as it can be ([`PresentationView::take_in`]): a row
//! with its true wall time, its initialization segments, and all that is in memory, under its numbers. From then on it is
//! as if it had begun with the archive, and what left memory before had never been kept.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use media::SegmentNumber;

use super::PresentationView;
use crate::store::archive::{Archive, Job, Key};
use crate::store::catalogue::PresentationRecord;
use crate::store::listing::Listing;
use crate::store::live::{Backlog, Reach};
use crate::store::metrics::Metrics;
use crate::store::opening::Open;
use crate::store::{kept, unpoisoned};

/// How long a number that is whole on every track waits for the archive before it is listed without. A healthy disk
/// takes milliseconds; a viewer's buffer is at least a segment, so this is what a bad one may cost.
const LISTING_WAIT: Duration = Duration::from_millis(400);

/// What a view needs of the store it is in.
pub(in crate::store) struct Keeping {
    pub(super) metrics: Metrics,
    /// With what lists where it does not answer. Set once, under the lock of the live window.
    archive: OnceLock<(Archive, Listing)>,
    /// How far back viewers may seek as long as there is none; none where there is one from the beginning.
    time_shift: Option<Duration>,
    held: Mutex<Option<HeldNote>>,
}

/// How to go on after the daemon died, which is not noted yet.
struct HeldNote {
    note: Vec<u8>,
    /// It is noted once the archive has this number and, in their order, those before; none as long as there is no archive.
    ///
    /// Viewers and caches may have all of that as what will never change, which it would if the archive lacked it and the
    /// next daemon made it anew. What is without a note becomes a recording.
    behind: Option<SegmentNumber>,
}

impl Keeping {
    /// In an archive, from the beginning.
    pub(in crate::store) fn kept(metrics: Metrics, archive: Archive, listing: Listing) -> Self {
        let archive = OnceLock::from((archive, listing));
        Self { metrics, archive, time_shift: None, held: Mutex::default() }
    }

    /// In none so far. `note` is how to go on, for when there is one.
    pub(in crate::store) fn not_yet(metrics: Metrics, time_shift: Duration, note: Vec<u8>) -> Self {
        let held = Mutex::new(Some(HeldNote { note, behind: None }));
        Self { metrics, archive: OnceLock::new(), time_shift: Some(time_shift), held }
    }

    pub(super) fn archive(&self) -> Option<&(Archive, Listing)> {
        self.archive.get()
    }

    pub(super) fn time_shift(&self, record: &PresentationRecord) -> Duration {
        let without = self.time_shift.filter(|_| self.archive().is_none());
        without.unwrap_or(record.window)
    }

    pub(super) fn reach(&self, record: &PresentationRecord) -> Reach {
        let segments = |reach| record.cadence.segments_in(reach);
        Reach {
            window: segments(self.time_shift(record)),
            memory: segments(record.memory),
            wait: self.archive().map(|_| LISTING_WAIT),
        }
    }

    /// The archive has this number.
    pub(super) fn note_what_is_held(&self, key: &Key, number: SegmentNumber) {
        let mut held = unpoisoned(&self.held);
        let is_due = |held: &mut HeldNote| held.behind.is_some_and(|behind| behind <= number);
        if let (Some((archive, _)), Some(HeldNote { note, .. })) = (self.archive(), held.take_if(is_due)) {
            archive.submit(key, Job::Resume(note));
        }
    }
}

impl PresentationView {
    /// Where it is kept; none without an archive.
    pub(in crate::store) fn archive(&self) -> Option<&Archive> {
        self.keeping.archive().map(|(archive, _)| archive)
    }

    /// See [`crate::store::Presentation::note_resume`].
    pub(in crate::store) fn note_resume(&self, resume: Vec<u8>) {
        let mut held = unpoisoned(&self.keeping.held);
        match (held.as_mut(), self.archive()) {
            (Some(held), _) => held.note = resume,
            (None, Some(archive)) => archive.submit(&self.key(), Job::Resume(resume)),
            (None, None) => {}
        }
    }

    /// There is an archive now: what is on air and not in one is from now on, with all of it that memory has.
    pub(in crate::store) fn take_in(&self, open: &Open) {
        let (key, Open { archive, listing, .. }) = (self.key(), open);
        let Some(this) = self.this.upgrade().filter(|_| open.has_room_for(&key)) else { return };
        {
            // What is completed later comes later.
            let mut live = self.lock();
            if live.closed() || self.keeping.archive.set((archive.clone(), listing.clone())).is_err() {
                return;
            }
            let Backlog { whole, newest } = live.protect(self.keeping.reach(&self.record));
            // The newest of what is too much.
            let whole = whole.get(whole.len().saturating_sub(archive.room())..).unwrap_or_default();
            if let Some((_, first)) = whole.first() {
                archive.begins_at(&key, first.number());
            }
            let mut held = unpoisoned(&self.keeping.held);
            held.iter_mut().for_each(|held| held.behind = Some(newest));
            let resume = held.take_if(|_| newest.0 == 0).map(|held| held.note).unwrap_or_default();
            archive.open_lane(&key, self.names.len(), None, kept(&this));
            archive
                .submit(&key, Job::Begin { record: self.record.clone(), inits: self.inits.clone(), resume });
            for (track, segment) in whole {
                if let Some(name) = self.names.get(*track).cloned() {
                    let job = Job::Segment { track: *track, name, segment: segment.clone() };
                    archive.submit(&key, job);
                }
            }
            let (first, segments) = (whole.first().map(|(_, first)| first.number().0), whole.len());
            tracing::info!(feed = %key.0, presentation = %key.1, first, segments, "what is on air is archived from now on");
        }
        self.progress.send_modify(|progress| progress.version += 1);
        self.tell(&super::Change::default());
    }
}
