//! Events: a lost device's Xid, waited for.

use std::sync::PoisonError;
use std::time::Duration;

use sim_nvidia::pointer::Out;

use crate::library::{Answer, INVALID_ARGUMENT, Library, NOT_SUPPORTED, TIMEOUT, entries, put};

/// `nvmlEventTypeXidCriticalError`.
const XID: u64 = 8;
/// How often a waiting call looks.
const CHECK: Duration = Duration::from_millis(10);

/// Devices whose events are waited for, and how many losses of each were seen.
#[derive(Debug, Default)]
pub(crate) struct Set {
    devices: Vec<(usize, u32)>,
}

/// `nvmlEventData_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Event {
    device: usize,
    kind: u64,
    data: u64,
    gpu_instance: u32,
    compute_instance: u32,
}

fn wait(library: &Library, set: usize, out: Out<Event>, timeout_ms: u32) -> Answer {
    // A count of looks rather than a clock: it is a bound on how long at least.
    let looks = u64::from(timeout_ms) / 10 + 1;
    for look in 0..looks {
        if look > 0 {
            std::thread::sleep(CHECK);
        }
        let mut sets = library.events.lock().unwrap_or_else(PoisonError::into_inner);
        let found = sets.get_mut(&set).ok_or(INVALID_ARGUMENT)?;
        for (device, seen) in &mut found.devices {
            let (losses, xid) = library.state.losses(*device);
            if losses != *seen {
                *seen = losses;
                let index = library.devices.iter().position(|number| number == device).unwrap_or(0);
                // 0xffffffff: no part of a partitioned device.
                let whole = u32::MAX;
                let event = Event {
                    device: library.handle(index)?,
                    kind: XID,
                    data: xid.into(),
                    gpu_instance: whole,
                    compute_instance: whole,
                };
                return put(out, event);
            }
        }
    }
    Err(TIMEOUT)
}

entries! {
    fn nvmlEventSetCreate(library, out: Out<usize>) {
        let handle = library.new_set();
        library.events.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, Set::default());
        put(out, handle)
    }
    fn nvmlEventSetFree(library, set: usize) {
        let gone = library.events.lock().unwrap_or_else(PoisonError::into_inner).remove(&set);
        gone.map(|_| ()).ok_or(INVALID_ARGUMENT)
    }
    fn nvmlDeviceRegisterEvents(library, device: usize, types: u64, set: usize) {
        let number = library.present(device)?;
        if types & !XID != 0 {
            return Err(NOT_SUPPORTED);
        }
        let mut sets = library.events.lock().unwrap_or_else(PoisonError::into_inner);
        let set = sets.get_mut(&set).ok_or(INVALID_ARGUMENT)?;
        set.devices.push((number, library.state.losses(number).0));
        Ok(())
    }
    fn nvmlDeviceGetSupportedEventTypes(library, device: usize, out: Out<u64>) {
        library.present(device)?;
        put(out, XID)
    }
    fn nvmlEventSetWait(library, set: usize, out: Out<Event>, timeout_ms: u32) {
        wait(library, set, out, timeout_ms)
    }
    fn nvmlEventSetWait_v2(library, set: usize, out: Out<Event>, timeout_ms: u32) {
        wait(library, set, out, timeout_ms)
    }
}
