//! Coded units in, progressive pictures out.

mod bits;
mod deinterlace;
#[cfg(test)]
mod fuzz;
mod h264;
mod hevc;
mod lend;
pub(crate) mod nal;
mod output;
mod record;
mod session;

use std::collections::VecDeque;

use crate::device::{Codec, Device};
use crate::error::CallError;
use crate::frame::{Frame, Size};
use deinterlace::Deinterlacer;
use lend::Lender;
use nal::LengthSize;

pub use bits::SyntaxError;
pub use record::RecordError;

use bits::BitReader;

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
    /// A picture cannot be copied for those who hold many.
    #[error("copying a picture of {size}")]
    Copy {
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

/// The codec's own part: parameter sets, references, what the driver is told.
enum Inner {
    H264(Box<h264::Decoder>),
    Hevc(Box<hevc::Decoder>),
}

/// Decodes one stream.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Decoder {
    inner: Inner,
    length_size: LengthSize,
    lender: Lender,
    deinterlacer: Deinterlacer,
    ready: VecDeque<Decoded>,
    errors: u64,
    finished: bool,
}

impl Decoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// Where the record is not one, or the device does not decode what it announces.
    pub fn open(device: &Device, config: &DecoderConfig<'_>) -> Result<Self, DecodeError> {
        let codec = config.codec;
        let failed = |source| DecodeError::Record { codec, source };
        let faulty = |error: SyntaxError| failed(RecordError::ParameterSet(error));
        let record = match codec {
            Codec::H264 => record::avc(config.configuration),
            Codec::Hevc => record::hevc(config.configuration),
        };
        let record = record.map_err(failed)?;
        let inner = match codec {
            Codec::H264 => {
                let mut decoder = h264::Decoder::new(device);
                record.units.iter().try_for_each(|unit| decoder.take_set(unit)).map_err(faulty)?;
                if !decoder.has_sets() {
                    return Err(failed(RecordError::Missing("SPS or no PPS")));
                }
                decoder.prepare()?;
                Inner::H264(Box::new(decoder))
            }
            Codec::Hevc => {
                let mut decoder = hevc::Decoder::new(device);
                record.units.iter().try_for_each(|unit| decoder.take_set(unit)).map_err(faulty)?;
                if !decoder.has_sets() {
                    return Err(failed(RecordError::Missing("SPS or no PPS")));
                }
                decoder.prepare()?;
                Inner::Hevc(Box::new(decoder))
            }
        };
        Ok(Self {
            inner,
            length_size: record.length_size,
            lender: Lender::new(device),
            deinterlacer: Deinterlacer::new(device),
            ready: VecDeque::new(),
            errors: 0,
            finished: false,
        })
    }

    /// Takes one coded unit: length-prefixed NAL units. `tag` comes out with its picture.
    ///
    /// # Errors
    /// Where the device fails, or the stream takes a form that it does not decode. A damaged unit is counted in
    /// [`Self::errors`].
    pub fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        if unit.is_empty() {
            self.errors += 1;
            return Ok(());
        }
        let mut shown = Vec::new();
        let mut damaged = false;
        for nal in self.length_size.split(unit) {
            damaged |= match (nal, &mut self.inner) {
                (Err(_), _) => true,
                (Ok(nal), Inner::H264(decoder)) => decoder.take_unit(nal, tag, &mut shown)?,
                (Ok(nal), Inner::Hevc(decoder)) => decoder.take_unit(nal, tag, &mut shown)?,
            };
        }
        damaged |= match &mut self.inner {
            Inner::H264(decoder) => decoder.end_unit(&mut shown)?,
            Inner::Hevc(decoder) => decoder.end_unit(&mut shown)?,
        };
        self.errors += u64::from(damaged);
        self.show(shown)
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next picture in the order of showing; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn receive(&mut self) -> Result<Option<Decoded>, DecodeError> {
        if std::mem::take(&mut self.finished) {
            let mut shown = Vec::new();
            match &mut self.inner {
                Inner::H264(decoder) => decoder.finish(&mut shown),
                Inner::Hevc(decoder) => decoder.finish(&mut shown),
            }
            self.show(shown)?;
            self.deinterlacer.finish(&mut self.ready)?;
        }
        Ok(self.ready.pop_front())
    }

    fn show(&mut self, shown: Vec<output::Shown>) -> Result<(), DecodeError> {
        for mut picture in shown {
            picture.frame = self.lender.lend(picture.frame)?;
            self.deinterlacer.push(picture, &mut self.ready)?;
        }
        Ok(())
    }

    /// Damaged units and pictures so far.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// Whether pictures are being deinterlaced now.
    #[must_use]
    pub const fn is_deinterlacing(&self) -> bool {
        self.deinterlacer.is_active()
    }
}

/// What a sequence parameter set says of the size of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What is shown.
    pub(crate) shown: Size,
    /// Of HEVC without a conformance window: where the flag for one stands in the payload, in bits.
    pub(crate) without_window: Option<usize>,
    /// Where colours could be said and are not.
    pub(crate) unsaid: Option<UnsaidColours>,
}

/// A flag that is 0 in the payload of a sequence parameter set, by its bit, and would have colours behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnsaidColours {
    /// `vui_parameters_present_flag`
    NoUsability(usize),
    /// `video_signal_type_present_flag`
    NoSignalType(usize),
}

/// Of a sequence parameter set; none where it cannot be read.
pub(crate) fn shape(codec: Codec, unit: &[u8]) -> Option<Shape> {
    match codec {
        Codec::H264 => h264::shape(unit),
        Codec::Hevc => hevc::shape(unit),
    }
}

/// `aspect_ratio_idc` and what follows it, the same in both standards (ITU-T H.264, table E-1; H.265, table E.1).
fn sample_aspect_ratio(r: &mut BitReader<'_>) -> Result<(u32, u32), SyntaxError> {
    const EXTENDED: u8 = 255;
    const TABLE: [(u32, u32); 17] = [
        (1, 1),
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    let ratio = match r.byte(8, "aspect_ratio_idc")? {
        EXTENDED => (r.bits(16, "sar_width")?, r.bits(16, "sar_height")?),
        idc => TABLE.get(usize::from(idc)).copied().unwrap_or((1, 1)),
    };
    Ok(if ratio.0 > 0 && ratio.1 > 0 { ratio } else { (1, 1) })
}
