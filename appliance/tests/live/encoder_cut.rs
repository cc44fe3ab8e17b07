//! The encoder is cut off and comes back: those who watch see the slate, and nothing else.

use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::browser::Conversation;
use test_support::{FeedSetup, Ffmpeg, Process, Relay, Rungd, Setup, Stopwatch, rungd};

const FEED: &str = "studio-cut";
const DEADLINE: Duration = Duration::from_secs(60);
/// With less than this the slate need not come: the last picture stands for a second first, and an encoder takes some
/// time to be back.
const SLATE_FROM: u64 = 5;

#[derive(Debug, Clone, Copy)]
enum End {
    /// The encoder ends its programme.
    Clean,
    /// The line is cut: a TCP reset.
    Reset,
}

/// Whether the long form is asked for: `make test-faults`.
fn full() -> bool {
    std::env::var("RUNGD_FAULTS").is_ok_and(|form| form == "full")
}

fn publish(rungd: &Rungd, relay: &Relay) -> Process {
    // The tone has pips, and the picture changes all over: neither can be taken for the slate's.
    let url = format!("rtmps://{}/live/{}", relay.address, rungd::stream_key(FEED));
    Ffmpeg::new().publish(&url, rungd.folder())
}

#[test]
fn viewers_play_through_encoders_being_cut_off() {
    let mut cuts = vec![(1, End::Reset), (5, End::Clean), (25, End::Reset)];
    if full() {
        cuts.extend([(1, End::Clean), (5, End::Reset), (25, End::Clean)]);
    }
    let feed = FeedSetup::new(FEED)
        .rung("180p", "320x180", "200k")
        .line("segment = \"2s\"")
        .line("grace = \"30s\"")
        .line("title = \"Studio that is cut\"");
    let mut rungd = Setup::default().feed(feed).start();
    let relay = Relay::start(rungd.rtmps);
    let mut publisher = publish(&rungd, &relay);
    let _ = rungd.wait_for_segments(FEED, 4);
    let (mpd, hls) = (rungd.mpd_url(FEED), rungd.hls_url(FEED));
    let shots = std::env::var("RUNGD_SCREENSHOTS").unwrap_or_else(|_| rungd.folder().display().to_string());
    let prefix = format!("{shots}/cut");
    let arguments = ["--dash", &mpd, "--hls", &hls, "--screenshots", &prefix];
    let mut viewers = Conversation::start("follow.mjs", &arguments);
    assert_eq!(viewers.hear(DEADLINE), "ready");
    for (seconds, end) in cuts {
        let name = format!("{seconds}s-{end:?}").to_lowercase();
        let since = Stopwatch::start();
        match end {
            End::Clean => publisher.signal(Signal::SIGINT),
            End::Reset => relay.reset(),
        }
        let _ = publisher.wait(DEADLINE);
        let slate = seconds >= SLATE_FROM;
        if slate {
            viewers.tell(&format!("still {name}-slate"));
        }
        std::thread::sleep(Duration::from_secs(seconds).saturating_sub(since.elapsed()));
        publisher = publish(&rungd, &relay);
        if slate {
            println!("{}", viewers.hear(DEADLINE));
        }
        rungd.wait_for_state(FEED, DEADLINE, &["live"]);
        viewers.tell(&format!("moving {name}-over"));
        println!("{}", viewers.hear(DEADLINE));
    }
    println!("{}", viewers.end(DEADLINE));
    assert!(publisher.is_running(), "{}", publisher.log());
}
