//! What a worker found of this machine's devices, and how one of them is named.
//!
//! `rungd-worker probe` prints one [`Inventory`] as JSON. What it lists was opened, decoders and encoders apart: a CUDA
//! device may have no encoder at all, and a driver that lists a codec may still refuse it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use media::{Size, VideoCodec};
use serde::{Deserialize, Serialize};

/// Longest [`DeviceId`], in bytes: a kind, a colon, and a PCI address or the path of a render node.
pub const MAX_ID_BYTES: usize = 128;

/// Which code drives a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// libavcodec and x264 on the CPU.
    Software,
    /// NVDEC, CUDA and NVENC.
    Nvidia,
    /// NVDEC and CUDA, then x264 on the CPU: for NVIDIA devices without an encoder.
    NvidiaDecode,
    /// VA-API: Intel's and AMD's engines.
    Vaapi,
}

impl EngineKind {
    /// Every kind, in the order that people are shown them.
    pub const ALL: [Self; 4] = [Self::Software, Self::Nvidia, Self::NvidiaDecode, Self::Vaapi];

    /// Its name in configuration, command lines and labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Nvidia => "nvidia",
            Self::NvidiaDecode => "nvidia-decode",
            Self::Vaapi => "vaapi",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// Not one of the kinds.
    #[error("\"{0}\" is no device: software, nvidia:ADDRESS, nvidia-decode:ADDRESS or vaapi:ADDRESS is one")]
    Kind(String),
    /// The CPU has no address, every other device has one.
    #[error("\"{0}\" has no address behind its colon, or one too many: see `rungd devices`")]
    Address(String),
    /// Over [`MAX_ID_BYTES`].
    #[error("a device's name has up to {MAX_ID_BYTES} bytes, this has {0}")]
    Long(usize),
}

/// One device and the code that drives it: `software`, `nvidia:0000:01:00.0`, `vaapi:0000:00:02.0`.
///
/// The address is the PCI one (domain, bus, device, function), which survives restarts, or where the device has none the
/// path of its node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId {
    engine: EngineKind,
    address: String,
}

impl DeviceId {
    /// The CPU.
    #[must_use]
    pub const fn software() -> Self {
        Self { engine: EngineKind::Software, address: String::new() }
    }

    /// The device at `address`, driven by `engine`.
    ///
    /// # Errors
    /// Where the CPU is given an address or another device none, and where the whole is over [`MAX_ID_BYTES`].
    pub fn new(engine: EngineKind, address: &str) -> Result<Self, DeviceIdError> {
        let id = Self { engine, address: address.to_owned() };
        let plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        if address.is_empty() != (engine == EngineKind::Software) || !plain {
            return Err(DeviceIdError::Address(id.to_string().chars().take(MAX_ID_BYTES).collect()));
        }
        match id.to_string().len() {
            length if length > MAX_ID_BYTES => Err(DeviceIdError::Long(length)),
            _ => Ok(id),
        }
    }

    /// The code that drives it.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Where it is; empty for the CPU.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.as_str() {
            "" => f.write_str(self.engine.name()),
            address => write!(f, "{}:{address}", self.engine),
        }
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_ID_BYTES {
            return Err(DeviceIdError::Long(text.len()));
        }
        let (kind, address) = text.split_once(':').unwrap_or((text, ""));
        let engine = EngineKind::ALL.into_iter().find(|engine| engine.name() == kind);
        let engine = engine.ok_or_else(|| DeviceIdError::Kind(text.to_owned()))?;
        if text.ends_with(':') {
            return Err(DeviceIdError::Address(text.to_owned()));
        }
        Self::new(engine, address)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

/// What one device does with one coding format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// The format.
    pub codec: VideoCodec,
    /// Most bits a sample.
    pub bit_depth: u8,
    /// Largest picture; without a bound of its own where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// What is worth knowing beside: `low power`, `CBR VBR`, `4 engines`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One device that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// How it is named, with the engine that it is to be driven by.
    pub id: DeviceId,
    /// What its maker calls it.
    pub name: String,
    /// Driver or library, with its version.
    pub driver: String,
    /// Whether it calls itself simulated: a test's device, whose speed and faults are made up.
    #[serde(default)]
    pub simulated: bool,
    /// CPUs that a worker may use; of the CPU only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// The device's own memory in bytes, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The NUMA node that it hangs at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<u32>,
    /// What its decoders took when they were opened.
    pub decode: Vec<Ability>,
    /// What its encoders took when they were opened.
    pub encode: Vec<Ability>,
    /// What does not work, and what to do about it, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A device, or a whole kind of devices, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// The code that would drive it.
    pub engine: EngineKind,
    /// Which, where it was found: a PCI address, a node, a name. The whole kind where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Why not, and what to do about it, in a sentence.
    pub reason: String,
}

