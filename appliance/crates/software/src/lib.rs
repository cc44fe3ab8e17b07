//! Safe libavcodec decode, scale and x264 encode: the engine for machines without video hardware.
//!
//! It knows no product words and no clock. Pictures carry an opaque tag from the decoder's input to its output, and
//! another from the encoder's input to its output. The way of a picture:
//!
//! - [`device`]: [`Device`], the CPU; what is built in ([`caps`]) and how much the library may say;
//! - [`decode`]: [`Decoder`], length-prefixed units in, progressive pictures out (interlaced ones go through
//!   [`deinterlace`]);
//! - [`frame`]: [`Frame`], an immutable picture that is shared by reference count;
//! - [`scale`]: [`Scaler`], any picture to 8-bit 4:2:0 BT.709 limited range (`matrix`), fitted into a size;
//! - [`still`]: one PNG or JPEG file to a picture, which is scaled like any other;
//! - [`encode`]: [`Encoder`], x264 with IDR pictures only where they are asked for;
//! - [`sample`]: short streams of the formats that are only decoded, to measure that with.
//!
//! [`sound`] is apart from that: AAC decoded, resampled, remixed and encoded again.
//!
//! `unsafe` stands in [`ffi`] alone, where `ffmpeg-next` has no safe face.
#![deny(unsafe_code)]

pub mod caps;
pub mod decode;
pub mod deinterlace;
pub mod device;
pub mod encode;
pub mod error;
#[expect(unsafe_code, reason = "the one file where fields of the C structures are reached")]
mod ffi;
pub mod frame;
mod matrix;
pub mod sample;
pub mod scale;
pub mod sound;
pub mod still;

pub use caps::Caps;
pub use decode::{Decoded, Decoder, DecoderConfig};
pub use device::{Codec, Device};
pub use encode::{Coded, Encoder, EncoderConfig, FrameKind, RateControl};
pub use error::LibraryError;
pub use frame::{Frame, Size};
pub use scale::Scaler;
