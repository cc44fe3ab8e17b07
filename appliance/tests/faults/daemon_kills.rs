//! The daemon dies at any instant, and goes on: the same programme, the same numbers, and all that was listed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use test_support::asked::long_form;
use test_support::{Rungd, Stopwatch, http, wait_until};

use crate::alone;
use crate::chance::Chance;
use crate::crowd::{Crowd, FEEDS, setup};

/// From its start to serving what is on air, the product's bound.
const SERVING_WITHIN: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts it, and waits until every feed's manifest answers; how long that took.
fn start_again(rungd: Rungd) -> (Rungd, Duration) {
    let since = Stopwatch::start();
    let rungd = rungd.start_again();
    for feed in FEEDS {
        let answer = http::get(&rungd.mpd_url(feed));
        assert_eq!(answer.status, 200, "{feed}: {}", answer.text());
    }
    (rungd, since.elapsed())
}

/// Holds every start to the product's bound.
fn assert_prompt(took: &[Duration], rungd: &Rungd) {
    assert!(took.iter().all(|took| *took <= SERVING_WITHIN), "they served after {took:?}:\n{}", rungd.log());
}

#[test]
fn a_daemon_that_is_killed_goes_on_with_what_was_on_air() {
    let _alone = alone();
    let kills = if long_form() { 20 } else { 4 };
    let mut chance = Chance::new();
    let mut rungd = setup().start();
    let crowd = Crowd::gather(&rungd);
    let mut starts = Vec::new();
    for _ in 0..kills {
        Stopwatch::start().reach(chance.millis(500..9_000));
        // What is listed without the archive's having it, since the disk is slow, nobody promises to have after a death.
        wait_until(DEADLINE, "the archive to have all that is listed", || {
            (rungd.metric("rungd_store_archive_degraded", &[]) == Some(0.0)).then_some(())
        });
        let before: Vec<u64> = crowd.viewers.iter().map(crate::viewer::Viewer::last_listed).collect();
        crowd.down.store(true, Ordering::SeqCst);
        rungd.kill();
        Stopwatch::start().reach(chance.millis(0..3_000));
        let (again, took) = start_again(rungd);
        rungd = again;
        crowd.down.store(false, Ordering::SeqCst);
        starts.push(took);
        wait_until(DEADLINE, "every programme to go on", || {
            crowd.viewers.iter().for_each(crate::viewer::Viewer::assert_content);
            let goes_on = |(viewer, before): (&crate::viewer::Viewer, &u64)| viewer.last_listed() > *before;
            crowd.viewers.iter().zip(&before).all(goes_on).then_some(())
        });
    }
    // The encoders come back by themselves.
    for feed in FEEDS {
        let _ = rungd.wait_for_state(feed, DEADLINE, &["live"]);
    }
    let at: Vec<u64> = crowd.viewers.iter().map(crate::viewer::Viewer::last_listed).collect();
    wait_until(DEADLINE, "their pictures to be listed", || {
        let goes_on = |(viewer, at): (&crate::viewer::Viewer, &u64)| viewer.last_listed() >= at + 3;
        crowd.viewers.iter().zip(&at).all(goes_on).then_some(())
    });
    let watched = crowd.leave(&rungd);
    let objects: usize = watched.iter().map(|watched| watched.objects).sum();
    let excused: u64 = watched.iter().map(|watched| watched.excused).sum();
    println!(
        "{kills} daemons killed: serving again after {starts:.0?}, {objects} objects answer as before, {excused} \
         requests failed while it was down"
    );
    assert_prompt(&starts, &rungd);
    for watched in &watched {
        for (name, track) in &watched.tracks {
            let numbers: Vec<u64> = track.segments.iter().map(|(listed, _)| listed.number).collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{name}: {numbers:?}");
        }
    }
}

#[test]
fn a_daemon_that_is_stopped_and_started_goes_on_too() {
    let _alone = alone();
    let mut chance = Chance::new();
    let mut rungd = setup().start();
    let crowd = Crowd::gather(&rungd);
    Stopwatch::start().reach(chance.millis(0..2_000));
    let before: Vec<u64> = crowd.viewers.iter().map(crate::viewer::Viewer::last_listed).collect();
    crowd.down.store(true, Ordering::SeqCst);
    assert!(rungd.stop().success());
    let (rungd, took) = start_again(rungd);
    crowd.down.store(false, Ordering::SeqCst);
    assert_prompt(&[took], &rungd);
    wait_until(DEADLINE, "every programme to go on", || {
        let goes_on = |(viewer, before): (&crate::viewer::Viewer, &u64)| viewer.last_listed() >= before + 6;
        crowd.viewers.iter().zip(&before).all(goes_on).then_some(())
    });
    println!("stopped and started: serving again after {took:.0?}");
    let _ = crowd.leave(&rungd);
}
