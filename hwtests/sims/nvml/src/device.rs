//! Devices: who they are, and what they do.

use std::ffi::c_char;

use sim_nvidia::pointer::{Out, Text};
use sim_state::{Codec, Engine, SessionReport};

use crate::library::{
    Answer, INSUFFICIENT_SIZE, INVALID_ARGUMENT, Library, NOT_FOUND, NOT_SUPPORTED, entries, put, put_text,
};

/// The time that utilisations are sampled over, as the real driver tells it for video engines.
const SAMPLING_US: u32 = 167_000;

/// `nvmlPciInfo_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PciInfo {
    legacy: [u8; 16],
    domain: u32,
    bus: u32,
    device: u32,
    device_id: u32,
    subsystem_id: u32,
    id: [u8; 32],
}

/// `nvmlEncoderSessionInfo_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct EncoderSession {
    id: u32,
    pid: u32,
    vgpu: u32,
    codec: u32,
    width: u32,
    height: u32,
    fps: u32,
    latency_us: u32,
}

/// `nvmlMemory_v2_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct MemoryV2 {
    version: u32,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

/// `nvmlTemperature_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Temperature {
    version: u32,
    sensor: u32,
    degrees: i32,
}

/// `nvmlProcessInfo_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Process {
    pid: u32,
    memory: u64,
    gpu_instance: u32,
    compute_instance: u32,
}

/// How busy a device is, all engines considered, in per cent.
fn load(library: &Library, device: usize) -> u32 {
    Engine::ALL.into_iter().map(|engine| library.state.utilisation_percent(device, engine)).max().unwrap_or(0)
}

fn sessions(library: &Library, device: usize) -> Vec<SessionReport> {
    library.state.sessions_on(device, Engine::Encode)
}

