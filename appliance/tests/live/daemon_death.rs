//! The daemon dies under its viewers, and is started again: what they see goes on.

use std::time::Duration;

use test_support::browser::Conversation;
use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Stopwatch};

const FEED: &str = "studio-death";
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a service manager waits before it starts another one: `RestartSec=` of systemd, where nobody says otherwise.
const AWAY: Duration = Duration::from_millis(100);

/// A player holds three segments, which is longer than it takes; it asks again for what it did not get.
#[test]
fn viewers_play_through_the_daemons_death() {
    let feed =
        FeedSetup::new(FEED).rung("180p", "320x180", "200k").line("segment = \"2s\"").line("grace = \"30s\"");
    let mut rungd = Setup::default().on_fixed_ports().feed(feed).start();
    let publish = |rungd: &Rungd| Ffmpeg::new().publish(&rungd.rtmps_url(FEED), rungd.folder());
    let publisher = publish(&rungd);
    let _ = rungd.wait_for_segments(FEED, 4);
    let (mpd, hls) = (rungd.mpd_url(FEED), rungd.hls_url(FEED));
    let mut viewers = Conversation::start("follow.mjs", &["--dash", &mpd, "--hls", &hls]);
    assert_eq!(viewers.hear(DEADLINE), "ready");
    let presentation = rungd.feed(FEED)["presentation"].clone();
    rungd.kill();
    drop(publisher);
    Stopwatch::start().reach(AWAY);
    let rungd = rungd.start_again();
    let mut publisher = publish(&rungd);
    rungd.wait_for_state(FEED, DEADLINE, &["live"]);
    viewers.tell("moving death-over");
    println!("{}", viewers.hear(DEADLINE));
    println!("{}", viewers.end(DEADLINE));
    assert_eq!(rungd.feed(FEED)["presentation"], presentation, "it is the same programme");
    assert!(publisher.is_running(), "{}", publisher.log());
}
