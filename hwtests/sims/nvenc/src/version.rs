//! The version word that begins every structure: the client's API version, the structure's own, and a mark.
//!
//! ```text
//!  31      30..28   27..24        23..16             15..8   7..0
//! | deep | 0b111  | API minor | structure's version |   0   | API major |
//! ```
//!
//! `deep` is set where the structure has pointers into others or unions (`1u << 31` of nvEncodeAPI.h).

/// An API version, major and minor.
pub(crate) type Api = (u32, u32);

/// A structure that has a version word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Structure {
    FunctionList,
    OpenSession,
    Caps,
    PresetConfig,
    Config,
    Initialize,
    Reconfigure,
    CreateInput,
    CreateBitstream,
    LockInput,
    LockBitstream,
    RegisterResource,
    MapInput,
    Picture,
    SequenceParams,
    Statistics,
}

const DEEP: u32 = 1 << 31;

impl Structure {
    /// Its own version in an API version, from the headers of nv-codec-headers' tags n11.1.5.2, n12.0.16.1, n12.1.14.0,
    /// n12.2.72.0 and n13.0.19.0; 13.1 as ffmpeg 9.0.2 sends it.
    fn own(self, api: Api) -> u32 {
        let at = |old: u32, v12_0: u32, v12_1: u32, v12_2: u32| match api {
            (..=11, _) => old,
            (12, 0) => v12_0,
            (12, 1) => v12_1,
            _ => v12_2,
        };
        match self {
            Self::FunctionList => 2,
            Self::OpenSession
            | Self::Caps
            | Self::LockInput
            | Self::SequenceParams
            | Self::CreateBitstream => 1,
            Self::PresetConfig => at(4, 4, 4, 5) | DEEP,
            Self::Config => at(7, 8, 8, 9) | DEEP,
            Self::Initialize => at(5, 5, 6, 7) | DEEP,
            Self::Reconfigure => at(1, 1, 1, 2) | DEEP,
            Self::CreateInput => at(1, 1, 1, 2),
            Self::LockBitstream => at(1, 2, 1 | DEEP, 2 | DEEP),
            Self::RegisterResource => at(3, 4, 4, 5),
            Self::MapInput => 4,
            Self::Picture => at(4, 6, 6, 7) | DEEP,
            Self::Statistics => at(1, 1, 1, 2),
        }
    }

    /// The word that a client of `api` begins it with.
    pub(crate) fn word(self, api: Api) -> u32 {
        let own = self.own(api);
        (own & DEEP) | (0b111 << 28) | (api.1 << 24) | ((own & 0xff) << 16) | api.0
    }
}

/// The API version of `apiVersion` and of a version word.
pub(crate) fn api_of(word: u32) -> Api {
    (word & 0xff, (word >> 24) & 0xf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvidia_video_codec_sdk::sys::nvEncodeAPI as sys;

    #[test]
    fn the_words_of_12_1_are_those_of_its_headers() {
        for (structure, word) in [
            (Structure::FunctionList, sys::NV_ENCODE_API_FUNCTION_LIST_VER),
            (Structure::OpenSession, sys::NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER),
            (Structure::Caps, sys::NV_ENC_CAPS_PARAM_VER),
            (Structure::PresetConfig, sys::NV_ENC_PRESET_CONFIG_VER),
            (Structure::Config, sys::NV_ENC_CONFIG_VER),
            (Structure::Initialize, sys::NV_ENC_INITIALIZE_PARAMS_VER),
            (Structure::Reconfigure, sys::NV_ENC_RECONFIGURE_PARAMS_VER),
            (Structure::CreateInput, sys::NV_ENC_CREATE_INPUT_BUFFER_VER),
            (Structure::CreateBitstream, sys::NV_ENC_CREATE_BITSTREAM_BUFFER_VER),
            (Structure::LockInput, sys::NV_ENC_LOCK_INPUT_BUFFER_VER),
            (Structure::LockBitstream, sys::NV_ENC_LOCK_BITSTREAM_VER),
            (Structure::RegisterResource, sys::NV_ENC_REGISTER_RESOURCE_VER),
            (Structure::MapInput, sys::NV_ENC_MAP_INPUT_RESOURCE_VER),
            (Structure::Picture, sys::NV_ENC_PIC_PARAMS_VER),
            (Structure::SequenceParams, sys::NV_ENC_SEQUENCE_PARAM_PAYLOAD_VER),
            (Structure::Statistics, sys::NV_ENC_STAT_VER),
        ] {
            assert_eq!(structure.word((12, 1)), word, "{structure:?}");
            assert_eq!(api_of(word), (12, 1));
        }
    }
}
