//! The video processor: scaling, colours and deinterlacing of one surface into another.

use std::ffi::c_uint;
use std::sync::Arc;

use super::{Buffer, Config, Context, Display, Surface, buffer, va};
use crate::error::{CallError, check};
use crate::frame::Size;

/// A part of a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) size: Size,
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColourStandard {
    /// `VAProcColorStandard*`
    pub(crate) standard: va::VAProcColorStandardType,
    /// Whether samples use all of their bits' range.
    pub(crate) full_range: bool,
}

/// How to make one progressive picture of two fields.
#[derive(Clone)]
pub(crate) struct Deinterlace {
    /// `VAProcDeinterlacing*`
    pub(crate) algorithm: va::VAProcDeinterlacingType,
    /// Whether the bottom field was taken first.
    pub(crate) bottom_first: bool,
    /// Pictures shown before, the last one first.
    pub(crate) past: Vec<Arc<Surface>>,
    /// Pictures shown behind, the next one first.
    pub(crate) future: Vec<Arc<Surface>>,
}

/// What the processor is to do.
pub(crate) struct Job<'a> {
    pub(crate) source: &'a Surface,
    pub(crate) source_region: Region,
    pub(crate) source_colour: ColourStandard,
    pub(crate) target: &'a Surface,
    pub(crate) target_region: Region,
    pub(crate) target_colour: ColourStandard,
    pub(crate) deinterlace: Option<Deinterlace>,
}

/// What a deinterlacing algorithm wants beside the picture itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) past: usize,
    pub(crate) future: usize,
}

/// `0xAARRGGBB`, opaque.
const BLACK: u32 = 0xff00_0000;
/// More references than an algorithm wants; a bound on what a driver may ask for.
const MAX_REFERENCES: u32 = 8;

/// A video processor.
pub(crate) struct Processor(Context);

impl Processor {
    /// A processor into surfaces of a size and kind.
    pub(crate) fn new(display: &Arc<Display>, to: Size, rt_format: u32) -> Result<Self, CallError> {
        let config = Config::new(
            display,
            va::VAProfileNone,
            va::VAEntrypointVideoProc,
            &[(va::VAConfigAttribRTFormat, rt_format)],
        )?;
        Context::new(config, to, Vec::new()).map(Self)
    }

    /// Has the driver process one surface into another; it does so in the background.
    pub(crate) fn run(&mut self, job: &Job<'_>) -> Result<(), CallError> {
        let source_region = rectangle(job.source_region);
        let target_region = rectangle(job.target_region);
        let filters = self.filters(job.deinterlace.as_ref())?;
        let (mut filter_ids, num_filters) = buffer::ids(&filters)?;
        let surfaces = |list: &[Arc<Surface>]| -> Vec<_> { list.iter().map(|s| s.id()).collect() };
        let (past, future) = job.deinterlace.as_ref().map_or((&[][..], &[][..]), |d| (&d.past, &d.future));
        // In the header's words pictures that were shown before are the forward references.
        let (mut forward, mut backward) = (surfaces(past), surfaces(future));
        let parameters = va::VAProcPipelineParameterBuffer {
            surface: job.source.id(),
            surface_region: &raw const source_region,
            surface_color_standard: job.source_colour.standard,
            output_region: &raw const target_region,
            output_background_color: BLACK,
            output_color_standard: job.target_colour.standard,
            filter_flags: va::VA_FILTER_SCALING_HQ,
            filters: if num_filters == 0 { std::ptr::null_mut() } else { filter_ids.as_mut_ptr() },
            num_filters,
            forward_references: forward.as_mut_ptr(),
            num_forward_references: c_uint::try_from(forward.len()).unwrap_or(0),
            backward_references: backward.as_mut_ptr(),
            num_backward_references: c_uint::try_from(backward.len()).unwrap_or(0),
            input_color_properties: properties(job.source_colour),
            output_color_properties: properties(job.target_colour),
            ..Default::default()
        };
        // The regions and lists that the structure points to live to the end of this function, and the driver reads them
        // before `submit` returns.
        let buffer = Buffer::parameter(&self.0, &parameters)?;
        self.0.submit(job.target, vec![buffer])
    }

