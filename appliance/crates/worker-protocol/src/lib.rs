//! Messages and framing between the daemon and a worker: what crosses the process edge is coded media, both ways.
//!
//! One stream socket carries frames in both directions:
//!
//! ```text
//!  0               4               6
//! +---------------+-------+----------------+------------------+
//! | length (u32)  | h(u16)| header, h bytes| payload, the rest |
//! +---------------+-------+----------------+------------------+
//!   little endian           postcard          coded bytes, as they are
//! ```
//!
//! `length` counts everything behind itself. The header is a [`ToWorker`] or [`FromWorker`] in postcard; the payload
//! is never copied into it, so that media passes from the socket to its segment in one buffer.
//!
//! The calling contract: each side first sends its `Hello`; the daemon closes on a different [`VERSION`]. The worker is
//! inert until [`ToWorker::Start`], or [`ToWorker::StartSound`] if it is one for sound. Either side may close at any time;
//! the other treats that as the end.
//!
//! Beside the socket a worker answers two questions on standard output, in JSON: what devices there are
//! ([`device::Inventory`]) and how fast one is ([`device::Calibration`]).
#![forbid(unsafe_code)]

pub mod device;
pub mod framing;
pub mod message;

pub use device::{DeviceId, EngineKind, Inventory};
pub use framing::{FrameDecoder, FrameError, encode};
pub use message::{
    FromWorker, Job, MAX_REPORTED_LATENCIES, Report, RungJob, RungReport, SoundJob, SoundReport, ToWorker,
    VERSION,
};
