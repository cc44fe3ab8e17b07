//! Telemetry: what NVML tells of a device's state. It needs no context and wakes no device up.
//!
//! What a device, a driver or a container does not tell is `None`, not an error.

use std::time::Duration;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{Clock, EncoderType, TemperatureSensor};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::{NvmlError as Inner, NvmlErrorWithSource};
use nvml_wrapper::{Device, EventSet};

use crate::frame::Size;

/// Telemetry that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NvmlError {
    /// There is no library.
    #[error("libnvidia-ml.so.1 cannot be loaded: the driver's management library is not installed here")]
    Missing(#[source] Box<Inner>),
    /// The library does not start.
    #[error("libnvidia-ml.so.1 does not start")]
    Start(#[source] Box<Inner>),
    /// It does not know a device.
    #[error("NVML finds no device {uuid}")]
    Device {
        /// The device's identity.
        uuid: String,
        /// What it says.
        #[source]
        source: Box<Inner>,
    },
    /// The device is gone.
    #[error("device {uuid} is lost")]
    Lost {
        /// The device's identity.
        uuid: String,
    },
    /// Events cannot be listened to.
    #[error("events of device {uuid} cannot be listened to")]
    Events {
        /// The device's identity.
        uuid: String,
        /// What it says.
        #[source]
        source: Box<NvmlErrorWithSource>,
    },
    /// Waiting for an event fails.
    #[error("waiting for an event of device {uuid}")]
    Wait {
        /// The device's identity.
        uuid: String,
        /// What it says.
        #[source]
        source: Box<Inner>,
    },
}

/// Why clocks are lower than they could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Throttle {
    /// The power limit is reached.
    PowerCap,
    /// It is too hot, the driver says.
    ThermalSoftware,
    /// It is too hot, the device says.
    ThermalHardware,
    /// The power supply asks for less.
    PowerBrake,
    /// The device slows down, for heat or power.
    Hardware,
}

/// An encode session of any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeSession {
    /// Its process.
    pub pid: u32,
    /// Picture size.
    pub size: Size,
    /// Mean of late, in pictures a second.
    pub pictures_per_second: u32,
    /// Mean of late, from a picture's submission to its end.
    pub latency: Duration,
}

/// The state of a device at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Share of the last sampling period in which a kernel ran, in percent.
    pub sm_percent: Option<u32>,
    /// Share in which memory was read or written, in percent.
    pub memory_bus_percent: Option<u32>,
    /// Use of the encode engines, in percent.
    pub encoder_percent: Option<u32>,
    /// Use of the decode engines, in percent.
    pub decoder_percent: Option<u32>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// All memory, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Temperature of the chip, in degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// Power drawn, in milliwatts.
    pub power_milliwatts: Option<u32>,
    /// Power that it may draw, in milliwatts.
    pub power_limit_milliwatts: Option<u32>,
    /// Clock of the multiprocessors, in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the video engines, in MHz; encoding is about as fast as this.
    pub video_clock_mhz: Option<u32>,
    /// Clock of the memory, in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Why clocks are lower than they could be; empty where they are not.
    pub throttle: Option<Vec<Throttle>>,
    /// Encode sessions of all processes.
    pub session_count: Option<u32>,
    /// The same, each; none where one is of a kind that NVML's wrapper does not know.
    pub sessions: Option<Vec<EncodeSession>>,
    /// Encode sessions' share of what the device can do with H.264, in percent, as the driver estimates it.
    pub free_capacity_percent: Option<u32>,
}

/// NVML.
#[derive(Debug)]
pub struct Nvml(nvml_wrapper::Nvml);

impl Nvml {
    /// Loads and starts it.
    ///
    /// # Errors
    /// Where it is not installed, or the driver is not loaded.
    pub fn open() -> Result<Self, NvmlError> {
        match nvml_wrapper::Nvml::init() {
            Ok(nvml) => Ok(Self(nvml)),
            Err(error @ Inner::LibloadingError(_)) => Err(NvmlError::Missing(Box::new(error))),
            Err(error) => Err(NvmlError::Start(Box::new(error))),
        }
    }

    /// The driver's version, `550.54.14`.
    #[must_use]
    pub fn driver_version(&self) -> Option<String> {
        self.0.sys_driver_version().ok()
    }

