//! What operators and their tools see.

use std::process::Command;

use test_support::{Ffmpeg, Setup, http, wait_until};

#[test]
fn a_feed_on_air_is_seen_in_metrics_api_and_status() {
    let mut rungd = Setup::one_feed("studio-m").start();
    assert_eq!(http::get(&rungd.url("/healthz")).status, 200);
    assert_eq!(http::get(&rungd.url("/readyz")).status, 200);
    assert_eq!(rungd.feed("studio-m")["state"], "idle");
    let _publisher = Ffmpeg::new().publish(&rungd.rtmps_url("studio-m"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-m", 4);

    // Reports come about once a second, so figures follow a moment later.
    let feed = wait_until(std::time::Duration::from_secs(10), "figures of the rungs", || {
        let feed = rungd.feed("studio-m");
        let known = |rung: &serde_json::Value| {
            rung["real_time_ratio"].as_f64().is_some_and(|ratio| ratio > 1.0)
                && rung["measured_bit_rate"].as_u64().is_some_and(|rate| rate > 0)
        };
        feed["rungs"].as_array()?.iter().all(known).then_some(feed)
    });
    assert_eq!(feed["state"], "live");
    assert_eq!(feed["rungs"].as_array().unwrap().len(), 2);
    let source = &feed["source"];
    assert_eq!((&source["width"], &source["height"]), (&320.into(), &180.into()), "{source}");
    assert_eq!(source["frame_rate"], "15", "{source}");
    assert_eq!(
        (&source["video_codec"], &source["audio_codec"]),
        (&"H.264".into(), &"AAC".into()),
        "{source}"
    );
    assert!(feed["publisher"]["address"].as_str().is_some_and(|a| a.starts_with("127.0.0.1:")), "{feed}");
    for url in ["dash_url", "hls_url"] {
        assert_eq!(http::get(&rungd.url(feed[url].as_str().unwrap())).status, 200, "{url}");
    }

    let near = |name: &str, labels: &[&str], wanted: f64| {
        let value = rungd.metric(name, labels);
        assert!(
            value.is_some_and(|v| (v - wanted).abs() < 0.01),
            "{name}{labels:?} is {value:?}, not {wanted}"
        );
    };
    near("rungd_feed_on_air", &["feed=\"studio-m\""], 1.0);
    near("rungd_feed_publishes_total", &["feed=\"studio-m\""], 1.0);
    near("rungd_ingest_publishing", &[], 1.0);
    near("rungd_worker_starts_total", &[], 1.0);
    near("rungd_feed_reconnects_total", &["feed=\"studio-m\""], 0.0);
    near("rungd_feed_worker_deaths_total", &["feed=\"studio-m\""], 0.0);
    // Of the last second, in which the encoder may have been kept from running.
    wait_until(std::time::Duration::from_secs(10), "15 pictures a second", || {
        let rate = rungd.metric("rungd_feed_source_frames_per_second", &["feed=\"studio-m\""])?;
        (12.0..18.0).contains(&rate).then_some(())
    });
    let jitter = rungd.metric("rungd_feed_source_jitter_seconds", &["feed=\"studio-m\""]);
    assert!(jitter.is_some_and(|jitter| jitter > 0.0 && jitter < 0.5), "{jitter:?}");
    for name in [
        "rungd_rung_real_time_ratio",
        "rungd_rung_bits_per_second",
        "rungd_rung_frames_total",
        "rungd_rung_pictures_total",
        "rungd_rung_encode_latency_seconds_count",
        "rungd_rung_encode_latency_seconds_sum",
    ] {
        let value = rungd.metric(name, &["feed=\"studio-m\"", "rung=\"180p\""]);
        assert!(value.is_some_and(|v| v > 0.0), "{name}: {value:?}");
    }
    assert!(rungd.metric("rungd_ingest_bytes_total", &[]).is_some_and(|bytes| bytes > 10_000.0));
    assert!(rungd.metric("rungd_http_requests_total", &[]).is_some_and(|count| count > 5.0));

    // Secrets are nowhere to be seen.
    let key = test_support::rungd::stream_key("studio-m");
    for path in ["/metrics", "/api/v1/feeds", "/api/v1/presentations", "/", "/live/studio-m/manifest.mpd"] {
        assert!(!http::get(&rungd.url(path)).text().contains(&key), "{path} shows the stream key");
    }
    assert!(!rungd.log().contains(&key), "the log shows the stream key:\n{}", rungd.log());
}

/// Prometheus' text format: every sample's family has its HELP and TYPE, and no stranger's words are labels.
#[test]
fn metrics_are_well_formed() {
    let rungd = Setup::one_feed("studio-m").start();
    let _ = http::get(&rungd.url("/live/a-name-that-a-stranger-chose/manifest.mpd"));
    let answer = http::get(&rungd.url("/metrics"));
    assert!(
        answer.header("content-type").is_some_and(|t| t.starts_with("text/plain")),
        "{:?}",
        answer.headers
    );
    let text = answer.text();
    assert!(!text.contains("a-stranger-chose"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let described = |kind: &str| {
            text.contains(&format!("# {kind} {family} ")) || text.contains(&format!("# {kind} {name} "))
        };
        assert!(described("TYPE") && described("HELP"), "{name} has no TYPE or HELP");
    }
}

#[test]
fn the_command_line_tells_the_status() {
    let rungd = Setup::one_feed("studio-m").start();
    let program = test_support::rungd::binary("rungd");
    let output = Command::new(program)
        .args(["status", "--config"])
        .arg(rungd.folder().join("rungd.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("studio-m") && text.to_lowercase().contains("idle"), "{text}");
}
