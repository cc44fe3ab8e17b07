//! Devices: what there are, and what they are.

use std::ffi::c_char;

use sim_nvidia::pointer::{Out, Text};

use crate::driver::{Driver, enter_early, entries, put};
use crate::status::{Answer, INVALID_DEVICE, INVALID_VALUE};

/// `CUdevice_attribute` of cuda.h, those that are not 0 or 1 by default. The values are of the Ada generation.
fn attribute(attribute: u32, bus: u8) -> i32 {
    match attribute {
        1..=3 => 1024,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65535,
        8 => 49152,
        9 => 65536,
        10 => 32,
        11 => i32::MAX,
        12 => 65536,
        13 => 2_040_000,
        14 => 512,
        16 => 58,
        33 => i32::from(bus),
        36 => 6_251_000,
        37 => 192,
        38 => 48 << 20,
        39 => 1536,
        75 => 8,
        76 => 9,
        // Integrated, compute mode "default", PCI device and domain.
        18 | 20 | 34 | 50 => 0,
        // Overlap of copies, kernels at once, unified addressing, streams' priorities, memory pools.
        15 | 31 | 40 | 41 | 78 | 115 => 1,
        _ => 0,
    }
}

fn pci_bus_id(device: usize) -> String {
    format!("0000:{:02x}:00.0", sim_nvidia::pci_bus(device))
}

fn uuid(driver: &Driver, out: Out<u8>, device: i32) -> Answer {
    let device = driver.device(device)?;
    if out.put_all(sim_nvidia::uuid(device)) { Ok(()) } else { Err(INVALID_VALUE) }
}

/// `cuInit` of cuda.h.
// SAFETY: the name is libcuda's, and this is libcuda.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "cuda.h names it")]
pub(crate) extern "C" fn cuInit(flags: u32) -> u32 {
    enter_early("cuInit", |driver| if flags == 0 { driver.initialise() } else { Err(INVALID_VALUE) })
}

/// `cuDriverGetVersion` of cuda.h.
// SAFETY: the name is libcuda's, and this is libcuda.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "cuda.h names it")]
pub(crate) extern "C" fn cuDriverGetVersion(version: Out<i32>) -> u32 {
    enter_early("cuDriverGetVersion", |driver| {
        let (major, minor) = driver.versions.cuda;
        put(version, i32::try_from(major * 1000 + minor * 10).unwrap_or(0))
    })
}

entries! {
    fn cuDeviceGetCount(driver, count: Out<i32>) {
        put(count, i32::try_from(driver.devices.len()).unwrap_or(0))
    }
    fn cuDeviceGet(driver, device: Out<i32>, ordinal: i32) {
        driver.device(ordinal)?;
        put(device, ordinal)
    }
    fn cuDeviceGetName(driver, name: Out<c_char>, room: i32, device: i32) {
        let plan = &driver.state.plan().devices[driver.device(device)?];
        let room = usize::try_from(room).map_err(|_| INVALID_VALUE)?;
        if name.put_text(&plan.name, room) { Ok(()) } else { Err(INVALID_VALUE) }
    }
    fn cuDeviceGetAttribute(driver, value: Out<i32>, which: u32, device: i32) {
        let device = driver.device(device)?;
        put(value, attribute(which, sim_nvidia::pci_bus(device)))
    }
    fn cuDeviceComputeCapability(driver, major: Out<i32>, minor: Out<i32>, device: i32) {
        driver.device(device)?;
        put(major, attribute(75, 0))?;
        put(minor, attribute(76, 0))
    }
    fn cuDeviceGetUuid(driver, out: Out<u8>, device: i32) {
        uuid(driver, out, device)
    }
    fn cuDeviceGetUuid_v2(driver, out: Out<u8>, device: i32) {
        uuid(driver, out, device)
    }
    fn cuDeviceGetPCIBusId(driver, text: Out<c_char>, room: i32, device: i32) {
        let room = usize::try_from(room).map_err(|_| INVALID_VALUE)?;
        let done = text.put_text(&pci_bus_id(driver.device(device)?), room);
        if done { Ok(()) } else { Err(INVALID_VALUE) }
    }
    fn cuDeviceGetByPCIBusId(driver, device: Out<i32>, text: Text) {
        let text = text.get().and_then(|text| text.to_str().ok()).ok_or(INVALID_VALUE)?;
        let wanted = text.to_ascii_lowercase();
        let at = driver.devices.iter().position(|device| wanted.ends_with(&pci_bus_id(*device)[5..]));
        put(device, at.and_then(|at| i32::try_from(at).ok()).ok_or(INVALID_DEVICE)?)
    }
    fn cuDeviceTotalMem_v2(driver, bytes: Out<usize>, device: i32) {
        let total = driver.state.plan().devices[driver.device(device)?].memory_bytes;
        put(bytes, usize::try_from(total).unwrap_or(usize::MAX))
    }
}
