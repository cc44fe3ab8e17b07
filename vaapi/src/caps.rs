//! What a driver says that a device can do, decode and encode apart.

use std::sync::Arc;

use crate::device::Codec;
use crate::error::CallError;
use crate::ffi::{Config, Display, Format, va};
use crate::frame::Size;

/// A question that a driver does not answer.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    /// The list of profiles.
    #[error("listing profiles")]
    Profiles(#[source] CallError),
}

/// What can be decoded: one entry for each codec and bit depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeCaps {
    /// The coding format.
    pub codec: Codec,
    /// Bits of a sample.
    pub bit_depth: u8,
    /// Largest picture; none where the driver does not say.
    pub max_size: Option<Size>,
    /// `VAProfile`s, best first.
    pub(crate) profiles: Vec<va::VAProfile>,
}

/// Which of an encoder's two ways through the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryPoint {
    /// `VAEntrypointEncSlice`: on Intel with help of the shaders, better pictures for the bits.
    Full,
    /// `VAEntrypointEncSliceLP`: on Intel fixed functions only, which is all that newer GPUs have.
    LowPower,
}

impl EntryPoint {
    /// As the tools of libva have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "EncSlice",
            Self::LowPower => "EncSliceLP",
        }
    }

    pub(crate) const fn id(self) -> va::VAEntrypoint {
        match self {
            Self::Full => va::VAEntrypointEncSlice,
            Self::LowPower => va::VAEntrypointEncSliceLP,
        }
    }
}

/// Who decides how many bits a picture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateMode {
    /// The driver, at one rate.
    Cbr,
    /// The driver, between a mean and a peak.
    Vbr,
    /// The driver, up to a quality.
    Qvbr,
    /// We, picture by picture: for hardware whose driver has no rate control (Intel's low-power encoders without the
    /// HuC firmware).
    Cqp,
}

impl RateMode {
    /// As the tools of libva have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cbr => "CBR",
            Self::Vbr => "VBR",
            Self::Qvbr => "QVBR",
            Self::Cqp => "CQP",
        }
    }

    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::Cbr => va::VA_RC_CBR,
            Self::Vbr => va::VA_RC_VBR,
            Self::Qvbr => va::VA_RC_QVBR,
            Self::Cqp => va::VA_RC_CQP,
        }
    }

    const ALL: [Self; 4] = [Self::Cbr, Self::Vbr, Self::Qvbr, Self::Cqp];
}

/// The headers that a driver lets the application write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackedHeaders {
    /// Sequence and video parameter sets.
    pub sequence: bool,
    /// Picture parameter sets.
    pub picture: bool,
    /// Slice headers.
    pub slice: bool,
}

/// What can be encoded: one entry for each codec, bit depth and entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeCaps {
    /// The coding format.
    pub codec: Codec,
    /// Bits of a sample.
    pub bit_depth: u8,
    /// Which way through the hardware.
    pub entry_point: EntryPoint,
    /// The rate controls that there are.
    pub rate_modes: Vec<RateMode>,
    /// The headers that may be written here.
    pub packed_headers: PackedHeaders,
    /// Largest picture; none where the driver does not say.
    pub max_size: Option<Size>,
    /// Quality levels, from 1, the best; 0 where there is no choice.
    pub quality_levels: u32,
    /// Most reference pictures in list 0 and 1.
    pub max_references: (u32, u32),
    /// `VAProfile`s, best first.
    pub(crate) profiles: Vec<va::VAProfile>,
    /// `VAConfigAttribEncHEVCFeatures` and `VAConfigAttribEncHEVCBlockSizes`, where the driver says.
    pub(crate) hevc_features: Option<u32>,
    pub(crate) hevc_block_sizes: Option<u32>,
    /// `VAConfigAttribPredictionDirection`, likewise.
    pub(crate) hevc_prediction: Option<u32>,
}

/// What the video processor can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessCaps {
    /// Bit depths that it reads.
    pub bit_depths: Vec<u8>,
}

/// What a device can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// What can be decoded.
    pub decode: Vec<DecodeCaps>,
    /// What can be encoded.
    pub encode: Vec<EncodeCaps>,
    /// The video processor; none where there is none, and nothing can be scaled.
    pub process: Option<ProcessCaps>,
}

/// The profiles of a codec and bit depth, best first. A profile decodes what is coded in those below it.
const PROFILES: [(Codec, u8, &[va::VAProfile]); 3] = [
    (Codec::H264, 8, &[va::VAProfileH264High, va::VAProfileH264Main, va::VAProfileH264ConstrainedBaseline]),
    (Codec::Hevc, 8, &[va::VAProfileHEVCMain]),
    (Codec::Hevc, 10, &[va::VAProfileHEVCMain10]),
];

