//! Buffers: made, mapped, destroyed.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;

use sim_state::{Counter, Job};

use crate::buffer::{self, Buffer, Coded, Memory, name};
use crate::calls::call;
use crate::calls::surfaces::{wait, wait_within};
use crate::client::{give, list};
use crate::driver::Driver;
use crate::ffi::{self, VABufferID, VABufferType, VAContextID, VADriverContextP, VADriverVTable, VAStatus};
use crate::status::{Answer, code, misuse, no};
use crate::surface::Content;

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaCreateBuffer = Some(create);
    table.vaBufferSetNumElements = Some(set_count);
    table.vaMapBuffer = Some(map);
    table.vaUnmapBuffer = Some(unmap);
    table.vaDestroyBuffer = Some(destroy);
    table.vaBufferInfo = Some(info);
    table.vaSyncBuffer = Some(sync);
    table.vaAcquireBufferHandle = Some(acquire);
    table.vaReleaseBufferHandle = Some(release);
}

extern "C" fn create(
    context: VADriverContextP,
    own: VAContextID,
    kind: VABufferType,
    size: c_uint,
    number: c_uint,
    data: *mut c_void,
    id: *mut VABufferID,
) -> VAStatus {
    call(context, "vaCreateBuffer", |driver| {
        driver.there()?;
        let (size, number) = (size as usize, number as usize);
        buffer::check(driver.objects().contexts.get(own)?, kind, size, number)?;
        let memory = if kind == ffi::VAEncCodedBufferType {
            let bytes = vec![0; size * number].into_boxed_slice();
            Memory::Coded(Coded { segment: Box::default(), bytes, job: None })
        } else if data.is_null() {
            Memory::Own(vec![0; size * number].into_boxed_slice())
        } else {
            Memory::Own(list(data.cast::<u8>(), size * number, "data")?.into_boxed_slice())
        };
        let made =
            Buffer { context: Some(own), kind, size, count: number, memory, mapped: false, before: None };
        give(id, driver.objects().buffers.insert(made), "buf_id")
    })
}

extern "C" fn set_count(context: VADriverContextP, id: VABufferID, number: c_uint) -> VAStatus {
    call(context, "vaBufferSetNumElements", |driver| {
        let mut objects = driver.objects();
        let buffer = objects.buffers.get_mut(id)?;
        let Memory::Own(bytes) = &buffer.memory else {
            return Err(misuse(
                ffi::VA_STATUS_ERROR_INVALID_BUFFER,
                "a coded buffer or an image has no elements to count",
            ));
        };
        if number == 0 || (number as usize).checked_mul(buffer.size).is_none_or(|used| used > bytes.len()) {
            let sentence =
                format!("{number} elements of {} bytes in a buffer of {}", buffer.size, bytes.len());
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
        }
        buffer.count = number as usize;
        Ok(())
    })
}

/// The work that fills a coded buffer.
fn coded_job(driver: &Driver, id: u32) -> Answer<Option<Arc<Job>>> {
    let objects = driver.objects();
    Ok(match &objects.buffers.get(id)?.memory {
        Memory::Coded(coded) => coded.job.clone(),
        _ => None,
    })
}

extern "C" fn map(context: VADriverContextP, id: VABufferID, to: *mut *mut c_void) -> VAStatus {
    call(context, "vaMapBuffer", |driver| {
        let job = coded_job(driver, id)?;
        wait(driver, job.as_deref())?;
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let buffer = objects.buffers.get_mut(id)?;
        if buffer.mapped {
            let sentence = format!("{} {id:#x} is mapped twice", name(buffer.kind));
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        }
        let pointer: *mut c_void = match &mut buffer.memory {
            Memory::Own(bytes) => bytes.as_mut_ptr().cast(),
            Memory::Coded(coded) => {
                if coded.job.is_none() {
                    driver.misuse(&format!("vaMapBuffer: coded buffer {id:#x} holds no picture yet"));
                }
                coded.segment.buf = coded.bytes.as_mut_ptr().cast();
                (&raw mut *coded.segment).cast()
            }
            Memory::Surface(surface) => {
                let surface_id = *surface;
                let surface = objects.surfaces.get_mut(surface_id)?;
                if !surface.synced {
                    driver.misuse(&format!(
                        "vaMapBuffer: the image of surface {surface_id:#x} is mapped without vaSyncSurface"
                    ));
                }
                buffer.before = Some(surface.pixels.bytes.clone());
                surface.pixels.bytes.as_mut_ptr().cast()
            }
        };
        buffer.mapped = true;
        give(to, pointer, "pbuf")
    })
}

