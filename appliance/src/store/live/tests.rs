use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock;

/// Viewers ask for what is listed, and for the next.
const NOT_BY_CLOCK: SegmentNumber = SegmentNumber(0);

const TWO_SECONDS: i64 = 180_000;
const WAIT: Duration = Duration::from_millis(400);

fn segment_duration() -> MediaTime {
    MediaTime::new(TWO_SECONDS, Timescale::VIDEO)
}

/// Of so many seconds, in segments of two.
fn window(tracks: usize, seconds: u64) -> LiveWindow {
    let window = seconds.div_ceil(2);
    let reach = Reach { window, memory: window, wait: None };
    LiveWindow::new(vec![Timescale::VIDEO; tracks], reach, segment_duration(), 0)
}

fn protected(tracks: usize, window: u64, memory: u64) -> LiveWindow {
    let (window, memory) = (window.div_ceil(2), memory.div_ceil(2));
    let reach = Reach { window, memory, wait: Some(WAIT) };
    LiveWindow::new(vec![Timescale::VIDEO; tracks], reach, segment_duration(), 0)
}

fn chunk(bytes: &'static [u8]) -> Chunk {
    Chunk {
        parts: vec![Bytes::from_static(bytes)],
        start: MediaTime::ZERO,
        duration: segment_duration(),
        independent: true,
        bytes: u64::try_from(bytes.len()).unwrap(),
    }
}

fn times(number: u64) -> (MediaTime, MediaTime) {
    let start = MediaTime::new(TWO_SECONDS * i64::try_from(number - 1).unwrap(), Timescale::VIDEO);
    (start, segment_duration())
}

fn whole_at(live: &mut LiveWindow, track: usize, number: u64, instant: Instant) -> Change {
    live.push(track, SegmentNumber(number), chunk(&[0; 1000]));
    live.complete(track, SegmentNumber(number), times(number), Now { instant, unix_millis: number })
}

fn whole(live: &mut LiveWindow, track: usize, number: u64) -> Change {
    whole_at(live, track, number, clock::now())
}

fn numbers(live: &LiveWindow, track: usize) -> Vec<u64> {
    live.listed(track).iter().map(|segment| segment.number.0).collect()
}

#[test]
fn a_segment_is_listed_once_it_is_whole_on_every_track() {
    let mut live = window(2, 60);
    live.push(0, SegmentNumber(1), chunk(b"x"));
    assert!(numbers(&live, 0).is_empty());
    assert!(matches!(live.find(0, SegmentNumber(1), NOT_BY_CLOCK), Found::Here(_)));
    assert!(!whole(&mut live, 0, 1).listed);
    assert!(!whole(&mut live, 0, 2).listed);
    assert!(whole(&mut live, 1, 1).listed);
    assert_eq!((numbers(&live, 0), numbers(&live, 1)), (vec![1], vec![1]));
    assert_eq!(live.published_unix_millis(), 1);
}

#[test]
fn memory_is_bounded_by_the_window_and_its_grace() {
    let mut live = window(2, 10);
    for number in 1..=100 {
        whole(&mut live, 0, number);
        whole(&mut live, 1, number);
    }
    assert_eq!(numbers(&live, 0), [96, 97, 98, 99, 100]);
    assert_eq!(numbers(&live, 1), [96, 97, 98, 99, 100]);
    assert_eq!(live.bytes(), 2 * 8 * 1000);
    assert!(matches!(live.find(1, SegmentNumber(93), NOT_BY_CLOCK), Found::Here(_)));
    assert!(matches!(live.find(1, SegmentNumber(92), NOT_BY_CLOCK), Found::Not));
    assert!(matches!(live.find(1, SegmentNumber(101), NOT_BY_CLOCK), Found::Soon));
    assert!(matches!(live.find(1, SegmentNumber(102), NOT_BY_CLOCK), Found::Not));
    assert!(matches!(live.find(1, SegmentNumber(104), SegmentNumber(104)), Found::Soon), "by the clock");
    assert!(matches!(live.find(1, SegmentNumber(105), SegmentNumber(104)), Found::Not));
    assert!(matches!(live.find(1, SegmentNumber(92), SegmentNumber(104)), Found::Not));
    assert!(matches!(live.find(2, SegmentNumber(100), NOT_BY_CLOCK), Found::Not));
}

