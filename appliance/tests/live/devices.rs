//! Feeds on simulated devices: the same output as on the CPU, from decoders and encoders that are not the CPU's; and
//! what becomes of a feed whose device fails. The drivers are strict: a wrong call, or something left open, is a failure.

use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::timed::Programme;
use test_support::{
    FeedSetup, Ffmpeg, Rungd, Setup, Simulation, Stopwatch, boxes, http, media_check, wait_until,
};

use crate::{ladder_output, low_latency, output};

fn setup(simulation: &Simulation) -> Setup {
    Setup::default().section(&simulation.sections())
}

/// Streams a ladder of three; gives the simulation once the feed has ended.
fn ladder_on(engine: &'static str, devices: &str) -> Simulation {
    let simulation = Simulation::new(engine, devices);
    let look = |rungd: &Rungd| {
        let device = rungd.feed("ladder")["worker"]["device"].as_str().unwrap().to_owned();
        assert!(device.starts_with(&format!("{engine}:")), "{device}");
        let label = format!("device=\"{device}\"");
        assert_eq!(rungd.metric("rungd_device_info", &[&label]), Some(1.0));
        wait_until(Duration::from_secs(10), "the device's monitor to answer", || {
            (rungd.metric("rungd_device_up", &[&label]) == Some(1.0)).then_some(())
        });
        // 320x180, 240x136 (or nearly so) and 160x90 at 25 pictures a second.
        let load = rungd.metric("rungd_device_load_samples_per_second", &[&label]).unwrap();
        assert!((2.5e6..2.7e6).contains(&load), "{load}");
    };
    let mut rungd = ladder_output::a_ladder_of_three(setup(&simulation), &simulation.wish(), look);
    rungd.stop();
    simulation.assert_clean();
    simulation
}

/// What goes over the bus is tables for the scaler and the slate, whatever the number of pictures.
fn assert_stays_on_the_device(simulation: &Simulation) {
    let (decoded, encoded) = (simulation.counter("FramesDecoded"), simulation.counter("FramesEncoded"));
    assert!(decoded >= 200 && encoded >= 3 * 200, "{decoded} decoded, {encoded} encoded");
    assert_eq!(simulation.counter("DeviceToHostCopies"), 0);
    let copies = simulation.counter("HostToDeviceCopies");
    assert!(copies < 50, "{copies} copies to the device for {decoded} pictures");
}

#[test]
fn a_ladder_on_nvidia_stays_on_the_device() {
    assert_stays_on_the_device(&ladder_on("nvidia", "[[device]]\nmodel = \"l4\"\n"));
}

#[test]
fn a_ladder_on_nvidia_without_an_encoder_is_encoded_on_the_cpu() {
    let simulation = ladder_on("nvidia-decode", "[[device]]\nmodel = \"h200\"\n");
    assert!(simulation.counter("FramesDecoded") >= 200);
    assert_eq!(simulation.counter("FramesEncoded"), 0);
    assert!(simulation.counter("ScaleJobs") >= 400);
}

#[test]
fn a_ladder_on_vaapi_stays_on_the_device() {
    assert_stays_on_the_device(&ladder_on("vaapi", "[[device]]\nmodel = \"intel\"\n"));
}

#[test]
fn a_ladder_on_amd_through_vaapi() {
    assert_stays_on_the_device(&ladder_on("vaapi", "[[device]]\nmodel = \"amd\"\n"));
}

