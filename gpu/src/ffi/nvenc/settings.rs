//! An encoder's configuration as the driver takes it.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI as nv;

use super::{Session, codec_guid};
use crate::caps::EncodeCaps;
use crate::device::Codec;
use crate::encode::{EncoderConfig, Preset, Profile, RateControl, Tuning};
use crate::error::NvencError;
use crate::ffi::raw::{Bits, Raw, bit};

pub(super) const NV12: u32 = nv::NV_ENC_BUFFER_FORMAT::NV_ENC_BUFFER_FORMAT_NV12 as u32;

/// Rec. ITU-T H.273: BT.709 in tables 2, 3 and 4.
const BT709: u32 = 1;
/// `video_format` "unspecified" of Rec. ITU-T H.264, table E-2.
const UNSPECIFIED_FORMAT: u32 = 5;
/// `NV_ENC_SPLIT_DISABLE_MODE`: the other engines of a device are for other sessions.
const SPLIT_DISABLE: u32 = 15;
/// `NV_ENC_INITIALIZE_PARAMS::splitEncodeMode`.
const SPLIT_ENCODE_MODE: Bits = Bits { first: 5, width: 4 };

/// Bit fields of `NV_ENC_RC_PARAMS`.
mod rc {
    use super::{Bits, bit};
    pub(super) const ENABLE_LOOKAHEAD: Bits = bit(5);
    pub(super) const DISABLE_I_ADAPT: Bits = bit(6);
    pub(super) const ZERO_REORDER_DELAY: Bits = bit(9);
}

/// Bit fields of `NV_ENC_CONFIG_H264`.
mod h264 {
    use super::{Bits, bit};
    pub(super) const OUTPUT_BUFFERING_PERIOD_SEI: Bits = bit(4);
    pub(super) const OUTPUT_PICTURE_TIMING_SEI: Bits = bit(5);
    pub(super) const OUTPUT_AUD: Bits = bit(6);
    pub(super) const ENABLE_INTRA_REFRESH: Bits = bit(10);
    pub(super) const REPEAT_SPSPPS: Bits = bit(12);
    pub(super) const ENABLE_FILLER_DATA: Bits = bit(17);
}

/// Bit fields of `NV_ENC_CONFIG_HEVC`.
mod hevc {
    use super::{Bits, bit};
    pub(super) const OUTPUT_BUFFERING_PERIOD_SEI: Bits = bit(2);
    pub(super) const OUTPUT_PICTURE_TIMING_SEI: Bits = bit(3);
    pub(super) const OUTPUT_AUD: Bits = bit(4);
    pub(super) const REPEAT_SPSPPS: Bits = bit(7);
    pub(super) const ENABLE_INTRA_REFRESH: Bits = bit(8);
    pub(super) const CHROMA_FORMAT_IDC: Bits = Bits { first: 9, width: 2 };
    pub(super) const PIXEL_BIT_DEPTH_MINUS8: Bits = Bits { first: 11, width: 3 };
    pub(super) const ENABLE_FILLER_DATA: Bits = bit(14);
}

/// Bit fields of `NV_ENC_CONFIG_AV1`.
mod av1 {
    use super::{Bits, bit};
    pub(super) const OUTPUT_ANNEX_B: Bits = bit(0);
    pub(super) const REPEAT_SEQ_HDR: Bits = bit(5);
    pub(super) const ENABLE_INTRA_REFRESH: Bits = bit(6);
    pub(super) const CHROMA_FORMAT_IDC: Bits = Bits { first: 7, width: 2 };
    pub(super) const ENABLE_PADDING: Bits = bit(9);
    pub(super) const INPUT_PIXEL_BIT_DEPTH_MINUS8: Bits = Bits { first: 12, width: 3 };
    pub(super) const PIXEL_BIT_DEPTH_MINUS8: Bits = Bits { first: 15, width: 3 };
}

