//! Decoding, scaling and encoding on devices: simulated ones always, real ones where there are any.
//!
//! The simulated driver has to be in the environment when a process starts, so each test runs itself again as a process
//! of its own. The driver is built by `make sims`; without it tests fail. Where the machine has a render node, they run
//! on it, too; `HWTESTS_REQUIRE=vaapi` makes its absence a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../examples/support/annex_b.rs"]
#[allow(dead_code, reason = "the examples use all of it")]
mod annex_b;
#[path = "devices/colours.rs"]
mod colours;
#[path = "devices/decoding.rs"]
mod decoding;
#[path = "devices/encoding.rs"]
mod encoding;
#[path = "devices/failing.rs"]
mod failing;
#[path = "devices/pictures.rs"]
mod pictures;
#[path = "devices/rates.rs"]
mod rates;
#[path = "devices/required.rs"]
mod required;
#[path = "devices/scaling.rs"]
mod scaling;

use std::path::Path;

use test_support::Simulation;
use test_support::again::{again, passes};
use vaapi::{Device, Node};

/// Set for a process that is to run a test on the device it finds.
const INNER: &str = "VAAPI_TESTS_INNER";

fn is_required(what: &str) -> bool {
    std::env::var("HWTESTS_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word.trim() == what))
}

/// The first simulated device.
fn simulated() -> Device {
    Device::open(&Node::at(Path::new("/"), Path::new("/dev/null")))
        .unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)))
}

/// Runs a test's body on simulated devices with this plan, and finds everything given back after it.
fn on_simulated(test: &str, plan: &str, body: impl FnOnce(&Device)) {
    if let Some(simulation) = run_simulated(test, plan, || body(&simulated())) {
        simulation.assert_clean();
    }
}

/// Runs a test's body on simulated devices with this plan. None in the process that has run it.
fn run_simulated(test: &str, plan: &str, body: impl FnOnce()) -> Option<Simulation> {
    if std::env::var_os(INNER).is_some() {
        body();
        return None;
    }
    let simulation = Simulation::new("vaapi", plan);
    let (passed, said) = passes(again(test).envs(simulation.environment()).env(INNER, "1"));
    assert!(passed, "on a simulated device:\n{said}");
    println!("{said}");
    Some(simulation)
}

/// Devices as three drivers show them: only low-power encoders; all kinds; one that writes all headers itself.
const ARC: &str = "[[device]]\nmodel = \"intel\"\n";
const UHD: &str = "[[device]]\nmodel = \"intel-uhd\"\n";
const AMD: &str = "[[device]]\nmodel = \"amd\"\n";
/// Without firmware the low-power encoder controls no rate.
const NO_FIRMWARE: &str = "[[device]]\nmodel = \"intel-uhd\"\nhuc = false\n";

/// Runs a test's body on a simulated device, and on the machine's own where it has any.
fn on_devices(test: &str, body: fn(&Device)) {
    on_simulated(test, ARC, body);
    if std::env::var_os(INNER).is_some() {
        return;
    }
    let nodes = Node::list(Path::new("/")).unwrap();
    if nodes.is_empty() {
        assert!(!is_required("vaapi"), "HWTESTS_REQUIRE has vaapi, and there is no render node");
    }
    for node in nodes {
        match Device::open(&node) {
            Ok(device) => {
                println!("on {device:?}");
                body(&device);
            }
            Err(error) => {
                assert!(!is_required("vaapi"), "HWTESTS_REQUIRE has vaapi: {}", annex_b::chain(&error));
                println!("skipped on {}: {}", node.path.display(), annex_b::chain(&error));
            }
        }
    }
}
