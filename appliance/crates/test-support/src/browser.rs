//! Players in headless Chromium, driven by `appliance/tests/browser/play.mjs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

/// One browser at a time: two of them starve what they watch on two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a script of `appliance/tests/browser` and gives the JSON object on the last line that it prints.
///
/// # Panics
/// With everything that it printed, where it fails.
#[must_use]
pub fn run(script: &str, arguments: &[&str]) -> Value {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("the crate lies in the workspace");
    let folder: PathBuf = workspace.join("appliance/tests/browser");
    assert!(folder.join("node_modules").is_dir(), "the players are not installed: make deps");
    let output = Command::new("node")
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("node runs; make deps installs it");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "node {script} {}: {}\n{out}\n{errors}",
        arguments.join(" "),
        output.status
    );
    let last = out.lines().rev().find(|line| line.trim_start().starts_with('{'));
    let last = last.unwrap_or_else(|| panic!("node {script} printed no JSON:\n{out}\n{errors}"));
    serde_json::from_str(last).unwrap_or_else(|e| panic!("node {script} printed no JSON ({e}): {last}"))
}