/// What one engine, or all of them, found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// What can be used.
    pub devices: Vec<DeviceReport>,
    /// What cannot.
    #[serde(default)]
    pub unusable: Vec<Unusable>,
}

impl Inventory {
    /// Takes in what another engine found.
    pub fn join(&mut self, other: Self) {
        self.devices.extend(other.devices);
        self.unusable.extend(other.unusable);
    }

    /// The device named `id`.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<&DeviceReport> {
        self.devices.iter().find(|device| device.id == *id)
    }
}

/// How fast one device codes one format at one preset: measured, not believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// What was measured.
    pub step: Step,
    /// The coding format.
    pub codec: VideoCodec,
    /// x264's name for the preset; the engine has its own for it. Empty for decoding.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preset: String,
    /// Millions of luma samples a second, with as many sessions at once as give most.
    pub megasamples_per_second: f64,
    /// Sessions at once that gave it.
    pub sessions: u32,
}

/// What is measured of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Decoding.
    Decode,
    /// Encoding.
    Encode,
}

/// All that `rungd-worker calibrate` measured of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The device.
    pub id: DeviceId,
    /// As in [`DeviceReport::name`]: a measurement of another device at the same address does not hold.
    pub name: String,
    /// As in [`DeviceReport::driver`]: one of another driver does not hold either.
    pub driver: String,
    /// The measurements.
    pub speeds: Vec<Speed>,
    /// Why others are missing, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// What a device does at a moment. `rungd-worker monitor` prints one list of these a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The device.
    pub id: DeviceId,
    /// Parts of the device that were in use, from 0 to 1, by name: `encoder`, `decoder`, `sm`, `video`, `render`.
    #[serde(default)]
    pub utilisation: BTreeMap<String, f64>,
    /// Memory in use, and all of it, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<(u64, u64)>,
    /// Degrees Celsius.
    #[serde(default)]
    pub temperature_celsius: Option<f64>,
    /// Watts.
    #[serde(default)]
    pub power_watts: Option<f64>,
    /// Clocks in hertz, by name: `sm`, `video`, `memory`, `gpu`.
    #[serde(default)]
    pub clocks_hertz: BTreeMap<String, f64>,
    /// Encode sessions of all processes.
    #[serde(default)]
    pub sessions: Option<u32>,
    /// Why clocks are lower than they could be: `power`, `heat`. None where it is not known, empty where they are not.
    #[serde(default)]
    pub throttled: Option<Vec<String>>,
    /// Faults since the reading before it, in the words of the driver: `xid 79`, `reset`.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Why nothing more can be told of the device; it may be gone.
    #[serde(default)]
    pub problem: Option<String>,
}

impl Reading {
    /// A reading that says nothing yet.
    #[must_use]
    pub fn of(id: DeviceId) -> Self {
        Self {
            id,
            utilisation: BTreeMap::new(),
            memory_bytes: None,
            temperature_celsius: None,
            power_watts: None,
            clocks_hertz: BTreeMap::new(),
            sessions: None,
            throttled: None,
            faults: Vec::new(),
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in
            ["software", "nvidia:0000:01:00.0", "nvidia-decode:0000:01:00.0", "vaapi:/dev/dri/renderD128"]
        {
            assert_eq!(text.parse::<DeviceId>().unwrap().to_string(), text);
        }
        let id: DeviceId = "nvidia:0000:01:00.0".parse().unwrap();
        assert_eq!((id.engine(), id.address()), (EngineKind::Nvidia, "0000:01:00.0"));
    }

    #[test]
    fn what_names_no_device_is_told_so() {
        for text in
            ["", "gpu", "nvidia", "nvidia:", "software:0", "software:", "vaapi: x", "Nvidia:0000:01:00.0"]
        {
            assert!(text.parse::<DeviceId>().is_err(), "{text:?}");
        }
        let long = format!("vaapi:/{}", "x".repeat(MAX_ID_BYTES));
        assert_eq!(long.parse::<DeviceId>(), Err(DeviceIdError::Long(long.len())));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,200}") {
            if let Ok(id) = text.parse::<DeviceId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