/// As on the CPU: an HEVC source, a worker that is killed, an encoder whose machine loses power. A new worker whose
/// parameter sets were not the old one's, bit for bit, would have ended the programme.
fn a_programme_goes_on(engine: &'static str, devices: &str) {
    let simulation = Simulation::new(engine, devices);
    let feed = FeedSetup::new("goes-on").line(&simulation.wish()).line("grace = \"30s\"");
    let mut rungd = setup(&simulation).feed(feed).start();
    let publisher = Ffmpeg::present_day()
        .picture("testsrc2=size=320x180:rate=10")
        .video_encoder("-c:v libx265 -preset ultrafast -x265-params keyint=20:min-keyint=20:log-level=error")
        .publish(&rungd.rtmp_url("goes-on"), rungd.folder());
    let before = rungd.wait_for_segments("goes-on", 2);
    assert_eq!(rungd.feed("goes-on")["source"]["video_codec"], "HEVC");
    assert!(simulation.counter("FramesDecoded") > 10, "{:#}", simulation.report());
    let killed = rungd.kill_worker("goes-on", Signal::SIGKILL);
    let on = rungd.wait_for_more("goes-on", &before, 2);
    assert_ne!(rungd.worker("goes-on"), Some(killed));
    publisher.signal(Signal::SIGKILL);
    let _ = rungd.wait_for_state("goes-on", Duration::from_secs(20), &["slate"]);
    let slate = rungd.wait_for_more("goes-on", &on, 3);
    assert_eq!(before.availability_start, slate.availability_start, "the same programme");
    output::check(&rungd, &slate);
    rungd.stop();
    simulation.assert_clean();
    assert!(simulation.counter("SessionsAbandoned") > 0, "the killed worker had sessions");
}

#[test]
fn a_programme_goes_on_on_nvidia() {
    a_programme_goes_on("nvidia", "[[device]]\nmodel = \"l4\"\n");
}

#[test]
fn a_programme_goes_on_through_vaapi() {
    a_programme_goes_on("vaapi", "[[device]]\nmodel = \"intel\"\n");
}

/// As on the CPU: parts come as they are coded, and go on behind those that are known though a worker dies.
fn low_latency_on(engine: &'static str, devices: &str) {
    let simulation = Simulation::new(engine, devices);
    let feed = FeedSetup::new("prompt").line(&simulation.wish()).line("latency = \"low\"");
    let mut rungd = setup(&simulation).feed(feed).start();
    let programme = Programme::make(rungd.folder(), Duration::from_secs(20));
    let key = test_support::rungd::stream_key("prompt");
    let published = programme.publish(rungd.rtmp, "live", &key, Stopwatch::start());
    let mut killed = None;
    let (parts, init) = low_latency::follow(&rungd, "prompt", "180p", |parts| {
        let last = parts.last_key_value().map_or((0, 0), |(key, _)| *key);
        if last.0 >= 3 && killed.is_none() {
            killed = Some(rungd.kill_worker("prompt", Signal::SIGKILL));
        }
        last.0 < 6
    });
    assert!(killed.is_some());
    let mut file = init;
    let first = parts.first_key_value().unwrap().0.0;
    for number in first..6 {
        let joined: Vec<u8> =
            parts.range((number, 0)..(number + 1, 0)).flat_map(|(_, bytes)| bytes.clone()).collect();
        let whole = http::body(&rungd.url(&format!("/live/prompt/180p/{number}.m4s")));
        assert!(joined == whole, "segment {number}: its parts are other bytes than the segment");
        assert_eq!(boxes::segment(&boxes::init(&file), &whole).samples().count(), 30, "segment {number}");
        file.extend_from_slice(&whole);
    }
    let path = rungd.folder().join("joined.mp4");
    std::fs::write(&path, &file).unwrap();
    let errors = media_check::decode_errors(path.to_str().unwrap());
    assert!(errors.is_empty(), "ffmpeg: {errors}");
    drop(published);
    rungd.stop();
    simulation.assert_clean();
}

#[test]
fn low_latency_on_nvidia() {
    low_latency_on("nvidia", "[[device]]\nmodel = \"l4\"\n");
}

#[test]
fn low_latency_through_vaapi() {
    low_latency_on("vaapi", "[[device]]\nmodel = \"intel\"\n");
}

