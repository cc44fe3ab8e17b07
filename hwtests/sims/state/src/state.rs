//! The state file, mapped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, OnceLock};

use thiserror::Error;

use crate::layout::{BYTES, Counter, DeviceSlot, Instance, Layout, MAGIC, MAX_INSTANCES};
use crate::locks::{self, Change};
use crate::plan::{Plan, PlanError};

/// Why the state cannot be shared.
#[derive(Debug, Error)]
pub enum StateError {
    /// The plan cannot be followed.
    #[error("no plan")]
    Plan(#[from] PlanError),
    /// The file cannot be made or opened.
    #[error("the state file {} cannot be opened", path.display())]
    Open {
        /// The state file's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be mapped.
    #[error("the state file {} cannot be mapped", path.display())]
    Map {
        /// The state file's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a state file, or one of another version of the simulators.
    #[error("{} is not a state file of these simulators: remove it", path.display())]
    Layout {
        /// The state file's path.
        path: PathBuf,
    },
    /// More libraries are loaded than there is room for.
    #[error("{MAX_INSTANCES} libraries use the state file already")]
    Full,
}

/// What all processes of one simulation share.
#[derive(Debug)]
pub struct State {
    plan: Plan,
    file: File,
    here: Mutex<()>,
    base: NonNull<Layout>,
    instance: Option<usize>,
}

// SAFETY: the mapping is shared and outlives the value's use; everything in it is atomic.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

impl State {
    /// The state of this process's plan, joined once for each library. A plan that cannot be followed is said on stderr,
    /// once, and there are no devices then.
    pub fn of_process() -> Option<&'static Self> {
        static STATE: OnceLock<Option<State>> = OnceLock::new();
        let join = || Plan::from_environment().map_err(StateError::from).and_then(Self::join);
        let told = |error: StateError| {
            let mut text = format!("simulated driver: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{}", text.trim_end());
        };
        STATE.get_or_init(|| join().map_err(told).ok()).as_ref()
    }

    /// The state of `plan`, to look at or to bend; who only opens it holds nothing in it.
    ///
    /// # Errors
    /// Where the file cannot be made, mapped or understood.
    pub fn open(plan: Plan) -> Result<Self, StateError> {
        let path = plan.state.clone();
        let failed = |source| StateError::Open { path: path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o666)
            .open(&path)
            .map_err(failed)?;
        let here = Mutex::new(());
        let change = locks::change(&file, &here);
        let bytes = u64::try_from(BYTES).unwrap_or(u64::MAX);
        let length = file.metadata().map_err(failed)?.len();
        if length == 0 {
            file.set_len(bytes).map_err(failed)?;
        } else if length != bytes {
            return Err(StateError::Layout { path });
        }
        // SAFETY: a new shared mapping of a file of that length; nothing is mapped over.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        let base = match NonNull::new(mapped.cast::<Layout>()) {
            Some(base) if mapped != libc::MAP_FAILED => base,
            _ => return Err(StateError::Map { path, source: io::Error::last_os_error() }),
        };
        drop(change);
        let state = Self { plan, file, here, base, instance: None };
        match state.layout().magic.compare_exchange(0, MAGIC, Release, Acquire) {
            Ok(_) | Err(MAGIC) => Ok(state),
            Err(_) => Err(StateError::Layout { path }),
        }
    }

    /// As [`State::open`], for a driver: with a place for what it holds, which is given up when the process ends.
    ///
    /// # Errors
    /// As [`State::open`], and where there is no place left.
    pub fn join(plan: Plan) -> Result<Self, StateError> {
        let mut state = Self::open(plan)?;
        let change = state.change();
        state.reap(&change);
        let free = |(slot, instance): &(usize, &Instance)| {
            instance.pid.load(Relaxed) == 0 && locks::live(&state.file, *slot)
        };
        let (slot, instance) =
            state.layout().instances.iter().enumerate().find(free).ok_or(StateError::Full)?;
        instance.memory.iter().for_each(|memory| memory.store(0, Relaxed));
        instance.pid.store(std::process::id(), Release);
        drop(change);
        state.instance = Some(slot);
        Ok(state)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Adds to a counter of a device.
    pub fn count(&self, device: usize, counter: Counter, amount: u64) {
        self.device(device).counters[counter.index()].fetch_add(amount, Relaxed);
    }

    /// A counter of a device.
    #[must_use]
    pub fn counted(&self, device: usize, counter: Counter) -> u64 {
        self.device(device).counters[counter.index()].load(Relaxed)
    }

    /// Prints a line where the plan wants every call shown.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.plan.trace {
            eprintln!("simulated driver: {}", text());
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        // SAFETY: the mapping is as long as a Layout, page-aligned, and stays until drop; all of it is atomics, for which
        // any bytes are valid and shared writers are allowed.
        unsafe { self.base.as_ref() }
    }

    /// A device's part.
    ///
    /// # Panics
    /// Where the layout has no such device: the plan has no more than it.
    pub(crate) fn device(&self, device: usize) -> &DeviceSlot {
        &self.layout().devices[device]
    }

    pub(crate) fn instance(&self) -> Option<(usize, &Instance)> {
        self.instance.map(|slot| (slot, &self.layout().instances[slot]))
    }

    pub(crate) fn change(&self) -> Change<'_> {
        locks::change(&self.file, &self.here)
    }

    /// Frees what dead processes held.
    pub(crate) fn reap(&self, _change: &Change<'_>) {
        let layout = self.layout();
        for (slot, instance) in layout.instances.iter().enumerate() {
            let dead = instance.pid.load(Relaxed) != 0
                && self.instance != Some(slot)
                && !locks::another_lives(&self.file, slot);
            if !dead {
                continue;
            }
            let owner = u32::try_from(slot + 1).unwrap_or(0);
            for session in layout.sessions.iter().filter(|s| s.owner.load(Relaxed) == owner) {
                let device = usize::try_from(session.device.load(Relaxed)).unwrap_or(usize::MAX);
                if session.id.swap(0, Relaxed) != 0
                    && let Some(device) = layout.devices.get(device)
                {
                    device.counters[Counter::SessionsAbandoned.index()].fetch_add(1, Relaxed);
                }
                session.owner.store(0, Relaxed);
            }
            instance.memory.iter().for_each(|memory| memory.store(0, Relaxed));
            instance.pid.store(0, Release);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((_, instance)) = self.instance() {
            instance.memory.iter().for_each(|memory| memory.store(0, Relaxed));
            instance.pid.store(0, Release);
        }
        // SAFETY: the mapping that `open` made, of that length; no reference to it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), BYTES) };
    }
}
