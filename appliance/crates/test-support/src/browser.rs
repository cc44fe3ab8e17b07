//! Players in headless Chromium, driven by `appliance/tests/browser/play.mjs`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// One browser at a time: two of them starve what they watch on two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The browser's being this test's.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

/// Waits for the browser: before what it is to see begins, where that must not be old by then.
#[must_use]
pub fn turn() -> Turn {
    Turn(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// As [`run_in`], once it is this test's turn.
///
/// # Panics
/// As [`run_in`] does.
#[must_use]
pub fn run(script: &str, arguments: &[&str]) -> Value {
    run_in(&turn(), script, arguments)
}

/// Runs a script of `appliance/tests/browser` and gives the JSON object on the last line that it prints.
///
/// # Panics
/// With everything that it printed, where it fails.
#[must_use]
pub fn run_in(_turn: &Turn, script: &str, arguments: &[&str]) -> Value {
    let output =
        node(script, arguments).stdin(Stdio::null()).output().expect("node runs; make deps installs it");
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

fn node(script: &str, arguments: &[&str]) -> Command {
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("the crate lies in the workspace");
    let folder: PathBuf = workspace.join("appliance/tests/browser");
    assert!(folder.join("node_modules").is_dir(), "the players are not installed: make deps");
    let mut command = Command::new("node");
    command.arg(script).args(arguments).current_dir(folder);
    command
}

/// A script of `appliance/tests/browser` that is told what to do line by line.
#[derive(Debug)]
pub struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    _turn: Turn,
}

impl Conversation {
    /// Starts it; its errors go to the test's.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let turn = turn();
        let mut child = node(script, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs; make deps installs it");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| said.send(line).is_ok()));
        Self { input: child.stdin.take(), child, lines, _turn: turn }
    }

    /// Its next line.
    ///
    /// # Panics
    /// Where it says nothing within `deadline`, or what is wrong.
    pub fn hear(&mut self, deadline: Duration) -> String {
        let line = self.lines.recv_timeout(deadline);
        let line = line.unwrap_or_else(|error| panic!("the script says nothing more: {error}"));
        assert!(!line.contains("\"failure\""), "{line}");
        line
    }

    /// Tells it a line.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("it is not told anything after its end"), "{line}").unwrap();
    }

    /// Tells it `end`, and gives the JSON object on the last line that it prints.
    ///
    /// # Panics
    /// Where it says what is wrong.
    #[must_use]
    pub fn end(mut self, deadline: Duration) -> Value {
        self.tell("end");
        let line = self.hear(deadline);
        // It waits for the end of what it is told.
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success(), "{line}");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // It ends with its input, and its browser with it.
        drop(self.input.take());
        if crate::wait::poll(Duration::from_secs(10), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
