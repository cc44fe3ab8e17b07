//! What the simulated devices can do, and say that they can.

use crate::ffi::{self, VAConfigAttribType, VAEntrypoint, VAProfile};

/// A video format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    Hevc,
}

/// What a config is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Decode(Codec),
    Encode(Codec),
    Process,
}

/// Whose driver is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Intel's iHD on Arc: only low-power encoders.
    IntelArc,
    /// Intel's iHD on UHD 630 (Gen9): full encoders for both codecs, and a low-power one for H.264 that controls its
    /// rate only with the HuC firmware.
    IntelUhd {
        /// Whether that firmware is loaded.
        huc: bool,
    },
    /// Mesa's radeonsi: writes all headers itself.
    Amd,
}

/// A device, as its driver shows it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) family: Family,
    /// Its name in the plan.
    pub(crate) name: String,
    pub(crate) encode: Vec<Codec>,
    pub(crate) decode: Vec<Codec>,
    pub(crate) encode_10bit: bool,
    pub(crate) decode_10bit: bool,
    pub(crate) max_width: u32,
    pub(crate) max_height: u32,
    /// Whether there is VA_RC_VBR.
    pub(crate) vbr: bool,
    /// Whether vaQuerySurfaceStatus answers.
    pub(crate) surface_status: bool,
}

const H264: [VAProfile; 3] =
    [ffi::VAProfileH264ConstrainedBaseline, ffi::VAProfileH264Main, ffi::VAProfileH264High];

/// Fields of VAConfigAttribValEncHEVCFeatures that are 1 ("supported, and may be off"); see va_enc_hevc.h: AMP,
/// SAO, temporal MVP, strong intra smoothing, sign data hiding, constrained intra prediction, QP by coding unit, deblocking
/// that can be off.
const HEVC_FEATURES: u32 = 1 << 4 | 1 << 6 | 1 << 10 | 1 << 12 | 1 << 16 | 1 << 18 | 1 << 22 | 1 << 28;

impl Device {
    /// What the driver calls itself.
    pub(crate) fn vendor(&self) -> String {
        let driver = match self.family {
            Family::IntelArc | Family::IntelUhd { .. } => "Intel iHD driver for Intel(R) Gen Graphics",
            Family::Amd => "Mesa Gallium driver for radeonsi",
        };
        format!("Simulated VA-API driver: {driver} - {}", self.name)
    }

    pub(crate) fn profiles(&self) -> Vec<VAProfile> {
        let mut profiles = vec![ffi::VAProfileNone];
        let every = H264.into_iter().chain([ffi::VAProfileHEVCMain, ffi::VAProfileHEVCMain10]);
        profiles.extend(every.filter(|&profile| !self.entrypoints(profile).is_empty()));
        profiles
    }

    /// Empty where the profile is not supported.
    pub(crate) fn entrypoints(&self, profile: VAProfile) -> Vec<VAEntrypoint> {
        if profile == ffi::VAProfileNone {
            return vec![ffi::VAEntrypointVideoProc];
        }
        let (codec, ten_bit) = match profile {
            ffi::VAProfileHEVCMain => (Codec::Hevc, false),
            ffi::VAProfileHEVCMain10 => (Codec::Hevc, true),
            profile if H264.contains(&profile) => (Codec::H264, false),
            _ => return Vec::new(),
        };
        let mut entrypoints = Vec::new();
        if self.decode.contains(&codec) && (self.decode_10bit || !ten_bit) {
            entrypoints.push(ffi::VAEntrypointVLD);
        }
        if self.encode.contains(&codec) && (self.encode_10bit || !ten_bit) {
            if self.family != Family::IntelArc {
                entrypoints.push(ffi::VAEntrypointEncSlice);
            }
            match self.family {
                Family::IntelArc => entrypoints.push(ffi::VAEntrypointEncSliceLP),
                Family::IntelUhd { .. } if codec == Codec::H264 => {
                    entrypoints.push(ffi::VAEntrypointEncSliceLP)
                }
                _ => {}
            }
        }
        entrypoints
    }

    /// What a profile and an entry point are for; `None` where the device has not both.
    pub(crate) fn purpose(&self, profile: VAProfile, entrypoint: VAEntrypoint) -> Option<Purpose> {
        if !self.entrypoints(profile).contains(&entrypoint) {
            return None;
        }
        let codec = if H264.contains(&profile) { Codec::H264 } else { Codec::Hevc };
        Some(match entrypoint {
            ffi::VAEntrypointVideoProc => Purpose::Process,
            ffi::VAEntrypointVLD => Purpose::Decode(codec),
            _ => Purpose::Encode(codec),
        })
    }

