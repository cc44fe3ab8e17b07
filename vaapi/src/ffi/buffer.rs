//! Buffers: parameters and coded data, on their way to the driver and back.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;

use super::display::count_of;
use super::{Context, Display, va};
use crate::error::{CallError, Status, check};

/// A structure that is handed to the driver as it is.
///
/// # Safety
/// `TYPE` is the buffer type that `va.h` documents for the structure.
pub(crate) unsafe trait Parameter {
    /// What the driver is told that it is.
    const TYPE: va::VABufferType;
}

macro_rules! parameters {
    ($($structure:ident: $kind:ident,)+) => {
        $(
            // SAFETY: the pair is documented at the buffer type, or at the structure.
            unsafe impl Parameter for va::$structure {
                const TYPE: va::VABufferType = va::$kind;
            }
        )+
    };
}

parameters! {
    VAPictureParameterBufferH264: VAPictureParameterBufferType,
    VAPictureParameterBufferHEVC: VAPictureParameterBufferType,
    VAIQMatrixBufferH264: VAIQMatrixBufferType,
    VAIQMatrixBufferHEVC: VAIQMatrixBufferType,
    VASliceParameterBufferH264: VASliceParameterBufferType,
    VASliceParameterBufferHEVC: VASliceParameterBufferType,
    VAEncSequenceParameterBufferH264: VAEncSequenceParameterBufferType,
    VAEncSequenceParameterBufferHEVC: VAEncSequenceParameterBufferType,
    VAEncPictureParameterBufferH264: VAEncPictureParameterBufferType,
    VAEncPictureParameterBufferHEVC: VAEncPictureParameterBufferType,
    VAEncSliceParameterBufferH264: VAEncSliceParameterBufferType,
    VAEncSliceParameterBufferHEVC: VAEncSliceParameterBufferType,
    VAEncPackedHeaderParameterBuffer: VAEncPackedHeaderParameterBufferType,
    VAProcPipelineParameterBuffer: VAProcPipelineParameterBufferType,
    VAProcFilterParameterBufferDeinterlacing: VAProcFilterParameterBufferType,
}

/// A parameter of an encoder that stands behind a word saying which (`VAEncMiscParameterBuffer`).
pub(crate) trait Misc {
    /// Which.
    const KIND: va::VAEncMiscParameterType;
}

macro_rules! misc {
    ($($structure:ident: $kind:ident,)+) => {
        $(impl Misc for va::$structure {
            const KIND: va::VAEncMiscParameterType = va::$kind;
        })+
    };
}

misc! {
    VAEncMiscParameterRateControl: VAEncMiscParameterTypeRateControl,
    VAEncMiscParameterFrameRate: VAEncMiscParameterTypeFrameRate,
    VAEncMiscParameterHRD: VAEncMiscParameterTypeHRD,
    VAEncMiscParameterBufferQualityLevel: VAEncMiscParameterTypeQualityLevel,
}

/// `VAEncMiscParameterBuffer` with what follows it.
#[repr(C)]
struct WithKind<T> {
    kind: va::VAEncMiscParameterType,
    data: T,
}

/// A buffer of a context.
pub(crate) struct Buffer {
    display: Arc<Display>,
    id: va::VABufferID,
}

impl Buffer {
    /// A buffer with a copy of the structure.
    pub(crate) fn parameter<T: Parameter>(context: &Context, value: &T) -> Result<Self, CallError> {
        Self::copied(context, T::TYPE, std::slice::from_ref(value))
    }

    /// A buffer with an encoder's parameter.
    pub(crate) fn misc<T: Misc>(context: &Context, value: T) -> Result<Self, CallError> {
        let with_kind = WithKind { kind: T::KIND, data: value };
        Self::copied(context, va::VAEncMiscParameterBufferType, std::slice::from_ref(&with_kind))
    }

    /// A buffer with coded slices.
    pub(crate) fn slice_data(context: &Context, data: &[u8]) -> Result<Self, CallError> {
        Self::copied(context, va::VASliceDataBufferType, data)
    }

    /// A buffer with a header that was written here.
    pub(crate) fn packed_header(context: &Context, data: &[u8]) -> Result<Self, CallError> {
        Self::copied(context, va::VAEncPackedHeaderDataBufferType, data)
    }

