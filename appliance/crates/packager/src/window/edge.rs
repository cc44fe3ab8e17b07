//! The live edge of a track: the parts of its newest segments, and the segment being written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use media::{MediaTime, SegmentNumber};

use crate::cmaf::Chunk;
use crate::hls;

/// One chunk of a segment, as a viewer may fetch it by itself: a partial segment of HLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its length as it is shown.
    pub duration: MediaTime,
    /// Whether decoding can start with it.
    pub independent: bool,
    /// Where it begins in its segment, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The parts of a whole segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentParts {
    /// The segment.
    pub number: SegmentNumber,
    /// Its `tfdt`, which is also its earliest presentation time.
    pub start: MediaTime,
    /// Its parts, in order; there is at least one.
    pub parts: Arc<[Part]>,
}

/// A segment that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSegment {
    /// Its number.
    pub number: SegmentNumber,
    /// Its `tfdt`, which is also its earliest presentation time.
    pub start: MediaTime,
    /// The parts that are there, in order; there is at least one.
    pub parts: Vec<Part>,
}

/// The parts near the live edge of one track, kept from what its segmenter gives. Segments follow on each other; where
/// one does not, those before it are forgotten.
///
/// Parts are in the order of decoding, and a part's length is that of its decoding. Low latency is encoded without
/// reordering, and then it is the length of its showing as well; with reordering only a segment's sum is.
///
/// A presentation that is gone on with after its writer was lost has segments whose parts that writer may have told of,
/// with bytes that are lost. They are made anew, and have no parts: a part's name never stands for two things, and players
/// that hold parts of the lost one do not join parts of the other to them. See [`Self::since`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveEdge {
    kept: usize,
    since: Option<SegmentNumber>,
    whole: VecDeque<SegmentParts>,
    open: Option<OpenSegment>,
}

impl LiveEdge {
    /// An edge that keeps the parts of segments of this length for as long as RFC 8216bis asks.
    #[must_use]
    pub fn new(segment_duration: Duration) -> Self {
        // Section 6.2.2: three target durations in the playlist, and three more for those who have seen them there;
        // one segment for being between two ends.
        let kept = hls::target_duration_of(segment_duration).saturating_mul(6);
        let segments = kept.as_nanos().div_ceil(segment_duration.as_nanos().max(1)).saturating_add(1);
        Self { kept: usize::try_from(segments).unwrap_or(usize::MAX), ..Self::default() }
    }

    /// Tells of no parts of segments before this one.
    #[must_use]
    pub fn since(self, number: SegmentNumber) -> Self {
        Self { since: Some(number), ..self }
    }

    /// Whether a segment is told of in parts, rather than only as a whole.
    #[must_use]
    pub fn has_parts(&self, number: SegmentNumber) -> bool {
        self.since.is_none_or(|since| number >= since)
    }

    /// Takes the next chunk of a segment. One of a segment that is whole, or of an earlier one, or of one without parts,
    /// changes nothing.
    pub fn push(&mut self, number: SegmentNumber, chunk: &Chunk) {
        if !self.has_parts(number) {
            return;
        }
        let newest =
            self.open.as_ref().map(|open| open.number).max(self.whole.back().map(|last| last.number));
        let begins = newest.is_none_or(|newest| number > newest);
        if begins {
            // What was open stays incomplete, and a hole is left behind it.
            if self.open.take().is_some() || newest.is_some_and(|newest| newest.next() != number) {
                self.whole.clear();
            }
            self.open = Some(OpenSegment { number, start: chunk.start, parts: Vec::new() });
        }
        let Some(open) = self.open.as_mut().filter(|open| open.number == number) else { return };
        let offset = open.parts.last().map_or(0, |last| last.offset.saturating_add(last.bytes));
        let (duration, independent, bytes) = (chunk.duration, chunk.independent, chunk.bytes);
        open.parts.push(Part { duration, independent, offset, bytes });
    }

    /// Says that a segment is whole. Nothing happens where it is not the one being written.
    pub fn complete(&mut self, number: SegmentNumber) {
        let Some(open) = self.open.take_if(|open| open.number == number) else { return };
        self.whole.push_back(SegmentParts { number, start: open.start, parts: open.parts.into() });
        while self.whole.len() > self.kept {
            self.whole.pop_front();
        }
    }

    /// Forgets the segment being written: it will not be whole.
    pub fn end(&mut self) {
        self.open = None;
    }

    /// The whole segments whose parts are kept, consecutive, oldest first.
    pub fn whole(&self) -> impl DoubleEndedIterator<Item = &SegmentParts> + Clone {
        self.whole.iter()
    }

    /// The segment being written; it follows on the last of [`Self::whole`].
    #[must_use]
    pub const fn open(&self) -> Option<&OpenSegment> {
        self.open.as_ref()
    }
}

impl SegmentParts {
    /// The sum of its parts' lengths, which is its own.
    #[must_use]
    pub fn duration(&self) -> MediaTime {
        total(self.start, &self.parts)
    }
}

