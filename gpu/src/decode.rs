//! Coded units in, progressive pictures in the device's memory out: NVDEC.

mod session;
mod units;

use crate::caps::NoDecode;
use crate::device::{self, Codec, Device};
use crate::error::CudaError;
use crate::ffi::cuvid::Parser;
use crate::frame::{Frame, Size};
use session::Session;
use units::{Damaged, Units};

pub use units::RecordError;

/// Pictures that are held back beyond what their order asks for, so that one is decoded while another is waited for.
const PIPELINE: u32 = 2;

/// A decoder that cannot be opened or go on. Damaged pictures are no error; they are concealed and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The configuration record is not one.
    #[error("{codec} configuration record")]
    Record {
        /// The coding format.
        codec: Codec,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// There is no decoding at all.
    #[error("no decoding on this device")]
    None(#[source] NoDecode),
    /// The device has no decoder for the format.
    #[error("the device has no decoder for {0}")]
    Missing(Codec),
    /// The device has a decoder for the format, but not for such pictures.
    #[error("the device does not decode {codec} {} of {depth} bits", chroma_name(*chroma))]
    Format {
        /// The coding format.
        codec: Codec,
        /// `chroma_format_idc` of the parameter sets; 1 is 4:2:0.
        chroma: u32,
        /// Bits of a sample.
        depth: u8,
    },
    /// Pictures are of a size that the device does not decode.
    #[error("the device decodes {codec} from {min} to {max} with {max_macroblocks} macroblocks, not {size}")]
    Size {
        /// The coding format.
        codec: Codec,
        /// The coded size.
        size: Size,
        /// Smallest that it decodes.
        min: Size,
        /// Largest that it decodes.
        max: Size,
        /// Largest in macroblocks of 16x16.
        max_macroblocks: u32,
    },
    /// The parser is refused.
    #[error("{codec} parser does not open")]
    Parser {
        /// The coding format.
        codec: Codec,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
    /// The decoder is refused.
    #[error("{codec} decoder does not open for {size}")]
    Open {
        /// The coding format.
        codec: Codec,
        /// The coded size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
    /// The device fails, or has no memory left.
    #[error("decoding on the device")]
    Device(#[source] CudaError),
}

impl DecodeError {
    /// Whether the device, or this process's hold on it, is gone.
    #[must_use]
    pub const fn is_device_lost(&self) -> bool {
        match self {
            Self::Parser { source, .. } | Self::Open { source, .. } | Self::Device(source) => {
                source.is_device_lost()
            }
            _ => false,
        }
    }
}

const fn chroma_name(chroma: u32) -> &'static str {
    match chroma {
        0 => "4:0:0",
        1 => "4:2:0",
        2 => "4:2:2",
        3 => "4:4:4",
        _ => "of an unknown chroma format",
    }
}

/// What a decoder is opened with.
#[derive(Debug, Clone, Copy)]
pub struct DecoderConfig<'a> {
    /// The coding format.
    pub codec: Codec,
    /// The `avcC`, `hvcC` or `av1C` record; none where parameter sets stand in the stream.
    pub configuration: Option<&'a [u8]>,
    /// Whether pictures are to come out as early as the format allows.
    pub low_latency: bool,
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

/// Decodes one stream. A change of the picture's size within it is followed.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Decoder {
    parser: Parser<Session>,
    units: Units,
}

impl Decoder {
    /// Opens a decoder. Its engine is taken when the first parameter sets come.
    ///
    /// # Errors
    /// Where the device does not decode the format, or the record is not one.
    pub fn open(device: &Device, config: &DecoderConfig<'_>) -> Result<Self, DecodeError> {
        let codec = config.codec;
        let units = Units::new(codec, config.configuration)
            .map_err(|source| DecodeError::Record { codec, source })?;
        let cuvid = device::cuvid().ok_or(DecodeError::None(NoDecode::Library))?;
        let caps = cuvid.caps(device.context(), codec, 8).map_err(|source| match source {
            CudaError::NOT_SUPPORTED | CudaError::INVALID_VALUE => DecodeError::Missing(codec),
            source => DecodeError::Device(source),
        })?;
        if !caps.supported {
            return Err(DecodeError::Missing(codec));
        }
        let delay = if config.low_latency { 0 } else { PIPELINE };
        let session = Session::new(device, cuvid, codec, delay);
        let parser = Parser::open(cuvid, codec, delay, session)
            .map_err(|source| DecodeError::Parser { codec, source })?;
        Ok(Self { parser, units })
    }

    /// Takes one coded unit: length-prefixed NAL units, or a temporal unit of OBUs. `tag` comes out with its picture.
    ///
    /// # Errors
    /// Where the stream turns out to be of a kind that the device does not decode, or the device fails. A damaged unit
    /// is counted in [`Self::errors`].
    pub fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        let captions = self.units.captions(unit);
        let (converted, whole) = self.units.convert(unit);
        let mut damaged = whole == Err(Damaged) || unit.is_empty();
        if !converted.is_empty() {
            let timestamp = self.parser.sink().begin(tag, captions);
            let parsed = self.parser.parse(converted, timestamp);
            self.parser.sink().take_fault()?;
            match parsed {
                Ok(()) => {}
                Err(error) if error.is_device_lost() || error.is_out_of_memory() => {
                    return Err(DecodeError::Device(error));
                }
                Err(_) => damaged = true,
            }
        }
        if damaged {
            self.parser.sink().count_error();
        }
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        if self.parser.finish().is_err() {
            self.parser.sink().count_error();
        }
    }

    /// The next picture in the order of showing; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device failed while the last pictures were put out.
    pub fn receive(&mut self) -> Result<Option<Decoded>, DecodeError> {
        let session = self.parser.sink();
        match session.take() {
            Some(decoded) => Ok(Some(decoded)),
            None => session.take_fault().map(|()| None),
        }
    }

    /// Damaged units and pictures so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.parser.sink_ref().errors()
    }

    /// Whether pictures are being deinterlaced now.
    #[must_use]
    pub fn is_deinterlacing(&self) -> bool {
        self.parser.sink_ref().is_deinterlacing()
    }
}
