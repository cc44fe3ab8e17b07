//! The daemon dies and another one goes on: no hole, no other grid, and the publisher's return takes the next grid time.

use std::time::Duration;

use proptest::prelude::*;

use super::configuration::{feed, limits};
use super::driver::{AUDIO, BOTH, Driver, PLAIN, Tracks, VIDEO, Ways};
use crate::config;
use crate::feed::presentation::{Note, NoteError, Role, Settings};
use crate::supervisor::Death;

fn patient() -> config::Feed {
    let mut feed = feed();
    feed.grace = Duration::from_secs(30);
    feed
}

fn on_air(ways: Ways, tracks: Tracks, millis: u64) -> Driver {
    let mut driver = Driver::with(ways, &patient(), limits());
    driver.configure(tracks);
    driver.play(tracks, millis);
    driver
}

/// The encoder connects again, with a clock of its own.
fn back(driver: &mut Driver, id: u64, tracks: Tracks, millis: u64) {
    driver.join(id, Role::Primary);
    driver.jump(-3_000);
    driver.configure(tracks);
    driver.play(tracks, millis);
}

#[test]
fn the_gap_is_filled_and_the_publisher_goes_on() {
    for tracks in [BOTH, VIDEO, AUDIO] {
        for away in [300, 2_500, 5_000, 25_000] {
            let mut driver = on_air(PLAIN, tracks, 9_300);
            driver.kill_daemon(&patient(), away);
            let before = driver.log.listed();
            // Two segments and more are filled with one coded slate.
            driver.wait(1_200);
            let caught_up = driver.elapsed() - Duration::from_millis(1_000);
            let end = Duration::from_millis(u64::try_from(driver.log.end_millis()).unwrap());
            assert!(
                end + Duration::from_millis(2_500) >= caught_up,
                "away {away}: at {end:?} of {caught_up:?}"
            );
            assert!(driver.log.listed() > before || away < 2_500);
            back(&mut driver, 1, tracks, 6_000);
            driver.log.check_aligned();
            assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
            driver.leave();
            driver.wait(31_000);
            driver.log.check_even_end();
            let (due, end) = (9_300 + away + 1_200 + 6_000 + 30_000, driver.log.end_millis());
            let due = i64::try_from(due).unwrap();
            assert!((due - 1_300..=due + 300).contains(&end), "away {away} ms: ends at {end} ms, due {due}");
        }
    }
}

#[test]
fn an_hours_gap_is_filled_at_the_pace_that_is_asked_for() {
    let mut feed = patient();
    feed.grace = Duration::from_secs(2 * 3600);
    let mut driver = on_air(PLAIN, BOTH, 5_000);
    driver.kill_daemon(&feed, 3_600_000);
    // 1800 segments, 4 a tick.
    driver.wait(20_000);
    assert!(driver.presentation.is_filling());
    // Somebody who comes meanwhile has to wait.
    driver.join(1, Role::Primary);
    driver.configure(BOTH);
    driver.play(BOTH, 2_000);
    assert_eq!(driver.presentation.source_on_air(), None);
    driver.play(BOTH, 40_000);
    assert_eq!(driver.presentation.source_on_air(), Some(1));
    driver.log.check_aligned();
    assert!(driver.log.listed() > 1_800, "{}", driver.log.listed());
    assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
}

#[test]
fn the_grace_time_is_counted_while_somebody_could_publish() {
    // There was a source when the daemon died: all of the grace time is left.
    let mut driver = on_air(PLAIN, BOTH, 8_000);
    driver.kill_daemon(&patient(), 10_000);
    driver.wait(29_000);
    assert!(!driver.log.closed);
    driver.wait(2_000);
    assert!(driver.log.closed);
    assert_eq!(driver.log.note, None, "nobody goes on with it any more");
    // There had been none for twenty seconds.
    let mut driver = on_air(PLAIN, BOTH, 8_000);
    driver.leave();
    driver.wait(22_000);
    driver.kill_daemon(&patient(), 5_000);
    driver.wait(5_000);
    assert!(!driver.log.closed);
    driver.kill_daemon(&patient(), 5_000);
    driver.wait(8_000);
    assert!(driver.log.closed);
}