    fn device(&self, uuid: &str) -> Result<Device<'_>, NvmlError> {
        self.0.device_by_uuid(uuid).map_err(|source| match source {
            Inner::GpuLost => NvmlError::Lost { uuid: uuid.to_owned() },
            source => NvmlError::Device { uuid: uuid.to_owned(), source: Box::new(source) },
        })
    }

    /// The state of a device now, by its identity (see [`crate::DeviceInfo::uuid`]).
    ///
    /// # Errors
    /// Where there is no such device, or it is lost.
    pub fn sample(&self, uuid: &str) -> Result<Sample, NvmlError> {
        let device = self.device(uuid)?;
        // Asked first: where it is lost, nothing else is worth asking.
        let rates = match device.utilization_rates() {
            Err(Inner::GpuLost) => return Err(NvmlError::Lost { uuid: uuid.to_owned() }),
            rates => rates.ok(),
        };
        let memory = device.memory_info().ok();
        let clock = |clock| device.clock_info(clock).ok();
        let sessions = device.encoder_sessions().ok();
        Ok(Sample {
            sm_percent: rates.as_ref().map(|rates| rates.gpu),
            memory_bus_percent: rates.as_ref().map(|rates| rates.memory),
            encoder_percent: device.encoder_utilization().ok().map(|used| used.utilization),
            decoder_percent: device.decoder_utilization().ok().map(|used| used.utilization),
            memory_used_bytes: memory.as_ref().map(|memory| memory.used),
            memory_total_bytes: memory.as_ref().map(|memory| memory.total),
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            power_milliwatts: device.power_usage().ok(),
            power_limit_milliwatts: device.enforced_power_limit().ok(),
            sm_clock_mhz: clock(Clock::SM),
            video_clock_mhz: clock(Clock::Video),
            memory_clock_mhz: clock(Clock::Memory),
            throttle: device.current_throttle_reasons().ok().map(throttle),
            session_count: device.encoder_stats().ok().map(|stats| stats.session_count),
            sessions: sessions.map(|sessions| {
                let session =
                    |session: &nvml_wrapper::struct_wrappers::device::EncoderSessionInfo| EncodeSession {
                        pid: session.pid,
                        size: Size { width: session.hres, height: session.vres },
                        pictures_per_second: session.average_fps,
                        latency: Duration::from_micros(session.average_latency.into()),
                    };
                sessions.iter().map(session).collect()
            }),
            free_capacity_percent: device.encoder_capacity(EncoderType::H264).ok(),
        })
    }

    /// Listens to a device's Xid events: what the driver's kernel part reports of faults.
    ///
    /// # Errors
    /// Where there is no such device, or it does not report them.
    pub fn xids(&self, uuid: &str) -> Result<Xids<'_>, NvmlError> {
        let device = self.device(uuid)?;
        let failed = |source| NvmlError::Events { uuid: uuid.to_owned(), source: Box::new(source) };
        let set = self.0.create_event_set().map_err(|error| failed(error.into()))?;
        let set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(failed)?;
        Ok(Xids { set, uuid: uuid.to_owned() })
    }
}

/// Xid events of a device.
pub struct Xids<'nvml> {
    set: EventSet<'nvml>,
    uuid: String,
}

impl Xids<'_> {
    /// Waits for the next event; none where there was none in this time. Its number is in NVIDIA's document "XID errors".
    ///
    /// # Errors
    /// Where the device is lost, or waiting fails.
    pub fn wait(&self, at_most: Duration) -> Result<Option<u64>, NvmlError> {
        let milliseconds = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX);
        match self.set.wait(milliseconds) {
            Ok(event) => Ok(match event.event_data {
                Some(XidError::Value(xid)) => Some(xid),
                // "999 if unknown" (nvml.h, nvmlEventData_t).
                Some(XidError::Unknown) => Some(999),
                None => None,
            }),
            Err(Inner::Timeout) => Ok(None),
            Err(Inner::GpuLost) => Err(NvmlError::Lost { uuid: self.uuid.clone() }),
            Err(source) => Err(NvmlError::Wait { uuid: self.uuid.clone(), source: Box::new(source) }),
        }
    }
}

fn throttle(reasons: ThrottleReasons) -> Vec<Throttle> {
    [
        (ThrottleReasons::SW_POWER_CAP, Throttle::PowerCap),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::ThermalSoftware),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::ThermalHardware),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::Hardware),
    ]
    .into_iter()
    .filter(|(reason, _)| reasons.contains(*reason))
    .map(|(_, throttle)| throttle)
    .collect()
}

/// The driver's version, `550.54.14`; none where NVML cannot be asked.
#[must_use]
pub fn driver_version() -> Option<String> {
    Nvml::open().ok()?.driver_version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_clocks_are_no_throttling() {
        assert_eq!(throttle(ThrottleReasons::GPU_IDLE), []);
        let both = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_SLOWDOWN;
        assert_eq!(throttle(both), [Throttle::PowerCap, Throttle::Hardware]);
    }
}