extern "C" fn unmap(context: VADriverContextP, id: VABufferID) -> VAStatus {
    call(context, "vaUnmapBuffer", |driver| {
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let buffer = objects.buffers.get_mut(id)?;
        if !std::mem::take(&mut buffer.mapped) {
            let sentence = format!("{} {id:#x} is unmapped and was not mapped", name(buffer.kind));
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        }
        let (Some(before), Memory::Surface(surface)) = (buffer.before.take(), &buffer.memory) else {
            return Ok(());
        };
        let surface = objects.surfaces.get_mut(*surface)?;
        let written = before != surface.pixels.bytes;
        let (copies, amount) = if written || surface.content == Content::Nothing {
            // What was decoded here is a reference no more.
            surface.content = Content::Picture;
            (Counter::HostToDeviceCopies, Counter::HostToDeviceBytes)
        } else {
            (Counter::DeviceToHostCopies, Counter::DeviceToHostBytes)
        };
        driver.state.count(driver.number, copies, 1);
        driver.state.count(driver.number, amount, u64::try_from(before.len()).unwrap_or(0));
        Ok(())
    })
}

extern "C" fn destroy(context: VADriverContextP, id: VABufferID) -> VAStatus {
    call(context, "vaDestroyBuffer", |driver| {
        let mut objects = driver.objects();
        let buffer = objects.buffers.get(id)?;
        if buffer.kind == ffi::VAImageBufferType {
            let sentence = format!("buffer {id:#x} belongs to an image: vaDestroyImage destroys it");
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_BUFFER, sentence));
        }
        if buffer.mapped {
            driver.misuse(&format!("vaDestroyBuffer: {} {id:#x} is still mapped", name(buffer.kind)));
        }
        if let Memory::Coded(coded) = &objects.buffers.remove(id)?.memory {
            driver.note_hanging("vaDestroyBuffer", coded.job.as_ref());
        }
        Ok(())
    })
}

extern "C" fn info(
    context: VADriverContextP,
    id: VABufferID,
    kind: *mut VABufferType,
    size: *mut c_uint,
    number: *mut c_uint,
) -> VAStatus {
    call(context, "vaBufferInfo", |driver| {
        let objects = driver.objects();
        let buffer = objects.buffers.get(id)?;
        give(kind, buffer.kind, "type")?;
        give(size, u32::try_from(buffer.size).unwrap_or(0), "size")?;
        give(number, u32::try_from(buffer.count).unwrap_or(0), "num_elements")
    })
}

extern "C" fn sync(context: VADriverContextP, id: VABufferID, timeout_ns: u64) -> VAStatus {
    call(context, "vaSyncBuffer", |driver| {
        // How clients ask whether the driver has this call.
        if id == ffi::VA_INVALID_ID {
            return Err(no(ffi::VA_STATUS_ERROR_INVALID_BUFFER));
        }
        if !matches!(driver.objects().buffers.get(id)?.memory, Memory::Coded(_)) {
            return Err(no(ffi::VA_STATUS_ERROR_INVALID_BUFFER));
        }
        let job = coded_job(driver, id)?;
        wait_within(driver, job.as_deref(), timeout_ns)
    })
}

extern "C" fn acquire(
    _context: VADriverContextP,
    _id: VABufferID,
    _info: *mut ffi::VABufferInfo,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn release(_context: VADriverContextP, _id: VABufferID) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}
