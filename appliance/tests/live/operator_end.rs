//! An operator ends a programme: it is a replay at once, its encoder is told why, and the next publish begins a new one.

use std::process::{Command, Output};
use std::time::Duration;

use test_support::rungd::binary;
use test_support::{FeedSetup, Ffmpeg, Manifest, Rungd, Setup, Stopwatch, http, wait_until};

use crate::output;

const DEADLINE: Duration = Duration::from_secs(40);

/// Has `rungd end` end a programme.
pub(crate) fn end(rungd: &Rungd, feed: &str) -> Output {
    let config = rungd.folder().join("rungd.toml");
    Command::new(binary("rungd")).args(["end", feed, "--config"]).arg(config).output().unwrap()
}

#[test]
fn a_programme_that_is_ended_is_a_replay_at_once() {
    let enduring = |name: &str| FeedSetup::new(name).line("grace = \"30s\"").line("takeover = \"same-key\"");
    let mut rungd = Setup::default().feed(enduring("studio-e")).feed(enduring("other")).start();
    let mut publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-e"), rungd.folder());
    let mut other = Ffmpeg::new().publish(&rungd.rtmp_url("other"), rungd.folder());
    let before = rungd.wait_for_segments("studio-e", 3);
    let _ = rungd.wait_for_segments("other", 1);

    let url = rungd.url("/api/v1/feeds/studio-e/end");
    let stranger = http::request("POST", &url, &[]).unwrap();
    assert_eq!(stranger.status, 401, "{}", stranger.text());
    assert!(Manifest::fetch(&rungd.mpd_url("studio-e")).unwrap().dynamic);

    let since = Stopwatch::start();
    let ended = end(&rungd, "studio-e");
    let took = since.elapsed();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let path = said.trim().rsplit(' ').next().unwrap();
    let live = Manifest::fetch(&rungd.mpd_url("studio-e")).unwrap();
    assert!(!live.dynamic, "{}", live.text);
    let replay = wait_until(DEADLINE, "the replay", || Manifest::fetch(&rungd.url(path)));
    assert!(!replay.dynamic);
    assert!(replay.fewest_segments() >= before.fewest_segments());
    output::check(&rungd, &replay);
    let playlist = http::get(&rungd.url("/live/studio-e/180p/index.m3u8")).text();
    assert!(playlist.contains("#EXT-X-ENDLIST"), "{playlist}");

    // Its encoder is gone, and nobody else's.
    let _ = publisher.wait(DEADLINE);
    assert!(rungd.log().contains("the operator ended the programme"));
    assert!(other.is_running());
    let again = end(&rungd, "studio-e");
    assert_eq!(again.status.code(), Some(1));
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(why.contains("nothing of feed studio-e is on air"), "{why}");

    // The next publish is another programme, at the same URL.
    let _second = Ffmpeg::new().publish(&rungd.rtmp_url("studio-e"), rungd.folder());
    wait_until(DEADLINE, "a new programme", || {
        let manifest = Manifest::fetch(&rungd.mpd_url("studio-e"))?;
        (manifest.dynamic && manifest.availability_start != before.availability_start).then_some(())
    });

    // What was ended stays so, whatever happens to the daemon.
    rungd.kill();
    let rungd = rungd.start_again();
    let kept = Manifest::fetch(&rungd.url(path)).expect("the replay");
    assert!(!kept.dynamic);
    assert_eq!(kept.fewest_segments(), replay.fewest_segments());
}

#[test]
fn only_who_may_read_the_state_folder_may_end() {
    let rungd = Setup::one_feed("studio-e").start();
    let idle = end(&rungd, "studio-e");
    assert_eq!(idle.status.code(), Some(1));
    let unknown = end(&rungd, "studio-x");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no feed studio-x"));
    let never = end(&rungd, "../studio-e");
    assert!(String::from_utf8_lossy(&never.stderr).contains("cannot be the name of a feed"));
    std::fs::write(rungd.state_dir().join("rungd.token"), "0123456789").unwrap();
    let stale = end(&rungd, "studio-e");
    assert_eq!(stale.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stale.stderr).contains("takes the token"));
}
