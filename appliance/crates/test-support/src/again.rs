//! A test that goes on in a process of its own: with other libraries, another environment, or nothing beside it.

use std::process::Command;

/// This test program once more, with one test; a variable should tell it that it is the inner one.
///
/// # Panics
/// Where the program is gone.
#[must_use]
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// Runs it to its end: whether the test ran and passed, and all that was said.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn passes(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("it runs again");
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    (output.status.success() && said.contains("1 passed"), said)
}
