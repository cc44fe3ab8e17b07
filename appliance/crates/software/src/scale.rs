//! Any picture to what the encoder takes: 8-bit 4:2:0, BT.709, limited range, square samples, a given size.
//!
//! The form is the same for every source, since the parameter sets of a rung are written before the source is known
//! and hold for the whole presentation. A picture that has it already, and the size, is passed on as it is.
//! Not promised: tone mapping. A BT.2020 source gets the right matrix, but keeps its primaries and its transfer curve.

use std::sync::Arc;

use ffmpeg_next::color;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::software::scaling::{self, Flags};

use crate::error::LibraryError;
use crate::ffi::{self, Colour};
use crate::frame::{self, Frame, Size};
use crate::matrix::{MatrixError, MatrixFilter};

/// Conversions kept ready: a ladder of 16 rungs from two sources.
const MAX_CONVERSIONS: usize = 32;
/// Pictures a conversion keeps for use again: more than its encoder's queue holds.
const MAX_POOLED: usize = 12;
/// A picture whose shape is off the target's by less than this many thousandths is stretched, not given bars.
/// 854x480 for 16:9 is off by 0.4.
const STRETCH_THOUSANDTHS: u64 = 15;
/// `SWS_CS_ITU709` of libswscale.
const BT709: i32 = 1;

