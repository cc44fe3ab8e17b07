//! The plan: which devices a simulation has, how fast they are, and what goes wrong on them.
//!
//! ```toml
//! state = "/tmp/test-1/state"      # the file that all processes of this simulation share
//! driver = "535.183.01"            # what NVIDIA's driver calls itself; API versions follow from it
//! pictures = "real"                # or "flat": no real coding, for measuring what stands around the driver
//! trace = false                    # every call on stderr
//!
//! [[device]]
//! model = "l4"                     # the starting point; every other key overrides one of its facts
//! encode_mpx_s = 500               # one engine's speed; absent: as fast as the software inside
//! open_delay_ms = 40
//!
//! [[device.fault]]
//! kind = "lost"                    # see [`Fault`]
//! after = 100
//! xid = 79
//! ```
//!
//! An unknown key or value is an error: a test that means a fault must get that fault.

mod model;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

pub use self::model::Model;
use crate::layout::{Engine, MAX_DEVICES, MAX_FAULTS, MAX_UNITS};

/// Why a plan cannot be followed.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("the plan {} cannot be read", path.display())]
    Read {
        /// The plan's path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has keys or values that no plan has.
    #[error("the plan {} is not understood", path.display())]
    Parse {
        /// The plan's path.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A value is out of its bounds.
    #[error("{what} of device {device} is {value}, and must be from {least} to {most}")]
    Bound {
        /// The device's number.
        device: usize,
        /// The key.
        what: &'static str,
        /// What it is.
        value: u64,
        /// The bounds.
        least: u64,
        /// The bounds.
        most: u64,
    },
    /// Too many devices.
    #[error("the plan has {0} devices, at most {MAX_DEVICES}")]
    TooManyDevices(usize),
    /// The driver's version does not begin with a number.
    #[error("the driver version \"{0}\" does not begin with a number and a dot")]
    Driver(String),
}

/// A simulation's plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file that all processes of this simulation map.
    pub state: PathBuf,
    /// What NVIDIA's driver calls itself.
    pub driver: Driver,
    /// Whether pictures are really coded.
    pub pictures: Pictures,
    /// Every call on stderr.
    pub trace: bool,
    /// The devices, in the order of their numbers.
    pub devices: Vec<Device>,
}

/// A version of NVIDIA's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// As `nvidia-smi` prints it.
    pub text: String,
    /// Its branch: 535 of "535.183.01".
    pub branch: u32,
}

/// Whether pictures are really coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pictures {
    /// By x264 and libavcodec.
    #[default]
    Real,
    /// Pictures of one colour and coded pictures made once: everything around the driver at next to no cost.
    Flat,
}

/// Whose device it is: NVIDIA's libraries show only NVIDIA's, the VA-API driver the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// CUDA, NVENC, NVDEC, NVML.
    Nvidia,
    /// VA-API, like Intel's iHD driver.
    Intel,
    /// VA-API, like Mesa's driver for AMD.
    Amd,
}

/// A coding of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// H.264.
    H264,
    /// HEVC.
    Hevc,
    /// AV1.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Av1];
}