/// Every bit field used: structure, name, where its 32 bits lie, which they are.
#[cfg(test)]
pub(in crate::ffi) const BITS: &[(&str, &str, usize, Bits)] = &[
    (
        "NV_ENC_RC_PARAMS",
        "enableLookahead",
        offset_of!(nv::NV_ENC_RC_PARAMS, _bitfield_1),
        rc::ENABLE_LOOKAHEAD,
    ),
    ("NV_ENC_RC_PARAMS", "disableIadapt", offset_of!(nv::NV_ENC_RC_PARAMS, _bitfield_1), rc::DISABLE_I_ADAPT),
    (
        "NV_ENC_RC_PARAMS",
        "zeroReorderDelay",
        offset_of!(nv::NV_ENC_RC_PARAMS, _bitfield_1),
        rc::ZERO_REORDER_DELAY,
    ),
    (
        "NV_ENC_CONFIG_H264",
        "outputBufferingPeriodSEI",
        offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1),
        h264::OUTPUT_BUFFERING_PERIOD_SEI,
    ),
    (
        "NV_ENC_CONFIG_H264",
        "outputPictureTimingSEI",
        offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1),
        h264::OUTPUT_PICTURE_TIMING_SEI,
    ),
    ("NV_ENC_CONFIG_H264", "outputAUD", offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1), h264::OUTPUT_AUD),
    (
        "NV_ENC_CONFIG_H264",
        "enableIntraRefresh",
        offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1),
        h264::ENABLE_INTRA_REFRESH,
    ),
    (
        "NV_ENC_CONFIG_H264",
        "repeatSPSPPS",
        offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1),
        h264::REPEAT_SPSPPS,
    ),
    (
        "NV_ENC_CONFIG_H264",
        "enableFillerDataInsertion",
        offset_of!(nv::NV_ENC_CONFIG_H264, _bitfield_1),
        h264::ENABLE_FILLER_DATA,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "outputBufferingPeriodSEI",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::OUTPUT_BUFFERING_PERIOD_SEI,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "outputPictureTimingSEI",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::OUTPUT_PICTURE_TIMING_SEI,
    ),
    ("NV_ENC_CONFIG_HEVC", "outputAUD", offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1), hevc::OUTPUT_AUD),
    (
        "NV_ENC_CONFIG_HEVC",
        "repeatSPSPPS",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::REPEAT_SPSPPS,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "enableIntraRefresh",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::ENABLE_INTRA_REFRESH,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "chromaFormatIDC",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::CHROMA_FORMAT_IDC,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "pixelBitDepthMinus8",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::PIXEL_BIT_DEPTH_MINUS8,
    ),
    (
        "NV_ENC_CONFIG_HEVC",
        "enableFillerDataInsertion",
        offset_of!(nv::NV_ENC_CONFIG_HEVC, _bitfield_1),
        hevc::ENABLE_FILLER_DATA,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "outputAnnexBFormat",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::OUTPUT_ANNEX_B,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "repeatSeqHdr",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::REPEAT_SEQ_HDR,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "enableIntraRefresh",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::ENABLE_INTRA_REFRESH,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "chromaFormatIDC",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::CHROMA_FORMAT_IDC,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "enableBitstreamPadding",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::ENABLE_PADDING,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "inputPixelBitDepthMinus8",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::INPUT_PIXEL_BIT_DEPTH_MINUS8,
    ),
    (
        "NV_ENC_CONFIG_AV1",
        "pixelBitDepthMinus8",
        offset_of!(nv::NV_ENC_CONFIG_AV1, _bitfield_1),
        av1::PIXEL_BIT_DEPTH_MINUS8,
    ),
    (
        "NV_ENC_INITIALIZE_PARAMS",
        "splitEncodeMode",
        offset_of!(nv::NV_ENC_INITIALIZE_PARAMS, _bitfield_1),
        SPLIT_ENCODE_MODE,
    ),
];

type Config = nv::NV_ENC_CONFIG;
type Init = nv::NV_ENC_INITIALIZE_PARAMS;

/// Where the codec's part of a configuration begins.
const CODEC: usize = offset_of!(Config, encodeCodecConfig);

