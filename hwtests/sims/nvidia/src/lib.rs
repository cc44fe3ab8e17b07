//! What the simulated NVIDIA libraries share.
//!
//! Each is a library of its own, as the real ones are: a process may have one and not the other. What they have to tell
//! each other goes through [`cuda::Cuda`], a table that the simulated libcuda exports; what the hardware is goes through
//! [`sim_state::State`].

pub mod cuda;
pub mod exit;
pub mod pointer;
pub mod version;

use sim_state::{Kind, State};

/// The plan's NVIDIA devices, by their numbers in the plan, in the order in which every library shows them.
#[must_use]
pub fn devices(state: &State) -> Vec<usize> {
    let devices = state.plan().devices.iter().enumerate();
    devices.filter(|(_, device)| device.kind == Kind::Nvidia).map(|(number, _)| number).collect()
}

/// The PCI bus of a device, by its number in the plan; domain, device and function are 0.
#[must_use]
pub fn pci_bus(device: usize) -> u8 {
    u8::try_from(device).unwrap_or(u8::MAX - 1).saturating_add(1)
}

/// The UUID of a device, by its number in the plan.
#[must_use]
pub fn uuid(device: usize) -> [u8; 16] {
    let mut uuid = *b"simulated gpu\0\0\0";
    uuid[15] = pci_bus(device);
    uuid
}
