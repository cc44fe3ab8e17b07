//! SIGTERM finishes what is on air: the last segments are put out, archived and listed, and nothing is left running.

use std::time::Duration;

use test_support::raw_rtmp::{Amf, RawRtmp};
use test_support::{FeedSetup, Ffmpeg, Manifest, Setup, Stopwatch};

use crate::output;
use crate::replay::{ended_presentation, presentations};

#[test]
fn a_stop_while_on_air_loses_nothing_that_was_listed() {
    let mut rungd = Setup::one_feed("studio-s").start();
    let mut publisher = Ffmpeg::new().publish(&rungd.rtmps_url("studio-s"), rungd.folder());
    let live = rungd.wait_for_segments("studio-s", 4);
    let worker = rungd.worker("studio-s").expect("a worker on air");
    let since = Stopwatch::start();
    let status = rungd.stop();
    assert!(status.success(), "{status}");
    assert!(since.elapsed() < Duration::from_secs(20), "stopped after {:?}", since.elapsed());
    assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "the worker is left behind");
    let _ = publisher.wait(Duration::from_secs(10));

    let rungd = rungd.start_again();
    assert_eq!(presentations(&rungd, "studio-s").len(), 1);
    let id = ended_presentation(&rungd, "studio-s");
    let replay = Manifest::fetch(&rungd.url(&format!("/replay/studio-s/{id}/manifest.mpd"))).unwrap();
    output::check(&rungd, &replay);
    for track in &live.tracks {
        let kept = replay.tracks.iter().find(|t| t.id == track.id).unwrap();
        for segment in &track.segments {
            let same = kept.segments.iter().find(|s| s.number == segment.number);
            assert!(same.is_some_and(|s| s.start == segment.start), "{} {segment:?} is not kept", track.id);
        }
    }
}

/// An encoder that said it can is asked to connect anew, which is not an error to it; another is told why it is closed.
#[test]
fn encoders_that_can_are_asked_to_reconnect() {
    let mut rungd = Setup::one_feed("studio-s").feed(FeedSetup::new("studio-t")).start();
    let publish = |feed: &str, properties: &[(&str, Amf<'_>)]| {
        let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
        client.publish_as("live", &test_support::rungd::stream_key(feed), properties).unwrap();
        let _ = client.commands_until("NetStream.Publish.Start");
        rungd.wait_for_state(feed, Duration::from_secs(10), &["starting"]);
        client
    };
    // CapsExMask.Reconnect (Enhanced RTMP v2).
    let able = publish("studio-s", &[("capsEx", Amf::Number(1.0))]);
    let unable = publish("studio-t", &[]);
    let told = |mut client: RawRtmp| client.commands_to_the_end().join("\n");
    std::thread::scope(|scope| {
        let (able, unable) = (scope.spawn(|| told(able)), scope.spawn(|| told(unable)));
        assert!(rungd.stop().success());
        let (able, unable) = (able.join().unwrap(), unable.join().unwrap());
        assert!(able.contains("NetConnection.Connect.ReconnectRequest"), "{able}");
        assert!(!able.contains("error"), "{able}");
        assert!(unable.contains("NetStream.Publish.Rejected"), "{unable}");
        assert!(unable.contains("the appliance is shutting down"), "{unable}");
    });
}

#[test]
fn a_stop_without_feeds_is_quick() {
    let mut rungd = Setup::one_feed("studio-s").start();
    let since = Stopwatch::start();
    assert!(rungd.stop().success());
    assert!(since.elapsed() < Duration::from_secs(5), "stopped after {:?}", since.elapsed());
    assert!(!rungd.state_dir().join("rungd.json").exists(), "a stopped daemon leaves no address behind");
}
