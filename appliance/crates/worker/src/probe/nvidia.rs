//! NVIDIA's devices.

use gpu::caps::DecodeCaps;
use gpu::encode::{Preset, Profile, Tuning};
use gpu::{Codec, Device, DeviceError, DeviceInfo, EncoderConfig, RateControl};
use media::{Size, VideoCodec};
use worker_protocol::device::{Ability, DeviceReport, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::run::chain;

/// The devices, and what opens there.
pub(super) fn look() -> Inventory {
    let unusable =
        |what: Option<String>, reason: String| Unusable { engine: EngineKind::Nvidia, what, reason };
    let listed = match Device::list() {
        Ok(listed) => listed,
        Err(error) => {
            // Without a driver there is no telling whether there is a device; with one there is something to mend.
            let what = (!matches!(error, DeviceError::NoDriver)).then(|| "driver".to_owned());
            return Inventory { devices: Vec::new(), unusable: vec![unusable(what, chain(&error))] };
        }
    };
    let mut inventory = Inventory::default();
    for info in &listed {
        match report(info) {
            Ok(report) => inventory.devices.push(report),
            Err(reason) => {
                inventory.unusable.push(unusable(Some(format!("{} {}", info.pci, info.name)), reason))
            }
        }
    }
    inventory
}

/// The device at a PCI address.
pub(crate) fn open(address: &str) -> Result<Device, DeviceError> {
    let listed = Device::list()?;
    let count = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    // One past the last names none, which is the error that says so.
    let ordinal = listed.iter().find(|info| info.pci == address).map_or(count, |info| info.ordinal);
    Device::open(ordinal)
}

fn report(info: &DeviceInfo) -> Result<DeviceReport, String> {
    let device = Device::open(info.ordinal).map_err(|error| chain(&error))?;
    let caps = device.caps();
    let mut problems = Vec::new();
    let decode = match &caps.decode {
        Ok(caps) => decoders(caps),
        Err(error) => {
            problems.push(format!("it decodes nothing: {}", chain(error)));
            Vec::new()
        }
    };
    let mut encode = Vec::new();
    match &caps.encode {
        Ok(caps) => {
            for caps in caps {
                match encoder(&device, caps.codec) {
                    Ok(()) => encode.push(Ability {
                        codec: codec_of(caps.codec),
                        bit_depth: if caps.ten_bit { 10 } else { 8 },
                        max_size: Some(Size { width: caps.max.width, height: caps.max.height }),
                        notes: caps.engines.map(|engines| format!("{engines} engines")).into_iter().collect(),
                    }),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        Err(error) => {
            problems.push(format!("it encodes nothing itself, x264 does on the CPU: {}", chain(error)))
        }
    }
    let engine = if encode.is_empty() { EngineKind::NvidiaDecode } else { EngineKind::Nvidia };
    if encode.is_empty() && decode.is_empty() {
        return Err(problems.join("; "));
    }
    if encode.is_empty() {
        let x264 = Ability {
            codec: VideoCodec::H264,
            bit_depth: 8,
            max_size: None,
            notes: vec!["on the CPU".to_owned()],
        };
        encode.push(x264);
    }
    Ok(DeviceReport {
        id: DeviceId::new(engine, &info.pci).map_err(|error| chain(&error))?,
        name: info.name.clone(),
        driver: gpu::nvml::driver_version()
            .map_or_else(|| "NVIDIA".to_owned(), |version| format!("NVIDIA {version}")),
        simulated: info.name.to_ascii_lowercase().contains("simulated"),
        cores: None,
        memory_bytes: Some(info.memory_bytes),
        numa_node: numa_node(&info.pci),
        decode,
        encode,
        problems,
    })
}

/// The NUMA node of a PCI device (sysfs-bus-pci, `numa_node`; -1 where there is but one).
fn numa_node(pci: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/bus/pci/devices/{pci}/numa_node")).ok()?;
    text.trim().parse().ok()
}

const fn codec_of(codec: Codec) -> VideoCodec {
    match codec {
        Codec::H264 => VideoCodec::H264,
        Codec::Hevc => VideoCodec::Hevc,
        Codec::Av1 => VideoCodec::Av1,
    }
}

/// One line a format, with the most bits.
fn decoders(caps: &[DecodeCaps]) -> Vec<Ability> {
    let best = |codec: Codec| caps.iter().filter(|caps| caps.codec == codec).max_by_key(|caps| caps.depth);
    let ability = |caps: &DecodeCaps| Ability {
        codec: codec_of(caps.codec),
        bit_depth: caps.depth,
        max_size: Some(Size { width: caps.max.width, height: caps.max.height }),
        notes: (caps.engines > 1).then(|| format!("{} engines", caps.engines)).into_iter().collect(),
    };
    Codec::ALL.into_iter().filter_map(best).map(ability).collect()
}

/// Opens an encoder for the format, and closes it again.
fn encoder(device: &Device, codec: Codec) -> Result<(), String> {
    let config = EncoderConfig {
        codec,
        size: gpu::Size { width: 640, height: 360 },
        frame_rate: (25, 1),
        rate: RateControl { bit_rate: 700_000, max_bit_rate: 840_000, buffer_bits: 1_260_000 },
        preset: Preset::P1,
        tuning: Tuning::LowLatency,
        profile: Profile::High,
        b_frames: 0,
        lookahead: 0,
        low_latency: true,
        captions: false,
        patience: std::time::Duration::from_secs(3),
    };
    let opened = gpu::Encoder::open(device, &config);
    opened.map(drop).map_err(|error| format!("{} does not encode: {}", codec.name(), chain(&error)))
}
