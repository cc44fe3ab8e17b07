//! The table that the simulated NVENC and NVDEC go through.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sim_nvidia::cuda::{CudaTable, RawView};

use crate::context::{current_handle, pop, push};
use crate::driver::loaded;
use crate::memory::Allocation;
use crate::status::UNKNOWN;

static TABLE: CudaTable = CudaTable {
    device_of_context,
    current_context,
    push: push_context,
    pop: pop_context,
    lend,
    give_back,
    allocate,
    free,
    show,
};

/// The table; see [`CudaTable`].
// SAFETY: no other library has this name.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "named as the other symbols of the library")]
pub(crate) extern "C" fn simCudaTable() -> *const CudaTable {
    &raw const TABLE
}

extern "C" fn device_of_context(context: usize) -> i64 {
    let device = loaded().and_then(|driver| {
        driver.tables().contexts.get(&context).filter(|context| context.alive).map(|context| context.device)
    });
    device.and_then(|device| i64::try_from(device).ok()).unwrap_or(-1)
}

extern "C" fn current_context() -> usize {
    current_handle()
}

extern "C" fn push_context(context: usize) {
    push(context);
}

extern "C" fn pop_context() {
    pop();
}

extern "C" fn lend(context: usize, address: u64, bytes: u64, view: *mut RawView) -> u32 {
    let answer = loaded().ok_or(UNKNOWN).and_then(|driver| {
        let device = driver.context("a driver library", context)?.device;
        let allocation = driver.find("NVENC", address, bytes)?;
        if allocation.device != device {
            return driver.wrong(crate::status::INVALID_VALUE, "NVENC is given memory of another device");
        }
        allocation.lent.fetch_add(1, Ordering::AcqRel);
        let data = allocation.host(address);
        let token = Arc::into_raw(allocation).expose_provenance();
        // SAFETY: the other library's own variable, by the table's contract.
        unsafe { view.write(RawView { data, token }) };
        Ok(())
    });
    answer.err().map_or(0, |status| status.0)
}

extern "C" fn give_back(token: usize) {
    let raw = std::ptr::with_exposed_provenance::<Allocation>(token);
    // SAFETY: a token that `lend` made, given back once, by the table's contract.
    let allocation = unsafe { Arc::from_raw(raw) };
    allocation.lent.fetch_sub(1, Ordering::AcqRel);
}

extern "C" fn allocate(context: usize, bytes: u64, address: *mut u64) -> u32 {
    let answer = loaded().ok_or(UNKNOWN).and_then(|driver| {
        let device = driver.context("a driver library", context)?.device;
        let made = driver.allocate(context, device, bytes, true)?;
        // SAFETY: the other library's own variable, by the table's contract.
        unsafe { address.write(made) };
        Ok(())
    });
    answer.err().map_or(0, |status| status.0)
}

extern "C" fn free(address: u64) {
    if let Some(driver) = loaded() {
        let _ = driver.free("a driver library", address, true);
    }
}

extern "C" fn show(address: u64, shown: u32) {
    if let Some(driver) = loaded()
        && let Some(allocation) = driver.tables().allocations.get(&address)
    {
        allocation.hidden.store(shown == 0, Ordering::Release);
    }
}
