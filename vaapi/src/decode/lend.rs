//! Pictures for those outside: a decoder's own surfaces are few, so that those who hold many get copies.

use std::sync::{Arc, Weak};

use super::DecodeError;
use crate::device::Device;
use crate::error::{CallError, Status};
use crate::ffi::{ColourStandard, Job, Processor, Region, va};
use crate::frame::{Frame, Picture, Pool};

/// Most copies in use at once. It bounds the device memory that a stream takes.
const MAX_COPIES: usize = 64;

/// Most surfaces of a decoder that others hold at once: the pipeline, an encoder's queue and what it has in hand. More
/// than that are copies.
pub(super) const MAX_LENT: usize = 10;

/// Gives pictures out, and knows which of them are still held.
pub(super) struct Lender {
    device: Device,
    lent: Vec<Weak<Picture>>,
    active: Option<(Processor, Pool)>,
}

impl Lender {
    pub(super) fn new(device: &Device) -> Self {
        Self { device: device.clone(), lent: Vec::new(), active: None }
    }

    /// The picture, or a copy of it made by the driver's video processor.
    pub(super) fn lend(&mut self, frame: Frame) -> Result<Frame, DecodeError> {
        self.lent.retain(|held| held.strong_count() > 0);
        if self.lent.len() >= MAX_LENT {
            return self.copy(&frame);
        }
        let picture = &frame.0;
        let lent = Frame(Arc::new(Picture {
            surface: Arc::clone(&picture.surface),
            size: picture.size,
            left: picture.left,
            top: picture.top,
            sample_aspect_ratio: picture.sample_aspect_ratio,
            colour: picture.colour,
            home: Weak::new(),
            _lender: Some(frame.clone()),
        }));
        self.lent.push(Arc::downgrade(&lent.0));
        Ok(lent)
    }

    fn copy(&mut self, frame: &Frame) -> Result<Frame, DecodeError> {
        let source = &frame.0;
        let (size, format) = (source.surface.size(), source.surface.format());
        let failed = |source| DecodeError::Copy { size, source };
        if self.device.caps().process.is_none() {
            let call = "vaCreateConfig";
            return Err(failed(CallError { call, status: Status::UnsupportedEntrypoint }));
        }
        let fits = |(_, pool): &(Processor, Pool)| pool.size() == size && pool.format() == format;
        let (processor, pool) = match &mut self.active {
            Some(active) if fits(active) => active,
            slot => {
                let display = self.device.display();
                let processor = Processor::new(display, size, format.rt_format()).map_err(failed)?;
                slot.insert((processor, Pool::new(display, size, format, MAX_COPIES)))
            }
        };
        let target = pool.take().map_err(failed)?;
        let copy = Frame(Arc::new(Picture {
            surface: Arc::clone(&target),
            size: source.size,
            left: source.left,
            top: source.top,
            sample_aspect_ratio: source.sample_aspect_ratio,
            colour: source.colour,
            home: pool.home(),
            _lender: None,
        }));
        let whole = Region { left: 0, top: 0, size };
        let colour =
            ColourStandard { standard: va::VAProcColorStandardNone, full_range: source.colour.full_range };
        let job = Job {
            source: &source.surface,
            source_region: whole,
            source_colour: colour,
            target: &target,
            target_region: whole,
            target_colour: colour,
            deinterlace: None,
        };
        processor.run(&job).map_err(failed)?;
        Ok(copy)
    }
}
