//! Low latency from the encoder's socket to the viewer's.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::timed::Programme;
use test_support::{FeedSetup, Rungd, Setup, Stopwatch, boxes, http, media_check, wait_until};

/// The product's bounds, from a picture's being sent to its being there for a viewer, with chunks of half a second.
const MEDIAN: Duration = Duration::from_millis(800);
const WORST: Duration = Duration::from_millis(1200);
/// How long is measured: `LOW_LATENCY_SECONDS=120` for the figures of the product.
const SECONDS: &str = "LOW_LATENCY_SECONDS";
const SHORT_SECONDS: u64 = 14;
/// The programme's pictures a second, and their length in the clock of `tfdt`.
const TICKS_PER_PICTURE: u64 = 90_000 / 30;
/// Longest time for what takes a segment.
const DEADLINE: Duration = Duration::from_secs(30);

fn setup(feed: &str) -> Setup {
    let feed = FeedSetup::new(feed)
        .rung("360p", "640x360", "800k")
        .rung("180p", "320x180", "250k")
        .line("segment = \"2s\"")
        .line("latency = \"low\"");
    Setup::default().feed(feed)
}

/// A chunk as it came to a viewer.
struct Seen {
    /// Its pictures, counted from the first that was sent.
    pictures: std::ops::Range<u64>,
    /// When its last byte was there.
    at: Duration,
}

fn box_at(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap())).unwrap();
    Some((bytes.get(4..8)?, bytes.get(..length)?))
}

