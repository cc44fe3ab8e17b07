//! Interlaced pictures to progressive ones, at the same rate, by the driver's video processor.

use std::collections::VecDeque;
use std::sync::Arc;

use super::output::{FieldOrder, Shown};
use super::{DecodeError, Decoded};
use crate::device::Device;
use crate::error::CallError;
use crate::ffi::{ColourStandard, Deinterlace, Job, Processor, References, Region, Surface, va};
use crate::frame::{Frame, Picture, Pool, Size};

/// Progressive pictures in a row after which an interlaced stream is taken to have become progressive: 2 s at 50
/// pictures a second. Streams that are coded picture-adaptively flag single still pictures as progressive.
const PROGRESSIVE_RUN: u32 = 100;
/// Algorithms, best first.
const ALGORITHMS: [va::VAProcDeinterlacingType; 3] = [
    va::VAProcDeinterlacingMotionCompensated,
    va::VAProcDeinterlacingMotionAdaptive,
    va::VAProcDeinterlacingBob,
];
/// Most surfaces with deinterlaced pictures in use at once.
const MAX_SURFACES: usize = 64;

/// A processor for pictures of one kind.
struct Active {
    processor: Processor,
    pool: Pool,
    algorithm: va::VAProcDeinterlacingType,
    references: References,
    /// Pictures done with, newest first, that later ones are compared with.
    past: VecDeque<Frame>,
    /// Pictures to be done, oldest first; none of them was shown.
    queue: VecDeque<(Shown, FieldOrder)>,
}

/// Passes progressive pictures on as they are, and processes them from the first interlaced one on.
pub(super) struct Deinterlacer {
    device: Device,
    active: Option<Active>,
    /// The driver has no such filter: interlaced pictures are passed on as they are.
    impossible: bool,
    progressive_run: u32,
    field_order: FieldOrder,
}

impl Deinterlacer {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            active: None,
            impossible: false,
            progressive_run: 0,
            field_order: FieldOrder::TopFirst,
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Takes the next picture; what is ready goes to `ready`.
    pub(super) fn push(&mut self, shown: Shown, ready: &mut VecDeque<Decoded>) -> Result<(), DecodeError> {
        let interlaced = shown.interlaced.is_some();
        self.progressive_run = if interlaced { 0 } else { self.progressive_run.saturating_add(1) };
        let wanted = match &self.active {
            Some(_) => self.progressive_run < PROGRESSIVE_RUN,
            None => interlaced && !self.impossible,
        };
        let surface = &shown.frame.0.surface;
        let (size, format) = (surface.size(), surface.format());
        let failed = |source| DecodeError::Deinterlace { size, source };
        if self.active.as_ref().is_some_and(|a| !wanted || a.pool.size() != size || a.pool.format() != format)
        {
            self.finish(ready)?;
        }
        if wanted && self.active.is_none() {
            self.active = Active::open(&self.device, &shown).map_err(failed)?;
            self.impossible = self.active.is_none();
        }
        if let Some(order) = shown.interlaced {
            self.field_order = order;
        }
        match &mut self.active {
            Some(active) => {
                active.queue.push_back((shown, self.field_order));
                while active.queue.len() > active.references.future {
                    ready.extend(active.run().map_err(failed)?);
                }
            }
            None => {
                let Shown { frame, tag, .. } = shown;
                ready.push_back(Decoded { frame, tag, deinterlaced: false });
            }
        }
        Ok(())
    }

    /// Puts out what is within and stops processing.
    pub(super) fn finish(&mut self, ready: &mut VecDeque<Decoded>) -> Result<(), DecodeError> {
        let Some(mut active) = self.active.take() else { return Ok(()) };
        let size = active.pool.size();
        while let Some(decoded) = active.run().map_err(|source| DecodeError::Deinterlace { size, source })? {
            ready.push_back(decoded);
        }
        Ok(())
    }
}

impl Active {
    /// None where the driver has no deinterlacing.
    fn open(device: &Device, shown: &Shown) -> Result<Option<Self>, CallError> {
        if device.caps().process.is_none() {
            return Ok(None);
        }
        let surface = &shown.frame.0.surface;
        let (size, format) = (surface.size(), surface.format());
        let processor = Processor::new(device.display(), size, format.rt_format())?;
        let offered = processor.deinterlacers()?;
        let Some(algorithm) = ALGORITHMS.into_iter().find(|algorithm| offered.contains(algorithm)) else {
            return Ok(None);
        };
        let filter = Deinterlace { algorithm, bottom_first: false, past: Vec::new(), future: Vec::new() };
        let references = processor.references(&filter)?;
        let pool = Pool::new(device.display(), size, format, MAX_SURFACES);
        Ok(Some(Self {
            processor,
            pool,
            algorithm,
            references,
            past: VecDeque::new(),
            queue: VecDeque::new(),
        }))
    }

    /// Makes a progressive picture of the oldest one in the queue.
    fn run(&mut self) -> Result<Option<Decoded>, CallError> {
        let Some((shown, order)) = self.queue.pop_front() else { return Ok(None) };
        let source = &shown.frame.0;
        // At either end of the stream the picture itself stands in for what is not there.
        let fill = |mut list: Vec<Arc<Surface>>, count: usize| {
            list.resize(count, Arc::clone(&source.surface));
            list
        };
        let past = self.past.iter().take(self.references.past);
        let past = past.map(|frame| Arc::clone(&frame.0.surface)).collect();
        let future = self.queue.iter().take(self.references.future);
        let future = future.map(|(shown, _)| Arc::clone(&shown.frame.0.surface)).collect();
        let target = self.pool.take()?;
        let frame = Frame(Arc::new(Picture {
            surface: Arc::clone(&target),
            size: source.size,
            left: source.left,
            top: source.top,
            sample_aspect_ratio: source.sample_aspect_ratio,
            colour: source.colour,
            home: self.pool.home(),
            _lender: None,
        }));
        let whole = |size: Size| Region { left: 0, top: 0, size };
        // The colours stay what they are.
        let colour =
            ColourStandard { standard: va::VAProcColorStandardNone, full_range: source.colour.full_range };
        self.processor.run(&Job {
            source: &source.surface,
            source_region: whole(source.surface.size()),
            source_colour: colour,
            target: &target,
            target_region: whole(target.size()),
            target_colour: colour,
            deinterlace: Some(Deinterlace {
                algorithm: self.algorithm,
                bottom_first: order == FieldOrder::BottomFirst,
                past: fill(past, self.references.past),
                future: fill(future, self.references.future),
            }),
        })?;
        // The frame, not its surface alone, which would be decoded into again.
        self.past.push_front(shown.frame.clone());
        self.past.truncate(self.references.past);
        Ok(Some(Decoded { frame, tag: shown.tag, deinterlaced: true }))
    }
}
