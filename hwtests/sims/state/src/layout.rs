//! The state file: one fixed structure of atomics, all zero when new, mapped by every process.
//!
//! Single numbers are read and added to without a lock; whatever takes more than one step (a slot taken, an engine's
//! time given out) is done under the file's lock, see [`crate::locks`].

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// "RUNGSIM" and the layout's version: a file of another layout is refused.
pub(crate) const MAGIC: u64 = 0x5255_4e47_5349_4d02;
/// Devices of one plan.
pub(crate) const MAX_DEVICES: usize = 16;
/// Libraries loaded by live processes: up to four a process.
pub(crate) const MAX_INSTANCES: usize = 512;
/// Open sessions of all processes.
pub(crate) const MAX_SESSIONS: usize = 1024;
/// Faults of one device.
pub(crate) const MAX_FAULTS: usize = 16;
/// Violations that are kept; later ones are only counted.
pub(crate) const MAX_VIOLATIONS: usize = 64;
/// Bytes of one violation's sentence.
pub(crate) const SENTENCE_BYTES: usize = 256;
/// Slices of time that an engine's busy time is kept for.
pub(crate) const BUCKETS: usize = 64;
/// Engines of one type on one device.
pub(crate) const MAX_UNITS: usize = 8;
/// The file's size.
pub(crate) const BYTES: usize = size_of::<Layout>();

/// The kinds of work that a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Encoding: NVENC, VA-API's encode entry points.
    Encode,
    /// Decoding: NVDEC, VA-API's `VLD`.
    Decode,
    /// Scaling and conversion: CUDA kernels, VA-API's VPP.
    Scale,
}

impl Engine {
    /// All of them, in the order of the state file.
    pub const ALL: [Self; 3] = [Self::Encode, Self::Decode, Self::Scale];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What is counted on each device since the state file is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Copies of host memory to the device: `cuMemcpy`, a locked input buffer, `vaPutImage`, a surface mapped to write.
    HostToDeviceCopies,
    /// Bytes of them.
    HostToDeviceBytes,
    /// Copies of device memory to the host; coded bytes are not among them.
    DeviceToHostCopies,
    /// Bytes of them.
    DeviceToHostBytes,
    /// Copies within the device.
    DeviceCopies,
    /// Kernels launched, VPP jobs run.
    ScaleJobs,
    /// Pictures given to encoders.
    FramesEncoded,
    /// Pictures that came out as IDR, or as an AV1 key frame.
    IdrFrames,
    /// Pictures decoded.
    FramesDecoded,
    /// Encode sessions opened.
    EncodeOpens,
    /// Decoders created.
    DecodeOpens,
    /// Sessions refused: by the plan, by a cap.
    OpensRefused,
    /// Encode sessions that a process began to open while it was opening another on the device.
    OverlappingOpens,
    /// CUDA contexts made; one that is retained once more is not.
    ContextsMade,
    /// Changes of a running encoder's bit rate or size.
    Reconfigurations,
    /// Sessions that ended with their process rather than by a call.
    SessionsAbandoned,
    /// Processor time that drivers spent in software coders and copies, in nanoseconds: what a process's own cost is
    /// without.
    DriverCpuNs,
}

impl Counter {
    /// All of them, in the order of the state file.
    pub const ALL: [Self; 17] = [
        Self::HostToDeviceCopies,
        Self::HostToDeviceBytes,
        Self::DeviceToHostCopies,
        Self::DeviceToHostBytes,
        Self::DeviceCopies,
        Self::ScaleJobs,
        Self::FramesEncoded,
        Self::IdrFrames,
        Self::FramesDecoded,
        Self::EncodeOpens,
        Self::DecodeOpens,
        Self::OpensRefused,
        Self::OverlappingOpens,
        Self::ContextsMade,
        Self::Reconfigurations,
        Self::SessionsAbandoned,
        Self::DriverCpuNs,
    ];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[repr(C)]
pub(crate) struct Layout {
    pub(crate) magic: AtomicU64,
    pub(crate) next_session: AtomicU32,
    pub(crate) violations: AtomicU32,
    pub(crate) instances: [Instance; MAX_INSTANCES],
    pub(crate) sessions: [SessionSlot; MAX_SESSIONS],
    pub(crate) devices: [DeviceSlot; MAX_DEVICES],
    pub(crate) sentences: [Sentence; MAX_VIOLATIONS],
}

/// A library in a process. Alive as long as the lock on its byte is held (see [`crate::locks`]), which the kernel gives
/// up with the process.
#[repr(C)]
pub(crate) struct Instance {
    /// 0 where the slot is free.
    pub(crate) pid: AtomicU32,
    _pad: AtomicU32,
    /// Bytes it holds on each device.
    pub(crate) memory: [AtomicU64; MAX_DEVICES],
}

#[repr(C)]
pub(crate) struct SessionSlot {
    /// 0 where the slot is free.
    pub(crate) id: AtomicU32,
    /// Slot of the library that opened it, from 1.
    pub(crate) owner: AtomicU32,
    pub(crate) pid: AtomicU32,
    pub(crate) device: AtomicU32,
    pub(crate) engine: AtomicU32,
    pub(crate) codec: AtomicU32,
    pub(crate) width: AtomicU32,
    pub(crate) height: AtomicU32,
    pub(crate) frames: AtomicU64,
    pub(crate) opened_ns: AtomicU64,
    pub(crate) last_frame_ns: AtomicU64,
    /// Mean time between frames and mean time a frame took, of the last few.
    pub(crate) interval_ns: AtomicU64,
    pub(crate) latency_ns: AtomicU64,
}

#[repr(C)]
pub(crate) struct DeviceSlot {
    /// The Xid with which it was lost; 0 while it is there.
    pub(crate) lost: AtomicU32,
    /// Raised with every loss, so that those who wait for events see each once.
    pub(crate) losses: AtomicU32,
    /// The Xid of the newest loss; it stays when the device is back.
    pub(crate) last_xid: AtomicU32,
    /// Raised with every restoration, which ends what hangs.
    pub(crate) restores: AtomicU32,
    pub(crate) counters: [AtomicU64; Counter::ALL.len()],
    pub(crate) allocations: AtomicU64,
    /// When the last session that is being opened will be open.
    pub(crate) opening_until_ns: AtomicU64,
    pub(crate) engines: [EngineSlot; Engine::ALL.len()],
    pub(crate) fired: [AtomicU64; MAX_FAULTS],
}

#[repr(C)]
pub(crate) struct EngineSlot {
    /// When each unit is done with what it was given.
    pub(crate) free_at_ns: [AtomicU64; MAX_UNITS],
    /// All its busy time.
    pub(crate) busy_ns: AtomicU64,
    /// Busy time by slice of time; `bucket_number` says which slice a bucket holds.
    pub(crate) bucket_number: [AtomicU64; BUCKETS],
    pub(crate) bucket_busy_ns: [AtomicU64; BUCKETS],
}

#[repr(C)]
pub(crate) struct Sentence {
    /// What kind of offence, from 1; 0 while it is being written.
    pub(crate) offence: AtomicU32,
    pub(crate) length: AtomicU32,
    pub(crate) text: [AtomicU8; SENTENCE_BYTES],
}
