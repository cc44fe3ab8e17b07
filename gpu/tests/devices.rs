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

use std::path::{Path, PathBuf};
use std::process::Command;

use gpu::Device;
use test_support::again::{again, passes};

/// Set for a process that is to run a test on the device it finds.
const INNER: &str = "GPU_TESTS_INNER";
/// The plan of simulated drivers.
const PLAN: &str = "RUNGD_SIM_PLAN";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn is_required(what: &str) -> bool {
    std::env::var("HWTESTS_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word.trim() == what))
}

/// The folder of simulated drivers.
fn sims() -> PathBuf {
    let folder = root().join("target/sims/nvidia");
    for library in ["libcuda.so.1", "libnvidia-encode.so.1", "libnvcuvid.so.1", "libnvidia-ml.so.1"] {
        let path = folder.join(library);
        assert!(path.exists(), "{} is not there: `make sims` builds it", path.display());
    }
    folder
}

/// Runs a test's body on simulated devices with this plan, and finds everything given back after it.
fn on_simulated(test: &str, plan: &str, body: impl FnOnce()) {
    let Some(Seen { report, .. }) = run_simulated(test, plan, body) else { return };
    assert_eq!(report["violations"], 0, "the driver was used wrongly: {}", report["sentences"]);
    for device in report["devices"].as_array().unwrap() {
        assert_eq!(device["sessions"].as_array().map(Vec::len), Some(0), "sessions are left open: {device}");
        assert_eq!(device["memory_used"], 0, "memory is left: {device}");
    }
}

/// What is left of a test that ran on simulated devices.
struct Seen {
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
    let sims = sims();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.toml");
    std::fs::write(&file, format!("state = \"state\"\n{plan}")).unwrap();
    let mut command = again(test);
    let (passed, text) = passes(command.env("LD_LIBRARY_PATH", &sims).env(PLAN, &file).env(INNER, "1"));
    assert!(passed, "on a simulated device:\n{text}");
    println!("{text}");
    let said = text;
    let report = Command::new(sims.join("../sim-report")).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{text}{}", String::from_utf8_lossy(&report.stderr));
    Some(Seen { report: serde_json::from_str(&text).unwrap(), said })
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