fn uuid(device: usize) -> String {
    let hex: String = sim_nvidia::uuid(device).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn bus_id(device: usize) -> String {
    format!("00000000:{:02X}:00.0", sim_nvidia::pci_bus(device))
}

fn pci(library: &Library, handle: usize, out: Out<PciInfo>) -> Answer {
    let (_, device) = library.device(handle)?;
    let mut info = PciInfo {
        legacy: [0; 16],
        domain: 0,
        bus: sim_nvidia::pci_bus(device).into(),
        device: 0,
        // NVIDIA's vendor number; the device's is nobody's.
        device_id: 0xffff_10de,
        subsystem_id: 0,
        id: [0; 32],
    };
    let id = bus_id(device);
    info.id[..id.len()].copy_from_slice(id.as_bytes());
    let legacy = &id[4..];
    info.legacy[..legacy.len()].copy_from_slice(legacy.as_bytes());
    put(out, info)
}

fn utilisation(
    library: &Library,
    handle: usize,
    engine: Engine,
    percent: Out<u32>,
    period: Out<u32>,
) -> Answer {
    let device = library.present(handle)?;
    put(period, SAMPLING_US)?;
    put(percent, library.state.utilisation_percent(device, engine))
}

fn degrees(library: &Library, device: usize) -> u32 {
    36 + load(library, device) / 3
}

/// Graphics, SM, memory, video.
fn clock(library: &Library, device: usize, kind: u32, highest: bool) -> Answer<u32> {
    let busy = highest || load(library, device) > 0;
    match kind {
        0 | 1 => Ok(if busy { 2040 } else { 210 }),
        2 => Ok(if busy { 6251 } else { 405 }),
        3 => Ok(if busy { 1770 } else { 555 }),
        _ => Err(INVALID_ARGUMENT),
    }
}

/// `nvmlClocksEventReasonGpuIdle`, or none.
fn reasons(library: &Library, device: usize) -> u64 {
    u64::from(load(library, device) == 0)
}

fn processes(library: &Library, handle: usize, count: Out<u32>, out: Out<Process>) -> Answer {
    let device = library.present(handle)?;
    let processes = library.state.memory_by_process(device);
    let room = usize::try_from(count.get().ok_or(INVALID_ARGUMENT)?).unwrap_or(0);
    put(count, u32::try_from(processes.len()).unwrap_or(0))?;
    if processes.len() > room {
        return Err(INSUFFICIENT_SIZE);
    }
    let shown = |(pid, memory)| Process { pid, memory, gpu_instance: u32::MAX, compute_instance: u32::MAX };
    out.put_all(processes.into_iter().map(shown));
    Ok(())
}

entries! {
    fn nvmlDeviceGetCount(library, count: Out<u32>) {
        put(count, u32::try_from(library.devices.len()).unwrap_or(0))
    }
    fn nvmlDeviceGetCount_v2(library, count: Out<u32>) {
        put(count, u32::try_from(library.devices.len()).unwrap_or(0))
    }
    fn nvmlDeviceGetHandleByIndex(library, index: u32, device: Out<usize>) {
        put(device, library.handle(usize::try_from(index).unwrap_or(usize::MAX))?)
    }
    fn nvmlDeviceGetHandleByIndex_v2(library, index: u32, device: Out<usize>) {
        put(device, library.handle(usize::try_from(index).unwrap_or(usize::MAX))?)
    }
    fn nvmlDeviceGetHandleByUUID(library, text: Text, device: Out<usize>) {
        let wanted = text.get().and_then(|text| text.to_str().ok()).ok_or(INVALID_ARGUMENT)?;
        let at = library.devices.iter().position(|device| uuid(*device) == wanted);
        put(device, library.handle(at.ok_or(NOT_FOUND)?)?)
    }
    fn nvmlDeviceGetHandleByPciBusId_v2(library, text: Text, device: Out<usize>) {
        let wanted = text.get().and_then(|text| text.to_str().ok()).ok_or(INVALID_ARGUMENT)?.to_ascii_uppercase();
        let at = library.devices.iter().position(|device| wanted.ends_with(&bus_id(*device)[4..]));
        put(device, library.handle(at.ok_or(NOT_FOUND)?)?)
    }
    fn nvmlDeviceGetIndex(library, device: usize, index: Out<u32>) {
        put(index, u32::try_from(library.device(device)?.0).unwrap_or(0))
    }
    fn nvmlDeviceGetMinorNumber(library, device: usize, minor: Out<u32>) {
        put(minor, u32::try_from(library.device(device)?.0).unwrap_or(0))
    }
    fn nvmlDeviceGetName(library, device: usize, text: Out<c_char>, room: u32) {
        let device = library.present(device)?;
        put_text(text, room, &library.state.plan().devices[device].name)
    }
    fn nvmlDeviceGetUUID(library, device: usize, text: Out<c_char>, room: u32) {
        put_text(text, room, &uuid(library.device(device)?.1))
    }
    fn nvmlDeviceGetPciInfo_v2(library, device: usize, out: Out<PciInfo>) {
        pci(library, device, out)
    }
    fn nvmlDeviceGetPciInfo_v3(library, device: usize, out: Out<PciInfo>) {
        pci(library, device, out)
    }
    fn nvmlDeviceGetCudaComputeCapability(library, device: usize, major: Out<i32>, minor: Out<i32>) {
        library.present(device)?;
        put(major, 8)?;
        put(minor, 9)
    }
    fn nvmlDeviceGetUtilizationRates(library, device: usize, out: Out<[u32; 2]>) {
        let device = library.present(device)?;
        let sm = library.state.utilisation_percent(device, Engine::Scale);
        put(out, [sm, load(library, device) / 2])
    }
    fn nvmlDeviceGetEncoderUtilization(library, device: usize, percent: Out<u32>, period: Out<u32>) {
        utilisation(library, device, Engine::Encode, percent, period)
    }
    fn nvmlDeviceGetDecoderUtilization(library, device: usize, percent: Out<u32>, period: Out<u32>) {
        utilisation(library, device, Engine::Decode, percent, period)
    }
    fn nvmlDeviceGetEncoderSessions(library, device: usize, count: Out<u32>, out: Out<EncoderSession>) {
        let device = library.present(device)?;
        let sessions = sessions(library, device);
        let room = usize::try_from(count.get().ok_or(INVALID_ARGUMENT)?).unwrap_or(0);
        put(count, u32::try_from(sessions.len()).unwrap_or(0))?;
        if out.is_null() {
            return Ok(());
        }
        if sessions.len() > room {
            return Err(INSUFFICIENT_SIZE);
        }
        let shown = |session: SessionReport| EncoderSession {
            id: session.id,
            pid: session.pid,
            vgpu: 0,
            codec: match session.codec {
                Some(Codec::Hevc) => 1,
                Some(Codec::Av1) => 2,
                _ => 0,
            },
            width: session.width,
            height: session.height,
            fps: session.fps,
            latency_us: session.latency_us,
        };
        out.put_all(sessions.into_iter().map(shown));
        Ok(())
    }
    fn nvmlDeviceGetEncoderStats(library, device: usize, count: Out<u32>, fps: Out<u32>, latency_us: Out<u32>) {
        let device = library.present(device)?;
        let sessions = sessions(library, device);
        let number = u32::try_from(sessions.len()).unwrap_or(0);
        let mean = |of: fn(&SessionReport) -> u32| sessions.iter().map(of).sum::<u32>() / number.max(1);
        put(count, number)?;
        put(fps, mean(|session| session.fps))?;
        put(latency_us, mean(|session| session.latency_us))
    }
    fn nvmlDeviceGetEncoderCapacity(library, device: usize, codec: u32, out: Out<u32>) {
        let device = library.present(device)?;
        let plan = &library.state.plan().devices[device];
        let codec = *Codec::ALL.get(usize::try_from(codec).unwrap_or(usize::MAX)).ok_or(INVALID_ARGUMENT)?;
        if !plan.encode.contains(&codec) {
            return Err(NOT_SUPPORTED);
        }
        put(out, 100 - library.state.utilisation_percent(device, Engine::Encode))
    }
    fn nvmlDeviceGetMemoryInfo(library, device: usize, out: Out<[u64; 3]>) {
        let device = library.present(device)?;
        let (total, used) = (library.state.plan().devices[device].memory_bytes, library.state.memory_used(device));
        put(out, [total, total.saturating_sub(used), used])
    }
    fn nvmlDeviceGetMemoryInfo_v2(library, device: usize, out: Out<MemoryV2>) {
        let device = library.present(device)?;
        let before = out.get().ok_or(INVALID_ARGUMENT)?;
        let (total, used) = (library.state.plan().devices[device].memory_bytes, library.state.memory_used(device));
        let free = total.saturating_sub(used);
        put(out, MemoryV2 { version: before.version, total, reserved: 0, free, used })
    }
    fn nvmlDeviceGetTemperature(library, device: usize, sensor: u32, out: Out<u32>) {
        let device = library.present(device)?;
        if sensor == 0 { put(out, degrees(library, device)) } else { Err(INVALID_ARGUMENT) }
    }
    fn nvmlDeviceGetTemperatureV(library, device: usize, out: Out<Temperature>) {
        let device = library.present(device)?;
        let before = out.get().ok_or(INVALID_ARGUMENT)?;
        let degrees = i32::try_from(degrees(library, device)).unwrap_or(0);
        put(out, Temperature { degrees, ..before })
    }
    fn nvmlDeviceGetPowerUsage(library, device: usize, milliwatts: Out<u32>) {
        let device = library.present(device)?;
        put(milliwatts, 16_000 + 500 * load(library, device))
    }
    fn nvmlDeviceGetPowerManagementLimit(library, device: usize, milliwatts: Out<u32>) {
        library.present(device)?;
        put(milliwatts, 72_000)
    }
    fn nvmlDeviceGetEnforcedPowerLimit(library, device: usize, milliwatts: Out<u32>) {
        library.present(device)?;
        put(milliwatts, 72_000)
    }
    fn nvmlDeviceGetClockInfo(library, device: usize, kind: u32, mhz: Out<u32>) {
        let device = library.present(device)?;
        put(mhz, clock(library, device, kind, false)?)
    }
    fn nvmlDeviceGetMaxClockInfo(library, device: usize, kind: u32, mhz: Out<u32>) {
        let device = library.present(device)?;
        put(mhz, clock(library, device, kind, true)?)
    }
    fn nvmlDeviceGetPerformanceState(library, device: usize, state: Out<u32>) {
        let device = library.present(device)?;
        put(state, if load(library, device) > 0 { 0 } else { 8 })
    }
    fn nvmlDeviceGetCurrentClocksThrottleReasons(library, device: usize, out: Out<u64>) {
        let device = library.present(device)?;
        put(out, reasons(library, device))
    }
    fn nvmlDeviceGetCurrentClocksEventReasons(library, device: usize, out: Out<u64>) {
        let device = library.present(device)?;
        put(out, reasons(library, device))
    }
    fn nvmlDeviceGetComputeRunningProcesses_v3(library, device: usize, count: Out<u32>, out: Out<Process>) {
        processes(library, device, count, out)
    }
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(library, device: usize, count: Out<u32>, _out: Out<Process>) {
        library.present(device)?;
        put(count, 0)
    }
}
