//! Surfaces: pictures in the device's memory, which here is the process's.

use std::sync::Arc;

use sim_state::{Job, Memory};

use crate::ffi;

/// How samples lie in memory. Both have a plane of luma and one of interleaved chroma of half its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 8 bits.
    Nv12,
    /// 10 bits in the high end of 16.
    P010,
}

impl Layout {
    pub(crate) fn from_fourcc(fourcc: u32) -> Option<Self> {
        match fourcc {
            ffi::VA_FOURCC_NV12 => Some(Self::Nv12),
            ffi::VA_FOURCC_P010 => Some(Self::P010),
            _ => None,
        }
    }

    pub(crate) fn fourcc(self) -> u32 {
        match self {
            Self::Nv12 => ffi::VA_FOURCC_NV12,
            Self::P010 => ffi::VA_FOURCC_P010,
        }
    }

    pub(crate) fn rt_format(self) -> u32 {
        match self {
            Self::Nv12 => ffi::VA_RT_FORMAT_YUV420,
            Self::P010 => ffi::VA_RT_FORMAT_YUV420_10,
        }
    }

    pub(crate) fn sample_bytes(self) -> usize {
        match self {
            Self::Nv12 => 1,
            Self::P010 => 2,
        }
    }

    /// Of both planes together, per sample of luma.
    pub(crate) fn bits_per_pixel(self) -> u32 {
        match self {
            Self::Nv12 => 12,
            Self::P010 => 24,
        }
    }
}

/// Pictures, with rows padded as devices pad them. The memory never moves: clients map it.
#[derive(Clone)]
pub(crate) struct Pixels {
    pub(crate) layout: Layout,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Bytes from row to row, of both planes.
    pub(crate) pitch: usize,
    /// Where chroma begins.
    pub(crate) chroma: usize,
    pub(crate) bytes: Box<[u8]>,
}

impl Pixels {
    /// Zeroed, with pitches of whole 64 bytes and heights of whole 16 rows, as decoders of macroblocks need them.
    pub(crate) fn new(layout: Layout, width: usize, height: usize) -> Self {
        let pitch = (width * layout.sample_bytes()).next_multiple_of(64);
        let chroma = pitch * height.next_multiple_of(16);
        let bytes = vec![0; chroma + chroma.div_ceil(2)].into_boxed_slice();
        Self { layout, width, height, pitch, chroma, bytes }
    }

    /// Where a row of a plane begins, and how many of its bytes are picture.
    pub(crate) fn row(&self, plane: usize, row: usize) -> (usize, usize) {
        let start = if plane == 0 { 0 } else { self.chroma };
        let samples = if plane == 0 { self.width } else { self.width.next_multiple_of(2) };
        (start + row * self.pitch, samples * self.layout.sample_bytes())
    }

    pub(crate) fn rows(&self, plane: usize) -> usize {
        if plane == 0 { self.height } else { self.height.div_ceil(2) }
    }

    /// Copies what both have in common, from the top left corner.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        for plane in 0..2 {
            for row in 0..self.rows(plane).min(other.rows(plane)) {
                let (to, to_bytes) = self.row(plane, row);
                let (from, from_bytes) = other.row(plane, row);
                let length = to_bytes.min(from_bytes);
                self.bytes[to..to + length].copy_from_slice(&other.bytes[from..from + length]);
            }
        }
    }
}

/// What a surface holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing was ever written.
    Nothing,
    /// The client's or the processor's picture.
    Picture,
    /// What a context decoded or, encoding, reconstructed: usable as its reference.
    Reference {
        /// Of which context.
        context: u32,
        /// Which picture of it, counting all.
        serial: u64,
        /// PicOrderCnt, as the client named it.
        poc: i32,
        /// frame_num of H.264.
        frame_num: u32,
    },
}

/// A surface.
pub(crate) struct Surface {
    pub(crate) pixels: Pixels,
    pub(crate) content: Content,
    /// What the device does with it, or did last.
    pub(crate) job: Option<Arc<Job>>,
    /// The client waited for it.
    pub(crate) synced: bool,
    /// The device's memory that it takes.
    pub(crate) _memory: Memory,
    /// Images derived from it that are alive.
    pub(crate) derived: u32,
    /// The context that it was named a render target of.
    pub(crate) bound_to: Option<u32>,
    /// A picture into it has begun and not ended.
    pub(crate) in_picture: Option<u32>,
    /// Contexts that encode it in a picture that has begun and not ended: reading is no reason for others not to.
    pub(crate) encoded_in: Vec<u32>,
}
