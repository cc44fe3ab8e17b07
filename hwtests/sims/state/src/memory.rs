//! Device memory, as far as it is counted: who holds how much of which device.

use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;

use crate::State;

/// The device has no memory left, or the plan says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{wanted} bytes of device memory wanted, {left} left")]
pub struct OutOfMemory {
    /// Bytes wanted.
    pub wanted: u64,
    /// Bytes there were.
    pub left: u64,
}

/// So many bytes of a device, given back when dropped.
#[derive(Debug)]
pub struct Memory {
    state: &'static State,
    device: usize,
    bytes: u64,
}

impl Memory {
    /// Takes `bytes` of `device`.
    ///
    /// # Errors
    /// Where there is not so much, or the plan has it fail.
    pub fn take(state: &'static State, device: usize, bytes: u64) -> Result<Self, OutOfMemory> {
        let change = state.change();
        let used = state.used(device);
        let all = state.plan().devices[device].memory_bytes;
        let left = all.saturating_sub(used);
        if bytes > left || state.meet_allocation(device) {
            return Err(OutOfMemory { wanted: bytes, left });
        }
        if let Some((_, instance)) = state.instance() {
            instance.memory[device].fetch_add(bytes, Relaxed);
        }
        drop(change);
        Ok(Self { state, device, bytes })
    }

    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some((_, instance)) = self.state.instance() {
            instance.memory[self.device].fetch_sub(self.bytes, Relaxed);
        }
    }
}

impl State {
    /// Bytes of a device in use, all live processes together.
    #[must_use]
    pub fn memory_used(&self, device: usize) -> u64 {
        let change = self.change();
        self.reap(&change);
        self.used(device)
    }

    /// Bytes of a device in use by each live process.
    #[must_use]
    pub fn memory_by_process(&self, device: usize) -> Vec<(u32, u64)> {
        let change = self.change();
        self.reap(&change);
        let mut processes: Vec<(u32, u64)> = Vec::new();
        for instance in &self.layout().instances {
            let (pid, bytes) = (instance.pid.load(Relaxed), instance.memory[device].load(Relaxed));
            if pid == 0 || bytes == 0 {
                continue;
            }
            match processes.iter_mut().find(|(other, _)| *other == pid) {
                Some((_, sum)) => *sum += bytes,
                None => processes.push((pid, bytes)),
            }
        }
        processes
    }

    fn used(&self, device: usize) -> u64 {
        let of = |instance: &crate::layout::Instance| match instance.pid.load(Relaxed) {
            0 => 0,
            _ => instance.memory[device].load(Relaxed),
        };
        self.layout().instances.iter().map(of).sum()
    }
}
