//! GUIDs, as they lie in memory.

use nvidia_video_codec_sdk::sys::nvEncodeAPI as sys;
use sim_state::Codec;

/// A GUID as a client's structure has it.
pub(crate) type Bytes = [u8; 16];

/// A GUID of the headers.
pub(crate) fn bytes(guid: sys::GUID) -> Bytes {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&guid.Data1.to_ne_bytes());
    bytes[4..6].copy_from_slice(&guid.Data2.to_ne_bytes());
    bytes[6..8].copy_from_slice(&guid.Data3.to_ne_bytes());
    bytes[8..].copy_from_slice(&guid.Data4);
    bytes
}

/// The GUID of a coding.
pub(crate) fn of_codec(codec: Codec) -> Bytes {
    bytes(match codec {
        Codec::H264 => sys::NV_ENC_CODEC_H264_GUID,
        Codec::Hevc => sys::NV_ENC_CODEC_HEVC_GUID,
        Codec::Av1 => sys::NV_ENC_CODEC_AV1_GUID,
    })
}

/// The coding of a GUID.
pub(crate) fn codec(guid: Bytes) -> Option<Codec> {
    Codec::ALL.into_iter().find(|codec| of_codec(*codec) == guid)
}

/// P1 to P7; the older presets are gone from the headers since 12.1.
pub(crate) fn presets() -> [Bytes; 7] {
    [
        sys::NV_ENC_PRESET_P1_GUID,
        sys::NV_ENC_PRESET_P2_GUID,
        sys::NV_ENC_PRESET_P3_GUID,
        sys::NV_ENC_PRESET_P4_GUID,
        sys::NV_ENC_PRESET_P5_GUID,
        sys::NV_ENC_PRESET_P6_GUID,
        sys::NV_ENC_PRESET_P7_GUID,
    ]
    .map(bytes)
}

/// The profiles of a coding that are coded here, each with its name in the software; the first is chosen by the driver.
pub(crate) fn profiles(codec: Codec, ten_bit: bool) -> Vec<(Bytes, Option<&'static str>)> {
    let mut profiles = vec![(sys::NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, None)];
    match codec {
        Codec::H264 => profiles.extend([
            (sys::NV_ENC_H264_PROFILE_BASELINE_GUID, Some("baseline")),
            (sys::NV_ENC_H264_PROFILE_MAIN_GUID, Some("main")),
            (sys::NV_ENC_H264_PROFILE_HIGH_GUID, Some("high")),
        ]),
        Codec::Hevc => {
            profiles.push((sys::NV_ENC_HEVC_PROFILE_MAIN_GUID, Some("main")));
            if ten_bit {
                profiles.push((sys::NV_ENC_HEVC_PROFILE_MAIN10_GUID, Some("main10")));
            }
        }
        Codec::Av1 => profiles.push((sys::NV_ENC_AV1_PROFILE_MAIN_GUID, Some("main"))),
    }
    profiles.into_iter().map(|(guid, name)| (bytes(guid), name)).collect()
}

/// Whether it is HEVC's profile of 10 bits.
pub(crate) fn is_main10(guid: Bytes) -> bool {
    guid == bytes(sys::NV_ENC_HEVC_PROFILE_MAIN10_GUID)
}
