//! The encoder is cut off and comes back: those who watch see the slate, and nothing else.

use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::asked::{long_form, screenshots};
use test_support::browser::Conversation;
use test_support::{FeedSetup, Ffmpeg, Process, Relay, Rungd, Setup, Stopwatch, http, rungd, wait_until};

const FEED: &str = "studio-cut";
const DEADLINE: Duration = Duration::from_secs(60);
/// With less than this the slate need not come: the last picture stands for a second first, and an encoder takes some
/// time to be back.
const SLATE_FROM: u64 = 5;

/// The product's bound on how far dash.js is behind in low latency.
const STEADY_SECONDS: f64 = 2.0;

#[derive(Debug, Clone, Copy)]
enum End {
    /// The encoder ends its programme.
    Clean,
    /// The line is cut: a TCP reset.
    Reset,
    /// The line says nothing any more and stays open: no FIN. Its encoder comes back over another one.
    Silence,
    /// What comes was tampered with: TLS ends it.
    Garbled,
}

fn publish(rungd: &Rungd, relay: &Relay, feed: &str) -> Process {
    // The tone has pips, and the picture changes all over: neither can be taken for the slate's.
    let url = format!("rtmps://{}/live/{}", relay.address, rungd::stream_key(feed));
    Ffmpeg::new().publish(&url, rungd.folder())
}

/// The encoder is cut off for so long, and back on air.
fn cut(
    rungd: &Rungd,
    relay: &Relay,
    feed: &str,
    publisher: &mut Process,
    cut: (u64, End),
    viewers: &mut Conversation,
) {
    let (seconds, end) = cut;
    let name = format!("{seconds}s-{end:?}").to_lowercase();
    let since = Stopwatch::start();
    match end {
        End::Clean => publisher.signal(Signal::SIGINT),
        End::Reset => relay.reset(),
        End::Silence => {
            relay.swallow();
            publisher.signal(Signal::SIGKILL);
        }
        End::Garbled => relay.garble(),
    }
    let _ = publisher.wait(DEADLINE);
    let slate = seconds >= SLATE_FROM;
    if slate {
        viewers.tell(&format!("still {name}-slate"));
    }
    since.reach(Duration::from_secs(seconds));
    *publisher = publish(rungd, relay, feed);
    if slate {
        println!("{}", viewers.hear(DEADLINE));
    }
    rungd.wait_for_state(feed, DEADLINE, &["live"]);
    viewers.tell(&format!("moving {name}-over"));
    println!("{}", viewers.hear(DEADLINE));
}

#[test]
fn viewers_play_through_encoders_being_cut_off() {
    let mut cuts = vec![(1, End::Reset), (5, End::Garbled), (25, End::Silence)];
    if long_form() {
        let more = [(1, End::Clean), (1, End::Silence), (5, End::Clean), (5, End::Silence), (25, End::Reset)];
        cuts.extend(more);
    }
    let feed = FeedSetup::new(FEED)
        .rung("180p", "320x180", "200k")
        .line("segment = \"2s\"")
        .line("window = \"10m\"")
        .line("memory = \"10s\"")
        .line("grace = \"30s\"")
        // The connection of one that fell silent still hangs when it is back.
        .line("takeover = \"same-key\"")
        .line("title = \"Studio that is cut\"");
    let mut rungd = Setup::default().feed(feed).start();
    let relay = Relay::start(rungd.rtmps);
    let mut publisher = publish(&rungd, &relay, FEED);
    let _ = rungd.wait_for_segments(FEED, 4);
    let (mpd, hls) = (rungd.mpd_url(FEED), rungd.hls_url(FEED));
    let prefix = screenshots(rungd.folder(), "cut");
    let arguments = ["--dash", &mpd, "--hls", &hls, "--screenshots", &prefix];
    let mut viewers = Conversation::start("follow.mjs", &arguments);
    assert_eq!(viewers.hear(DEADLINE), "ready");
    for one in cuts {
        cut(&rungd, &relay, FEED, &mut publisher, one, &mut viewers);
    }
    // The beginning of the window is only in the archive by now.
    viewers.tell("back seek");
    println!("{}", viewers.hear(DEADLINE));
    println!("{}", viewers.end(DEADLINE));
    assert!(publisher.is_running(), "{}", publisher.log());
}

/// In low latency a player holds little more than a second: what a cut or a death costs has to fit into that.
#[test]
#[ignore = "a minute and a half: make test-faults"]
fn viewers_in_low_latency_play_through_cuts_and_deaths() {
    let name = "studio-cut-low";
    let feed = FeedSetup::new(name)
        .rung("180p", "320x180", "200k")
        .line("segment = \"2s\"")
        .line("latency = \"low\"")
        .line("grace = \"30s\"")
        .line("title = \"Studio that is cut\"");
    let rungd = Setup::default().feed(feed).start();
    let relay = Relay::start(rungd.rtmps);
    let mut publisher = publish(&rungd, &relay, name);
    let third = rungd.url(&format!("/live/{name}/180p/3.m4s"));
    wait_until(DEADLINE, "a third segment", || (http::get(&third).status == 200).then_some(()));
    let (mpd, hls) = (rungd.mpd_url(name), rungd.hls_url(name));
    let prefix = screenshots(rungd.folder(), "cut-low");
    // Shaka Player begins nearer than it is told to be, and goes 4 % slower until it is there.
    let arguments = ["--dash", &mpd, "--hls", &hls, "--settle", "30", "--screenshots", &prefix];
    let mut viewers = Conversation::start("follow.mjs", &arguments);
    assert_eq!(viewers.hear(DEADLINE), "ready");
    for one in [(5, End::Reset), (1, End::Clean), (5, End::Clean)] {
        cut(&rungd, &relay, name, &mut publisher, one, &mut viewers);
    }
    for death in 1..=2 {
        rungd.kill_worker(name, Signal::SIGKILL);
        viewers.tell(&format!("moving death-{death}"));
        println!("{}", viewers.hear(DEADLINE));
    }
    let seen = viewers.end(DEADLINE);
    println!("{seen}");
    let marks = seen["dashjs"]["marks"].as_object().expect("what dash.js was asked");
    let behind = marks.values().filter_map(|mark| mark["behind"].as_f64());
    assert_eq!(behind.clone().filter(|seconds| *seconds <= STEADY_SECONDS).count(), 5, "{marks:?}");
    assert!(publisher.is_running(), "{}", publisher.log());
}