/// An encoder's configuration.
pub(crate) struct Settings {
    config: Raw<Config>,
    init: Raw<Init>,
    custom_vbv: bool,
}

impl Settings {
    /// The preset's configuration, with ours in it.
    pub(crate) fn new(
        session: &Session,
        config: &EncoderConfig,
        caps: &EncodeCaps,
    ) -> Result<Self, NvencError> {
        let preset = preset_guid(config.preset);
        let tuning = tuning(config.tuning);
        let mut settings = Self {
            config: session.preset(config.codec, preset, tuning)?,
            init: Raw::zeroed(),
            custom_vbv: caps.custom_vbv,
        };
        settings.fill_config(config, caps);
        settings.fill_rate(config.rate);
        let init = &mut settings.init;
        init.set(offset_of!(Init, version), nv::NV_ENC_INITIALIZE_PARAMS_VER);
        init.set(offset_of!(Init, encodeGUID), codec_guid(config.codec));
        init.set(offset_of!(Init, presetGUID), preset);
        init.set(offset_of!(Init, encodeWidth), config.size.width);
        init.set(offset_of!(Init, encodeHeight), config.size.height);
        // Square samples.
        init.set(offset_of!(Init, darWidth), config.size.width);
        init.set(offset_of!(Init, darHeight), config.size.height);
        init.set(offset_of!(Init, frameRateNum), config.frame_rate.0);
        init.set(offset_of!(Init, frameRateDen), config.frame_rate.1);
        // The driver decides on picture types; only IDR pictures are forced.
        init.set(offset_of!(Init, enablePTD), 1u32);
        init.set(offset_of!(Init, tuningInfo), tuning);
        if config.codec != Codec::H264 {
            init.set_bits(offset_of!(Init, _bitfield_1), SPLIT_ENCODE_MODE, SPLIT_DISABLE);
        }
        Ok(settings)
    }

    fn fill_config(&mut self, config: &EncoderConfig, caps: &EncodeCaps) {
        let plain = config.codec == Codec::H264 && config.profile == Profile::Baseline;
        let b_frames = if plain { 0 } else { config.b_frames.min(caps.max_b_frames) };
        let raw = &mut self.config;
        raw.set(offset_of!(Config, version), nv::NV_ENC_CONFIG_VER);
        raw.set(offset_of!(Config, profileGUID), profile_guid(config.codec, config.profile));
        raw.set(offset_of!(Config, gopLength), nv::NVENC_INFINITE_GOPLENGTH);
        raw.set(offset_of!(Config, frameIntervalP), b_frames.saturating_add(1));
        let frame = nv::NV_ENC_PARAMS_FRAME_FIELD_MODE::NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME;
        raw.set(offset_of!(Config, frameFieldMode), frame as u32);

        let bits = offset_of!(Config, rcParams._bitfield_1);
        let lookahead = if caps.lookahead { config.lookahead.min(MAX_LOOKAHEAD) } else { 0 };
        raw.set_bits(bits, rc::ENABLE_LOOKAHEAD, u32::from(lookahead > 0));
        // Looking ahead would put in intra pictures of its own.
        raw.set_bits(bits, rc::DISABLE_I_ADAPT, 1);
        raw.set_bits(bits, rc::ZERO_REORDER_DELAY, u32::from(b_frames == 0));
        let lookahead = u16::try_from(lookahead).unwrap_or(0);
        raw.set(offset_of!(Config, rcParams.lookaheadDepth), lookahead);

        match config.codec {
            Codec::H264 => fill_h264(raw),
            Codec::Hevc => fill_hevc(raw),
            Codec::Av1 => fill_av1(raw),
        }
        // B-frames that are referred to are the preset's choice, where the device can.
        if b_frames == 0 || !caps.b_references {
            let at = match config.codec {
                Codec::H264 => offset_of!(nv::NV_ENC_CONFIG_H264, useBFramesAsRef),
                Codec::Hevc => offset_of!(nv::NV_ENC_CONFIG_HEVC, useBFramesAsRef),
                Codec::Av1 => offset_of!(nv::NV_ENC_CONFIG_AV1, useBFramesAsRef),
            };
            raw.set(CODEC + at, 0u32);
        }
    }

