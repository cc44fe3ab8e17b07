//! What a probe met does not hold for the daemon's life.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Simulation, http, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

/// The simulated device, once it is as `is` wants it.
fn wait_for(rungd: &Rungd, what: &str, is: impl Fn(Option<&Value>) -> bool) {
    wait_until(DEADLINE, what, || {
        let answer = http::get(&rungd.url("/api/v1/devices"));
        let inventory = (answer.status == 200).then(|| answer.json())?;
        let mut devices = inventory["devices"].as_array()?.iter();
        is(devices.find(|device| device["simulated"] == true)).then_some(())
    });
}

fn encodes(device: Option<&Value>) -> bool {
    device.is_some_and(|device| device["encode"].as_array().is_some_and(|list| !list.is_empty()))
}

#[test]
fn devices_are_looked_at_again_where_a_feed_finds_none_and_on_sighup() {
    let plan = "[[device]]\nmodel = \"geforce\"\n[[device.fault]]\nkind = \"cap-reached\"\ntimes = 1\n";
    let simulation = Simulation::new("nvidia", plan);
    let feed = FeedSetup::new("capped").line(&simulation.wish());
    let mut rungd = Setup::default().section(&simulation.sections()).feed(feed).start();
    wait_for(&rungd, "a device at its limit", |device| device.is_some() && !encodes(device));
    let mut refused = Ffmpeg::new().publish(&rungd.rtmp_url("capped"), rungd.folder());
    wait_until(DEADLINE, "the publisher to be refused", || (!refused.is_running()).then_some(()));
    let why = "it encodes no H.264: it encodes nothing now: no further encode session";
    assert!(rungd.log().contains(why), "{}", rungd.log());

    wait_for(&rungd, "the device to be found whole", encodes);
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("capped"), rungd.folder());
    let _ = rungd.wait_for_segments("capped", 1);
    assert_eq!(rungd.metric("rungd_device_info", &["device=\"nvidia:"]), Some(1.0));

    simulation.lose(0, 79);
    rungd.signal(Signal::SIGHUP);
    wait_for(&rungd, "the lost device to be gone", |device| device.is_none());
    assert_eq!(rungd.metric("rungd_device_info", &["device=\"nvidia:"]), None);
}
