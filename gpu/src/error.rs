//! What the drivers' error codes mean.

use std::fmt;

/// A status of the CUDA driver or of NVDEC, which share their numbers (`CUresult` of cuda.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CudaError(pub u32);

impl CudaError {
    /// A value is not within what a function takes.
    pub const INVALID_VALUE: Self = Self(1);
    /// No memory of the device, or of the host, is left.
    pub const OUT_OF_MEMORY: Self = Self(2);
    /// There is no device.
    pub const NO_DEVICE: Self = Self(100);
    /// The device's memory is damaged beyond correction.
    pub const ECC_UNCORRECTABLE: Self = Self(214);
    /// The device, or this driver, does not do this.
    pub const NOT_SUPPORTED: Self = Self(801);

    /// No memory is left.
    #[must_use]
    pub const fn is_out_of_memory(self) -> bool {
        self.0 == Self::OUT_OF_MEMORY.0
    }

    /// Whether the device, or this process's hold on it, is gone: nothing done on it from now on can succeed.
    #[must_use]
    pub const fn is_device_lost(self) -> bool {
        matches!(self.0, 4 | 46 | 101 | 201 | 214 | 220 | 227 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 999)
    }

    const fn meaning(self) -> (&'static str, &'static str) {
        match self.0 {
            1 => ("INVALID_VALUE", "a value is not within what the function takes"),
            2 => ("OUT_OF_MEMORY", "no memory is left"),
            3 => ("NOT_INITIALIZED", "the driver is not initialised"),
            4 => ("DEINITIALIZED", "the driver is shutting down"),
            34 => ("STUB_LIBRARY", "libcuda is a stub of the toolkit, not the driver's"),
            46 => ("DEVICE_UNAVAILABLE", "the device is busy or in a mode that keeps others out"),
            100 => ("NO_DEVICE", "no device is there, or none is visible to this process"),
            101 => ("INVALID_DEVICE", "no such device"),
            200 => ("INVALID_IMAGE", "the kernels are damaged"),
            201 => ("INVALID_CONTEXT", "the context is gone"),
            209 => ("NO_BINARY_FOR_GPU", "the kernels are not for this device"),
            214 => ("ECC_UNCORRECTABLE", "memory of the device is damaged beyond correction"),
            218 => ("INVALID_PTX", "the kernels are not valid PTX"),
            220 => ("NVLINK_UNCORRECTABLE", "a link of the device failed"),
            221 => ("JIT_COMPILER_NOT_FOUND", "libnvidia-ptxjitcompiler.so.1 is missing"),
            222 => ("UNSUPPORTED_PTX_VERSION", "the driver is too old for the kernels"),
            227 => ("CONTAINED", "an error of the device ended this process's work"),
            304 => {
                ("OPERATING_SYSTEM", "a call to the system failed; often a right to /dev/nvidia* is missing")
            }
            400 => ("INVALID_HANDLE", "a handle is not one"),
            500 => ("NOT_FOUND", "no such kernel"),
            600 => ("NOT_READY", "not done yet"),
            700 => ("ILLEGAL_ADDRESS", "a kernel reached outside of its memory"),
            702 => ("LAUNCH_TIMEOUT", "a kernel took too long"),
            709 => ("CONTEXT_IS_DESTROYED", "the context is gone"),
            719 => ("LAUNCH_FAILED", "a kernel failed"),
            800 => ("NOT_PERMITTED", "not allowed"),
            801 => ("NOT_SUPPORTED", "the device or the driver does not do this"),
            802 => ("SYSTEM_NOT_READY", "the system's fabric is not ready; is nvidia-fabricmanager running?"),
            803 => ("SYSTEM_DRIVER_MISMATCH", "libcuda and the kernel's driver are of different versions"),
            804 => ("COMPAT_NOT_SUPPORTED_ON_DEVICE", "the compatibility package is not for this device"),
            999 => ("UNKNOWN", "unknown"),
            _ => ("", "not known to this version of the program"),
        }
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            ("", text) => write!(f, "CUDA error {}: {text}", self.0),
            (name, text) => write!(f, "CUDA error {} (CUDA_ERROR_{name}): {text}", self.0),
        }
    }
}

impl std::error::Error for CudaError {}

/// A status of NVENC (`NVENCSTATUS` of nvEncodeAPI.h), with the meaning that the header gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NvencError {
    /// 1: no encode capable device.
    NoEncodeDevice,
    /// 2: the device passed by the client is not supported.
    UnsupportedDevice,
    /// 3: the encoder device supplied by the client is not valid.
    InvalidEncoderDevice,
    /// 4: the device passed to the API call is invalid.
    InvalidDevice,
    /// 5: the device passed to the API call is no longer available; it needs to be made again.
    DeviceNotExist,
    /// 6: one or more pointers are invalid.
    InvalidPointer,
    /// 7: the completion event is invalid.
    InvalidEvent,
    /// 8: one or more parameters are invalid.
    InvalidParameter,
    /// 9: a call was made in the wrong order.
    InvalidCall,
    /// 10: not enough memory; on opening, older drivers say so where their limit of sessions is reached.
    OutOfMemory,
    /// 11: the encoder has not been initialised.
    EncoderNotInitialized,
    /// 12: an unsupported parameter was passed.
    UnsupportedParameter,
    /// 13: locking would have to wait.
    LockBusy,
    /// 14: the buffer is too small for what is to be written.
    NotEnoughBuffer,
    /// 15: an invalid struct version was used.
    InvalidVersion,
    /// 16: mapping an input failed.
    MapFailed,
    /// 17: the encoder needs more input before it puts something out. Not a failure.
    NeedMoreInput,
    /// 18: the encoder is busy; try again after a while.
    EncoderBusy,
    /// 19: the event was not registered.
    EventNotRegistered,
    /// 20: an unknown internal error.
    Generic,
    /// 21: the client key is not one; on opening, newer drivers say so where their limit of sessions is reached.
    IncompatibleClientKey,
    /// 22: the function is not implemented.
    Unimplemented,
    /// 23: registering a resource failed.
    ResourceRegisterFailed,
    /// 24: the resource is not registered.
    ResourceNotRegistered,
    /// 25: the resource is not mapped.
    ResourceNotMapped,
    /// 26: more output buffers are needed.
    NeedMoreOutput,
    /// A status that this version does not know.
    Unknown(u32),
}

