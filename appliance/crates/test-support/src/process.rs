//! Child processes that end with the test, and whose logs are shown where it fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{poll, wait_until};

/// Lines of a log that a failed test shows.
const SHOWN_LINES: usize = 60;

/// A running child. Dropped, it is killed, and its log shown where the test is failing.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with both its outputs in `log`.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start ({e}): {command:?}"));
        Self { name: name.to_owned(), child, log: log.to_owned(), status: None }
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status, where it has ended.
    ///
    /// # Panics
    /// Where the system does not say.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        self.status
    }

    /// Its exit status, once it has ended.
    ///
    /// # Panics
    /// Where it does not end within `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_until(deadline, &what, || self.exited())
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.exited().is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            // It may have ended by itself just now.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Asks it to end, and gives its exit status.
    ///
    /// # Panics
    /// Where it does not end within `deadline`.
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(deadline)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            // Gently first, so that a child which has children ends them itself.
            self.signal(Signal::SIGTERM);
            if poll(Duration::from_secs(3), || self.exited()).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
            eprintln!(
                "--- {} (ended: {:?}), last lines of its log:\n{}",
                self.name,
                self.status,
                shown.join("\n")
            );
        }
    }
}
