//! Engines: units that do jobs one after the other, each so many pixels long.

use std::sync::atomic::Ordering::Relaxed;

use crate::faults::Meeting;
use crate::layout::{BUCKETS, Counter, Engine, EngineSlot};
use crate::{Lost, Nanoseconds, State, clock};

/// A slice of time for which busy time is summed.
const BUCKET_NS: u64 = 125_000_000;
/// Slices that a utilisation is told over: one second, as NVML's.
const SHOWN_BUCKETS: u64 = 8;

/// One job on an engine: a picture to encode, decode or scale.
#[derive(Debug)]
#[must_use = "a job takes its time only where it is waited for"]
pub struct Job {
    pub(crate) device: usize,
    engine: Engine,
    begun_ns: Nanoseconds,
    /// When the engine is done; none where it is as fast as the software inside.
    ends_ns: Option<Nanoseconds>,
    meeting: Meeting,
}

/// Counts the processor time from its making to its end as the driver's, not its client's.
#[derive(Debug)]
pub struct CpuTime<'a> {
    state: &'a State,
    device: usize,
    begun: Nanoseconds,
}

impl State {
    /// Gives an engine a job of `pixels`: it counts as a frame, meets the plan's faults, and takes its place behind what
    /// the engine has to do already.
    ///
    /// # Errors
    /// Where the device is lost, or is with this job.
    pub fn begin(&self, device: usize, engine: Engine, pixels: u64) -> Result<Job, Lost> {
        self.there(device)?;
        let meeting = self.meet_frame(device, engine)?;
        let begun_ns = clock::now();
        let plan = &self.plan().devices[device];
        let ends_ns = plan.mpx_s[engine.index()].map(|mpx_s| {
            let length = pixels.saturating_mul(1000) / u64::from(mpx_s);
            let length = length.saturating_mul(u64::from(meeting.slow.max(1)));
            let change = self.change();
            let slot = &self.device(device).engines[engine.index()];
            let units = usize::try_from(plan.units(engine)).unwrap_or(1);
            let unit = slot.free_at_ns[..units].iter().min_by_key(|unit| unit.load(Relaxed));
            let start = unit.map_or(begun_ns, |unit| unit.load(Relaxed).max(begun_ns));
            let end = start.saturating_add(length);
            if let Some(unit) = unit {
                unit.store(end, Relaxed);
            }
            slot.busy(start, end);
            drop(change);
            end
        });
        Ok(Job { device, engine, begun_ns, ends_ns, meeting })
    }

    /// How busy an engine was in the last second, in per cent of all its units.
    #[must_use]
    pub fn utilisation_percent(&self, device: usize, engine: Engine) -> u32 {
        let slot = &self.device(device).engines[engine.index()];
        let current = clock::now() / BUCKET_NS;
        let busy: u64 =
            (current.saturating_sub(SHOWN_BUCKETS)..current).map(|number| slot.busy_in(number)).sum();
        let all = SHOWN_BUCKETS * BUCKET_NS * u64::from(self.plan().devices[device].units(engine));
        u32::try_from((busy * 100).div_ceil(all)).unwrap_or(100).min(100)
    }

    /// All of an engine's busy time, its units together.
    #[must_use]
    pub fn busy_ns(&self, device: usize, engine: Engine) -> Nanoseconds {
        self.device(device).engines[engine.index()].busy_ns.load(Relaxed)
    }

    /// Counts the calling thread's processor time as the driver's until the value is dropped.
    #[must_use]
    pub fn driver_cpu(&self, device: usize) -> CpuTime<'_> {
        CpuTime { state: self, device, begun: clock::thread_cpu() }
    }
}

impl Job {
    /// Whose it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// What is to go wrong with it.
    #[must_use]
    pub fn corrupt(&self) -> bool {
        self.meeting.corrupt
    }

    /// The software inside is done. An engine without a speed was busy for as long as it took, or longer where the plan
    /// slows it.
    pub fn software_done(&mut self, state: &State) {
        if self.ends_ns.is_none() {
            let now = clock::now();
            let took = now.saturating_sub(self.begun_ns);
            let end = now.saturating_add(took.saturating_mul(u64::from(self.meeting.slow.saturating_sub(1))));
            state.device(self.device).engines[self.engine.index()].busy(self.begun_ns, end);
            self.ends_ns = Some(end);
        }
    }

    /// Whether the plan has it hang now.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.meeting.hang.is_some_and(|ms| {
            ms.is_none_or(|ms| self.begun_ns.saturating_add(ms.saturating_mul(1_000_000)) > clock::now())
        })
    }

    /// Whether the engine is done with it. A hanging job is not, until the plan's end of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.hangs() && self.ends_ns.is_none_or(|end| end <= clock::now())
    }

    /// As [`Job::wait`], no longer than `most`: whether the engine is done with it.
    ///
    /// # Errors
    /// Where the device is lost.
    pub fn wait_within(&self, state: &State, most: Nanoseconds) -> Result<bool, Lost> {
        /// How often it is looked at.
        const STEP_NS: Nanoseconds = 1_000_000;
        let deadline = clock::now().saturating_add(most);
        while !self.is_done() {
            state.there(self.device)?;
            let now = clock::now();
            if now >= deadline {
                return Ok(false);
            }
            clock::sleep_until(deadline.min(now.saturating_add(STEP_NS)));
        }
        Ok(true)
    }

    /// Waits until the engine is done with it; answers how long it was on its way.
    ///
    /// # Errors
    /// Where the device is lost.
    pub fn wait(&self, state: &State) -> Result<Nanoseconds, Lost> {
        if let Some(ms) = self.meeting.hang {
            state.hang(self, ms)?;
        }
        if let Some(end) = self.ends_ns {
            clock::sleep_until(end);
        }
        state.there(self.device)?;
        Ok(clock::now().saturating_sub(self.begun_ns))
    }
}

impl Drop for CpuTime<'_> {
    fn drop(&mut self) {
        let spent = clock::thread_cpu().saturating_sub(self.begun);
        self.state.count(self.device, Counter::DriverCpuNs, spent);
    }
}

impl EngineSlot {
    /// Adds busy time. Two processes that turn the same bucket over at once may lose a little of it: it is a gauge.
    fn busy(&self, start: Nanoseconds, end: Nanoseconds) {
        self.busy_ns.fetch_add(end.saturating_sub(start), Relaxed);
        // No more than the ring holds: of a longer job the end counts.
        let from = start.max(end.saturating_sub((BUCKETS as u64 - 1) * BUCKET_NS));
        for number in from / BUCKET_NS..=end / BUCKET_NS {
            let part = end.min((number + 1) * BUCKET_NS).saturating_sub(from.max(number * BUCKET_NS));
            let index = bucket(number);
            if self.bucket_number[index].swap(number, Relaxed) == number {
                self.bucket_busy_ns[index].fetch_add(part, Relaxed);
            } else {
                self.bucket_busy_ns[index].store(part, Relaxed);
            }
        }
    }

    fn busy_in(&self, number: u64) -> Nanoseconds {
        let index = bucket(number);
        if self.bucket_number[index].load(Relaxed) == number {
            self.bucket_busy_ns[index].load(Relaxed)
        } else {
            0
        }
    }
}

fn bucket(number: u64) -> usize {
    usize::try_from(number % BUCKETS as u64).unwrap_or(0)
}
