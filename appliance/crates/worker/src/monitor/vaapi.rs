//! Render nodes, through what the kernel tells of them. No driver is loaded for this.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vaapi::Node;
use vaapi::telemetry::{self, Engine, Telemetry};
use worker_protocol::device::Reading;
use worker_protocol::{DeviceId, EngineKind};

use crate::clock;
use crate::probe;
use crate::run::chain;

/// A device that is watched.
struct Watched {
    id: DeviceId,
    telemetry: Telemetry,
    before: Option<(Instant, telemetry::Reading)>,
}

/// Puts out readings until `put_out` is false.
pub(super) fn watch(
    named: &[PathBuf],
    interval: Duration,
    put_out: impl Fn(&[Reading]) -> bool,
) -> Result<(), String> {
    let mut devices = Vec::new();
    for node in probe::vaapi::nodes(named).map_err(|error| chain(&error))? {
        devices.push(watched(&node)?);
    }
    loop {
        let begun = clock::now();
        let readings: Vec<_> = devices.iter_mut().map(read).collect();
        if !put_out(&readings) {
            return Ok(());
        }
        std::thread::sleep(interval.saturating_sub(clock::now().saturating_duration_since(begun)));
    }
}

fn watched(node: &Node) -> Result<Watched, String> {
    let id = DeviceId::new(EngineKind::Vaapi, &probe::vaapi::address(node)).map_err(|error| chain(&error))?;
    Ok(Watched { id, telemetry: Telemetry::new(Path::new("/"), node), before: None })
}

fn read(device: &mut Watched) -> Reading {
    let (now, at) = (device.telemetry.read(), clock::now());
    let mut reading = Reading::of(device.id.clone());
    let sensors = &now.sensors;
    if let Some((then, before)) = &device.before {
        let elapsed = at.saturating_duration_since(*then);
        for engine in Engine::ALL {
            if let Some(part) = now.utilisation(before, engine, elapsed) {
                reading.utilisation.insert(engine.name().to_owned(), part);
            }
        }
        let joules = sensors.energy_microjoules.zip(before.sensors.energy_microjoules);
        reading.power_watts = joules.and_then(|(now, then)| power(now.checked_sub(then)?, elapsed));
        let resets =
            sensors.resets.zip(before.sensors.resets).map_or(0, |(now, then)| now.saturating_sub(then));
        reading.faults.extend((0..resets.min(16)).map(|_| "reset".to_owned()));
        let hangs = sensors.recorded_hangs.saturating_sub(before.sensors.recorded_hangs);
        reading.faults.extend((0..hangs.min(16)).map(|_| "hang".to_owned()));
    }
    if let Some(milliwatts) = sensors.power_milliwatts {
        reading.power_watts = Some(thousandth(milliwatts));
    }
    if let Some(percent) = sensors.busy_percent {
        reading.utilisation.insert("all".to_owned(), f64::from(percent.min(100)) / 100.0);
    }
    if let Some(mhz) = sensors.frequency_mhz {
        reading.clocks_hertz.insert("gpu".to_owned(), f64::from(mhz) * 1e6);
    }
    reading.memory_bytes = sensors.memory_bytes;
    reading.temperature_celsius =
        sensors.temperature_millidegrees.and_then(|t| Some(f64::from(i32::try_from(t).ok()?) / 1e3));
    reading.throttled = sensors.throttled.map(|yes| if yes { vec!["clock".to_owned()] } else { Vec::new() });
    device.before = Some((at, now));
    reading
}

/// Watts of so many microjoules in this time.
fn power(microjoules: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| thousandth(microjoules) / 1e3 / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "a measurement of a few digits")]
fn thousandth(value: u64) -> f64 {
    value as f64 / 1e3
}
