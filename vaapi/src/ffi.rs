//! libva, loaded when a device is opened; neither its headers nor itself are needed to build or to start.
//!
//! All of this crate's `unsafe` stands below here. What it gives out is owned, and gives back to the driver on drop in
//! an order that the driver can stand: buffers, surfaces, contexts and configurations all hold the display.
//!
//! Threads: libva leaves locking to the driver, and the drivers in use (iHD, i965, Mesa's) hold a lock of their own
//! around each call, so that objects of one display may be used from several threads. An object here is `Sync` only
//! where no call on it depends on the order of two others; a picture's calls are made by one method ([`Context::submit`]).

#[allow(
    missing_docs,
    nonstandard_style,
    unreachable_pub,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    unsafe_op_in_unsafe_fn,
    reason = "generated"
)]
#[rustfmt::skip]
pub(crate) mod bindings;
mod buffer;
mod context;
mod display;
mod image;
mod process;
mod surface;
pub(crate) mod words;

pub(crate) use bindings as va;
pub(crate) use buffer::{Buffer, CodedBuffer};
pub(crate) use context::{Config, Context};
pub(crate) use display::{Display, OpenFailure};
pub(crate) use image::Mapped;
pub(crate) use process::{ColourStandard, Deinterlace, Job, Processor, References, Region};
pub(crate) use surface::{Format, Surface};

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The library, by the name that its ABI has had since VA-API 1.0.
const LIBVA: &str = "libva.so.2";
/// Its companion for DRM nodes.
const LIBVA_DRM: &str = "libva-drm.so.2";

/// Why libva is not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The library does not load, or lacks a function.
    #[error("{library} does not load: install libva (Debian: libva2 and libva-drm2)")]
    Library {
        /// Which.
        library: &'static str,
        /// What the loader says.
        #[source]
        source: libloading::Error,
    },
}

/// `VAStatus vaSyncSurface2(VADisplay, VASurfaceID, uint64_t timeout_ns)` (va.h).
type SyncSurfaceWithin = unsafe extern "C" fn(va::VADisplay, va::VASurfaceID, u64) -> va::VAStatus;

/// libva and its DRM companion.
pub(crate) struct Library {
    pub(crate) va: va::Va,
    get_display_drm: unsafe extern "C" fn(c_int) -> va::VADisplay,
    /// libva has it since VA-API 1.9.
    sync_surface_within: Option<SyncSurfaceWithin>,
    /// Keep the functions above valid.
    _va: libloading::Library,
    _drm: libloading::Library,
}

impl Library {
    /// The libraries, loaded once for all devices in use.
    pub(crate) fn load() -> Result<Arc<Self>, LoadError> {
        static LOADED: Mutex<Weak<Library>> = Mutex::new(Weak::new());
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.upgrade() {
            return Ok(library);
        }
        let failed = |library| move |source| LoadError::Library { library, source };
        // SAFETY: the initialisers of libva, a system library, may run at any time; the signatures of its functions are
        // those of its headers, which have been the same since the ABI has had this name.
        let va = unsafe { va::Va::new(LIBVA) }.map_err(failed(LIBVA))?;
        // SAFETY: as above.
        let drm = unsafe { libloading::Library::new(LIBVA_DRM) }.map_err(failed(LIBVA_DRM))?;
        // SAFETY: the signature is that of va_drm.h: `VADisplay vaGetDisplayDRM(int fd)`.
        let get_display_drm = *unsafe { drm.get(b"vaGetDisplayDRM\0") }.map_err(failed(LIBVA_DRM))?;
        // SAFETY: as above; it is the library that is loaded already.
        let libva = unsafe { libloading::Library::new(LIBVA) }.map_err(failed(LIBVA))?;
        // SAFETY: the signature is that of va.h.
        let sync_surface_within = unsafe { libva.get(b"vaSyncSurface2\0") }.ok().map(|function| *function);
        let library = Arc::new(Self { va, get_display_drm, sync_surface_within, _va: libva, _drm: drm });
        *loaded = Arc::downgrade(&library);
        Ok(library)
    }
}