    fn filters(&self, deinterlace: Option<&Deinterlace>) -> Result<Vec<Buffer>, CallError> {
        let Some(wanted) = deinterlace else { return Ok(Vec::new()) };
        let parameters = va::VAProcFilterParameterBufferDeinterlacing {
            type_: va::VAProcFilterDeinterlacing,
            algorithm: wanted.algorithm,
            flags: if wanted.bottom_first {
                va::VA_DEINTERLACING_BOTTOM_FIELD_FIRST | va::VA_DEINTERLACING_BOTTOM_FIELD
            } else {
                0
            },
            ..Default::default()
        };
        Ok(vec![Buffer::parameter(&self.0, &parameters)?])
    }

    /// The deinterlacing algorithms that the driver has.
    pub(crate) fn deinterlacers(&self) -> Result<Vec<va::VAProcDeinterlacingType>, CallError> {
        let display = self.0.display();
        let mut kinds = [va::VAProcFilterNone; 64];
        let mut count: c_uint = 64;
        // SAFETY: the context is the display's, and the list has as many elements as is said.
        let status = unsafe {
            (display.va().vaQueryVideoProcFilters)(
                display.handle(),
                self.0.id(),
                kinds.as_mut_ptr(),
                &raw mut count,
            )
        };
        check("vaQueryVideoProcFilters", status)?;
        let listed = kinds.iter().take(usize::try_from(count).unwrap_or(0));
        if !listed.into_iter().any(|kind| *kind == va::VAProcFilterDeinterlacing) {
            return Ok(Vec::new());
        }
        let mut caps = [va::VAProcFilterCapDeinterlacing::default(); 16];
        count = 16;
        // SAFETY: for this filter the list is of such structures, and has as many as is said.
        let status = unsafe {
            (display.va().vaQueryVideoProcFilterCaps)(
                display.handle(),
                self.0.id(),
                va::VAProcFilterDeinterlacing,
                caps.as_mut_ptr().cast(),
                &raw mut count,
            )
        };
        check("vaQueryVideoProcFilterCaps", status)?;
        Ok(caps.iter().take(usize::try_from(count).unwrap_or(0)).map(|cap| cap.type_).collect())
    }

    /// The pictures that a deinterlacing algorithm wants to see.
    pub(crate) fn references(&self, deinterlace: &Deinterlace) -> Result<References, CallError> {
        let filters = self.filters(Some(deinterlace))?;
        let (mut ids, count) = buffer::ids(&filters)?;
        let display = self.0.display();
        let mut caps = va::VAProcPipelineCaps::default();
        // SAFETY: context and filters are the display's, as many as is said, and there is room for the answer; the lists
        // that it might fill are null, which means that they are not wanted.
        let status = unsafe {
            (display.va().vaQueryVideoProcPipelineCaps)(
                display.handle(),
                self.0.id(),
                ids.as_mut_ptr(),
                count,
                &raw mut caps,
            )
        };
        check("vaQueryVideoProcPipelineCaps", status)?;
        let bounded = |count: u32| usize::try_from(count.min(MAX_REFERENCES)).unwrap_or(0);
        Ok(References {
            past: bounded(caps.num_forward_references),
            future: bounded(caps.num_backward_references),
        })
    }
}

fn rectangle(region: Region) -> va::VARectangle {
    let offset = |value: u32| i16::try_from(value).unwrap_or(i16::MAX);
    let length = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    va::VARectangle {
        x: offset(region.left),
        y: offset(region.top),
        width: length(region.size.width),
        height: length(region.size.height),
    }
}

fn properties(colour: ColourStandard) -> va::VAProcColorProperties {
    let range = if colour.full_range { va::VA_SOURCE_RANGE_FULL } else { va::VA_SOURCE_RANGE_REDUCED };
    va::VAProcColorProperties { color_range: u8::try_from(range).unwrap_or(0), ..Default::default() }
}
