//! What libva's status codes mean.

use std::fmt;

/// A status other than success, as `va.h` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// `VA_STATUS_ERROR_OPERATION_FAILED`
    OperationFailed,
    /// `VA_STATUS_ERROR_ALLOCATION_FAILED`
    AllocationFailed,
    /// `VA_STATUS_ERROR_INVALID_DISPLAY`
    InvalidDisplay,
    /// `VA_STATUS_ERROR_INVALID_CONFIG`
    InvalidConfig,
    /// `VA_STATUS_ERROR_INVALID_CONTEXT`
    InvalidContext,
    /// `VA_STATUS_ERROR_INVALID_SURFACE`
    InvalidSurface,
    /// `VA_STATUS_ERROR_INVALID_BUFFER`
    InvalidBuffer,
    /// `VA_STATUS_ERROR_INVALID_IMAGE`
    InvalidImage,
    /// `VA_STATUS_ERROR_ATTR_NOT_SUPPORTED`
    AttributeNotSupported,
    /// `VA_STATUS_ERROR_MAX_NUM_EXCEEDED`
    MaxNumExceeded,
    /// `VA_STATUS_ERROR_UNSUPPORTED_PROFILE`
    UnsupportedProfile,
    /// `VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT`
    UnsupportedEntrypoint,
    /// `VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT`
    UnsupportedRtFormat,
    /// `VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE`
    UnsupportedBufferType,
    /// `VA_STATUS_ERROR_SURFACE_BUSY`
    SurfaceBusy,
    /// `VA_STATUS_ERROR_FLAG_NOT_SUPPORTED`
    FlagNotSupported,
    /// `VA_STATUS_ERROR_INVALID_PARAMETER`
    InvalidParameter,
    /// `VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED`
    ResolutionNotSupported,
    /// `VA_STATUS_ERROR_UNIMPLEMENTED`
    Unimplemented,
    /// `VA_STATUS_ERROR_INVALID_IMAGE_FORMAT`
    InvalidImageFormat,
    /// `VA_STATUS_ERROR_DECODING_ERROR`
    DecodingError,
    /// `VA_STATUS_ERROR_ENCODING_ERROR`
    EncodingError,
    /// `VA_STATUS_ERROR_INVALID_VALUE`
    InvalidValue,
    /// `VA_STATUS_ERROR_UNSUPPORTED_FILTER`
    UnsupportedFilter,
    /// `VA_STATUS_ERROR_HW_BUSY`
    HardwareBusy,
    /// `VA_STATUS_ERROR_NOT_ENOUGH_BUFFER`
    NotEnoughBuffer,
    /// `VA_STATUS_ERROR_TIMEDOUT`
    TimedOut,
    /// `VA_STATUS_ERROR_UNKNOWN`
    Unknown,
    /// A code that has no name here.
    Other(i32),
}

impl Status {
    /// The status of a `VAStatus`; none for success.
    pub(crate) const fn of(code: i32) -> Option<Self> {
        Some(match code {
            0x00 => return None,
            0x01 => Self::OperationFailed,
            0x02 => Self::AllocationFailed,
            0x03 => Self::InvalidDisplay,
            0x04 => Self::InvalidConfig,
            0x05 => Self::InvalidContext,
            0x06 => Self::InvalidSurface,
            0x07 => Self::InvalidBuffer,
            0x08 => Self::InvalidImage,
            0x0a => Self::AttributeNotSupported,
            0x0b => Self::MaxNumExceeded,
            0x0c => Self::UnsupportedProfile,
            0x0d => Self::UnsupportedEntrypoint,
            0x0e => Self::UnsupportedRtFormat,
            0x0f => Self::UnsupportedBufferType,
            0x10 => Self::SurfaceBusy,
            0x11 => Self::FlagNotSupported,
            0x12 => Self::InvalidParameter,
            0x13 => Self::ResolutionNotSupported,
            0x14 => Self::Unimplemented,
            0x16 => Self::InvalidImageFormat,
            0x17 => Self::DecodingError,
            0x18 => Self::EncodingError,
            0x19 => Self::InvalidValue,
            0x20 => Self::UnsupportedFilter,
            0x22 => Self::HardwareBusy,
            0x25 => Self::NotEnoughBuffer,
            0x26 => Self::TimedOut,
            -1 => Self::Unknown,
            code => Self::Other(code),
        })
    }

    /// The device has no memory for it, now.
    #[must_use]
    pub const fn is_out_of_memory(self) -> bool {
        matches!(self, Self::AllocationFailed | Self::MaxNumExceeded)
    }

    /// The device is gone, or its engine was reset beneath this context: what was opened on it is of no more use.
    #[must_use]
    pub const fn is_device_lost(self) -> bool {
        matches!(
            self,
            Self::HardwareBusy
                | Self::TimedOut
                | Self::InvalidDisplay
                | Self::InvalidContext
                | Self::OperationFailed
                | Self::Unknown
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OperationFailed => "operation failed",
            Self::AllocationFailed => "resource allocation failed",
            Self::InvalidDisplay => "invalid display",
            Self::InvalidConfig => "invalid configuration",
            Self::InvalidContext => "invalid context",
            Self::InvalidSurface => "invalid surface",
            Self::InvalidBuffer => "invalid buffer",
            Self::InvalidImage => "invalid image",
            Self::AttributeNotSupported => "attribute not supported",
            Self::MaxNumExceeded => "more objects than the driver allows",
            Self::UnsupportedProfile => "profile not supported",
            Self::UnsupportedEntrypoint => "entry point not supported",
            Self::UnsupportedRtFormat => "surface format not supported",
            Self::UnsupportedBufferType => "buffer type not supported",
            Self::SurfaceBusy => "surface in use",
            Self::FlagNotSupported => "flag not supported",
            Self::InvalidParameter => "invalid parameter",
            Self::ResolutionNotSupported => "picture size not supported",
            Self::Unimplemented => "not implemented by the driver",
            Self::InvalidImageFormat => "invalid image format",
            Self::DecodingError => "decoding error",
            Self::EncodingError => "encoding error",
            Self::InvalidValue => "invalid value",
            Self::UnsupportedFilter => "filter not supported",
            Self::HardwareBusy => "the hardware is busy or hangs",
            Self::NotEnoughBuffer => "buffer too small",
            Self::TimedOut => "the hardware did not answer in time",
            Self::Unknown => "unknown error",
            Self::Other(code) => return write!(f, "status {code:#x}"),
        })
    }
}

/// A call of libva that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {status}")]
pub struct CallError {
    /// The function.
    pub call: &'static str,
    /// What it answered.
    pub status: Status,
}

/// Nothing where `code` is success.
pub(crate) fn check(call: &'static str, code: i32) -> Result<(), CallError> {
    Status::of(code).map_or(Ok(()), |status| Err(CallError { call, status }))
}