/// Reads a segment while it is written.
fn watch(url: &str, init: &boxes::Init, clock: Stopwatch) -> Vec<Seen> {
    let mut body = http::stream(url);
    let (mut bytes, mut piece, mut seen) = (Vec::new(), vec![0; 65_536], Vec::new());
    let mut chunk = 0;
    loop {
        let got = body.read(&mut piece).unwrap_or_else(|error| panic!("{url}: {error}"));
        let at = clock.elapsed();
        if got == 0 {
            assert_eq!(chunk, bytes.len(), "{url} ends within a chunk");
            return seen;
        }
        bytes.extend_from_slice(&piece[..got]);
        let mut next = chunk;
        while let Some((kind, whole)) = box_at(&bytes[next..]) {
            next += whole.len();
            if kind != b"mdat" {
                continue;
            }
            let read = boxes::segment(init, &bytes[chunk..next]);
            let first = read.start() / TICKS_PER_PICTURE;
            let count = u64::try_from(read.samples().count()).unwrap();
            seen.push(Seen { pictures: first..first + count, at });
            chunk = next;
        }
    }
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn pictures_are_there_for_viewers_within_the_bounds() {
    let asked: Option<u64> = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    let (median, worst) = measure(asked.unwrap_or(SHORT_SECONDS));
    assert!(median <= MEDIAN, "median {median:?}");
    assert!(worst <= WORST, "worst {worst:?}");
}

/// The median and the worst, of the first pictures of the chunks of so many seconds.
fn measure(seconds: u64) -> (Duration, Duration) {
    let rungd = setup("prompt").start();
    let programme = Programme::make(rungd.folder(), Duration::from_secs(seconds + 4));
    let clock = Stopwatch::start();
    let published = programme.publish(rungd.rtmp, "live", &test_support::rungd::stream_key("prompt"), clock);
    let init = wait_until(DEADLINE, "an init segment", || {
        let answer = http::get(&rungd.url("/live/prompt/360p/init.mp4"));
        (answer.status == 200).then(|| boxes::init(&answer.body))
    });
    // The first segment has the encoders' opening in it.
    let (mut since_first, mut since_last) = (Vec::new(), Vec::new());
    for number in 1..=seconds / 2 + 1 {
        let seen = watch(&rungd.url(&format!("/live/prompt/360p/{number}.m4s")), &init, clock);
        assert_eq!(seen.len(), 4, "segment {number} has {} chunks", seen.len());
        for chunk in seen.iter().filter(|_| number > 1) {
            let sent = |picture: u64| published.sent(usize::try_from(picture).unwrap());
            since_first.push(chunk.at.saturating_sub(sent(chunk.pictures.start)));
            since_last.push(chunk.at.saturating_sub(sent(chunk.pictures.end - 1)));
        }
    }
    assert!(published.is_sending(), "it was measured while it lasted");
    since_first.sort();
    since_last.sort();
    let (median, worst) = (quantile(&since_first, 50), quantile(&since_first, 100));
    println!(
        "{} chunks over {seconds} s: first picture of a chunk sent to chunk there: median {median:?}, 95 % \
         {:?}, worst {worst:?}; last picture: median {:?}, worst {:?}",
        since_first.len(),
        quantile(&since_first, 95),
        quantile(&since_last, 50),
        quantile(&since_last, 100),
    );
    (median, worst)
}

/// What a player knows of a track: the parts that its playlist listed, with the bytes that they had then.
pub(crate) type Parts = BTreeMap<(u64, u64), Vec<u8>>;

/// Follows a playlist by blocking reloads for as long as `go_on` says, and fetches each part as soon as it is listed.
pub(crate) fn follow(
    rungd: &Rungd,
    feed: &str,
    track: &str,
    mut go_on: impl FnMut(&Parts) -> bool,
) -> (Parts, Vec<u8>) {
    let base = rungd.url(&format!("/live/{feed}/{track}/"));
    let playlist = format!("{base}index.m3u8");
    let mut parts = Parts::new();
    let mut text = wait_until(DEADLINE, "a playlist", || {
        let answer = http::get(&playlist);
        (answer.status == 200).then(|| answer.text())
    });
    let map = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")).unwrap();
    let init = http::body(&join(&base, map.trim_end_matches('"')));
    while go_on(&parts) {
        let mut next = (1, 0);
        for line in text.lines() {
            let Some((_, uri)) = line.split_once("URI=\"").filter(|_| line.starts_with("#EXT-X-PART:"))
            else {
                continue;
            };
            let uri = uri.split('"').next().unwrap();
            let name = uri.rsplit('/').next().unwrap().strip_suffix(".m4s").unwrap();
            let (number, index) = name.split_once('.').unwrap();
            let key = (number.parse().unwrap(), index.parse().unwrap());
            parts.entry(key).or_insert_with(|| http::body(&join(&base, uri)));
            next = (key.0, key.1 + 1);
        }
        let answer = http::get(&format!("{playlist}?_HLS_msn={}&_HLS_part={}", next.0, next.1));
        assert_eq!(answer.status, 200, "{next:?}: {}", answer.text());
        text = answer.text();
    }
    (parts, init)
}

fn join(base: &str, uri: &str) -> String {
    let mut folders: Vec<&str> = base.trim_end_matches('/').split('/').collect();
    let mut rest = uri;
    while let Some(up) = rest.strip_prefix("../") {
        folders.pop();
        rest = up;
    }
    format!("{}/{rest}", folders.join("/"))
}

#[test]
fn parts_that_were_listed_never_change_though_workers_die() {
    let rungd = setup("struck").start();
    let programme = Programme::make(rungd.folder(), Duration::from_secs(60));
    let key = test_support::rungd::stream_key("struck");
    let _published = programme.publish(rungd.rtmp, "live", &key, Stopwatch::start());
    let mut struck = Vec::new();
    let (parts, init) = follow(&rungd, "struck", "360p", |parts| {
        let last = parts.last_key_value().map_or((0, 0), |(key, _)| *key);
        // In the middle of segments 3 and 6, or soon after: two parts may come at once.
        if [(3, 1), (6, 1)].get(struck.len()).is_some_and(|due| last >= *due) {
            rungd.kill_worker("struck", Signal::SIGKILL);
            struck.push(last);
        }
        last.0 < 10
    });
    assert_eq!(struck.len(), 2, "{struck:?}");
    assert_eq!(rungd.metric("rungd_worker_ends_total", &["reason=\"signalled\""]), Some(2.0));
    let first = parts.first_key_value().unwrap().0.0;
    let mut file = init;
    let init = boxes::init(&file);
    let mut end = None;
    for number in first..10 {
        let joined: Vec<u8> =
            parts.range((number, 0)..(number + 1, 0)).flat_map(|(_, bytes)| bytes.clone()).collect();
        let whole = http::body(&rungd.url(&format!("/live/struck/360p/{number}.m4s")));
        assert_eq!(joined.len(), whole.len(), "segment {number}");
        assert!(joined == whole, "segment {number}: its parts are other bytes than the segment");
        let read = boxes::segment(&init, &whole);
        assert!(end.is_none_or(|end| end == read.start()), "segment {number}: hole before it");
        assert_eq!(read.samples().count(), 60, "segment {number}: its pictures");
        end = Some(read.end());
        file.extend_from_slice(&whole);
    }
    let path = rungd.folder().join("joined.mp4");
    std::fs::write(&path, &file).unwrap();
    let errors = media_check::decode_errors(path.to_str().unwrap());
    assert!(errors.is_empty(), "ffmpeg: {errors}");
}

/// Independent readers: ffmpeg's, of HLS while it is live and of the MPD once it has ended. (Live it cannot be shown an
/// MPD with `@duration`: version 5.1 reads a segment twice wherever it reads the MPD again.)
#[test]
fn ffmpeg_reads_both_manifests() {
    let rungd = setup("read").start();
    let programme = Programme::make(rungd.folder(), Duration::from_secs(15));
    let key = test_support::rungd::stream_key("read");
    let _published = programme.publish(rungd.rtmp, "live", &key, Stopwatch::start());
    wait_until(DEADLINE, "a whole segment", || {
        http::get(&rungd.url("/live/read/360p/index.m3u8")).text().contains("#EXTINF").then_some(())
    });
    let output = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-err_detect", "explode"])
        .args(["-i", &rungd.hls_url("read"), "-t", "6", "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs; make deps installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    // It reads EXT-X-MAP again behind every reload of a live playlist, and remarks on it.
    let said: Vec<&str> = said.lines().filter(|line| !line.contains("duplicated MOOV Atom")).collect();
    assert!(output.status.success() && said.is_empty(), "{said:#?}");
    wait_until(DEADLINE, "the MPD to turn static", || {
        http::get(&rungd.mpd_url("read")).text().contains("type=\"static\"").then_some(())
    });
    let errors = media_check::decode_errors(&rungd.mpd_url("read"));
    // It asks for a segment past the end, which is answered by 204. That has no Content-Length (RFC 9110, 15.3.5), and
    // ffmpeg remarks on a connection that stays open without one.
    let past_end = "Stream ends prematurely at 0, should be 18446744073709551615";
    let errors: Vec<&str> =
        errors.lines().filter(|line| !line.is_empty() && !line.ends_with(past_end)).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
