//! Images: pictures in memory that the client can map, apart from surfaces or derived from one.

use crate::ffi;
use crate::surface::{Layout, Pixels};

/// An image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    pub(crate) buffer: u32,
    pub(crate) layout: Layout,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// The surface that it was derived from.
    pub(crate) surface: Option<u32>,
}

/// The formats of images.
pub(crate) fn formats() -> [ffi::VAImageFormat; 2] {
    [format(Layout::Nv12), format(Layout::P010)]
}

/// What va.h has a client know of a layout.
pub(crate) fn format(layout: Layout) -> ffi::VAImageFormat {
    ffi::VAImageFormat {
        fourcc: layout.fourcc(),
        byte_order: ffi::VA_LSB_FIRST,
        bits_per_pixel: layout.bits_per_pixel(),
        ..ffi::VAImageFormat::default()
    }
}

/// What a client is told of an image whose memory has the form of `pixels`.
pub(crate) fn describe(id: u32, buffer: u32, pixels: &Pixels) -> ffi::VAImage {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    let pitch = number(pixels.pitch);
    ffi::VAImage {
        image_id: id,
        format: format(pixels.layout),
        buf: buffer,
        width: short(pixels.width),
        height: short(pixels.height),
        data_size: number(pixels.bytes.len()),
        num_planes: 2,
        pitches: [pitch, pitch, 0],
        offsets: [0, number(pixels.chroma), 0],
        ..ffi::VAImage::default()
    }
}
