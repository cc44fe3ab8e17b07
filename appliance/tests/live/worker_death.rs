//! A worker that is killed takes nothing with it but its own feed's pictures, and those for a moment only.

use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::{FeedSetup, Ffmpeg, Manifest, Setup, wait_until};

use crate::output;

#[test]
fn one_feeds_worker_dies_and_the_other_feed_goes_on() {
    let mut rungd = Setup::default().feed(FeedSetup::new("victim")).feed(FeedSetup::new("other")).start();
    let mut victim = Ffmpeg::new().publish(&rungd.rtmp_url("victim"), rungd.folder());
    let mut other = Ffmpeg::new().publish(&rungd.rtmp_url("other"), rungd.folder());
    let struck = rungd.wait_for_segments("victim", 2);
    let before = rungd.wait_for_segments("other", 2);
    let killed = rungd.kill_worker("victim", Signal::SIGKILL);

    let after = rungd.wait_for_segments("other", before.fewest_segments() + 4);
    assert_eq!(before.availability_start, after.availability_start);
    output::check(&rungd, &after);
    assert!(other.is_running(), "{}", other.log());

    // The victim's encoder notices nothing, and its programme goes on with a new worker.
    let again = wait_until(Duration::from_secs(40), "the victim's programme to go on", || {
        let new_worker = rungd.worker("victim").is_some_and(|new| new != killed);
        let manifest = Manifest::fetch(&rungd.mpd_url("victim"))?;
        let on = rungd.feed("victim")["state"] == "live" && new_worker;
        (on && manifest.fewest_segments() >= struck.fewest_segments() + 3).then_some(manifest)
    });
    assert!(victim.is_running(), "{}", victim.log());
    assert_eq!(struck.availability_start, again.availability_start, "the same programme");
    output::check(&rungd, &again);
    assert_eq!(rungd.metric("rungd_worker_ends_total", &["reason=\"signalled\""]), Some(1.0));
    for (feed, deaths) in [("victim", 1.0), ("other", 0.0)] {
        let label = format!("feed=\"{feed}\"");
        assert_eq!(rungd.metric("rungd_feed_worker_deaths_total", &[&label]), Some(deaths), "{feed}");
    }
}
