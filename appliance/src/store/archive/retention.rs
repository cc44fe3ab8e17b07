//! What is too old or too much goes: whole presentations that have ended, the oldest first; of those that go on, what
//! lies before their window, the oldest first. What viewers may seek back to stays, whatever the bounds say.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use media::{SegmentNumber, Timescale};
use packager::window::WindowSegment;
use tracing::{info, warn};

use super::ArchiveError;
use super::backend::{ArchiveBackend, ObjectName, Part};
use super::gone::Gone;
use crate::store::catalogue::{Catalogue, Listed};
use crate::store::live::GRACE_SEGMENTS;
use crate::store::metrics::Metrics;
use crate::store::name::TrackName;
use crate::store::unpoisoned;
use crate::telemetry::chain;
use crate::warn_limited;

/// Numbers of one presentation that are removed at once: some hundred files, so that nobody waits for it.
const AT_ONCE: u32 = 64;

/// Rows that are removed in one transaction: a few milliseconds' work, while segments of others wait to be noted.
const ROWS_AT_ONCE: u32 = 2048;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Retention {
    /// How long after its end: a presentation's, or of one that goes on a segment's.
    pub(in crate::store) max_age: Option<Duration>,
    /// Over all feeds; what is live counts.
    pub(in crate::store) max_bytes: Option<u64>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether there is more that has to go than was removed at once.
    pub(super) more: bool,
    /// The first of what could not be removed.
    pub(super) problem: Option<ArchiveError>,
}

impl Look {
    /// What cannot be removed keeps nothing else from being removed.
    fn failed(&mut self, error: ArchiveError) {
        self.problem.get_or_insert(error);
    }
}

