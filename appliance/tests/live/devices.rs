//! Feeds on simulated devices: the same output as on the CPU, from decoders and encoders that are not the CPU's; and
//! what becomes of a feed whose device fails. The drivers are strict: a wrong call, or something left open, is a failure.

use std::time::Duration;

use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Simulation, wait_until};

use crate::{ladder_output, output};

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

#[test]
fn a_ladder_on_nvidia_stays_on_the_device() {
    let simulation = ladder_on("nvidia", "[[device]]\nmodel = \"l4\"\n");
    let (decoded, encoded) = (simulation.counter("FramesDecoded"), simulation.counter("FramesEncoded"));
    assert!(decoded >= 200 && encoded >= 3 * 200, "{decoded} decoded, {encoded} encoded");
    // What goes over the bus is tables for the scaler and the slate, whatever the number of pictures.
    assert_eq!(simulation.counter("DeviceToHostCopies"), 0);
    let copies = simulation.counter("HostToDeviceCopies");
    assert!(copies < 50, "{copies} copies to the device for {decoded} pictures");
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
    let simulation = ladder_on("vaapi", "[[device]]\nmodel = \"intel\"\n");
    let (decoded, encoded) = (simulation.counter("FramesDecoded"), simulation.counter("FramesEncoded"));
    assert!(decoded >= 200 && encoded >= 3 * 200, "{decoded} decoded, {encoded} encoded");
}

#[test]
fn a_ladder_on_amd_through_vaapi() {
    ladder_on("vaapi", "[[device]]\nmodel = \"amd\"\n");
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
