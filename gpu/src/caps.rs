//! What a device decodes and encodes, found by asking it.

use crate::device::{self, Codec, Device};
use crate::encode::EncodeError;
use crate::ffi::cuvid::RawCaps;
use crate::frame::Size;

/// What a device decodes, of 4:2:0 pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeCaps {
    /// The format.
    pub codec: Codec,
    /// Bits of a sample: 8 or 10.
    pub depth: u8,
    /// Smallest coded size.
    pub min: Size,
    /// Largest coded size.
    pub max: Size,
    /// Largest coded size in macroblocks of 16x16.
    pub max_macroblocks: u32,
    /// Engines that decode the format.
    pub engines: u8,
}

/// What a device encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeCaps {
    /// The format.
    pub codec: Codec,
    /// Smallest size.
    pub min: Size,
    /// Largest size.
    pub max: Size,
    /// B-frames between two others, at most; 0 for none.
    pub max_b_frames: u32,
    /// Whether B-frames may be referred to.
    pub b_references: bool,
    /// Whether 10-bit pictures are encoded.
    pub ten_bit: bool,
    /// Whether the bit rate may change without a reset.
    pub dynamic_bit_rate: bool,
    /// Whether a VBV buffer may be set.
    pub custom_vbv: bool,
    /// Whether it can look ahead.
    pub lookahead: bool,
    /// Macroblocks a second that all engines do together, where the driver says so.
    pub max_macroblocks_per_second: Option<u32>,
    /// Engines that encode, where the driver says so.
    pub engines: Option<u32>,
}

/// Why a device decodes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDecode {
    /// There is no library.
    #[error("libnvcuvid.so.1 cannot be loaded: the driver's video decoding library is not installed here")]
    Library,
    /// It has no engine for any format.
    #[error("the device has no video decoder for H.264, HEVC or AV1")]
    Engine,
}

/// What a device decodes and encodes.
#[derive(Debug)]
pub struct Caps {
    /// What it decodes, or why nothing.
    pub decode: Result<Vec<DecodeCaps>, NoDecode>,
    /// What it encodes, or why nothing: many devices for data centres have no encoder.
    pub encode: Result<Vec<EncodeCaps>, EncodeError>,
}

impl Caps {
    pub(crate) fn of(device: &Device) -> Self {
        Self { decode: decode(device), encode: crate::encode::caps(device) }
    }
}

fn decode(device: &Device) -> Result<Vec<DecodeCaps>, NoDecode> {
    let cuvid = device::cuvid().ok_or(NoDecode::Library)?;
    let mut found = Vec::new();
    for codec in Codec::ALL {
        for depth in [8, 10] {
            // A driver that does not know a format says so by an error.
            if let Ok(caps) = cuvid.caps(device.context(), codec, depth)
                && caps.supported
            {
                found.push(of_raw(codec, depth, &caps));
            }
        }
    }
    if found.is_empty() { Err(NoDecode::Engine) } else { Ok(found) }
}

fn of_raw(codec: Codec, depth: u8, caps: &RawCaps) -> DecodeCaps {
    let RawCaps { engines, max, min, max_macroblocks, .. } = *caps;
    DecodeCaps { codec, depth, min, max, max_macroblocks, engines }
}
