//! The archive's threads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use packager::window::WindowSegment;
use tracing::{debug, info, warn};

use super::backend::{ArchiveBackend, ObjectName, Part};
use super::queue::{MAX_WAITING, Written, lane_took, take_next};
use super::retention::{self, Retention};
use super::{ArchiveError, Job, Key, Shared, recovery};
use crate::clock;
use crate::store::catalogue::{Catalogue, Listed, NewSegment, PresentationRecord};
use crate::store::name::TrackName;
use crate::store::segment::Segment;
use crate::telemetry::chain;
use media::SegmentNumber;

/// Between two tries of a job that failed. Short against the window, long against a disk that is in trouble.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Between two looks whether all that came before a beginning is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Between two looks at what is too old or too much.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// One of the archive's threads.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) backend: Arc<dyn ArchiveBackend>,
    pub(super) catalogue: Arc<Mutex<Catalogue>>,
}

/// What one of the threads does while no presentation wants anything.
pub(super) struct Housekeeping {
    retention: Retention,
    retention_at: Instant,
    /// Recordings of earlier runs whose files are still to be looked at.
    unchecked: VecDeque<Listed>,
}

impl Housekeeping {
    pub(super) fn new(retention: Retention, unchecked: Vec<Listed>) -> Self {
        Self { retention, retention_at: clock::now(), unchecked: unchecked.into() }
    }
}

/// What a job that was done leaves to do.
enum Done {
    Begun(i64),
    /// This number is kept on every track.
    Kept(SegmentNumber),
    /// Its segment left memory before it was written.
    Lost,
    Ended,
    Nothing,
}

