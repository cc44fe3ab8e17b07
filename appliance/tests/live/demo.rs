//! The script of `make demo`: with another configuration than its own, and on simulated devices.

use std::process::Command;

use test_support::rungd::{binary, key_hash};

/// The key that the script publishes with.
const KEY: &str = "demo-key-not-secret";

#[test]
fn the_demo_plays_another_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let hash = key_hash(KEY);
    let config = folder.path().join("other.toml");
    let text = format!(
        "state_dir = \"state\"\n[ingest]\nrtmp = [\"127.0.0.1:0\"]\nrtmps = []\napplication = \"studio\"\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n[ladder.small]\npreset = \"ultrafast\"\n\
         rungs = [{{ name = \"90p\", size = \"160x90\", bit_rate = \"60k\" }}]\n\
         [feed.demo]\nkeys = [\"{hash}\"]\nladder = \"small\"\nlatency = \"low\"\nsegment = \"2s\"\n"
    );
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/demo.sh");
    let output = Command::new("bash")
        .arg(script)
        .env("DEMO_PROGRAM", binary("rungd"))
        .env("DEMO_FOLDER", folder.path().join("demo"))
        .env("DEMO_CONFIG", &config)
        .env("DEMO_SECONDS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("It plays."), "{said}");
    let server = said.lines().find(|line| line.trim_start().starts_with("Server ")).unwrap();
    assert!(server.contains("rtmp://127.0.0.1:") && server.ends_with("/studio"), "{said}");
}

/// Runs the demo on a device for as long as it takes to play; answers what the simulation has seen.
fn on_device(device: &str) -> serde_json::Value {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let output = Command::new("bash")
        .arg(format!("{root}/appliance/scripts/demo.sh"))
        .env("DEMO_PROGRAM", binary("rungd"))
        .env("DEMO_FOLDER", &demo)
        .env("DEMO_DEVICE", device)
        .env("DEMO_PORTS", "any")
        .env("DEMO_SECONDS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("It plays."), "{said}");
    let report = format!("{root}/target/sims/sim-report");
    let report = Command::new(report).arg(demo.join("sim.toml")).output().unwrap();
    serde_json::from_slice(&report.stdout).unwrap()
}

#[test]
fn the_demo_plays_on_simulated_devices() {
    for (device, place) in [("sim-nvidia", 0), ("sim-vaapi", 1)] {
        let report = on_device(device);
        assert_eq!(report["violations"], 0, "{device}: {}", report["sentences"]);
        let counters = &report["devices"][place]["counters"];
        for counter in ["FramesDecoded", "FramesEncoded", "ScaleJobs"] {
            assert!(counters[counter].as_u64().unwrap() > 25, "{device}: {counters}");
        }
    }
}
