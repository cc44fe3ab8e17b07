//! The programme outlives its publisher: it comes back, it is taken over from, a backup stands in.

use std::time::Duration;

use test_support::{FeedSetup, Ffmpeg, Manifest, Setup, wait_until};

use crate::output;

const DEADLINE: Duration = Duration::from_secs(40);

fn enduring(name: &str) -> FeedSetup {
    FeedSetup::new(name).line("grace = \"30s\"").line("takeover = \"same-key\"")
}

#[test]
fn an_encoder_that_comes_back_with_other_settings_goes_on_with_the_same_programme() {
    let mut rungd = Setup::default().feed(enduring("studio-r")).start();
    let first = Ffmpeg::new().publish(&rungd.rtmp_url("studio-r"), rungd.folder());
    let before = rungd.wait_for_segments("studio-r", 2);
    // Without a word, as when its machine loses power.
    first.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = rungd.wait_for_state("studio-r", DEADLINE, &["slate"]);
    let slate = rungd.wait_for_more("studio-r", &before, 4);
    assert_eq!(before.availability_start, slate.availability_start);

    let mut second = Ffmpeg::new()
        .picture("testsrc2=size=426x240:rate=25")
        .publish(&rungd.rtmp_url("studio-r"), rungd.folder());
    let _ = rungd.wait_for_state("studio-r", DEADLINE, &["live"]);
    let after = rungd.wait_for_more("studio-r", &slate, 4);
    assert_eq!(before.availability_start, after.availability_start);
    assert!(second.is_running(), "{}", second.log());
    output::check(&rungd, &after);
    assert_eq!(rungd.metric("rungd_feed_reconnects_total", &[]), Some(1.0));
    let slate = rungd.metric("rungd_feed_slate_seconds_total", &[]);
    assert!(slate.is_some_and(|seconds| (2.0..30.0).contains(&seconds)), "{slate:?} s of slate");
    assert!(rungd.metric("rungd_feed_silence_frames_total", &[]).is_some_and(|frames| frames > 90.0));
}

#[test]
fn an_encoder_that_comes_back_while_its_old_connection_hangs_takes_over() {
    let mut rungd = Setup::default().feed(enduring("studio-t")).start();
    let mut hanging = Ffmpeg::new().publish(&rungd.rtmp_url("studio-t"), rungd.folder());
    let before = rungd.wait_for_segments("studio-t", 2);
    hanging.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut second = Ffmpeg::new().publish(&rungd.rtmp_url("studio-t"), rungd.folder());
    let after = rungd.wait_for_more("studio-t", &before, 6);
    hanging.signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!(before.availability_start, after.availability_start);
    assert!(second.is_running(), "{}", second.log());
    output::check(&rungd, &after);
    // The old one is told, and does not take it back.
    wait_until(DEADLINE, "the old connection to end", || (!hanging.is_running()).then_some(()));
}

#[test]
fn the_programme_ends_when_nobody_comes_back() {
    let mut rungd = Setup::default().feed(enduring("studio-e").line("grace = \"3s\"")).start();
    let mut first = Ffmpeg::new().publish(&rungd.rtmp_url("studio-e"), rungd.folder());
    let before = rungd.wait_for_segments("studio-e", 2);
    first.terminate(DEADLINE);
    let _ = rungd.wait_for_state("studio-e", DEADLINE, &["idle"]);
    let ended = wait_until(DEADLINE, "the manifest to turn static", || {
        Manifest::fetch(&rungd.mpd_url("studio-e")).filter(|manifest| !manifest.dynamic)
    });
    assert!(ended.fewest_segments() >= before.fewest_segments() + 2, "the slate is part of it");
    // What was measured of it is not shown for ever; what was counted is.
    for name in ["real_time_ratio", "bits_per_second", "queue_frames", "latency_seconds"] {
        assert_eq!(rungd.metric(&format!("rungd_rung_{name}"), &[]), None, "{name}");
    }
    assert_eq!(rungd.metric("rungd_feed_source_jitter_seconds", &[]), None);
    assert!(rungd.metric("rungd_rung_pictures_total", &[]).is_some_and(|pictures| pictures > 30.0));
    output::check(&rungd, &ended);
}

/// It looks like a PNG, which is all that the configuration can tell.
#[test]
fn a_slate_that_cannot_be_decoded_is_a_warning_and_the_built_in_card() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("slate.png");
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\nthe rest of it is no picture at all").unwrap();
    let feed = enduring("studio-p").line(&format!("slate = \"{}\"", picture.display()));
    let mut rungd = Setup::default().feed(feed).start();
    let mut publisher = Ffmpeg::new()
        .picture("color=black:size=320x180:rate=15")
        .publish(&rungd.rtmp_url("studio-p"), rungd.folder());
    let before = rungd.wait_for_segments("studio-p", 2);
    let problem = rungd.feed("studio-p")["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem.contains("the built-in card takes its place"), "{problem}");
    assert_eq!(rungd.metric("rungd_feed_source_warnings_total", &["rule=\"worker\""]), Some(1.0));
    publisher.terminate(DEADLINE);
    let after = rungd.wait_for_more("studio-p", &before, 5);
    let tracks = output::check(&rungd, &after);
    let video = &tracks["180p"];
    let file = test_support::media_check::save(video, rungd.folder(), "slate");
    let last = test_support::media_check::brightness(video, &file).last().map(|(_, level)| *level).unwrap();
    // The card is dark with light lettering; the picture before it was black.
    assert!(last > 2, "the last picture has a brightness of {last}");
}
