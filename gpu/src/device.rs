//! NVIDIA devices of this machine.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::caps::Caps;
use crate::error::CudaError;
use crate::ffi::cuda::{self, Context};
use crate::ffi::cuvid::Cuvid;
use crate::ffi::kernels::Kernels;
use crate::ffi::nvenc::{self, Nvenc};
use crate::nvml;

/// The oldest driver that is supported: it speaks CUDA 12.2 and NVENC API 12.1.
pub const OLDEST_DRIVER: &str = "535";
const OLDEST_CUDA: (u32, u32) = (12, 2);

/// A video coding format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 | ISO/IEC 14496-10.
    H264,
    /// HEVC | ISO/IEC 23008-2.
    Hevc,
    /// AV1.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Av1];

    /// The name that people know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device that cannot be used. Each is a sentence for the operator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// There is no driver.
    #[error(
        "libcuda.so.1 cannot be loaded: no NVIDIA driver is installed here, or it is not visible to this process"
    )]
    NoDriver,
    /// The library is not a driver's, or not all of it.
    #[error(
        "libcuda.so.1 lacks {function}: it is no NVIDIA driver's, or of one far too old; install the driver anew"
    )]
    Incomplete {
        /// A function that every driver has.
        function: &'static str,
    },
    /// The driver finds nothing to drive, or is refused.
    #[error("the NVIDIA driver does not start")]
    Init(#[source] CudaError),
    /// The driver is too old.
    #[error(
        "driver {} is too old: {OLDEST_DRIVER} or newer is needed (it speaks CUDA {}.{}, not {}.{})",
        driver.as_deref().unwrap_or("of this machine"), found.0, found.1, needed.0, needed.1
    )]
    DriverTooOld {
        /// The driver's version, where NVML tells it.
        driver: Option<String>,
        /// The CUDA version that it speaks.
        found: (u32, u32),
        /// The CUDA version that is needed.
        needed: (u32, u32),
    },
    /// No device has this number.
    #[error("there is no NVIDIA device {ordinal}; {count} are visible")]
    Ordinal {
        /// The number asked for, from 0.
        ordinal: u32,
        /// How many there are.
        count: u32,
    },
    /// A device cannot be described.
    #[error("NVIDIA device {ordinal} cannot be asked what it is")]
    Describe {
        /// Its number.
        ordinal: u32,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
    /// A device cannot be opened.
    #[error("NVIDIA device {ordinal} does not open")]
    Open {
        /// Its number.
        ordinal: u32,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number in this process, from 0.
    pub ordinal: u32,
    /// What its maker calls it.
    pub name: String,
    /// Its identity, as NVIDIA's tools write it: `GPU-` and 32 hexadecimal digits in groups.
    pub uuid: String,
    /// Its PCI address, `0000:01:00.0`, in lower case.
    pub pci: String,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// Its compute capability: 9, 0 for Hopper.
    pub capability: (u32, u32),
}

pub(crate) struct Inner {
    pub(crate) info: DeviceInfo,
    pub(crate) context: Context,
    kernels: OnceLock<Result<Kernels, CudaError>>,
    /// Opening sessions at once is slower than one after another, and known to fail on some drivers.
    pub(crate) opening: Mutex<()>,
    /// Likewise for making encoders of them. Apart, so that the next session opens meanwhile, as those of other processes
    /// do: opening is what takes long.
    pub(crate) initializing: Mutex<()>,
}

/// A device, ready for use. Clones and further openings in a process share one context, which is expensive, and one
/// stream: work is done in the order in which it was given.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Inner>);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({} {})", self.0.info.ordinal, self.0.info.name)
    }
}

/// Devices open in this process.
static OPEN: Mutex<Option<HashMap<u32, Weak<Inner>>>> = Mutex::new(None);

/// Checks library and version; gives the number of devices.
fn start() -> Result<u32, DeviceError> {
    if !cuda::is_present() {
        return Err(DeviceError::NoDriver);
    }
    if let Some(function) = cuda::missing_function() {
        return Err(DeviceError::Incomplete { function });
    }
    let found = cuda::driver_version().map_err(DeviceError::Init)?;
    if found < OLDEST_CUDA {
        return Err(DeviceError::DriverTooOld { driver: nvml::driver_version(), found, needed: OLDEST_CUDA });
    }
    cuda::init().map_err(DeviceError::Init)?;
    cuda::device_count().map_err(DeviceError::Init)
}

fn describe(ordinal: u32) -> Result<DeviceInfo, DeviceError> {
    let found = cuda::describe(ordinal).map_err(|source| DeviceError::Describe { ordinal, source })?;
    Ok(DeviceInfo {
        ordinal,
        name: found.name,
        uuid: uuid_text(found.uuid),
        pci: found.pci,
        memory_bytes: found.memory,
        capability: found.capability,
    })
}

/// As NVIDIA's tools write it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::from("GPU");
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

impl Device {
    /// The devices that this process sees. None is opened.
    ///
    /// # Errors
    /// Where there is no driver, or it is too old, or finds no device.
    pub fn list() -> Result<Vec<DeviceInfo>, DeviceError> {
        (0..start()?).map(describe).collect()
    }

    /// Opens a device by its number. Takes hundreds of milliseconds the first time in a process.
    ///
    /// # Errors
    /// Where there is no driver, it is too old, there is no such device, or it is refused.
    pub fn open(ordinal: u32) -> Result<Self, DeviceError> {
        let count = start()?;
        if ordinal >= count {
            return Err(DeviceError::Ordinal { ordinal, count });
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(inner) = open.get(&ordinal).and_then(Weak::upgrade) {
            return Ok(Self(inner));
        }
        let info = describe(ordinal)?;
        let context = Context::open(ordinal).map_err(|source| DeviceError::Open { ordinal, source })?;
        let kernels = OnceLock::new();
        let inner =
            Arc::new(Inner { info, context, kernels, opening: Mutex::new(()), initializing: Mutex::new(()) });
        open.insert(ordinal, Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// Memory free now and in all, in bytes.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.0.context.memory()
    }

    /// What it decodes and encodes, found by asking it; opens an encode session for the time being.
    #[must_use]
    pub fn caps(&self) -> Caps {
        Caps::of(self)
    }

    /// Whether pictures of one can be used on the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }

    pub(crate) fn kernels(&self) -> Result<&Kernels, CudaError> {
        self.0.kernels.get_or_init(|| Kernels::load(&self.0.context)).as_ref().map_err(|error| *error)
    }
}

/// NVDEC's library; loaded once a process.
pub(crate) fn cuvid() -> Option<&'static Cuvid> {
    static LIBRARY: OnceLock<Option<Cuvid>> = OnceLock::new();
    LIBRARY.get_or_init(Cuvid::load).as_ref()
}

/// NVENC's library; loaded once a process.
pub(crate) fn nvenc() -> Result<&'static Nvenc, nvenc::LoadError> {
    static LIBRARY: OnceLock<Result<Nvenc, nvenc::LoadError>> = OnceLock::new();
    LIBRARY.get_or_init(Nvenc::load).as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_identities_as_the_vendor_does() {
        let bytes = [0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(uuid_text(bytes), "GPU-deadbeef-0102-0304-0506-0708090a0b0c");
    }

    #[test]
    fn an_old_driver_is_named_with_both_versions() {
        let error =
            DeviceError::DriverTooOld { driver: Some("470.57".into()), found: (11, 4), needed: OLDEST_CUDA };
        assert_eq!(
            error.to_string(),
            "driver 470.57 is too old: 535 or newer is needed (it speaks CUDA 11.4, not 12.2)"
        );
    }
}
