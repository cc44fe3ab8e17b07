//! Encoding: x264 and x265 make the slice data, and every header around it is the client's or built from its
//! parameters, as a real driver does. Whoever decodes the result therefore finds out whether they fit together.

mod flat;
mod h264;
mod hevc;
mod packed;
mod rate;
mod x264;
mod x265;

use crate::buffer::{Buffer, Memory};
use crate::client::plain;
use crate::context::Picture;
use crate::device::Codec;
use crate::encode::h264::H264Encoder;
use crate::encode::hevc::HevcEncoder;
use crate::ffi;
use crate::objects::{Config, Table};
use crate::status::{Answer, Refusal, invalid, misuse, no};
use crate::surface::{Content, Pixels, Surface};

/// An encoder.
pub(crate) enum Encoder {
    H264(Box<H264Encoder>),
    Hevc(Box<HevcEncoder>),
}

/// What coding a picture gives.
pub(crate) struct Coded {
    /// Annex B.
    pub(crate) bytes: Vec<u8>,
    /// Where slices begin in it: a fault damages nothing before.
    pub(crate) slices_at: usize,
    /// The surface for the reconstructed picture, the picture where there is one, and what it is.
    pub(crate) reconstructed: (u32, Option<Pixels>, Content),
    /// The buffer that the client named.
    pub(crate) coded_buffer: u32,
    pub(crate) average_qp: u32,
    pub(crate) idr: bool,
    /// The rate changed with it.
    pub(crate) rate_changed: bool,
}

/// What a picture was, for the device's counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Happened {
    pub(crate) idr: bool,
    pub(crate) rate_changed: bool,
}

impl Encoder {
    /// `flat`: pictures are coded once, and are those of no picture given.
    pub(crate) fn new(codec: Codec, config: &Config, flat: bool) -> Self {
        match codec {
            Codec::H264 => Self::H264(Box::new(H264Encoder::new(config, flat))),
            Codec::Hevc => Self::Hevc(Box::new(HevcEncoder::new(config, flat))),
        }
    }

    /// The coded buffer that a picture's parameters name.
    pub(crate) fn coded_buffer(&self, picture: &Picture) -> Option<u32> {
        let part = picture.last(ffi::VAEncPictureParameterBufferType)?;
        match self {
            Self::H264(_) => plain::<ffi::VAEncPictureParameterBufferH264>(&part.bytes).map(|p| p.coded_buf),
            Self::Hevc(_) => plain::<ffi::VAEncPictureParameterBufferHEVC>(&part.bytes).map(|p| p.coded_buf),
        }
    }

    /// Codes a picture; answers the surfaces that the work concerns, and what it was.
    pub(crate) fn encode(
        &mut self,
        own: u32,
        picture: &Picture,
        surfaces: &mut Table<Surface>,
        buffers: &mut Table<Buffer>,
        corrupt: bool,
        notes: &mut Vec<String>,
    ) -> Answer<(Vec<u32>, Happened)> {
        let mut coded = match self {
            Self::H264(encoder) => encoder.encode(own, picture, surfaces, notes)?,
            Self::Hevc(encoder) => encoder.encode(own, picture, surfaces, notes)?,
        };
        if corrupt {
            damage(&mut coded.bytes[coded.slices_at..]);
        }
        let (surface, pixels, content) = &coded.reconstructed;
        let target = surfaces.get_mut(*surface)?;
        if let Some(pixels) = pixels {
            target.pixels.copy_from(pixels);
        }
        target.content = *content;
        store(&coded, own, buffers, notes)?;
        let happened = Happened { idr: coded.idr, rate_changed: coded.rate_changed };
        Ok((vec![picture.target, *surface], happened))
    }
}

