//! Devices to begin a plan from. Their counts of engines are those of the real ones as far as they are public (NVIDIA's
//! application note on NVENC; Intel's media documentation); their speed is left open, and is the plan's.

use serde::Deserialize;

use super::{CapStatus, Codec, Device, Kind};

/// A device to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// NVIDIA L4: two NVENC, four NVDEC, no cap of sessions, AV1.
    L4,
    /// NVIDIA T4: one NVENC, two NVDEC, no AV1, no B-frames in HEVC's 10 bits.
    T4,
    /// A GeForce: one NVENC, one NVDEC, eight sessions in the whole system.
    Geforce,
    /// NVIDIA H200: seven NVDEC and no NVENC.
    H200,
    /// An Intel Arc, with H.264, HEVC and AV1, as the iHD driver shows it: low-power encoders only.
    Intel,
    /// An Intel UHD 630: no AV1, full encoders, and a low-power one for H.264.
    IntelUhd,
    /// An AMD GPU with H.264 and HEVC, as Mesa's driver shows it.
    Amd,
}

impl Model {
    pub(crate) fn device(self) -> Device {
        use Codec::{Av1, H264, Hevc};
        let (kind, name, gib, units) = match self {
            Self::L4 => (Kind::Nvidia, "NVIDIA L4", 23, [2, 4, 1]),
            Self::T4 => (Kind::Nvidia, "Tesla T4", 15, [1, 2, 1]),
            Self::Geforce => (Kind::Nvidia, "NVIDIA GeForce RTX 4060", 8, [1, 1, 1]),
            Self::H200 => (Kind::Nvidia, "NVIDIA H200", 139, [1, 7, 1]),
            Self::Intel => (Kind::Intel, "Intel Arc A380", 6, [2, 2, 2]),
            Self::IntelUhd => (Kind::Intel, "Intel UHD Graphics 630", 4, [1, 1, 1]),
            Self::Amd => (Kind::Amd, "AMD Radeon RX 6600", 8, [1, 1, 1]),
        };
        let (encode, decode) = match self {
            Self::L4 | Self::Geforce | Self::Intel => (vec![H264, Hevc, Av1], vec![H264, Hevc, Av1]),
            Self::T4 | Self::IntelUhd | Self::Amd => (vec![H264, Hevc], vec![H264, Hevc]),
            Self::H200 => (vec![], vec![H264, Hevc, Av1]),
        };
        let not_h264 = |codecs: &[Codec]| codecs.iter().copied().filter(|codec| *codec != H264).collect();
        let b_frames = match self {
            Self::H200 | Self::Amd => vec![],
            _ => vec![H264, Hevc],
        };
        Device {
            model: self,
            kind,
            name: format!("Simulated {name}"),
            memory_bytes: gib << 30,
            encode_10bit: not_h264(&encode),
            decode_10bit: not_h264(&decode),
            encode,
            decode,
            b_frames,
            max_width: 4096,
            max_height: 4096,
            units,
            mpx_s: [None; 3],
            open_delay_ms: 0,
            session_cap: (self == Self::Geforce).then_some(8),
            cap_status: CapStatus::IncompatibleClientKey,
            huc: true,
            vbr: true,
            surface_status: true,
            faults: Vec::new(),
        }
    }
}
