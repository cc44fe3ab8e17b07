//! The CPU.

use media::VideoCodec;
use software::{Codec, Device};
use worker_protocol::device::{Ability, DeviceReport};
use worker_protocol::{DeviceId, Inventory};

/// The CPU, which is always there.
pub(super) fn look() -> Inventory {
    let device = Device::open();
    let caps = device.caps();
    let abilities = |codecs: &[Codec], bit_depth: u8| -> Vec<Ability> {
        let ability =
            |codec: &Codec| Ability { codec: codec_of(*codec), bit_depth, max_size: None, notes: Vec::new() };
        codecs.iter().map(ability).collect()
    };
    let mut problems = Vec::new();
    if caps.encode.is_empty() {
        problems.push("no H.264 encoder opened: the FFmpeg that is installed lacks libx264".to_owned());
    }
    let report = DeviceReport {
        id: DeviceId::software(),
        name: processor().unwrap_or_else(|| "CPU".to_owned()),
        driver: device.name(),
        simulated: false,
        cores: u32::try_from(device.cores()).ok(),
        memory_bytes: None,
        numa_node: None,
        // libavcodec's own formats of 10 bits; what is encoded is 8-bit (see `software::scale`).
        decode: abilities(&caps.decode, 10),
        encode: abilities(&caps.encode, 8),
        problems,
    };
    Inventory { devices: vec![report], unusable: Vec::new() }
}

const fn codec_of(codec: Codec) -> VideoCodec {
    match codec {
        Codec::H264 => VideoCodec::H264,
        Codec::Hevc => VideoCodec::Hevc,
        Codec::Av1 => VideoCodec::Av1,
    }
}

/// What the first processor is called (proc(5), `/proc/cpuinfo`).
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.trim().chars().filter(|c| !c.is_control()).take(80).collect())
}