/// A picture that cannot be scaled.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The target has no samples, or an odd number across or down, which 4:2:0 does not have.
    #[error("target size {0} is not even and at least 2x2")]
    Target(Size),
    /// libswscale refuses the conversion.
    #[error("no conversion from {from} {format:?} to {to}")]
    Open {
        /// Size of the source.
        from: Size,
        /// Its pixel format.
        format: Pixel,
        /// The size asked for.
        to: Size,
        /// What libswscale says.
        #[source]
        source: LibraryError,
    },
    /// Colours cannot be converted.
    #[error("colours")]
    Matrix(#[from] MatrixError),
    /// The conversion fails.
    #[error("scaling a picture to {to}")]
    Run {
        /// The size asked for.
        to: Size,
        /// What libswscale says.
        #[source]
        source: LibraryError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    from: Size,
    format: Pixel,
    colour: Colour,
    aspect: (u32, u32),
    to: Size,
}

struct Conversion {
    key: Key,
    /// Where the picture stands in the target, and its size there; the rest stays black.
    left: u32,
    top: u32,
    inner: Size,
    context: scaling::Context,
    pool: Vec<Arc<Video>>,
}

/// Converts pictures, keeping what it needs for each pair of sizes.
#[derive(Default)]
pub struct Scaler {
    /// Least recently used first.
    conversions: Vec<Conversion>,
    matrix: MatrixFilter,
}

/// How the samples of what comes out are to be read.
const TARGET: Colour = Colour { matrix: BT709, full_range: false };

impl Scaler {
    /// `frame` fitted into `to`, whose sides are even: its shape kept, with bars where that differs. Sample aspect
    /// ratio is applied, so that the result has square samples.
    ///
    /// # Errors
    /// Where the size or the pixel format cannot be converted.
    pub fn scale(&mut self, frame: &Frame, to: Size) -> Result<Frame, ScaleError> {
        if to.width < 2 || to.height < 2 || !to.width.is_multiple_of(2) || !to.height.is_multiple_of(2) {
            return Err(ScaleError::Target(to));
        }
        let colour = colour_of(frame);
        let converted = match colour.matrix {
            // The range alone is as well done while scaling.
            BT709 => None,
            _ => self.matrix.convert(frame, colour)?,
        };
        let frame = converted.as_ref().unwrap_or(frame);
        let key = Key {
            from: frame.size(),
            format: frame.0.format(),
            colour: colour_of(frame),
            aspect: frame.sample_aspect_ratio(),
            to,
        };
        let ready = key.from == to
            && key.format == Pixel::YUV420P
            && key.colour == TARGET
            && fitted(key.from, key.aspect, to) == to;
        if ready {
            return Ok(frame.clone());
        }
        let conversion = match self.conversions.iter().position(|c| c.key == key) {
            Some(at) => self.conversions.remove(at),
            None => Conversion::open(key)?,
        };
        if self.conversions.len() >= MAX_CONVERSIONS {
            self.conversions.remove(0);
        }
        self.conversions.push(conversion);
        match self.conversions.last_mut() {
            Some(conversion) => conversion.run(frame),
            None => Err(ScaleError::Target(to)),
        }
    }
}

impl Conversion {
    fn open(key: Key) -> Result<Self, ScaleError> {
        let inner = fitted(key.from, key.aspect, key.to);
        let failed = |source| ScaleError::Open { from: key.from, format: key.format, to: key.to, source };
        let mut flags = Flags::BICUBIC;
        if key.colour.matrix != BT709 {
            // The way to another matrix leads through RGB; without these libswscale skips every second chroma sample.
            flags |= Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT | Flags::FULL_CHR_H_INP;
        }
        let mut context = scaling::Context::get(
            key.format,
            key.from.width,
            key.from.height,
            Pixel::YUV420P,
            inner.width,
            inner.height,
            flags,
        )
        .map_err(|e| failed(e.into()))?;
        ffi::set_colours(&mut context, key.colour, TARGET).map_err(failed)?;
        let even_half = |whole: u32, part: u32| (whole - part) / 4 * 2;
        Ok(Self {
            key,
            left: even_half(key.to.width, inner.width),
            top: even_half(key.to.height, inner.height),
            inner,
            context,
            pool: Vec::new(),
        })
    }

    fn run(&mut self, frame: &Frame) -> Result<Frame, ScaleError> {
        let to = self.key.to;
        let failed = |source| ScaleError::Run { to, source };
        let mut target = self.unused().map_err(failed)?;
        let Some(video) = Arc::get_mut(&mut target) else {
            return Err(failed(LibraryError::OUT_OF_MEMORY));
        };
        let mut part = ffi::new_reference(video).ok_or(failed(LibraryError::OUT_OF_MEMORY))?;
        ffi::crop(&mut part, self.left, self.top, self.inner).map_err(failed)?;
        self.context.run(&frame.0, &mut part).map_err(|e| failed(e.into()))?;
        drop(part);
        ffi::copy_captions(video, &frame.0);
        if self.pool.len() < MAX_POOLED {
            self.pool.push(Arc::clone(&target));
        }
        Ok(Frame(target))
    }

    /// A picture of the pool that nobody holds any more, or a new one.
    fn unused(&mut self) -> Result<Arc<Video>, LibraryError> {
        for at in 0..self.pool.len() {
            // An encoder may hold the planes after the Frame is gone.
            if self.pool.get_mut(at).and_then(Arc::get_mut).is_some_and(ffi::is_writable) {
                return Ok(self.pool.swap_remove(at));
            }
        }
        frame::blank(self.key.to).map(Arc::new)
    }
}

/// The largest even size of the source's shape within `to`.
fn fitted(from: Size, aspect: (u32, u32), to: Size) -> Size {
    // Shapes as width over height, cross-multiplied: sizes are under 2^16, ratios under 2^31.
    let source_width = u128::from(from.width) * u128::from(aspect.0);
    let source_height = u128::from(from.height) * u128::from(aspect.1);
    let (target_width, target_height) = (u128::from(to.width), u128::from(to.height));
    let (wide, tall) = (source_width * target_height, source_height * target_width);
    if wide.abs_diff(tall) * 1000 <= u128::from(STRETCH_THOUSANDTHS) * wide.max(tall) {
        return to;
    }
    let even = |length: u128, bound: u32| {
        let nearest = u32::try_from(length.div_ceil(2)).unwrap_or(u32::MAX).saturating_mul(2);
        nearest.clamp(2, bound)
    };
    if wide > tall {
        Size { width: to.width, height: even(target_width * source_height / source_width.max(1), to.height) }
    } else {
        Size { width: even(target_height * source_width / source_height.max(1), to.width), height: to.height }
    }
}

/// How the samples of a picture are to be read.
fn colour_of(frame: &Frame) -> Colour {
    // The `SWS_CS_` numbers of libswscale are those of ITU-T H.273, table 4, except for BT.2020 constant luminance.
    let matrix = match frame.0.color_space() {
        color::Space::BT709 => BT709,
        color::Space::FCC => 4,
        color::Space::BT470BG | color::Space::SMPTE170M => 5,
        color::Space::SMPTE240M => 7,
        color::Space::BT2020NCL | color::Space::BT2020CL => 9,
        // Unspecified: what the size was made in, as every broadcast chain has it (ITU-R BT.601 up to 576 lines).
        _ if frame.size().height < 720 && frame.size().width < 1280 => 5,
        _ => BT709,
    };
    Colour { matrix, full_range: frame.is_full_range() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn keeps_the_shape_of_the_picture() {
        let fit = |from: (u32, u32), aspect, to: (u32, u32)| {
            let s = fitted(size(from.0, from.1), aspect, size(to.0, to.1));
            (s.width, s.height)
        };
        assert_eq!(fit((1920, 1080), (1, 1), (854, 480)), (854, 480));
        assert_eq!(fit((1920, 1080), (1, 1), (426, 240)), (426, 240));
        assert_eq!(fit((640, 480), (1, 1), (1280, 720)), (960, 720));
        assert_eq!(fit((720, 576), (64, 45), (1024, 576)), (1024, 576));
        assert_eq!(fit((720, 1280), (1, 1), (640, 360)), (202, 360));
        assert_eq!(fit((16, 4000), (1, 1), (640, 360)), (2, 360));
    }

    #[test]
    fn passes_a_ready_picture_on_and_uses_pictures_again() {
        let mut scaler = Scaler::default();
        let black = Frame::black(size(64, 36)).unwrap();
        let same = scaler.scale(&black, size(64, 36)).unwrap();
        assert!(Arc::ptr_eq(&black.0, &same.0));
        let first = scaler.scale(&black, size(32, 18)).unwrap();
        let planes = first.0.data(0).as_ptr();
        let second = scaler.scale(&black, size(32, 18)).unwrap();
        assert_ne!(planes, second.0.data(0).as_ptr());
        drop(first);
        assert_eq!(planes, scaler.scale(&black, size(32, 18)).unwrap().0.data(0).as_ptr());
        assert!(matches!(scaler.scale(&black, size(33, 18)), Err(ScaleError::Target(_))));
    }

    #[test]
    fn bars_are_black_and_the_picture_is_within() {
        let mut white = frame::blank(size(64, 48)).unwrap();
        white.data_mut(0).fill(235);
        let scaled = Scaler::default().scale(&Frame(Arc::new(white)), size(128, 72)).unwrap();
        let row = &scaled.0.data(0)[36 * scaled.0.stride(0)..];
        assert_eq!(
            (row[0], row[14], row[64], row[112], row[127]),
            (16, 16, 235, 16, 16),
            "{:?}",
            &row[..128]
        );
    }
}
