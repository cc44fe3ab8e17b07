//! Ten feeds at once on two cores: no segment is missed. Two minutes of it, with drift, are in `make bench-main`.

use std::time::Duration;

use test_support::{FeedSetup, Ffmpeg, Setup, Stopwatch, wait_until};

use crate::output;

const FEEDS: u32 = 10;
const LENGTH: Duration = Duration::from_secs(15);

#[test]
fn no_segment_is_missed() {
    let names: Vec<_> = (0..FEEDS).map(|n| format!("feed-{n}")).collect();
    let setup = names.iter().fold(Setup::default(), |setup, name| {
        // All that came is listed still when it is looked at, however long that takes.
        let feed = FeedSetup::new(name).line("window = \"5m\"");
        setup.feed(feed.rung("90p", "160x90", "60k").rung("45p", "80x46", "30k"))
    });
    let mut rungd = setup.start();
    let publisher =
        Ffmpeg::new().picture("testsrc2=size=160x90:rate=15").audio_encoder("-c:a aac -b:a 32k -ac 1");
    let publishers: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let url = if n % 2 == 0 { rungd.rtmp_url(name) } else { rungd.rtmps_url(name) };
            publisher.publish(&url, rungd.folder())
        })
        .collect();
    for name in &names {
        let _ = rungd.wait_for_segments(name, 1);
    }
    let since = Stopwatch::start();
    wait_until(LENGTH * 2, "the feeds to run", || (since.elapsed() >= LENGTH).then_some(()));
    for name in &names {
        let manifest = rungd.wait_for_segments(name, 12);
        output::check(&rungd, &manifest);
        for track in &manifest.tracks {
            assert_eq!(track.segments.first().unwrap().number, 1, "{name}, {}", track.id);
        }
        let feed = rungd.feed(name);
        assert_eq!(feed["state"], "live", "{feed}");
        assert_eq!(feed["source"]["decode_errors"], 0, "{feed}");
    }
    for mut publisher in publishers {
        assert!(publisher.is_running(), "{}", publisher.log());
    }
}
