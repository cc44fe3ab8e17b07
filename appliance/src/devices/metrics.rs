//! What is told of devices. Labels are names that a worker's probe gave: nobody outside chooses one.

use std::collections::BTreeMap;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry};
use worker_protocol::device::Reading;
use worker_protocol::{DeviceId, Inventory};

use crate::telemetry::{Register, forget};

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
        let register = Register(registry);
        let device = &["device"][..];
        Ok(Self {
            info: register.gauges(
                "rungd_device_info",
                "1 for each device that can be used",
                &["device", "name", "driver"],
            )?,
            up: register.gauges("rungd_device_up", "1 while the device answers its monitor", device)?,
            utilisation: register.real_gauges(
                "rungd_device_utilisation_ratio",
                "Part of an engine that is in use, from 0 to 1",
                &["device", "engine"],
            )?,
            memory_used: register.real_gauges(
                "rungd_device_memory_used_bytes",
                "Device memory in use",
                device,
            )?,
            memory: register.real_gauges("rungd_device_memory_bytes", "All device memory", device)?,
            temperature: register.real_gauges(
                "rungd_device_temperature_celsius",
                "Temperature of the chip",
                device,
            )?,
            power: register.real_gauges("rungd_device_power_watts", "Power drawn", device)?,
            clock: register.real_gauges("rungd_device_clock_hertz", "Clocks", &["device", "clock"])?,
            sessions: register.gauges(
                "rungd_device_encode_sessions",
                "Encode sessions of all processes",
                device,
            )?,
            throttled: register.gauges(
                "rungd_device_throttled",
                "1 while clocks are lower than they could be, by reason",
                &["device", "reason"],
            )?,
            faults: register.counters(
                "rungd_device_faults_total",
                "Faults that the driver reports: Xid events, resets, hangs",
                &["device", "fault"],
            )?,
            load: register.gauges(
                "rungd_device_load_samples_per_second",
                "Luma samples a second of the rungs that feeds have there",
                device,
            )?,
        })
    }

    /// These devices are there now. Of one of `before` that is not among them no more is told than that it does not answer:
    /// whoever watches it is to know.
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
        let problem = Some("its monitor does not answer".to_owned());
        self.show(id, &Reading { problem, ..Reading::of(id.clone()) });
    }

    /// What the device's monitor says of it now; what it does not say is not known.
    pub(super) fn show(&self, id: &DeviceId, reading: &Reading) {
        let id = id.to_string();
        let id = id.as_str();
        self.up.with_label_values(&[id]).set(i64::from(reading.problem.is_none()));
        set_known(&self.utilisation, (id, "engine"), &reading.utilisation);
        set_known(&self.clock, (id, "clock"), &reading.clocks_hertz);
        let one = |gauge: &GaugeVec, value: Option<f64>| match value {
            Some(value) => gauge.with_label_values(&[id]).set(value),
            None => drop(gauge.remove_label_values(&[id])),
        };
        one(&self.memory_used, reading.memory_bytes.map(|(used, _)| real(used)));
        one(&self.memory, reading.memory_bytes.map(|(_, all)| real(all)));
        one(&self.temperature, reading.temperature_celsius);
        one(&self.power, reading.power_watts);
        match reading.sessions {
            Some(sessions) => self.sessions.with_label_values(&[id]).set(i64::from(sessions)),
            None => drop(self.sessions.remove_label_values(&[id])),
        }
        for reason in ["power_cap", "power_brake", "heat", "hardware", "clock"] {
            let labels = [id, reason];
            match &reading.throttled {
                Some(reasons) => {
                    let is = reasons.iter().any(|found| found == reason);
                    self.throttled.with_label_values(&labels).set(i64::from(is));
                }
                None => drop(self.throttled.remove_label_values(&labels)),
            }
        }
        for fault in &reading.faults {
            self.faults.with_label_values(&[id, fault.as_str()]).inc();
        }
    }
}

/// Shows the parts of a device, by the label `by`, and none that are not told of any more.
fn set_known(gauge: &GaugeVec, (id, by): (&str, &str), parts: &BTreeMap<String, f64>) {
    forget(gauge, |labels| {
        labels.get("device") == Some(&id) && labels.get(by).is_some_and(|part| !parts.contains_key(*part))
    });
    for (part, value) in parts {
        gauge.with_label_values(&[id, part.as_str()]).set(*value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far under 2^52")]
fn real(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn shown(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn what_is_not_known_any_more_is_not_shown() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let id: DeviceId = "nvidia:0000:01:00.0".parse().unwrap();
        let other: DeviceId = "nvidia:0000:02:00.0".parse().unwrap();
        let parts = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0.5)).collect();
        let all = |id: &DeviceId| Reading {
            utilisation: parts(&["encoder", "decoder"]),
            memory_bytes: Some((1, 2)),
            temperature_celsius: Some(50.0),
            power_watts: Some(70.0),
            clocks_hertz: parts(&["sm"]),
            sessions: Some(3),
            throttled: Some(vec!["heat".into()]),
            faults: vec!["xid 79".into()],
            ..Reading::of(id.clone())
        };
        metrics.show(&id, &all(&id));
        metrics.show(&other, &all(&other));
        let full = shown(&registry);
        assert_eq!(full.matches("02:00.0").count(), full.matches("01:00.0").count());
        metrics.show(&id, &Reading { utilisation: parts(&["encoder"]), ..all(&id) });
        assert!(!shown(&registry).contains("device=\"nvidia:0000:01:00.0\",engine=\"decoder\""));
        metrics.silent(&id);
        let left = shown(&registry);
        let of_it: Vec<&str> = left.lines().filter(|line| line.contains("01:00.0")).collect();
        let expected = [
            "rungd_device_faults_total{device=\"nvidia:0000:01:00.0\",fault=\"xid 79\"} 2",
            "rungd_device_up{device=\"nvidia:0000:01:00.0\"} 0",
        ];
        assert_eq!(of_it, expected);
        assert_eq!(left.matches("02:00.0").count(), full.matches("02:00.0").count());
    }
}
