//! The CUDA driver, by way of `cudarc`: contexts, memory, streams, events, kernels.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, sys};

use crate::error::CudaError;

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        Self(error.0 as u32)
    }
}

fn check(status: sys::CUresult) -> Result<(), CudaError> {
    Ok(status.result()?)
}

/// Whether libcuda can be loaded. Nothing else here may be called before it was found.
pub(crate) fn is_present() -> bool {
    // SAFETY: it loads and unloads a library by its name; libcuda's initialisers have no demands.
    unsafe { sys::is_culib_present() }
}

/// The functions that are called, by us and by cudarc, which panics over one that is not there. A test holds the list to
/// what is looked up.
pub(crate) const FUNCTIONS: [&str; 30] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetPCIBusId",
    "cuDeviceGetUuid",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxSetFlags_v2",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpy2DAsync_v2",
    "cuMemcpyHtoD_v2",
    "cuMemsetD2D8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
];

/// The first of [`FUNCTIONS`] that the library lacks.
pub(crate) fn missing_function() -> Option<&'static str> {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    // SAFETY: the library was found (see `is_present`), and its initialisers have no demands.
    let library = unsafe { sys::culib() };
    let is_missing = |name: &&&str| {
        // SAFETY: the symbol is only looked for; nothing is done with it as the type that it is given here.
        unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err()
    };
    *MISSING.get_or_init(|| FUNCTIONS.iter().find(is_missing).copied())
}

/// Makes the driver ready; may be repeated.
pub(crate) fn init() -> Result<(), CudaError> {
    Ok(result::init()?)
}

/// The CUDA version that the driver speaks: major, minor.
pub(crate) fn driver_version() -> Result<(u32, u32), CudaError> {
    let mut version = 0;
    // SAFETY: cuDriverGetVersion wants room for a number.
    check(unsafe { sys::cuDriverGetVersion(&raw mut version) })?;
    let version = u32::try_from(version).unwrap_or(0);
    Ok((version / 1000, version % 1000 / 10))
}

/// Devices that this process sees.
pub(crate) fn device_count() -> Result<u32, CudaError> {
    Ok(u32::try_from(result::device::get_count()?).unwrap_or(0))
}

/// What the driver says of a device, without a context.
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) pci: String,
    pub(crate) memory: u64,
    pub(crate) capability: (u32, u32),
}

pub(crate) fn describe(ordinal: u32) -> Result<Description, CudaError> {
    let device = result::device::get(i32::try_from(ordinal).map_err(|_| CudaError::INVALID_VALUE)?)?;
    let uuid = result::device::get_uuid(device)?;
    let mut pci = [0; 32];
    // SAFETY: cuDeviceGetPCIBusId writes at most the given number of bytes, and a zero within them.
    check(unsafe { sys::cuDeviceGetPCIBusId(pci.as_mut_ptr(), 31, device) })?;
    // SAFETY: the last byte was never written and is zero.
    let pci = unsafe { CStr::from_ptr(pci.as_ptr()) };
    // SAFETY: `device` came from cuDeviceGet.
    let memory = unsafe { result::device::total_mem(device) }?;
    let attribute = |attribute| {
        // SAFETY: as above.
        let value = unsafe { result::device::get_attribute(device, attribute) }?;
        Ok::<_, CudaError>(u32::try_from(value).unwrap_or(0))
    };
    Ok(Description {
        name: result::device::get_name(device)?,
        uuid: uuid.bytes.map(i8::cast_unsigned),
        pci: pci.to_string_lossy().to_ascii_lowercase(),
        memory: u64::try_from(memory).unwrap_or(u64::MAX),
        capability: (
            attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
    })
}

/// Has threads sleep where the driver waits for the device; by default they spin while there are fewer contexts than
/// cores. Refused where somebody in this process has the context already, which is then left as it is.
fn sleep_while_waiting(ordinal: u32) {
    let Ok(Ok(device)) = i32::try_from(ordinal).map(result::device::get) else { return };
    let flags = sys::CUctx_flags::CU_CTX_SCHED_BLOCKING_SYNC as u32;
    // SAFETY: `device` came from cuDeviceGet; the call changes how a context of it will wait, and nothing else.
    let _ = unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device, flags) };
}

