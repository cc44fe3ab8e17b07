//! The library as one process has it, and the way into every call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sim_nvidia::cuda::Cuda;
use sim_state::{Codec, Lost, Offence, State};

use crate::decoder::Decoder;
use crate::parser::Parser;
use crate::slot::Picture;

/// A `CUresult` that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

pub(crate) type Answer<T = ()> = Result<T, Status>;

pub(crate) const INVALID_VALUE: Status = Status(1);
pub(crate) const OUT_OF_MEMORY: Status = Status(2);
pub(crate) const NOT_INITIALIZED: Status = Status(3);
pub(crate) const NO_DEVICE: Status = Status(100);
pub(crate) const INVALID_CONTEXT: Status = Status(201);
pub(crate) const MAP_FAILED: Status = Status(205);
pub(crate) const INVALID_HANDLE: Status = Status(400);
pub(crate) const LAUNCH_FAILED: Status = Status(719);
pub(crate) const NOT_SUPPORTED: Status = Status(801);
pub(crate) const UNKNOWN: Status = Status(999);

/// As libcuda answers of a lost device.
pub(crate) fn lost(lost: Lost) -> Status {
    if lost.xid == 79 { UNKNOWN } else { LAUNCH_FAILED }
}

/// `cudaVideoCodec`.
pub(crate) fn codec(number: u32) -> Option<Codec> {
    match number {
        4 => Some(Codec::H264),
        8 => Some(Codec::Hevc),
        11 => Some(Codec::Av1),
        _ => None,
    }
}

pub(crate) struct Library {
    pub(crate) state: &'static State,
    pub(crate) cuda: Cuda,
    handles: AtomicUsize,
    pub(crate) decoders: Mutex<HashMap<usize, Arc<Decoder>>>,
    pub(crate) parsers: Mutex<HashMap<usize, Arc<Mutex<Parser>>>>,
    /// Pictures that a parser made and no decoder took yet, by the token in their parameters.
    pub(crate) pictures: Mutex<HashMap<u64, Arc<Picture>>>,
    /// Context locks and their contexts.
    pub(crate) locks: Mutex<HashMap<usize, usize>>,
}

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Library {
    pub(crate) fn handle(&self) -> usize {
        0x7d_0000 + self.handles.fetch_add(1, Ordering::Relaxed) * 16
    }

    pub(crate) fn wrong<T>(&self, status: Status, sentence: &str) -> Answer<T> {
        self.state.violation("libnvcuvid", Offence::Misuse, sentence);
        Err(status)
    }

    /// The context current to this thread and its device.
    pub(crate) fn current(&self, name: &str) -> Answer<(usize, usize)> {
        let found = self.cuda.current().and_then(|context| Some((context, self.cuda.device_of(context)?)));
        let Some((context, device)) = found else {
            return self.wrong(INVALID_CONTEXT, &format!("{name} is called with no context current"));
        };
        self.state.there(device).map_err(lost)?;
        Ok((context, device))
    }
}

fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let load = || {
        let (state, cuda) = (State::of_process()?, Cuda::loaded()?);
        sim_nvidia::exit::at_exit(look_for_leaks);
        Some(Library {
            state,
            cuda,
            handles: AtomicUsize::new(0),
            decoders: Mutex::default(),
            parsers: Mutex::default(),
            pictures: Mutex::default(),
            locks: Mutex::default(),
        })
    };
    LIBRARY.get_or_init(load).as_ref()
}

extern "C" fn look_for_leaks() {
    let Some(library) = library() else { return };
    let there = |decoder: &&Arc<Decoder>| library.state.losses(decoder.device).0 == 0;
    let decoders = hold(&library.decoders).values().filter(there).count();
    for (count, what) in [(decoders, "decoders"), (hold(&library.parsers).len(), "parsers")] {
        if count > 0 {
            let sentence = format!("at the end of the process: {count} {what}");
            library.state.violation("libnvcuvid", Offence::Leak, &sentence);
        }
    }
}

/// Goes into a call.
pub(crate) fn enter(name: &str, call: impl FnOnce(&'static Library) -> Answer) -> u32 {
    let answer = library().ok_or(NOT_INITIALIZED).and_then(|library| {
        let answer = call(library);
        library.state.trace(|| format!("{name} -> {}", answer.err().map_or(0, |status| status.0)));
        answer
    });
    answer.err().map_or(0, |status| status.0)
}
