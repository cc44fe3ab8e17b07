//! What a device can do: codings, profiles, presets, formats and capabilities.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::NV_ENC_CAPS_PARAM;
use sim_nvidia::pointer::{Fields, Out};
use sim_state::{Codec, Device, Engine};

use crate::encoder::{Encoder, enter};
use crate::guid::{self, Bytes};
use crate::preset::Bytes16;
use crate::status::{Answer, INVALID_PTR};
use crate::version::Structure;

/// `NV_ENC_BUFFER_FORMAT` of nvEncodeAPI.h.
pub(crate) const NV12: u32 = 0x1;
/// Planar, red difference first.
pub(crate) const YV12: u32 = 0x10;
/// Planar, blue difference first.
pub(crate) const IYUV: u32 = 0x100;
/// P010: samples in the high bits of 16.
pub(crate) const P010: u32 = 0x1_0000;

/// Macroblocks a second of an engine where the plan leaves its speed open: NVENC's own answer for H.264 level 6.2 and
/// so on; nothing is promised by it.
const MACROBLOCKS_A_SECOND: u32 = 983_040;

/// The smallest picture (NVENC's answers on Ada).
pub(crate) fn least_size(codec: Codec) -> (u32, u32) {
    match codec {
        Codec::H264 => (145, 49),
        Codec::Hevc => (129, 33),
        Codec::Av1 => (192, 128),
    }
}

pub(crate) fn most_b_frames(device: &Device, codec: Codec) -> u32 {
    if device.b_frames.contains(&codec) { 4 } else { 0 }
}

/// A capability's value (`NV_ENC_CAPS`, by number; the names are in nvEncodeAPI.h).
fn value(device: &Device, codec: Codec, capability: u32) -> u32 {
    let macroblocks =
        device.mpx_s[0].map_or(MACROBLOCKS_A_SECOND, |mpx_s| mpx_s.saturating_mul(1_000_000) / 256);
    match capability {
        // NUM_MAX_BFRAMES
        0 => most_b_frames(device, codec),
        // SUPPORTED_RATECONTROL_MODES: constant QP, VBR, CBR.
        1 => 3,
        // CABAC, ADAPTIVE_TRANSFORM
        7 | 8 => u32::from(codec == Codec::H264),
        // LEVEL_MAX, LEVEL_MIN
        13 => {
            if codec == Codec::H264 {
                62
            } else {
                186
            }
        }
        14 => {
            if codec == Codec::H264 {
                10
            } else {
                30
            }
        }
        16 => device.max_width,
        17 => device.max_height,
        // DYN_RES_CHANGE, DYN_BITRATE_CHANGE, DYN_RCMODE_CHANGE, CUSTOM_VBV_BUF_SIZE
        19 | 20 | 22 | 26 => 1,
        // MB_NUM_MAX
        31 => device.max_width / 16 * (device.max_height / 16),
        32 => macroblocks,
        // LOOKAHEAD, TEMPORAL_AQ
        37 | 38 => u32::from(codec != Codec::Av1),
        39 => u32::from(device.encode_10bit.contains(&codec)),
        // DYNAMIC_QUERY_ENCODER_CAPACITY: always 100 on bare metal and Linux.
        42 => 100,
        45 => least_size(codec).0,
        46 => least_size(codec).1,
        // SUPPORT_MULTIPLE_REF_FRAMES
        47 => 1,
        49 => device.units(Engine::Encode),
        // Everything else is not there: fields, 4:4:4, lossless, asynchronous encoding, sub-frame read-back.
        _ => 0,
    }
}

/// Writes a list as NVENC does: as many as there is room for, and how many there are.
fn list<T>(out: Out<T>, room: u32, count: Out<u32>, values: Vec<T>) -> Answer {
    let fitting = values.len().min(usize::try_from(room).unwrap_or(0));
    let written = fitting == 0 || out.put_all(values.into_iter().take(fitting));
    if written && count.put(u32::try_from(fitting).unwrap_or(0)) { Ok(()) } else { Err(INVALID_PTR) }
}

