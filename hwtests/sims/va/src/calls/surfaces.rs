//! Surfaces: made, waited for, destroyed.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use sim_state::{Engine, Job, Memory};

use crate::calls::call;
use crate::client::{count, give, list, list_mut};
use crate::device::Family;
use crate::driver::Driver;
use crate::ffi::{
    self, VADriverContextP, VADriverVTable, VAStatus, VASurfaceAttrib, VASurfaceID, VASurfaceStatus,
};
use crate::status::{Answer, code, misuse, no};
use crate::surface::{Content, Layout, Pixels, Surface};

/// Most surfaces of one call.
const MAX_SURFACES: usize = 256;

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaCreateSurfaces = Some(create_plain);
    table.vaCreateSurfaces2 = Some(create);
    table.vaDestroySurfaces = Some(destroy);
    table.vaSyncSurface = Some(sync);
    table.vaSyncSurface2 = Some(sync_within);
    table.vaQuerySurfaceStatus = Some(query_status);
    table.vaQuerySurfaceError = Some(query_error);
    table.vaPutSurface = Some(put);
    table.vaLockSurface = Some(lock);
    table.vaUnlockSurface = Some(unlock);
    table.vaExportSurfaceHandle = Some(export);
}

extern "C" fn create_plain(
    context: VADriverContextP,
    width: c_int,
    height: c_int,
    format: c_int,
    number: c_int,
    surfaces: *mut VASurfaceID,
) -> VAStatus {
    call(context, "vaCreateSurfaces", |driver| {
        let size = |value: c_int| u32::try_from(value).unwrap_or(0);
        make(driver, size(format), [size(width), size(height)], surfaces, count(number, "num_surfaces")?, &[])
    })
}

extern "C" fn create(
    context: VADriverContextP,
    format: c_uint,
    width: c_uint,
    height: c_uint,
    surfaces: *mut VASurfaceID,
    number: c_uint,
    attributes: *mut VASurfaceAttrib,
    attribute_number: c_uint,
) -> VAStatus {
    call(context, "vaCreateSurfaces2", |driver| {
        let attributes = list(attributes, attribute_number as usize, "attrib_list")?;
        make(driver, format, [width, height], surfaces, number as usize, &attributes)
    })
}

fn make(
    driver: &Driver,
    format: u32,
    [width, height]: [u32; 2],
    to: *mut VASurfaceID,
    number: usize,
    attributes: &[VASurfaceAttrib],
) -> Answer<()> {
    driver.there()?;
    let mut layout = match format {
        ffi::VA_RT_FORMAT_YUV420 => Layout::Nv12,
        ffi::VA_RT_FORMAT_YUV420_10 => Layout::P010,
        _ => return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT)),
    };
    for attribute in
        attributes.iter().filter(|attribute| attribute.flags & ffi::VA_SURFACE_ATTRIB_SETTABLE != 0)
    {
        // SAFETY: both kinds that are read here are numbers in va.h, and all bytes are a number.
        let value = unsafe { attribute.value.value.i };
        let value = u32::try_from(value).unwrap_or(0);
        match attribute.type_ {
            ffi::VASurfaceAttribPixelFormat => {
                layout = Layout::from_fourcc(value)
                    .filter(|layout| layout.rt_format() == format)
                    .ok_or(no(ffi::VA_STATUS_ERROR_ATTR_NOT_SUPPORTED))?;
            }
            ffi::VASurfaceAttribMemoryType if value != ffi::VA_SURFACE_ATTRIB_MEM_TYPE_VA => {
                return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE));
            }
            _ => {}
        }
    }
    if number == 0 || number > MAX_SURFACES {
        let sentence = format!("{number} surfaces at once, from 1 to {MAX_SURFACES} are possible");
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    }
    if width == 0 || height == 0 || width > driver.device.max_width || height > driver.device.max_height {
        return Err(no(ffi::VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED));
    }
    let mut made = Vec::with_capacity(number);
    for _ in 0..number {
        let pixels = Pixels::new(layout, width as usize, height as usize);
        let bytes = u64::try_from(pixels.bytes.len()).unwrap_or(u64::MAX);
        let memory = Memory::take(driver.state, driver.number, bytes)
            .map_err(|_| no(ffi::VA_STATUS_ERROR_ALLOCATION_FAILED))?;
        made.push(Surface {
            pixels,
            content: Content::Nothing,
            job: None,
            synced: true,
            _memory: memory,
            derived: 0,
            bound_to: None,
            in_picture: None,
            encoded_in: Vec::new(),
        });
    }
    let room = list_mut(to, number, "surfaces")?;
    let mut objects = driver.objects();
    for (to, surface) in room.iter_mut().zip(made) {
        *to = objects.surfaces.insert(surface);
    }
    Ok(())
}

