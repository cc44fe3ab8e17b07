//! What the processor can do.

use std::ffi::{c_uint, c_void};

use crate::calls::call;
use crate::client::{give, list, list_mut, plain, take};
use crate::ffi::{
    self, VABufferID, VAContextID, VADriverContextP, VADriverVTableVPP, VAProcFilterCapDeinterlacing,
    VAProcFilterType, VAProcPipelineCaps, VAStatus,
};
use crate::process::{COLOUR_STANDARDS, FOURCCS};
use crate::status::no;

pub(super) fn fill(table: &mut VADriverVTableVPP) {
    table.vaQueryVideoProcFilters = Some(filters);
    table.vaQueryVideoProcFilterCaps = Some(filter_caps);
    table.vaQueryVideoProcPipelineCaps = Some(pipeline_caps);
}

extern "C" fn filters(
    context: VADriverContextP,
    own: VAContextID,
    to: *mut VAProcFilterType,
    number: *mut c_uint,
) -> VAStatus {
    call(context, "vaQueryVideoProcFilters", |driver| {
        driver.objects().contexts.get(own)?;
        if take(number, "num_filters")? < 1 {
            give(number, 1, "num_filters")?;
            return Err(no(ffi::VA_STATUS_ERROR_MAX_NUM_EXCEEDED));
        }
        give(to, ffi::VAProcFilterDeinterlacing, "filters")?;
        give(number, 1, "num_filters")
    })
}

extern "C" fn filter_caps(
    context: VADriverContextP,
    own: VAContextID,
    filter: VAProcFilterType,
    to: *mut c_void,
    number: *mut c_uint,
) -> VAStatus {
    call(context, "vaQueryVideoProcFilterCaps", |driver| {
        driver.objects().contexts.get(own)?;
        if filter != ffi::VAProcFilterDeinterlacing {
            return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_FILTER));
        }
        let kinds = [ffi::VAProcDeinterlacingBob, ffi::VAProcDeinterlacingMotionAdaptive];
        let room = take(number, "num_filter_caps")? as usize;
        give(number, u32::try_from(kinds.len()).unwrap_or(0), "num_filter_caps")?;
        if room < kinds.len() {
            return Err(no(ffi::VA_STATUS_ERROR_MAX_NUM_EXCEEDED));
        }
        let caps = list_mut(to.cast::<VAProcFilterCapDeinterlacing>(), kinds.len(), "filter_caps")?;
        for (cap, kind) in caps.iter_mut().zip(kinds) {
            *cap = VAProcFilterCapDeinterlacing { type_: kind, ..VAProcFilterCapDeinterlacing::default() };
        }
        Ok(())
    })
}

extern "C" fn pipeline_caps(
    context: VADriverContextP,
    own: VAContextID,
    filters: *mut VABufferID,
    number: c_uint,
    to: *mut VAProcPipelineCaps,
) -> VAStatus {
    /// What the driver gives out lists from; clients read them only.
    static STANDARDS: [ffi::VAProcColorStandardType; COLOUR_STANDARDS.len()] = COLOUR_STANDARDS;
    static FORMATS: [u32; FOURCCS.len()] = FOURCCS;
    call(context, "vaQueryVideoProcPipelineCaps", |driver| {
        let objects = driver.objects();
        objects.contexts.get(own)?;
        let mut past = 0;
        for id in list(filters, number as usize, "filters")? {
            let buffer = objects.buffers.get(id)?;
            let crate::buffer::Memory::Own(bytes) = &buffer.memory else { continue };
            let filter = plain::<ffi::VAProcFilterParameterBufferDeinterlacing>(bytes);
            if filter.is_some_and(|f| f.algorithm == ffi::VAProcDeinterlacingMotionAdaptive) {
                past = 1;
            }
        }
        let count = |length: usize| u32::try_from(length).unwrap_or(0);
        let caps = VAProcPipelineCaps {
            num_forward_references: past,
            input_color_standards: STANDARDS.as_ptr().cast_mut(),
            num_input_color_standards: count(COLOUR_STANDARDS.len()),
            output_color_standards: STANDARDS.as_ptr().cast_mut(),
            num_output_color_standards: count(COLOUR_STANDARDS.len()),
            num_input_pixel_formats: count(FOURCCS.len()),
            input_pixel_format: FORMATS.as_ptr().cast_mut(),
            num_output_pixel_formats: count(FOURCCS.len()),
            output_pixel_format: FORMATS.as_ptr().cast_mut(),
            max_input_width: driver.device.max_width,
            max_input_height: driver.device.max_height,
            min_input_width: 16,
            min_input_height: 16,
            max_output_width: driver.device.max_width,
            max_output_height: driver.device.max_height,
            min_output_width: 16,
            min_output_height: 16,
            ..VAProcPipelineCaps::default()
        };
        give(to, caps, "pipeline_caps")
    })
}
