//! Decoding: libavcodec decodes a stream that is put together again from the client's parameters and its slices.
//!
//! libavcodec keeps its own references, so a client that names wrong ones would still get right pictures; that is why
//! what it names is checked against what its slices say, and every difference noted.

mod h264;
mod h264_marking;
mod hevc;
mod software;

use crate::client::Plain;
use crate::context::Picture;
use crate::decode::h264::H264Decoder;
use crate::decode::hevc::HevcDecoder;
use crate::decode::software::Software;
use crate::device::Codec;
use crate::ffi;
use crate::objects::Table;
use crate::status::{Answer, Refusal, invalid, misuse, no};
use crate::surface::{Content, Surface};

/// A decoder.
pub(crate) struct Decoder {
    software: Software,
    syntax: Syntax,
    /// Pictures so far.
    serial: u64,
}

enum Syntax {
    H264(Box<H264Decoder>),
    Hevc(Box<HevcDecoder>),
}

/// A picture put together for libavcodec.
struct Stream {
    /// Annex B.
    bytes: Vec<u8>,
    poc: i32,
    frame_num: u32,
    /// The other field of the frame that was decoded before.
    second_field: bool,
}

impl Decoder {
    pub(crate) fn new(codec: Codec, profile: ffi::VAProfile) -> Answer<Self> {
        let software = Software::open(codec).ok_or(no(ffi::VA_STATUS_ERROR_OPERATION_FAILED))?;
        let syntax = match codec {
            Codec::H264 => Syntax::H264(Box::default()),
            Codec::Hevc => Syntax::Hevc(Box::new(HevcDecoder::new(profile))),
        };
        Ok(Self { software, syntax, serial: 0 })
    }

    pub(crate) fn decode(
        &mut self,
        own: u32,
        picture: &Picture,
        surfaces: &mut Table<Surface>,
        flat: bool,
        notes: &mut Vec<String>,
    ) -> Answer<()> {
        let stream = match &mut self.syntax {
            Syntax::H264(decoder) => decoder.assemble(own, picture, surfaces, notes)?,
            Syntax::Hevc(decoder) => decoder.assemble(own, picture, surfaces, notes)?,
        };
        if flat {
            // What the client says is checked; the picture stays what the surface's memory was.
            self.decoded(own, &stream, surfaces.get_mut(picture.target)?);
            return Ok(());
        }
        let decoded = self.software.decode(&stream.bytes).ok_or(no(ffi::VA_STATUS_ERROR_DECODING_ERROR))?;
        if decoded.pictures > 1 && matches!(self.syntax, Syntax::Hevc(_)) {
            notes.push(format!(
                "POC {} refers to {} picture(s) that were never decoded",
                stream.poc,
                decoded.pictures - 1
            ));
        }
        if decoded.pictures == 0 && !stream.second_field {
            // Damage; a device gives what it has.
            return Err(no(ffi::VA_STATUS_ERROR_DECODING_ERROR));
        }
        let surface = surfaces.get_mut(picture.target)?;
        decoded.copy_to(&mut surface.pixels);
        self.decoded(own, &stream, surface);
        Ok(())
    }

    /// Notes what the surface holds from now on.
    fn decoded(&mut self, own: u32, stream: &Stream, surface: &mut Surface) {
        self.serial += 1;
        surface.content = Content::Reference {
            context: own,
            serial: self.serial,
            poc: stream.poc,
            frame_num: stream.frame_num,
        };
    }
}

/// Slices with their parameters, in order. The parameters of several may come before the data of all.
fn slices<T: Plain>(picture: &Picture, extent: impl Fn(&T) -> (u32, u32, u32)) -> Answer<Vec<(T, Vec<u8>)>> {
    let mut slices = Vec::new();
    let mut open: Vec<T> = Vec::new();
    for part in &picture.parts {
        match part.kind {
            ffi::VASliceParameterBufferType => {
                open.extend(part.elements().filter_map(crate::client::plain::<T>))
            }
            ffi::VASliceDataBufferType => {
                if open.is_empty() {
                    return Err(invalid("VASliceDataBuffer without a VASliceParameterBuffer before it"));
                }
                for parameters in open.drain(..) {
                    let (size, offset, flag) = extent(&parameters);
                    if flag != ffi::VA_SLICE_DATA_FLAG_ALL {
                        return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
                    }
                    let end = offset as usize + size as usize;
                    let data =
                        part.bytes.get(offset as usize..end).filter(|data| !data.is_empty()).ok_or_else(
                            || {
                                invalid(format!(
                                    "a slice of {size} bytes at {offset} in {} bytes of data",
                                    part.bytes.len()
                                ))
                            },
                        )?;
                    let data = match data {
                        [0, 0, 1, rest @ ..] | [0, 0, 0, 1, rest @ ..] => rest,
                        data => data,
                    };
                    slices.push((parameters, data.to_vec()));
                }
            }
            _ => {}
        }
    }
    if !open.is_empty() {
        return Err(invalid("VASliceParameterBuffer without VASliceDataBuffer after it"));
    }
    if slices.is_empty() {
        return Err(invalid("a picture without slices"));
    }
    Ok(slices)
}

/// Checks that a surface still holds the picture that it is referred to as.
fn check_reference(own: u32, named: u32, poc: i32, surfaces: &Table<Surface>, notes: &mut Vec<String>) {
    let Ok(surface) = surfaces.get(named) else {
        notes.push(format!("reference {named:#x} (POC {poc}) is no surface that lives"));
        return;
    };
    match surface.content {
        Content::Reference { context, poc: held, .. } if context == own => {
            if held != poc {
                notes.push(format!("surface {named:#x} is referred to as POC {poc}, and holds POC {held}"));
            }
        }
        Content::Reference { context, .. } => {
            notes.push(format!(
                "surface {named:#x} is referred to, and holds a picture of context {context:#x}"
            ));
        }
        _ => {
            notes.push(format!("surface {named:#x} is referred to as POC {poc}, and was never decoded into"))
        }
    }
}

/// The target is what the picture's parameters say it is.
fn check_target(named: u32, target: u32) -> Answer<()> {
    if named == target {
        return Ok(());
    }
    Err(misuse(
        ffi::VA_STATUS_ERROR_INVALID_PARAMETER,
        format!("CurrPic is surface {named:#x}, and vaBeginPicture was given {target:#x}"),
    ))
}

/// A header that cannot be read with the parameters that came with it.
fn cut_short(what: &str) -> Refusal {
    invalid(format!("{what} cannot be read with the picture's parameters"))
}

/// Notes every pair that differs.
fn note_differences(what: &str, pairs: &[(&str, i64, i64)], notes: &mut Vec<String>) {
    for (name, in_header, in_parameters) in pairs {
        if in_header != in_parameters {
            notes.push(format!(
                "{what}: {name} is {in_header} in the slice header, and {in_parameters} in the parameters"
            ));
        }
    }
}
