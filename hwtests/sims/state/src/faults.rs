//! Faults: when each of the plan happens, and what a driver then does.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use thiserror::Error;

use crate::layout::{Counter, Engine};
use crate::plan::Fault;
use crate::{Job, State, clock};

/// How often a hanging job looks whether the device was lost or restored meanwhile.
const HANG_CHECK: Duration = Duration::from_millis(20);

/// The device is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the device is lost with Xid {xid}")]
pub struct Lost {
    /// The Xid, from 1.
    pub xid: u32,
}

/// What a frame meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meeting {
    /// What comes out is to be damaged.
    pub(crate) corrupt: bool,
    /// The job does not come back; for so long, or `Some(None)` for ever.
    pub(crate) hang: Option<Option<u64>>,
    /// It takes so many times as long, where over 0.
    pub(crate) slow: u32,
}

/// What an open meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMeeting {
    Sound,
    Fails(Option<u32>),
    CapReached,
}

impl State {
    /// Whether the device is there.
    ///
    /// # Errors
    /// Where it was lost.
    pub fn there(&self, device: usize) -> Result<(), Lost> {
        match self.device(device).lost.load(Acquire) {
            0 => Ok(()),
            xid => Err(Lost { xid }),
        }
    }

    /// Takes a device away: from now on every call on it fails, in every process, until [`State::restore`].
    pub fn lose(&self, device: usize, xid: u32) {
        let slot = self.device(device);
        slot.last_xid.store(xid, Relaxed);
        if slot.lost.swap(xid.max(1), AcqRel) == 0 {
            slot.losses.fetch_add(1, Release);
        }
    }

    /// Gives a lost device back, and ends what hangs on it. What processes hold on it stays as it was.
    pub fn restore(&self, device: usize) {
        self.device(device).lost.store(0, Release);
        self.device(device).restores.fetch_add(1, Release);
    }

    /// How often the device was lost, and the Xid of the last time.
    #[must_use]
    pub fn losses(&self, device: usize) -> (u32, u32) {
        let slot = self.device(device);
        (slot.losses.load(Acquire), slot.last_xid.load(Relaxed))
    }

    /// What an open on `engine` meets, `before` of them having been made.
    pub(crate) fn meet_open(&self, device: usize, engine: Engine, before: u64) -> OpenMeeting {
        for (number, fault) in self.plan().devices[device].faults.iter().enumerate() {
            match fault {
                Fault::OpenFails { engine: of, after, times, status }
                    if engine == Engine::from(*of)
                        && self.happens(device, number, before, *after, *times) =>
                {
                    return OpenMeeting::Fails(*status);
                }
                Fault::CapReached { after, times }
                    if engine == Engine::Encode && self.happens(device, number, before, *after, *times) =>
                {
                    return OpenMeeting::CapReached;
                }
                _ => {}
            }
        }
        OpenMeeting::Sound
    }

    /// What the frame meets that is counted now on `engine`.
    pub(crate) fn meet_frame(&self, device: usize, engine: Engine) -> Result<Meeting, Lost> {
        let counter = match engine {
            Engine::Encode => Counter::FramesEncoded,
            Engine::Decode => Counter::FramesDecoded,
            Engine::Scale => Counter::ScaleJobs,
        };
        let before = self.device(device).counters[counter.index()].fetch_add(1, Relaxed);
        let mut meeting = Meeting::default();
        for (number, fault) in self.plan().devices[device].faults.iter().enumerate() {
            let happens = |of, after: &u64, times: &Option<u64>| {
                engine == Engine::from(of) && self.happens(device, number, before, *after, *times)
            };
            match fault {
                Fault::Lost { engine: of, after, xid } if happens(*of, after, &Some(1)) => {
                    self.lose(device, *xid);
                }
                Fault::Hangs { engine: of, after, times, ms } if happens(*of, after, times) => {
                    meeting.hang = Some(*ms);
                }
                Fault::Slows { engine: of, after, times, factor } if happens(*of, after, times) => {
                    meeting.slow = *factor;
                }
                Fault::Corrupts { engine: of, after, times } if happens(*of, after, times) => {
                    meeting.corrupt = true;
                }
                _ => {}
            }
        }
        self.there(device).map(|()| meeting)
    }

    /// Whether an allocation fails by plan.
    pub(crate) fn meet_allocation(&self, device: usize) -> bool {
        let before = self.device(device).allocations.fetch_add(1, Relaxed);
        self.plan().devices[device].faults.iter().enumerate().any(|(number, fault)| match fault {
            Fault::OutOfMemory { after, times } => self.happens(device, number, before, *after, *times),
            _ => false,
        })
    }

    /// Whether fault `number` happens now, `before` occasions having passed; it is then one time less to come.
    fn happens(&self, device: usize, number: usize, before: u64, after: u64, times: Option<u64>) -> bool {
        if before < after {
            return false;
        }
        let fired = &self.device(device).fired[number];
        let left = |fired: u64| times.is_none_or(|times| fired < times).then_some(fired + 1);
        fired.fetch_update(AcqRel, Acquire, left).is_ok()
    }

    /// Hangs as the plan has it.
    pub(crate) fn hang(&self, job: &Job, ms: Option<u64>) -> Result<(), Lost> {
        let restores = &self.device(job.device).restores;
        let before = restores.load(Acquire);
        let end = ms.map(|ms| clock::now().saturating_add(ms.saturating_mul(1_000_000)));
        while end.is_none_or(|end| clock::now() < end) && restores.load(Acquire) == before {
            self.there(job.device)?;
            std::thread::sleep(HANG_CHECK);
        }
        Ok(())
    }
}
