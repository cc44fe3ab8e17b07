//! libva's table of calls.

mod buffers;
mod configs;
mod contexts;
mod images;
mod pictures;
mod processing;
mod surfaces;

use std::ffi::c_int;

use crate::driver::Driver;
use crate::ffi::{self, VADriverContextP, VAStatus};
use crate::status::{Answer, code};

/// libva's major version, and the newest minor that it is known to ask for; see va_version.h.
const MAJOR: c_int = 1;
const MINOR: c_int = 17;

/// Runs a call on the display that a context belongs to.
fn call(
    context: VADriverContextP,
    name: &'static str,
    body: impl FnOnce(&'static Driver) -> Answer<()>,
) -> VAStatus {
    if context.is_null() {
        return code(ffi::VA_STATUS_ERROR_INVALID_DISPLAY);
    }
    // SAFETY: not null (checked); libva passes the context that it initialised the driver with.
    let data = unsafe { (*context).pDriverData };
    // SAFETY: the driver's data is a Driver, boxed at initialisation and freed only by vaTerminate, which libva calls last;
    // so it outlives this call, which is all that `body` keeps it for.
    match unsafe { data.cast::<Driver>().as_ref() } {
        Some(driver) => {
            let _cpu = driver.state.driver_cpu(driver.number);
            driver.answer(name, body(driver))
        }
        None => code(ffi::VA_STATUS_ERROR_INVALID_DISPLAY),
    }
}

extern "C" fn terminate(context: VADriverContextP) -> VAStatus {
    let status = call(context, "vaTerminate", |driver| {
        for context in driver.objects().contexts.all() {
            driver.note_hanging("vaTerminate", context.last.as_ref());
        }
        driver.note_leaks();
        Ok(())
    });
    if status == code(ffi::VA_STATUS_SUCCESS) {
        // SAFETY: `call` found the context in order, and libva uses it nowhere else while it terminates.
        let Some(context) = (unsafe { context.as_mut() }) else { return status };
        let data = std::mem::replace(&mut context.pDriverData, std::ptr::null_mut());
        // SAFETY: the data is the Driver that was boxed at initialisation; the context forgot it just now.
        drop(unsafe { Box::from_raw(data.cast::<Driver>()) });
    }
    status
}

/// libva's way in: fills the context's table. One name serves every libva of major version 1.
///
/// # Safety
/// libva calls it with its own context, whose tables have room for this version's calls.
// SAFETY: the name is the one that libva looks up, and the signature that of va_backend.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vaDriverInit_1_0(context: VADriverContextP) -> VAStatus {
    // SAFETY: libva passes its own context, valid and used by nobody else while it initialises.
    let Some(context) = (unsafe { context.as_mut() }) else {
        return code(ffi::VA_STATUS_ERROR_INVALID_DISPLAY);
    };
    // SAFETY: on DRM displays, the only ones that this driver knows, libva has drm_state point at its struct drm_state,
    // which begins with the descriptor; elsewhere it is null.
    let descriptor = unsafe { context.drm_state.cast::<c_int>().as_ref() }.copied().unwrap_or(-1);
    let driver = match Driver::open(descriptor) {
        Ok(driver) => Box::new(driver),
        Err(status) => return status,
    };
    // SAFETY: libva allocated the table before it called, and reads it only afterwards.
    let Some(table) = (unsafe { context.vtable.as_mut() }) else {
        return code(ffi::VA_STATUS_ERROR_OPERATION_FAILED);
    };
    table.vaTerminate = Some(terminate);
    configs::fill(table);
    surfaces::fill(table);
    contexts::fill(table);
    buffers::fill(table);
    pictures::fill(table);
    images::fill(table);
    // SAFETY: as the table before; libvas without processing leave it null.
    if let Some(table) = unsafe { context.vtable_vpp.as_mut() } {
        processing::fill(table);
    }
    context.version_major = MAJOR;
    context.version_minor = MINOR;
    context.max_profiles = 16;
    context.max_entrypoints = 8;
    context.max_attributes = 32;
    context.max_image_formats = 4;
    context.max_subpic_formats = 1;
    context.max_display_attributes = 1;
    context.str_vendor = driver.vendor.as_ptr();
    context.pDriverData = Box::into_raw(driver).cast();
    code(ffi::VA_STATUS_SUCCESS)
}
