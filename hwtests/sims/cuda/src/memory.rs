//! Memory: the device's, in host memory behind addresses of its own, and the host's that CUDA hands out.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sim_nvidia::pointer::Out;
use sim_state::{Memory, OutOfMemory};

use crate::driver::{Driver, entries, put};
use crate::status::{Answer, INVALID_VALUE, NOT_FOUND, OUT_OF_MEMORY, Status};

/// The first device address. Linux maps nothing there on its own: programs lie near 0x5500_0000_0000, libraries near
/// 0x7f00_0000_0000 on x86-64, and so at or above 0x0000_aaaa_0000_0000 on arm64.
const FIRST_ADDRESS: u64 = 0x0300_0000_0000;
/// The end of them.
const END_OF_ADDRESSES: u64 = 0x2300_0000_0000;
/// What every address is a multiple of, and every pitch.
const ALIGNMENT: u64 = 512;
/// Freed ranges that are remembered.
const REMEMBERED: usize = 4096;

/// A block of device memory.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) address: u64,
    pub(crate) bytes: u64,
    pub(crate) device: usize,
    pub(crate) context: usize,
    /// A driver's own: no client frees it, and it is no leak of theirs.
    pub(crate) driver_owned: bool,
    /// A driver's own that no client is to use now.
    pub(crate) hidden: AtomicBool,
    /// How often it is lent to another driver library.
    pub(crate) lent: AtomicUsize,
    host: Backing,
    _counted: Memory,
}

/// Host memory that CUDA handed out.
#[derive(Debug)]
pub(crate) struct HostMemory {
    _backing: Backing,
    pub(crate) context: usize,
}

/// Zeroed memory of its own.
#[derive(Debug)]
struct Backing {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory, owned; who reads and writes it when is the client's to order, as on a real device.
unsafe impl Send for Backing {}
// SAFETY: as above.
unsafe impl Sync for Backing {}

impl Backing {
    fn new(bytes: u64) -> Option<Self> {
        let size = usize::try_from(bytes.max(1)).ok()?;
        let layout = Layout::from_size_align(size, 512).ok()?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, layout })
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Allocation {
    /// The host's address of `address`, which lies in the allocation.
    pub(crate) fn host(&self, address: u64) -> *mut u8 {
        let offset = usize::try_from(address.saturating_sub(self.address)).unwrap_or(0);
        self.host.start.as_ptr().wrapping_add(offset.min(self.host.layout.size()))
    }

    /// Bytes from `address` to the allocation's end.
    pub(crate) fn rest(&self, address: u64) -> usize {
        usize::try_from((self.address + self.bytes).saturating_sub(address)).unwrap_or(0)
    }
}

/// Whether an address is one of the device's.
pub(crate) fn is_device(address: u64) -> bool {
    (FIRST_ADDRESS..END_OF_ADDRESSES).contains(&address)
}

impl Driver {
    /// The allocation that holds all of `bytes` at `address`.
    pub(crate) fn find(&self, name: &str, address: u64, bytes: u64) -> Answer<Arc<Allocation>> {
        let tables = self.tables();
        let found =
            tables.allocations.range(..=address).next_back().map(|(_, allocation)| Arc::clone(allocation));
        let freed = tables.freed.range(..=address).next_back().is_some_and(|(_, end)| address < *end);
        drop(tables);
        let end = address.saturating_add(bytes);
        match found {
            Some(allocation)
                if address < allocation.address + allocation.bytes
                    && allocation.hidden.load(Ordering::Acquire) =>
            {
                let sentence = format!("{name} uses {address:#x}, a picture of NVDEC's that is not mapped");
                self.wrong(INVALID_VALUE, &sentence)
            }
            Some(allocation) if end <= allocation.address + allocation.bytes => Ok(allocation),
            Some(allocation) if address < allocation.address + allocation.bytes => self.wrong(
                INVALID_VALUE,
                &format!(
                    "{name} reaches {bytes} bytes from byte {} of an allocation of {}",
                    address - allocation.address,
                    allocation.bytes
                ),
            ),
            _ if freed => self
                .wrong(INVALID_VALUE, &format!("{name} uses device memory {address:#x} after it was freed")),
            _ => {
                self.wrong(INVALID_VALUE, &format!("{name} is given {address:#x}, which is no device memory"))
            }
        }
    }