#[test]
fn a_track_that_stops_does_not_hold_memory_without_bound() {
    let mut live = window(2, 10);
    for number in 1..=5 {
        whole(&mut live, 0, number);
        whole(&mut live, 1, number);
    }
    for number in 6..=1000 {
        whole(&mut live, 0, number);
    }
    assert!(live.bytes() <= 32 * 1000, "{} bytes", live.bytes());
    assert!(numbers(&live, 0).is_empty());
    assert!(whole(&mut live, 1, 1000).listed);
    assert_eq!(numbers(&live, 0), [1000]);
}

#[test]
fn a_hole_starts_the_list_anew() {
    let mut live = window(1, 60);
    for number in [1, 2, 4, 5] {
        whole(&mut live, 0, number);
    }
    assert_eq!(numbers(&live, 0), [4, 5]);
    assert!(whole(&mut live, 0, 3).late);
}

#[test]
fn the_end_drops_what_is_not_whole() {
    let mut live = window(1, 60);
    whole(&mut live, 0, 1);
    live.push(0, SegmentNumber(2), chunk(b"half"));
    live.close(77, NOT_BY_CLOCK);
    assert!(live.ended());
    assert_eq!((numbers(&live, 0), live.bytes(), live.published_unix_millis()), (vec![1], 1000, 77));
    assert!(matches!(live.find(0, SegmentNumber(2), NOT_BY_CLOCK), Found::Not));
    assert!(matches!(live.find(0, SegmentNumber(3), NOT_BY_CLOCK), Found::Not));
    assert!(live.push(0, SegmentNumber(2), chunk(b"x")).late);
}

#[test]
fn an_open_segment_can_be_begun_anew_and_a_whole_one_cannot() {
    let mut live = window(1, 60);
    whole(&mut live, 0, 1);
    live.push(0, SegmentNumber(2), chunk(b"of the first worker"));
    let Found::Here(first) = live.find(0, SegmentNumber(2), NOT_BY_CLOCK) else {
        panic!("it is being written")
    };
    assert!(live.restart(0, SegmentNumber(2)));
    assert!(!live.restart(0, SegmentNumber(2)), "nothing of it is left");
    assert!(!live.restart(0, SegmentNumber(1)), "it is whole");
    assert!(!live.restart(7, SegmentNumber(1)), "there is no such track");
    assert_eq!(live.bytes(), 1000);
    assert!(matches!(live.find(0, SegmentNumber(2), NOT_BY_CLOCK), Found::Soon), "it will come");
    assert!(first.complete().is_none());
    assert!(!live.push(0, SegmentNumber(2), chunk(b"of the second worker")).late);
    assert!(live.complete(0, SegmentNumber(2), times(2), clock::both()).listed);
    assert_eq!((numbers(&live, 0), live.bytes()), (vec![1, 2], 1020));
}

