//! Copies and fills.

use sim_nvidia::pointer::In;
use sim_state::{Counter, Engine};

use crate::driver::{Driver, entries};
use crate::memory::is_device;
use crate::status::{Answer, INVALID_VALUE, NOT_SUPPORTED, lost};

/// Where a copy reads or writes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Host(usize),
    Device(u64),
}

/// What is copied: rows of so many bytes, each so far from the next.
#[derive(Clone, Copy, Debug)]
struct Rows {
    width: u64,
    height: u64,
    from_pitch: u64,
    to_pitch: u64,
}

/// `CUDA_MEMCPY2D` of cuda.h.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Memcpy2d {
    src_x_in_bytes: usize,
    src_y: usize,
    src_memory_type: u32,
    src_host: usize,
    src_device: u64,
    src_array: usize,
    src_pitch: usize,
    dst_x_in_bytes: usize,
    dst_y: usize,
    dst_memory_type: u32,
    dst_host: usize,
    dst_device: u64,
    dst_array: usize,
    dst_pitch: usize,
    width_in_bytes: usize,
    height: usize,
}

/// `CUmemorytype` of cuda.h.
const HOST: u32 = 1;
const DEVICE: u32 = 2;
const UNIFIED: u32 = 4;

impl Place {
    /// A place given as an address alone, which tells by its value whose it is.
    fn unified(address: u64) -> Self {
        if is_device(address) {
            Self::Device(address)
        } else {
            Self::Host(usize::try_from(address).unwrap_or(0))
        }
    }

    fn beside(self, bytes: u64) -> Self {
        match self {
            Self::Host(address) => Self::Host(address.wrapping_add(usize::try_from(bytes).unwrap_or(0))),
            Self::Device(address) => Self::Device(address.wrapping_add(bytes)),
        }
    }
}

impl Rows {
    fn one(bytes: usize) -> Self {
        let width = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self { width, height: 1, from_pitch: width, to_pitch: width }
    }

    /// Bytes from the first to behind the last.
    fn span(self, pitch: u64) -> u64 {
        (self.height.saturating_sub(1)).saturating_mul(pitch).saturating_add(self.width)
    }
}

fn copy(driver: &Driver, name: &str, to: Place, from: Place, rows: Rows) -> Answer {
    let (_, context) = driver.current(name)?;
    if rows.width == 0 || rows.height == 0 {
        return Ok(());
    }
    let host = |address: usize| match address {
        0 => Err(INVALID_VALUE),
        _ if is_device(u64::try_from(address).unwrap_or(0)) => driver
            .wrong(INVALID_VALUE, &format!("{name} is given a device address where it wants the host's")),
        _ => Ok(std::ptr::with_exposed_provenance_mut::<u8>(address)),
    };
    let place = |place, pitch| match place {
        Place::Host(address) => Ok((host(address)?, None)),
        Place::Device(address) => {
            let allocation = driver.find(name, address, rows.span(pitch))?;
            Ok((allocation.host(address), Some(allocation)))
        }
    };
    let (source, source_held) = place(from, rows.from_pitch)?;
    let (target, target_held) = place(to, rows.to_pitch)?;
    let cpu = driver.state.driver_cpu(context.device);
    for row in 0..rows.height {
        let offset = |pitch: u64| usize::try_from(row.saturating_mul(pitch)).unwrap_or(0);
        let (source, target) =
            (source.wrapping_add(offset(rows.from_pitch)), target.wrapping_add(offset(rows.to_pitch)));
        // SAFETY: a device's side lies in an allocation, by `find`, which is held; a host's side is the client's promise.
        // They may overlap.
        unsafe { std::ptr::copy(source, target, usize::try_from(rows.width).unwrap_or(0)) };
    }
    drop(cpu);
    let count = |counter, amount| driver.state.count(context.device, counter, amount);
    let bytes = rows.width.saturating_mul(rows.height);
    match (source_held, target_held) {
        (None, Some(_)) => {
            count(Counter::HostToDeviceCopies, 1);
            count(Counter::HostToDeviceBytes, bytes);
        }
        (Some(_), None) => {
            count(Counter::DeviceToHostCopies, 1);
            count(Counter::DeviceToHostBytes, bytes);
        }
        (Some(_), Some(_)) => count(Counter::DeviceCopies, 1),
        (None, None) => {}
    }
    Ok(())
}

