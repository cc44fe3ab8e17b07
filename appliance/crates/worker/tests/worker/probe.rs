//! What a worker says of this machine.

use std::process::Command;

use worker_protocol::device::{Ability, DeviceId, EngineKind, Inventory};

use crate::program;

fn probe(arguments: &[&str]) -> Inventory {
    let output = Command::new(program()).arg("probe").args(arguments).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn codecs(abilities: &[Ability]) -> Vec<&'static str> {
    abilities.iter().map(|ability| ability.codec.name()).collect()
}

#[test]
fn the_cpu_is_a_device_that_opens_every_codec() {
    let found = probe(&["--engine", "software"]);
    assert_eq!(found.unusable, []);
    let [device] = &*found.devices else { panic!("{found:?}") };
    assert_eq!(device.id, DeviceId::software());
    assert!(device.driver.starts_with("libavcodec "), "{}", device.driver);
    assert!(device.cores.unwrap() > 0);
    assert!(!device.simulated);
    assert_eq!(codecs(&device.decode), ["H.264", "HEVC", "AV1"]);
    assert_eq!(codecs(&device.encode), ["H.264"]);
}

#[test]
fn the_cpu_is_there_whatever_else_is_missing() {
    let found = probe(&[]);
    let engines: Vec<_> = found.devices.iter().map(|device| device.id.engine()).collect();
    assert!(engines.contains(&EngineKind::Software), "{found:?}");
    assert!(found.unusable.iter().all(|missing| missing.reason.len() > 20), "{found:?}");
}

#[test]
fn a_device_that_is_none_is_refused_before_anything_starts() {
    let output = Command::new(program()).args(["run", "--device", "gpu:0"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no device"));
}