fn number(out: Out<u32>, count: usize) -> Answer {
    if out.put(u32::try_from(count).unwrap_or(0)) { Ok(()) } else { Err(INVALID_PTR) }
}

fn profiles(encoder: &Encoder, codec: Bytes) -> Answer<Vec<Bytes>> {
    let codec = encoder.codec(codec)?;
    let ten_bit = encoder.plan().encode_10bit.contains(&codec);
    Ok(guid::profiles(codec, ten_bit).into_iter().map(|(guid, _)| guid).collect())
}

/// The formats of pictures to encode.
pub(crate) fn formats(device: &Device, codec: Codec) -> Vec<u32> {
    let mut formats = vec![NV12, YV12, IYUV];
    if device.encode_10bit.contains(&codec) {
        formats.push(P010);
    }
    formats
}

pub(crate) extern "C" fn codec_count(encoder: usize, count: Out<u32>) -> u32 {
    enter("nvEncGetEncodeGUIDCount", encoder, |encoder| number(count, encoder.plan().encode.len()))
}

pub(crate) extern "C" fn codecs(encoder: usize, out: Out<Bytes>, room: u32, count: Out<u32>) -> u32 {
    enter("nvEncGetEncodeGUIDs", encoder, |encoder| {
        list(out, room, count, encoder.plan().encode.iter().map(|codec| guid::of_codec(*codec)).collect())
    })
}

pub(crate) extern "C" fn profile_count(encoder: usize, codec: Bytes16, count: Out<u32>) -> u32 {
    enter("nvEncGetEncodeProfileGUIDCount", encoder, |encoder| {
        number(count, profiles(encoder, codec.0)?.len())
    })
}

pub(crate) extern "C" fn profile_list(
    encoder: usize,
    codec: Bytes16,
    out: Out<Bytes>,
    room: u32,
    count: Out<u32>,
) -> u32 {
    enter("nvEncGetEncodeProfileGUIDs", encoder, |encoder| {
        list(out, room, count, profiles(encoder, codec.0)?)
    })
}

pub(crate) extern "C" fn format_count(encoder: usize, codec: Bytes16, count: Out<u32>) -> u32 {
    enter("nvEncGetInputFormatCount", encoder, |encoder| {
        number(count, formats(encoder.plan(), encoder.codec(codec.0)?).len())
    })
}

pub(crate) extern "C" fn format_list(
    encoder: usize,
    codec: Bytes16,
    out: Out<u32>,
    room: u32,
    count: Out<u32>,
) -> u32 {
    enter("nvEncGetInputFormats", encoder, |encoder| {
        list(out, room, count, formats(encoder.plan(), encoder.codec(codec.0)?))
    })
}

pub(crate) extern "C" fn preset_count(encoder: usize, codec: Bytes16, count: Out<u32>) -> u32 {
    enter("nvEncGetEncodePresetCount", encoder, |encoder| {
        encoder.codec(codec.0)?;
        number(count, guid::presets().len())
    })
}

pub(crate) extern "C" fn preset_list(
    encoder: usize,
    codec: Bytes16,
    out: Out<Bytes>,
    room: u32,
    count: Out<u32>,
) -> u32 {
    enter("nvEncGetEncodePresetGUIDs", encoder, |encoder| {
        encoder.codec(codec.0)?;
        list(out, room, count, guid::presets().to_vec())
    })
}

pub(crate) extern "C" fn query(
    encoder: usize,
    codec: Bytes16,
    param: Fields<NV_ENC_CAPS_PARAM>,
    out: Out<i32>,
) -> u32 {
    enter("nvEncGetEncodeCaps", encoder, |encoder| {
        encoder.version("nvEncGetEncodeCaps", param, Structure::Caps)?;
        let codec = encoder.codec(codec.0)?;
        let capability = param.get::<u32>(offset_of!(NV_ENC_CAPS_PARAM, capsToQuery));
        let value = value(encoder.plan(), codec, capability);
        if out.put(i32::try_from(value).unwrap_or(i32::MAX)) { Ok(()) } else { Err(INVALID_PTR) }
    })
}