    /// Allocates for the client or for a driver.
    pub(crate) fn allocate(
        &self,
        context: usize,
        device: usize,
        bytes: u64,
        driver_owned: bool,
    ) -> Answer<u64> {
        let counted = Memory::take(self.state, device, bytes).map_err(|OutOfMemory { .. }| OUT_OF_MEMORY)?;
        let host = Backing::new(bytes).ok_or(OUT_OF_MEMORY)?;
        let mut tables = self.tables();
        let address = tables.next_address.max(FIRST_ADDRESS);
        // A gap between allocations, so that no overrun lands in another one.
        let next = address.checked_add(bytes).map(|end| (end / ALIGNMENT + 2) * ALIGNMENT);
        tables.next_address = next.filter(|next| *next < END_OF_ADDRESSES).ok_or(OUT_OF_MEMORY)?;
        let allocation = Allocation {
            address,
            bytes,
            device,
            context,
            driver_owned,
            hidden: AtomicBool::new(false),
            lent: AtomicUsize::new(0),
            host,
            _counted: counted,
        };
        tables.allocations.insert(address, Arc::new(allocation));
        Ok(address)
    }

    pub(crate) fn free(&self, name: &str, address: u64, by_driver: bool) -> Answer {
        let mut tables = self.tables();
        match tables.allocations.get(&address) {
            Some(allocation) if allocation.driver_owned == by_driver => {}
            Some(_) => {
                drop(tables);
                return self.wrong(INVALID_VALUE, &format!("{name} frees memory that belongs to the driver"));
            }
            None => {
                let freed = tables.freed.contains_key(&address);
                drop(tables);
                let what = if freed { "which is free already" } else { "where no device memory begins" };
                return self.wrong(INVALID_VALUE, &format!("{name} frees {address:#x}, {what}"));
            }
        }
        let Some(allocation) = tables.allocations.remove(&address) else { return Err(INVALID_VALUE) };
        tables.freed.insert(address, address + allocation.bytes);
        if tables.freed.len() > REMEMBERED {
            tables.freed.pop_first();
        }
        drop(tables);
        if allocation.lent.load(Ordering::Acquire) > 0 {
            self.misuse(&format!(
                "{name} frees {address:#x} while it is registered with NVENC or in use by it"
            ));
        }
        Ok(())
    }

