//! One PNG or JPEG file to a picture.

use std::sync::Arc;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::software::scaling::{self, Flags};
use ffmpeg_next::{Dictionary, Packet, codec, color, decoder};

use crate::error::LibraryError;
use crate::ffi::{self, Colour};
use crate::frame::{Frame, Size};

/// Most samples of a picture: a square of 4096. It bounds what one is decoded into: 67 MB with 8 bits and
/// transparency, twice that with 16.
const MAX_SAMPLES: u64 = 4096 * 4096;
/// First bytes of a PNG (ISO/IEC 15948, 5.2), then length and type of the chunk that must come first (11.2.2).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
/// First bytes of a JPEG: SOI, and the first byte of any marker (Rec. ITU-T T.81, B.1.1.3).
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];

/// A file that is no picture, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// Neither PNG nor JPEG.
    #[error("file of {bytes} bytes starts as neither PNG nor JPEG does")]
    Format {
        /// Its length.
        bytes: usize,
    },
    /// The file ends before it says its size.
    #[error("file of {bytes} bytes does not say the size of its picture")]
    NoSize {
        /// Its length.
        bytes: usize,
    },
    /// The picture is too large.
    #[error("picture of {0} is not within 1 and {MAX_SAMPLES} samples")]
    Size(Size),
    /// libavcodec lacks the decoder.
    #[error("libavcodec has no decoder for {0}")]
    Missing(&'static str),
    /// The decoder refuses the file.
    #[error("{format} file of {bytes} bytes does not decode")]
    Decode {
        /// `PNG` or `JPEG`.
        format: &'static str,
        /// Length of the file.
        bytes: usize,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// Its colours cannot be converted.
    #[error("no conversion from {from} {format:?}")]
    Convert {
        /// Size of the picture.
        from: Size,
        /// Its pixel format.
        format: Pixel,
        /// What libswscale says.
        #[source]
        source: LibraryError,
    },
}

/// Decodes a PNG or JPEG file into a picture of its shape within `at_most`: 4:4:4, BT.709, limited range, on black where
/// it is transparent. Smaller ones keep their size.
///
/// # Errors
/// Where the file is damaged, too large or of another format. Its size is looked at before anything is decoded.
pub fn decode(file: &[u8], at_most: Size) -> Result<Frame, StillError> {
    let bytes = file.len();
    let (format, id, size) = if file.starts_with(PNG) {
        ("PNG", codec::Id::PNG, png_size(file))
    } else if file.starts_with(JPEG) {
        ("JPEG", codec::Id::MJPEG, jpeg_size(file))
    } else {
        return Err(StillError::Format { bytes });
    };
    let size = size.ok_or(StillError::NoSize { bytes })?;
    if !(1..=MAX_SAMPLES).contains(&(u64::from(size.width) * u64::from(size.height))) {
        return Err(StillError::Size(size));
    }
    let found = decoder::find(id).ok_or(StillError::Missing(format))?;
    let failed = |e: ffmpeg_next::Error| StillError::Decode { format, bytes, source: e.into() };
    let mut decoder = codec::Context::new_with_codec(found).decoder();
    // A file that is cut off has half a picture: better none.
    decoder.check(decoder::Check::EXPLODE);
    // The file says its size more than once.
    let options = Dictionary::from_iter([("max_pixels", MAX_SAMPLES.to_string().as_str())]);
    let mut opened = decoder.open_as_with(found, options).map_err(failed)?;
    opened.send_packet(&Packet::copy(file)).map_err(failed)?;
    opened.send_eof().map_err(failed)?;
    let mut video = Video::empty();
    opened.receive_frame(&mut video).map_err(failed)?;
    let damaged = video.is_corrupt() || video.has_decode_errors();
    if damaged {
        return Err(failed(ffmpeg_next::Error::InvalidData));
    }
    let (from, format) = (Size { width: video.width(), height: video.height() }, video.format());
    convert(&video, within(from, at_most)).map_err(|source| StillError::Convert { from, format, source })
}

/// To 4:4:4 by way of RGB, where transparency is resolved.
fn convert(video: &Video, to: Size) -> Result<Frame, LibraryError> {
    // JFIF 1.02: BT.601, all of the range; of no meaning for the RGB of a PNG.
    let file = Colour { matrix: 5, full_range: true };
    let rgb = Colour { matrix: 1, full_range: true };
    let target = Colour { matrix: 1, full_range: false };
    let mut blended = scaled(video, file, Pixel::RGBA, rgb, to)?;
    blend(&mut blended);
    let mut planes = scaled(&blended, rgb, Pixel::YUV444P, target, to)?;
    planes.set_color_range(color::Range::MPEG);
    planes.set_color_space(color::Space::BT709);
    ffi::set_square_samples(&mut planes);
    Ok(Frame(Arc::new(planes)))
}

fn scaled(
    video: &Video,
    colour: Colour,
    to_format: Pixel,
    to_colour: Colour,
    to: Size,
) -> Result<Video, LibraryError> {
    let flags = Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT | Flags::FULL_CHR_H_INP;
    let (width, height) = (video.width(), video.height());
    let mut context =
        scaling::Context::get(video.format(), width, height, to_format, to.width, to.height, flags)?;
    ffi::set_colours(&mut context, colour, to_colour)?;
    let mut out = ffi::allocate(to_format, to).ok_or(LibraryError::OUT_OF_MEMORY)?;
    context.run(video, &mut out)?;
    Ok(out)
}

/// Puts an RGBA picture on black; it is opaque afterwards.
fn blend(video: &mut Video) {
    for sample in video.data_mut(0).chunks_exact_mut(4) {
        let [colours @ .., alpha] = sample else { continue };
        let opacity = u32::from(*alpha);
        for colour in colours {
            let mixed = (u32::from(*colour) * opacity + 127) / 255;
            *colour = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
        *alpha = u8::MAX;
    }
}

/// The largest size of that shape within `at_most`, unless it is within already.
fn within(size: Size, at_most: Size) -> Size {
    if size.width <= at_most.width && size.height <= at_most.height {
        return size;
    }
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let (most_width, most_height) = (u64::from(at_most.width), u64::from(at_most.height));
    let part = |length: u64, of: u64, whole: u64| {
        u32::try_from((length * of + whole / 2) / whole.max(1)).unwrap_or(u32::MAX).max(1)
    };
    if width * most_height > height * most_width {
        Size { width: at_most.width, height: part(height, most_width, width).min(at_most.height) }
    } else {
        Size { width: part(width, most_height, height).min(at_most.width), height: at_most.height }
    }
}

/// Width and height in the header chunk (ISO/IEC 15948, 11.2.2).
fn png_size(file: &[u8]) -> Option<Size> {
    let (width, rest) = file.get(PNG.len()..)?.split_first_chunk::<4>()?;
    let (height, _) = rest.split_first_chunk::<4>()?;
    Some(Size { width: u32::from_be_bytes(*width), height: u32::from_be_bytes(*height) })
}

/// Height and width in the first frame header (Rec. ITU-T T.81, B.2.2).
fn jpeg_size(file: &[u8]) -> Option<Size> {
    let mut rest = file.get(2..)?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match marker {
            // Bytes of ones may fill up before a marker; TEM and RST stand alone.
            0xff => rest = rest.get(1..)?,
            0x01 | 0xd0..=0xd7 => rest = after,
            // Frame headers; the others between are DHT, JPG and DAC.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(marker) => {
                let [_, _, _, high, low, wide, narrow, ..] = after else { return None };
                let (height, width) =
                    (u16::from_be_bytes([*high, *low]), u16::from_be_bytes([*wide, *narrow]));
                return Some(Size { width: u32::from(width), height: u32::from(height) });
            }
            // Start of scan or end of image: too late for a frame header.
            0xd9 | 0xda => return None,
            _ => {
                let (length, _) = after.split_first_chunk::<2>()?;
                rest = after.get(usize::from(u16::from_be_bytes(*length)).max(2)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
