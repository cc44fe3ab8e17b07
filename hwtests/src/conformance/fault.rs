//! What an engine's error says, by its kind and not by its words.

use std::error::Error;

use gpu::{CudaError, NvencError};
use vaapi::{CallError, Status};

/// What is wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is gone, or this process's hold on it.
    Lost,
    /// As many sessions are open as its driver allows.
    Cap,
    /// It has no memory left.
    Memory,
    /// Its driver refuses an encoder or a decoder.
    Refused,
    /// It does not answer in time.
    Stuck,
    /// Its driver is too old.
    OldDriver,
}

impl Fault {
    /// The fault that an engine's error tells of; none where it tells of another thing, as of a size.
    #[must_use]
    pub fn of(failure: &(dyn Error + 'static)) -> Option<Self> {
        of_nvidia(failure).or_else(|| of_vaapi(failure))
    }
}

fn of_nvidia(failure: &(dyn Error + 'static)) -> Option<Fault> {
    use gpu::decode::DecodeError;
    use gpu::encode::EncodeError;
    use gpu::frame::FrameError;
    use gpu::scale::ScaleError;

    if let Some(error) = failure.downcast_ref() {
        return match error {
            gpu::DeviceError::DriverTooOld { .. } => Some(Fault::OldDriver),
            gpu::DeviceError::Describe { source, .. } | gpu::DeviceError::Open { source, .. } => {
                of_cuda(*source)
            }
            _ => None,
        };
    }
    if let Some(error) = failure.downcast_ref() {
        return match error {
            EncodeError::SessionCap { .. } => Some(Fault::Cap),
            EncodeError::Stuck { .. } => Some(Fault::Stuck),
            // A status of its own for a device that is gone; others say why this session is not to be.
            EncodeError::Session(NvencError::DeviceNotExist) => Some(Fault::Lost),
            EncodeError::Session(_) | EncodeError::Open { .. } => Some(Fault::Refused),
            EncodeError::Encode { source: NvencError::OutOfMemory, .. } => Some(Fault::Memory),
            EncodeError::Encode { source, .. } => source.is_device_lost().then_some(Fault::Lost),
            EncodeError::Device(source) => of_cuda(*source),
            _ => None,
        };
    }
    if let Some(error) = failure.downcast_ref() {
        return match error {
            DecodeError::Open { source, .. } | DecodeError::Parser { source, .. } => {
                Some(if source.is_out_of_memory() { Fault::Memory } else { Fault::Refused })
            }
            DecodeError::Device(source) => of_cuda(*source),
            _ => None,
        };
    }
    match (failure.downcast_ref(), failure.downcast_ref(), failure.downcast_ref()) {
        (Some(ScaleError::Kernels(source) | ScaleError::Run { source, .. }), ..)
        | (_, Some(FrameError::Memory { source, .. }), _)
        | (.., Some(source)) => of_cuda(*source),
        _ => None,
    }
}

fn of_cuda(source: CudaError) -> Option<Fault> {
    if source.is_out_of_memory() {
        return Some(Fault::Memory);
    }
    source.is_device_lost().then_some(Fault::Lost)
}

fn of_vaapi(failure: &(dyn Error + 'static)) -> Option<Fault> {
    use vaapi::decode::DecodeError;
    use vaapi::encode::EncodeError;
    use vaapi::frame::FrameError;
    use vaapi::scale::ScaleError;

    if let Some(error) = failure.downcast_ref() {
        return match error {
            EncodeError::Open { source, .. } => Some(of_opening(*source)),
            EncodeError::Encode { source, .. } => of_call(*source),
            EncodeError::Stuck { .. } => Some(Fault::Stuck),
            EncodeError::FirstPicture(FrameError::Driver { source, .. }) => of_call(*source),
            _ => None,
        };
    }
    if let Some(error) = failure.downcast_ref() {
        return match error {
            DecodeError::Open { source, .. } => Some(of_opening(*source)),
            DecodeError::Decode { source, .. }
            | DecodeError::Copy { source, .. }
            | DecodeError::Deinterlace { source, .. } => of_call(*source),
            _ => None,
        };
    }
    if let Some(error) = failure.downcast_ref() {
        return match error {
            ScaleError::Open { source, .. } => Some(of_opening(*source)),
            ScaleError::Run { source, .. } => of_call(*source),
            _ => None,
        };
    }
    match failure.downcast_ref() {
        Some(FrameError::Driver { source, .. }) => of_call(*source),
        _ => None,
    }
}

/// What an encoder, decoder or processor that is not made tells.
fn of_opening(source: CallError) -> Fault {
    match source.status {
        Status::MaxNumExceeded => Fault::Cap,
        status if status.is_out_of_memory() => Fault::Memory,
        _ => Fault::Refused,
    }
}

fn of_call(source: CallError) -> Option<Fault> {
    if source.status.is_out_of_memory() {
        return Some(Fault::Memory);
    }
    source.status.is_device_lost().then_some(Fault::Lost)
}
