//! Headers that the client writes itself: each is a parameter buffer, and the data buffer after it.

use crate::bits::{split_annex_b, unescape};
use crate::client::{Plain, plain};
use crate::context::Picture;
use crate::ffi;
use crate::status::{Answer, invalid};

// SAFETY: numbers.
unsafe impl Plain for ffi::VAEncPackedHeaderParameterBuffer {}

/// One header.
pub(crate) struct Packed {
    pub(crate) kind: Kind,
    /// NAL units without start codes and emulation prevention bytes.
    pub(crate) units: Vec<Vec<u8>>,
    /// Bits of the last unit that are said; a slice header ends anywhere.
    pub(crate) last_bits: usize,
}

/// What a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sequence,
    Picture,
    Slice,
    /// AUD, SEI and the like.
    Other,
}

impl Kind {
    /// The bit of VAConfigAttribEncPackedHeaders that allows it.
    fn allowed_by(self) -> u32 {
        match self {
            Self::Sequence => ffi::VA_ENC_PACKED_HEADER_SEQUENCE,
            Self::Picture => ffi::VA_ENC_PACKED_HEADER_PICTURE,
            Self::Slice => ffi::VA_ENC_PACKED_HEADER_SLICE,
            Self::Other => ffi::VA_ENC_PACKED_HEADER_MISC | ffi::VA_ENC_PACKED_HEADER_RAW_DATA,
        }
    }
}

/// All headers of a picture, in the client's order.
pub(crate) fn headers(picture: &Picture, allowed: u32) -> Answer<Vec<Packed>> {
    let mut headers = Vec::new();
    let mut open: Option<ffi::VAEncPackedHeaderParameterBuffer> = None;
    for part in &picture.parts {
        match part.kind {
            ffi::VAEncPackedHeaderParameterBufferType => {
                if open.is_some() {
                    return Err(invalid("VAEncPackedHeaderParameterBuffer without data before the next"));
                }
                open = plain(&part.bytes);
            }
            ffi::VAEncPackedHeaderDataBufferType => {
                let Some(parameter) = open.take() else {
                    return Err(invalid(
                        "VAEncPackedHeaderDataBuffer without its parameter buffer before it",
                    ));
                };
                headers.push(header(parameter, &part.bytes, allowed)?);
            }
            _ => {}
        }
    }
    if open.is_some() {
        return Err(invalid("VAEncPackedHeaderParameterBuffer without its data"));
    }
    Ok(headers)
}

fn header(parameter: ffi::VAEncPackedHeaderParameterBuffer, data: &[u8], allowed: u32) -> Answer<Packed> {
    let kind = match parameter.type_ {
        ffi::VAEncPackedHeaderSequence => Kind::Sequence,
        ffi::VAEncPackedHeaderPicture => Kind::Picture,
        ffi::VAEncPackedHeaderSlice => Kind::Slice,
        _ => Kind::Other,
    };
    if allowed & kind.allowed_by() == 0 {
        return Err(invalid(format!(
            "a packed header ({kind:?}) in a config whose packed headers are {allowed:#x}"
        )));
    }
    let bits = parameter.bit_length as usize;
    if bits == 0 || bits.div_ceil(8) > data.len() {
        return Err(invalid(format!(
            "a packed header ({kind:?}) of {bits} bits in a buffer of {} bytes",
            data.len()
        )));
    }
    let data = &data[..bits.div_ceil(8)];
    if !data.starts_with(&[0, 0, 0, 1]) && !data.starts_with(&[0, 0, 1]) {
        return Err(invalid(format!("a packed header ({kind:?}) does not begin with a start code")));
    }
    let escaped = parameter.has_emulation_bytes != 0;
    let mut raw = split_annex_b(data);
    let tail;
    // A slice header may end in zeros, which the splitting takes for stuffing.
    if kind == Kind::Slice {
        let start = data.iter().position(|&byte| byte == 1).map_or(0, |at| at + 1);
        tail = &data[start..];
        raw = vec![tail];
    }
    let unit = |unit: &[u8]| if escaped { unescape(unit) } else { unit.to_vec() };
    let units: Vec<Vec<u8>> = raw.iter().map(|bytes| unit(bytes)).collect();
    let spare = data.len() * 8 - bits;
    let last_bits = units.last().map_or(0, |unit| unit.len() * 8 - spare);
    Ok(Packed { kind, units, last_bits })
}