/// The error with which a vendor's driver refuses a session over its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapStatus {
    /// `NV_ENC_ERR_OUT_OF_MEMORY` (10): older drivers.
    OutOfMemory,
    /// `NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY` (21): newer drivers.
    IncompatibleClientKey,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    /// What the plan began from: entry points and rate controls of VA-API devices follow from it.
    pub model: Model,
    /// Whose it is.
    pub kind: Kind,
    /// Its name; it begins with "Simulated".
    pub name: String,
    /// Device memory.
    pub memory_bytes: u64,
    /// What it encodes. Empty: it has no encoder at all, like A100, H100, H200.
    pub encode: Vec<Codec>,
    /// What it decodes.
    pub decode: Vec<Codec>,
    /// What of it with 10 bits.
    pub encode_10bit: Vec<Codec>,
    /// What of it with 10 bits.
    pub decode_10bit: Vec<Codec>,
    /// What it encodes with B-frames.
    pub b_frames: Vec<Codec>,
    /// The largest picture, coded or decoded.
    pub max_width: u32,
    /// The largest picture, coded or decoded.
    pub max_height: u32,
    /// How many units of each engine ([`Engine::ALL`]) it has.
    pub units: [u32; 3],
    /// Million pixels a second of one unit of each engine; `None` is as fast as the software inside.
    pub mpx_s: [Option<u32>; 3],
    /// How long it takes to open an encode session. Opens on one device wait for each other.
    pub open_delay_ms: u64,
    /// Encode sessions, together with those on all other devices that have a cap: GeForce's is for the system.
    pub session_cap: Option<u32>,
    /// How the cap is told.
    pub cap_status: CapStatus,
    /// Whether Intel's HuC firmware is loaded, without which low-power encoders of older GPUs control no rate.
    pub huc: bool,
    /// Whether a VA-API driver controls a variable rate (`VA_RC_VBR`).
    pub vbr: bool,
    /// Whether a VA-API driver says of a surface whether it is ready (`vaQuerySurfaceStatus`).
    pub surface_status: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Device {
    /// How many units of `engine` it has.
    #[must_use]
    pub fn units(&self, engine: Engine) -> u32 {
        self.units[engine.index()]
    }
}

/// What goes wrong. `after` counts what happened on the device since the state file is new: with `after = 100` the
/// first hundred are sound. `times` says how often it happens; absent, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// A session does not open.
    OpenFails {
        /// Of which engine.
        engine: EngineName,
        /// Sessions opened before.
        #[serde(default)]
        after: u64,
        /// How often.
        times: Option<u64>,
        /// The vendor's status; absent, the one for a device that cannot (NVENC 20, NVDEC 999, VA-API 1).
        status: Option<u32>,
    },
    /// A session does not open, as the cap of sessions is reached.
    CapReached {
        /// Sessions opened before.
        #[serde(default)]
        after: u64,
        /// How often.
        times: Option<u64>,
    },
    /// The device falls off the bus: every call on it fails from then on, in every process, and NVML tells of the Xid.
    Lost {
        /// Which engine's frames are counted.
        #[serde(default)]
        engine: EngineName,
        /// Frames before.
        #[serde(default)]
        after: u64,
        /// The Xid; 79 is "GPU has fallen off the bus".
        #[serde(default = "fallen_off_the_bus")]
        xid: u32,
    },
    /// A job does not come back.
    Hangs {
        /// Of which engine.
        #[serde(default)]
        engine: EngineName,
        /// Frames before.
        #[serde(default)]
        after: u64,
        /// How often.
        times: Option<u64>,
        /// How long; absent, until the device is lost or restored, or the process ends.
        ms: Option<u64>,
    },
    /// Jobs take longer.
    Slows {
        /// Of which engine.
        #[serde(default)]
        engine: EngineName,
        /// Frames before.
        #[serde(default)]
        after: u64,
        /// How many frames.
        times: Option<u64>,
        /// By how much.
        factor: u32,
    },
    /// What comes out is damaged.
    Corrupts {
        /// Of which engine.
        #[serde(default)]
        engine: EngineName,
        /// Frames before.
        #[serde(default)]
        after: u64,
        /// How many frames.
        times: Option<u64>,
    },
    /// Device memory cannot be had.
    OutOfMemory {
        /// Allocations before.
        #[serde(default)]
        after: u64,
        /// How often.
        times: Option<u64>,
    },
}

/// [`Engine`], as a plan writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    /// [`Engine::Encode`].
    #[default]
    Encode,
    /// [`Engine::Decode`].
    Decode,
    /// [`Engine::Scale`].
    Scale,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Encode => Self::Encode,
            EngineName::Decode => Self::Decode,
            EngineName::Scale => Self::Scale,
        }
    }
}

