//! Render nodes, and one of them opened.

mod access;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::caps::{Caps, CapsError};
use crate::error::CallError;
use crate::ffi::{Display, Library, LoadError, OpenFailure};

/// A video coding format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 | ISO/IEC 14496-10.
    H264,
    /// HEVC | ISO/IEC 23008-2.
    Hevc,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::H264, Self::Hevc];

    /// The name that people know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
        }
    }
}

/// A render node that is there, whether or not it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `/dev/dri/renderD128`, below the root that was searched.
    pub path: PathBuf,
    /// Its kernel driver: `i915`, `xe`, `amdgpu`.
    pub kernel_driver: Option<String>,
    /// Its address: `0000:00:02.0`.
    pub pci_address: Option<String>,
    /// PCI vendor and device.
    pub pci_id: Option<(u16, u16)>,
    /// The NUMA node next to it; none on machines with one.
    pub numa_node: Option<u32>,
}

/// PCI vendors (pci.ids).
const INTEL: u16 = 0x8086;
const AMD: u16 = 0x1002;
const NVIDIA: u16 = 0x10de;

impl Node {
    /// The render nodes below `root` (`/` outside of tests), by number.
    ///
    /// # Errors
    /// Where `dev/dri` is there and cannot be read; a machine without it has no node.
    pub fn list(root: &Path) -> Result<Vec<Self>, DeviceError> {
        let folder = root.join("dev/dri");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(DeviceError::List { folder, source }),
        };
        let mut nodes: Vec<(u32, Self)> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                let number = name.strip_prefix("renderD")?.parse().ok()?;
                Some((number, Self::read(root, &name)))
            })
            .collect();
        nodes.sort_by_key(|(number, _)| *number);
        Ok(nodes.into_iter().map(|(_, node)| node).collect())
    }

    /// The node at `path`, with what the kernel says of it below `root` where it is one of `root`'s own.
    #[must_use]
    pub fn at(root: &Path, path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with("renderD"));
        match name {
            Some(name) if path.parent() == Some(&root.join("dev/dri")) => Self::read(root, name),
            _ => Self {
                path: path.to_owned(),
                kernel_driver: None,
                pci_address: None,
                pci_id: None,
                numa_node: None,
            },
        }
    }

    fn read(root: &Path, name: &str) -> Self {
        let device = root.join("sys/class/drm").join(name).join("device");
        let text = |file: &str| fs::read_to_string(device.join(file)).ok().map(|t| t.trim().to_owned());
        let hexadecimal = |file: &str| u16::from_str_radix(text(file)?.strip_prefix("0x")?, 16).ok();
        let last = |link: PathBuf| {
            let target = fs::read_link(link).ok()?;
            target.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        };
        Self {
            path: root.join("dev/dri").join(name),
            kernel_driver: last(device.join("driver")),
            pci_address: last(device.clone()).filter(|name| name.contains(':')),
            pci_id: hexadecimal("vendor").zip(hexadecimal("device")),
            numa_node: text("numa_node").and_then(|t| t.parse().ok()),
        }
    }

    /// What to install where no driver loads.
    fn driver_packages(&self) -> &'static str {
        match (self.pci_id, self.kernel_driver.as_deref()) {
            (Some((INTEL, _)), _) | (_, Some("i915" | "xe")) => {
                "install intel-media-va-driver-non-free or intel-media-va-driver (up to Haswell: i965-va-driver)"
            }
            (Some((AMD, _)), _) | (_, Some("amdgpu" | "radeon")) => "install mesa-va-drivers",
            (Some((NVIDIA, _)), _) | (_, Some("nvidia" | "nouveau")) => {
                "NVIDIA GPUs are used through NVENC and NVDEC, not through VA-API"
            }
            _ => "install the VA-API driver of this GPU",
        }
    }
}

/// Why a device cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The folder of nodes cannot be read.
    #[error("cannot list {}", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The node is not there.
    #[error("there is no render node {}: the kernel has no driver for a GPU, or it is not passed into this container", .0.display())]
    Missing(PathBuf),
    /// The node may not be opened.
    #[error("render node {} is not accessible to user {user}: {remedy}", path.display())]
    Denied {
        /// The node.
        path: PathBuf,
        /// Who tried.
        user: String,
        /// What to do.
        remedy: String,
    },
    /// The node cannot be opened for another reason.
    #[error("cannot open render node {}", path.display())]
    Open {
        /// The node.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// libva is not installed.
    #[error("libva is needed")]
    Library(#[from] LoadError),
    /// libva does not take the file for a DRM node.
    #[error("{} is not a DRM render node", .0.display())]
    NotDrm(PathBuf),
    /// No driver loads, or the one that does fails.
    #[error("no VA-API driver works on {}: {remedy}{}", path.display(), said(messages))]
    Driver {
        /// The node.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// What libva said while it tried.
        messages: Vec<String>,
        /// What libva answered.
        #[source]
        source: CallError,
    },
    /// The driver does not say what it can do.
    #[error("the capabilities of {}", path.display())]
    Caps {
        /// The node.
        path: PathBuf,
        /// Which question failed.
        #[source]
        source: CapsError,
    },
}

fn said(messages: &[String]) -> String {
    if messages.is_empty() { String::new() } else { format!(" (libva said: {})", messages.join("; ")) }
}

struct Inner {
    node: Node,
    name: String,
    caps: Caps,
    display: Arc<Display>,
}

/// A render node with its driver loaded; clones share it.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({} {})", self.node().path.display(), self.name())
    }
}

impl Device {
    /// Opens a node of [`Node::list`], loads libva and the node's driver.
    ///
    /// # Errors
    /// Where any of these is not there or may not be used; the error says what to do.
    pub fn open(node: &Node) -> Result<Self, DeviceError> {
        let path = || node.path.clone();
        let file =
            OpenOptions::new().read(true).write(true).open(&node.path).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::NotFound => DeviceError::Missing(path()),
                    io::ErrorKind::PermissionDenied => access::denied(&node.path),
                    _ => DeviceError::Open { path: path(), source },
                }
            })?;
        let library = Library::load()?;
        let display = Display::open(&library, file).map_err(|failure| match failure {
            OpenFailure::NotDrm => DeviceError::NotDrm(path()),
            OpenFailure::Initialise { error, messages } => {
                DeviceError::Driver { path: path(), remedy: node.driver_packages(), messages, source: error }
            }
        })?;
        let display = Arc::new(display);
        let caps = Caps::of(&display).map_err(|source| DeviceError::Caps { path: path(), source })?;
        Ok(Self(Arc::new(Inner { node: node.clone(), name: display.vendor(), caps, display })))
    }

    /// The node that it was opened on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// What the driver calls itself: `Intel iHD driver for Intel(R) Gen Graphics - 23.1.1 ()`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the driver says that it can do.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    pub(crate) fn display(&self) -> &Arc<Display> {
        &self.0.display
    }
}

#[cfg(test)]
mod tests;
