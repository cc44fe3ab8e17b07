//! What a client asks for: `NV_ENC_INITIALIZE_PARAMS` and `NV_ENC_CONFIG`, read and checked.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{NV_ENC_CONFIG, NV_ENC_INITIALIZE_PARAMS};
use sim_nvidia::pointer::Fields;
use sim_state::{Codec, Device};

use crate::guid;
use crate::preset::Preset;
use crate::status::{INVALID_PARAM, Status, UNSUPPORTED_PARAM};
use crate::version::Api;

/// `NVENC_INFINITE_GOPLENGTH`.
pub(crate) const INFINITE: u32 = u32::MAX;

/// Where `outputBitDepth` stands in `NV_ENC_CONFIG_HEVC` and `NV_ENC_CONFIG_AV1` from API version 12.2 on (headers of
/// 12.2.72 and 13.0.19).
const HEVC_OUTPUT_BIT_DEPTH: usize = 200;
const AV1_OUTPUT_BIT_DEPTH: usize = 112;

/// A rate control mode (`NV_ENC_PARAMS_RC_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ConstQp { p: u32 },
    Constant,
    Variable { quality: Option<u8> },
}

/// Rate control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) mode: Mode,
    /// Bits a second.
    pub(crate) average: u32,
    /// Bits a second, over the buffer.
    pub(crate) highest: u32,
    /// Bits.
    pub(crate) buffer: u32,
}

/// The colours that the parameter sets tell (Rec. ITU-T H.273); 2 is "unspecified".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours {
    pub(crate) primaries: u32,
    pub(crate) transfer: u32,
    pub(crate) matrix: u32,
    pub(crate) full_range: bool,
}

/// When parameter sets stand in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Never: the client gets them by `nvEncGetSequenceParams`.
    Never,
    /// With the first picture, and where a picture asks for them.
    First,
    /// With every IDR picture.
    EachIdr,
}

/// An encoder's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) codec: Codec,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Frames a second, as a ratio.
    pub(crate) frame_rate: (u32, u32),
    pub(crate) preset: Preset,
    pub(crate) profile: Option<&'static str>,
    pub(crate) ten_bit: bool,
    /// Pictures between IDR pictures, or [`INFINITE`].
    pub(crate) gop: u32,
    pub(crate) b_frames: u32,
    pub(crate) rate: Rate,
    pub(crate) headers: Headers,
    pub(crate) delimiters: bool,
    pub(crate) colours: Option<Colours>,
    /// Coded pictures are made once, and are those of no picture given.
    pub(crate) flat: bool,
}

/// What is wrong with settings: the status to answer, and why.
pub(crate) type Wrong = (Status, String);

macro_rules! init {
    ($($field:tt)+) => { offset_of!(NV_ENC_INITIALIZE_PARAMS, $($field)+) };
}

macro_rules! config {
    ($($field:tt)+) => { offset_of!(NV_ENC_CONFIG, $($field)+) };
}