impl Caps {
    pub(crate) fn of(display: &Arc<Display>) -> Result<Self, CapsError> {
        let listed = display.profiles().map_err(CapsError::Profiles)?;
        let mut caps = Self { decode: Vec::new(), encode: Vec::new(), process: None };
        for (codec, bit_depth, profiles) in PROFILES {
            let has = |profile: &&va::VAProfile, entrypoint| {
                // A profile whose entry points cannot be listed has none of use.
                display.entrypoints(**profile).is_ok_and(|found| found.contains(&entrypoint))
            };
            let with = |entrypoint| -> Vec<va::VAProfile> {
                let listed = profiles.iter().filter(|profile| listed.contains(profile));
                listed.filter(|profile| has(profile, entrypoint)).copied().collect()
            };
            let decoded = with(va::VAEntrypointVLD);
            if let Some(profile) = decoded.first() {
                let max_size = max_size(display, *profile, va::VAEntrypointVLD);
                caps.decode.push(DecodeCaps { codec, bit_depth, max_size, profiles: decoded });
            }
            for entry_point in [EntryPoint::Full, EntryPoint::LowPower] {
                let profiles = with(entry_point.id());
                if let Some(found) = encode_caps(display, codec, bit_depth, entry_point, profiles) {
                    caps.encode.push(found);
                }
            }
        }
        caps.process = process_caps(display, &listed);
        Ok(caps)
    }

    /// What is to be decoded with, where it can be.
    #[must_use]
    pub fn decoder(&self, codec: Codec, bit_depth: u8) -> Option<&DecodeCaps> {
        self.decode.iter().find(|caps| caps.codec == codec && caps.bit_depth == bit_depth)
    }

    /// What is to be encoded with, where it can be: the entry point wished for, or the other.
    #[must_use]
    pub fn encoder(&self, codec: Codec, bit_depth: u8, wish: EntryPoint) -> Option<&EncodeCaps> {
        let of_codec = |caps: &&EncodeCaps| caps.codec == codec && caps.bit_depth == bit_depth;
        let wished = self.encode.iter().find(|caps| of_codec(caps) && caps.entry_point == wish);
        wished.or_else(|| self.encode.iter().find(of_codec))
    }
}

fn max_size(display: &Display, profile: va::VAProfile, entrypoint: va::VAEntrypoint) -> Option<Size> {
    let kinds = [va::VAConfigAttribMaxPictureWidth, va::VAConfigAttribMaxPictureHeight];
    let [width, height] = display.attributes(profile, entrypoint, kinds).ok()?;
    Some(Size { width: width?, height: height? }).filter(|size| size.width > 0 && size.height > 0)
}

fn encode_caps(
    display: &Display,
    codec: Codec,
    bit_depth: u8,
    entry_point: EntryPoint,
    profiles: Vec<va::VAProfile>,
) -> Option<EncodeCaps> {
    let profile = *profiles.first()?;
    let kinds = [
        va::VAConfigAttribRateControl,
        va::VAConfigAttribEncPackedHeaders,
        va::VAConfigAttribEncQualityRange,
        va::VAConfigAttribEncMaxRefFrames,
        va::VAConfigAttribEncHEVCFeatures,
        va::VAConfigAttribEncHEVCBlockSizes,
        va::VAConfigAttribPredictionDirection,
    ];
    let [rate, packed, quality, references, features, block_sizes, prediction] =
        display.attributes(profile, entry_point.id(), kinds).ok()?;
    let has = |bit: u32| packed.unwrap_or(0) & bit != 0;
    let rate = rate.unwrap_or(va::VA_RC_CQP);
    let references = references.unwrap_or(1);
    Some(EncodeCaps {
        codec,
        bit_depth,
        entry_point,
        rate_modes: RateMode::ALL.into_iter().filter(|mode| rate & mode.bit() != 0).collect(),
        packed_headers: PackedHeaders {
            sequence: has(va::VA_ENC_PACKED_HEADER_SEQUENCE),
            picture: has(va::VA_ENC_PACKED_HEADER_PICTURE),
            slice: has(va::VA_ENC_PACKED_HEADER_SLICE),
        },
        max_size: max_size(display, profile, entry_point.id()),
        quality_levels: quality.unwrap_or(0),
        max_references: (references & 0xffff, references >> 16),
        profiles,
        hevc_features: features,
        hevc_block_sizes: block_sizes,
        hevc_prediction: prediction,
    })
}

fn process_caps(display: &Arc<Display>, listed: &[va::VAProfile]) -> Option<ProcessCaps> {
    let none = va::VAProfileNone;
    let has = display.entrypoints(none).is_ok_and(|found| found.contains(&va::VAEntrypointVideoProc));
    if !listed.contains(&none) && !has {
        return None;
    }
    let config = Config::new(display, none, va::VAEntrypointVideoProc, &[]).ok()?;
    let formats = config.surface_formats().unwrap_or_default();
    let depths = [Format::Nv12, Format::P010].into_iter().filter(|format| {
        // A driver that lists nothing is taken to read what it decodes.
        formats.is_empty() || formats.contains(&format.fourcc())
    });
    Some(ProcessCaps { bit_depths: depths.map(Format::depth).collect() })
}
