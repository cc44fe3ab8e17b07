//! Decoding, scaling and encoding on devices: simulated ones always, a real one where there is one.
//!
//! A simulated driver has to be in `LD_LIBRARY_PATH` when a process starts, so each test runs itself again as a process
//! of its own. The drivers are built by `make sims`; without them tests fail. Where the machine has a device, they run on
//! it, too; `HWTESTS_REQUIRE=nvidia` makes its absence a failure.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test figures"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "devices/cost.rs"]
mod cost;
#[path = "devices/decoding.rs"]
mod decoding;
#[path = "devices/encoding.rs"]
mod encoding;
#[path = "devices/failing.rs"]
mod failing;
#[path = "devices/pictures.rs"]
mod pictures;
#[path = "devices/presets.rs"]
mod presets;
#[path = "devices/rates.rs"]
mod rates;
#[path = "devices/required.rs"]
mod required;
#[path = "devices/reuse.rs"]
mod reuse;
#[path = "devices/scaling.rs"]
mod scaling;
#[path = "devices/symbols.rs"]
mod symbols;

use gpu::Device;
use test_support::Simulation;
use test_support::again::{again, passes};

/// Set for a process that is to run a test on the device it finds.
const INNER: &str = "GPU_TESTS_INNER";

fn is_required(what: &str) -> bool {
    std::env::var("HWTESTS_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word.trim() == what))
}

/// Runs a test's body on simulated devices with this plan, and finds everything given back after it.
fn on_simulated(test: &str, plan: &str, body: impl FnOnce()) {
    if let Some(seen) = run_simulated(test, plan, body) {
        seen.simulation.assert_clean();
    }
}

/// What is left of a test that ran on simulated devices.
struct Seen {
    simulation: Simulation,
    /// What the simulation counted.
    report: serde_json::Value,
    /// What the test printed.
    said: String,
}

/// Runs a test's body on simulated devices with this plan. None in the process that has run it.
fn run_simulated(test: &str, plan: &str, body: impl FnOnce()) -> Option<Seen> {
    if std::env::var_os(INNER).is_some() {
        body();
        return None;
    }
    let simulation = Simulation::new("nvidia", plan);
    let (passed, said) = passes(again(test).envs(simulation.environment()).env(INNER, "1"));
    assert!(passed, "on a simulated device:\n{said}");
    println!("{said}");
    Some(Seen { report: simulation.report(), simulation, said })
}

/// A device like an L4, sound.
const SOUND: &str = "[[device]]\nmodel = \"l4\"\n";

/// Runs a test's body on a simulated device, and on a real one where there is one.
fn on_devices(test: &str, body: fn(&Device)) {
    on_simulated(test, SOUND, || body(&Device::open(0).unwrap()));
    if std::env::var_os(INNER).is_none() {
        match Device::open(0) {
            Ok(device) => {
                println!("on {device:?}");
                body(&device);
            }
            Err(error) => {
                assert!(!is_required("nvidia"), "HWTESTS_REQUIRE has nvidia: {error}");
                println!("skipped on a real device: {error}");
            }
        }
    }
}
