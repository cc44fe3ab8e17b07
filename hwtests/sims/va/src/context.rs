//! Contexts: one decoder, encoder or processor each, and the order in which a picture is given to it.

use std::sync::Arc;

use sim_state::{Job, Session};

use crate::buffer::{self, Buffer, Memory, Part, name};
use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::ffi;
use crate::objects::Config;
use crate::status::{Answer, misuse};

/// What a context does.
pub(crate) enum Work {
    Decode(Box<Decoder>),
    Encode(Box<Encoder>),
    Process,
}

/// A picture that has begun.
pub(crate) struct Picture {
    pub(crate) target: u32,
    pub(crate) parts: Vec<Part>,
}

impl Picture {
    /// The newest part of a type.
    pub(crate) fn last(&self, kind: ffi::VABufferType) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.kind == kind)
    }

    /// All parts of a type, in order.
    pub(crate) fn all(&self, kind: ffi::VABufferType) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind)
    }
}

/// A context.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Surfaces named at its creation.
    pub(crate) targets: Vec<u32>,
    pub(crate) picture: Option<Picture>,
    pub(crate) work: Work,
    /// Its place among the device's sessions; processing has none.
    pub(crate) session: Option<Session>,
    /// What it was given last.
    pub(crate) last: Option<Arc<Job>>,
}

impl Context {
    /// Takes one buffer into the picture that has begun.
    pub(crate) fn render(&mut self, own: u32, id: u32, buffer: &Buffer) -> Answer<()> {
        let name = name(buffer.kind);
        if buffer.context != Some(own) {
            let sentence = format!("{name} {id:#x} was made for another context than {own:#x}");
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
        }
        if buffer.mapped {
            let sentence = format!("{name} {id:#x} is rendered while it is mapped");
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
        }
        if matches!(buffer.kind, ffi::VAEncCodedBufferType | ffi::VAProcFilterParameterBufferType) {
            let sentence = format!("{name} {id:#x} goes into a parameter structure, not to vaRenderPicture");
            return Err(misuse(ffi::VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE, sentence));
        }
        let Memory::Own(bytes) = &buffer.memory else {
            let sentence = format!("{name} {id:#x} has no bytes to render");
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
        };
        if buffer.kind == ffi::VAEncMiscParameterBufferType {
            buffer::check_misc(bytes)?;
        }
        let Some(picture) = &mut self.picture else {
            let sentence = format!("vaRenderPicture on context {own:#x} before vaBeginPicture");
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        };
        let used = buffer.size * buffer.count;
        picture.parts.push(Part {
            kind: buffer.kind,
            size: buffer.size,
            count: buffer.count,
            bytes: bytes[..used.min(bytes.len())].to_vec(),
        });
        Ok(())
    }
}
