//! One segment in memory: written by the packager, read by any number of viewers, also while it is being written.

use bytes::Bytes;
use media::{MediaTime, SegmentNumber};
use packager::cmaf::Chunk;
use tokio::sync::watch;

/// A segment. Readers share its bytes; nothing is copied.
///
/// Once [`Self::discard`]ed its bytes are dropped even if readers hold it still, so a viewer who has stopped reading
/// holds no memory past the window's end.
#[derive(Debug)]
pub struct Segment {
    number: SegmentNumber,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<SegmentChunk>,
    parts: Vec<Bytes>,
    bytes: u64,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Complete {
        start: MediaTime,
        duration: MediaTime,
    },
    Discarded,
}

/// Where a chunk lies in its segment, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentChunk {
    /// Its `tfdt`.
    pub start: MediaTime,
    /// How long it lasts.
    pub duration: MediaTime,
    /// Whether decoding can start with it.
    pub independent: bool,
    /// Where it begins in its segment, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Where a chunk is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkFound {
    /// In its segment, at these bytes.
    Here(SegmentChunk),
    /// It is the next one to be written.
    Next,
    /// It is not there, and will not be.
    Not,
}

/// Without its payload, for what only reckons with it.
impl From<SegmentChunk> for Chunk {
    fn from(chunk: SegmentChunk) -> Self {
        let SegmentChunk { start, duration, independent, bytes, .. } = chunk;
        Self { parts: Vec::new(), start, duration, independent, bytes }
    }
}

/// A segment that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// Its bytes, in order.
    pub parts: Vec<Bytes>,
    /// How many they are.
    pub bytes: u64,
    /// Where it begins on the presentation's timeline.
    pub start: MediaTime,
    /// How long it lasts.
    pub duration: MediaTime,
}

/// The segment was dropped from the window, or its presentation ended before it was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("segment {0} has left the window")]
pub struct Discarded(pub SegmentNumber);

impl Segment {
    pub(crate) fn new(number: SegmentNumber) -> Self {
        Self { number, state: watch::Sender::default() }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> SegmentNumber {
        self.number
    }

    /// Its size so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state.borrow().bytes
    }

    /// Its size in bytes, if it is whole and not discarded.
    #[must_use]
    pub fn whole_bytes(&self) -> Option<u64> {
        let state = self.state.borrow();
        matches!(state.phase, Phase::Complete { .. }).then_some(state.bytes)
    }

    /// The chunks that are there, in order; none once it is discarded.
    #[must_use]
    pub fn chunks(&self) -> Vec<SegmentChunk> {
        self.state.borrow().chunks.clone()
    }

    /// The chunk of this index, from zero, or whether it may still come.
    pub(crate) fn chunk(&self, index: u32) -> ChunkFound {
        let state = self.state.borrow();
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        match state.chunks.get(at) {
            Some(chunk) => ChunkFound::Here(*chunk),
            None if state.phase == Phase::Open && at == state.chunks.len() => ChunkFound::Next,
            None => ChunkFound::Not,
        }
    }

    /// All of it, if it is whole and not discarded.
    #[must_use]
    pub fn complete(&self) -> Option<Complete> {
        let state = self.state.borrow();
        match state.phase {
            Phase::Complete { start, duration } => {
                Some(Complete { parts: state.parts.clone(), bytes: state.bytes, start, duration })
            }
            Phase::Open | Phase::Discarded => None,
        }
    }

    /// Reads it from its beginning, waiting where it is not written yet.
    #[must_use]
    pub fn reader(&self) -> SegmentReader {
        SegmentReader { number: self.number, next: 0, state: self.state.subscribe() }
    }

    /// Appends; returns how many bytes were. Nothing is once it is whole or discarded.
    pub(crate) fn append(&self, chunk: Chunk) -> u64 {
        let mut added = 0;
        self.state.send_if_modified(|state| {
            if state.phase != Phase::Open {
                return false;
            }
            for part in chunk.parts.into_iter().filter(|part| !part.is_empty()) {
                added += u64::try_from(part.len()).unwrap_or(u64::MAX);
                state.parts.push(part);
            }
            if added > 0 {
                let Chunk { start, duration, independent, .. } = chunk;
                let offset = state.bytes;
                state.chunks.push(SegmentChunk { start, duration, independent, offset, bytes: added });
                state.bytes += added;
            }
            added > 0
        });
        added
    }

