//! Coded units in, progressive pictures out.

mod record;

use crate::device::{Codec, Device};
use crate::error::CallError;
use crate::frame::{Frame, Size};

pub use record::RecordError;

/// A decoder that cannot be opened or go on. Damaged pictures are no error; they are concealed and counted.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The configuration record is not one.
    #[error("{} configuration record", codec.name())]
    Record {
        /// The coding format.
        codec: Codec,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// The driver decodes no such pictures.
    #[error("this device decodes no {} with {bit_depth} bits a sample", codec.name())]
    Unsupported {
        /// The coding format.
        codec: Codec,
        /// Bits of a sample.
        bit_depth: u8,
    },
    /// The stream's form is one that no VA-API driver decodes here.
    #[error("{} with {what} is not decoded here", codec.name())]
    Form {
        /// The coding format.
        codec: Codec,
        /// What it has: `4:2:2 chroma`.
        what: &'static str,
    },
    /// The picture is larger than the device takes.
    #[error("pictures of {size} are over the bound of {most} for {}", codec.name())]
    Size {
        /// The coding format.
        codec: Codec,
        /// What the stream has.
        size: Size,
        /// What the device takes.
        most: Size,
    },
    /// The driver refuses a decoder.
    #[error("no {} decoder for {size}", codec.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Coded size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// The driver fails for good.
    #[error("decoding a picture of {size}")]
    Decode {
        /// Coded size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// Deinterlacing fails.
    #[error("deinterlacing a picture of {size}")]
    Deinterlace {
        /// Coded size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
}

/// What a decoder is opened with.
#[derive(Debug, Clone, Copy)]
pub struct DecoderConfig<'a> {
    /// The coding format.
    pub codec: Codec,
    /// The `avcC` or `hvcC` record.
    pub configuration: &'a [u8],
}

/// A picture with the tag of the unit it was coded in.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The picture.
    pub frame: Frame,
    /// What [`Decoder::send`] was given for it.
    pub tag: i64,
    /// Whether it went through the deinterlacer.
    pub deinterlaced: bool,
}

/// Decodes one stream.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Decoder {
    errors: u64,
    deinterlacing: bool,
}

impl Decoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// Where the record is not one, or the device does not decode what it announces.
    pub fn open(device: &Device, config: &DecoderConfig<'_>) -> Result<Self, DecodeError> {
        let codec = config.codec;
        match device.caps().decoder(codec, 8) {
            Some(_) => Ok(Self { errors: 0, deinterlacing: false }),
            None => Err(DecodeError::Unsupported { codec, bit_depth: 8 }),
        }
    }

    /// Takes one coded unit: length-prefixed NAL units. `tag` comes out with its picture.
    ///
    /// # Errors
    /// Where the device fails. A damaged unit is counted in [`Self::errors`].
    pub fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        let _ = (unit, tag);
        self.errors += 1;
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {}

    /// The next picture in the order of showing; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn receive(&mut self) -> Result<Option<Decoded>, DecodeError> {
        Ok(None)
    }

    /// Damaged units and pictures so far.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// Whether pictures are being deinterlaced now.
    #[must_use]
    pub const fn is_deinterlacing(&self) -> bool {
        self.deinterlacing
    }
}