/// The primary context of a device, with a stream of ours in it.
#[derive(Clone)]
pub(crate) struct Context {
    inner: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

impl Context {
    /// Retains the primary context; this is what takes long the first time (hundreds of milliseconds).
    pub(crate) fn open(ordinal: u32) -> Result<Self, CudaError> {
        sleep_while_waiting(ordinal);
        let inner = CudaContext::new(usize::try_from(ordinal).map_err(|_| CudaError::INVALID_VALUE)?)?;
        // SAFETY: the condition is that memory is not used on two streams at once without care; no memory of cudarc's
        // is used here, and all work goes to one stream.
        unsafe { inner.disable_event_tracking() };
        let stream = inner.new_stream()?;
        Ok(Self { inner, stream })
    }

    /// Makes it the calling thread's; NVDEC and NVENC work on that one.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        Ok(self.inner.bind_to_thread()?)
    }

    /// For NVENC, which is given it as a device.
    pub(crate) fn as_raw(&self) -> *mut c_void {
        self.inner.cu_ctx().cast()
    }

    /// For kernels, and for NVDEC, which writes pictures in its order.
    pub(crate) fn stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    /// Bytes free and in all.
    pub(crate) fn memory(&self) -> Result<(u64, u64), CudaError> {
        let (free, total) = self.inner.mem_get_info()?;
        Ok((u64::try_from(free).unwrap_or(u64::MAX), u64::try_from(total).unwrap_or(u64::MAX)))
    }

    /// Waits for all that was given to the stream until now.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        // Unlike waiting for a stream, this sleeps even where the context is another's.
        let event = self.event()?;
        event.record(self)?;
        event.wait()
    }

    pub(crate) fn event(&self) -> Result<Event, CudaError> {
        // Waiting for it sleeps rather than spins.
        let event = self.inner.new_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
        Ok(Event(event))
    }

    /// Fresh memory of the device; what is in it is unknown.
    pub(crate) fn allocate(&self, bytes: usize) -> Result<Memory, CudaError> {
        self.bind()?;
        // SAFETY: the bound context is alive; freeing is Memory's drop, and only there.
        let address = unsafe { result::malloc_sync(bytes) }?;
        Ok(Memory { address, bytes, context: self.clone() })
    }

    /// Memory with these values.
    pub(crate) fn upload<T: Plain>(&self, values: &[T]) -> Result<Memory, CudaError> {
        let memory = self.allocate(size_of_val(values).max(1))?;
        // SAFETY: the memory is as long as `values` (above), and the copy is done when this returns.
        unsafe { result::memcpy_htod_sync(memory.address, values) }?;
        Ok(memory)
    }
}

/// Types without padding or invalid values, of which any bytes are some and which are any bytes.
///
/// # Safety
/// Only for such types.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: a number.
unsafe impl Plain for u8 {}
// SAFETY: a number.
unsafe impl Plain for i16 {}
// SAFETY: a number.
unsafe impl Plain for u32 {}

/// A point in the stream's work.
pub(crate) struct Event(CudaEvent);

impl Event {
    /// The point is after all that the stream was given until now.
    pub(crate) fn record(&self, context: &Context) -> Result<(), CudaError> {
        Ok(self.0.record(&context.stream)?)
    }

    /// Sleeps until that is done; returns at once where nothing was recorded.
    pub(crate) fn wait(&self) -> Result<(), CudaError> {
        Ok(self.0.synchronize()?)
    }
}

/// Memory of a device, freed with it.
pub(crate) struct Memory {
    address: u64,
    bytes: usize,
    context: Context,
}

/// A rectangle of bytes within [`Memory`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rectangle {
    /// Where it begins.
    pub(crate) offset: usize,
    /// Bytes from row to row.
    pub(crate) pitch: usize,
    /// Bytes of a row.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
}

impl Rectangle {
    /// The byte behind its last.
    fn end(self) -> Option<usize> {
        if self.width > self.pitch || self.width == 0 {
            return None;
        }
        let rows = self.pitch.checked_mul(self.height.checked_sub(1)?)?;
        self.offset.checked_add(rows)?.checked_add(self.width)
    }
}

/// One end of a copy.
enum End {
    Device(u64),
    /// Written only where it is the target.
    Host(*mut c_void),
}