#[test]
fn an_encoder_with_other_parameters_ends_it_before_anything_is_put_out() {
    let mut driver = on_air(Ways { opens: false, ..PLAIN }, BOTH, 0);
    driver.play(BOTH, 3_000);
    assert!(driver.log.opening.is_none());
    let mut driver = on_air(PLAIN, BOTH, 9_000);
    let before = driver.log.listed();
    driver.set_ways(Ways { opens: false, ..PLAIN });
    driver.kill_daemon(&patient(), 1_000);
    let opened = worker_protocol::FromWorker::RungOpened {
        rung: 0,
        codec: media::VideoCodec::H264,
        size: media::Size { width: 1920, height: 1080 },
        captions: true,
    };
    driver.say(opened, &[1, 100, 0, 40, 0xff, 0xe1, 0, 0]);
    assert!(driver.log.closed);
    assert_eq!(driver.log.listed(), before);
    assert!(driver.presentation.problem().is_some_and(|problem| problem.contains("other parameters")));
}

#[test]
fn a_worker_that_dies_over_the_slate_is_replaced() {
    let mut driver = on_air(PLAIN, BOTH, 9_000);
    driver.set_ways(Ways { opens: false, ..PLAIN });
    driver.kill_daemon(&patient(), 9_000);
    assert!(driver.presentation.is_filling());
    driver.wait(500);
    driver.set_ways(PLAIN);
    driver.kill_worker(&Death::Signalled(9));
    driver.wait(2_000);
    assert!(!driver.presentation.is_filling());
    back(&mut driver, 1, BOTH, 4_000);
    driver.log.check_aligned();
    assert!(driver.log.dismissed.is_empty());
}

/// The daemon stops, with so many whole segments, and the next one goes on behind them.
fn stops_and_goes_on(mut driver: Driver, whole: u64) {
    driver.suspend();
    assert!(driver.log.closed);
    assert!(driver.log.note.is_some());
    driver.log.check_aligned();
    assert_eq!(driver.log.listed(), whole, "all that was whole is kept");
    driver.log.closed = false;
    driver.kill_daemon(&patient(), 2_000);
    driver.wait(1_000);
    back(&mut driver, 1, BOTH, 5_000);
    driver.log.check_aligned();
    assert!(driver.log.listed() > whole + 2);
}

#[test]
fn a_daemon_that_stops_puts_out_whole_segments_and_no_short_one() {
    for millis in [5_900, 6_100, 7_500] {
        println!("{millis} ms");
        stops_and_goes_on(on_air(PLAIN, BOTH, millis), millis / 2_002);
    }
}

#[test]
fn a_daemon_that_stops_keeps_a_segment_that_lacks_the_end_of_its_sound() {
    // The third segment ends at 6006 ms.
    for (sound, pictures, whole) in [(5_900, 300, 3), (5_400, 900, 3), (5_700, 200, 2)] {
        let mut driver = on_air(PLAIN, BOTH, sound);
        driver.play(VIDEO, pictures);
        println!("sound to {sound} ms, pictures for {pictures} ms more");
        stops_and_goes_on(driver, whole);
    }
}

#[test]
fn a_note_of_another_form_is_refused() {
    let driver = on_air(PLAIN, BOTH, 5_000);
    let note = driver.log.note.clone().unwrap();
    assert_eq!(Note::from_bytes(&note.to_bytes()).unwrap(), note);
    assert_eq!(*note.settings(), Settings::of(&patient()));
    let mut other = feed();
    other.ladder.rungs.pop();
    assert_ne!(*note.settings(), Settings::of(&other));
    assert!(matches!(Note::from_bytes(b""), Err(NoteError::Absent)));
    assert!(matches!(Note::from_bytes(b"{\"version\":9}"), Err(NoteError::Version { found: 9 })));
    assert!(matches!(Note::from_bytes(b"how to go on"), Err(NoteError::Unreadable(_))));
    let cut = &note.to_bytes()[..40];
    assert!(matches!(Note::from_bytes(cut), Err(NoteError::Unreadable(_))));
    assert_eq!(note.track_names().collect::<Vec<_>>(), ["1080p", "720p", "360p", "audio"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whenever_the_daemon_dies_there_is_no_hole(
        lives in prop::collection::vec((100u64..9_000, 0u64..29_000, 0u64..3_000), 1..4),
        reorders: bool,
        lookahead in 0usize..20,
    ) {
        let ways = Ways { reorders, lookahead, ..PLAIN };
        let mut driver = on_air(ways, BOTH, 6_500);
        for (source, (life, away, empty)) in (1u64..).zip(lives) {
            let listed = driver.log.listed();
            driver.kill_daemon(&patient(), away);
            driver.wait(empty);
            back(&mut driver, source, BOTH, life);
            driver.log.check_aligned();
            prop_assert!(driver.log.listed() >= listed);
        }
        prop_assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
        driver.leave();
        driver.wait(32_000);
        driver.log.check_even_end();
    }
}
