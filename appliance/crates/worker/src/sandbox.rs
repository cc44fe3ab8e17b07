//! What the process gives up before it reads a byte.
//!
//! The order does not matter, as each step stands for itself; all come before any thread, since they hold for threads
//! made later. There is no parent-death signal: it is tied to the parent's *thread*, and a daemon's spawning thread may
//! end long before the daemon does. A worker ends when its socket does instead (see [`crate::link`]).

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use worker_protocol::EngineKind;

/// Open files: three standard ones, the socket's copies, what libraries open while they start, with room.
const MAX_OPEN_FILES: u64 = 256;
/// Likewise where a driver opens its device's nodes over and over, for each context and each buffer that is shared.
const MAX_OPEN_FILES_WITH_DRIVER: u64 = 4096;
/// Largest file that a driver may write: NVIDIA's keeps translated kernels in a cache of up to 1 GiB.
const MAX_DRIVER_FILE_BYTES: u64 = 1 << 30;

/// A step that the kernel refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    #[error("cannot set no_new_privs")]
    NoNewPrivileges(#[source] Errno),
    /// `prctl(PR_SET_THP_DISABLE)`.
    #[error("cannot turn huge pages off")]
    HugePages(#[source] Errno),
    /// `setrlimit`.
    #[error("cannot set {resource:?} to {limit}")]
    Limit {
        /// Which limit.
        resource: Resource,
        /// Its value.
        limit: u64,
        /// Why not.
        #[source]
        source: Errno,
    },
}

/// Gives up what a transcoder on `engine` does not need.
///
/// # Errors
/// Where the kernel refuses a step.
pub(crate) fn enter(engine: EngineKind) -> Result<(), SandboxError> {
    // No set-user-ID program raises privileges from here on.
    prctl::set_no_new_privs().map_err(SandboxError::NoNewPrivileges)?;
    // x264 asks for huge pages for each of its frames. They cost 4 % of a worker's memory in rounding, and more time in
    // the kernel, which clears them, than they save: measured with a 1080p ladder.
    prctl::set_thp_disable(true).map_err(SandboxError::HugePages)?;
    // A core would hold the feed's pictures.
    limit(Resource::RLIMIT_CORE, 0)?;
    // It writes no files of its own; pipes and sockets are not counted.
    let (file_bytes, open_files) = match engine {
        EngineKind::Software => (0, MAX_OPEN_FILES),
        EngineKind::Nvidia | EngineKind::NvidiaDecode | EngineKind::Vaapi => {
            (MAX_DRIVER_FILE_BYTES, MAX_OPEN_FILES_WITH_DRIVER)
        }
    };
    limit(Resource::RLIMIT_FSIZE, file_bytes)?;
    limit(Resource::RLIMIT_NOFILE, open_files)
}

fn limit(resource: Resource, limit: u64) -> Result<(), SandboxError> {
    setrlimit(resource, limit, limit).map_err(|source| SandboxError::Limit { resource, limit, source })
}
