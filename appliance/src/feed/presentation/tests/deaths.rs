//! Workers that die: the programme goes on where they stopped, and a source that kills them is taken off.

use proptest::prelude::*;

use super::driver::{BOTH, Driver, PLAIN, VIDEO, Ways};
use crate::supervisor::Death;

const KILLED: Death = Death::Signalled(9);

#[test]
fn another_worker_makes_the_open_segment_anew_from_the_source_that_was_kept() {
    for millis in [2_300, 3_000, 8_000, 8_500, 9_990] {
        for reorders in [false, true] {
            let mut driver = Driver::new(Ways { reorders, ..PLAIN });
            driver.configure(BOTH);
            driver.play(BOTH, millis);
            let listed = driver.log.listed();
            driver.kill_worker(&KILLED);
            driver.play(BOTH, 10_000);
            assert_eq!(driver.workers, 2);
            let first = driver.cadence().first_frame(media::SegmentNumber(listed + 1));
            assert!(driver.first_frames.iter().all(|frame| *frame >= first), "{:?}", driver.first_frames);
            // Nothing was lost, so nothing was repeated, and nobody was sent away.
            assert_eq!(driver.fills, [0; 0], "after {millis} ms");
            driver.leave();
            assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
            driver.log.check_even_end();
            let (played, end) = (i64::try_from(millis).unwrap() + 10_000, driver.log.end_millis());
            assert!((-40..=40).contains(&(played - end)), "{played} ms played, {end} ms kept");
        }
    }
}

/// As the worker encodes for it.
const PROMPT: Ways = Ways { reorders: false, lookahead: 0, ..PLAIN };

fn low() -> crate::config::Feed {
    crate::config::Feed { latency: media::Latency::Low, ..super::configuration::feed() }
}

#[test]
fn chunks_that_viewers_know_stay_and_another_worker_begins_behind_them() {
    let mut within = 0;
    for millis in (2_300..4_400).step_by(130) {
        let mut driver = Driver::with(PROMPT, &low(), super::configuration::limits());
        driver.configure(BOTH);
        driver.play(BOTH, millis);
        driver.kill_worker(&KILLED);
        driver.play(BOTH, 10_000);
        let cadence = driver.cadence();
        for frame in &driver.first_frames {
            // Behind a whole chunk: of half the rate, at the next picture.
            let into = frame % u64::from(cadence.frames_per_segment());
            assert!(into % u64::from(cadence.frames_per_chunk()) <= 1, "{frame}");
            within += usize::from(into > 0);
        }
        assert_eq!(driver.fills, [0; 0], "after {millis} ms");
        driver.leave();
        assert_eq!(driver.log.dropped, 0, "after {millis} ms");
        driver.log.check_even_end();
        let (played, end) = (i64::try_from(millis).unwrap() + 10_000, driver.log.end_millis());
        assert!((-40..=40).contains(&(played - end)), "{played} ms played, {end} ms kept");
    }
    assert!(within > 20, "{within} rungs went on within a segment");
}

/// On a busy machine the rungs are not equally far: viewers know chunks of one segment that another rung has not yet.
#[test]
fn what_viewers_know_of_the_last_segment_is_not_dropped_with_its_worker() {
    let slow = Ways { lag: 9, ..PROMPT };
    for millis in (2_300..4_400).step_by(130) {
        for dies_finishing in [false, true] {
            let ways = Ways { finishes: !dies_finishing, ..slow };
            let mut driver = Driver::with(ways, &low(), super::configuration::limits());
            driver.configure(BOTH);
            driver.play(BOTH, millis);
            driver.set_ways(slow);
            if dies_finishing {
                driver.leave();
            }
            driver.kill_worker(&KILLED);
            if !dies_finishing {
                driver.leave();
            }
            assert_eq!(driver.workers, 2, "after {millis} ms");
            assert_eq!(driver.log.dropped, 0, "after {millis} ms");
            driver.log.check_even_end();
            let (played, end) = (i64::try_from(millis).unwrap(), driver.log.end_millis());
            assert!((-40..=40).contains(&(played - end)), "{played} ms played, {end} ms kept");
            assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
        }
    }
}

#[test]
fn the_rungs_of_a_source_that_kills_its_workers_end_evenly() {
    for millis in (2_300..4_400).step_by(130) {
        let mut driver = Driver::with(Ways { lag: 9, ..PROMPT }, &low(), super::configuration::limits());
        driver.configure(BOTH);
        driver.play(BOTH, millis);
        for _ in 0..2 {
            driver.kill_worker(&KILLED);
            driver.play(BOTH, 700);
        }
        // There is no grace time, so it is the end as well.
        driver.kill_worker(&KILLED);
        assert_eq!((driver.log.quarantines, driver.log.dropped), (1, 0));
        driver.log.check_even_end();
        let played = i64::try_from(millis).unwrap() + 1_400;
        let lost = played - driver.log.end_millis();
        // What no chunk went out with.
        assert!((-40..=600).contains(&lost), "{lost} ms of {played} ms lost");
    }
}

