//! How presentations end: what they leave is whole, whoever ends them.

use media::VideoCodec;
use worker_protocol::FromWorker;

use super::driver::{AUDIO, BOTH, Driver, PLAIN, Tracks, VIDEO, Ways};
use crate::supervisor::Death;

#[test]
fn a_publish_that_ends_leaves_sound_and_pictures_of_one_length() {
    for reorders in [false, true] {
        for lookahead in [0, 7, 40] {
            // From the middle of a segment to its very end.
            for millis in [5_000, 6_006, 6_010, 9_133, 12_012] {
                let mut driver = Driver::new(Ways { reorders, lookahead, ..PLAIN });
                driver.configure(BOTH);
                driver.play(BOTH, millis);
                driver.leave();
                driver.log.check_even_end();
                assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
                let (played, end) = (i64::try_from(millis).unwrap(), driver.log.end_millis());
                assert!((-40..=40).contains(&(played - end)), "{played} ms played, {end} ms kept");
            }
        }
    }
}

#[test]
fn one_track_alone_is_a_presentation() {
    for (tracks, count) in [(VIDEO, 3), (AUDIO, 1)] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(tracks);
        driver.play(tracks, 9_000);
        driver.leave();
        driver.log.check_even_end();
        let opening = driver.log.opening.as_ref().unwrap();
        assert_eq!(opening.tracks.len(), count);
        assert_eq!(driver.log.listed(), 5, "{tracks:?}");
    }
}

#[test]
fn a_track_that_ends_early_is_filled_or_cut_to_the_other() {
    // What is over half a second of sound is seen with a still picture; what is less is cut.
    for (first, then, ends_at) in [(VIDEO, 300, 6_300), (AUDIO, 300, 6_000), (AUDIO, 800, 6_800)] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(BOTH);
        driver.play(BOTH, 6_000);
        driver.play(first, then);
        driver.leave();
        driver.log.check_even_end();
        let end = driver.log.end_millis();
        assert!((ends_at - 40..=ends_at + 40).contains(&end), "{first:?} for {then} ms: ends at {end} ms");
    }
}

#[test]
fn a_silent_source_that_leaves_ends_where_it_was_filled_to() {
    for tracks in [BOTH, VIDEO, AUDIO] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(tracks);
        driver.play(tracks, 5_000);
        driver.wait(20_000);
        driver.leave();
        driver.log.check_even_end();
        let end = driver.log.end_millis();
        assert!((23_800..=24_100).contains(&end), "{tracks:?}: ends at {end} ms");
    }
}

#[test]
fn a_worker_that_dies_while_it_finishes_is_not_told_to_the_one_who_left() {
    let mut driver = Driver::new(Ways { opens: false, ..PLAIN });
    driver.configure(BOTH);
    driver.play(BOTH, 3_000);
    driver.leave();
    assert!(!driver.log.closed, "it waits for the worker");
    driver.kill_worker(&Death::FinishTimeout(std::time::Duration::from_secs(10)));
    assert!(driver.log.closed && driver.log.dismissed.is_empty());
    assert_eq!(driver.presentation.problem(), Some("the worker did not finish within 10s"));
}

#[test]
fn a_worker_that_finishes_unasked_is_a_fault() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 5_000);
    driver.say(FromWorker::Finished, b"");
    assert!(driver.log.closed);
    assert_eq!(driver.log.dismissed, ["the worker finished before its source did"]);
    driver.log.check_aligned();
}

#[test]
fn a_worker_that_breaks_order_ends_the_publish_and_what_was_whole_stays() {
    let key = |rung, frame| FromWorker::Picture { rung, frame, key: true };
    for message in [key(0, u64::MAX), key(0, 0), key(1, 7), key(2, 1)] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(BOTH);
        driver.play(BOTH, 8_000);
        driver.say(message.clone(), b"coded");
        assert_eq!(driver.log.dismissed.len(), 1, "{message:?}");
        assert!(driver.log.closed, "{message:?}: the worker was told to finish, and did");
        driver.log.check_aligned();
        assert!(driver.log.listed() >= 3);
    }
    // A rung that there is not says nothing to us.
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 3_000);
    driver.say(key(200, 0), b"coded");
    driver.say(
        FromWorker::RungOpened {
            rung: 9,
            codec: VideoCodec::H264,
            size: media::Size { width: 2, height: 2 },
            captions: false,
        },
        b"",
    );
    assert!(driver.log.dismissed.is_empty());
}

#[test]
fn encoders_that_never_open_hold_a_bounded_amount() {
    let mut driver = Driver::new(Ways { opens: false, ..PLAIN });
    driver.configure(BOTH);
    driver.play(BOTH, 500_000);
    assert_eq!(driver.log.dismissed.len(), 1);
    assert!(
        driver.log.dismissed[0].contains("frames of sound behind, the bound is 16384"),
        "{:?}",
        driver.log.dismissed
    );
    assert!(!driver.log.closed, "the worker's own deadline ends it");
    driver.kill_worker(&Death::Hung(std::time::Duration::from_secs(10)));
    assert!(driver.log.closed && driver.log.opening.is_none());
}

#[test]
fn pictures_of_a_rung_that_is_not_open_are_not_held() {
    let mut driver = Driver::new(Ways { opens: false, ..PLAIN });
    driver.configure(BOTH);
    driver.play(BOTH, 2_000);
    driver.say(FromWorker::Picture { rung: 1, frame: 0, key: true }, b"coded");
    assert_eq!(driver.log.dismissed, ["the worker sent pictures of rung 1 before it opened"]);
}

#[test]
fn a_publisher_that_leaves_early_leaves_nothing() {
    let silent = Tracks { video: false, audio: false };
    for (tracks, millis, problem) in [
        (silent, 0, "the encoder went away before it sent any media"),
        (BOTH, 200, "the encoder went away before its stream could be made out"),
    ] {
        let mut driver = Driver::new(PLAIN);
        driver.configure(BOTH);
        driver.play(tracks, millis);
        driver.leave();
        assert!(driver.log.closed && driver.log.opening.is_none());
        assert!(driver.log.dismissed.is_empty());
        assert_eq!(driver.presentation.problem(), Some(problem));
    }
}
