//! How busy a device is, from the kernel: what its clients use of it ([`clients`], DRM usage statistics), and what its
//! driver says in sysfs ([`sensors`]).
//!
//! No driver library is touched, so that a device whose driver hangs still answers. Everything is read below a root
//! path (`/` outside of tests). What a kernel, a driver or a right does not give is absent, not an error: readings are
//! for people and metrics, never for decisions that must be right.
//!
//! Not promised: figures of clients that this user may not look at (other users' processes), and resets on xe and
//! amdgpu, which count them nowhere; their recorded hangs show instead.

pub mod clients;
pub mod sensors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::device::Node;
pub use clients::{Client, Usage};
pub use sensors::Sensors;

/// The parts of a device that its kernel driver accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// 3D and shaders.
    Render,
    /// Compute.
    Compute,
    /// Copies.
    Copy,
    /// Intel's video engine: decodes, and encodes with low power.
    Video,
    /// Intel's video enhancement: scales and deinterlaces.
    VideoEnhance,
    /// AMD's decoder.
    Decode,
    /// AMD's encoder.
    Encode,
    /// AMD's still picture decoder.
    Jpeg,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Render,
        Self::Compute,
        Self::Copy,
        Self::Video,
        Self::VideoEnhance,
        Self::Decode,
        Self::Encode,
        Self::Jpeg,
    ];

    /// A name for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Render => "render",
            Self::Compute => "compute",
            Self::Copy => "copy",
            Self::Video => "video",
            Self::VideoEnhance => "video-enhance",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Jpeg => "jpeg",
        }
    }

    /// The engine that i915, xe or amdgpu call so.
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "render" | "rcs" | "gfx" => Self::Render,
            "compute" | "ccs" => Self::Compute,
            "copy" | "bcs" | "dma" => Self::Copy,
            "video" | "vcs" => Self::Video,
            "video-enhance" | "vecs" => Self::VideoEnhance,
            "dec" => Self::Decode,
            "enc" | "enc_1" => Self::Encode,
            "jpeg" => Self::Jpeg,
            _ => return None,
        })
    }
}

/// Reads what the kernel says of one device.
#[derive(Debug, Clone)]
pub struct Telemetry {
    root: PathBuf,
    node: Node,
}

/// What was found at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The processes that use the device, by process and client number.
    pub clients: Vec<Client>,
    /// What the driver measures.
    pub sensors: Sensors,
}

impl Telemetry {
    /// Of a node of [`Node::list`], below the same root.
    #[must_use]
    pub fn new(root: &Path, node: &Node) -> Self {
        Self { root: root.to_path_buf(), node: node.clone() }
    }

    /// Everything that can be read now. Looks at all processes; once a second is often enough.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            clients: clients::list(&self.root, self.node.pci_address.as_deref()),
            sensors: Sensors::read(&self.root, &self.node),
        }
    }
}

impl Reading {
    /// The part of an engine that was in use since `before`, from 0 to 1, by all clients that were there both times;
    /// none where no client uses such an engine. `elapsed` lies between the readings.
    #[must_use]
    pub fn utilisation(&self, before: &Self, engine: Engine, elapsed: Duration) -> Option<f64> {
        let mut total = None;
        for client in &self.clients {
            let same = |c: &&Client| (c.pid, c.id, &c.device) == (client.pid, client.id, &client.device);
            let earlier = before.clients.iter().find(same);
            let Some((now, then)) = client.usage(engine).zip(earlier.and_then(|c| c.usage(engine))) else {
                continue;
            };
            if let Some(part) = now.since(then, elapsed) {
                *total.get_or_insert(0.0) += part;
            }
        }
        total.map(|part: f64| part.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