fn copy_2d(driver: &Driver, name: &str, job: In<Memcpy2d>) -> Answer {
    let job = job.get().ok_or(INVALID_VALUE)?;
    if job.width_in_bytes == 0 || job.height == 0 {
        // Nothing to copy, wherever; ffmpeg 5.1 does so with the planes that NV12 has not.
        return driver.current(name).map(|_| ());
    }
    let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let place = |memory_type, host, device| match memory_type {
        HOST => Ok(Place::Host(host)),
        DEVICE if is_device(device) => Ok(Place::Device(device)),
        DEVICE => {
            driver.wrong(INVALID_VALUE, &format!("{name} is given {device:#x}, which is no device memory"))
        }
        UNIFIED => Ok(Place::unified(device)),
        _ => Err(NOT_SUPPORTED),
    };
    let rows = Rows {
        width: wide(job.width_in_bytes),
        height: wide(job.height),
        // A pitch of 0 is the width's.
        from_pitch: if job.src_pitch == 0 { wide(job.width_in_bytes) } else { wide(job.src_pitch) },
        to_pitch: if job.dst_pitch == 0 { wide(job.width_in_bytes) } else { wide(job.dst_pitch) },
    };
    let from_end = wide(job.src_x_in_bytes).saturating_add(rows.width);
    let to_end = wide(job.dst_x_in_bytes).saturating_add(rows.width);
    if rows.height > 1 && (from_end > rows.from_pitch || to_end > rows.to_pitch) {
        return driver.wrong(INVALID_VALUE, &format!("{name} copies rows wider than their pitch"));
    }
    let offset = |x, y, pitch| wide(y).saturating_mul(pitch).saturating_add(wide(x));
    let from = place(job.src_memory_type, job.src_host, job.src_device)?;
    let to = place(job.dst_memory_type, job.dst_host, job.dst_device)?;
    let from = from.beside(offset(job.src_x_in_bytes, job.src_y, rows.from_pitch));
    let to = to.beside(offset(job.dst_x_in_bytes, job.dst_y, rows.to_pitch));
    copy(driver, name, to, from, rows)
}

/// Fills `count` elements a row.
fn fill(driver: &Driver, name: &str, to: (u64, usize), element: &[u8], size: (usize, usize)) -> Answer {
    let (_, context) = driver.current(name)?;
    let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let width = size.0.saturating_mul(element.len());
    let pitch = if to.1 == 0 { width } else { to.1 };
    if width == 0 || size.1 == 0 {
        return Ok(());
    }
    let span = (wide(size.1) - 1).saturating_mul(wide(pitch)).saturating_add(wide(width));
    let allocation = driver.find(name, to.0, span)?;
    let _cpu = driver.state.driver_cpu(context.device);
    let start = allocation.host(to.0);
    for row in 0..size.1 {
        let row = start.wrapping_add(row.saturating_mul(pitch));
        // SAFETY: the span lies in the allocation, by `find`, which is held.
        let bytes = unsafe { std::slice::from_raw_parts_mut(row, width) };
        if let [byte] = element {
            bytes.fill(*byte);
        } else {
            bytes.chunks_exact_mut(element.len()).for_each(|chunk| chunk.copy_from_slice(element));
        }
    }
    Ok(())
}

fn with_stream(driver: &Driver, name: &str, stream: usize, work: impl FnOnce() -> Answer) -> Answer {
    driver.stream(name, stream)?;
    work()
}

impl Driver {
    /// Gives the SM a job and waits for it.
    pub(crate) fn scale_job(&self, device: usize, pixels: u64, work: impl FnOnce() -> Answer) -> Answer {
        let mut job = self.state.begin(device, Engine::Scale, pixels).map_err(lost)?;
        let cpu = self.state.driver_cpu(device);
        work()?;
        drop(cpu);
        job.software_done(self.state);
        job.wait(self.state).map(|_| ()).map_err(lost)
    }
}

