//! NVIDIA's devices, through NVML.

use std::time::Duration;

use gpu::nvml::{Nvml, Sample, Throttle, Xids};
use gpu::{Device, DeviceInfo};
use worker_protocol::device::Reading;
use worker_protocol::{DeviceId, EngineKind};

use crate::clock;
use crate::run::chain;

/// A device that is watched.
struct Watched<'nvml> {
    info: DeviceInfo,
    id: DeviceId,
    /// None where the device reports none.
    xids: Option<Xids<'nvml>>,
}

/// Puts out readings until `put_out` is false.
pub(super) fn watch(interval: Duration, put_out: impl Fn(&[Reading]) -> bool) -> Result<(), String> {
    let listed = Device::list().map_err(|error| chain(&error))?;
    let nvml = Nvml::open().map_err(|error| chain(&error))?;
    let mut devices = Vec::with_capacity(listed.len());
    for info in listed {
        let id = DeviceId::new(EngineKind::Nvidia, &info.pci).map_err(|error| chain(&error))?;
        let xids = nvml.xids(&info.uuid).ok();
        devices.push(Watched { info, id, xids });
    }
    loop {
        let begun = clock::now();
        let readings: Vec<_> = devices.iter().map(|device| read(&nvml, device)).collect();
        if !put_out(&readings) {
            return Ok(());
        }
        std::thread::sleep(interval.saturating_sub(clock::now().saturating_duration_since(begun)));
    }
}

fn read(nvml: &Nvml, device: &Watched<'_>) -> Reading {
    let mut reading = Reading::of(device.id.clone());
    match nvml.sample(&device.info.uuid) {
        Ok(sample) => fill(&mut reading, &sample),
        Err(error) => reading.problem = Some(chain(&error)),
    }
    if let Some(xids) = &device.xids {
        loop {
            match xids.wait(Duration::ZERO) {
                Ok(Some(xid)) => reading.faults.push(format!("xid {xid}")),
                Ok(None) => break,
                Err(error) => {
                    reading.problem.get_or_insert_with(|| chain(&error));
                    break;
                }
            }
        }
    }
    reading
}

fn fill(reading: &mut Reading, sample: &Sample) {
    let parts = [
        ("sm", sample.sm_percent),
        ("memory_bus", sample.memory_bus_percent),
        ("encoder", sample.encoder_percent),
        ("decoder", sample.decoder_percent),
    ];
    let ratio = |percent: u32| f64::from(percent.min(100)) / 100.0;
    reading.utilisation =
        parts.into_iter().filter_map(|(name, percent)| Some((name.to_owned(), ratio(percent?)))).collect();
    let clocks =
        [("sm", sample.sm_clock_mhz), ("video", sample.video_clock_mhz), ("memory", sample.memory_clock_mhz)];
    reading.clocks_hertz =
        clocks.into_iter().filter_map(|(name, mhz)| Some((name.to_owned(), f64::from(mhz?) * 1e6))).collect();
    reading.memory_bytes = sample.memory_used_bytes.zip(sample.memory_total_bytes);
    reading.temperature_celsius = sample.temperature_celsius.map(f64::from);
    reading.power_watts = sample.power_milliwatts.map(|milliwatts| f64::from(milliwatts) / 1e3);
    reading.sessions = sample.session_count;
    reading.throttled =
        sample.throttle.as_ref().map(|reasons| reasons.iter().map(|r| word(*r).to_owned()).collect());
}

const fn word(throttle: Throttle) -> &'static str {
    match throttle {
        Throttle::PowerCap => "power_cap",
        Throttle::ThermalSoftware | Throttle::ThermalHardware => "heat",
        Throttle::PowerBrake => "power_brake",
        Throttle::Hardware => "hardware",
    }
}