#[test]
fn a_number_waits_for_the_archive_and_only_so_long() {
    let mut live = protected(2, 60, 60);
    let start = clock::now();
    let at = |millis| Now { instant: start + Duration::from_millis(millis), unix_millis: 7 };
    whole_at(&mut live, 0, 1, start);
    assert_eq!(live.next_advance(), None);
    assert!(!whole_at(&mut live, 1, 1, start).listed);
    assert_eq!(live.next_advance(), Some(start + WAIT));
    assert!(
        matches!(live.find(0, SegmentNumber(1), NOT_BY_CLOCK), Found::Here(_)),
        "whoever knows its name gets it"
    );
    assert!(!live.advance(at(399)).listed);
    // The archive has it in time.
    let change = live.kept(SegmentNumber(1), at(399));
    assert!(change.listed && change.unprotected == 0 && !live.is_unprotected());
    // It has not the second: listed when the wait is over, and the third then at once.
    for track in 0..2 {
        whole_at(&mut live, track, 2, at(400).instant);
    }
    assert_eq!(live.advance(at(800)).unprotected, 1);
    assert!(live.is_unprotected());
    whole_at(&mut live, 0, 3, at(900).instant);
    let change = whole_at(&mut live, 1, 3, at(900).instant);
    assert!(change.listed && change.unprotected == 1);
    // It catches up, and numbers wait again.
    live.kept(SegmentNumber(2), at(1000));
    assert!(live.is_unprotected());
    live.kept(SegmentNumber(3), at(1000));
    assert!(!live.is_unprotected());
    for track in 0..2 {
        assert!(!whole_at(&mut live, track, 4, at(1000).instant).listed);
    }
    live.close(9, NOT_BY_CLOCK);
    assert!(!live.ended() && live.closed(), "the last is still to be listed");
    assert!(live.kept(SegmentNumber(4), at(1001)).listed);
    assert!(live.ended());
    assert_eq!(numbers(&live, 1), [1, 2, 3, 4]);
}

#[test]
fn the_list_reaches_back_into_the_archive_but_not_past_what_it_has_not() {
    let mut live = protected(1, 200, 10);
    let kept = |live: &mut LiveWindow, number: u64| {
        whole(live, 0, number);
        live.kept(SegmentNumber(number), clock::both());
    };
    for number in 1..=150 {
        kept(&mut live, number);
    }
    assert_eq!(live.range(), Some((SegmentNumber(51), SegmentNumber(150))));
    assert_eq!((live.listed(0).len(), live.segments(), live.bytes()), (100, 8, 8000));
    assert!(matches!(live.find(0, SegmentNumber(142), NOT_BY_CLOCK), Found::Not), "it is the archive's");
    // The archive misses one number: it is listed while it is in memory, and then ends the list.
    whole(&mut live, 0, 151);
    let late = Now { instant: clock::now() + WAIT, unix_millis: 0 };
    assert!(live.advance(late).listed);
    for number in 152..=155 {
        kept(&mut live, number);
    }
    assert_eq!(live.range(), Some((SegmentNumber(56), SegmentNumber(155))));
    kept(&mut live, 156);
    assert_eq!(live.range(), Some((SegmentNumber(152), SegmentNumber(156))));
    assert!(
        matches!(live.find(0, SegmentNumber(151), NOT_BY_CLOCK), Found::Here(_)),
        "a manifest named it a moment ago"
    );
    assert!(live.is_unprotected() || live.next_advance().is_none());
    for number in 157..=170 {
        kept(&mut live, number);
    }
    assert!(!live.is_unprotected());
    assert_eq!(live.range(), Some((SegmentNumber(152), SegmentNumber(170))), "it grows again");
}

