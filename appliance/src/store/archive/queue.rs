//! What waits for the archive's thread, and what that says of the archive.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{ArchiveHealth, Job, Kept, Key};
use crate::store::catalogue::NewSegment;
use crate::store::name::TrackName;

/// Segments that may wait over all presentations. They hold no media of their own (see the module above), so this only
/// bounds the queue: 4096 are ten feeds of five tracks for nearly three minutes.
pub(super) const MAX_WAITING: usize = 4096;

/// A job that has waited this long for a disk is a disk in trouble: half of a short live window.
const BEHIND: Duration = Duration::from_secs(10);

/// What is to be done for one presentation.
pub(super) struct Lane {
    /// With when each was handed over.
    pub(super) jobs: VecDeque<(Instant, Job)>,
    pub(super) row: Option<i64>,
    pub(super) retry_at: Option<Instant>,
    /// Since when a thread has been at one of its jobs; meanwhile no other takes one.
    pub(super) busy_since: Option<Instant>,
    pub(super) problem: Option<String>,
    /// Whether something is listed that is not kept.
    pub(super) unprotected: bool,
    pub(super) tracks: usize,
    pub(super) kept: Kept,
    /// By number: what is on disk and waits for the number's other tracks to be noted together with them.
    pub(super) written: BTreeMap<u64, Vec<Written>>,
}

/// A segment that is on disk and not noted yet.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) track: TrackName,
    pub(super) new: NewSegment,
}

impl Lane {
    /// Whether there is a job in it that a thread may take.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        !self.jobs.is_empty() && self.busy_since.is_none() && self.retry_at.is_none_or(|at| at <= now)
    }

    pub(super) fn new(tracks: usize, row: Option<i64>, kept: Kept) -> Self {
        Self {
            jobs: VecDeque::new(),
            row,
            retry_at: None,
            busy_since: None,
            problem: None,
            unprotected: false,
            tracks,
            kept,
            written: BTreeMap::new(),
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) lanes: BTreeMap<Key, Lane>,
    pub(super) waiting: usize,
    pub(super) lost: u64,
    pub(super) full: bool,
    /// Threads that have not stopped.
    pub(super) running: usize,
    pub(super) retention_problem: Option<String>,
    pub(super) retention_due: bool,
    pub(super) stopping: Option<Instant>,
    pub(super) stopped: bool,
}

impl Queue {
    /// Whether all is done that can be done now: what failed waits for its next try.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.lanes.values().all(|lane| lane.busy_since.is_none() && !lane.is_ready(now))
    }

    /// Drops segments whose bytes have left memory, and says how many they were.
    pub(super) fn drop_what_is_gone(&mut self) -> u64 {
        let gone = |job: &Job| matches!(job, Job::Segment { segment, .. } if segment.whole_bytes().is_none());
        let mut dropped = 0_usize;
        for lane in self.lanes.values_mut() {
            let before = lane.jobs.len();
            lane.jobs.retain(|(_, job)| !gone(job));
            dropped += before - lane.jobs.len();
        }
        self.waiting = self.waiting.saturating_sub(dropped);
        u64::try_from(dropped).unwrap_or(u64::MAX)
    }
}

impl Queue {
    pub(super) fn health(&self, now: Instant) -> ArchiveHealth {
        let full = self.full.then(|| format!("archive: more than {MAX_WAITING} segments are waiting"));
        let problem = self.lanes.values().find_map(|lane| lane.problem.clone());
        let heads = self.lanes.values().filter_map(|lane| lane.jobs.front().map(|(since, _)| *since));
        let oldest = heads.chain(self.lanes.values().filter_map(|lane| lane.busy_since)).min();
        let behind =
            oldest.map(|since| now.saturating_duration_since(since)).filter(|behind| *behind > BEHIND);
        let behind = behind.map(|behind| format!("archive: the disk is {} s behind", behind.as_secs()));
        let unprotected = self.lanes.iter().find(|(_, lane)| lane.unprotected);
        let unprotected = unprotected
            .map(|((feed, _), _)| format!("archive: {feed} lists segments that are not on disk yet"));
        let retention = || self.retention_problem.clone();
        let degraded = problem.or(full).or(behind).or(unprotected).or_else(retention);
        ArchiveHealth { degraded, waiting: self.waiting, lost: self.lost }
    }
}

/// Whether the job that was at the head of the lane is no longer there.
pub(super) fn lane_took(queue: &Queue, key: &Key) -> bool {
    queue.lanes.get(key).is_none_or(|lane| lane.retry_at.is_none())
}

