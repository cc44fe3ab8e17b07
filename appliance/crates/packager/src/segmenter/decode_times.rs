//! When reordered pictures are decoded.
//!
//! A segment's decoding has to begin when its showing does, for its `tfdt` to be the time in the manifests, and to end
//! when its showing does, for the next segment to follow on it. The plain way, n-th picture decoded at the time of the
//! n-th picture shown, lets pictures be decoded after they are shown: allowed, with negative composition offsets, but
//! FFmpeg's demuxer then shows all pictures later by the most negative offset (`dts_shift` in `libavformat/mov.c`),
//! and everything built on it, mpv among others, has the sound 80 ms early with x264's B-frames. So no offset is
//! negative here: no picture is decoded after the first that is still to be shown, its *bound*. Pictures are decoded at
//! their usual distance, closer where the bound asks for it (as the first of a segment), and farther apart where the
//! segment ends, so that no picture seems to last into the next segment, which would make Media Source Extensions
//! remove pictures there.
//!
//! Without reordering every picture's bound is its own time, and that is when it is decoded.

/// Pictures that may share the bound of the one that comes next, where it is not known: what x264 reorders.
const UNKNOWN_TIES: usize = 2;
/// With this many pictures to come, the distance to the bounds is made up for: as many as a group of B-frames has.
const TAIL_PICTURES: u64 = 4;

/// What is known of the pictures behind a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    /// The bound of the next picture; the segment's end where none is to come.
    pub(super) bound: i64,
    /// How many pictures of the segment are to come.
    pub(super) remaining: u64,
    /// Whether pictures of this segment have been reordered.
    pub(super) reordered: bool,
}

/// When each picture of a chunk is decoded, and then when the chunk ends, all in ticks: one more than `bounds` has.
/// Increases by at least a tick each time, even where that is over a bound.
///
/// `interval` is the usual distance, rounded up; `start` is when the first picture is decoded, and where the chunk
/// before has ended. `bounds` never decrease.
pub(super) fn decode_times(interval: i64, start: i64, bounds: &[i64], next: Next) -> Vec<i64> {
    let mut times = Vec::with_capacity(bounds.len() + 1);
    times.push(start);
    let mut last = start;
    let to_come = (next.remaining > 0).then_some(&next.bound);
    let mut open: Vec<i64> = bounds.iter().skip(1).chain(to_come).copied().collect();
    open.reverse();
    while let Some(&bound) = open.last() {
        let mut ties = 0;
        while open.pop_if(|other| *other == bound).is_some() {
            ties += 1;
        }
        let unknown = if open.is_empty() && next.remaining > 0 && next.reordered { UNKNOWN_TIES } else { 0 };
        let parts = i64::try_from(ties + unknown).unwrap_or(i64::MAX);
        let before = last;
        for part in (1..=parts).take(ties) {
            let even = bound.saturating_sub(before).saturating_mul(part) / parts;
            last = before.saturating_add(even.min(interval.saturating_mul(part))).max(last.saturating_add(1));
            times.push(last);
        }
    }
    if next.remaining == 0 {
        times.push(next.bound.max(last.saturating_add(1)));
    }
    if next.reordered && next.remaining <= TAIL_PICTURES {
        catch_up(interval, bounds, next, &mut times);
    }
    times
}

/// Moves the last pictures up to their bounds, at the usual distance where the bounds leave it.
fn catch_up(interval: i64, bounds: &[i64], next: Next, times: &mut [i64]) {
    let Some((end, pictures)) = times.split_last_mut() else { return };
    let half = if next.remaining > 1 { interval / 2 } else { 0 };
    *end = next.bound.saturating_sub(half).max(*end);
    // The last picture of a segment is shown last or right before; it is decoded when it is shown.
    let mut following = if next.remaining == 0 { end.saturating_add(interval - 1) } else { *end };
    for (time, &bound) in pictures.iter_mut().zip(bounds).skip(1).rev() {
        let latest = bound.min(following.saturating_sub(interval));
        if latest <= *time {
            break;
        }
        *time = latest;
        following = latest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Next = Next { bound: 1000, remaining: 0, reordered: true };

    #[test]
    fn without_reordering_pictures_are_decoded_when_they_are_shown() {
        let next = Next { bound: 300, remaining: 7, reordered: false };
        assert_eq!(decode_times(100, 0, &[0, 100, 200], next), [0, 100, 200, 300]);
        let end = Next { bound: 200, remaining: 0, reordered: false };
        assert_eq!(decode_times(100, 0, &[0, 100], end), [0, 100, 200]);
        assert_eq!(decode_times(100, 0, &[0], end), [0, 200]);
    }

    #[test]
    fn b_pyramids_are_decoded_evenly_between_the_ends_of_a_segment() {
        // I0 P4 B2 b1 b3 P8 B6 b5 b7 P9 in decoding order.
        let bounds = [0, 100, 100, 100, 300, 500, 500, 500, 700, 900];
        let times = decode_times(100, 0, &bounds, END);
        assert_eq!(times, [0, 33, 66, 100, 200, 300, 400, 500, 700, 900, 1000]);
    }

    #[test]
    fn a_chunk_leaves_room_for_what_it_does_not_know() {
        let next = Next { bound: 500, remaining: 5, reordered: true };
        let times = decode_times(100, 0, &[0, 100, 100, 100, 300], next);
        assert_eq!(times, [0, 33, 66, 100, 200, 300]);
        assert_eq!(decode_times(100, 300, &[500, 500, 500, 700, 900], END), [300, 400, 500, 700, 900, 1000]);
    }
}
