//! A worker dies or hangs at any instant: nobody is shown an error, and no more than a segment is late.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use test_support::asked::long_form;
use test_support::{Rungd, Stopwatch, wait_until};

use crate::alone;
use crate::chance::Chance;
use crate::crowd::{Crowd, FEEDS, setup};
use crate::viewer::Viewer;

/// From a death to pictures of the new worker.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(20);
/// The length of a segment, in milliseconds; 15 frames a second make it exact.
const SEGMENT_MILLIS: u128 = 2_000;
/// What counts as late.
const LATE_MILLIS: u128 = 1_000;

fn wait_for_recovery(rungd: &Rungd, crowd: &Crowd, struck: usize, before: Pid) {
    wait_until(RECOVERY_DEADLINE, "another worker to put pictures out", || {
        let status = rungd.feed(FEEDS[struck]);
        let new = status["worker"]["pid"].as_i64().is_some_and(|pid| pid != i64::from(before.as_raw()));
        let out = status["rungs"][0]["pictures_out"].as_u64().is_some_and(|pictures| pictures > 0);
        (new && out && status["state"] == "live").then_some(())
    });
    crowd.viewers.iter().for_each(crate::viewer::Viewer::assert_content);
}

/// How late every segment was listed, with its feed and its number, in milliseconds.
fn lateness(crowd: &Crowd) -> Vec<(&'static str, u64, u128)> {
    let of_feed = |(feed, viewer): (&'static str, &crate::viewer::Viewer)| {
        viewer
            .lateness()
            .into_iter()
            .map(move |late| (feed, late.number, late.late_millis))
            .collect::<Vec<_>>()
    };
    FEEDS.into_iter().zip(&crowd.viewers).flat_map(of_feed).collect()
}

#[test]
fn workers_that_are_killed_cost_nobody_more_than_a_segments_wait() {
    let _alone = alone();
    // Three deaths of one feed's workers within a minute are held to be its source's doing, so no feed is struck thrice
    // in a minute: eight turns are 65.6 s, less what an instant may vary by. In the short form each is struck twice.
    let (kills, every) = if long_form() { (100, 8_200) } else { (8, 4_000) };
    let mut chance = Chance::new();
    let rungd = setup().start();
    let crowd = Crowd::gather(&rungd);
    let since = Stopwatch::start();
    for round in 0..kills {
        // Somewhere within its turn, so that the instant has nothing to do with segments or the last one's.
        let turn = Duration::from_millis(every) * u32::try_from(round).unwrap();
        let instant = turn + chance.millis(0..3_500);
        since.reach(instant);
        let struck = round % FEEDS.len();
        let before = rungd.kill_worker(FEEDS[struck], Signal::SIGKILL);
        wait_for_recovery(&rungd, &crowd, struck, before);
    }
    // What the last one's worker was at is listed with these.
    let at: Vec<u64> = crowd.viewers.iter().map(Viewer::last_listed).collect();
    wait_until(RECOVERY_DEADLINE, "every programme to go on", || {
        let goes_on = |(viewer, at): (&Viewer, &u64)| viewer.last_listed() >= at + 2;
        crowd.viewers.iter().zip(&at).all(goes_on).then_some(())
    });
    let deaths = rungd.metric("rungd_worker_ends_total", &["reason=\"signalled\""]).unwrap_or(0.0);
    let all = lateness(&crowd);
    let worst = all.iter().map(|(_, _, millis)| *millis).max().unwrap_or(0);
    let late: Vec<_> = all.into_iter().filter(|(_, _, millis)| *millis > LATE_MILLIS).collect();
    let watched = crowd.leave(&rungd);
    let objects: usize = watched.iter().map(|watched| watched.objects).sum();
    println!(
        "{kills} workers killed, {deaths} deaths: {} segments over {LATE_MILLIS} ms late, the latest by {worst} ms; \
         {objects} objects fetched twice",
        late.len()
    );
    assert!((deaths - f64::from(u32::try_from(kills).unwrap())).abs() < 0.5, "{deaths} deaths of {kills}");
    assert!(worst <= SEGMENT_MILLIS, "segments were late: {late:?}");
    assert!(late.len() <= kills, "more than {kills} segments were late: {late:?}");
    assert!(watched.iter().all(|watched| watched.excused == 0));
}

#[test]
fn a_worker_that_hangs_is_ended_and_replaced() {
    let _alone = alone();
    let mut chance = Chance::new();
    let rungd = setup().start();
    let crowd = Crowd::gather(&rungd);
    Stopwatch::start().reach(chance.millis(0..2_000));
    let before = rungd.kill_worker(FEEDS[0], Signal::SIGSTOP);
    wait_for_recovery(&rungd, &crowd, 0, before);
    assert_eq!(rungd.metric("rungd_worker_ends_total", &["reason=\"hung\""]), Some(1.0));
    let at = crowd.viewers[0].last_listed();
    wait_until(RECOVERY_DEADLINE, "its viewers to get more", || {
        (crowd.viewers[0].last_listed() >= at + 3).then_some(())
    });
    let _ = crowd.leave(&rungd);
}