/// The head of the first lane after `last` that nobody is at and that is not waiting for its next try, so that lanes
/// take turns.
pub(super) fn take_next(
    queue: &mut Queue,
    last: Option<&Key>,
    now: Instant,
) -> Option<(Key, Instant, Job, Option<i64>)> {
    let after = |key: &Key| last.is_some_and(|last| key > last);
    let mut keys = queue.lanes.iter().filter(|(_, lane)| lane.is_ready(now)).map(|(key, _)| key);
    let first = keys.clone().next()?.clone();
    let key = keys.find(|key| after(key)).cloned().unwrap_or(first);
    let lane = queue.lanes.get_mut(&key)?;
    lane.retry_at = None;
    let (handed_over, job) = lane.jobs.pop_front()?;
    lane.busy_since = Some(now);
    Some((key, handed_over, job, lane.row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use media::{MediaTime, SegmentNumber};

    use super::*;
    use crate::clock;
    use crate::store::name::{FeedName, PresentationId};
    use crate::store::segment::Segment;

    const RETRY_AFTER: Duration = Duration::from_secs(1);

    fn key(feed: &str) -> Key {
        (FeedName::new(feed).unwrap(), PresentationId::new("1").unwrap())
    }

    fn hand_over(queue: &mut Queue, feed: &str, at: Instant) {
        let end = Job::End { ended_unix_millis: 0, settled: Box::new(|| ()) };
        let lane = || Lane::new(1, Some(1), Arc::new(|_| ()));
        queue.lanes.entry(key(feed)).or_insert_with(lane).jobs.push_back((at, end));
    }

    fn next(queue: &mut Queue, last: Option<&Key>, now: Instant) -> Option<Key> {
        let key = take_next(queue, last, now).map(|(key, ..)| key)?;
        queue.lanes.get_mut(&key)?.busy_since = None;
        Some(key)
    }

    #[test]
    fn lanes_take_turns_and_one_that_failed_waits() {
        let now = clock::now();
        let mut queue = Queue::default();
        for feed in ["a", "a", "b", "c"] {
            hand_over(&mut queue, feed, now);
        }
        assert_eq!(next(&mut queue, None, now), Some(key("a")));
        assert_eq!(next(&mut queue, Some(&key("a")), now), Some(key("b")));
        queue.lanes.get_mut(&key("c")).unwrap().retry_at = Some(now + RETRY_AFTER);
        assert_eq!(next(&mut queue, Some(&key("b")), now), Some(key("a")));
        assert_eq!(next(&mut queue, Some(&key("a")), now), None);
        assert_eq!(next(&mut queue, Some(&key("a")), now + RETRY_AFTER), Some(key("c")));
    }

    #[test]
    fn a_disk_that_hangs_is_told_of() {
        let now = clock::now();
        let mut queue = Queue::default();
        assert_eq!(queue.health(now), ArchiveHealth::default());
        hand_over(&mut queue, "a", now);
        assert_eq!(queue.health(now + BEHIND).degraded, None);
        let late = now + BEHIND + Duration::from_secs(1);
        assert_eq!(queue.health(late).degraded.as_deref(), Some("archive: the disk is 11 s behind"));
        // In the middle of a write that does not return.
        assert!(take_next(&mut queue, None, now).is_some());
        assert!(queue.health(late).degraded.is_some());
        hand_over(&mut queue, "a", now);
        assert!(take_next(&mut queue, None, now).is_none(), "somebody is at this lane");
    }

    #[test]
    fn what_has_left_memory_makes_room() {
        let now = clock::now();
        let mut queue = Queue::default();
        hand_over(&mut queue, "a", now);
        let segments: Vec<_> = (1..=5).map(|number| Arc::new(Segment::new(SegmentNumber(number)))).collect();
        for segment in &segments {
            segment.finish(MediaTime::ZERO, MediaTime::ZERO);
            let name = TrackName::new("audio").unwrap();
            let job = Job::Segment { track: 0, name, segment: segment.clone() };
            queue.lanes.get_mut(&key("a")).unwrap().jobs.push_back((now, job));
            queue.waiting += 1;
        }
        assert_eq!((queue.drop_what_is_gone(), queue.waiting), (0, 5));
        for segment in &segments[..2] {
            segment.discard();
        }
        assert_eq!((queue.drop_what_is_gone(), queue.waiting), (2, 3));
        assert_eq!(queue.lanes[&key("a")].jobs.len(), 1 + 3, "all else stays");
    }

    #[test]
    fn listing_without_the_archive_is_told_of() {
        let now = clock::now();
        let mut queue = Queue::default();
        hand_over(&mut queue, "a", now);
        let _ = take_next(&mut queue, None, now);
        queue.lanes.get_mut(&key("a")).unwrap().unprotected = true;
        let said = queue.health(now).degraded;
        assert_eq!(said.as_deref(), Some("archive: a lists segments that are not on disk yet"));
    }
}
