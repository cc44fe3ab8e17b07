//! What devices offer, and that those are there which are asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use hwtests::Simulation;
use hwtests::conformance::Codec::{Av1, H264, Hevc};
use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::{Codec, Engine, Failure};

use crate::devices::{on_each, on_nvidia, on_real_ones};

/// A part of a device's name, what it encodes, and what it decodes with how many bits.
type Offer = (&'static str, &'static [Codec], &'static [(Codec, u8)]);

/// What every check of a device goes through: were one not to offer it, the check would pass and show nothing. AV1 is not
/// coded over VA-API here, whatever the device has: the worker leaves it to the CPU.
const OFFERS: [Offer; 6] = [
    ("libavcodec", &[H264], &[(H264, 8), (H264, 10), (Hevc, 8), (Hevc, 10), (Av1, 8), (Av1, 10)]),
    ("Arc A380", &[H264, Hevc], &[(H264, 8), (Hevc, 8), (Hevc, 10)]),
    ("UHD Graphics 630", &[H264, Hevc], &[(H264, 8), (Hevc, 8), (Hevc, 10)]),
    ("Radeon RX 6600", &[H264, Hevc], &[(H264, 8), (Hevc, 8), (Hevc, 10)]),
    ("NVIDIA L4", &[H264, Hevc, Av1], &[(H264, 8), (Hevc, 8), (Hevc, 10), (Av1, 8), (Av1, 10)]),
    ("NVIDIA H200", &[], &[(H264, 8), (Hevc, 8), (Hevc, 10), (Av1, 8), (Av1, 10)]),
];

fn check(engine: &dyn Engine, _: &Fixtures) -> Result<(), Failure> {
    let (name, encodes, decodes) = (engine.name(), engine.encodes(), engine.decodes());
    println!("{name} encodes {encodes:?} and decodes {decodes:?}");
    match OFFERS.iter().find(|(part, ..)| name.contains(part)) {
        Some((_, wanted, _)) if encodes != **wanted => Err(format!("it encodes {encodes:?}").into()),
        Some((.., wanted)) if decodes != **wanted => Err(format!("it decodes {decodes:?}").into()),
        None if name.contains("Simulated") => Err("nothing is said of it here".into()),
        _ => Ok(()),
    }
}

#[test]
fn devices_offer_what_they_have() {
    on_each("offers::devices_offer_what_they_have", check);
}

#[test]
fn a_device_that_only_decodes_offers_that() {
    on_nvidia("offers::a_device_that_only_decodes_offers_that", "[[device]]\nmodel = \"h200\"\n", check);
}

#[test]
fn a_device_whose_sessions_do_not_open_does_not_pass() {
    let plan = "[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"open-fails\"\nengine = \"encode\"\n";
    on_nvidia("offers::a_device_whose_sessions_do_not_open_does_not_pass", plan, |engine, _| {
        // The suite panics where a device does not say what it is to be asked for.
        match catch_unwind(AssertUnwindSafe(|| engine.encodes())) {
            Err(_) => Ok(()),
            Ok(codecs) => Err(format!("it encodes {codecs:?}").into()),
        }
    });
}

#[test]
fn a_device_that_is_asked_for_and_not_there_is_a_failure() {
    /// Set for a process that looks for real devices.
    const LOOKS: &str = "HWTESTS_LOOKS";
    let test = "offers::a_device_that_is_asked_for_and_not_there_is_a_failure";
    if std::env::var_os(LOOKS).is_some() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        on_real_ones(test, &Fixtures::at(folder.path()), |_, _| Ok(()));
        return;
    }
    // NVIDIA's driver without a device, and libva without a driver: what the machine has does not matter.
    let simulation = Simulation::new("device = []\n");
    let this = std::env::current_exe().expect("a running program");
    let run = |asked: &str| {
        let mut command: Command = simulation.nvidia(this.to_str().expect("a path of text"));
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env("LIBVA_DRIVERS_PATH", "/nonexistent").env("LIBVA_DRIVER_NAME", "nonexistent");
        let output = command.env(LOOKS, "1").env("HWTESTS_REQUIRE", asked).output().expect("it runs again");
        let said =
            [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        (output.status.success(), said)
    };
    let (passed, said) = run("");
    assert!(passed && said.contains("1 passed"), "{said}");
    for asked in ["nvidia", "vaapi"] {
        let (passed, said) = run(asked);
        assert!(!passed && said.contains(&format!("HWTESTS_REQUIRE has {asked}")), "{said}");
    }
}
