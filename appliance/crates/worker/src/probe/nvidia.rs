//! NVIDIA's devices.

use gpu::caps::{DecodeCaps, EncodeCaps};
use gpu::encode::{EncodeError, Preset, Profile, Tuning};
use gpu::{Codec, Decoder, DecoderConfig, Device, DeviceError, DeviceInfo, EncoderConfig, RateControl};
use media::{Size, VideoCodec};
use worker_protocol::device::{Ability, DeviceReport, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use super::pictures::Picture;
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
        Ok(caps) => decoders(&device, caps, &mut problems),
        Err(error) => {
            problems.push(format!("it decodes nothing: {}", chain(error)));
            Vec::new()
        }
    };
    let (mut encode, engine) = match &caps.encode {
        Ok(caps) => (encoders(&device, caps, &mut problems), EngineKind::Nvidia),
        Err(error) if has_no_encoder(error) => {
            problems.push(format!("it encodes nothing itself, x264 does on the CPU: {}", chain(error)));
            (Vec::new(), EngineKind::NvidiaDecode)
        }
        // It has one: what is wrong, the driver's limit of sessions above all, may be over the next time.
        Err(error) => {
            problems.push(format!("it encodes nothing now: {}", chain(error)));
            (Vec::new(), EngineKind::Nvidia)
        }
    };
    if encode.is_empty() && decode.is_empty() {
        return Err(problems.join("; "));
    }
    if engine == EngineKind::NvidiaDecode {
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

/// What is decoded.
fn decoders(device: &Device, caps: &[DecodeCaps], problems: &mut Vec<String>) -> Vec<Ability> {
    let offered = caps.iter().map(|caps| {
        let ability = Ability {
            codec: codec_of(caps.codec),
            bit_depth: caps.depth,
            max_size: Some(Size { width: caps.max.width, height: caps.max.height }),
            notes: (caps.engines > 1).then(|| format!("{} engines", caps.engines)).into_iter().collect(),
        };
        (ability, caps.codec)
    });
    super::decoders(offered, |codec, picture| decode(device, codec, picture), problems)
}

/// Has a decoder of its own decode the picture, and waits until it is there.
fn decode(device: &Device, codec: Codec, picture: &Picture) -> Result<(), String> {
    let config = DecoderConfig { codec, configuration: Some(picture.record), low_latency: true };
    let mut decoder = Decoder::open(device, &config).map_err(|error| chain(&error))?;
    decoder.send(picture.unit, 0).map_err(|error| chain(&error))?;
    decoder.finish();
    let decoded = decoder.receive().map_err(|error| chain(&error))?;
    let decoded = decoded.filter(|_| decoder.errors() == 0).ok_or("no sound picture comes out")?;
    decoded.frame.wait().map_err(|error| chain(&error))
}

/// Whether the device has no encoder at all, or this machine nothing to drive one with.
const fn has_no_encoder(error: &EncodeError) -> bool {
    matches!(error, EncodeError::NoEncoder | EncodeError::Load(_))
}

/// What is encoded: the formats that an encoder opened for.
fn encoders(device: &Device, caps: &[EncodeCaps], problems: &mut Vec<String>) -> Vec<Ability> {
    let mut abilities = Vec::new();
    for caps in caps {
        if let Err(problem) = encoder(device, caps.codec) {
            problems.push(problem);
            continue;
        }
        abilities.push(Ability {
            codec: codec_of(caps.codec),
            // What the hardware has beyond that is not driven here.
            bit_depth: 8,
            max_size: Some(Size { width: caps.max.width, height: caps.max.height }),
            notes: caps.engines.map(|engines| format!("{engines} engines")).into_iter().collect(),
        });
    }
    abilities
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
