//! A worker that is killed takes nothing with it but its own feed's pictures, and those for a moment only.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::{FeedSetup, Ffmpeg, Manifest, Setup, wait_until};

use crate::output;

#[test]
fn one_feeds_worker_dies_and_the_other_feed_goes_on() {
    let mut rungd = Setup::default().feed(FeedSetup::new("victim")).feed(FeedSetup::new("other")).start();
    let mut victim = Ffmpeg::new().publish(&rungd.rtmp_url("victim"), rungd.folder());
    let mut other = Ffmpeg::new().publish(&rungd.rtmp_url("other"), rungd.folder());
    let _ = rungd.wait_for_segments("victim", 2);
    let before = rungd.wait_for_segments("other", 2);
    let pid = rungd.feed("victim")["worker"]["pid"].as_i64().expect("a worker on air");
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();

    let after = rungd.wait_for_segments("other", before.fewest_segments() + 4);
    assert_eq!(before.availability_start, after.availability_start);
    output::check(&rungd, &after);
    assert!(other.is_running(), "{}", other.log());

    // The victim's encoder either goes on with a new worker, or is told to come again and does.
    let again = wait_until(Duration::from_secs(40), "the victim to be on air again", || {
        if !victim.is_running() {
            victim = Ffmpeg::new().publish(&rungd.rtmp_url("victim"), rungd.folder());
        }
        let feed = rungd.feed("victim");
        let new_worker = feed["worker"]["pid"].as_i64().is_some_and(|new| new != pid);
        let manifest = Manifest::fetch(&rungd.mpd_url("victim"))?;
        (feed["state"] == "live" && new_worker && manifest.dynamic && manifest.fewest_segments() >= 3)
            .then_some(manifest)
    });
    output::check(&rungd, &again);
    assert!(rungd.metric("rungd_worker_ends_total", &[]).is_some_and(|ends| ends >= 1.0));
}
