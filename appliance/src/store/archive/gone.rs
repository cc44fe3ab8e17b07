//! What was kept once and is no longer, so that nobody has to wait for a disk to hear so.

use std::collections::BTreeMap;
use std::sync::Mutex;

use media::{MediaTime, SegmentNumber, Timescale};

use super::Key;
use crate::store::catalogue::Listed;
use crate::store::unpoisoned;

/// Of each presentation that has lost its beginning, or all of it: the first number that may still be kept.
#[derive(Debug, Default)]
pub(in crate::store) struct Gone {
    before: Mutex<BTreeMap<Key, SegmentNumber>>,
}

impl Gone {
    /// Of what the catalogue has.
    pub(in crate::store) fn of(listed: &[Listed]) -> Self {
        let shortened = listed.iter().filter(|listed| !listed.start.is_zero());
        let before = shortened.map(|listed| {
            let record = &listed.record;
            // It is noted in whole milliseconds, so this may be the one before.
            let start = record.cadence.frame_at(MediaTime::from_duration(listed.start, Timescale::VIDEO));
            ((record.feed.clone(), record.id.clone()), record.cadence.segment_of(start))
        });
        Self { before: Mutex::new(before.collect()) }
    }

    /// Nothing before `first` is kept any more.
    pub(super) fn all_before(&self, key: Key, first: SegmentNumber) {
        unpoisoned(&self.before).insert(key, first);
    }

    /// Nothing is.
    pub(super) fn all(&self, key: Key) {
        self.all_before(key, SegmentNumber(u64::MAX));
    }

    /// Whether a number is known not to be kept any more; without one, whether nothing is.
    pub(super) fn has(&self, key: &Key, number: Option<SegmentNumber>) -> bool {
        let before = unpoisoned(&self.before).get(key).copied();
        before.is_some_and(|before| number.map_or(before.0 == u64::MAX, |number| number < before))
    }
}
