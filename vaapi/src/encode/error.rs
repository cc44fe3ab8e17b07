//! Why an encoder cannot be opened or go on.

use std::time::Duration;

use crate::caps::EntryPoint;
use crate::device::Codec;
use crate::error::CallError;
use crate::frame::{FrameError, Size};

/// An encoder that cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The device encodes no such pictures.
    #[error("this device encodes no {}", .0.name())]
    Unsupported(Codec),
    /// The picture size is not one the device takes.
    #[error("pictures of {size} cannot be encoded: sides are even, at least 16 and at most {most}")]
    Size {
        /// What was asked for.
        size: Size,
        /// What the device takes.
        most: Size,
    },
    /// A profile that does not exist, or that the device does not have.
    #[error("profile {profile:?} of {} is not one that this device encodes", codec.name())]
    Profile {
        /// The coding format.
        codec: Codec,
        /// What was asked for.
        profile: String,
    },
    /// The rate of frames is not one.
    #[error("frame rate {0}/{1} is none")]
    FrameRate(u32, u32),
    /// No rate control of the driver will do.
    #[error("the driver has none of the rate controls CBR, VBR, QVBR and CQP for {}", .0.name())]
    RateControl(Codec),
    /// The driver refuses the encoder.
    #[error("no {} encoder for {size} through {}", codec.name(), entry_point.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Picture size.
        size: Size,
        /// Which way through the hardware.
        entry_point: EntryPoint,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// A picture of another size or form.
    #[error("picture of {got} with {bit_depth} bits given to an encoder of {size} with 8")]
    FrameSize {
        /// Size of the picture.
        got: Size,
        /// Bits of a sample.
        bit_depth: u8,
        /// Size of the encoder.
        size: Size,
    },
    /// Encoding fails.
    #[error("encoding a picture of {size}")]
    Encode {
        /// Picture size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// The device did not give a picture in time.
    #[error("the encoder gave nothing for {} ms", patience.as_millis())]
    Stuck {
        /// How long it was waited for.
        patience: Duration,
    },
    /// A picture to find the driver's parameter sets with cannot be made.
    #[error("a first picture")]
    FirstPicture(#[from] FrameError),
    /// What the driver put out is not what was asked for.
    #[error("the driver put out {what}")]
    Output {
        /// What is wrong with it.
        what: &'static str,
    },
}
