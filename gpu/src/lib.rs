//! NVIDIA GPUs: decode on NVDEC, scale with CUDA, encode on NVENC, telemetry from NVML.
//!
//! It knows no product words and no clock. Pictures stay in the device's memory from decoder to encoder; they carry an
//! opaque tag from the decoder's input to its output, and another from the encoder's input to its output. The drivers'
//! libraries are loaded at run time: what is missing is an error with a sentence for the operator. The way of a picture:
//!
//! - [`device`]: [`Device`], one GPU; what there is ([`Device::list`]) and what it can do ([`caps`]);
//! - [`decode`]: [`Decoder`], length-prefixed units in, progressive pictures out;
//! - [`frame`]: [`Frame`], an immutable picture on the device that is shared by reference count;
//! - [`scale`]: [`Scaler`], any picture to 8-bit 4:2:0 BT.709 limited range, fitted into a size. Its kernels
//!   ([`scale::kernel`]: names, argument lists, PTX) have twins on the CPU ([`scale::reference`]) that give the same
//!   bits;
//! - [`encode`]: [`Encoder`], with IDR pictures only where they are asked for;
//! - [`nvml`]: what the driver tells of a device's state.
//!
//! `unsafe` stands in `ffi` alone.
#![deny(unsafe_code)]

pub mod caps;
mod captions;
pub mod decode;
pub mod device;
pub mod encode;
pub mod error;
#[expect(unsafe_code, reason = "the one place where the drivers' libraries are called")]
mod ffi;
pub mod frame;
mod nal;
pub mod nvml;
pub mod scale;

pub use caps::Caps;
pub use decode::{Decoded, Decoder, DecoderConfig};
pub use device::{Codec, Device, DeviceError, DeviceInfo};
pub use encode::{Coded, Encoder, EncoderConfig, FrameKind, RateControl};
pub use error::{CudaError, NvencError};
pub use frame::{Frame, Size};
pub use scale::Scaler;