#[test]
fn an_archive_that_comes_later_gets_what_is_in_memory() {
    let mut live = window(2, 10);
    for number in 1..=40 {
        whole(&mut live, 0, number);
        whole(&mut live, 1, number);
    }
    whole(&mut live, 0, 41);
    live.push(1, SegmentNumber(41), chunk(b"x"));
    live.push(0, SegmentNumber(42), chunk(b"x"));
    let Backlog { whole: handed_over, newest } =
        live.protect(Reach { window: 100, memory: 5, wait: Some(WAIT) });
    let handed_over: Vec<_> =
        handed_over.iter().map(|(track, segment)| (segment.number().0, *track)).collect();
    let expected = (33..=40).flat_map(|number| [(number, 0), (number, 1)]).chain([(41, 0)]);
    assert_eq!(handed_over, expected.collect::<Vec<_>>());
    assert_eq!(newest, SegmentNumber(42));
    // Viewers see no change, and what is listed need not wait for the archive to catch up.
    assert_eq!(live.range(), Some((SegmentNumber(36), SegmentNumber(40))));
    assert!(live.is_unprotected() && live.is_fleeting(SegmentNumber(36)));
    let change = whole(&mut live, 1, 41);
    assert!(change.listed && change.unprotected == 1);
    for number in 33..=41 {
        assert!(live.is_unprotected());
        live.kept(SegmentNumber(number), clock::both());
    }
    assert!(!live.is_unprotected() && !live.is_fleeting(SegmentNumber(41)));
    // From now on it is as with any archive: it is waited for, and the list reaches back into it.
    for number in 42..=60 {
        whole(&mut live, 0, number);
        assert!(!whole(&mut live, 1, number).listed);
        live.kept(SegmentNumber(number), clock::both());
    }
    // Less the one that memory had to let go of before the archive had it.
    assert_eq!(live.range(), Some((SegmentNumber(37), SegmentNumber(60))));
    assert_eq!(live.segments(), 2 * 8);
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let past = |numbers: std::ops::RangeInclusive<u64>| Past {
        segments: numbers
            .map(|number| {
                let (start, duration) = times(number);
                WindowSegment { number: SegmentNumber(number), start, duration, bytes: 1000 }
            })
            .collect(),
        rates: BitRates::of(4000, 1000, segment_duration()),
    };
    let mut live = protected(2, 200, 10);
    live.take_up(vec![past(41..=60), past(41..=60)], SegmentNumber(0));
    assert_eq!(live.range(), Some((SegmentNumber(41), SegmentNumber(60))));
    assert!(live.push(0, SegmentNumber(60), chunk(b"x")).late);
    assert!(matches!(live.find(0, SegmentNumber(60), NOT_BY_CLOCK), Found::Not), "it is the archive's");
    assert!(matches!(live.find(1, SegmentNumber(61), NOT_BY_CLOCK), Found::Soon));
    for track in 0..2 {
        whole(&mut live, track, 61);
    }
    assert!(live.is_fleeting(SegmentNumber(61)) && !live.is_fleeting(SegmentNumber(60)));
    assert!(live.kept(SegmentNumber(61), clock::both()).listed);
    assert_eq!(live.range(), Some((SegmentNumber(41), SegmentNumber(61))));
    assert!(!live.is_fleeting(SegmentNumber(61)) && live.is_fleeting(SegmentNumber(62)));
}

/// By the clock the earlier run was writing segment 63 at most, and may have told of parts of what it did not keep.
#[test]
fn parts_that_an_earlier_run_may_have_told_of_are_not_told_of_again() {
    for (due, lost) in [(0, 2), (2, 2), (63, 63)] {
        let mut live = protected(1, 200, 10);
        let (start, duration) = times(1);
        let segments = vec![WindowSegment { number: SegmentNumber(1), start, duration, bytes: 1000 }];
        live.take_up(vec![Past { segments, rates: BitRates::default() }], SegmentNumber(due));
        for number in 2..=lost + 1 {
            assert_eq!(live.lost_parts(SegmentNumber(number)), number <= lost, "{number}, {due} is due");
            live.push(0, SegmentNumber(number), chunk(b"x"));
            assert_eq!(live.edge(0).open().is_some(), number > lost, "{number}, {due} is due");
            live.complete(0, SegmentNumber(number), times(number), clock::both());
            live.kept(SegmentNumber(number), clock::both());
        }
        assert_eq!(live.edge(0).whole().count(), 1, "{due} is due");
    }
    let fresh = protected(1, 200, 10);
    assert!(!fresh.lost_parts(SegmentNumber(1)));
}