/// A copy of rows of a rectangle's size.
fn rows(
    source: End,
    source_pitch: usize,
    target: End,
    target_pitch: usize,
    size: Rectangle,
) -> sys::CUDA_MEMCPY2D {
    let split = |end| match end {
        End::Device(address) => (sys::CUmemorytype::CU_MEMORYTYPE_DEVICE, address, ptr::null_mut()),
        End::Host(pointer) => (sys::CUmemorytype::CU_MEMORYTYPE_HOST, 0, pointer),
    };
    let (source, target) = (split(source), split(target));
    sys::CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: source.0,
        srcHost: source.2,
        srcDevice: source.1,
        srcArray: ptr::null_mut(),
        srcPitch: source_pitch,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: target.0,
        dstHost: target.2,
        dstDevice: target.1,
        dstArray: ptr::null_mut(),
        dstPitch: target_pitch,
        WidthInBytes: size.width,
        Height: size.height,
    }
}

impl Memory {
    /// Its address on the device, and its length.
    pub(crate) const fn span(&self) -> (u64, usize) {
        (self.address, self.bytes)
    }

    /// The address of a rectangle, which is within.
    pub(crate) fn contains(&self, rectangle: Rectangle) -> Result<u64, CudaError> {
        if rectangle.end().is_none_or(|end| end > self.bytes) {
            return Err(CudaError::INVALID_VALUE);
        }
        let offset = u64::try_from(rectangle.offset).map_err(|_| CudaError::INVALID_VALUE)?;
        self.address.checked_add(offset).ok_or(CudaError::INVALID_VALUE)
    }

    /// Sets every byte of a rectangle, in the stream's order.
    pub(crate) fn fill(&self, rectangle: Rectangle, value: u8) -> Result<(), CudaError> {
        let at = self.contains(rectangle)?;
        self.context.bind()?;
        // SAFETY: the rectangle lies within this memory (checked above), which is freed only after the stream is done
        // (see drop).
        check(unsafe {
            sys::cuMemsetD2D8Async(
                at,
                rectangle.pitch,
                value,
                rectangle.width,
                rectangle.height,
                self.context.stream.cu_stream(),
            )
        })
    }

    /// Copies rows from memory of the device that another owns, in the stream's order.
    ///
    /// # Safety
    /// `from` is the address of `to.height` rows of `to.width` bytes, `pitch` bytes apart, which stay until the stream
    /// is done with this.
    pub(super) unsafe fn copy_in(&self, to: Rectangle, from: u64, pitch: usize) -> Result<(), CudaError> {
        let at = self.contains(to)?;
        self.context.bind()?;
        let copy = rows(End::Device(from), pitch, End::Device(at), to.pitch, to);
        // SAFETY: the target lies within this memory (checked above); the source is the caller's promise.
        check(unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.context.stream.cu_stream()) })
    }

    /// Copies rows without padding from the host; done when this returns.
    pub(crate) fn write(&self, to: Rectangle, from: &[u8]) -> Result<(), CudaError> {
        let at = self.contains(to)?;
        if to.width.checked_mul(to.height).is_none_or(|bytes| bytes > from.len()) {
            return Err(CudaError::INVALID_VALUE);
        }
        self.context.bind()?;
        let source = End::Host(from.as_ptr().cast_mut().cast());
        let copy = rows(source, to.width, End::Device(at), to.pitch, to);
        // SAFETY: the target lies within this memory and the source within `from` (both checked above); `from` is not
        // left before the stream is done (below).
        check(unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.context.stream.cu_stream()) })?;
        self.context.synchronize()
    }

    /// Copies rows to the host, without padding; done when this returns.
    pub(crate) fn read(&self, from: Rectangle, to: &mut [u8]) -> Result<(), CudaError> {
        let at = self.contains(from)?;
        if from.width.checked_mul(from.height).is_none_or(|bytes| bytes > to.len()) {
            return Err(CudaError::INVALID_VALUE);
        }
        self.context.bind()?;
        let target = End::Host(to.as_mut_ptr().cast());
        let copy = rows(End::Device(at), from.pitch, target, from.width, from);
        // SAFETY: the source lies within this memory and the target within `to` (both checked above); `to` is borrowed
        // until the stream is done (below).
        check(unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.context.stream.cu_stream()) })?;
        self.context.synchronize()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // What fails here fails because the device is gone, and its memory with it.
        let _ = self.context.synchronize();
        if self.context.bind().is_ok() {
            // SAFETY: the address came from malloc_sync and is freed here alone; no work on it is under way (above).
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}
