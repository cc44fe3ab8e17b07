//! NVENC: libnvidia-encode, loaded at run time.

use libloading::Library;
use nvidia_video_codec_sdk::sys::nvEncodeAPI as nv;

use crate::error::NvencError;

/// The driver's library.
const LIBRARY: &str = "libnvidia-encode.so.1";

/// A library that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not there.
    #[error(
        "libnvidia-encode.so.1 cannot be loaded: the driver's video encoding library is not installed here"
    )]
    Missing,
    /// It is too old.
    #[error(
        "the driver is too old to encode: it speaks version {}.{} of NVENC's API, and {}.{} is needed (driver 535 or newer)",
        found.0, found.1, needed.0, needed.1
    )]
    TooOld {
        /// What it speaks.
        found: (u32, u32),
        /// What is needed.
        needed: (u32, u32),
    },
    /// It does not start.
    #[error("libnvidia-encode.so.1 does not start")]
    Start(#[source] NvencError),
}

/// The version that this speaks.
pub(crate) const VERSION: (u32, u32) = (nv::NVENCAPI_MAJOR_VERSION, nv::NVENCAPI_MINOR_VERSION);

/// The functions.
pub(crate) struct Nvenc {
    _library: Library,
}

impl Nvenc {
    pub(crate) fn load() -> Result<Self, LoadError> {
        // SAFETY: the initialisers of the driver's library have no demands.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|_| LoadError::Missing)?;
        Ok(Self { _library: library })
    }
}
