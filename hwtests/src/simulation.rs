//! A plan in a folder of its own, and programs that find its devices.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use sim_state::{Plan, Report, State};
use tempfile::TempDir;

/// Devices as they are planned, and everything that programs did with them.
pub struct Simulation {
    folder: TempDir,
    state: State,
}

/// Builds the simulated drivers, once a process: what is tested is never older than its source.
fn drivers() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let output = Command::new("bash")
            .arg(crate::root().join("hwtests/scripts/sims.sh"))
            .output()
            .expect("bash runs");
        assert!(output.status.success(), "make sims: {}", String::from_utf8_lossy(&output.stderr));
        crate::root().join("target/sims")
    };
    BUILT.get_or_init(build).clone()
}

impl Simulation {
    /// Follows a plan: TOML without `state`, see `sim_state::plan`.
    ///
    /// # Panics
    /// Where the plan is none.
    #[must_use]
    pub fn new(plan: &str) -> Self {
        drivers();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("plan.toml");
        std::fs::write(&path, plan).expect("the temporary folder can be written");
        let plan = Plan::read(&path)
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
        let state = State::open(plan).expect("a state file");
        Self { folder, state }
    }

    /// One device of a model, with more of its table: `Simulation::of("intel", "encode_mpx_s = 100")`.
    #[must_use]
    pub fn of(model: &str, more: &str) -> Self {
        Self::new(&format!("[[device]]\nmodel = \"{model}\"\n{more}\n"))
    }

    /// A program that finds the plan's VA-API devices: `/dev/null` stands for the first, `/dev/zero` for the second.
    pub fn va(&self, program: &str) -> Command {
        let drivers = drivers().join("vaapi");
        let mut command = Command::new(program);
        command
            .env("RUNGD_SIM_PLAN", self.folder.path().join("plan.toml"))
            .env("LIBVA_DRIVERS_PATH", &drivers)
            .env("LIBVA_DRIVER_NAME", "sim")
            .env("LD_PRELOAD", drivers.join("libsim_drm.so"))
            .env("LIBVA_MESSAGING_LEVEL", "1");
        command
    }

    /// A program that finds the plan's NVIDIA devices.
    pub fn nvidia(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("RUNGD_SIM_PLAN", self.folder.path().join("plan.toml"))
            .env("LD_LIBRARY_PATH", drivers().join("nvidia"));
        command
    }

    /// A folder for whatever a test writes.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What all programs share.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What all programs did.
    #[must_use]
    pub fn report(&self) -> Report {
        self.state.report()
    }

    /// # Panics
    /// Where a program broke a rule of its driver, or left something behind.
    pub fn assert_clean(&self) {
        let report = self.report();
        assert!(report.violations == 0, "{} violations: {:#?}", report.violations, report.sentences);
        for device in &report.devices {
            assert!(device.sessions.is_empty(), "sessions are left over: {:?}", device.sessions);
            assert_eq!(device.memory_used, 0, "memory of {} is left over", device.name);
        }
    }
}

/// Runs a program to its end.
///
/// # Panics
/// Where it fails.
pub fn run(command: &mut Command) -> Output {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; make deps installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}