impl Settings {
    /// Reads an encoder's settings. `config` is the client's, or the preset's where it gave none.
    pub(crate) fn read(
        params: Fields<NV_ENC_INITIALIZE_PARAMS>,
        config: Fields<NV_ENC_CONFIG>,
        api: Api,
        device: &Device,
    ) -> Result<Self, Wrong> {
        let wrong = |status, text: String| Err((status, text));
        let codec = guid::codec(params.get(init!(encodeGUID))).filter(|codec| device.encode.contains(codec));
        let Some(codec) = codec else {
            return wrong(UNSUPPORTED_PARAM, "the device does not encode this coding".into());
        };
        let (width, height) = (params.get::<u32>(init!(encodeWidth)), params.get::<u32>(init!(encodeHeight)));
        let (least_width, least_height) = crate::caps::least_size(codec);
        if !(least_width..=device.max_width).contains(&width)
            || !(least_height..=device.max_height).contains(&height)
        {
            return wrong(
                INVALID_PARAM,
                format!("pictures of {width}x{height} are out of the device's bounds"),
            );
        }
        let frame_rate: (u32, u32) = (params.get(init!(frameRateNum)), params.get(init!(frameRateDen)));
        if frame_rate.0 == 0 || frame_rate.1 == 0 {
            return wrong(INVALID_PARAM, format!("a frame rate of {}/{}", frame_rate.0, frame_rate.1));
        }
        if params.get::<u32>(init!(enableEncodeAsync)) != 0 {
            return wrong(UNSUPPORTED_PARAM, "asynchronous encoding is Windows's".into());
        }
        if params.get::<u32>(init!(enablePTD)) != 1 {
            return wrong(
                UNSUPPORTED_PARAM,
                "enablePTD is 0: the client would decide on picture types".into(),
            );
        }
        let tuning = params.get::<u32>(init!(tuningInfo));
        let preset = Preset::of(params.get(init!(presetGUID)), tuning);
        let Some(preset) = preset else {
            return wrong(
                UNSUPPORTED_PARAM,
                format!("the preset is none of P1 to P7, or the tuning {tuning} is none"),
            );
        };
        let profile_guid = config.get(config!(profileGUID));
        let ten_bit_able = device.encode_10bit.contains(&codec);
        let profiles = guid::profiles(codec, ten_bit_able);
        let profile = profiles.iter().find(|(guid, _)| *guid == profile_guid);
        let Some((_, profile)) = profile else {
            return wrong(UNSUPPORTED_PARAM, "the profile is none of the coding's".into());
        };
        let ten_bit = guid::is_main10(profile_guid) || depth(config, codec, api) == 10;
        if ten_bit && !ten_bit_able {
            return wrong(UNSUPPORTED_PARAM, "the device does not encode 10 bits".into());
        }
        let interval = config.get::<i32>(config!(frameIntervalP));
        let b_frames = u32::try_from(interval.max(1) - 1).unwrap_or(0);
        if b_frames > crate::caps::most_b_frames(device, codec) {
            return wrong(UNSUPPORTED_PARAM, format!("{b_frames} B-frames are more than the device has"));
        }
        let gop = if interval == 0 { 1 } else { gop(config, codec) };
        if gop == 0 {
            return wrong(INVALID_PARAM, "a gopLength of 0".into());
        }
        let (headers, delimiters) = headers(config, codec);
        Ok(Self {
            codec,
            width,
            height,
            frame_rate,
            preset,
            profile: *profile,
            ten_bit,
            gop,
            b_frames: if gop == 1 { 0 } else { b_frames },
            rate: rate(config)?,
            headers,
            delimiters,
            colours: colours(config, codec),
            flat: false,
        })
    }
}

/// The bit depth that is to come out.
fn depth(config: Fields<NV_ENC_CONFIG>, codec: Codec, api: Api) -> u32 {
    let offset = config!(encodeCodecConfig);
    match codec {
        Codec::H264 => 8,
        // `pixelBitDepthMinus8`, in the bits behind the four words of level, tier and sizes; `outputBitDepth` from 12.2
        // on.
        Codec::Hevc if api < (12, 2) => 8 + (config.get::<u32>(offset + 16) >> 11 & 7),
        Codec::Av1 if api < (12, 2) => 8 + (config.get::<u32>(offset + 16) >> 15 & 7),
        Codec::Hevc => config.get::<u32>(offset + HEVC_OUTPUT_BIT_DEPTH).max(8),
        Codec::Av1 => config.get::<u32>(offset + AV1_OUTPUT_BIT_DEPTH).max(8),
    }
}

fn gop(config: Fields<NV_ENC_CONFIG>, codec: Codec) -> u32 {
    let gop = config.get::<u32>(config!(gopLength));
    let idr = config.get::<u32>(match codec {
        Codec::H264 => config!(encodeCodecConfig.h264Config.idrPeriod),
        Codec::Hevc => config!(encodeCodecConfig.hevcConfig.idrPeriod),
        Codec::Av1 => config!(encodeCodecConfig.av1Config.idrPeriod),
    });
    // nvEncodeAPI.h on idrPeriod: if not set, it is made equal to gopLength.
    if gop == 0 || idr == 0 { gop } else { gop.min(idr).max(1) }
}

