//! When reordered pictures are decoded.
//!
//! A segment's decoding has to begin when its showing does, for its `tfdt` to be the time in the manifests, and to end
//! when its showing does, for the next segment to follow on it. The plain way, n-th picture decoded at the time of the
//! n-th picture shown, lets pictures be decoded after they are shown: allowed, with negative composition offsets, but
//! FFmpeg's demuxer then shows all pictures later by the most negative offset (`dts_shift` in `libavformat/mov.c`),
//! and everything built on it, mpv among others, has the sound 80 ms early with x264's B-frames. So no offset is
//! negative here: no picture is decoded after the first that is still to be shown, its *bound*.
//!
//! Where pictures are reordered, decoding runs [`LAG`] pictures behind the plain way. It falls behind at the segment's
//! begin, where the first pictures are decoded in quick succession, and catches up at its end, so that no picture seems
//! to last into the next segment, which would make Media Source Extensions remove pictures there. In between the
//! distance is even. Without reordering every picture's bound is its own time, and that is when it is decoded.

/// How many pictures x264 reorders, with its B-pyramid. Deeper reordering works, at less even distances.
pub(super) const LAG: u64 = 2;
/// With this many pictures to come, decoding catches up: as many as a group of B-frames has.
const TAIL_PICTURES: u64 = 4;

/// When a picture may be decoded, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The time of the first picture that has not come before this one. Never decreases.
    pub(super) bound: i64,
    /// The plain time, less the lag.
    pub(super) wish: i64,
}

/// What is known of the pictures behind a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    /// When the next picture may be decoded; where none is to come, its bound is the segment's end.
    pub(super) slot: Slot,
    /// How many pictures of the segment are to come.
    pub(super) remaining: u64,
    /// Whether pictures of this segment have been reordered.
    pub(super) reordered: bool,
}

/// When each picture of a chunk is decoded, and then when the chunk ends, all in ticks: one more than `slots` has.
/// Increases by at least a tick each time, even where that is over a bound.
///
/// `interval` is the distance of pictures, rounded up; `start` is when the first picture is decoded, and where the
/// chunk before has ended.
pub(super) fn decode_times(interval: i64, start: i64, slots: &[Slot], next: Next) -> Vec<i64> {
    let mut times = Vec::with_capacity(slots.len() + 1);
    times.push(start);
    let mut last = start;
    let to_come = (next.remaining > 0).then_some(next.slot);
    let open: Vec<Slot> = slots.iter().skip(1).copied().chain(to_come).collect();
    for run in open.chunk_by(|a, b| a.bound == b.bound) {
        let before = last;
        let parts = i64::try_from(run.len()).unwrap_or(i64::MAX);
        for (slot, part) in run.iter().zip(1..) {
            // The last of a run may be decoded at the bound, the others earlier in proportion.
            let latest =
                before.saturating_add(slot.bound.saturating_sub(before).saturating_mul(part) / parts);
            let earliest = last.saturating_add(interval / (i64::try_from(LAG).unwrap_or(1) + 1));
            last = slot.wish.max(earliest).min(latest).max(last.saturating_add(1));
            times.push(last);
        }
    }
    if next.remaining == 0 {
        times.push(next.slot.bound.max(last.saturating_add(1)));
    }
    if next.reordered && next.remaining <= TAIL_PICTURES {
        catch_up(interval, slots, next, &mut times);
    }
    times
}

/// Moves the last pictures up to their bounds, at the usual distance where the bounds leave it.
fn catch_up(interval: i64, slots: &[Slot], next: Next, times: &mut [i64]) {
    let Some((end, pictures)) = times.split_last_mut() else { return };
    let half = if next.remaining > 1 { interval / 2 } else { 0 };
    *end = next.slot.bound.saturating_sub(half).max(*end);
    // The last picture of a segment is shown last or right before; it is decoded when it is shown.
    let mut following = if next.remaining == 0 { end.saturating_add(interval - 1) } else { *end };
    for (time, slot) in pictures.iter_mut().zip(slots).skip(1).rev() {
        let latest = slot.bound.min(following.saturating_sub(interval));
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

    fn slots(first: i64, lag: i64, bounds: &[i64]) -> Vec<Slot> {
        let wish = |place: i64| (first + place - lag).max(0) * 100;
        bounds.iter().zip(0..).map(|(&bound, place)| Slot { bound, wish: wish(place) }).collect()
    }

    fn next(bound: i64, wish: i64, remaining: u64, reordered: bool) -> Next {
        Next { slot: Slot { bound, wish }, remaining, reordered }
    }

    #[test]
    fn without_reordering_pictures_are_decoded_when_they_are_shown() {
        let times = decode_times(100, 0, &slots(0, 0, &[0, 100, 200]), next(300, 300, 7, false));
        assert_eq!(times, [0, 100, 200, 300]);
        assert_eq!(decode_times(100, 0, &slots(0, 0, &[0, 100]), next(200, 200, 0, false)), [0, 100, 200]);
        assert_eq!(decode_times(100, 0, &slots(0, 0, &[0]), next(100, 100, 0, false)), [0, 100]);
    }

    #[test]
    fn b_pyramids_are_decoded_evenly_between_the_ends_of_a_segment() {
        // I0 P4 B2 b1 b3 P8 B6 b5 b7 P9 in decoding order.
        let bounds = [0, 100, 100, 100, 300, 500, 500, 500, 700, 900];
        let times = decode_times(100, 0, &slots(0, 2, &bounds), next(1000, 800, 0, true));
        assert_eq!(times, [0, 33, 66, 100, 200, 300, 400, 500, 700, 900, 1000]);
    }

    #[test]
    fn a_chunk_leaves_room_for_what_it_does_not_know() {
        let times = decode_times(100, 0, &slots(0, 2, &[0, 100, 100, 100, 300]), next(500, 300, 5, true));
        assert_eq!(times, [0, 33, 66, 100, 200, 300]);
        let times =
            decode_times(100, 300, &slots(5, 2, &[500, 500, 500, 700, 900]), next(1000, 800, 0, true));
        assert_eq!(times, [300, 400, 500, 700, 900, 1000]);
    }

    #[test]
    fn reordering_that_begins_late_falls_behind_in_steps() {
        // P1 P2, then P6 B4 b3 b5.
        let times =
            decode_times(99, 99, &slots(1, 2, &[100, 200, 300, 300, 300, 500]), next(700, 500, 9, true));
        assert_eq!(times, [99, 132, 165, 200, 300, 400, 500]);
    }
}
