//! The state as plain data: for tests, for NVML's and DRM's telemetry, and for `sim-report`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::layout::{Counter, Engine};
use crate::{Codec, State};

/// The whole state at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many rules were broken.
    pub violations: u32,
    /// The sentences of the first of them.
    pub sentences: Vec<String>,
    /// By the plan's order.
    pub devices: Vec<DeviceReport>,
}

/// One device at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// The Xid with which it was lost, if it is.
    pub lost: Option<u32>,
    /// Bytes.
    pub memory_used: u64,
    /// By name, see [`Counter`].
    pub counters: BTreeMap<String, u64>,
    /// Busy nanoseconds of each engine, by name.
    pub busy_ns: BTreeMap<String, u64>,
    /// What is open.
    pub sessions: Vec<SessionReport>,
}

/// One session at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct SessionReport {
    /// Its number, never used twice.
    pub id: u32,
    /// Whose it is.
    pub pid: u32,
    /// Encode or decode.
    #[serde(serialize_with = "by_name")]
    pub engine: Engine,
    /// Its coding, once known.
    #[serde(skip)]
    pub codec: Option<Codec>,
    /// Pixels, once known.
    pub width: u32,
    /// Pixels, once known.
    pub height: u32,
    /// Frames so far.
    pub frames: u64,
    /// Frames a second, of the last few.
    pub fps: u32,
    /// How long a frame takes, of the last few, in microseconds.
    pub latency_us: u32,
}

impl State {
    /// All of it.
    #[must_use]
    pub fn report(&self) -> Report {
        let devices = (0..self.plan().devices.len()).map(|device| self.device_report(device)).collect();
        let sentences = self.violations().into_iter().map(|(_, sentence)| sentence).collect();
        Report { violations: self.violation_count(), sentences, devices }
    }

    /// The sessions open on a device.
    #[must_use]
    pub fn sessions_on(&self, device: usize, engine: Engine) -> Vec<SessionReport> {
        let mut sessions = self.sessions();
        sessions.retain(|seen| seen.device == device && seen.engine == engine);
        let shown = |seen: crate::session::Seen| SessionReport {
            id: seen.id,
            pid: seen.pid,
            engine: seen.engine,
            codec: seen.size.map(|size| size.codec),
            width: seen.size.map_or(0, |size| size.width),
            height: seen.size.map_or(0, |size| size.height),
            frames: seen.frames,
            fps: u32::try_from(1_000_000_000_u64.checked_div(seen.interval_ns).unwrap_or(0))
                .unwrap_or(u32::MAX),
            latency_us: u32::try_from(seen.latency_ns / 1000).unwrap_or(u32::MAX),
        };
        sessions.into_iter().map(shown).collect()
    }

    fn device_report(&self, device: usize) -> DeviceReport {
        let named = |name: &dyn std::fmt::Debug, value: u64| (format!("{name:?}"), value);
        DeviceReport {
            name: self.plan().devices[device].name.clone(),
            lost: self.there(device).err().map(|lost| lost.xid),
            memory_used: self.memory_used(device),
            counters: Counter::ALL.into_iter().map(|c| named(&c, self.counted(device, c))).collect(),
            busy_ns: Engine::ALL.into_iter().map(|e| named(&e, self.busy_ns(device, e))).collect(),
            sessions: Engine::ALL.into_iter().flat_map(|engine| self.sessions_on(device, engine)).collect(),
        }
    }
}

fn by_name<S: serde::Serializer>(engine: &Engine, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{engine:?}"))
}
