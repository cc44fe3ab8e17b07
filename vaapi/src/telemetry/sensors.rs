//! What drivers say in sysfs and debugfs: clocks, power, temperature, memory, hangs.
//!
//! Places are those of the kernel's `Documentation/ABI` for i915 (`gt_*_freq_mhz`, `gt/gtN/rps_*`), xe
//! (`tileN/gtN/freq0`) and amdgpu (`hwmon`, `gpu_busy_percent`, `mem_info_vram_*`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::device::Node;

/// What a device's driver measures; none where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sensors {
    /// Clock of the media engines where they have their own, otherwise of the device, in MHz.
    pub frequency_mhz: Option<u32>,
    /// The highest that it may have now.
    pub max_frequency_mhz: Option<u32>,
    /// Whether the clock is held down, by heat or power.
    pub throttled: Option<bool>,
    /// Power, in milliwatts.
    pub power_milliwatts: Option<u64>,
    /// Energy since some time before, in microjoules: where there is no power, two readings give it.
    pub energy_microjoules: Option<u64>,
    /// Temperature, in thousandths of a degree Celsius.
    pub temperature_millidegrees: Option<i64>,
    /// How busy all of it is, in per cent.
    pub busy_percent: Option<u8>,
    /// Device memory, in bytes: used and all of it.
    pub memory_bytes: Option<(u64, u64)>,
    /// Resets since the driver was loaded (i915, and only where debugfs may be read).
    pub resets: Option<u64>,
    /// Hangs that the kernel keeps a record of until somebody takes it.
    pub recorded_hangs: u32,
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// Entries of a folder whose names begin with `prefix` and a number, in the order of the numbers.
fn numbered(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix(prefix)?.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

impl Sensors {
    pub(super) fn read(root: &Path, node: &Node) -> Self {
        let Some(name) = node.path.file_name() else { return Self::default() };
        let device = root.join("sys/class/drm").join(name).join("device");
        // The primary node of the same device; clocks of i915 are below it.
        let card = numbered(&device.join("drm"), "card").into_iter().next();
        let mut sensors = Self::default();
        if let Some(card) = &card {
            sensors.read_i915(card);
            sensors.resets = resets(root, card);
        }
        sensors.read_xe(&device);
        sensors.read_hwmon(&device);
        sensors.read_amdgpu(&device);
        sensors.recorded_hangs += recorded(root, node);
        sensors
    }

    fn read_i915(&mut self, card: &Path) {
        // The last one is the media's where there are two.
        if let Some(gt) = numbered(&card.join("gt"), "gt").pop() {
            self.frequency_mhz = number(&gt.join("rps_act_freq_mhz"));
            self.max_frequency_mhz = number(&gt.join("rps_max_freq_mhz"));
            self.throttled = number::<u8>(&gt.join("throttle_reason_status")).map(|status| status != 0);
        }
        self.frequency_mhz = self.frequency_mhz.or_else(|| number(&card.join("gt_act_freq_mhz")));
        self.max_frequency_mhz = self.max_frequency_mhz.or_else(|| number(&card.join("gt_max_freq_mhz")));
        // The first hang's state stays until it is read and cleared.
        let state = text(&card.join("error")).and_then(|text| text.lines().next().map(str::to_owned));
        self.recorded_hangs += u32::from(state.is_some_and(|line| line != "No error state collected"));
    }

    fn read_xe(&mut self, device: &Path) {
        let tiles = numbered(device, "tile");
        let units = tiles.iter().flat_map(|tile| numbered(tile, "gt"));
        if let Some(clock) = units.map(|gt| gt.join("freq0")).rfind(|clock| clock.is_dir()) {
            self.frequency_mhz = number(&clock.join("act_freq"));
            self.max_frequency_mhz = number(&clock.join("max_freq"));
            self.throttled = number::<u8>(&clock.join("throttle/status")).map(|status| status != 0);
        }
    }

    fn read_hwmon(&mut self, device: &Path) {
        for chip in numbered(&device.join("hwmon"), "hwmon") {
            let microwatts: Option<u64> =
                number(&chip.join("power1_average")).or_else(|| number(&chip.join("power1_input")));
            self.power_milliwatts = self.power_milliwatts.or(microwatts.map(|power| power / 1000));
            self.energy_microjoules = self.energy_microjoules.or_else(|| {
                number(&chip.join("energy1_input")).or_else(|| number(&chip.join("energy2_input")))
            });
            // On xe the first is not there: 2 is the package.
            self.temperature_millidegrees = self
                .temperature_millidegrees
                .or_else(|| number(&chip.join("temp1_input")).or_else(|| number(&chip.join("temp2_input"))));
            let hertz: Option<u64> = number(&chip.join("freq1_input"));
            let megahertz = hertz.and_then(|hertz| u32::try_from(hertz / 1_000_000).ok());
            self.frequency_mhz = self.frequency_mhz.or(megahertz);
        }
    }

    fn read_amdgpu(&mut self, device: &Path) {
        self.busy_percent = number(&device.join("gpu_busy_percent"));
        self.memory_bytes =
            number(&device.join("mem_info_vram_used")).zip(number(&device.join("mem_info_vram_total")));
        // "1: 2575Mhz *": the highest state is the last line.
        let states = text(&device.join("pp_dpm_sclk")).unwrap_or_default();
        let highest = states.lines().next_back().and_then(|line| {
            let (_, value) = line.split_once(':')?;
            value.trim().trim_end_matches('*').trim().to_ascii_lowercase().strip_suffix("mhz")?.parse().ok()
        });
        self.max_frequency_mhz = self.max_frequency_mhz.or(highest);
    }
}

/// `Reset count: ENGINE (global ALL)`, of any engine of `i915_engine_info`.
fn resets(root: &Path, card: &Path) -> Option<u64> {
    let number = card.file_name()?.to_str()?.strip_prefix("card")?;
    let info = text(&root.join("sys/kernel/debug/dri").join(number).join("i915_engine_info"))?;
    let line = info.lines().find_map(|line| line.trim().strip_prefix("Reset count:"))?;
    line.split_once("(global ")?.1.trim_end().strip_suffix(')')?.parse().ok()
}

/// Device core dumps of the device: xe and amdgpu make one for each hang, and the kernel keeps it for five minutes.
fn recorded(root: &Path, node: &Node) -> u32 {
    let Some(address) = node.pci_address.as_deref() else { return 0 };
    let dumps = numbered(&root.join("sys/class/devcoredump"), "devcd");
    let of_device = dumps.iter().filter(|dump| {
        let device = fs::read_link(dump.join("failing_device"));
        device.is_ok_and(|device| device.file_name().is_some_and(|name| name == address))
    });
    u32::try_from(of_device.count()).unwrap_or(u32::MAX)
}