/// All that NVML tells of a device stands in the daemon's metrics, and what its driver reports when it falls off the bus.
#[test]
fn prometheus_sees_every_gpu() {
    let plan =
        "[[device]]\nmodel = \"l4\"\nencode_mpx_s = 20\ndecode_mpx_s = 20\n[[device]]\nmodel = \"h200\"\n";
    let simulation = Simulation::new("nvidia", plan);
    let feed = FeedSetup::new("seen").line(&simulation.wish());
    let mut rungd = setup(&simulation).feed(feed).start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("seen"), rungd.folder());
    let _ = rungd.wait_for_segments("seen", 1);
    let id = rungd.feed("seen")["worker"]["device"].as_str().unwrap().to_owned();
    let device = format!("device=\"{id}\"");
    // The monitor reads every 2 s, and NVML tells of the last second.
    wait_until(Duration::from_secs(15), "a busy encoder", || {
        let ratio = rungd.metric("rungd_device_utilisation_ratio", &[&device, "engine=\"encoder\""]);
        ratio.is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0).then_some(())
    });
    let within = |name: &str, label: &str, bounds: std::ops::RangeInclusive<f64>| {
        let labels: Vec<&str> =
            [device.as_str(), label].into_iter().filter(|label| !label.is_empty()).collect();
        let value = rungd.metric(&format!("rungd_device_{name}"), &labels);
        assert!(value.is_some_and(|value| bounds.contains(&value)), "{name} {label}: {value:?}");
    };
    within("up", "", 1.0..=1.0);
    within("utilisation_ratio", "engine=\"decoder\"", 0.0..=1.0);
    within("utilisation_ratio", "engine=\"sm\"", 0.0..=1.0);
    within("memory_bytes", "", f64::from(1 << 30)..=1e12);
    within("memory_used_bytes", "", 1e6..=1e11);
    within("temperature_celsius", "", 20.0..=100.0);
    within("power_watts", "", 1.0..=1000.0);
    for clock in ["sm", "video", "memory"] {
        within("clock_hertz", &format!("clock=\"{clock}\""), 1e8..=1e10);
    }
    within("throttled", "reason=\"heat\"", 0.0..=0.0);
    within("encode_sessions", "", 2.0..=2.0);
    // Both are told of, though one has nothing to do and drives no encoder.
    assert_eq!(rungd.metric("rungd_device_up", &[]), Some(2.0));
    assert_eq!(rungd.metric("rungd_device_faults_total", &[]), None);

    simulation.lose(0, 79);
    wait_until(Duration::from_secs(15), "the Xid to be counted", || {
        (rungd.metric("rungd_device_faults_total", &[&device, "fault=\"xid 79\""]) == Some(1.0)).then_some(())
    });
    rungd.stop();
}

/// One feed's device falls off the bus; the other feed, on the CPU, never notices, and the first shows its viewers what
/// it can until it is given up.
#[test]
fn a_lost_device_takes_no_other_feed_with_it() {
    let simulation = Simulation::new("vaapi", "[[device]]\nmodel = \"intel\"\n");
    let lost = FeedSetup::new("lost").line(&simulation.wish());
    let kept = FeedSetup::new("kept").line("device = \"software\"");
    let mut rungd = setup(&simulation).feed(lost).feed(kept).start();
    let _lost = Ffmpeg::new().publish(&rungd.rtmp_url("lost"), rungd.folder());
    let _kept = Ffmpeg::new().publish(&rungd.rtmp_url("kept"), rungd.folder());
    let _ = rungd.wait_for_segments("lost", 2);
    let before = rungd.wait_for_segments("kept", 2);
    simulation.lose(0, 79);

    let after = rungd.wait_for_segments("kept", before.fewest_segments() + 4);
    assert_eq!(before.availability_start, after.availability_start);
    output::check(&rungd, &after);
    let feed = wait_until(Duration::from_secs(40), "the lost device to be told of", || {
        let feed = rungd.feed("lost");
        feed["problem"].as_str().is_some_and(|problem| problem.len() > 20).then_some(feed)
    });
    assert!(
        rungd.metric("rungd_worker_ends_total", &["reason=\"failed\""]).unwrap_or_default() >= 1.0,
        "{feed}"
    );
}