entries! {
    fn cuMemcpy(driver, to: u64, from: u64, bytes: usize) {
        copy(driver, "cuMemcpy", Place::unified(to), Place::unified(from), Rows::one(bytes))
    }
    fn cuMemcpyAsync(driver, to: u64, from: u64, bytes: usize, stream: usize) {
        with_stream(driver, "cuMemcpyAsync", stream, || {
            copy(driver, "cuMemcpyAsync", Place::unified(to), Place::unified(from), Rows::one(bytes))
        })
    }
    fn cuMemcpyHtoD_v2(driver, to: u64, from: usize, bytes: usize) {
        copy(driver, "cuMemcpyHtoD", Place::Device(to), Place::Host(from), Rows::one(bytes))
    }
    fn cuMemcpyHtoDAsync_v2(driver, to: u64, from: usize, bytes: usize, stream: usize) {
        with_stream(driver, "cuMemcpyHtoDAsync", stream, || {
            copy(driver, "cuMemcpyHtoDAsync", Place::Device(to), Place::Host(from), Rows::one(bytes))
        })
    }
    fn cuMemcpyDtoH_v2(driver, to: usize, from: u64, bytes: usize) {
        copy(driver, "cuMemcpyDtoH", Place::Host(to), Place::Device(from), Rows::one(bytes))
    }
    fn cuMemcpyDtoHAsync_v2(driver, to: usize, from: u64, bytes: usize, stream: usize) {
        with_stream(driver, "cuMemcpyDtoHAsync", stream, || {
            copy(driver, "cuMemcpyDtoHAsync", Place::Host(to), Place::Device(from), Rows::one(bytes))
        })
    }
    fn cuMemcpyDtoD_v2(driver, to: u64, from: u64, bytes: usize) {
        copy(driver, "cuMemcpyDtoD", Place::Device(to), Place::Device(from), Rows::one(bytes))
    }
    fn cuMemcpyDtoDAsync_v2(driver, to: u64, from: u64, bytes: usize, stream: usize) {
        with_stream(driver, "cuMemcpyDtoDAsync", stream, || {
            copy(driver, "cuMemcpyDtoDAsync", Place::Device(to), Place::Device(from), Rows::one(bytes))
        })
    }
    fn cuMemcpy2D_v2(driver, job: In<Memcpy2d>) {
        copy_2d(driver, "cuMemcpy2D", job)
    }
    fn cuMemcpy2DUnaligned_v2(driver, job: In<Memcpy2d>) {
        copy_2d(driver, "cuMemcpy2DUnaligned", job)
    }
    fn cuMemcpy2DAsync_v2(driver, job: In<Memcpy2d>, stream: usize) {
        with_stream(driver, "cuMemcpy2DAsync", stream, || copy_2d(driver, "cuMemcpy2DAsync", job))
    }
    fn cuMemsetD8_v2(driver, to: u64, value: u8, count: usize) {
        fill(driver, "cuMemsetD8", (to, 0), &[value], (count, 1))
    }
    fn cuMemsetD8Async(driver, to: u64, value: u8, count: usize, stream: usize) {
        with_stream(driver, "cuMemsetD8Async", stream, || fill(driver, "cuMemsetD8Async", (to, 0), &[value], (count, 1)))
    }
    fn cuMemsetD16_v2(driver, to: u64, value: u16, count: usize) {
        fill(driver, "cuMemsetD16", (to, 0), &value.to_ne_bytes(), (count, 1))
    }
    fn cuMemsetD16Async(driver, to: u64, value: u16, count: usize, stream: usize) {
        with_stream(driver, "cuMemsetD16Async", stream, || {
            fill(driver, "cuMemsetD16Async", (to, 0), &value.to_ne_bytes(), (count, 1))
        })
    }
    fn cuMemsetD32_v2(driver, to: u64, value: u32, count: usize) {
        fill(driver, "cuMemsetD32", (to, 0), &value.to_ne_bytes(), (count, 1))
    }
    fn cuMemsetD32Async(driver, to: u64, value: u32, count: usize, stream: usize) {
        with_stream(driver, "cuMemsetD32Async", stream, || {
            fill(driver, "cuMemsetD32Async", (to, 0), &value.to_ne_bytes(), (count, 1))
        })
    }
    fn cuMemsetD2D8_v2(driver, to: u64, pitch: usize, value: u8, width: usize, height: usize) {
        fill(driver, "cuMemsetD2D8", (to, pitch), &[value], (width, height))
    }
    fn cuMemsetD2D8Async(driver, to: u64, pitch: usize, value: u8, width: usize, height: usize, stream: usize) {
        with_stream(driver, "cuMemsetD2D8Async", stream, || {
            fill(driver, "cuMemsetD2D8Async", (to, pitch), &[value], (width, height))
        })
    }
    fn cuMemsetD2D16_v2(driver, to: u64, pitch: usize, value: u16, width: usize, height: usize) {
        fill(driver, "cuMemsetD2D16", (to, pitch), &value.to_ne_bytes(), (width, height))
    }
    fn cuMemsetD2D16Async(driver, to: u64, pitch: usize, value: u16, width: usize, height: usize, stream: usize) {
        with_stream(driver, "cuMemsetD2D16Async", stream, || {
            fill(driver, "cuMemsetD2D16Async", (to, pitch), &value.to_ne_bytes(), (width, height))
        })
    }
}