    fn rate_controls(&self, entrypoint: VAEntrypoint, codec: Codec) -> u32 {
        let low_power = entrypoint == ffi::VAEntrypointEncSliceLP;
        let all = match self.family {
            Family::IntelUhd { huc: false } if low_power => ffi::VA_RC_CQP,
            Family::IntelUhd { .. } if low_power => ffi::VA_RC_CQP | ffi::VA_RC_CBR | ffi::VA_RC_VBR,
            Family::IntelUhd { .. } => {
                let qvbr = if codec == Codec::H264 { ffi::VA_RC_QVBR } else { 0 };
                ffi::VA_RC_CQP | ffi::VA_RC_CBR | ffi::VA_RC_VBR | ffi::VA_RC_ICQ | qvbr
            }
            Family::IntelArc => {
                ffi::VA_RC_CQP | ffi::VA_RC_CBR | ffi::VA_RC_VBR | ffi::VA_RC_QVBR | ffi::VA_RC_ICQ
            }
            Family::Amd => ffi::VA_RC_CQP | ffi::VA_RC_CBR | ffi::VA_RC_VBR,
        };
        if self.vbr { all } else { all & !ffi::VA_RC_VBR }
    }

    /// The value of an attribute, `VA_ATTRIB_NOT_SUPPORTED` included.
    pub(crate) fn attribute(
        &self,
        profile: VAProfile,
        entrypoint: VAEntrypoint,
        purpose: Purpose,
        attribute: VAConfigAttribType,
    ) -> u32 {
        let ten_bit = profile == ffi::VAProfileHEVCMain10;
        match (attribute, purpose) {
            (ffi::VAConfigAttribRTFormat, Purpose::Process) => {
                ffi::VA_RT_FORMAT_YUV420 | ffi::VA_RT_FORMAT_YUV420_10
            }
            (ffi::VAConfigAttribRTFormat, _) if ten_bit => ffi::VA_RT_FORMAT_YUV420_10,
            (ffi::VAConfigAttribRTFormat, _) => ffi::VA_RT_FORMAT_YUV420,
            (ffi::VAConfigAttribMaxPictureWidth, _) => self.max_width,
            (ffi::VAConfigAttribMaxPictureHeight, _) => self.max_height,
            (ffi::VAConfigAttribDecSliceMode, Purpose::Decode(_)) => ffi::VA_DEC_SLICE_MODE_NORMAL,
            (ffi::VAConfigAttribRateControl, Purpose::Encode(codec)) => self.rate_controls(entrypoint, codec),
            (ffi::VAConfigAttribEncPackedHeaders, Purpose::Encode(_)) => self.packed_headers(),
            // One reference, forwards: the low 16 bits are list 0's, the high ones list 1's.
            (ffi::VAConfigAttribEncMaxRefFrames, Purpose::Encode(_)) => 1,
            (ffi::VAConfigAttribEncMaxSlices, Purpose::Encode(_)) => 1,
            (ffi::VAConfigAttribEncQualityRange, Purpose::Encode(_)) => {
                if self.family == Family::Amd {
                    ffi::VA_ATTRIB_NOT_SUPPORTED
                } else {
                    7
                }
            }
            (ffi::VAConfigAttribEncHEVCFeatures, Purpose::Encode(Codec::Hevc)) => HEVC_FEATURES,
            (ffi::VAConfigAttribEncHEVCBlockSizes, Purpose::Encode(Codec::Hevc)) => self.hevc_block_sizes(),
            _ => ffi::VA_ATTRIB_NOT_SUPPORTED,
        }
    }

    /// Which headers the client may write, and on these devices, with rate control, has to.
    pub(crate) fn packed_headers(&self) -> u32 {
        match self.family {
            Family::Amd => ffi::VA_ENC_PACKED_HEADER_NONE,
            _ => {
                ffi::VA_ENC_PACKED_HEADER_SEQUENCE
                    | ffi::VA_ENC_PACKED_HEADER_PICTURE
                    | ffi::VA_ENC_PACKED_HEADER_SLICE
                    | ffi::VA_ENC_PACKED_HEADER_MISC
                    | ffi::VA_ENC_PACKED_HEADER_RAW_DATA
            }
        }
    }

    /// VAConfigAttribValEncHEVCBlockSizes: coding tree blocks of 64 (Arc, AMD) or 32 (UHD), coding blocks from 8,
    /// transform blocks of 4 to 32, hierarchies of 1 to 3 levels below.
    fn hevc_block_sizes(&self) -> u32 {
        let tree = if matches!(self.family, Family::IntelUhd { .. }) { 2 } else { 3 };
        let (transform_max, depth_most, depth_least) = (3, 3, 0);
        tree | tree << 2
            | transform_max << 6
            | depth_most << 10
            | depth_least << 12
            | depth_most << 14
            | depth_least << 16
    }

    /// Formats of surfaces for a purpose.
    pub(crate) fn surface_fourccs(&self, rt_format: u32) -> Vec<u32> {
        let mut fourccs = Vec::new();
        if rt_format & ffi::VA_RT_FORMAT_YUV420 != 0 {
            fourccs.push(ffi::VA_FOURCC_NV12);
        }
        if rt_format & ffi::VA_RT_FORMAT_YUV420_10 != 0 {
            fourccs.push(ffi::VA_FOURCC_P010);
        }
        fourccs
    }
}