impl OpenSegment {
    /// The length of what is there.
    #[must_use]
    pub fn duration(&self) -> MediaTime {
        total(self.start, &self.parts)
    }
}

/// In the clock of `start`.
fn total(start: MediaTime, parts: &[Part]) -> MediaTime {
    let zero = MediaTime::new(0, start.scale());
    parts.iter().fold(zero, |sum, part| sum.plus(part.duration))
}

#[cfg(test)]
mod tests {
    use media::Timescale;
    use proptest::prelude::*;

    use super::*;

    fn chunk(start: i64, duration: i64, bytes: u64) -> Chunk {
        let time = |ticks| MediaTime::new(ticks, Timescale::VIDEO);
        Chunk { parts: Vec::new(), start: time(start), duration: time(duration), independent: false, bytes }
    }

    #[test]
    fn what_comes_late_or_out_of_order_changes_nothing() {
        let mut edge = LiveEdge::new(Duration::from_secs(2));
        edge.push(SegmentNumber(3), &chunk(0, 10, 7));
        edge.push(SegmentNumber(2), &chunk(0, 10, 7));
        edge.complete(SegmentNumber(2));
        assert_eq!(edge.open().map(|open| (open.number, open.parts.len())), Some((SegmentNumber(3), 1)));
        edge.complete(SegmentNumber(3));
        edge.push(SegmentNumber(3), &chunk(10, 10, 7));
        assert_eq!((edge.open(), edge.whole().count()), (None, 1));
        assert_eq!(edge.whole().next().map(|whole| whole.parts.len()), Some(1));
    }

    #[test]
    fn a_hole_forgets_what_is_before_it() {
        let mut edge = LiveEdge::new(Duration::from_secs(2));
        for number in [1, 2, 4] {
            edge.push(SegmentNumber(number), &chunk(0, 10, 7));
            edge.complete(SegmentNumber(number));
        }
        assert_eq!(edge.whole().map(|parts| parts.number.0).collect::<Vec<_>>(), [4]);
        // 5 never becomes whole.
        edge.push(SegmentNumber(5), &chunk(0, 10, 7));
        edge.push(SegmentNumber(6), &chunk(0, 10, 7));
        assert_eq!(edge.whole().count(), 0);
        edge.end();
        assert_eq!(edge, LiveEdge { kept: edge.kept, ..LiveEdge::default() });
    }

    #[test]
    fn what_a_lost_writer_may_have_told_of_has_no_parts() {
        let mut edge = LiveEdge::new(Duration::from_secs(2)).since(SegmentNumber(4));
        for number in 2..=3 {
            edge.push(SegmentNumber(number), &chunk(0, 10, 7));
            assert_eq!(edge.open(), None);
            edge.complete(SegmentNumber(number));
        }
        assert_eq!(edge.whole().count(), 0);
        edge.push(SegmentNumber(4), &chunk(0, 10, 7));
        assert_eq!(edge.open().map(|open| (open.number, open.parts.len())), Some((SegmentNumber(4), 1)));
    }

    #[test]
    fn parts_are_kept_for_six_target_durations() {
        for (millis, kept) in [(2000, 7), (2002, 7), (500, 13), (1000, 7), (6000, 7)] {
            assert_eq!(LiveEdge::new(Duration::from_millis(millis)).kept, kept, "{millis} ms");
        }
    }

    proptest! {
        /// Whatever comes: segments follow on each other, parts lie side by side, and memory is bounded.
        #[test]
        fn parts_are_accounted_for(
            steps in prop::collection::vec((0u64..3, 1i64..50_000, 1u64..100_000, 0u8..4), 0..200),
        ) {
            let mut edge = LiveEdge::new(Duration::from_secs(1));
            let (mut number, mut at) = (1, 0);
            for (jump, duration, bytes, what) in steps {
                number += if what == 3 { jump } else { 0 };
                edge.push(SegmentNumber(number), &chunk(at, duration, bytes));
                at += duration;
                if what == 0 {
                    edge.complete(SegmentNumber(number));
                    number += 1;
                }
                let numbers: Vec<_> =
                    edge.whole().map(|whole| whole.number.0).chain(edge.open().map(|open| open.number.0)).collect();
                prop_assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
                prop_assert!(numbers.len() <= edge.kept + 1);
                let lists = edge.whole().map(|whole| &whole.parts[..]).chain(edge.open().map(|open| &open.parts[..]));
                for parts in lists {
                    prop_assert_eq!(parts.first().map(|part| part.offset), Some(0));
                    let joined = |pair: &[Part]| pair[0].offset + pair[0].bytes == pair[1].offset;
                    prop_assert!(parts.windows(2).all(joined));
                }
                for whole in edge.whole() {
                    let sum: i64 = whole.parts.iter().map(|part| part.duration.ticks()).sum();
                    prop_assert_eq!(whole.duration().ticks(), sum);
                }
            }
        }
    }
}