    /// Says that it is whole; false if it was already, or is discarded.
    pub(crate) fn finish(&self, start: MediaTime, duration: MediaTime) -> bool {
        self.state.send_if_modified(|state| {
            let open = state.phase == Phase::Open;
            if open {
                state.phase = Phase::Complete { start, duration };
            }
            open
        })
    }

    /// Drops its bytes; returns how many they were.
    pub(crate) fn discard(&self) -> u64 {
        let mut freed = 0;
        self.state.send_modify(|state| {
            freed = std::mem::take(&mut state.bytes);
            state.parts = Vec::new();
            state.chunks = Vec::new();
            state.phase = Phase::Discarded;
        });
        freed
    }

    /// Drops its bytes unless it is whole: the presentation ended in the middle of it.
    pub(crate) fn discard_if_open(&self) -> u64 {
        match self.state.borrow().phase {
            Phase::Open => {}
            Phase::Complete { .. } | Phase::Discarded => return 0,
        }
        self.discard()
    }
}

/// Reads one segment from its beginning.
#[derive(Debug)]
pub struct SegmentReader {
    number: SegmentNumber,
    next: usize,
    state: watch::Receiver<State>,
}

impl SegmentReader {
    /// The next piece; waits for it where it is not written yet; none at the end of a whole segment.
    ///
    /// # Errors
    ///
    /// Where the segment was discarded meanwhile: what was read is not all of it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Discarded> {
        let at = self.next;
        let found = self.state.wait_for(|state| state.parts.len() > at || state.phase != Phase::Open).await;
        // The writer's end is dropped only together with the segment itself, before it was whole.
        let state = found.map_err(|_| Discarded(self.number))?;
        match (state.parts.get(at), state.phase) {
            (Some(part), _) => {
                self.next += 1;
                Ok(Some(part.clone()))
            }
            (None, Phase::Complete { .. }) => Ok(None),
            (None, Phase::Open | Phase::Discarded) => Err(Discarded(self.number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ZERO: MediaTime = MediaTime::ZERO;

    fn chunk(parts: &[&'static [u8]]) -> Chunk {
        let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::from_static(part)).collect();
        let bytes = parts.iter().map(|part| u64::try_from(part.len()).unwrap()).sum();
        Chunk { parts, start: ZERO, duration: MediaTime::from_millis(500), independent: true, bytes }
    }

    #[test]
    fn a_reader_follows_the_writer_to_the_end() {
        let segment = Segment::new(SegmentNumber(1));
        let mut reader = segment.reader();
        assert_eq!(reader.next().now_or_never(), None);
        assert_eq!(segment.append(chunk(&[b"ab", b"", b"c"])), 3);
        assert_eq!(reader.next().now_or_never(), Some(Ok(Some(Bytes::from_static(b"ab")))));
        assert_eq!(reader.next().now_or_never(), Some(Ok(Some(Bytes::from_static(b"c")))));
        assert_eq!(reader.next().now_or_never(), None);
        assert!(segment.finish(ZERO, ZERO));
        assert!(!segment.finish(ZERO, ZERO));
        assert_eq!(segment.append(chunk(&[b"late"])), 0);
        assert_eq!(reader.next().now_or_never(), Some(Ok(None)));
        assert_eq!(segment.complete().map(|whole| whole.bytes), Some(3));
        assert_eq!(segment.append(chunk(&[b"late"])), 0);
        let chunks: Vec<(u64, u64)> =
            segment.chunks().iter().map(|chunk| (chunk.offset, chunk.bytes)).collect();
        assert_eq!(chunks, [(0, 3)]);
    }

    #[test]
    fn a_reader_of_a_discarded_segment_is_told() {
        let segment = Segment::new(SegmentNumber(7));
        segment.append(chunk(&[b"ab", b"c"]));
        segment.finish(ZERO, ZERO);
        let mut reader = segment.reader();
        assert_eq!(reader.next().now_or_never(), Some(Ok(Some(Bytes::from_static(b"ab")))));
        assert_eq!(segment.discard_if_open(), 0);
        assert_eq!(segment.discard(), 3);
        assert_eq!(reader.next().now_or_never(), Some(Err(Discarded(SegmentNumber(7)))));
        assert_eq!(segment.complete(), None);
    }
}