    fn copied<T>(context: &Context, kind: va::VABufferType, list: &[T]) -> Result<Self, CallError> {
        let error = CallError { call: "vaCreateBuffer", status: Status::InvalidValue };
        let bytes = c_uint::try_from(size_of_val(list)).map_err(|_| error)?;
        let data: *const T = list.as_ptr();
        // SAFETY: `data` points to as many bytes as is said, which the driver only reads.
        unsafe { Self::create(context, kind, bytes, data.cast_mut().cast()) }
    }

    /// # Safety
    /// `data` is null or points to `bytes` bytes.
    unsafe fn create(
        context: &Context,
        kind: va::VABufferType,
        bytes: c_uint,
        data: *mut c_void,
    ) -> Result<Self, CallError> {
        let display = Arc::clone(context.display());
        let mut id = va::VA_INVALID_ID;
        // SAFETY: the context is the display's; the caller vouches for `data`; there is room for the identifier.
        let status = unsafe {
            (display.va().vaCreateBuffer)(display.handle(), context.id(), kind, bytes, 1, data, &raw mut id)
        };
        check("vaCreateBuffer", status)?;
        Ok(Self { display, id })
    }

    pub(crate) const fn id(&self) -> va::VABufferID {
        self.id
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.display.is_abandoned() {
            return;
        }
        // SAFETY: the buffer is one of the display's, not mapped, and destroyed once.
        unsafe { (self.display.va().vaDestroyBuffer)(self.display.handle(), self.id) };
    }
}

/// A buffer that a driver writes a coded picture into.
pub(crate) struct CodedBuffer(Buffer);

/// What was in a coded buffer.
pub(crate) struct CodedData {
    /// All segments, one behind the other.
    pub(crate) data: Vec<u8>,
    /// `VA_CODED_BUF_STATUS_` of all segments.
    pub(crate) status: u32,
}

impl CodedBuffer {
    /// A buffer of `bytes`.
    pub(crate) fn new(context: &Context, bytes: u32) -> Result<Self, CallError> {
        // SAFETY: no data is given.
        let buffer =
            unsafe { Buffer::create(context, va::VAEncCodedBufferType, bytes, std::ptr::null_mut()) }?;
        Ok(Self(buffer))
    }

    pub(crate) const fn id(&self) -> va::VABufferID {
        self.0.id
    }

    /// Copies out what was coded, at most `most` bytes; waits for it where that was not done before.
    pub(crate) fn read(&self, most: usize) -> Result<CodedData, CallError> {
        /// More segments than a picture can have slices and headers; a driver's list might lead round in a circle.
        const MAX_SEGMENTS: usize = 4096;
        let display = &self.0.display;
        let mut start: *mut c_void = std::ptr::null_mut();
        // SAFETY: the buffer is one of the display's and not mapped.
        let status = unsafe { (display.va().vaMapBuffer)(display.handle(), self.0.id, &raw mut start) };
        check("vaMapBuffer", status)?;
        let mut coded = CodedData { data: Vec::new(), status: 0 };
        let mut result = Ok(());
        let mut segment = start.cast_const().cast::<va::VACodedBufferSegment>();
        for _ in 0..MAX_SEGMENTS {
            if segment.is_null() {
                break;
            }
            // SAFETY: a mapped coded buffer is a list of segments that ends with a null pointer (va.h).
            let found = unsafe { *segment };
            let bytes = usize::try_from(found.size).unwrap_or(usize::MAX);
            if bytes > most.saturating_sub(coded.data.len()) {
                result = Err(CallError { call: "vaMapBuffer", status: Status::NotEnoughBuffer });
                break;
            }
            if !found.buf.is_null() && bytes > 0 {
                // SAFETY: the segment says that so many bytes lie there, and they do until the buffer is unmapped.
                let data = unsafe { std::slice::from_raw_parts(found.buf.cast::<u8>(), bytes) };
                coded.data.extend_from_slice(data);
            }
            coded.status |= found.status;
            segment = found.next.cast_const().cast();
        }
        // SAFETY: the buffer was mapped above, and nothing of it is held any more.
        let status = unsafe { (display.va().vaUnmapBuffer)(display.handle(), self.0.id) };
        result?;
        check("vaUnmapBuffer", status)?;
        Ok(coded)
    }
}

/// A list of several buffers' identifiers, for a structure that points to it.
pub(crate) fn ids(buffers: &[Buffer]) -> Result<(Vec<va::VABufferID>, c_uint), CallError> {
    Ok((buffers.iter().map(Buffer::id).collect(), count_of(buffers)?))
}