#[test]
fn the_last_worker_is_replaced_once() {
    let mut driver =
        Driver::with(Ways { lag: 9, finishes: false, ..PROMPT }, &low(), super::configuration::limits());
    driver.configure(BOTH);
    driver.play(BOTH, 3_000);
    driver.leave();
    driver.kill_worker(&KILLED);
    assert!(!driver.log.closed && driver.workers == 2);
    driver.kill_worker(&KILLED);
    assert!(driver.log.closed && driver.workers == 2);
    driver.log.check_aligned();
    assert_eq!(
        driver.presentation.problem(),
        Some("the worker was ended by signal 9 (SIGKILL); the kernel's log says whether memory ran out")
    );
}

#[test]
fn a_worker_that_dies_before_it_opened_is_replaced_too() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 400);
    driver.kill_worker(&Death::Failed("no encoder".to_owned()));
    driver.play(BOTH, 6_000);
    driver.leave();
    driver.log.check_even_end();
    assert!((6_300..=6_500).contains(&driver.log.end_millis()), "{}", driver.log.end_millis());
}

#[test]
fn a_worker_that_dies_while_there_is_no_source_is_replaced_with_a_slate() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.wait(5_000);
    driver.kill_worker(&KILLED);
    driver.wait(5_000);
    driver.log.check_aligned();
    assert!(driver.log.listed() >= 6, "{} segments", driver.log.listed());
    driver.jump(10_000);
    driver.play(VIDEO, 4_000);
    driver.leave();
    driver.log.check_even_end();
}

#[test]
fn a_source_that_kills_three_workers_in_a_minute_is_taken_off_and_its_viewers_see_a_slate() {
    let mut feed = super::configuration::feed();
    feed.grace = std::time::Duration::from_secs(20);
    let mut driver = Driver::with(PLAIN, &feed, super::configuration::limits());
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    for _ in 0..2 {
        driver.kill_worker(&KILLED);
        driver.play(BOTH, 2_000);
        assert!(driver.log.dismissed.is_empty());
    }
    driver.kill_worker(&KILLED);
    assert_eq!(driver.log.quarantines, 1);
    assert_eq!(
        driver.log.dismissed,
        [
            "the feed kills its workers (the worker was ended by signal 9 (SIGKILL); the kernel's log says whether memory ran out); it is taken off for a while"
        ]
    );
    let listed = driver.log.listed();
    driver.wait(10_000);
    driver.log.check_aligned();
    assert!(driver.log.listed() >= listed + 4, "{} segments, then {}", listed, driver.log.listed());
    assert_eq!(driver.workers, 4);
    // Its encoder may come back in a minute, and then has the grace time to do so.
    driver.wait(65_000);
    assert!(!driver.log.closed, "the grace time has begun");
    driver.wait(10_000);
    assert!(driver.log.closed, "the grace time is over");
    driver.log.check_even_end();
}

#[test]
fn workers_that_die_without_a_source_are_given_up() {
    let mut feed = super::configuration::feed();
    feed.grace = std::time::Duration::from_secs(3000);
    let mut driver = Driver::with(PLAIN, &feed, super::configuration::limits());
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    for _ in 0..5 {
        driver.kill_worker(&KILLED);
        driver.wait(2_500);
    }
    assert!(driver.log.closed);
    driver.log.check_aligned();
    assert_eq!(driver.log.dismissed.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whenever_workers_die_there_is_no_hole(
        lives in prop::collection::vec(31_000u64..45_000, 1..4),
        first in 100u64..9_000,
        reorders: bool,
        lookahead in 0usize..20,
        low_latency: bool,
    ) {
        let mut driver = match low_latency {
            true => Driver::with(PROMPT, &low(), super::configuration::limits()),
            false => Driver::new(Ways { reorders, lookahead, ..PLAIN }),
        };
        driver.configure(BOTH);
        driver.play(BOTH, first);
        let mut played = first;
        for life in lives {
            driver.kill_worker(&KILLED);
            driver.play(BOTH, life);
            played += life;
            driver.log.check_aligned();
        }
        driver.leave();
        prop_assert!(!low_latency || driver.log.dropped == 0);
        prop_assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
        driver.log.check_even_end();
        let end = u64::try_from(driver.log.end_millis()).unwrap();
        prop_assert!(played.abs_diff(end) <= 40, "{played} ms played, {end} ms kept");
    }
}