impl Default for Plan {
    /// A device like an L4 and one of Intel's, sound and as fast as the software inside; the state is the user's, in `/dev/shm`.
    fn default() -> Self {
        // SAFETY: geteuid(2) cannot fail.
        let user = unsafe { libc::geteuid() };
        Self {
            state: format!("/dev/shm/rungd-sim-{user}.state").into(),
            driver: Driver::newest(),
            pictures: Pictures::Real,
            trace: false,
            devices: vec![Model::L4.device(), Model::Intel.device()],
        }
    }
}

impl Plan {
    /// The plan that [`crate::PLAN_VARIABLE`] names, or the default.
    ///
    /// # Errors
    /// Where the file cannot be read or followed.
    pub fn from_environment() -> Result<Self, PlanError> {
        match std::env::var_os(crate::PLAN_VARIABLE) {
            Some(path) if !path.is_empty() => Self::read(Path::new(&path)),
            _ => Ok(Self::default()),
        }
    }

    /// The plan in a file. A relative `state` is relative to the plan's folder.
    ///
    /// # Errors
    /// Where the file cannot be read or followed.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text =
            fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        let written: WrittenPlan =
            toml::from_str(&text).map_err(|source| PlanError::Parse { path: path.to_owned(), source })?;
        let mut plan = Self::default();
        plan.state = match written.state {
            Some(state) => path.parent().unwrap_or(Path::new("")).join(state),
            None => path.with_extension("state"),
        };
        plan.driver = written.driver.map_or(Ok(plan.driver), Driver::parse)?;
        plan.pictures = written.pictures;
        plan.trace = written.trace;
        if let Some(devices) = written.device {
            plan.devices = devices
                .into_iter()
                .enumerate()
                .map(|(n, d)| d.over_its_model(n))
                .collect::<Result<_, _>>()?;
        }
        if plan.devices.len() > MAX_DEVICES {
            return Err(PlanError::TooManyDevices(plan.devices.len()));
        }
        Ok(plan)
    }
}

impl Driver {
    /// What a plan has that names none: new enough for every client of the tests.
    fn newest() -> Self {
        Self { text: "610.43.02".into(), branch: 610 }
    }

    fn parse(text: String) -> Result<Self, PlanError> {
        match text.split_once('.').and_then(|(branch, _)| branch.parse().ok()) {
            Some(branch) => Ok(Self { text, branch }),
            None => Err(PlanError::Driver(text)),
        }
    }
}