    /// Sets the bit rate, for the next initialisation or reconfiguration.
    pub(crate) fn fill_rate(&mut self, rate: RateControl) {
        let raw = &mut self.config;
        let mode = if rate.bit_rate >= rate.max_bit_rate {
            nv::NV_ENC_PARAMS_RC_MODE::NV_ENC_PARAMS_RC_CBR
        } else {
            nv::NV_ENC_PARAMS_RC_MODE::NV_ENC_PARAMS_RC_VBR
        };
        raw.set(offset_of!(Config, rcParams.rateControlMode), mode as u32);
        raw.set(offset_of!(Config, rcParams.averageBitRate), rate.bit_rate);
        raw.set(offset_of!(Config, rcParams.maxBitRate), rate.max_bit_rate.max(rate.bit_rate));
        let buffer = if self.custom_vbv { rate.buffer_bits } else { 0 };
        raw.set(offset_of!(Config, rcParams.vbvBufferSize), buffer);
        // The driver's default.
        raw.set(offset_of!(Config, rcParams.vbvInitialDelay), 0u32);
    }

    /// For initialisation. Valid while the settings are neither changed nor dropped.
    pub(super) fn parameters(&mut self) -> *mut Init {
        let config = self.config.as_mut_ptr();
        self.init.set(offset_of!(Init, encodeConfig), config);
        self.init.as_mut_ptr()
    }

    /// For reconfiguration, with neither a reset nor an IDR picture. Valid as [`Self::parameters`].
    pub(super) fn reconfiguration(&mut self) -> Raw<nv::NV_ENC_RECONFIGURE_PARAMS> {
        type P = nv::NV_ENC_RECONFIGURE_PARAMS;
        self.parameters();
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_RECONFIGURE_PARAMS_VER);
        parameters.copy_in(offset_of!(P, reInitEncodeParams), &self.init);
        parameters
    }
}

/// Pictures that NVENC looks ahead at most (NVENC programming guide, "Look-ahead").
pub(crate) const MAX_LOOKAHEAD: u32 = 32;

fn fill_h264(raw: &mut Raw<Config>) {
    type C = nv::NV_ENC_CONFIG_H264;
    let bits = CODEC + offset_of!(C, _bitfield_1);
    for off in [
        h264::OUTPUT_BUFFERING_PERIOD_SEI,
        h264::OUTPUT_PICTURE_TIMING_SEI,
        h264::OUTPUT_AUD,
        h264::ENABLE_INTRA_REFRESH,
        h264::REPEAT_SPSPPS,
        h264::ENABLE_FILLER_DATA,
    ] {
        raw.set_bits(bits, off, 0);
    }
    raw.set(CODEC + offset_of!(C, idrPeriod), nv::NVENC_INFINITE_GOPLENGTH);
    raw.set(CODEC + offset_of!(C, chromaFormatIDC), 1u32);
    fill_vui(raw, CODEC + offset_of!(C, h264VUIParameters));
}

fn fill_hevc(raw: &mut Raw<Config>) {
    type C = nv::NV_ENC_CONFIG_HEVC;
    let bits = CODEC + offset_of!(C, _bitfield_1);
    for off in [
        hevc::OUTPUT_BUFFERING_PERIOD_SEI,
        hevc::OUTPUT_PICTURE_TIMING_SEI,
        hevc::OUTPUT_AUD,
        hevc::ENABLE_INTRA_REFRESH,
        hevc::REPEAT_SPSPPS,
        hevc::ENABLE_FILLER_DATA,
        hevc::PIXEL_BIT_DEPTH_MINUS8,
    ] {
        raw.set_bits(bits, off, 0);
    }
    raw.set_bits(bits, hevc::CHROMA_FORMAT_IDC, 1);
    raw.set(CODEC + offset_of!(C, idrPeriod), nv::NVENC_INFINITE_GOPLENGTH);
    fill_vui(raw, CODEC + offset_of!(C, hevcVUIParameters));
}

