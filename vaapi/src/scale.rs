//! Any picture to what the encoder takes: 8-bit 4:2:0, BT.709, limited range, square samples, a given size.
//!
//! The form is the same for every source, since the parameter sets of a rung are written before the source is known
//! and hold for the whole presentation. A picture that has it already, and the size, is passed on as it is.
//! Not promised: tone mapping. A BT.2020 source gets the right matrix, but keeps its primaries and its transfer curve.
//! Nor closed captions, which do not come this far.

use std::sync::Arc;

use crate::device::Device;
use crate::error::CallError;
use crate::ffi::{ColourStandard, Format, Job, Processor, Region, va};
use crate::frame::{Colour, Frame, Picture, Pool, Size};

/// Sizes that a processor is kept ready for: a ladder of 16 rungs, twice.
const MAX_TARGETS: usize = 32;
/// Most surfaces of one size in use at once: what an encoder's queue and its references hold, and a lot of room.
const MAX_SURFACES: usize = 64;
/// A picture whose shape is off the target's by less than this many thousandths is stretched, not given bars.
/// 854x480 for 16:9 is off by 0.4.
const STRETCH_THOUSANDTHS: u64 = 15;

/// A picture that cannot be scaled.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The target has no samples, or an odd number across or down, which 4:2:0 does not have.
    #[error("target size {0} is not even and at least 2x2")]
    Target(Size),
    /// The driver has no video processor.
    #[error("the VA-API driver has no video processor (VAEntrypointVideoProc), and nothing can be scaled")]
    Missing,
    /// The driver refuses a processor.
    #[error("no video processor for pictures of {to}")]
    Open {
        /// The size asked for.
        to: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// The processor fails.
    #[error("scaling a picture of {from} to {to}")]
    Run {
        /// The size of the picture.
        from: Size,
        /// The size asked for.
        to: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
}

struct Target {
    size: Size,
    processor: Processor,
    pool: Pool,
}

/// Converts pictures, keeping what it needs for each size.
pub struct Scaler {
    device: Device,
    /// Least recently used first.
    targets: Vec<Target>,
}

impl Scaler {
    /// A scaler on the device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), targets: Vec::new() }
    }

    /// `frame` fitted into `to`, whose sides are even: its shape kept, with bars where that differs. Sample aspect
    /// ratio is applied, so that the result has square samples. The device does it in the background.
    ///
    /// # Errors
    /// Where the driver has no video processor, or it fails.
    pub fn scale(&mut self, frame: &Frame, to: Size) -> Result<Frame, ScaleError> {
        if !to.is_even() {
            return Err(ScaleError::Target(to));
        }
        let picture = &frame.0;
        let colour = resolved(picture.colour, picture.size);
        let inner = fitted(picture.size, picture.sample_aspect_ratio, to);
        let ready = picture.size == to
            && inner == to
            && (picture.left, picture.top) == (0, 0)
            && picture.surface.format() == Format::Nv12
            && colour == Colour::BT709;
        if ready {
            return Ok(frame.clone());
        }
        if self.device.caps().process.is_none() {
            return Err(ScaleError::Missing);
        }
        let failed = |source| ScaleError::Run { from: picture.size, to, source };
        let target = self.target(to)?;
        let surface = target.pool.take().map_err(failed)?;
        let even_half = |whole: u32, part: u32| (whole - part) / 4 * 2;
        let scaled = Frame(Arc::new(Picture {
            surface: Arc::clone(&surface),
            size: to,
            left: 0,
            top: 0,
            sample_aspect_ratio: (1, 1),
            colour: Colour::BT709,
            home: target.pool.home(),
            _lender: None,
        }));
        let job = Job {
            source: &picture.surface,
            source_region: Region { left: picture.left, top: picture.top, size: picture.size },
            source_colour: standard(colour),
            target: &surface,
            target_region: Region {
                left: even_half(to.width, inner.width),
                top: even_half(to.height, inner.height),
                size: inner,
            },
            target_colour: standard(Colour::BT709),
            deinterlace: None,
        };
        target.processor.run(&job).map_err(failed)?;
        Ok(scaled)
    }

    fn target(&mut self, to: Size) -> Result<&mut Target, ScaleError> {
        let at = match self.targets.iter().position(|target| target.size == to) {
            Some(at) => at,
            None => {
                let display = self.device.display();
                let failed = |source| ScaleError::Open { to, source };
                let processor = Processor::new(display, to, Format::Nv12.rt_format()).map_err(failed)?;
                let pool = Pool::new(display, to, Format::Nv12, MAX_SURFACES);
                if self.targets.len() >= MAX_TARGETS {
                    self.targets.remove(0);
                }
                self.targets.push(Target { size: to, processor, pool });
                self.targets.len() - 1
            }
        };
        // The one just used goes to the end; there it is found below.
        self.targets.get_mut(at..).into_iter().for_each(|rest| rest.rotate_left(1));
        self.targets.last_mut().ok_or(ScaleError::Target(to))
    }
}

/// The colours of a picture whose stream may not say them.
fn resolved(colour: Colour, size: Size) -> Colour {
    let matrix = match colour.matrix {
        1 => 1,
        4..=6 => 6,
        7 => 7,
        9 | 10 => 9,
        // Unspecified: what the size was made in, as every broadcast chain has it (ITU-R BT.601 up to 576 lines).
        _ if size.height < 720 && size.width < 1280 => 6,
        _ => 1,
    };
    Colour { matrix, full_range: colour.full_range }
}

fn standard(colour: Colour) -> ColourStandard {
    let standard = match colour.matrix {
        6 => va::VAProcColorStandardBT601,
        7 => va::VAProcColorStandardSMPTE240M,
        9 => va::VAProcColorStandardBT2020,
        _ => va::VAProcColorStandardBT709,
    };
    ColourStandard { standard, full_range: colour.full_range }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_shape_of_the_picture() {
        let size = |(width, height)| Size { width, height };
        let fit = |from, aspect, to| {
            let fitted = fitted(size(from), aspect, size(to));
            (fitted.width, fitted.height)
        };
        assert_eq!(fit((1920, 1080), (1, 1), (854, 480)), (854, 480));
        assert_eq!(fit((1920, 1080), (1, 1), (426, 240)), (426, 240));
        assert_eq!(fit((640, 480), (1, 1), (1280, 720)), (960, 720));
        assert_eq!(fit((720, 576), (64, 45), (1024, 576)), (1024, 576));
        assert_eq!(fit((720, 1280), (1, 1), (640, 360)), (202, 360));
        assert_eq!(fit((16, 4000), (1, 1), (640, 360)), (2, 360));
    }

    #[test]
    fn colours_that_a_stream_does_not_say_follow_from_its_size() {
        let unknown = Colour { matrix: 2, full_range: false };
        assert_eq!(resolved(unknown, Size { width: 720, height: 576 }).matrix, 6);
        assert_eq!(resolved(unknown, Size { width: 1280, height: 720 }), Colour::BT709);
    }
}