/// Puts a coded picture into the client's buffer.
fn store(coded: &Coded, own: u32, buffers: &mut Table<Buffer>, notes: &mut Vec<String>) -> Answer<()> {
    let id = coded.coded_buffer;
    let buffer = buffers.get_mut(id)?;
    if buffer.context != Some(own) {
        return Err(misuse(
            ffi::VA_STATUS_ERROR_INVALID_BUFFER,
            format!("coded buffer {id:#x} was made for another context than {own:#x}"),
        ));
    }
    if buffer.mapped {
        let sentence = format!("coded buffer {id:#x} is coded into while it is mapped");
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
    }
    let Memory::Coded(memory) = &mut buffer.memory else {
        let sentence = format!("coded_buf {id:#x} is a {}", crate::buffer::name(buffer.kind));
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
    };
    let length = coded.bytes.len().min(memory.bytes.len());
    memory.bytes[..length].copy_from_slice(&coded.bytes[..length]);
    let mut status = coded.average_qp & ffi::VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK;
    if length < coded.bytes.len() {
        status |= ffi::VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK;
        notes.push(format!(
            "a picture of {} bytes is cut to coded buffer {id:#x} of {length}",
            coded.bytes.len()
        ));
    }
    *memory.segment = ffi::VACodedBufferSegment {
        size: u32::try_from(length).unwrap_or(u32::MAX),
        status,
        ..ffi::VACodedBufferSegment::default()
    };
    Ok(())
}

/// What a fault of the plan does to slices. Start codes and NAL unit headers stay.
fn damage(slices: &mut [u8]) {
    let start = 24.min(slices.len());
    for byte in slices[start..].iter_mut().step_by(11) {
        // Never a byte that could make a start code.
        *byte = *byte ^ 0x55 | 4;
    }
}

/// The newest picture that was coded, which is the only one that these devices refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Previous {
    pub(crate) surface: u32,
    pub(crate) serial: u64,
    pub(crate) poc: i32,
    pub(crate) frame_num: u32,
}

/// Checks that a reference is the picture coded before, and still what it was.
fn check_reference(
    own: u32,
    named: u32,
    named_poc: i32,
    previous: Option<Previous>,
    surfaces: &Table<Surface>,
) -> Answer<()> {
    let wrong = |sentence: String| misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence);
    let content = surfaces.get(named)?.content;
    let Some(previous) = previous else {
        return Err(wrong(format!("surface {named:#x} is referred to, and no picture was coded yet")));
    };
    let Content::Reference { context, serial, poc, .. } = content else {
        return Err(wrong(format!("surface {named:#x} is referred to, and holds no reconstructed picture")));
    };
    if context != own {
        return Err(wrong(format!(
            "surface {named:#x} is referred to, and holds a picture of context {context:#x}"
        )));
    }
    if named_poc != poc {
        return Err(wrong(format!(
            "surface {named:#x} is referred to as POC {named_poc}, and holds POC {poc}"
        )));
    }
    if serial != previous.serial || named != previous.surface {
        return Err(wrong(format!(
            "surface {named:#x} with POC {poc} is referred to; this device refers to the picture before only, POC {} in \
             surface {:#x}",
            previous.poc, previous.surface
        )));
    }
    Ok(())
}

/// Checks the surface that the reconstructed picture goes to.
fn check_reconstructed(named: u32, picture: &Picture, surfaces: &Table<Surface>) -> Answer<()> {
    let surface = surfaces.get(named)?;
    let input = surfaces.get(picture.target)?;
    if named == picture.target {
        return Err(invalid(format!("surface {named:#x} is both the input and the reconstructed picture")));
    }
    if surface.pixels.layout != input.pixels.layout {
        return Err(invalid(format!(
            "reconstructed picture {named:#x} is {:?}, and the input {:?}",
            surface.pixels.layout, input.pixels.layout
        )));
    }
    Ok(())
}

/// A parameter buffer's structure.
fn parameters<T: crate::client::Plain>(picture: &Picture, kind: ffi::VABufferType) -> Answer<Option<T>> {
    match picture.last(kind) {
        None => Ok(None),
        Some(part) => plain(&part.bytes)
            .map(Some)
            .ok_or_else(|| invalid(format!("{} is too short", crate::buffer::name(kind)))),
    }
}

/// What is left out of a picture.
fn missing(what: &str) -> Refusal {
    misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, format!("a picture without {what}"))
}

/// The software inside refuses.
fn failed(library: &str) -> Refusal {
    eprintln!("simulated driver: {library} refuses");
    no(ffi::VA_STATUS_ERROR_ENCODING_ERROR)
}

/// Notes every pair that differs between a header that the client wrote and its parameters.
fn note<T: PartialEq + std::fmt::Display>(what: &str, pairs: &[(&str, T, T)], notes: &mut Vec<String>) {
    for (name, own, built) in pairs {
        if own != built {
            notes.push(format!("the packed {what} has {name} {own}, and the parameters {built}"));
        }
    }
}
