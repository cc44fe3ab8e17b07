//! Simulated drivers, as `make sims` builds them: what a daemon's workers run on, what they did, and what goes wrong.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Simulated devices of one test.
#[derive(Debug)]
pub struct Simulation {
    folder: TempDir,
    engine: &'static str,
}

impl Simulation {
    /// Devices that are driven by `engine` (`nvidia`, `nvidia-decode`, `vaapi`); `devices` is the plan's TOML for them.
    ///
    /// # Panics
    /// Where the drivers are not built.
    #[must_use]
    pub fn new(engine: &'static str, devices: &str) -> Self {
        let needed = if engine == "vaapi" { "vaapi/sim_drv_video.so" } else { "nvidia/libcuda.so.1" };
        let library = drivers().join(needed);
        assert!(library.is_file(), "{} is not built: run `make sims`", library.display());
        let folder = tempfile::Builder::new().prefix("rungd-sim-").tempdir().unwrap();
        let plan = format!("state = \"{}\"\n{devices}\n", folder.path().join("state").display());
        std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
        Self { folder, engine }
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join("plan.toml")
    }

    /// The environment in which a worker finds the devices.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        let drivers = drivers();
        let mut variables = match self.engine {
            "vaapi" => vec![
                ("LIBVA_DRIVERS_PATH", text(drivers.join("vaapi"))),
                ("LIBVA_DRIVER_NAME", "sim".to_owned()),
                ("LD_PRELOAD", text(drivers.join("vaapi/libsim_drm.so"))),
            ],
            _ => vec![("LD_LIBRARY_PATH", text(drivers.join("nvidia")))],
        };
        variables.push(("RUNGD_SIM_PLAN", text(self.plan())));
        variables
    }

    /// What the configuration says for its workers to find the devices.
    #[must_use]
    pub fn sections(&self) -> String {
        let variables: Vec<String> =
            self.environment().iter().map(|(name, value)| format!("{name} = \"{value}\"")).collect();
        let nodes = if self.engine == "vaapi" { "render_nodes = [\"/dev/null\"]\n" } else { "" };
        format!(
            "[worker]\nenvironment = {{ {} }}\n\n[devices]\nallow_simulated = true\n{nodes}",
            variables.join(", ")
        )
    }

    /// What a feed says to be transcoded there.
    #[must_use]
    pub fn wish(&self) -> String {
        format!("device = \"{}\"", self.engine)
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let output =
            Command::new(drivers().join("sim-report")).arg(self.plan()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// What the devices did, and what was done wrong to them.
    #[must_use]
    pub fn report(&self) -> Value {
        self.ask(&[])
    }

    /// Takes a device off the bus.
    pub fn lose(&self, device: usize, xid: u32) {
        let _ = self.ask(&["lose", &device.to_string(), &xid.to_string()]);
    }

    /// A counter of the plan's first device.
    ///
    /// # Panics
    /// Where there is no such counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let report = self.report();
        report["devices"][0]["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
    }

    /// Fails where a driver's rule was broken, or something was left open.
    ///
    /// # Panics
    /// Then.
    pub fn assert_clean(&self) {
        let report = self.report();
        assert_eq!(report["violations"], 0, "{report:#}");
        for device in report["devices"].as_array().unwrap() {
            assert_eq!(device["memory_used"], 0, "{report:#}");
            assert_eq!(device["sessions"].as_array().map(Vec::len), Some(0), "{report:#}");
        }
    }
}

fn drivers() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/sims"))
}
