//! What a decoder needs to go on: the last coded pictures, from a key frame on, with their configuration record.
//!
//! A worker that takes over from a dead one, or a source that takes over from another, starts in the middle of a group
//! of pictures, where nothing can be decoded. The buffer keeps what came since the last key frame that is shown at or
//! before the time up to which everything is out, so that a decoder can be brought there.
//!
//! Calling contract:
//! 1. [`GopBuffer::configuration`] and [`GopBuffer::push`] in the order of arrival, after the timeline has placed the
//!    unit.
//! 2. [`GopBuffer::release_before`] as output comes out; without it only the bounds let anything go.
//! 3. [`GopBuffer::replay_from`] for a new decoder. It repeats pictures that are out already: drop what is decoded for
//!    a time before the first that is missing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::{AccessUnit, MediaTime, VideoCodec};

/// What an item costs besides its payload, so that empty payloads cost something too.
const ITEM_OVERHEAD: usize = size_of::<Item>();

/// How a stream's units are to be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The coding format.
    pub codec: VideoCodec,
    /// Its configuration record, as it came.
    pub record: Bytes,
}

/// One thing to tell a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// What holds for the units after it.
    Configuration(Configuration),
    /// A coded picture.
    Unit(AccessUnit),
}

impl Item {
    fn cost(&self) -> usize {
        let payload = match self {
            Self::Configuration(configuration) => configuration.record.len(),
            Self::Unit(unit) => unit.payload.len(),
        };
        payload.saturating_add(ITEM_OVERHEAD)
    }