/// Removes what has to go. The catalogue is locked for moments only: whoever notes segments does not wait for files to be
/// removed, of which a day has hundreds of thousands.
///
/// # Errors
///
/// Where the catalogue fails.
pub(super) fn retain(
    backend: &dyn ArchiveBackend,
    catalogue: &Mutex<Catalogue>,
    retention: &Retention,
    (metrics, gone): (&Metrics, &Gone),
    now_unix_millis: u64,
) -> Result<Look, ArchiveError> {
    let listed = unpoisoned(catalogue).list(None)?;
    let mut bytes: u64 = listed.iter().map(|presentation| presentation.bytes).sum();
    let mut count = listed.len();
    let mut look = Look::default();
    let expired = expired(&listed, retention, now_unix_millis);
    for presentation in expired {
        let record = &presentation.record;
        // What is listed can be had, so it is first no recording any more, which holds also where this is cut short:
        // the next look finds it empty and goes on. Rows that no file is left of are last.
        unpoisoned(catalogue).empty(presentation.row)?;
        gone.all((record.feed.clone(), record.id.clone()));
        bytes = bytes.saturating_sub(presentation.bytes);
        if let Err(source) = backend.remove_presentation(&record.feed, &record.id) {
            let object = format!("{}/{}", record.feed, record.id);
            let error = ArchiveError::Remove { object, source };
            // Once: it is tried again at every look, and the archive's health says so.
            if !presentation.duration().is_zero() {
                warn!(error = %chain(&error), "a presentation that has expired cannot be removed");
            }
            look.failed(error);
            continue;
        }
        while unpoisoned(catalogue).remove_rows(presentation.row, ROWS_AT_ONCE)? {}
        unpoisoned(catalogue).remove(presentation.row)?;
        info!(feed = %record.feed, presentation = %record.id, bytes = presentation.bytes, "presentation has expired");
        metrics.archive_presentations_expired.inc();
        count -= 1;
    }
    for presentation in listed.iter().filter(|presentation| presentation.ended_unix_millis.is_none()) {
        let removed = shorten(backend, (catalogue, gone), presentation, retention, bytes, now_unix_millis)?;
        bytes = bytes.saturating_sub(removed.bytes);
        look.more |= removed.more;
        removed.problem.into_iter().for_each(|error| look.failed(error));
    }
    metrics.archive_stored_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    metrics.archive_presentations.set(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(look)
}

#[derive(Default)]
struct Removed {
    bytes: u64,
    more: bool,
    problem: Option<ArchiveError>,
}

/// Removes the oldest segments of a presentation that goes on.
fn shorten(
    backend: &dyn ArchiveBackend,
    (catalogue, gone): (&Mutex<Catalogue>, &Gone),
    presentation: &Listed,
    retention: &Retention,
    total: u64,
    now_unix_millis: u64,
) -> Result<Removed, ArchiveError> {
    let record = &presentation.record;
    if retention.max_age.is_none() && retention.max_bytes.is_none_or(|max_bytes| total <= max_bytes) {
        return Ok(Removed::default());
    }
    // In one go, since it goes on meanwhile; a few milliseconds. The files are removed outside.
    let mut catalogue = unpoisoned(catalogue);
    let (found, last) = (catalogue.find(&record.feed, &record.id)?, catalogue.last_number(presentation.row)?);
    let (Some(presentation), Some(last)) = (found, last) else { return Ok(Removed::default()) };
    let window = record.cadence.segments_in(record.window);
    let before = last.0.saturating_add(1).saturating_sub(window.saturating_add(GRACE_SEGMENTS));
    let mut oldest: BTreeMap<u64, Vec<(usize, WindowSegment)>> = BTreeMap::new();
    for (index, track) in record.tracks.iter().enumerate() {
        let first = SegmentNumber::FIRST;
        let noted = catalogue.segments(presentation.row, index, track.timescale, first, AT_ONCE)?;
        for noted in noted {
            oldest.entry(noted.segment.number.0).or_default().push((index, noted.segment));
        }
    }
    let sizes: Vec<Oldest> = oldest
        .range(..before)
        .map(|(number, segments)| Oldest {
            number: *number,
            bytes: segments.iter().map(|(_, segment)| segment.bytes).sum(),
            end_unix_millis: segments
                .iter()
                .map(|(_, segment)| end_unix_millis(&presentation, segment))
                .max(),
        })
        .collect();
    let Some(last_gone) = surplus(&sizes, retention, total, now_unix_millis) else {
        return Ok(Removed::default());
    };
    let removed: Vec<(usize, WindowSegment)> =
        oldest.range(..=last_gone).flat_map(|(_, segments)| segments.iter().copied()).collect();
    let video = record.tracks.first().map_or(Timescale::VIDEO, |track| track.timescale);
    let from = SegmentNumber(last_gone).next();
    let first_left = catalogue.segments(presentation.row, 0, video, from, 1)?;
    let start = first_left.first().map_or(presentation.end, |noted| noted.segment.start.to_duration());
    catalogue.remove_segments(presentation.row, &removed, (start, presentation.end))?;
    drop(catalogue);
    gone.all_before((record.feed.clone(), record.id.clone()), from);
    let mut problem = None;
    for (index, segment) in &removed {
        let Some(track) = record.tracks.get(*index) else { continue };
        let object = ObjectName {
            feed: record.feed.clone(),
            presentation: record.id.clone(),
            track: TrackName::new(&track.name)?,
            part: Part::Segment(segment.number),
        };
        if let Err(source) = backend.remove(&object) {
            let error = ArchiveError::Remove { object: object.to_string(), source };
            warn_limited!(error = %chain(&error), "a segment that has expired stays behind");
            problem.get_or_insert(error);
        }
    }
    let bytes = removed.iter().map(|(_, segment)| segment.bytes).sum();
    // Where the last one looked at has to go, the next may have to as well.
    let more = sizes.last().is_some_and(|oldest| oldest.number == last_gone);
    Ok(Removed { bytes, more, problem })
}

fn end_unix_millis(presentation: &Listed, segment: &WindowSegment) -> u64 {
    let end = segment.start.plus(segment.duration).to_duration().as_millis();
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    presentation.record.availability_start_unix_millis.saturating_add(end)
}

/// One number, over all tracks, that lies before the window.
struct Oldest {
    number: u64,
    bytes: u64,
    end_unix_millis: Option<u64>,
}

/// The last number that has to go; all before it go with it.
fn surplus(oldest: &[Oldest], retention: &Retention, total: u64, now_unix_millis: u64) -> Option<u64> {
    let max_age = retention.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut total = total;
    let mut last = None;
    for Oldest { number, bytes, end_unix_millis } in oldest {
        let age = end_unix_millis.map(|end| now_unix_millis.saturating_sub(end));
        let too_old = max_age.is_some_and(|max_age| age.is_some_and(|age| age > max_age));
        let too_much = retention.max_bytes.is_some_and(|max_bytes| total > max_bytes);
        if !too_old && !too_much {
            break;
        }
        total = total.saturating_sub(*bytes);
        last = Some(*number);
    }
    last
}

/// What has to go, oldest end first.
fn expired<'a>(listed: &'a [Listed], retention: &Retention, now_unix_millis: u64) -> Vec<&'a Listed> {
    let mut total: u64 = listed.iter().map(|presentation| presentation.bytes).sum();
    let mut ended: Vec<(u64, &Listed)> = listed
        .iter()
        .filter_map(|presentation| Some((presentation.ended_unix_millis?, presentation)))
        .collect();
    ended.sort_by_key(|(ended, presentation)| (*ended, presentation.row));
    let max_age = retention.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut expired = Vec::new();
    for (ended, presentation) in ended {
        let too_old = max_age.is_some_and(|max_age| now_unix_millis.saturating_sub(ended) > max_age);
        let too_much = retention.max_bytes.is_some_and(|max_bytes| total > max_bytes);
        // Nothing of it can be played, or its removal was cut short.
        let empty = presentation.duration().is_zero();
        if too_old || too_much || empty {
            total = total.saturating_sub(presentation.bytes);
            expired.push(presentation);
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use media::{Cadence, FrameRate};

    use super::*;
    use crate::store::catalogue::PresentationRecord;
    use crate::store::name::{FeedName, PresentationId};

    fn listed(row: i64, ended: Option<u64>, bytes: u64) -> Listed {
        let second = Duration::from_secs(1);
        Listed {
            row,
            record: PresentationRecord {
                feed: FeedName::new("a").unwrap(),
                id: PresentationId::new(&row.to_string()).unwrap(),
                title: String::new(),
                availability_start_unix_millis: 0,
                cadence: Cadence::new(FrameRate::PAL, second, second),
                window: second,
                memory: second,
                target_latency: None,
                tracks: Vec::new(),
            },
            ended_unix_millis: ended,
            bytes,
            start: Duration::ZERO,
            end: second,
            revision: 0,
        }
    }

    fn rows(listed: &[Listed], max_age: Option<u64>, max_bytes: Option<u64>) -> Vec<i64> {
        let retention = Retention { max_age: max_age.map(Duration::from_millis), max_bytes };
        expired(listed, &retention, 1000).iter().map(|presentation| presentation.row).collect()
    }

    #[test]
    fn the_oldest_that_ended_go_first_and_what_is_live_stays() {
        let all = [
            listed(1, None, 50),
            listed(2, Some(900), 10),
            listed(3, Some(100), 10),
            listed(4, Some(500), 10),
        ];
        assert_eq!(rows(&all, None, None), [0i64; 0]);
        assert_eq!(rows(&all, Some(500), None), [3]);
        assert_eq!(rows(&all, Some(499), None), [3, 4]);
        assert_eq!(rows(&all, None, Some(70)), [3]);
        assert_eq!(rows(&all, None, Some(0)), [3, 4, 2]);
    }

    #[test]
    fn of_what_goes_on_the_oldest_go_until_it_is_enough() {
        let oldest: Vec<Oldest> =
            (1..=5).map(|number| Oldest { number, bytes: 10, end_unix_millis: Some(number * 100) }).collect();
        let last = |max_age: Option<u64>, max_bytes| {
            let retention = Retention { max_age: max_age.map(Duration::from_millis), max_bytes };
            surplus(&oldest, &retention, 100, 1000)
        };
        assert_eq!(last(None, None), None);
        assert_eq!(last(None, Some(100)), None);
        assert_eq!(last(None, Some(81)), Some(2));
        assert_eq!(last(None, Some(0)), Some(5), "no more than lies before the window");
        assert_eq!(last(Some(700), None), Some(2));
        assert_eq!(last(Some(700), Some(60)), Some(4));
    }
}
