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

use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::again::{again, passes};
use vaapi::{Device, Node};

/// Set for a process that is to run a test on the device it finds.
const INNER: &str = "VAAPI_TESTS_INNER";
/// The plan of simulated drivers.
const PLAN: &str = "RUNGD_SIM_PLAN";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn is_required(what: &str) -> bool {
    std::env::var("HWTESTS_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word.trim() == what))
}

/// The folder of the simulated driver.
fn sims() -> PathBuf {
    let folder = root().join("target/sims/vaapi");
    for library in ["sim_drv_video.so", "libsim_drm.so"] {
        let path = folder.join(library);
        assert!(path.exists(), "{} is not there: `make sims` builds it", path.display());
    }
    folder
}

/// The first simulated device.
fn simulated() -> Device {
    Device::open(&Node::at(Path::new("/"), Path::new("/dev/null")))
        .unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)))
}

/// Runs a test's body on simulated devices with this plan, and finds everything given back after it.
fn on_simulated(test: &str, plan: &str, body: impl FnOnce(&Device)) {
    let Some(report) = run_simulated(test, plan, || body(&simulated())) else { return };
    assert_eq!(report["violations"], 0, "the driver was used wrongly: {}", report["sentences"]);
    for device in report["devices"].as_array().unwrap() {
        assert_eq!(device["sessions"].as_array().map(Vec::len), Some(0), "sessions are left open: {device}");
        assert_eq!(device["memory_used"], 0, "memory is left: {device}");
    }
}

/// Runs a test's body on simulated devices with this plan; gives what the simulation has seen. None in the process that
/// has run it.
fn run_simulated(test: &str, plan: &str, body: impl FnOnce()) -> Option<serde_json::Value> {
    if std::env::var_os(INNER).is_some() {
        body();
        return None;
    }
    let sims = sims();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.toml");
    std::fs::write(&file, format!("state = \"{}\"\n{plan}", folder.path().join("state").display())).unwrap();
    let mut command = again(test);
    command.env("LIBVA_DRIVERS_PATH", &sims).env("LIBVA_DRIVER_NAME", "sim");
    command.env("LD_PRELOAD", sims.join("libsim_drm.so")).env(PLAN, &file).env(INNER, "1");
    let (passed, text) = passes(&mut command);
    assert!(passed, "on a simulated device:\n{text}");
    println!("{text}");
    let report = Command::new(sims.join("../sim-report")).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{text}{}", String::from_utf8_lossy(&report.stderr));
    Some(serde_json::from_str(&text).unwrap())
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