    const fn is_key(&self) -> bool {
        matches!(self, Self::Unit(AccessUnit { key: true, .. }))
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GopBounds {
    /// Most bytes, of payloads and records and what it takes to list them. The record in force comes on top.
    pub bytes: usize,
    /// Longest time from the first unit's decoding to the last's.
    pub duration: Duration,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Yes,
    /// It is kept, and so many groups before it went, because the buffer was over a bound.
    Dropping(u64),
    /// It alone, or the group it belongs to, is over a bound: the buffer is empty until the next key frame.
    Emptied,
    /// It is not kept, since the key frame it builds on is not there.
    NoKeyFrame,
}

/// Running totals of a [`GopBuffer`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GopCounters {
    /// Groups that went because the buffer was over a bound.
    pub groups_dropped: u64,
    /// Times the buffer emptied because one group was over a bound.
    pub emptied: u64,
    /// Units not kept for want of a key frame.
    pub without_key_frame: u64,
}

/// Keeps coded pictures from a key frame on. See the module's contract.
#[derive(Debug, Clone)]
pub struct GopBuffer {
    bounds: GopBounds,
    /// What held before the first item.
    before: Option<Configuration>,
    /// Configurations and units. The first is a key frame: what comes before one is not kept, or is in `before`.
    items: VecDeque<Item>,
    bytes: usize,
    counters: GopCounters,
}

impl GopBuffer {
    /// An empty buffer.
    #[must_use]
    pub const fn new(bounds: GopBounds) -> Self {
        let counters = GopCounters { groups_dropped: 0, emptied: 0, without_key_frame: 0 };
        Self { bounds, before: None, items: VecDeque::new(), bytes: 0, counters }
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> GopCounters {
        self.counters
    }

    /// Bytes kept, as [`GopBounds::bytes`] counts them.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Time from the first unit's decoding to the last's.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let mut units = self.items.iter().filter_map(|item| match item {
            Item::Unit(unit) => Some(unit.dts),
            Item::Configuration(_) => None,
        });
        let first = units.next();
        let last = units.next_back().or(first);
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last.minus(first).to_duration())
    }

    /// Whether there is no unit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The configuration in force for the next unit.
    #[must_use]
    pub fn in_force(&self) -> Option<&Configuration> {
        let last = self.items.iter().rev().find_map(|item| match item {
            Item::Configuration(configuration) => Some(configuration),
            Item::Unit(_) => None,
        });
        last.or(self.before.as_ref())
    }

    /// A configuration record came; it holds for the units after it. The same again is nothing new.
    pub fn configuration(&mut self, codec: VideoCodec, record: Bytes) {
        let configuration = Configuration { codec, record };
        if self.in_force() == Some(&configuration) {
            return;
        }
        // One that no unit came under is of no use, and must not add up.
        if let Some(Item::Configuration(_)) = self.items.back() {
            self.pop_back();
            if self.in_force() == Some(&configuration) {
                return;
            }
        }
        if self.items.is_empty() {
            self.before = Some(configuration);
        } else {
            self.push_back(Item::Configuration(configuration));
        }
        self.keep_bounds();
    }

    /// A unit came.
    pub fn push(&mut self, unit: AccessUnit) -> Kept {
        if self.items.is_empty() && !unit.key {
            self.counters.without_key_frame += 1;
            return Kept::NoKeyFrame;
        }
        self.push_back(Item::Unit(unit));
        self.keep_bounds()
    }

    /// Everything before `time` is out: lets go of what no decoder needs any more, which is what came before the last
    /// key frame that is shown at or before `time`.
    pub fn release_before(&mut self, time: MediaTime) {
        if let Some(index) = self.key_frame_at(time) {
            self.drop_front(index);
        }
    }

    /// Lets go of everything, and forgets the configuration: the next source is another one.
    pub fn clear(&mut self) {
        self.items.clear();
        self.before = None;
        self.bytes = 0;
    }

    /// When the key frame is shown that [`Self::replay_from`] starts with; none where the buffer is empty. After `time`
    /// where nothing earlier is left.
    #[must_use]
    pub fn replay_start(&self, time: MediaTime) -> Option<MediaTime> {
        match self.items.get(self.replay_index(time)?)? {
            Item::Unit(unit) => Some(unit.pts),
            Item::Configuration(_) => None,
        }
    }

    /// What a new decoder is to be told so that it can show pictures from `time` on: the configuration in force, the last
    /// key frame that is shown at or before `time` (the first there is, where all are later), and all that came after.
    /// Where there is no unit, the configuration alone. Payloads are shared, not copied.
    pub fn replay_from(&self, time: MediaTime) -> impl Iterator<Item = Item> + '_ {
        let index = self.replay_index(time).unwrap_or(0);
        let before = self.items.range(..index).rev().find_map(|item| match item {
            Item::Configuration(configuration) => Some(configuration),
            Item::Unit(_) => None,
        });
        let configuration = before.or(self.before.as_ref()).cloned().map(Item::Configuration);
        configuration.into_iter().chain(self.items.range(index..).cloned())
    }

    fn replay_index(&self, time: MediaTime) -> Option<usize> {
        self.key_frame_at(time).or_else(|| self.items.iter().position(Item::is_key))
    }

    /// The last key frame that is shown at or before `time`. Pictures shown after it never need what came before it:
    /// those that lead a key frame are shown before it.
    fn key_frame_at(&self, time: MediaTime) -> Option<usize> {
        self.items.iter().rposition(|item| matches!(item, Item::Unit(unit) if unit.key && unit.pts <= time))
    }

    fn keep_bounds(&mut self) -> Kept {
        let mut dropped = 0;
        while self.bytes > self.bounds.bytes || self.duration() > self.bounds.duration {
            let next_group = self.items.iter().enumerate().skip(1).find(|(_, item)| item.is_key());
            match next_group {
                Some((index, _)) => {
                    self.drop_front(index);
                    self.counters.groups_dropped += 1;
                    dropped += 1;
                }
                None => {
                    self.drop_front(self.items.len());
                    self.counters.emptied += 1;
                    return Kept::Emptied;
                }
            }
        }
        if dropped > 0 { Kept::Dropping(dropped) } else { Kept::Yes }
    }

    /// Drops the first `count` items. What is first then is a key frame, or nothing.
    fn drop_front(&mut self, count: usize) {
        for item in self.items.drain(..count) {
            self.bytes -= item.cost();
            if let Item::Configuration(configuration) = item {
                self.before = Some(configuration);
            }
        }
    }

    fn push_back(&mut self, item: Item) {
        self.bytes = self.bytes.saturating_add(item.cost());
        self.items.push_back(item);
    }

    fn pop_back(&mut self) {
        if let Some(item) = self.items.pop_back() {
            self.bytes -= item.cost();
        }
    }
}

#[cfg(test)]
mod tests;
