//! Sources that stall, jump, run ahead and stand still: the timeline goes on without a hole.

use proptest::prelude::*;

use super::driver::{AUDIO, BOTH, Driver, PLAIN, Tracks, VIDEO, Ways};

#[test]
fn a_stalled_source_is_filled_within_a_second_or_so_of_wall_time() {
    for tracks in [BOTH, VIDEO, AUDIO] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(tracks);
        driver.play(tracks, 6_000);
        driver.wait(30_000);
        driver.log.check_aligned();
        // 35 s are due; half a second of it is in the encoders.
        assert!(driver.log.listed() >= 16, "{tracks:?}: {} segments", driver.log.listed());
        // It returns with its clock having run on.
        driver.jump(30_000);
        driver.play(tracks, 8_000);
        driver.leave();
        driver.log.check_even_end();
        let end = driver.log.end_millis();
        assert!((43_500..=44_500).contains(&end), "{tracks:?}: ends at {end} ms");
    }
}

/// In low latency chunks go on coming in time, for players hold little more than a second.
#[test]
fn with_low_latency_a_stall_is_filled_sooner() {
    let feed = crate::config::Feed { latency: media::Latency::Low, ..super::configuration::feed() };
    let prompt = Ways { reorders: false, lookahead: 0, ..PLAIN };
    let mut driver = Driver::with(prompt, &feed, super::configuration::limits());
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    // What a network holds back for a moment is waited for.
    driver.wait(400);
    driver.jump(400);
    driver.play(BOTH, 2_000);
    assert_eq!(driver.fills, [0; 0]);
    let length = driver.cadence().time_of(driver.cadence().frames_per_chunk().into());
    for _ in 0..50 {
        driver.wait(100);
        let behind = i64::try_from(driver.elapsed().as_millis()).unwrap() - driver.log.chunks_end_millis(0);
        // The deadline, a tick, and the chunk that is being written.
        let most = 500 + 100 + length.ticks_at(media::Timescale::MILLIS) + 40;
        assert!(behind <= most, "{behind} ms behind, {most} ms are allowed");
    }
    driver.log.check_aligned();
}

#[test]
fn one_track_that_falls_silent_does_not_stop_the_other() {
    for rest in [VIDEO, AUDIO] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(BOTH);
        driver.play(BOTH, 4_000);
        driver.play(rest, 30_000);
        driver.log.check_aligned();
        assert!(driver.log.listed() >= 15, "{rest:?}: {} segments", driver.log.listed());
        driver.play(BOTH, 4_000);
        driver.leave();
        driver.log.check_even_end();
        let end = driver.log.end_millis();
        assert!((37_900..=38_100).contains(&end), "{rest:?}: ends at {end} ms");
    }
}

#[test]
fn a_steady_source_is_never_filled() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 60_000);
    assert_eq!(driver.fills, [0; 0]);
    driver.leave();
    driver.log.check_even_end();
}

#[test]
fn a_source_that_sends_faster_than_real_time_is_held_back() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.send(BOTH, 60_000, 10_000);
    let end = driver.elapsed();
    assert!((56..=61).contains(&end.as_secs()), "{end:?} of wall time for a minute sent at once");
    driver.leave();
    driver.log.check_even_end();
}

#[derive(Debug, Clone)]
enum Step {
    Play(Tracks, u64),
    Wait(u64),
    Jump(i64),
    StandStill(u64),
    Send(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let tracks = prop_oneof![4 => Just(BOTH), 1 => Just(VIDEO), 1 => Just(AUDIO)];
    prop_oneof![
        4 => (tracks, 0u64..6_000).prop_map(|(tracks, millis)| Step::Play(tracks, millis)),
        2 => (0u64..15_000).prop_map(Step::Wait),
        2 => prop_oneof![-3_000i64..3_000, -4_000_000i64..4_000_000].prop_map(Step::Jump),
        1 => (0u64..60).prop_map(Step::StandStill),
        1 => (0u64..6_000, 30u64..400).prop_map(|(millis, percent)| Step::Send(millis, percent)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The log checks every chunk as it comes: no hole, no overlap, no number twice.
    #[test]
    fn whatever_a_source_does_there_is_no_hole(
        steps in prop::collection::vec(step(), 0..14),
        reorders: bool,
        lookahead in 0usize..20,
    ) {
        let mut driver = Driver::new(Ways { reorders, lookahead, ..PLAIN });
        driver.configure(BOTH);
        driver.play(BOTH, 2_000);
        for step in steps {
            match step {
                Step::Play(tracks, millis) => driver.play(tracks, millis),
                Step::Wait(millis) => driver.wait(millis),
                Step::Jump(millis) => driver.jump(millis),
                Step::StandStill(count) => driver.stand_still(count),
                Step::Send(millis, percent) => driver.send(BOTH, millis, percent),
            }
            driver.log.check_aligned();
        }
        // Never far from wall time, whatever the stamps say: ahead by what is read ahead, behind by what is waited for.
        driver.leave();
        prop_assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
        driver.log.check_even_end();
        let (end, wall) = (driver.log.end_of(0).to_duration(), driver.elapsed());
        prop_assert!(end.as_secs_f64() > wall.as_secs_f64() - 3.5, "ends at {end:?}, {wall:?} on the wall");
        prop_assert!(end.as_secs_f64() < wall.as_secs_f64() + 4.5, "ends at {end:?}, {wall:?} on the wall");
    }
}
