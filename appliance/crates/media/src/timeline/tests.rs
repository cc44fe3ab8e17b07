//! Sources that misbehave, simulated: every unit has the time it was captured at, the stamp its encoder gave it, and
//! the wall time it arrives at.

use proptest::prelude::*;

use super::*;

const FRAME_MILLIS: i64 = 40;

fn timeline() -> Timeline {
    Timeline::new(TimelineConfig::default())
}

fn grid() -> Cadence {
    Cadence::new(crate::FrameRate::PAL, Duration::from_secs(2), Duration::from_millis(500))
}

fn at(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

/// A stamp as RTMP has it: the low 32 bits of the milliseconds.
fn stamp(millis: i64) -> SourceStamp {
    SourceStamp { millis: u32::try_from(millis.rem_euclid(1 << 32)).unwrap(), ..SourceStamp::default() }
}

fn placed_millis(placed: Placed) -> i64 {
    placed.dts.ticks_at(Timescale::MILLIS)
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    track: Track,
    /// When it was captured, in milliseconds; also when it arrives.
    captured: i64,
}

/// Pictures every 40 ms and audio frames every 21.33 ms, by capture time.
fn units(length_millis: i64) -> Vec<Unit> {
    let video = (0..).map(|k| k * FRAME_MILLIS).take_while(|&t| t < length_millis);
    let audio = (0i64..).map(|k| k * 1024 / 48).take_while(|&t| t < length_millis);
    let mut units: Vec<Unit> = video
        .map(|captured| Unit { track: Track::Video, captured })
        .chain(audio.map(|captured| Unit { track: Track::Audio, captured }))
        .collect();
    units.sort_by_key(|unit| unit.captured);
    units
}

#[test]
fn a_good_source_is_mapped_by_one_offset_through_the_wrap() {
    let mut timeline = timeline();
    let start = (1i64 << 32) - 5_000;
    for unit in units(20_000) {
        let placed = timeline.place(at(unit.captured + 80), unit.track, stamp(start + unit.captured));
        assert_eq!((placed_millis(placed), placed.event), (unit.captured, None), "{unit:?}");
    }
    let counters = timeline.counters();
    assert_eq!((counters.wraps, counters.jumps, counters.backward), (2, 0, 0));
}

#[test]
fn the_first_picture_is_shown_at_zero_or_where_the_caller_says() {
    let first = SourceStamp { composition_millis: 80, ..stamp(7_000) };
    let mut timeline = timeline();
    let placed = timeline.place(Duration::ZERO, Track::Video, first);
    assert_eq!((placed.pts, placed.dts), (MediaTime::ZERO, MediaTime::from_millis(-80)));
    // The publisher returns with another clock, and the grid has gone on.
    timeline.filled_to(MediaTime::from_millis(9_960));
    timeline.anchor(at(9_990), stamp(3), MediaTime::from_millis(9_960));
    let placed = timeline.place(at(9_990), Track::Video, stamp(3));
    assert_eq!((placed.pts, placed.event), (MediaTime::from_millis(9_960), None));
    let placed = timeline.place(at(9_990), Track::Audio, stamp(13));
    assert_eq!((placed.pts, placed.event), (MediaTime::from_millis(9_970), None));
}

#[test]
fn nanoseconds_count() {
    let mut timeline = timeline();
    timeline.place(Duration::ZERO, Track::Video, stamp(0));
    let placed = timeline.place(at(16), Track::Video, SourceStamp { nanos: 683_333, ..stamp(16) });
    assert_eq!(placed.dts.ticks(), 1501);
}

#[test]
fn pictures_shown_before_they_are_decoded_are_decoded_earlier() {
    let mut timeline = timeline();
    let mut last = None;
    for k in 0..50i64 {
        let composition_millis = [40, -40, 0][usize::try_from(k % 3).unwrap()];
        let stamp = SourceStamp { composition_millis, ..stamp(k * FRAME_MILLIS) };
        let placed = timeline.place(at(k * FRAME_MILLIS), Track::Video, stamp);
        assert!(placed.dts <= placed.pts && last < Some(placed.dts));
        last = Some(placed.dts);
        // The first picture is shown at zero; the first to be shown early has no earlier time left to be decoded at.
        let shown = MediaTime::from_millis((k - 1) * FRAME_MILLIS + i64::from(composition_millis));
        assert!(placed.pts.minus(shown).ticks() <= i64::from(k == 1), "{k}: {placed:?}");
    }
}

#[test]
fn a_pause_that_wall_time_explains_stays_a_gap() {
    let mut timeline = timeline();
    for unit in units(20_000).into_iter().filter(|unit| !(10_000..15_000).contains(&unit.captured)) {
        let placed = timeline.place(at(unit.captured), unit.track, stamp(unit.captured));
        assert_eq!(placed_millis(placed), unit.captured);
    }
    assert_eq!((timeline.counters().gaps, timeline.counters().jumps), (2, 0));
}

/// The network stalls for 5 s, and the encoder drops what it could not send: the backlog comes in a burst, then a step.
#[test]
fn a_gap_behind_a_stall_is_explained_too() {
    let mut timeline = timeline();
    for unit in units(20_000).into_iter().filter(|unit| !(11_000..15_000).contains(&unit.captured)) {
        let arrives = if (10_000..15_000).contains(&unit.captured) { 15_000 } else { unit.captured };
        let placed = timeline.place(at(arrives), unit.track, stamp(unit.captured));
        assert_eq!(placed_millis(placed), unit.captured);
    }
    assert_eq!(timeline.counters().jumps, 0);
}

#[test]
fn a_new_clock_after_a_silence_goes_on_where_the_filling_ended() {
    let mut timeline = timeline();
    for unit in units(10_000) {
        timeline.place(at(unit.captured), unit.track, stamp(unit.captured));
    }
    timeline.filled_to(MediaTime::from_millis(14_800));
    let video = timeline.place(at(15_000), Track::Video, stamp(900_000_000));
    assert!((14_800..=15_040).contains(&placed_millis(video)), "{video:?}");
    let audio = timeline.place(at(15_000), Track::Audio, stamp(900_000_010));
    assert_eq!(placed_millis(audio), placed_millis(video) + 10);
    assert_eq!(timeline.counters().jumps, 1);
}

#[test]
fn small_steps_back_are_held() {
    let mut timeline = timeline();
    timeline.place(at(0), Track::Video, stamp(0));
    timeline.place(at(400), Track::Video, stamp(400));
    let held = timeline.place(at(440), Track::Video, stamp(300));
    assert_eq!(held.event, Some(TimelineEvent::Backward(at(100))));
    assert_eq!(held.dts.ticks(), 36_001);
    assert_eq!(placed_millis(timeline.place(at(480), Track::Video, stamp(440))), 440);
    assert_eq!(timeline.counters().backward, 1);
}

#[test]
fn stamps_that_stand_still_are_spaced_and_found_again() {
    let mut timeline = timeline();
    for k in 0..100 {
        let placed = timeline.place(at(k * FRAME_MILLIS), Track::Video, stamp(5));
        assert_eq!(placed_millis(placed), k * FRAME_MILLIS);
    }
    assert_eq!(timeline.counters().stood_still, 99);
    // The clock starts at last, 4 s behind what was put out by now: a jump.
    let placed = timeline.place(at(4_000), Track::Video, stamp(45));
    assert_eq!(placed_millis(placed), 4_000);
    assert_eq!(timeline.counters().jumps, 1);
}

#[test]
fn a_source_faster_than_time_is_told_to_wait() {
    let mut timeline = timeline();
    let leads = units(10_000).into_iter().filter(|unit| {
        let placed = timeline.place(at(unit.captured / 10), unit.track, stamp(unit.captured));
        assert_eq!(placed_millis(placed), unit.captured);
        matches!(placed.event, Some(TimelineEvent::Lead(lead)) if lead > Duration::from_secs(3))
    });
    assert!(leads.count() > 100);
    assert_eq!(timeline.counters().jumps, 0);
}

#[test]
fn a_source_that_stays_late_is_moved_to_now_with_both_tracks() {
    let mut timeline = timeline();
    let mut last = (0, 0);
    for unit in units(20_000) {
        // The encoder sleeps for 4 s and goes on as if nothing had been.
        let arrives = if unit.captured < 10_000 { unit.captured } else { unit.captured + 4_000 };
        let placed = placed_millis(timeline.place(at(arrives), unit.track, stamp(unit.captured)));
        match unit.track {
            Track::Video => last.0 = placed - unit.captured,
            Track::Audio => last.1 = placed - unit.captured,
        }
    }
    assert_eq!(timeline.counters().lateness_jumps, 1);
    assert!((3_990..=4_010).contains(&last.0), "{last:?}");
    assert!((last.0 - last.1).abs() <= 1, "{last:?}");
}

/// Late by less than the bound, but always for times that are out already.
#[test]
fn units_that_always_come_for_filled_times_are_moved_too() {
    let mut timeline = timeline();
    for k in 0..500 {
        let captured = k * FRAME_MILLIS;
        let arrives = if k < 50 { captured } else { captured + 1_000 };
        if k > 50 && timeline.counters().lateness_jumps == 0 {
            timeline.filled_to(MediaTime::from_millis(arrives - 500));
        }
        timeline.place(at(arrives), Track::Video, stamp(captured));
    }
    let counters = timeline.counters();
    assert_eq!(counters.lateness_jumps, 1);
    assert!(counters.too_late > 0 && counters.too_late < 60, "{counters:?}");
}

#[test]
fn tracks_of_two_clocks_are_put_side_by_side() {
    for far in [3_600_000, -3_600_000] {
        let mut timeline = timeline();
        for unit in units(5_000) {
            let clock = if unit.track == Track::Audio { 10_000_000 + far } else { 10_000_000 };
            let placed = timeline.place(at(unit.captured), unit.track, stamp(clock + unit.captured));
            assert!((placed_millis(placed) - unit.captured).abs() <= FRAME_MILLIS, "{placed:?}");
        }
        assert_eq!(timeline.counters().jumps, 1);
    }
}

#[test]
fn drift_is_measured() {
    let mut timeline = timeline();
    assert_eq!(timeline.drift_ppm(), None);
    for k in 0..10_000i64 {
        let captured = k * FRAME_MILLIS;
        let stamped = captured + captured * 150 / 1_000_000;
        timeline.place(at(captured + (k * 7919) % 30), Track::Video, stamp(stamped));
    }
    let ppm = timeline.drift_ppm().unwrap();
    assert!((140.0..160.0).contains(&ppm), "{ppm}");
}

/// What is true of every track whatever comes: times increase, and a step is never over `most`.
fn check_steps(placed: &[(Track, i64)], most: i64) -> Result<(), TestCaseError> {
    for track in [Track::Video, Track::Audio] {
        let of_track: Vec<i64> =
            placed.iter().filter(|(of, _)| *of == track).map(|&(_, ticks)| ticks).collect();
        for pair in of_track.windows(2) {
            prop_assert!(pair[0] < pair[1], "{track:?} {pair:?}");
            prop_assert!(pair[1] - pair[0] <= most * 90, "{track:?} {pair:?}");
        }
    }
    Ok(())
}

proptest! {
    /// Jumps of any size and sign, seen by the tracks at different moments: one bridge each, no hole, and the tracks
    /// together again.
    #[test]
    fn a_jump_is_bridged_once_and_keeps_the_tracks_together(
        start: u32,
        jumps in prop::collection::vec(
            prop_oneof![-1_200i64..1_200, -100_000i64..100_000, i64::from(i32::MIN)..i64::from(i32::MAX)], 1..5),
        skew in -300i64..300,
        jitter in prop::collection::vec(0i64..60, 1..20),
    ) {
        let mut timeline = timeline();
        let mut placed = Vec::new();
        let mut shift = (0, 0);
        let big = jumps.iter().filter(|jump| jump.abs() > 1_050).count();
        let length = 10_000 * (i64::try_from(jumps.len()).unwrap() + 1);
        for (k, unit) in units(length).into_iter().enumerate() {
            let seen = unit.captured + if unit.track == Track::Audio { skew } else { 0 };
            let jumped: i64 = jumps.iter().zip(1..).filter(|&(_, nth)| seen >= nth * 10_000).map(|(jump, _)| *jump).sum();
            let now = at(unit.captured + jitter[k % jitter.len()]);
            let out = timeline.place(now, unit.track, stamp(i64::from(start) + unit.captured + jumped));
            placed.push((unit.track, out.dts.ticks()));
            match unit.track {
                Track::Video => shift.0 = placed_millis(out) - unit.captured,
                Track::Audio => shift.1 = placed_millis(out) - unit.captured,
            }
            let settled = (8_000..9_600).contains(&(unit.captured % 10_000));
            if settled {
                prop_assert!((shift.0 - shift.1).abs() <= 2, "at {}: {shift:?}", unit.captured);
            }
        }
        // Several small steps back add up to a lateness, which ends with a step of its own.
        check_steps(&placed, if timeline.counters().lateness_jumps > 0 { 3_300 } else { 2_100 })?;
        prop_assert!(timeline.counters().jumps <= u64::try_from(big + jumps.len()).unwrap());
        if jumps.iter().all(|jump| jump.abs() > 1_500) {
            prop_assert_eq!(timeline.counters().jumps, u64::try_from(jumps.len()).unwrap());
        }
    }

    /// Any stamps at all, at any pace of wall time.
    #[test]
    fn survives_anything(
        inputs in prop::collection::vec(
            (any::<bool>(), any::<u32>(), any::<u32>(), any::<i32>(), 0u64..3_000, any::<u8>()), 0..300),
    ) {
        let mut timeline = timeline();
        let mut now = Duration::ZERO;
        let mut last = [None; 2];
        for (video, millis, nanos, composition_millis, wait, fill) in inputs {
            now += Duration::from_millis(wait);
            let stamp = SourceStamp { millis, nanos, composition_millis };
            match fill {
                0 => {
                    let track = if video { Track::Video } else { Track::Audio };
                    timeline.rejoin(&[Arrival { at: now, track, stamp }], &grid());
                    last = [None; 2];
                }
                1..10 => timeline.filled_to(MediaTime::from_duration(now, Timescale::VIDEO)),
                _ => {}
            }
            let placed = timeline.place(now, if video { Track::Video } else { Track::Audio }, stamp);
            prop_assert!(placed.dts <= placed.pts);
            prop_assert!(last[usize::from(video)] < Some(placed.dts));
            last[usize::from(video)] = Some(placed.dts);
        }
    }
}

mod returns;
