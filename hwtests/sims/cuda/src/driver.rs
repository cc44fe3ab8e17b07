//! The driver as one process has it: its devices, its tables, and the way into every call.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sim_nvidia::version::{self, Versions};
use sim_state::{Offence, State};

use crate::context::{Context, Primary};
use crate::leak;
use crate::memory::{Allocation, HostMemory};
use crate::module::{Function, Module};
use crate::status::{Answer, INVALID_DEVICE, NOT_INITIALIZED, Status, UNKNOWN, lost};
use crate::stream::{Event, Stream};

/// The first handle; what is below is no handle of ours.
const FIRST_HANDLE: usize = 0x51_0000;

/// The driver of this process.
pub(crate) struct Driver {
    pub(crate) state: &'static State,
    /// Its devices by CUDA's ordinals: their numbers in the plan.
    pub(crate) devices: Vec<usize>,
    pub(crate) versions: Versions,
    initialised: AtomicBool,
    tables: Mutex<Tables>,
}

/// Everything that has a handle or an address.
#[derive(Default)]
pub(crate) struct Tables {
    handles: usize,
    pub(crate) contexts: HashMap<usize, Context>,
    /// By CUDA's ordinals.
    pub(crate) primaries: HashMap<usize, Primary>,
    pub(crate) allocations: BTreeMap<u64, Arc<Allocation>>,
    /// Freed addresses and their ends, to say so where they are used.
    pub(crate) freed: BTreeMap<u64, u64>,
    pub(crate) next_address: u64,
    pub(crate) host: HashMap<usize, HostMemory>,
    pub(crate) modules: HashMap<usize, Module>,
    pub(crate) functions: HashMap<usize, Function>,
    pub(crate) streams: HashMap<usize, Stream>,
    pub(crate) events: HashMap<usize, Event>,
}

impl Tables {
    /// A handle that was never given out before.
    pub(crate) fn handle(&mut self) -> usize {
        self.handles += 1;
        FIRST_HANDLE + self.handles * 16
    }
}

impl Driver {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number in the plan of the device with this ordinal.
    pub(crate) fn device(&self, ordinal: i32) -> Answer<usize> {
        let found = usize::try_from(ordinal).ok().and_then(|ordinal| self.devices.get(ordinal));
        found.copied().ok_or(INVALID_DEVICE)
    }

    /// Notes what a client may not do.
    pub(crate) fn misuse(&self, sentence: &str) {
        self.state.violation("libcuda", Offence::Misuse, sentence);
    }

    /// As [`Driver::misuse`], with the status to answer.
    pub(crate) fn wrong<T>(&self, status: Status, sentence: &str) -> Answer<T> {
        self.misuse(sentence);
        Err(status)
    }

    /// Whether a device is there.
    pub(crate) fn there(&self, device: usize) -> Answer {
        self.state.there(device).map_err(lost)
    }

    pub(crate) fn initialise(&self) -> Answer {
        if self.devices.is_empty() {
            return Err(crate::status::NO_DEVICE);
        }
        if !self.initialised.swap(true, Ordering::AcqRel) {
            sim_nvidia::exit::at_exit(leak::look);
        }
        Ok(())
    }
}

/// The driver of this process, initialised or not; none where its plan cannot be followed.
pub(crate) fn loaded() -> Option<&'static Driver> {
    static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
    let load = || {
        let state = State::of_process()?;
        Some(Driver {
            state,
            devices: sim_nvidia::devices(state),
            versions: version::of_branch(state.plan().driver.branch),
            initialised: AtomicBool::new(false),
            tables: Mutex::default(),
        })
    };
    DRIVER.get_or_init(load).as_ref()
}

/// Goes into a call that may come before `cuInit`.
pub(crate) fn enter_early(name: &str, call: impl FnOnce(&'static Driver) -> Answer) -> u32 {
    let answer = loaded().ok_or(UNKNOWN).and_then(|driver| {
        let answer = call(driver);
        driver.state.trace(|| format!("{name} -> {}", answer.err().map_or(0, |status| status.0)));
        answer
    });
    answer.err().map_or(0, |status| status.0)
}

/// Goes into a call.
pub(crate) fn enter(name: &str, call: impl FnOnce(&'static Driver) -> Answer) -> u32 {
    enter_early(name, |driver| {
        if driver.initialised.load(Ordering::Acquire) {
            call(driver)
        } else {
            driver.wrong(NOT_INITIALIZED, &format!("{name} is called before cuInit"))
        }
    })
}

/// Defines functions of the C interface. A body has the driver under the name before the colon and ends in an
/// [`Answer`].
macro_rules! entries {
    ($($(#[$meta:meta])* fn $name:ident($driver:ident $(, $argument:ident: $type:ty)* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        #[doc = concat!("`", stringify!($name), "` of cuda.h.")]
        // SAFETY: the name is libcuda's, and this is libcuda.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "cuda.h names it")]
        pub(crate) extern "C" fn $name($($argument: $type),*) -> u32 {
            $crate::driver::enter(stringify!($name), |$driver| $body)
        }
    )*};
}
pub(crate) use entries;

/// Writes an answer where the client wants it, or says that it gave no place.
pub(crate) fn put<T>(to: sim_nvidia::pointer::Out<T>, value: T) -> Answer {
    if to.put(value) { Ok(()) } else { Err(crate::status::INVALID_VALUE) }
}
