//! What differs between the codecs: parameter sets, slice headers, and the driver's structures for them.

use super::bits::BitWriter;
use super::{h264, hevc};
use crate::error::CallError;
use crate::ffi::{Buffer, Context, va};

/// One picture to be coded.
pub(super) struct Step {
    pub(super) idr: bool,
    /// `idr_pic_id`, which differs between IDR pictures in a row.
    pub(super) idr_number: u16,
    /// Pictures since the last IDR picture, which has 0.
    pub(super) since_idr: u32,
    /// Slice quantiser; where the driver controls the rate, a beginning.
    pub(super) qp: u8,
    pub(super) reconstructed: va::VASurfaceID,
    pub(super) reference: Option<va::VASurfaceID>,
    pub(super) coded_buffer: va::VABufferID,
}

/// The codec's own part.
pub(super) enum Syntax {
    H264(h264::Syntax),
    Hevc(hevc::Syntax),
}

impl Syntax {
    pub(super) fn parameter_sets(&self) -> Vec<Vec<u8>> {
        match self {
            Self::H264(syntax) => syntax.parameter_sets(),
            Self::Hevc(syntax) => syntax.parameter_sets(),
        }
    }

    pub(super) fn slice_header(&self, step: &Step) -> (Vec<u8>, usize) {
        match self {
            Self::H264(syntax) => syntax.slice_header(step),
            Self::Hevc(syntax) => syntax.slice_header(step),
        }
    }

    pub(super) fn sequence(&self, context: &Context, idr_period: u32) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.sequence(idr_period)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.sequence(idr_period)),
        }
    }

    pub(super) fn picture(&self, context: &Context, step: &Step) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.picture(step)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.picture(step)),
        }
    }

    pub(super) fn slice(&self, context: &Context, step: &Step) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.slice(step)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.slice(step)),
        }
    }
}

/// The part of video usability information that says BT.709 in limited range, the same in both standards.
pub(super) fn video_signal_type(w: &mut BitWriter) {
    w.flag(true); // video_signal_type_present_flag
    w.bits(3, 5); // video_format: unspecified
    w.flag(false); // video_full_range_flag
    w.flag(true); // colour_description_present_flag
    w.bits(8, 1); // colour_primaries
    w.bits(8, 1); // transfer_characteristics
    w.bits(8, 1); // matrix_coefficients
}
