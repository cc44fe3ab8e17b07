//! Presets: P1 to P7, each with a tuning.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{NV_ENC_CONFIG, NV_ENC_PRESET_CONFIG};
use sim_nvidia::pointer::Fields;
use sim_state::Codec;

use crate::encoder::{Encoder, enter};
use crate::guid::{self, Bytes};
use crate::settings::INFINITE;
use crate::status::{Answer, UNSUPPORTED_PARAM};
use crate::version::Structure;

/// A preset with its tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preset {
    /// 1 to 7.
    pub(crate) level: usize,
    /// Made for pictures to come out at once.
    pub(crate) low_latency: bool,
}

impl Preset {
    /// The preset of a GUID and an `NV_ENC_TUNING_INFO`: high quality (1), low latency (2), ultra low latency (3),
    /// lossless (4), ultra high quality (5).
    pub(crate) fn of(guid: Bytes, tuning: u32) -> Option<Self> {
        let level = guid::presets().iter().position(|preset| *preset == guid)? + 1;
        (1..=5).contains(&tuning).then_some(Self { level, low_latency: tuning == 2 || tuning == 3 })
    }

    /// x264's and x265's preset for it. The simulation is to be fast: what comes after "faster" is left out.
    pub(crate) fn software(self) -> &'static str {
        ["ultrafast", "ultrafast", "superfast", "superfast", "veryfast", "veryfast", "faster"]
            [self.level.clamp(1, 7) - 1]
    }

    /// Writes what the preset means into a configuration, whose version word stays.
    pub(crate) fn fill(self, config: Fields<NV_ENC_CONFIG>, codec: Codec, b_frames: u32) {
        config.clear_from(offset_of!(NV_ENC_CONFIG, profileGUID));
        let profile = guid::profiles(codec, false);
        let chosen = profile.last().map_or([0; 16], |(guid, _)| *guid);
        let gop = if self.low_latency { INFINITE } else { 250 };
        let interval = if self.low_latency || self.level < 4 { 1 } else { 1 + b_frames.min(2) };
        config.set(offset_of!(NV_ENC_CONFIG, profileGUID), chosen);
        config.set(offset_of!(NV_ENC_CONFIG, gopLength), gop);
        config.set(offset_of!(NV_ENC_CONFIG, frameIntervalP), interval);
        // NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME.
        config.set(offset_of!(NV_ENC_CONFIG, frameFieldMode), 1_u32);
        let mode: u32 = if self.low_latency { 2 } else { 1 };
        config.set(offset_of!(NV_ENC_CONFIG, rcParams.rateControlMode), mode);
        config.set(offset_of!(NV_ENC_CONFIG, rcParams.constQP), [28_u8, 0, 0, 0]);
        config.set(offset_of!(NV_ENC_CONFIG, rcParams.averageBitRate), 2_000_000_u32);
        match codec {
            Codec::H264 => config.set(offset_of!(NV_ENC_CONFIG, encodeCodecConfig.h264Config.idrPeriod), gop),
            Codec::Hevc => config.set(offset_of!(NV_ENC_CONFIG, encodeCodecConfig.hevcConfig.idrPeriod), gop),
            Codec::Av1 => config.set(offset_of!(NV_ENC_CONFIG, encodeCodecConfig.av1Config.idrPeriod), gop),
        }
    }
}

fn config(
    encoder: &Encoder,
    codec: Bytes,
    preset: Bytes,
    tuning: u32,
    out: Fields<NV_ENC_PRESET_CONFIG>,
) -> Answer {
    encoder.version("nvEncGetEncodePresetConfigEx", out, Structure::PresetConfig)?;
    let inner = out.inner::<NV_ENC_CONFIG>(offset_of!(NV_ENC_PRESET_CONFIG, presetCfg));
    encoder.version("nvEncGetEncodePresetConfigEx", inner, Structure::Config)?;
    let codec = encoder.codec(codec)?;
    let Some(preset) = Preset::of(preset, tuning) else {
        return encoder.refuse(
            UNSUPPORTED_PARAM,
            &format!("the preset is none of P1 to P7, or the tuning {tuning} is none"),
        );
    };
    preset.fill(inner, codec, crate::caps::most_b_frames(encoder.plan(), codec));
    Ok(())
}

/// `nvEncGetEncodePresetConfigEx`.
pub(crate) extern "C" fn get_ex(
    encoder: usize,
    codec: Bytes16,
    preset: Bytes16,
    tuning: u32,
    out: Fields<NV_ENC_PRESET_CONFIG>,
) -> u32 {
    enter("nvEncGetEncodePresetConfigEx", encoder, |encoder| config(encoder, codec.0, preset.0, tuning, out))
}

/// `nvEncGetEncodePresetConfig`, which has no tuning: high quality, as the presets before tuning were.
pub(crate) extern "C" fn get(
    encoder: usize,
    codec: Bytes16,
    preset: Bytes16,
    out: Fields<NV_ENC_PRESET_CONFIG>,
) -> u32 {
    enter("nvEncGetEncodePresetConfig", encoder, |encoder| config(encoder, codec.0, preset.0, 1, out))
}

/// A GUID passed by value: 16 bytes aligned as the C structure is, by its 32-bit first member.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(crate) struct Bytes16(pub(crate) Bytes);
