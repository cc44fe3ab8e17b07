//! The writer of a presentation.

use std::sync::Arc;

use media::{MediaTime, SegmentNumber};
use packager::cmaf::Chunk;

use super::view::PresentationView;
use super::{Store, unpoisoned};
use crate::clock;

/// The writer of one presentation. Dropped, it ends it.
#[derive(Debug)]
pub struct Presentation {
    view: Arc<PresentationView>,
    store: Store,
    suspended: bool,
}

impl Presentation {
    pub(super) const fn new(view: Arc<PresentationView>, store: Store) -> Self {
        Self { view, store, suspended: false }
    }

    /// What viewers see of it.
    #[must_use]
    pub fn view(&self) -> &Arc<PresentationView> {
        &self.view
    }

    /// Appends a chunk to a segment, which it opens where it is new. Numbers of a track only grow; a chunk for a
    /// segment that is whole or gone is dropped and counted.
    pub fn push(&self, track: usize, segment: SegmentNumber, chunk: Chunk) {
        self.view.push(track, segment, chunk);
    }

    /// Drops what was pushed of a segment that is not whole, and of any after it on its track, for a new worker to
    /// write it anew. Whoever is reading it is told that it is not all ([`super::Discarded`]), and never gets bytes of
    /// both. False where there was nothing to drop, also where the segment is whole.
    pub fn restart(&self, track: usize, segment: SegmentNumber) -> bool {
        self.view.restart(track, segment)
    }

    /// Says that a segment is whole. Its number is listed once it is whole on every track and the archive has it on
    /// every track, or after a bounded wait for that.
    pub fn complete(&self, track: usize, segment: SegmentNumber, start: MediaTime, duration: MediaTime) {
        self.view.complete(track, segment, (start, duration));
    }

    /// Replaces what the feed gets to know when it goes on with this presentation after the daemon died. Noted behind
    /// what was completed before; without an archive once there is one.
    pub fn note_resume(&self, resume: Vec<u8>) {
        self.view.note_resume(resume);
    }

    /// Leaves it without an end, for the next daemon to find interrupted: what is not whole is dropped, what is whole is
    /// still listed and archived. Without an archive there would be nothing to find, and it ends.
    pub fn suspend(mut self) {
        if self.view.archive().is_none() {
            return;
        }
        self.suspended = true;
        self.view.discard_open();
        unpoisoned(&self.store.shared.suspended).insert(self.view.feed().clone());
    }

    /// Ends it: a segment that is not whole is dropped, the manifest turns static in place.
    pub fn end(self, now_unix_millis: u64) {
        self.store.shared.end(&self.view, now_unix_millis);
    }
}

impl Drop for Presentation {
    fn drop(&mut self) {
        if self.suspended {
            return;
        }
        self.store.shared.end(&self.view, clock::unix_millis());
    }
}