    /// What goes with a context: its memory, modules, streams and events. A client's are leaks.
    pub(crate) fn free_with_context(&self, context: usize) {
        let mut tables = self.tables();
        let held: Vec<u64> = tables
            .allocations
            .values()
            .filter(|allocation| allocation.context == context && !allocation.driver_owned)
            .map(|allocation| allocation.address)
            .collect();
        for address in &held {
            if let Some(allocation) = tables.allocations.remove(address) {
                tables.freed.insert(*address, *address + allocation.bytes);
            }
        }
        tables.modules.retain(|_, module| module.context != context);
        tables.streams.retain(|_, stream| stream.context != context);
        tables.events.retain(|_, event| event.context != context);
        drop(tables);
        if !held.is_empty() {
            let sentence = format!("a context ended with {} allocations in it", held.len());
            self.state.violation("libcuda", sim_state::Offence::Leak, &sentence);
        }
    }
}

fn pitch(driver: &Driver, out: (Out<u64>, Out<usize>), width: usize, rows: usize, element: u32) -> Answer {
    let (handle, context) = driver.current("cuMemAllocPitch")?;
    if width == 0 || rows == 0 || ![4, 8, 16].contains(&element) {
        return driver.wrong(INVALID_VALUE, "cuMemAllocPitch wants a size, and elements of 4, 8 or 16 bytes");
    }
    let wide = u64::try_from(width).map_err(|_| INVALID_VALUE)?.next_multiple_of(ALIGNMENT);
    let bytes = u64::try_from(rows).ok().and_then(|rows| rows.checked_mul(wide)).ok_or(INVALID_VALUE)?;
    let address = driver.allocate(handle, context.device, bytes, false)?;
    put(out.1, usize::try_from(wide).map_err(|_| INVALID_VALUE)?)?;
    put(out.0, address)
}

fn plain(driver: &Driver, name: &str, out: Out<u64>, bytes: usize) -> Answer {
    let (handle, context) = driver.current(name)?;
    if bytes == 0 {
        return Err(INVALID_VALUE);
    }
    let address = driver.allocate(handle, context.device, u64::try_from(bytes).unwrap_or(u64::MAX), false)?;
    put(out, address)
}

fn free(driver: &Driver, name: &str, address: u64) -> Answer {
    if address == 0 {
        return Ok(());
    }
    // Memory of a lost device is let go all the same; the call then tells of the loss.
    let current = driver.current(name);
    if let Err(status @ (crate::status::INVALID_CONTEXT | crate::status::CONTEXT_IS_DESTROYED)) = current {
        return Err(status);
    }
    driver.free(name, address, false)?;
    current.map(|_| ())
}

fn host(driver: &Driver, name: &str, out: Out<usize>, bytes: usize) -> Answer {
    let (context, _) = driver.current(name)?;
    let backing = Backing::new(u64::try_from(bytes).unwrap_or(u64::MAX)).ok_or(OUT_OF_MEMORY)?;
    let address = backing.start.as_ptr().addr();
    driver.tables().host.insert(address, HostMemory { _backing: backing, context });
    // The address is the client's to use as a pointer.
    put(out, address)
}

entries! {
    fn cuMemAlloc_v2(driver, address: Out<u64>, bytes: usize) {
        plain(driver, "cuMemAlloc", address, bytes)
    }
    fn cuMemAllocAsync(driver, address: Out<u64>, bytes: usize, stream: usize) {
        driver.stream("cuMemAllocAsync", stream)?;
        plain(driver, "cuMemAllocAsync", address, bytes)
    }
    fn cuMemAllocPitch_v2(driver, address: Out<u64>, wide: Out<usize>, width: usize, rows: usize, element: u32) {
        pitch(driver, (address, wide), width, rows, element)
    }
    fn cuMemFree_v2(driver, address: u64) {
        free(driver, "cuMemFree", address)
    }
    fn cuMemFreeAsync(driver, address: u64, stream: usize) {
        driver.stream("cuMemFreeAsync", stream)?;
        free(driver, "cuMemFreeAsync", address)
    }
    fn cuMemAllocHost_v2(driver, address: Out<usize>, bytes: usize) {
        host(driver, "cuMemAllocHost", address, bytes)
    }
    fn cuMemHostAlloc(driver, address: Out<usize>, bytes: usize, _flags: u32) {
        host(driver, "cuMemHostAlloc", address, bytes)
    }
    fn cuMemFreeHost(driver, address: usize) {
        let known = driver.tables().host.remove(&address).is_some();
        if known || address == 0 {
            return Ok(());
        }
        driver.wrong(INVALID_VALUE, &format!("cuMemFreeHost frees {address:#x}, which CUDA did not allocate"))
    }
    fn cuMemGetInfo_v2(driver, left: Out<usize>, all: Out<usize>) {
        let (_, context) = driver.current("cuMemGetInfo")?;
        let total = driver.state.plan().devices[context.device].memory_bytes;
        let used = driver.state.memory_used(context.device);
        all.put(usize::try_from(total).unwrap_or(usize::MAX));
        left.put(usize::try_from(total.saturating_sub(used)).unwrap_or(usize::MAX));
        Ok(())
    }
    fn cuMemGetAddressRange_v2(driver, base: Out<u64>, bytes: Out<usize>, address: u64) {
        driver.current("cuMemGetAddressRange")?;
        let allocation = driver.find("cuMemGetAddressRange", address, 0).map_err(|_| NOT_FOUND)?;
        base.put(allocation.address);
        bytes.put(usize::try_from(allocation.bytes).unwrap_or(usize::MAX));
        Ok(())
    }
    fn cuPointerGetAttribute(driver, value: Out<u64>, attribute: u32, address: u64) {
        // Of a host address nothing is known, which is no violation.
        if !is_device(address) {
            return Err(INVALID_VALUE);
        }
        let allocation = driver.find("cuPointerGetAttribute", address, 0)?;
        let number: Result<u64, Status> = match attribute {
            1 => Ok(u64::try_from(allocation.context).unwrap_or(0)),
            // CU_MEMORYTYPE_DEVICE, a 32-bit number.
            2 => {
                return put(value.cast(), 2_u32);
            }
            3 => Ok(address),
            11 => Ok(allocation.address),
            12 => Ok(allocation.bytes),
            _ => Err(crate::status::NOT_SUPPORTED),
        };
        put(value, number?)
    }
}
