//! Ten feeds of 160x90 at 15 fps at once.

use std::collections::BTreeMap;
use std::time::Duration;

use test_support::wait::poll;
use test_support::{FeedSetup, Ffmpeg, Manifest, Setup, Stopwatch};

use crate::table::Table;
use crate::usage;

const FEEDS: u32 = 10;
/// Longest that the start of all of them may take.
const START: Duration = Duration::from_secs(60);

/// When a segment was first seen listed, and where on the timeline it ends.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Duration,
    number: u64,
    end_seconds: f64,
}

/// Runs them, and adds the figures.
pub(crate) fn measure(length: Duration, table: &mut Table) {
    println!("Running ten feeds for {length:?} ...");
    let names: Vec<_> = (0..FEEDS).map(|n| format!("feed-{n}")).collect();
    let setup = names.iter().fold(Setup::default(), |setup, name| {
        let feed = FeedSetup::new(name).rung("90p", "160x90", "80k").rung("45p", "80x46", "40k");
        setup.feed(feed.line("segment = \"2s\"").line("window = \"60s\""))
    });
    let mut rungd = setup.start();
    let idle = usage::of(rungd.pid()).expect("rungd runs");
    let publisher =
        Ffmpeg::new().picture("testsrc2=size=160x90:rate=15").audio_encoder("-c:a aac -b:a 32k -ac 1");
    let publishers: Vec<_> =
        names.iter().map(|name| publisher.publish(&rungd.rtmps_url(name), rungd.folder())).collect();
    for name in &names {
        let _ = rungd.wait_for_segments(name, 1);
    }
    let since = Stopwatch::start();
    let before = usage::of(rungd.pid()).expect("rungd runs");
    let mut first: BTreeMap<&str, Seen> = BTreeMap::new();
    let mut last: BTreeMap<&str, Seen> = BTreeMap::new();
    let mut missed = 0;
    poll(length + START, || {
        for name in &names {
            let Some(manifest) = Manifest::fetch(&rungd.mpd_url(name)) else { continue };
            let Some(track) = manifest.video().next() else { continue };
            missed += track
                .segments
                .windows(2)
                .filter(|pair| pair[0].start + pair[0].duration != pair[1].start)
                .count();
            let Some(segment) = track.segments.last() else { continue };
            let ticks = Duration::from_secs(segment.start + segment.duration);
            let scale = Duration::from_secs(track.timescale);
            let end_seconds = ticks.as_secs_f64() / scale.as_secs_f64();
            let seen = Seen { at: since.elapsed(), number: segment.number, end_seconds };
            let known = last.get(name.as_str());
            if known.is_some_and(|known| known.number == seen.number) {
                continue;
            }
            if known.is_some() {
                // The first change, not the first look: only then is the moment known.
                first.entry(name).or_insert(seen);
            }
            last.insert(name, seen);
        }
        (since.elapsed() >= length).then_some(())
    });
    let after = usage::of(rungd.pid()).expect("rungd runs");
    let ran = since.elapsed().as_secs_f64();
    for mut publisher in publishers {
        assert!(publisher.is_running(), "a publisher has ended:\n{}", publisher.log());
    }
    let drifts: Vec<f64> = names
        .iter()
        .filter_map(|name| {
            let (first, last) = (first.get(name.as_str())?, last.get(name.as_str())?);
            let wall = last.at.checked_sub(first.at)?.as_secs_f64();
            Some((wall - (last.end_seconds - first.end_seconds)) * 1000.0)
        })
        .collect();
    assert_eq!(drifts.len(), names.len(), "a feed listed nothing new: {last:?}");
    let shortest = last.values().map(|seen| seen.end_seconds).fold(f64::MAX, f64::min);
    let window_mb = rungd.metric("rungd_store_memory_bytes", &[]).unwrap_or(0.0) / 1e6;
    let feeds = f64::from(FEEDS);

    table.at_most("ten feeds: holes in their timelines", if missed == 0 { 0.0 } else { 1.0 }, 0.0, "");
    table.note(
        "ten feeds: shortest timeline after the start of all",
        format!("{shortest:.1} s, run for {ran:.1} s"),
    );
    let worst = drifts.iter().fold(0.0_f64, |worst, drift| worst.max(drift.abs()));
    // Manifests are looked at in turn, so a change is seen up to a round of looks late.
    table.at_most("ten feeds: worst drift against wall time", worst, 200.0, "ms");
    let cpu = (after.cpu_seconds - before.cpu_seconds) / ran * 100.0 / feeds;
    table.at_most("ten feeds: daemon's processor time a feed, viewers included", cpu, 1.0, "% of a core");
    let memory = (after.resident_mb - idle.resident_mb - window_mb) / feeds;
    table.at_most("ten feeds: daemon's memory a feed above its window", memory, 15.0, "MB");
}
