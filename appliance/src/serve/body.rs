//! Bodies of media: streams of shared bytes. Nothing is gathered, and what a viewer does not read is not held for it.

use std::ops::Range;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::task;

use super::disk::{Disk, DiskError};
use crate::store::{Discarded, Segment, SegmentReader, StoreError, Stored};

/// What of an archived object is read at once: large against a system call, small against what thousands of viewers
/// may hold at once.
const READ_BYTES: u64 = 128 * 1024;

/// A segment, or `range` of it; waits for what is not written yet.
pub(super) fn segment(segment: &Segment, range: Option<Range<u64>>) -> Body {
    let range = range.unwrap_or(0..u64::MAX);
    let state = (segment.reader(), range, 0u64);
    Body::from_stream(stream::try_unfold(state, |(reader, range, at)| next_of_segment(reader, range, at)))
}

type Step<S> = Option<(Bytes, S)>;

async fn next_of_segment(
    mut reader: SegmentReader,
    range: Range<u64>,
    mut at: u64,
) -> Result<Step<(SegmentReader, Range<u64>, u64)>, Discarded> {
    while at < range.end {
        let Some(part) = reader.next().await? else { return Ok(None) };
        let start = at;
        at += u64::try_from(part.len()).unwrap_or(u64::MAX);
        let cut = cut(&part, start, &range);
        if !cut.is_empty() {
            return Ok(Some((cut, (reader, range, at))));
        }
    }
    Ok(None)
}

/// What of a part that begins at `start` lies in `range`.
fn cut(part: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let offset =
        |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX).min(part.len());
    part.slice(offset(range.start)..offset(range.end))
}

/// `range` of an archived object.
pub(super) fn stored(disk: Disk, stored: Stored, range: Range<u64>) -> Body {
    let next = move |(stored, range)| next_of_stored(disk.clone(), stored, range);
    Body::from_stream(stream::try_unfold((stored, range), next))
}

async fn next_of_stored(
    disk: Disk,
    stored: Stored,
    range: Range<u64>,
) -> Result<Step<(Stored, Range<u64>)>, DiskError> {
    if range.is_empty() {
        return Ok(None);
    }
    let end = range.end.min(range.start.saturating_add(READ_BYTES));
    let now = range.start..end;
    let reading = stored.clone();
    let read = async move {
        task::spawn_blocking(move || reading.read(now)).await?.map_err(|source| StoreError::Read { source })
    };
    let bytes = disk.read(read).await?;
    Ok(Some((bytes, (stored, end..range.end))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_to_the_range() {
        let part = Bytes::from_static(b"0123456789");
        assert_eq!(cut(&part, 0, &(0..u64::MAX)), "0123456789");
        assert_eq!(cut(&part, 0, &(3..5)), "34");
        assert_eq!(cut(&part, 100, &(95..105)), "01234");
        assert_eq!(cut(&part, 100, &(105..106)), "5");
        assert_eq!(cut(&part, 100, &(0..50)), "");
        assert_eq!(cut(&part, 100, &(200..u64::MAX)), "");
    }
}