impl Writer {
    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn run(self, mut housekeeping: Option<Housekeeping>) {
        let mut last: Option<Key> = None;
        loop {
            let now = clock::now();
            let mut queue = self.shared.lock();
            let overdue = queue.stopping.is_some_and(|deadline| now >= deadline);
            if overdue {
                drop(queue);
                return self.stopped();
            }
            if let Some((key, handed_over, job, row)) = take_next(&mut queue, last.as_ref(), now) {
                drop(queue);
                self.work(&key, handed_over, job, row);
                last = Some(key);
                continue;
            }
            let idle = queue.lanes.values().all(|lane| lane.jobs.is_empty());
            if queue.stopping.is_some() && idle {
                drop(queue);
                return self.stopped();
            }
            let mut wake = now + RETENTION_EVERY;
            if let Some(keeper) = &mut housekeeping {
                let due = queue.retention_due && queue.is_quiet(now);
                if due || now >= keeper.retention_at {
                    queue.retention_due = false;
                    drop(queue);
                    let more = self.retain(&keeper.retention);
                    keeper.retention_at = now + if more { Duration::ZERO } else { RETENTION_EVERY };
                    continue;
                }
                if let Some(recording) = keeper.unchecked.pop_front() {
                    drop(queue);
                    let checked = recovery::check(self.backend.as_ref(), &self.catalogue, &recording);
                    if let Err(error) = checked {
                        warn!(error = %chain(&error), "a recording cannot be looked at");
                    }
                    continue;
                }
                wake = keeper.retention_at;
                if queue.retention_due {
                    wake = wake.min(now + LOOK_AGAIN);
                }
            }
            let retries = queue.lanes.values().filter_map(|lane| lane.retry_at).chain(queue.stopping);
            let wake = retries.min().map_or(wake, |retry| retry.min(wake));
            let pause = wake.saturating_duration_since(now).max(Duration::from_millis(1));
            drop(self.shared.changed.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn stopped(self) {
        let mut queue = self.shared.lock();
        queue.running -= 1;
        if queue.running > 0 {
            return;
        }
        // Whoever waits for the end may open the store again at once. Closing the file would not do: a process that is
        // being spawned at this moment may hold it too until it executes.
        let lock = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = lock.map(|lock| lock.unlock()) {
            warn!(%error, "catalogue cannot be unlocked");
        }
        queue.stopped = true;
        if queue.waiting > 0 {
            warn!(segments = queue.waiting, "archive stops before it has written everything");
        }
        queue.lanes.clear();
        self.shared.changed.notify_all();
    }

    /// Does one job, and puts it back where it fails.
    fn work(&self, key: &Key, handed_over: Instant, job: Job, row: Option<i64>) {
        let counted = matches!(job, Job::Segment { .. });
        // `Begin` is always first in its lane and stays there until it succeeds, so the others find a row.
        let done = match (&job, row) {
            (Job::Begin { record, inits, resume }, _) => self.begin(record, inits, resume).map(Done::Begun),
            (Job::Segment { track, name, segment }, Some(row)) => {
                self.segment(key, row, *track, name, segment)
            }
            (Job::Resume(resume), Some(row)) => {
                self.catalogue().set_resume(row, resume).map(|()| Done::Nothing).map_err(Into::into)
            }
            (Job::End { ended_unix_millis, .. }, Some(row)) => self.end(key, row, *ended_unix_millis),
            (Job::Segment { .. } | Job::Resume(_) | Job::End { .. }, None) => Ok(Done::Nothing),
        };
        let mut queue = self.shared.lock();
        let Some(lane) = queue.lanes.get_mut(key) else { return };
        let failed = done.is_err();
        let mut tell: Option<Box<dyn FnOnce() + Send>> = None;
        match done {
            Ok(done) => {
                lane.retry_at = None;
                // Giving a segment up says nothing of the disk.
                if !matches!(done, Done::Lost) && lane.problem.take().is_some() {
                    info!(feed = %key.0, presentation = %key.1, "archive writes again");
                }
                match (done, job) {
                    (Done::Begun(row), _) => lane.row = Some(row),
                    (Done::Kept(number), _) => {
                        let kept = lane.kept.clone();
                        tell = Some(Box::new(move || kept(number)));
                    }
                    (Done::Ended, Job::End { settled, .. }) => {
                        queue.lanes.remove(key);
                        tell = Some(settled);
                    }
                    (Done::Lost | Done::Ended | Done::Nothing, _) => {}
                }
            }
            Err(error) => {
                self.shared.metrics.archive_failures.with_label_values(&[error.step()]).inc();
                if lane.problem.is_none() {
                    warn!(feed = %key.0, presentation = %key.1, error = %chain(&error), "archive is degraded");
                }
                lane.problem = Some(chain(&error));
                lane.retry_at = Some(clock::now() + RETRY_AFTER);
                lane.jobs.push_front((handed_over, job));
            }
        }
        if counted && lane_took(&queue, key) {
            queue.waiting = queue.waiting.saturating_sub(1);
            queue.full &= queue.waiting >= MAX_WAITING / 2;
        }
        drop(queue);
        if let Some(tell) = tell {
            tell();
        }
        // Only now, for what a lane tells to come in its order.
        let mut queue = self.shared.lock();
        if let Some(lane) = queue.lanes.get_mut(key) {
            lane.busy_since = None;
        }
        self.shared.show(&queue);
        let ready = queue.lanes.values().filter(|lane| lane.is_ready(clock::now()));
        if failed {
            // Each thread waits for the next try; which of them is free then is not known.
            self.shared.changed.notify_all();
        } else if ready.count() > 1 || queue.stopping.is_some() {
            // One is for this thread, and what waits in this lane may have become another's.
            self.shared.call(&queue);
        }
    }

    fn begin(
        &self,
        record: &PresentationRecord,
        inits: &[Bytes],
        resume: &[u8],
    ) -> Result<i64, ArchiveError> {
        for (track, init) in record.tracks.iter().zip(inits) {
            let object = ObjectName {
                feed: record.feed.clone(),
                presentation: record.id.clone(),
                track: TrackName::new(&track.name)?,
                part: Part::Init,
            };
            self.put(&object, std::slice::from_ref(init))?;
        }
        Ok(self.catalogue().begin(record, resume)?)
    }

    fn segment(
        &self,
        key: &Key,
        row: i64,
        track: usize,
        name: &TrackName,
        segment: &Segment,
    ) -> Result<Done, ArchiveError> {
        let number = segment.number();
        let Some(whole) = segment.complete() else {
            debug!(feed = %key.0, presentation = %key.1, %number, "segment left memory before it was archived");
            self.shared.lose(&mut self.shared.lock(), 1);
            return Ok(Done::Lost);
        };
        let part = Part::Segment(number);
        let object =
            ObjectName { feed: key.0.clone(), presentation: key.1.clone(), track: name.clone(), part };
        self.put(&object, &whole.parts)?;
        let noted =
            WindowSegment { number, start: whole.start, duration: whole.duration, bytes: whole.bytes };
        let new = NewSegment { row, track, segment: noted, crc32: checksum(&whole.parts) };
        let written = Written { track: name.clone(), new };
        let Some((rows, stale)) = self.note_written(key, written) else { return Ok(Done::Nothing) };
        self.catalogue().add(&rows)?;
        self.forget_written(key, number);
        for stale in &stale {
            self.remove_unnoted(key, stale);
        }
        let bytes = rows.iter().map(|row| row.segment.bytes).sum();
        self.shared.metrics.archive_writes.inc_by(u64::try_from(rows.len()).unwrap_or(0));
        self.shared.metrics.archive_bytes_written.inc_by(bytes);
        Ok(Done::Kept(number))
    }

    /// Adds to what is on disk of a number. Once that is every track: what is to be noted, and what is on disk of
    /// numbers before it, which will never be whole since a track's numbers only grow.
    fn note_written(&self, key: &Key, written: Written) -> Option<(Vec<NewSegment>, Vec<Written>)> {
        let number = written.new.segment.number.0;
        let mut queue = self.shared.lock();
        let lane = queue.lanes.get_mut(key)?;
        let of_number = lane.written.entry(number).or_default();
        // A number whose rows could not be noted is tried again with its last segment.
        of_number.retain(|other| other.track != written.track);
        of_number.push(written);
        if of_number.len() < lane.tracks {
            return None;
        }
        let rows = of_number.iter().map(|written| written.new).collect();
        Some((rows, lane.written.range(..number).flat_map(|(_, written)| written.clone()).collect()))
    }

    /// Up to `number`.
    fn forget_written(&self, key: &Key, number: SegmentNumber) {
        if let Some(lane) = self.shared.lock().lanes.get_mut(key) {
            lane.written = lane.written.split_off(&number.0.saturating_add(1));
        }
    }

    /// Best effort: what is left is removed at the next start.
    fn remove_unnoted(&self, key: &Key, written: &Written) {
        let part = Part::Segment(written.new.segment.number);
        let (feed, presentation, track) = (key.0.clone(), key.1.clone(), written.track.clone());
        let object = ObjectName { feed, presentation, track, part };
        if let Err(error) = self.backend.remove(&object) {
            warn!(%object, %error, "a segment of a number that was never whole cannot be removed");
        }
    }

    fn end(&self, key: &Key, row: i64, ended_unix_millis: u64) -> Result<Done, ArchiveError> {
        self.catalogue().end(row, ended_unix_millis)?;
        let written = self.shared.lock().lanes.get_mut(key).map(|lane| std::mem::take(&mut lane.written));
        for written in written.unwrap_or_default().into_values().flatten() {
            self.remove_unnoted(key, &written);
        }
        Ok(Done::Ended)
    }

    fn put(&self, object: &ObjectName, parts: &[Bytes]) -> Result<(), ArchiveError> {
        let written = self.backend.put(object, parts);
        written.map_err(|source| ArchiveError::Write { object: object.to_string(), source })
    }

    /// Whether there is more to remove than was at once.
    fn retain(&self, retention: &Retention) -> bool {
        let outcome = retention::retain(
            self.backend.as_ref(),
            &self.catalogue,
            retention,
            (&self.shared.metrics, &self.shared.gone),
            clock::unix_millis(),
        );
        let retention::Look { more, problem } = outcome
            .unwrap_or_else(|error| retention::Look { problem: Some(error), ..retention::Look::default() });
        if let Some(error) = &problem {
            self.shared.metrics.archive_failures.with_label_values(&[error.step()]).inc();
        }
        let problem = problem.as_ref().map(|error| chain(error));
        let mut queue = self.shared.lock();
        if let Some(problem) = problem.as_ref().filter(|_| queue.retention_problem.is_none()) {
            warn!(error = %problem, "archive cannot make room");
        }
        queue.retention_problem = problem;
        more
    }
}

/// CRC-32 of an object: against torn writes, not against malice.
fn checksum(parts: &[Bytes]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
