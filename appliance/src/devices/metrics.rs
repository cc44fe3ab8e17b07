//! What is told of devices. Labels are names that a worker's probe gave: nobody outside chooses one.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use worker_protocol::device::Reading;
use worker_protocol::{DeviceId, Inventory};

/// What is told of devices.
#[derive(Debug, Clone)]
pub struct Metrics {
    info: IntGaugeVec,
    up: IntGaugeVec,
    utilisation: GaugeVec,
    memory_used: GaugeVec,
    memory: GaugeVec,
    temperature: GaugeVec,
    power: GaugeVec,
    clock: GaugeVec,
    sessions: IntGaugeVec,
    throttled: IntGaugeVec,
    faults: IntCounterVec,
    load: IntGaugeVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let int = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let float = |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, prometheus::Error> {
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let device = &["device"][..];
        let faults = IntCounterVec::new(
            Opts::new(
                "rungd_device_faults_total",
                "Faults that the driver reports: Xid events, resets, hangs",
            ),
            &["device", "fault"],
        )?;
        registry.register(Box::new(faults.clone()))?;
        Ok(Self {
            info: int(
                "rungd_device_info",
                "1 for each device that can be used",
                &["device", "name", "driver"],
            )?,
            up: int("rungd_device_up", "1 while the device answers its monitor", device)?,
            utilisation: float(
                "rungd_device_utilisation_ratio",
                "Part of an engine that is in use, from 0 to 1",
                &["device", "engine"],
            )?,
            memory_used: float("rungd_device_memory_used_bytes", "Device memory in use", device)?,
            memory: float("rungd_device_memory_bytes", "All device memory", device)?,
            temperature: float("rungd_device_temperature_celsius", "Temperature of the chip", device)?,
            power: float("rungd_device_power_watts", "Power drawn", device)?,
            clock: float("rungd_device_clock_hertz", "Clocks", &["device", "clock"])?,
            sessions: int("rungd_device_encode_sessions", "Encode sessions of all processes", device)?,
            throttled: int(
                "rungd_device_throttled",
                "1 while clocks are lower than they could be, by reason",
                &["device", "reason"],
            )?,
            faults,
            load: int(
                "rungd_device_load_samples_per_second",
                "Luma samples a second of the rungs that feeds have there",
                device,
            )?,
        })
    }

    /// These devices are there now; those of `before` that are not among them are told of no more.
    pub(super) fn found(&self, inventory: &Inventory, before: Option<&Inventory>) {
        for gone in before.map_or(&[][..], |before| &before.devices) {
            let id = gone.id.to_string();
            // One that was never set is not there to be removed.
            let _ = self.info.remove_label_values(&[id.as_str(), gone.name.as_str(), gone.driver.as_str()]);
            if inventory.device(&gone.id).is_none() {
                let _ = self.load.remove_label_values(&[id.as_str()]);
            }
        }
        for device in &inventory.devices {
            let id = device.id.to_string();
            self.info.with_label_values(&[id.as_str(), device.name.as_str(), device.driver.as_str()]).set(1);
            self.load.with_label_values(&[id.as_str()]).set(0);
        }
    }

    pub(super) fn load(&self, id: &DeviceId, samples_per_second: u64) {
        let load = i64::try_from(samples_per_second).unwrap_or(i64::MAX);
        self.load.with_label_values(&[id.to_string().as_str()]).set(load);
    }

    /// The device's monitor does not answer: what it said last does not hold any more.
    pub(super) fn silent(&self, id: &DeviceId) {
        let id = id.to_string();
        self.up.with_label_values(&[id.as_str()]).set(0);
        for gauge in [&self.memory_used, &self.temperature, &self.power] {
            // One that was never set is not there to be removed.
            let _ = gauge.remove_label_values(&[id.as_str()]);
        }
        let _ = self.sessions.remove_label_values(&[id.as_str()]);
    }

    pub(super) fn show(&self, id: &DeviceId, reading: &Reading) {
        let id = id.to_string();
        let id = id.as_str();
        self.up.with_label_values(&[id]).set(i64::from(reading.problem.is_none()));
        for (engine, part) in &reading.utilisation {
            self.utilisation.with_label_values(&[id, engine.as_str()]).set(*part);
        }
        for (clock, hertz) in &reading.clocks_hertz {
            self.clock.with_label_values(&[id, clock.as_str()]).set(*hertz);
        }
        if let Some((used, all)) = reading.memory_bytes {
            self.memory_used.with_label_values(&[id]).set(real(used));
            self.memory.with_label_values(&[id]).set(real(all));
        }
        if let Some(celsius) = reading.temperature_celsius {
            self.temperature.with_label_values(&[id]).set(celsius);
        }
        if let Some(watts) = reading.power_watts {
            self.power.with_label_values(&[id]).set(watts);
        }
        if let Some(sessions) = reading.sessions {
            self.sessions.with_label_values(&[id]).set(i64::from(sessions));
        }
        if let Some(reasons) = &reading.throttled {
            for reason in ["power_cap", "power_brake", "heat", "hardware", "clock"] {
                let is = reasons.iter().any(|found| found == reason);
                self.throttled.with_label_values(&[id, reason]).set(i64::from(is));
            }
        }
        for fault in &reading.faults {
            self.faults.with_label_values(&[id, fault.as_str()]).inc();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far under 2^52")]
fn real(bytes: u64) -> f64 {
    bytes as f64
}
