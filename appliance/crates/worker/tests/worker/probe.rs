//! What a worker says of this machine.

use std::process::Command;

use crate::program;

#[test]
fn the_cpu_is_a_device_that_opens_every_codec() {
    let output = Command::new(program()).arg("probe").env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let devices: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(devices.as_array().unwrap().len(), 1);
    let device = &devices[0];
    assert_eq!(device["kind"], "software");
    assert!(device["name"].as_str().unwrap().starts_with("libavcodec "));
    assert!(device["cores"].as_u64().unwrap() > 0);
    assert_eq!(device["decode"], serde_json::json!(["h264", "hevc", "av1"]));
    assert_eq!(device["encode"], serde_json::json!(["h264"]));
}
