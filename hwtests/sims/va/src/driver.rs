//! One display: the device behind it, and everything that a client made on it.

use std::ffi::CString;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sim_state::plan::{Kind, Model, Pictures};
use sim_state::{Codec as PlanCodec, Job, Lost, Offence, State};

use crate::device::{Codec, Device, Family};
use crate::ffi::{self, VAStatus};
use crate::objects::Objects;
use crate::status::{Answer, Refusal, code, no};

/// Major number of the memory devices, /dev/null among them, and of DRM's.
const MEMORY_MAJOR: u32 = 1;
const DRM_MAJOR: u32 = 226;
/// Minor number of the first render node.
const FIRST_RENDER_MINOR: u32 = 128;
/// Minor numbers of /dev/null, /dev/zero, /dev/full, /dev/random and /dev/urandom: they stand for the plan's VA-API
/// devices, in this order.
const STAND_INS: [u32; 5] = [3, 5, 7, 8, 9];

/// A display.
pub(crate) struct Driver {
    pub(crate) state: &'static State,
    /// The device's place in the plan.
    pub(crate) number: usize,
    pub(crate) device: Device,
    pub(crate) vendor: CString,
    objects: Mutex<Objects>,
}

impl Driver {
    /// The display of the plan's device that the node stands for; the error is what vaInitialize is to answer.
    pub(crate) fn open(descriptor: RawFd) -> Result<Self, VAStatus> {
        let state = State::of_process().ok_or(code(ffi::VA_STATUS_ERROR_OPERATION_FAILED))?;
        let index = node_index(descriptor);
        let of_va = |(_, device): &(usize, &sim_state::Device)| device.kind != Kind::Nvidia;
        let Some((number, planned)) = state.plan().devices.iter().enumerate().filter(of_va).nth(index) else {
            eprintln!("simulated driver: the plan has no VA-API device {index}");
            return Err(code(ffi::VA_STATUS_ERROR_INVALID_DISPLAY));
        };
        if state.there(number).is_err() {
            return Err(code(ffi::VA_STATUS_ERROR_HW_BUSY));
        }
        let device = device(planned);
        let vendor =
            CString::new(device.vendor()).map_err(|_| code(ffi::VA_STATUS_ERROR_OPERATION_FAILED))?;
        Ok(Self { state, number, device, vendor, objects: Mutex::new(Objects::new()) })
    }

    /// Whether pictures are coded once, and decoded and scaled not at all.
    pub(crate) fn is_flat(&self) -> bool {
        self.state.plan().pictures == Pictures::Flat
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status of a call, and a note of what the client did wrong.
    pub(crate) fn answer(&self, call: &str, answer: Answer<()>) -> VAStatus {
        match answer {
            Ok(()) => {
                self.state.trace(|| format!("{call}: done"));
                code(ffi::VA_STATUS_SUCCESS)
            }
            Err(Refusal { status, misuse }) => {
                if let Some(sentence) = misuse {
                    self.misuse(&format!("{call}: {sentence}"));
                }
                self.state.trace(|| format!("{call}: status {status}"));
                status
            }
        }
    }

    /// Notes a rule that the client broke, without refusing the call.
    pub(crate) fn misuse(&self, sentence: &str) {
        self.state.violation("va", Offence::Misuse, sentence);
    }

    /// Notes that a client ends what a hanging job has. The device may go on reading it, and the call might never return.
    pub(crate) fn note_hanging(&self, call: &str, job: Option<&Arc<Job>>) {
        if job.is_some_and(|job| job.hangs()) && self.there().is_ok() {
            self.misuse(&format!("{call}: a job of it hangs"));
        }
    }

    /// What calls answer once the device is lost.
    pub(crate) fn there(&self) -> Answer<()> {
        self.state.there(self.number).map_err(lost)
    }

    /// Notes what is left over when the display ends.
    pub(crate) fn note_leaks(&self) {
        for sentence in self.objects().leaks() {
            self.state.violation("va", Offence::Leak, &sentence);
        }
    }
}

/// A lost device, as a call that works on it answers.
pub(crate) fn lost(_: Lost) -> Refusal {
    no(ffi::VA_STATUS_ERROR_OPERATION_FAILED)
}

/// Which VA-API device of the plan a node stands for.
fn node_index(descriptor: RawFd) -> usize {
    // SAFETY: stat is a structure of numbers, for which all zeros are a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: fstat takes any descriptor, and writes one structure, which `stat` has room for.
    if unsafe { libc::fstat(descriptor, &raw mut stat) } != 0 {
        return 0;
    }
    let (major, minor) = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
    match major {
        DRM_MAJOR => usize::try_from(minor.saturating_sub(FIRST_RENDER_MINOR)).unwrap_or(0),
        MEMORY_MAJOR => STAND_INS.iter().position(|&stand_in| stand_in == minor).unwrap_or(0),
        _ => 0,
    }
}

/// A planned device, as its driver shows it.
fn device(planned: &sim_state::Device) -> Device {
    let codecs = |list: &[PlanCodec]| {
        let known = |codec: &PlanCodec| match codec {
            PlanCodec::H264 => Some(Codec::H264),
            PlanCodec::Hevc => Some(Codec::Hevc),
            PlanCodec::Av1 => None,
        };
        list.iter().filter_map(known).collect()
    };
    let family = match (planned.kind, planned.model) {
        (Kind::Amd, _) => Family::Amd,
        (_, Model::IntelUhd) => Family::IntelUhd { huc: planned.huc },
        _ => Family::IntelArc,
    };
    Device {
        family,
        name: planned.name.trim_start_matches("Simulated ").to_owned(),
        encode: codecs(&planned.encode),
        decode: codecs(&planned.decode),
        encode_10bit: planned.encode_10bit.contains(&PlanCodec::Hevc),
        decode_10bit: planned.decode_10bit.contains(&PlanCodec::Hevc),
        max_width: planned.max_width,
        max_height: planned.max_height,
        vbr: planned.vbr,
        surface_status: planned.surface_status,
    }
}