extern "C" fn destroy(context: VADriverContextP, surfaces: *mut VASurfaceID, number: c_int) -> VAStatus {
    call(context, "vaDestroySurfaces", |driver| {
        let ids = list(surfaces, count(number, "num_surfaces")?, "surface_list")?;
        let mut objects = driver.objects();
        for id in ids {
            let surface = objects.surfaces.get(id)?;
            let left = surface.derived;
            let begun = surface.in_picture.or_else(|| surface.encoded_in.first().copied());
            if left > 0 {
                let sentence =
                    format!("surface {id:#x} is destroyed while {left} image(s) derived from it live");
                return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_SURFACE, sentence));
            }
            if let Some(context) = begun {
                let sentence =
                    format!("surface {id:#x} is destroyed within a picture of context {context:#x}");
                return Err(misuse(ffi::VA_STATUS_ERROR_SURFACE_BUSY, sentence));
            }
            let gone = objects.surfaces.remove(id)?;
            driver.note_hanging("vaDestroySurfaces", gone.job.as_ref());
        }
        Ok(())
    })
}

/// The work that a surface waits for. A picture must not be open on it.
fn work(driver: &Driver, id: u32) -> Answer<Option<Arc<Job>>> {
    let objects = driver.objects();
    let surface = objects.surfaces.get(id)?;
    if let Some(context) = surface.in_picture {
        let sentence = format!("surface {id:#x} is waited for before vaEndPicture of context {context:#x}");
        return Err(misuse(ffi::VA_STATUS_ERROR_SURFACE_BUSY, sentence));
    }
    Ok(surface.job.clone())
}

/// Notes that the client may look at the surface, or that it destroyed it while it waited.
fn synced(driver: &Driver, id: u32) -> Answer<()> {
    driver.objects().surfaces.get_mut(id)?.synced = true;
    Ok(())
}

/// Waits for the device, the display being free for other calls meanwhile.
pub(super) fn wait(driver: &Driver, job: Option<&Job>) -> Answer<()> {
    match job {
        Some(job) => job.wait(driver.state).map(drop).map_err(|_| no(ffi::VA_STATUS_ERROR_HW_BUSY)),
        None => Ok(()),
    }
}

extern "C" fn sync(context: VADriverContextP, id: VASurfaceID) -> VAStatus {
    call(context, "vaSyncSurface", |driver| {
        let job = work(driver, id)?;
        wait(driver, job.as_deref())?;
        synced(driver, id)
    })
}

extern "C" fn sync_within(context: VADriverContextP, id: VASurfaceID, timeout_ns: u64) -> VAStatus {
    call(context, "vaSyncSurface2", |driver| {
        // An old one: libva answers so for drivers that lack the call.
        if driver.device.family == Family::Amd {
            return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
        }
        let job = work(driver, id)?;
        wait_within(driver, job.as_deref(), timeout_ns)?;
        synced(driver, id)
    })
}

/// As [`wait`], no longer than the client wants.
pub(super) fn wait_within(driver: &Driver, job: Option<&Job>, timeout_ns: u64) -> Answer<()> {
    let Some(job) = job else { return Ok(()) };
    if timeout_ns != u64::MAX {
        let done = job.wait_within(driver.state, timeout_ns);
        if !done.map_err(|_| no(ffi::VA_STATUS_ERROR_HW_BUSY))? {
            return Err(no(ffi::VA_STATUS_ERROR_TIMEDOUT));
        }
    }
    wait(driver, Some(job))
}

extern "C" fn query_status(context: VADriverContextP, id: VASurfaceID, to: *mut VASurfaceStatus) -> VAStatus {
    call(context, "vaQuerySurfaceStatus", |driver| {
        if !driver.device.surface_status {
            return Err(no(ffi::VA_STATUS_ERROR_OPERATION_FAILED));
        }
        let mut objects = driver.objects();
        let surface = objects.surfaces.get_mut(id)?;
        // Mesa's, as old as one without vaSyncSurface2, holds what is encoded for busy until it was waited for.
        let tells = |job: &Job| driver.device.family != Family::Amd || job.engine() != Engine::Encode;
        let synced = surface.synced;
        let done = surface.job.as_ref().is_none_or(|job| synced || tells(job) && job.is_done());
        surface.synced |= done;
        give(to, if done { ffi::VASurfaceReady } else { ffi::VASurfaceRendering }, "status")
    })
}

extern "C" fn query_error(
    _context: VADriverContextP,
    _surface: VASurfaceID,
    _status: VAStatus,
    _info: *mut *mut c_void,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn put(
    _context: VADriverContextP,
    _surface: VASurfaceID,
    _draw: *mut c_void,
    _from_x: i16,
    _from_y: i16,
    _from_width: u16,
    _from_height: u16,
    _to_x: i16,
    _to_y: i16,
    _to_width: u16,
    _to_height: u16,
    _clips: *mut ffi::VARectangle,
    _clip_number: c_uint,
    _flags: c_uint,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn lock(
    _context: VADriverContextP,
    _surface: VASurfaceID,
    _fourcc: *mut c_uint,
    _luma_stride: *mut c_uint,
    _u_stride: *mut c_uint,
    _v_stride: *mut c_uint,
    _luma_offset: *mut c_uint,
    _u_offset: *mut c_uint,
    _v_offset: *mut c_uint,
    _name: *mut c_uint,
    _buffer: *mut *mut c_void,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn unlock(_context: VADriverContextP, _surface: VASurfaceID) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn export(
    _context: VADriverContextP,
    _surface: VASurfaceID,
    _memory: u32,
    _flags: u32,
    _descriptor: *mut c_void,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE)
}
