//! The players that viewers have play it, in headless Chromium: live with a switch of rungs up and down, and the replay
//! with a seek. What is shown must move.

use std::time::Duration;

use test_support::browser;
use test_support::{FeedSetup, Ffmpeg, Manifest, Rungd, Setup, http, wait_until};

use crate::replay::ended_presentation;

fn feed(name: &str) -> Setup {
    Setup::default().feed(
        FeedSetup::new(name)
            .line("segment = \"2s\"")
            .rung("180p", "320x180", "200k")
            .rung("90p", "160x90", "60k"),
    )
}

fn live(player: &str) {
    let mut rungd = feed("studio-p").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmps_url("studio-p"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-p", 3);
    let url = if player == "hlsjs" { rungd.hls_url("studio-p") } else { rungd.mpd_url("studio-p") };
    play(&rungd, player, &url, &["--live", "--switch", "--seconds", "14"]);
}

fn play(rungd: &Rungd, player: &str, url: &str, options: &[&str]) {
    play_in(&browser::turn(), rungd, player, url, options);
}

fn play_in(turn: &browser::Turn, rungd: &Rungd, player: &str, url: &str, options: &[&str]) {
    let screenshot = rungd.folder().join(format!("{player}.png"));
    let mut arguments = vec!["--player", player, "--url", url, "--screenshot", screenshot.to_str().unwrap()];
    arguments.extend(options);
    let played = browser::run_in(turn, "play.mjs", &arguments);
    assert!(screenshot.is_file(), "no screenshot; {played}");
    println!("{played}");
}

#[test]
fn dashjs_live() {
    live("dashjs");
}

#[test]
fn shaka_live() {
    live("shaka");
}

/// The presentation is as long as the delay that a manifest suggests, and the first thing to come is an init segment:
/// what Shaka Player does not bear by itself (`presentation_delay` in packager's `dash.rs`). Without what is said there
/// it stands still after 8 s.
#[test]
fn shaka_begins_with_the_third_segment() {
    // Any time that is waited for the browser makes the presentation longer.
    let turn = browser::turn();
    let mut rungd = feed("studio-s").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-s"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-s", 1);
    let url = rungd.mpd_url("studio-s");
    let options = ["--live", "--listed", "3", "--segment-delay", "300", "--seconds", "12"];
    play_in(&turn, &rungd, "shaka", &url, &options);
}

#[test]
fn hlsjs_live() {
    live("hlsjs");
}

/// `limit` is the most seconds from a picture's coming in to its being shown, the median of all that is watched. Chunks
/// are half a second, and the manifest says 1.8 s.
fn low_latency(player: &str, limit: &[&str]) {
    let feed = FeedSetup::new("studio-low")
        .line("segment = \"2s\"")
        .line("latency = \"low\"")
        .rung("180p", "320x180", "200k");
    let rungd = Setup::default().feed(feed).start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-low"), rungd.folder());
    // The manifest lists nothing: it says when each segment is to be had.
    let second = rungd.url("/live/studio-low/180p/2.m4s");
    let there = || (http::get(&second).status == 200).then_some(());
    wait_until(Duration::from_secs(30), "a second segment", there);
    let url = if player == "hlsjs" { rungd.hls_url("studio-low") } else { rungd.mpd_url("studio-low") };
    play(&rungd, player, &url, &[&["--live", "--seconds", "20"], limit].concat());
}

#[test]
fn dashjs_low_latency() {
    low_latency("dashjs", &["--max-latency", "2"]);
}

/// It begins a second behind, and plays slower by 4 % until it is as far as the manifest says. With a delay suggested in
/// the manifest beside that it went on to twice as far.
#[test]
fn shaka_low_latency() {
    low_latency("shaka", &["--max-latency", "2"]);
}

/// It goes by `PART-HOLD-BACK`, three parts of half a second behind the end of what is listed, which is up to a part and
/// its way through the encoder old.
#[test]
fn hlsjs_low_latency() {
    low_latency("hlsjs", &["--max-latency", "2.5"]);
}

#[test]
fn replays_with_every_player() {
    let mut rungd = feed("studio-q").start();
    let mut publisher =
        Ffmpeg::new().lasting(Duration::from_secs(20)).publish(&rungd.rtmp_url("studio-q"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-q", 2);
    assert!(publisher.wait(Duration::from_secs(40)).success(), "{}", publisher.log());
    let id = ended_presentation(&rungd, "studio-q");
    for (player, manifest) in
        [("dashjs", "manifest.mpd"), ("shaka", "manifest.mpd"), ("hlsjs", "master.m3u8")]
    {
        let url = rungd.url(&format!("/replay/studio-q/{id}/{manifest}"));
        play(&rungd, player, &url, &["--vod", "--seek", "--seconds", "8"]);
    }
    // Where its beginning is gone, it begins with what is left.
    assert!(rungd.stop().success());
    let recording = rungd.state_dir().join("archive/studio-q").join(&id);
    for track in std::fs::read_dir(recording).unwrap() {
        for gone in ["00000001.m4s", "00000002.m4s"] {
            std::fs::remove_file(track.as_ref().unwrap().path().join(gone)).unwrap();
        }
    }
    let rungd = rungd.start_again();
    let left = rungd.url(&format!("/replay/studio-q/{id}"));
    for track in Manifest::fetch(&format!("{left}/manifest.mpd")).unwrap().tracks {
        assert_eq!(track.segments.first().unwrap().number, 3, "{}", track.id);
        let playlist = http::get(&format!("{left}/{}/index.m3u8", track.id)).text();
        let first = playlist.lines().find(|line| line.ends_with(".m4s")).unwrap_or_default();
        assert_eq!(first.rsplit('/').next(), Some("3.m4s"), "{}: {playlist}", track.id);
    }
    for (player, manifest) in
        [("dashjs", "manifest.mpd"), ("shaka", "manifest.mpd"), ("hlsjs", "master.m3u8")]
    {
        let url = format!("{left}/{manifest}");
        play(&rungd, player, &url, &["--vod", "--seek", "--seconds", "5"]);
    }
    // And on the page, from its list.
    let prefix = rungd.folder().join("page");
    let page = rungd.url("/");
    let shots = ["--screenshots", prefix.to_str().unwrap(), "--screens", "phone,desktop"];
    let _shown = browser::run("page.mjs", &[&["--url", &page, "--idle", "--recording"][..], &shots].concat());
}

#[test]
fn the_page_shows_and_plays_a_feed() {
    let mut rungd = feed("studio-page").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-page"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-page", 3);
    let prefix = rungd.folder().join("page");
    let arguments =
        ["--url", &rungd.url("/"), "--feed", "studio-page", "--screenshots", prefix.to_str().unwrap()];
    let _shown = browser::run("page.mjs", &arguments);
}
