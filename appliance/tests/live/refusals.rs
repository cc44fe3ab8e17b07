//! Who may not publish is told why, at once, before any media; and nobody on air is disturbed.

use std::time::Duration;

use test_support::raw_rtmp::RawRtmp;
use test_support::{Ffmpeg, Setup, wait_until};

/// A refusal is an answer, not a timeout.
const AT_ONCE: Duration = Duration::from_secs(8);

fn refusal(rungd: &test_support::Rungd, application: &str, key: &str) -> Vec<String> {
    let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
    // The server may close while the later commands are still being sent.
    let _ = client.publish(application, key);
    client.commands_to_the_end()
}

#[test]
fn a_wrong_key() {
    let rungd = Setup::one_feed("studio-a").start();
    let before = rungd.metric("rungd_ingest_refusals_total", &[]).unwrap_or(0.0);
    for url in [
        format!("rtmp://{}/live/wrong-key-1", rungd.rtmp),
        format!("rtmps://{}/live/wrong-key-2", rungd.rtmps),
    ] {
        let mut ffmpeg = Ffmpeg::new().publish(&url, rungd.folder());
        let status = ffmpeg.wait(AT_ONCE);
        assert!(!status.success(), "ffmpeg was let in: {}", ffmpeg.log());
    }
    let said = refusal(&rungd, "live", "wrong-key-3");
    let last = said.last().expect("a refusal is said before the connection is closed");
    assert!(last.contains("onStatus") && last.contains("error"), "{said:#?}");
    assert!(last.contains("NetStream.Publish.BadName"), "{said:#?}");
    assert!(!said.iter().any(|command| command.contains("NetStream.Publish.Start")), "{said:#?}");
    let after = rungd.metric("rungd_ingest_refusals_total", &[]).unwrap_or(0.0);
    assert!((after - before - 3.0).abs() < 0.5, "{before} refusals before, {after} after three");
    for secret in ["wrong-key-1", "wrong-key-2", "wrong-key-3"] {
        assert!(!rungd.log().contains(secret), "a stream key in the log:\n{}", rungd.log());
    }
    assert_eq!(rungd.feed("studio-a")["state"], "idle");
}

#[test]
fn an_unknown_application() {
    let rungd = Setup::one_feed("studio-a").start();
    let said = refusal(&rungd, "vod", &test_support::rungd::stream_key("studio-a"));
    let all = said.join("\n");
    assert!(all.contains("error") && all.contains("vod"), "the application is named: {said:#?}");
    assert!(!all.contains("NetStream.Publish.Start"), "{said:#?}");
    let url = rungd.rtmp_url("studio-a").replace("/live/", "/vod/");
    assert!(!Ffmpeg::new().publish(&url, rungd.folder()).wait(AT_ONCE).success());
}

#[test]
fn a_second_publisher() {
    let mut rungd = Setup::one_feed("studio-a").start();
    let mut first = Ffmpeg::new().publish(&rungd.rtmp_url("studio-a"), rungd.folder());
    let before = rungd.wait_for_segments("studio-a", 2);
    let mut second = Ffmpeg::new().publish(&rungd.rtmps_url("studio-a"), rungd.folder());
    assert!(!second.wait(AT_ONCE).success(), "{}", second.log());
    let said = refusal(&rungd, "live", &test_support::rungd::stream_key("studio-a"));
    assert!(said.last().is_some_and(|last| last.contains("error")), "{said:#?}");
    let after = rungd.wait_for_segments("studio-a", before.fewest_segments() + 2);
    assert_eq!(before.availability_start, after.availability_start, "the first goes on");
    assert!(first.is_running(), "{}", first.log());
}

#[test]
fn a_stranger_who_keeps_guessing_is_not_heard_any_more() {
    let rungd = Setup::one_feed("studio-a").ingest("refusals_per_minute = 3").start();
    for key in ["a-guessed-key", "another-key"] {
        refusal(&rungd, "live", key);
    }
    refusal(&rungd, "a-guessed-application", "a-third-key");
    // Even the right key is refused now: otherwise guesses would go on being answered. So is another application, and
    // neither is told more than that.
    for application in ["live", "another-guess"] {
        let said = refusal(&rungd, application, &test_support::rungd::stream_key("studio-a"));
        let [last] = said.as_slice() else { panic!("{said:#?}") };
        assert!(last.contains("NetConnection.Connect.Rejected"), "{said:#?}");
        assert!(last.contains("too many refusals"), "{said:#?}");
    }
    for (reason, count) in [("unknown_key", 2.0), ("unknown_application", 1.0), ("barred", 2.0)] {
        let label = format!("reason=\"{reason}\"");
        let counted = rungd.metric("rungd_ingest_refusals_total", &[&label]).unwrap_or(0.0);
        assert!((counted - count).abs() < 0.5, "{counted} refusals with {label}, not {count}");
    }
}

/// Encoders with "use authentication" ticked and left empty send `key?` or `key?user=&password=`.
#[test]
fn empty_authentication_fields_do_no_harm() {
    let rungd = Setup::one_feed("studio-a").start();
    let key = format!("{}?user=&password=", test_support::rungd::stream_key("studio-a"));
    let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
    client.publish("live", &key).unwrap();
    let started = wait_until(AT_ONCE, "the publish to be answered", || match client.receive().unwrap() {
        Some(message) if message.kind == 20 && message.text().contains("onStatus") => Some(message.text()),
        Some(_) => None,
        None => panic!("closed without an answer"),
    });
    assert!(started.contains("NetStream.Publish.Start"), "{started}");
}

#[test]
fn a_source_beyond_a_bound_is_refused_or_told_of_as_the_configuration_has_it() {
    let actions = "[ingest.limits]\nmax_width = 320\nmax_key_frame_interval = \"1s\"\n[ingest.limits.actions]\nchannels = \"accept\"";
    let mut rungd = Setup::one_feed("studio-a").section(actions).start();
    let rule = |rungd: &test_support::Rungd, rule: &str, action: &str| {
        let labels = [format!("rule=\"{rule}\""), format!("action=\"{action}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        rungd.metric("rungd_feed_input_rules_total", &labels).unwrap_or(0.0)
    };
    // 640x360: over the bound, whose action is to refuse.
    let mut wide = Ffmpeg::new()
        .picture("testsrc2=size=640x360:rate=25")
        .publish(&rungd.rtmp_url("studio-a"), rungd.folder());
    assert!(!wide.wait(AT_ONCE).success(), "{}", wide.log());
    let sentence = "picture of 640x360 is over the bound of 320x2304";
    assert!(rungd.log().contains(sentence), "{}", rungd.log());
    assert_eq!(rungd.feed("studio-a")["problem"], sentence);
    assert!((rule(&rungd, "size", "refuse") - 1.0).abs() < 0.5);

    // A key frame each 2 s: over the bound, whose action is to warn. It plays, and one line says so.
    let narrow = Ffmpeg::new().picture("testsrc2=size=320x180:rate=25").video_encoder(
        "-c:v libx264 -preset ultrafast -g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p",
    );
    let mut narrow = narrow.publish(&rungd.rtmp_url("studio-a"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-a", 4);
    assert!(narrow.is_running(), "{}", narrow.log());
    assert!((rule(&rungd, "key_frame_interval", "warn") - 1.0).abs() < 0.5);
    let told = rungd.log().matches("set the encoder's key frame interval to 2 s").count();
    assert_eq!(told, 1, "{}", rungd.log());
}
