//! Buffers: parameters and coded data on their way in, coded data on its way out, and images' memory.

use std::sync::Arc;

use sim_state::Job;

use crate::client::plain;
use crate::context::Context;
use crate::device::{Codec, Purpose};
use crate::ffi::{self, VABufferType};
use crate::status::{Answer, misuse};

/// Largest buffer: more than any coded picture or parameter needs.
const MAX_BYTES: usize = 256 << 20;

/// What a mapped coded buffer points at: a segment, and its bytes behind it. Neither moves while it is mapped.
pub(crate) struct Coded {
    pub(crate) segment: Box<ffi::VACodedBufferSegment>,
    /// As large as the client made the buffer.
    pub(crate) bytes: Box<[u8]>,
    /// The work that fills it; none before the first.
    pub(crate) job: Option<Arc<Job>>,
}

// SAFETY: the segment's pointers point into this very buffer's `bytes` or are null; nothing of a thread is in them.
unsafe impl Send for Coded {}

/// Where a buffer's memory is.
pub(crate) enum Memory {
    /// Its own.
    Own(Box<[u8]>),
    /// The surface's that an image was derived from.
    Surface(u32),
    /// A coded picture.
    Coded(Coded),
}

/// A buffer.
pub(crate) struct Buffer {
    /// The context it was made for; images' have none.
    pub(crate) context: Option<u32>,
    pub(crate) kind: VABufferType,
    /// Bytes of an element.
    pub(crate) size: usize,
    pub(crate) count: usize,
    pub(crate) memory: Memory,
    pub(crate) mapped: bool,
    /// What a mapped surface held when it was mapped: whether the client writes is seen only afterwards.
    pub(crate) before: Option<Box<[u8]>>,
}

/// What vaRenderPicture takes of a buffer.
pub(crate) struct Part {
    pub(crate) kind: VABufferType,
    pub(crate) size: usize,
    pub(crate) count: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Part {
    /// Its elements.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.size.max(1)).take(self.count)
    }
}

/// The name that va.h has for a type, for sentences.
pub(crate) fn name(kind: VABufferType) -> &'static str {
    match kind {
        ffi::VAPictureParameterBufferType => "VAPictureParameterBuffer",
        ffi::VAIQMatrixBufferType => "VAIQMatrixBuffer",
        ffi::VASliceParameterBufferType => "VASliceParameterBuffer",
        ffi::VASliceDataBufferType => "VASliceDataBuffer",
        ffi::VAEncCodedBufferType => "VAEncCodedBuffer",
        ffi::VAEncSequenceParameterBufferType => "VAEncSequenceParameterBuffer",
        ffi::VAEncPictureParameterBufferType => "VAEncPictureParameterBuffer",
        ffi::VAEncSliceParameterBufferType => "VAEncSliceParameterBuffer",
        ffi::VAEncPackedHeaderParameterBufferType => "VAEncPackedHeaderParameterBuffer",
        ffi::VAEncPackedHeaderDataBufferType => "VAEncPackedHeaderDataBuffer",
        ffi::VAEncMiscParameterBufferType => "VAEncMiscParameterBuffer",
        ffi::VAProcPipelineParameterBufferType => "VAProcPipelineParameterBuffer",
        ffi::VAProcFilterParameterBufferType => "VAProcFilterParameterBuffer",
        ffi::VAImageBufferType => "VAImageBuffer",
        _ => "buffer of a type that no work here takes",
    }
}