fn fill_av1(raw: &mut Raw<Config>) {
    type C = nv::NV_ENC_CONFIG_AV1;
    let bits = CODEC + offset_of!(C, _bitfield_1);
    for off in [
        av1::OUTPUT_ANNEX_B,
        av1::ENABLE_INTRA_REFRESH,
        av1::ENABLE_PADDING,
        av1::INPUT_PIXEL_BIT_DEPTH_MINUS8,
        av1::PIXEL_BIT_DEPTH_MINUS8,
    ] {
        raw.set_bits(bits, off, 0);
    }
    // A sync sample has a sequence header (AV1-ISOBMFF, 2.5).
    raw.set_bits(bits, av1::REPEAT_SEQ_HDR, 1);
    raw.set_bits(bits, av1::CHROMA_FORMAT_IDC, 1);
    raw.set(CODEC + offset_of!(C, idrPeriod), nv::NVENC_INFINITE_GOPLENGTH);
    raw.set(CODEC + offset_of!(C, colorPrimaries), BT709);
    raw.set(CODEC + offset_of!(C, transferCharacteristics), BT709);
    raw.set(CODEC + offset_of!(C, matrixCoefficients), BT709);
    raw.set(CODEC + offset_of!(C, colorRange), 0u32);
    // On the even columns, between the rows.
    raw.set(CODEC + offset_of!(C, chromaSamplePosition), 1u32);
}

/// HEVC's is the same structure.
fn fill_vui(raw: &mut Raw<Config>, at: usize) {
    type V = nv::NV_ENC_CONFIG_H264_VUI_PARAMETERS;
    raw.set(at + offset_of!(V, videoSignalTypePresentFlag), 1u32);
    raw.set(at + offset_of!(V, videoFormat), UNSPECIFIED_FORMAT);
    raw.set(at + offset_of!(V, videoFullRangeFlag), 0u32);
    raw.set(at + offset_of!(V, colourDescriptionPresentFlag), 1u32);
    raw.set(at + offset_of!(V, colourPrimaries), BT709);
    raw.set(at + offset_of!(V, transferCharacteristics), BT709);
    raw.set(at + offset_of!(V, colourMatrix), BT709);
}

const fn preset_guid(preset: Preset) -> nv::GUID {
    match preset {
        Preset::P1 => nv::NV_ENC_PRESET_P1_GUID,
        Preset::P2 => nv::NV_ENC_PRESET_P2_GUID,
        Preset::P3 => nv::NV_ENC_PRESET_P3_GUID,
        Preset::P4 => nv::NV_ENC_PRESET_P4_GUID,
        Preset::P5 => nv::NV_ENC_PRESET_P5_GUID,
        Preset::P6 => nv::NV_ENC_PRESET_P6_GUID,
        Preset::P7 => nv::NV_ENC_PRESET_P7_GUID,
    }
}

const fn tuning(tuning: Tuning) -> u32 {
    let info = match tuning {
        Tuning::HighQuality => nv::NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_HIGH_QUALITY,
        Tuning::LowLatency => nv::NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_LOW_LATENCY,
        Tuning::UltraLowLatency => nv::NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY,
    };
    info as u32
}

const fn profile_guid(codec: Codec, profile: Profile) -> nv::GUID {
    match (codec, profile) {
        (Codec::H264, Profile::Baseline) => nv::NV_ENC_H264_PROFILE_BASELINE_GUID,
        (Codec::H264, Profile::Main) => nv::NV_ENC_H264_PROFILE_MAIN_GUID,
        (Codec::H264, Profile::High) => nv::NV_ENC_H264_PROFILE_HIGH_GUID,
        (Codec::Hevc, _) => nv::NV_ENC_HEVC_PROFILE_MAIN_GUID,
        (Codec::Av1, _) => nv::NV_ENC_AV1_PROFILE_MAIN_GUID,
    }
}
