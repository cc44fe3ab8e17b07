//! Surfaces' pictures to and from libavutil's frames.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::surface::{Layout, Pixels};

/// A part of a picture, in samples of luma. Corners and sizes are even wherever chroma is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Region {
    pub(crate) fn whole(pixels: &Pixels) -> Self {
        Self { x: 0, y: 0, width: pixels.width, height: pixels.height }
    }

    pub(crate) fn is_within(&self, pixels: &Pixels) -> bool {
        self.width > 0
            && self.height > 0
            && self.x + self.width <= pixels.width
            && self.y + self.height <= pixels.height
    }
}

fn format(layout: Layout) -> Pixel {
    match layout {
        Layout::Nv12 => Pixel::NV12,
        Layout::P010 => Pixel::P010LE,
    }
}

/// A frame like `pixels` with nothing in it.
pub(crate) fn empty(layout: Layout, width: usize, height: usize) -> Video {
    let number = |value: usize| u32::try_from(value).unwrap_or(0);
    Video::new(format(layout), number(width), number(height))
}

/// Where a row of a region of a plane begins in `pixels`, and its length in bytes.
fn row(pixels: &Pixels, region: Region, plane: usize, row: usize) -> (usize, usize) {
    let (start, _) = pixels.row(plane, if plane == 0 { region.y } else { region.y / 2 } + row);
    let (x, width) = if plane == 0 {
        (region.x, region.width)
    } else {
        (region.x / 2 * 2, region.width.next_multiple_of(2))
    };
    (start + x * pixels.layout.sample_bytes(), width * pixels.layout.sample_bytes())
}

fn rows(region: Region, plane: usize) -> usize {
    if plane == 0 { region.height } else { region.height.div_ceil(2) }
}

/// Copies a region out.
pub(crate) fn of_region(pixels: &Pixels, region: Region) -> Video {
    let mut frame = empty(pixels.layout, region.width, region.height);
    for plane in 0..2 {
        let stride = frame.stride(plane);
        let data = frame.data_mut(plane);
        for index in 0..rows(region, plane) {
            let (from, length) = row(pixels, region, plane, index);
            data[index * stride..index * stride + length].copy_from_slice(&pixels.bytes[from..from + length]);
        }
    }
    frame
}

/// Copies a frame in, whose size and format are the region's.
pub(crate) fn into_region(frame: &Video, pixels: &mut Pixels, region: Region) {
    for plane in 0..2 {
        let stride = frame.stride(plane);
        let data = frame.data(plane);
        for index in 0..rows(region, plane) {
            let (to, length) = row(pixels, region, plane, index);
            pixels.bytes[to..to + length].copy_from_slice(&data[index * stride..index * stride + length]);
        }
    }
}
