//! What viewers and caches need of HTTP, and what odd requests get.

use std::time::Duration;

use test_support::{Ffmpeg, Setup, Stopwatch, http};

#[test]
fn media_is_served_as_caches_and_players_need_it() {
    let mut rungd = Setup::one_feed("studio-w").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-w"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-w", 3);
    let track = manifest.video().next().unwrap();

    let mpd = http::get(&rungd.mpd_url("studio-w"));
    assert_eq!(mpd.header("content-type"), Some("application/dash+xml"));
    assert_eq!(mpd.header("access-control-allow-origin"), Some("*"));
    let age = |answer: &http::Answer| {
        let control = answer.header("cache-control").expect("Cache-Control").to_owned();
        control.split("max-age=").nth(1).and_then(|rest| rest.split(',').next()?.trim().parse::<u64>().ok())
    };
    assert!(age(&mpd).is_none_or(|seconds| seconds <= 2), "{:?}", mpd.headers);

    let url = &track.segments[0].url;
    let segment = http::get(url);
    assert_eq!(segment.header("content-type"), Some("video/mp4"));
    assert!(
        age(&segment).is_some_and(|seconds| seconds >= 3600),
        "segments never change: {:?}",
        segment.headers
    );
    assert!(segment.header("cache-control").unwrap().contains("immutable"));
    let etag = segment.header("etag").expect("ETag").to_owned();
    let again = http::request("GET", url, &[("If-None-Match", &etag)]).unwrap();
    assert_eq!((again.status, again.body.len()), (304, 0));

    let part = http::request("GET", url, &[("Range", "bytes=10-19")]).unwrap();
    assert_eq!((part.status, part.body.as_slice()), (206, &segment.body[10..20]));
    let wanted = format!("bytes 10-19/{}", segment.body.len());
    assert_eq!(part.header("content-range"), Some(wanted.as_str()));
    let beyond = http::request("GET", url, &[("Range", "bytes=99999999-")]).unwrap();
    assert_eq!(beyond.status, 416);

    let head = http::request("HEAD", url, &[]).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let preflight = http::request(
        "OPTIONS",
        url,
        &[("Origin", "http://tv.example"), ("Access-Control-Request-Method", "GET")],
    );
    assert!(preflight.unwrap().status < 300);
}

#[test]
fn odd_requests_get_4xx_at_once() {
    let mut rungd = Setup::one_feed("studio-w").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-w"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-w", 2);
    let number = manifest.video().next().unwrap().segments[0].number;
    let paths = [
        "/live/studio-w/../../etc/passwd".to_owned(),
        "/live/studio-w/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/live/studio-w/180p/..%2f..%2frungd.json".to_owned(),
        "/live/nobody/manifest.mpd".to_owned(),
        format!("/live/studio-w/4k/{number}.m4s"),
        "/live/studio-w/180p/99999999999999999999999.m4s".to_owned(),
        "/live/studio-w/180p/-1.m4s".to_owned(),
        "/live/studio-w/180p/0.m4s".to_owned(),
        "/live/studio-w/180p/1000000.m4s".to_owned(),
        format!("/live/studio-w/180p/{number}.m4s/"),
        "/replay/studio-w/20000101T000000.000Z/manifest.mpd".to_owned(),
        "/replay/studio-w/..%2f..%2f/manifest.mpd".to_owned(),
        "/api/v1/nothing".to_owned(),
        format!("/{}", "a".repeat(5000)),
    ];
    for path in &paths {
        let ask = |_| {
            let since = Stopwatch::start();
            let answer = http::request("GET", &rungd.url(path), &[]).unwrap();
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
            assert!(!answer.text().contains("root:"), "{path}");
            since.elapsed()
        };
        // A millisecond is what the daemon takes; the rest is for a busy machine, which is not busy five times.
        let quickest = (0..5).map(ask).min().unwrap();
        assert!(quickest < Duration::from_millis(500), "{path}: {quickest:?}");
    }
    let post = http::request("POST", &rungd.mpd_url("studio-w"), &[]).unwrap();
    assert_eq!(post.status, 405);
}

/// A player asks for the segment after the last before it exists: the answer waits for it.
#[test]
fn a_segment_about_to_exist_is_waited_for() {
    let mut rungd = Setup::one_feed("studio-w").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-w"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-w", 2);
    let track = manifest.video().next().unwrap();
    let last = track.segments.last().unwrap();
    let next = last.url.replace(&format!("{}.m4s", last.number), &format!("{}.m4s", last.number + 1));
    let bytes = http::body(&next);
    let (_, init) = track.init();
    let segment = test_support::boxes::segment(&init, &bytes);
    assert_eq!(segment.start(), last.start + last.duration);
}

#[test]
fn the_time_is_told() {
    let rungd = Setup::one_feed("studio-w").start();
    let answer = http::get(&rungd.url("/time"));
    assert_eq!(answer.status, 200);
    let text = answer.text();
    // xs:dateTime in UTC, as urn:mpeg:dash:utc:http-iso:2014 wants it.
    assert!(text.trim().ends_with('Z') && text.contains('T') && text.trim().len() >= 20, "{text}");
    assert_eq!(http::get(&rungd.url("/")).status, 200);
}
