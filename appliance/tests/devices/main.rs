//! `rungd devices` and the probe behind it, on simulated devices: what is told of those that work, and of those that
//! do not. The drivers are what `make sims` built, the programs what `cargo build --workspace --bins` made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod absence;
mod again;
mod faults;
mod linking;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use test_support::Simulation;
use test_support::rungd::binary;
use worker_protocol::Inventory;
use worker_protocol::device::{Ability, DeviceReport};

/// A folder with a configuration of these sections.
fn configuration(sections: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("rungd-devices-").tempdir().unwrap();
    let file = folder.path().join("rungd.toml");
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let worker = format!("[worker]\nprogram = \"{}\"\n", binary("rungd-worker").display());
    let sections = match sections.contains("[worker]\n") {
        true => sections.replace("[worker]\n", &worker),
        false => format!("{worker}{sections}"),
    };
    std::fs::write(&file, format!("state_dir = \"state\"\n{sections}")).unwrap();
    (folder, file)
}

/// What `rungd devices` prints.
fn devices(config: &Path, more: &[&str]) -> String {
    let mut command = Command::new(binary("rungd"));
    printed(command.args(["devices", "--config"]).arg(config).args(more))
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is found of a plan's devices.
fn inventory(simulation: &Simulation) -> Inventory {
    let (_folder, config) = configuration(&simulation.sections());
    serde_json::from_str(&devices(&config, &["--json"])).unwrap()
}

/// The only device that is not the CPU.
fn only(inventory: &Inventory) -> &DeviceReport {
    let mut others = inventory.devices.iter().filter(|device| !device.id.address().is_empty());
    let device = others.next().unwrap_or_else(|| panic!("no device: {inventory:?}"));
    assert!(others.next().is_none(), "{inventory:?}");
    device
}

/// Formats and bits.
fn named(abilities: &[Ability]) -> Vec<(&'static str, u8)> {
    abilities.iter().map(|ability| (ability.codec.name(), ability.bit_depth)).collect()
}