fn fallen_off_the_bus() -> u32 {
    79
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlan {
    state: Option<PathBuf>,
    driver: Option<String>,
    #[serde(default)]
    pictures: Pictures,
    #[serde(default)]
    trace: bool,
    device: Option<Vec<WrittenDevice>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDevice {
    model: Model,
    name: Option<String>,
    memory_mib: Option<u64>,
    encode: Option<Vec<Codec>>,
    decode: Option<Vec<Codec>>,
    encode_10bit: Option<Vec<Codec>>,
    decode_10bit: Option<Vec<Codec>>,
    b_frames: Option<Vec<Codec>>,
    max_width: Option<u32>,
    max_height: Option<u32>,
    encode_units: Option<u32>,
    decode_units: Option<u32>,
    encode_mpx_s: Option<u32>,
    decode_mpx_s: Option<u32>,
    scale_mpx_s: Option<u32>,
    open_delay_ms: Option<u64>,
    session_cap: Option<u32>,
    cap_status: Option<CapStatus>,
    huc: Option<bool>,
    vbr: Option<bool>,
    surface_status: Option<bool>,
    #[serde(default)]
    fault: Vec<Fault>,
}

impl WrittenDevice {
    /// The device that this is, `number` being its place in the plan.
    fn over_its_model(self, number: usize) -> Result<Device, PlanError> {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        let check = |what, value: u64, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(PlanError::Bound { device: number, what, value, least, most })
            }
        };
        let mut device = self.model.device();
        if let Some(name) = self.name {
            device.name = format!("Simulated {name}");
        }
        set(&mut device.memory_bytes, self.memory_mib.map(|mib| mib.saturating_mul(1 << 20)));
        set(&mut device.encode, self.encode);
        set(&mut device.decode, self.decode);
        set(&mut device.encode_10bit, self.encode_10bit);
        set(&mut device.decode_10bit, self.decode_10bit);
        set(&mut device.b_frames, self.b_frames);
        set(&mut device.max_width, self.max_width);
        set(&mut device.max_height, self.max_height);
        set(&mut device.units[Engine::Encode.index()], self.encode_units);
        set(&mut device.units[Engine::Decode.index()], self.decode_units);
        device.mpx_s = [self.encode_mpx_s, self.decode_mpx_s, self.scale_mpx_s];
        set(&mut device.open_delay_ms, self.open_delay_ms);
        device.session_cap = self.session_cap.or(device.session_cap);
        set(&mut device.cap_status, self.cap_status);
        set(&mut device.huc, self.huc);
        set(&mut device.vbr, self.vbr);
        set(&mut device.surface_status, self.surface_status);
        device.faults = self.fault;
        let most_units = u64::try_from(MAX_UNITS).unwrap_or(u64::MAX);
        for (what, engine) in [("encode_units", Engine::Encode), ("decode_units", Engine::Decode)] {
            check(what, device.units(engine).into(), 1, most_units)?;
        }
        for (what, speed) in ["encode_mpx_s", "decode_mpx_s", "scale_mpx_s"].into_iter().zip(device.mpx_s) {
            check(what, speed.map_or(1, u64::from), 1, u32::MAX.into())?;
        }
        let most_faults = u64::try_from(MAX_FAULTS).unwrap_or(u64::MAX);
        check("faults", u64::try_from(device.faults.len()).unwrap_or(u64::MAX), 0, most_faults)?;
        for fault in &device.faults {
            if let Fault::Slows { factor, .. } = fault {
                check("factor", (*factor).into(), 1, 1_000_000)?;
            }
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Plan, PlanError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        fs::write(&path, text).unwrap();
        Plan::read(&path)
    }

    fn complaint(text: &str) -> String {
        let error = read(text).expect_err("it is refused");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn a_plan_begins_with_its_model_and_overrides_it() {
        let plan = read(
            "state = \"s\"\ndriver = \"535.183.01\"\npictures = \"flat\"\n\
             [[device]]\nmodel = \"l4\"\nencode_mpx_s = 500\nopen_delay_ms = 40\n\
             [[device.fault]]\nkind = \"lost\"\nafter = 100\nxid = 31\n\
             [[device]]\nmodel = \"h200\"\n[[device]]\nmodel = \"geforce\"\nname = \"NVIDIA Other\"\n",
        )
        .unwrap();
        assert_eq!((plan.driver.branch, plan.pictures), (535, Pictures::Flat));
        assert_eq!(plan.devices[0].mpx_s, [Some(500), None, None]);
        assert_eq!(plan.devices[0].faults, [Fault::Lost { engine: EngineName::Encode, after: 100, xid: 31 }]);
        assert_eq!((plan.devices[0].open_delay_ms, plan.devices[1].open_delay_ms), (40, 0));
        assert_eq!(plan.devices[1].encode, [], "an H200 has no encoder");
        assert!(plan.devices[2].session_cap.is_some(), "a GeForce has a cap");
        assert_eq!(plan.devices[2].name, "Simulated NVIDIA Other");
    }

    #[test]
    fn what_no_plan_has_is_refused_and_named() {
        for (text, named) in [
            ("stat = \"s\"\n", "stat"),
            ("[[device]]\nmodel = \"l4\"\nencode_mpxs = 5\n", "encode_mpxs"),
            ("[[device]]\nmodel = \"l5\"\n", "l5"),
            ("[[device]]\nname = \"x\"\n", "model"),
            ("[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"lost\"\nfater = 1\n", "fater"),
            ("[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"explodes\"\n", "explodes"),
            ("[[device]]\nmodel = \"l4\"\nencode_mpx_s = 0\n", "encode_mpx_s of device 0 is 0"),
            ("driver = \"new\"\n", "\"new\""),
        ] {
            let complaint = complaint(text);
            assert!(complaint.contains(named), "{text:?}: {complaint}");
        }
    }
}
