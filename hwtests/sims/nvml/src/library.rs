//! The library as one process has it, and the way into every call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use sim_nvidia::pointer::Out;
use sim_state::State;

use crate::event::Set;

/// An `nvmlReturn_t` that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

pub(crate) type Answer<T = ()> = Result<T, Status>;

pub(crate) const UNINITIALIZED: Status = Status(1);
pub(crate) const INVALID_ARGUMENT: Status = Status(2);
pub(crate) const NOT_SUPPORTED: Status = Status(3);
pub(crate) const NOT_FOUND: Status = Status(6);
pub(crate) const INSUFFICIENT_SIZE: Status = Status(7);
pub(crate) const TIMEOUT: Status = Status(10);
pub(crate) const GPU_IS_LOST: Status = Status(15);
pub(crate) const UNKNOWN: Status = Status(999);

/// The first device's handle; the others' follow.
const FIRST_HANDLE: usize = 0x3d_0000;

pub(crate) struct Library {
    pub(crate) state: &'static State,
    /// Devices by NVML's indices: their numbers in the plan.
    pub(crate) devices: Vec<usize>,
    initialised: AtomicU32,
    sets: AtomicUsize,
    pub(crate) events: Mutex<HashMap<usize, Set>>,
}

impl Library {
    /// A device's handle, by NVML's index.
    pub(crate) fn handle(&self, index: usize) -> Answer<usize> {
        if index < self.devices.len() { Ok(FIRST_HANDLE + index * 16) } else { Err(INVALID_ARGUMENT) }
    }

    /// The device of a handle: NVML's index, and its number in the plan.
    pub(crate) fn device(&self, handle: usize) -> Answer<(usize, usize)> {
        let offset =
            handle.checked_sub(FIRST_HANDLE).filter(|offset| offset % 16 == 0).ok_or(INVALID_ARGUMENT)?;
        let number = self.devices.get(offset / 16).ok_or(INVALID_ARGUMENT)?;
        Ok((offset / 16, *number))
    }

    /// As [`Library::device`], where it must be there.
    pub(crate) fn present(&self, handle: usize) -> Answer<usize> {
        let (_, number) = self.device(handle)?;
        self.state.there(number).map_err(|_| GPU_IS_LOST)?;
        Ok(number)
    }

    pub(crate) fn new_set(&self) -> usize {
        0x3e_0000 + self.sets.fetch_add(1, Ordering::Relaxed) * 16
    }

    pub(crate) fn initialise(&self) {
        self.initialised.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn shut_down(&self) -> Answer {
        let one_less = |count: u32| count.checked_sub(1);
        let done = self.initialised.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        done.map(|_| ()).map_err(|_| UNINITIALIZED)
    }
}

/// Goes into a call that may come before initialisation.
pub(crate) fn enter_early(call: impl FnOnce(&'static Library) -> Answer) -> u32 {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let load = || {
        let state = State::of_process()?;
        Some(Library {
            state,
            devices: sim_nvidia::devices(state),
            initialised: AtomicU32::new(0),
            sets: AtomicUsize::new(0),
            events: Mutex::default(),
        })
    };
    let answer = LIBRARY.get_or_init(load).as_ref().ok_or(UNKNOWN).and_then(call);
    answer.err().map_or(0, |status| status.0)
}

/// Goes into a call.
pub(crate) fn enter(name: &str, call: impl FnOnce(&'static Library) -> Answer) -> u32 {
    enter_early(|library| {
        let answer =
            if library.initialised.load(Ordering::Acquire) == 0 { Err(UNINITIALIZED) } else { call(library) };
        library.state.trace(|| format!("{name} -> {}", answer.err().map_or(0, |status| status.0)));
        answer
    })
}

/// Writes an answer where the client wants it.
pub(crate) fn put<T>(to: Out<T>, value: T) -> Answer {
    if to.put(value) { Ok(()) } else { Err(INVALID_ARGUMENT) }
}

/// Writes a text; all of it must fit.
pub(crate) fn put_text(to: Out<std::ffi::c_char>, room: u32, text: &str) -> Answer {
    let room = usize::try_from(room).unwrap_or(0);
    if text.len() >= room {
        return Err(INSUFFICIENT_SIZE);
    }
    if !to.is_null() && to.put_text(text, room) { Ok(()) } else { Err(INVALID_ARGUMENT) }
}

/// Defines functions of the C interface, as libcuda's simulation does.
macro_rules! entries {
    ($(fn $name:ident($library:ident $(, $argument:ident: $type:ty)* $(,)?) $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of nvml.h.")]
        // SAFETY: the name is libnvidia-ml's, and this is libnvidia-ml.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "nvml.h names it")]
        pub(crate) extern "C" fn $name($($argument: $type),*) -> u32 {
            $crate::library::enter(stringify!($name), |$library| $body)
        }
    )*};
}
pub(crate) use entries;