impl NvencError {
    /// The error of a status; none for 0, success.
    pub(crate) const fn of(status: u32) -> Option<Self> {
        Some(match status {
            0 => return None,
            1 => Self::NoEncodeDevice,
            2 => Self::UnsupportedDevice,
            3 => Self::InvalidEncoderDevice,
            4 => Self::InvalidDevice,
            5 => Self::DeviceNotExist,
            6 => Self::InvalidPointer,
            7 => Self::InvalidEvent,
            8 => Self::InvalidParameter,
            9 => Self::InvalidCall,
            10 => Self::OutOfMemory,
            11 => Self::EncoderNotInitialized,
            12 => Self::UnsupportedParameter,
            13 => Self::LockBusy,
            14 => Self::NotEnoughBuffer,
            15 => Self::InvalidVersion,
            16 => Self::MapFailed,
            17 => Self::NeedMoreInput,
            18 => Self::EncoderBusy,
            19 => Self::EventNotRegistered,
            20 => Self::Generic,
            21 => Self::IncompatibleClientKey,
            22 => Self::Unimplemented,
            23 => Self::ResourceRegisterFailed,
            24 => Self::ResourceNotRegistered,
            25 => Self::ResourceNotMapped,
            26 => Self::NeedMoreOutput,
            other => Self::Unknown(other),
        })
    }

    /// Whether the device, or this session on it, is gone.
    #[must_use]
    pub const fn is_device_lost(self) -> bool {
        matches!(self, Self::DeviceNotExist | Self::InvalidDevice | Self::Generic)
    }
}

impl fmt::Display for NvencError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoEncodeDevice => "NVENC error 1: the system has no device that encodes",
            Self::UnsupportedDevice => "NVENC error 2: the device has no encoder",
            Self::InvalidEncoderDevice => "NVENC error 3: the encoder's device is not valid",
            Self::InvalidDevice => "NVENC error 4: the device is not valid",
            Self::DeviceNotExist => "NVENC error 5: the device is gone",
            Self::InvalidPointer => "NVENC error 6: a pointer is not valid",
            Self::InvalidEvent => "NVENC error 7: an event is not valid",
            Self::InvalidParameter => "NVENC error 8: a parameter is not valid",
            Self::InvalidCall => "NVENC error 9: a call out of order",
            Self::OutOfMemory => "NVENC error 10: no memory is left",
            Self::EncoderNotInitialized => "NVENC error 11: the encoder is not initialised",
            Self::UnsupportedParameter => "NVENC error 12: the device does not do this",
            Self::LockBusy => "NVENC error 13: what is to be locked is busy",
            Self::NotEnoughBuffer => "NVENC error 14: the output buffer is too small",
            Self::InvalidVersion => "NVENC error 15: the driver does not know this version of a structure",
            Self::MapFailed => "NVENC error 16: mapping an input failed",
            Self::NeedMoreInput => "NVENC error 17: more input is needed",
            Self::EncoderBusy => "NVENC error 18: the encoder is busy",
            Self::EventNotRegistered => "NVENC error 19: an event is not registered",
            Self::Generic => "NVENC error 20: an internal error of the driver",
            Self::IncompatibleClientKey => "NVENC error 21: the client key is not one",
            Self::Unimplemented => "NVENC error 22: not implemented",
            Self::ResourceRegisterFailed => "NVENC error 23: registering a resource failed",
            Self::ResourceNotRegistered => "NVENC error 24: a resource is not registered",
            Self::ResourceNotMapped => "NVENC error 25: a resource is not mapped",
            Self::NeedMoreOutput => "NVENC error 26: more output buffers are needed",
            Self::Unknown(status) => {
                return write!(f, "NVENC error {status}: not known to this version of the program");
            }
        };
        f.write_str(text)
    }
}

impl std::error::Error for NvencError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_says_its_number() {
        assert_eq!(NvencError::of(0), None);
        for status in 1..40 {
            let text = NvencError::of(status).unwrap().to_string();
            assert!(text.starts_with(&format!("NVENC error {status}: ")), "{text}");
            assert_eq!(matches!(NvencError::of(status), Some(NvencError::Unknown(_))), status > 26);
        }
        assert_eq!(CudaError(2).to_string(), "CUDA error 2 (CUDA_ERROR_OUT_OF_MEMORY): no memory is left");
        assert!(CudaError(12345).to_string().starts_with("CUDA error 12345: "));
    }
}