#[test]
fn rates_come_from_the_segments() {
    let mut rates = BitRates::default();
    assert_eq!((rates.peak(5), rates.mean(5)), (5, 5));
    rates.add(1000, MediaTime::from_millis(1000));
    rates.add(3000, MediaTime::from_millis(1000));
    assert_eq!((rates.peak(5), rates.mean(5)), (24_000, 16_000));
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize, u64),
    Complete(usize, u64),
    Restart(usize, u64),
    Kept(u64),
    Later(u64),
    Archive,
}

fn step() -> impl Strategy<Value = Step> {
    // Numbers are near each other, for the steps to meet.
    prop_oneof![
        4 => (0..2_usize, 0..3_u64).prop_map(|(track, ahead)| Step::Push(track, ahead)),
        4 => (0..2_usize, 0..3_u64).prop_map(|(track, ahead)| Step::Complete(track, ahead)),
        1 => (0..2_usize, 0..3_u64).prop_map(|(track, ahead)| Step::Restart(track, ahead)),
        3 => (0..4_u64).prop_map(Step::Kept),
        2 => (0..600_u64).prop_map(Step::Later),
        1 => Just(Step::Archive),
    ]
}

proptest! {
    /// Whatever comes in whatever order: the list is consecutive, the same on all tracks, only goes forward, and each
    /// number of it is in memory whole or was said to be kept.
    #[test]
    fn what_is_listed_can_be_had(
        steps in prop::collection::vec(step(), 0..400),
        window in 2..60_u64,
        memory in 2..60_u64,
        from_the_beginning: bool,
    ) {
        let mut live = match from_the_beginning {
            true => protected(2, window, memory),
            false => super::tests::window(2, window.min(memory)),
        };
        let mut kept = BTreeSet::new();
        let mut now = clock::both();
        let mut before = (0, 0);
        let mut base = 1;
        for step in steps {
            match step {
                Step::Push(track, ahead) => drop(live.push(track, SegmentNumber(base + ahead), chunk(&[0; 10]))),
                Step::Complete(track, ahead) => {
                    drop(live.complete(track, SegmentNumber(base + ahead), times(base + ahead), now));
                }
                Step::Restart(track, ahead) => drop(live.restart(track, SegmentNumber(base + ahead))),
                Step::Kept(behind) => {
                    // The archive only ever has what is whole on every track.
                    let number = base.saturating_sub(behind);
                    if live.unkept.contains(&number) {
                        kept.insert(number);
                        live.kept(SegmentNumber(number), now);
                    }
                }
                Step::Later(millis) => {
                    now.instant += Duration::from_millis(millis);
                    live.advance(now);
                    base += u64::from(millis % 3 == 0);
                }
                Step::Archive if live.wait.is_none() => {
                    let (window, memory) = (window.div_ceil(2), memory.div_ceil(2));
                    let handed_over = live.protect(Reach { window, memory, wait: Some(WAIT) }).whole;
                    let numbers: Vec<_> = handed_over.iter().map(|(_, segment)| segment.number()).collect();
                    prop_assert!(numbers.is_sorted());
                    let all: BTreeSet<u64> = numbers.iter().map(|number| number.0).collect();
                    prop_assert!(live.unkept.is_subset(&all));
                }
                Step::Archive => {}
            }
            let held: u64 = live.tracks.iter().flat_map(|t| t.segments.values()).map(|s| s.bytes()).sum();
            prop_assert_eq!(live.bytes(), held);
            let Some((first, last)) = live.range() else { continue };
            prop_assert!(first <= last && first.0 >= before.0 && last.0 >= before.1, "{first}..={last}");
            before = (first.0, last.0);
            let expected: Vec<u64> = (first.0..=last.0).collect();
            for track in 0..2 {
                prop_assert_eq!(&numbers(&live, track), &expected);
                for number in &expected {
                    let here = matches!(live.find(track, SegmentNumber(*number), NOT_BY_CLOCK),
                        Found::Here(segment) if segment.complete().is_some());
                    prop_assert!(here || kept.contains(number), "{number} of track {track} is nowhere");
                }
            }
        }
    }
}
