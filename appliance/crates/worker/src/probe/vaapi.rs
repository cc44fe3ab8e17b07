//! Render nodes.

use std::path::{Path, PathBuf};

use media::{Size, VideoCodec};
use vaapi::caps::DecodeCaps;
use vaapi::{Codec, Decoder, DecoderConfig, Device, DeviceError, EncoderConfig, Node, RateControl};
use worker_protocol::device::{Ability, DeviceReport, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use super::pictures::Picture;
use crate::run::chain;

/// What the nodes are, and what opens there. All of the machine's where none is named.
pub(super) fn look(named: &[PathBuf]) -> Inventory {
    let nodes = match nodes(named) {
        Ok(nodes) => nodes,
        Err(error) => return none(chain(&error)),
    };
    if nodes.is_empty() {
        let reason =
            "there is no render node in /dev/dri: the kernel has no driver for a GPU of Intel or AMD";
        return none(reason.to_owned());
    }
    let mut inventory = Inventory::default();
    for node in &nodes {
        match report(node) {
            Ok(report) => inventory.devices.push(report),
            Err(reason) => inventory.unusable.push(Unusable {
                engine: EngineKind::Vaapi,
                what: Some(node.path.display().to_string()),
                reason,
            }),
        }
    }
    inventory
}

/// The device at an address that [`look`] gave.
pub(crate) fn open(address: &str) -> Result<Device, DeviceError> {
    let listed = nodes(&[])?;
    let node = listed.into_iter().find(|node| self::address(node) == address);
    Device::open(&node.unwrap_or_else(|| Node::at(Path::new("/"), Path::new(address))))
}

pub(crate) fn nodes(named: &[PathBuf]) -> Result<Vec<Node>, DeviceError> {
    match named {
        [] => Node::list(Path::new("/")),
        named => Ok(named.iter().map(|path| Node::at(Path::new("/"), path)).collect()),
    }
}

fn none(reason: String) -> Inventory {
    let unusable = Unusable { engine: EngineKind::Vaapi, what: None, reason };
    Inventory { devices: Vec::new(), unusable: vec![unusable] }
}

/// How a node is named: the PCI address, which stays the same, or the node's path where it hangs at no PCI bus.
pub(crate) fn address(node: &Node) -> String {
    node.pci_address.clone().unwrap_or_else(|| node.path.display().to_string())
}

fn report(node: &Node) -> Result<DeviceReport, String> {
    let id = DeviceId::new(EngineKind::Vaapi, &address(node)).map_err(|error| chain(&error))?;
    let device = Device::open(node).map_err(|error| chain(&error))?;
    let name = device.name().to_owned();
    let mut problems = Vec::new();
    if device.caps().process.is_none() {
        problems.push("the driver has no video processor, so pictures cannot be scaled".to_owned());
    }
    let decode = decoders(&device, &mut problems);
    let mut encode = Vec::new();
    for codec in Codec::ALL {
        match encoder(&device, codec) {
            Some(Ok(ability)) => encode.push(ability),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    Ok(DeviceReport {
        id,
        simulated: name.to_ascii_lowercase().contains("simulated"),
        driver: node
            .kernel_driver
            .clone()
            .map_or_else(|| name.clone(), |kernel| format!("{name}, kernel {kernel}")),
        name: node.path.display().to_string(),
        cores: None,
        memory_bytes: None,
        numa_node: node.numa_node,
        decode,
        encode: if device.caps().process.is_none() { Vec::new() } else { encode },
        problems,
    })
}

const fn codec_of(codec: Codec) -> VideoCodec {
    match codec {
        Codec::H264 => VideoCodec::H264,
        Codec::Hevc => VideoCodec::Hevc,
    }
}

/// What is decoded.
fn decoders(device: &Device, problems: &mut Vec<String>) -> Vec<Ability> {
    let mut caps: Vec<&DecodeCaps> = device.caps().decode.iter().collect();
    caps.sort_by_key(|caps| (Codec::ALL.iter().position(|codec| *codec == caps.codec), caps.bit_depth));
    let offered = caps.into_iter().map(|caps| {
        let ability = Ability {
            codec: codec_of(caps.codec),
            bit_depth: caps.bit_depth,
            max_size: caps.max_size.map(|size| Size { width: size.width, height: size.height }),
            notes: Vec::new(),
        };
        (ability, caps.codec)
    });
    super::decoders(offered, |codec, picture| decode(device, codec, picture), problems)
}

/// Has a decoder of its own decode the picture, and waits until it is there.
fn decode(device: &Device, codec: Codec, picture: &Picture) -> Result<(), String> {
    let config = DecoderConfig { codec, configuration: picture.record };
    let mut decoder = Decoder::open(device, &config).map_err(|error| chain(&error))?;
    decoder.send(picture.unit, 0).map_err(|error| chain(&error))?;
    decoder.finish();
    let decoded = decoder.receive().map_err(|error| chain(&error))?;
    let decoded = decoded.filter(|_| decoder.errors() == 0).ok_or("no sound picture comes out")?;
    decoded.frame.wait().map_err(|error| chain(&error))
}

/// An encoder for the format is opened, and closed again.
fn encoder(device: &Device, codec: Codec) -> Option<Result<Ability, String>> {
    let caps = device.caps().encoder(codec, 8, vaapi::EntryPoint::LowPower)?;
    let config = EncoderConfig {
        codec,
        size: vaapi::Size { width: 640, height: 360 },
        frame_rate: (25, 1),
        rate: RateControl { bit_rate: 700_000, max_bit_rate: 840_000, buffer_bits: 1_260_000 },
        profile: if codec == Codec::H264 { "high" } else { "main" }.to_owned(),
        entry_point: caps.entry_point,
        quality: 25,
        low_latency: false,
        patience: std::time::Duration::from_secs(3),
    };
    let opened = vaapi::Encoder::open(device, &config);
    Some(match opened {
        Ok(_) => Ok(Ability {
            codec: codec_of(codec),
            bit_depth: 8,
            max_size: caps.max_size.map(|size| Size { width: size.width, height: size.height }),
            notes: vec![
                caps.entry_point.name().to_owned(),
                caps.rate_modes.iter().map(|mode| mode.name()).collect::<Vec<_>>().join("/"),
            ],
        }),
        Err(error) => Err(format!("{} does not encode: {}", codec.name(), chain(&error))),
    })
}
