//! Safe VA-API decode, scale and encode on DRM render nodes: the engine for Intel's and AMD's video hardware.
//!
//! It knows no product words and no clock. Pictures carry an opaque tag from the decoder's input to its output, and
//! another from the encoder's input to its output. libva is loaded when a device is opened; a machine without it gets a
//! sentence. The way of a picture:
//!
//! - [`device`]: [`Node`], the render nodes that are there; [`Device`], one that is open, and what it can do ([`caps`]);
//! - [`decode`]: [`Decoder`], length-prefixed units in, progressive pictures out;
//! - [`frame`]: [`Frame`], an immutable picture in the device's memory that is shared by reference count;
//! - [`scale`]: [`Scaler`], any picture to 8-bit 4:2:0 BT.709 limited range, fitted into a size;
//! - [`encode`]: [`Encoder`], H.264 or HEVC with IDR pictures only where they are asked for;
//! - [`telemetry`]: how busy the device is, from the kernel.
//!
//! `unsafe` stands below [`ffi`] alone.
#![deny(unsafe_code)]

pub mod caps;
pub mod decode;
pub mod device;
pub mod encode;
pub mod error;
#[expect(unsafe_code, reason = "libva is called here and nowhere else")]
mod ffi;
pub mod frame;
pub mod scale;
pub mod telemetry;

pub use caps::{Caps, EntryPoint, RateMode};
pub use decode::{Decoded, Decoder, DecoderConfig};
pub use device::{Codec, Device, DeviceError, Node};
pub use encode::{Coded, Encoder, EncoderConfig, FrameKind, RateControl};
pub use error::{CallError, Status};
pub use ffi::LoadError;
pub use frame::{Colour, Frame, Samples, Size};
pub use scale::Scaler;
pub use telemetry::Telemetry;