fn headers(config: Fields<NV_ENC_CONFIG>, codec: Codec) -> (Headers, bool) {
    // The bit fields: H.264's begin the structure, the others' follow four words.
    let (word, disabled, repeated, delimiters) = match codec {
        Codec::H264 => (0, 7, 12, Some(6)),
        Codec::Hevc => (16, 6, 7, Some(4)),
        Codec::Av1 => (16, 4, 5, None),
    };
    let flags = config.get::<u32>(config!(encodeCodecConfig) + word);
    let set = |bit: u32| flags >> bit & 1 == 1;
    let headers = match (set(disabled), set(repeated)) {
        (true, _) => Headers::Never,
        (false, true) => Headers::EachIdr,
        (false, false) => Headers::First,
    };
    (headers, delimiters.is_some_and(set))
}

fn rate(config: Fields<NV_ENC_CONFIG>) -> Result<Rate, Wrong> {
    let average = match config.get::<u32>(config!(rcParams.averageBitRate)) {
        0 => 2_000_000,
        average => average,
    };
    let highest = config.get::<u32>(config!(rcParams.maxBitRate));
    let buffer = config.get::<u32>(config!(rcParams.vbvBufferSize));
    let mode = match config.get::<u32>(config!(rcParams.rateControlMode)) {
        0 => Mode::ConstQp { p: config.get::<u32>(config!(rcParams.constQP.qpInterP)).min(51) },
        1 | 0x20 => {
            let quality = config.get::<u8>(config!(rcParams.targetQuality));
            Mode::Variable { quality: (quality > 0).then_some(quality) }
        }
        2 | 8 | 0x10 => Mode::Constant,
        other => return Err((UNSUPPORTED_PARAM, format!("rateControlMode {other}"))),
    };
    let highest = match mode {
        Mode::Constant => average,
        _ if highest == 0 => average.saturating_mul(2),
        _ if highest < average => {
            return Err((INVALID_PARAM, format!("maxBitRate {highest} is under averageBitRate {average}")));
        }
        _ => highest,
    };
    Ok(Rate { mode, average, highest, buffer: if buffer == 0 { highest } else { buffer } })
}

fn colours(config: Fields<NV_ENC_CONFIG>, codec: Codec) -> Option<Colours> {
    let of_vui = |signal: usize, described: usize, range: usize, first: usize| {
        let described = config.get::<u32>(described) == 1;
        let value = |at: usize| if described { config.get::<u32>(first + at * 4) } else { 2 };
        (config.get::<u32>(signal) == 1).then(|| Colours {
            primaries: value(0),
            transfer: value(1),
            matrix: value(2),
            full_range: config.get::<u32>(range) == 1,
        })
    };
    match codec {
        Codec::H264 => of_vui(
            config!(encodeCodecConfig.h264Config.h264VUIParameters.videoSignalTypePresentFlag),
            config!(encodeCodecConfig.h264Config.h264VUIParameters.colourDescriptionPresentFlag),
            config!(encodeCodecConfig.h264Config.h264VUIParameters.videoFullRangeFlag),
            config!(encodeCodecConfig.h264Config.h264VUIParameters.colourPrimaries),
        ),
        Codec::Hevc => of_vui(
            config!(encodeCodecConfig.hevcConfig.hevcVUIParameters.videoSignalTypePresentFlag),
            config!(encodeCodecConfig.hevcConfig.hevcVUIParameters.colourDescriptionPresentFlag),
            config!(encodeCodecConfig.hevcConfig.hevcVUIParameters.videoFullRangeFlag),
            config!(encodeCodecConfig.hevcConfig.hevcVUIParameters.colourPrimaries),
        ),
        Codec::Av1 => Some(Colours {
            primaries: config.get::<u32>(config!(encodeCodecConfig.av1Config.colorPrimaries)),
            transfer: config.get::<u32>(config!(encodeCodecConfig.av1Config.transferCharacteristics)),
            matrix: config.get::<u32>(config!(encodeCodecConfig.av1Config.matrixCoefficients)),
            full_range: config.get::<u32>(config!(encodeCodecConfig.av1Config.colorRange)) == 1,
        }),
    }
}