/// Which sizes of an element a context takes for a type; `None` where it takes none of that type. Empty: any size.
fn sizes(purpose: Purpose, kind: VABufferType) -> Option<Vec<usize>> {
    let fixed = |bytes: usize| Some(vec![bytes]);
    let any = Some(Vec::new());
    match (purpose, kind) {
        (Purpose::Decode(Codec::H264), ffi::VAPictureParameterBufferType) => {
            fixed(size_of::<ffi::VAPictureParameterBufferH264>())
        }
        (Purpose::Decode(Codec::H264), ffi::VAIQMatrixBufferType) => {
            fixed(size_of::<ffi::VAIQMatrixBufferH264>())
        }
        (Purpose::Decode(Codec::H264), ffi::VASliceParameterBufferType) => {
            fixed(size_of::<ffi::VASliceParameterBufferH264>())
        }
        (Purpose::Decode(Codec::Hevc), ffi::VAPictureParameterBufferType) => Some(vec![
            size_of::<ffi::VAPictureParameterBufferHEVC>(),
            size_of::<ffi::VAPictureParameterBufferHEVCExtension>(),
        ]),
        (Purpose::Decode(Codec::Hevc), ffi::VAIQMatrixBufferType) => {
            fixed(size_of::<ffi::VAIQMatrixBufferHEVC>())
        }
        (Purpose::Decode(Codec::Hevc), ffi::VASliceParameterBufferType) => Some(vec![
            size_of::<ffi::VASliceParameterBufferHEVC>(),
            size_of::<ffi::VASliceParameterBufferHEVCExtension>(),
        ]),
        (Purpose::Decode(_), ffi::VASliceDataBufferType) => any,
        (Purpose::Encode(Codec::H264), ffi::VAEncSequenceParameterBufferType) => {
            fixed(size_of::<ffi::VAEncSequenceParameterBufferH264>())
        }
        (Purpose::Encode(Codec::H264), ffi::VAEncPictureParameterBufferType) => {
            fixed(size_of::<ffi::VAEncPictureParameterBufferH264>())
        }
        (Purpose::Encode(Codec::H264), ffi::VAEncSliceParameterBufferType) => {
            fixed(size_of::<ffi::VAEncSliceParameterBufferH264>())
        }
        (Purpose::Encode(Codec::Hevc), ffi::VAEncSequenceParameterBufferType) => {
            fixed(size_of::<ffi::VAEncSequenceParameterBufferHEVC>())
        }
        (Purpose::Encode(Codec::Hevc), ffi::VAEncPictureParameterBufferType) => {
            fixed(size_of::<ffi::VAEncPictureParameterBufferHEVC>())
        }
        (Purpose::Encode(Codec::Hevc), ffi::VAEncSliceParameterBufferType) => {
            fixed(size_of::<ffi::VAEncSliceParameterBufferHEVC>())
        }
        (Purpose::Encode(_), ffi::VAEncPackedHeaderParameterBufferType) => {
            fixed(size_of::<ffi::VAEncPackedHeaderParameterBuffer>())
        }
        (
            Purpose::Encode(_),
            ffi::VAEncPackedHeaderDataBufferType
            | ffi::VAEncMiscParameterBufferType
            | ffi::VAEncCodedBufferType,
        ) => any,
        (Purpose::Process, ffi::VAProcPipelineParameterBufferType) => {
            fixed(size_of::<ffi::VAProcPipelineParameterBuffer>())
        }
        (Purpose::Process, ffi::VAProcFilterParameterBufferType) => any,
        _ => None,
    }
}

/// Checks what vaCreateBuffer is asked for against what the context does.
pub(crate) fn check(context: &Context, kind: VABufferType, size: usize, count: usize) -> Answer<()> {
    let (purpose, name) = (context.config.purpose, name(kind));
    let Some(wanted) = sizes(purpose, kind) else {
        let sentence = format!("{name} (type {kind}) is made for a context that does {purpose:?}");
        return Err(misuse(ffi::VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE, sentence));
    };
    if !wanted.is_empty() && !wanted.contains(&size) {
        let sentence =
            format!("{name} has {size} bytes an element, and va.h says {wanted:?} for {purpose:?}");
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    }
    if size == 0 || count == 0 || size.checked_mul(count).is_none_or(|bytes| bytes > MAX_BYTES) {
        let sentence = format!("{name} of {count} elements of {size} bytes");
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    }
    Ok(())
}

/// Checks the structure in a miscellaneous parameter against its type.
pub(crate) fn check_misc(bytes: &[u8]) -> Answer<()> {
    let Some(kind) = plain::<u32>(bytes) else {
        let sentence = format!("VAEncMiscParameterBuffer of {} bytes has no room for its type", bytes.len());
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    };
    let (what, wanted) = match kind {
        ffi::VAEncMiscParameterTypeFrameRate => ("FrameRate", size_of::<ffi::VAEncMiscParameterFrameRate>()),
        ffi::VAEncMiscParameterTypeRateControl => {
            ("RateControl", size_of::<ffi::VAEncMiscParameterRateControl>())
        }
        ffi::VAEncMiscParameterTypeHRD => ("HRD", size_of::<ffi::VAEncMiscParameterHRD>()),
        ffi::VAEncMiscParameterTypeQualityLevel => {
            ("QualityLevel", size_of::<ffi::VAEncMiscParameterBufferQualityLevel>())
        }
        _ => return Ok(()),
    };
    let found = bytes.len() - size_of::<ffi::VAEncMiscParameterBuffer>();
    if found < wanted {
        let sentence = format!("VAEncMiscParameter{what} has {found} bytes of {wanted}");
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    }
    Ok(())
}
