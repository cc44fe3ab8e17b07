//! What is too old or too much goes: whole presentations that have ended, the oldest first.

use std::time::Duration;

use tracing::info;

use super::ArchiveError;
use super::backend::ArchiveBackend;
use crate::store::catalogue::{Catalogue, Listed};
use crate::store::metrics::Metrics;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Retention {
    /// How long after its end.
    pub(in crate::store) max_age: Option<Duration>,
    /// Over all feeds; what is live counts, and stays.
    pub(in crate::store) max_bytes: Option<u64>,
}

pub(super) fn retain(
    backend: &dyn ArchiveBackend,
    catalogue: &Catalogue,
    retention: &Retention,
    metrics: &Metrics,
    now_unix_millis: u64,
) -> Result<(), ArchiveError> {
    let listed = catalogue.list(None)?;
    let mut bytes: u64 = listed.iter().map(|presentation| presentation.bytes).sum();
    let mut count = listed.len();
    let expired = expired(&listed, retention, now_unix_millis);
    for presentation in expired {
        let record = &presentation.record;
        // First out of the catalogue: what is listed can be had, and files that no row names go at the next start.
        catalogue.remove(presentation.row)?;
        backend.remove_presentation(&record.feed, &record.id).map_err(|source| ArchiveError::Remove {
            object: format!("{}/{}", record.feed, record.id),
            source,
        })?;
        info!(feed = %record.feed, presentation = %record.id, bytes = presentation.bytes, "presentation has expired");
        metrics.archive_presentations_expired.inc();
        bytes = bytes.saturating_sub(presentation.bytes);
        count -= 1;
    }
    metrics.archive_stored_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    metrics.archive_presentations.set(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
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
        if too_old || too_much {
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
                tracks: Vec::new(),
            },
            ended_unix_millis: ended,
            bytes,
            duration: second,
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
}
