//! Surfaces: pictures in the device's memory.

use std::ffi::c_uint;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{Display, va};
use crate::error::{CallError, Status, check};
use crate::frame::Size;

/// The layouts of 4:2:0 pictures that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// 8 bits: a plane of luma, one of chroma interleaved.
    Nv12,
    /// Likewise, 10 bits in the upper part of 16.
    P010,
}

impl Format {
    /// The layout for samples of that many bits.
    pub(crate) const fn of_depth(bits: u8) -> Option<Self> {
        match bits {
            8 => Some(Self::Nv12),
            10 => Some(Self::P010),
            _ => None,
        }
    }

    /// Bits of a sample.
    pub(crate) const fn depth(self) -> u8 {
        match self {
            Self::Nv12 => 8,
            Self::P010 => 10,
        }
    }

    /// Bytes that a sample takes.
    pub(crate) const fn sample_bytes(self) -> usize {
        match self {
            Self::Nv12 => 1,
            Self::P010 => 2,
        }
    }

    /// `VA_FOURCC_NV12`, `VA_FOURCC_P010`.
    pub(crate) const fn fourcc(self) -> u32 {
        match self {
            Self::Nv12 => u32::from_le_bytes(*b"NV12"),
            Self::P010 => u32::from_le_bytes(*b"P010"),
        }
    }

    /// The kind of surface that has it.
    pub(crate) const fn rt_format(self) -> u32 {
        match self {
            Self::Nv12 => va::VA_RT_FORMAT_YUV420,
            Self::P010 => va::VA_RT_FORMAT_YUV420_10,
        }
    }
}

/// A surface; gone with its last owner.
pub(crate) struct Surface {
    display: Arc<Display>,
    id: va::VASurfaceID,
    size: Size,
    format: Format,
}

impl Surface {
    /// A new surface; what it shows is undefined.
    pub(crate) fn new(display: &Arc<Display>, size: Size, format: Format) -> Result<Self, CallError> {
        let pixel_format = va::VASurfaceAttrib {
            type_: va::VASurfaceAttribPixelFormat,
            flags: va::VA_SURFACE_ATTRIB_SETTABLE,
            value: va::VAGenericValue {
                type_: va::VAGenericValueTypeInteger,
                value: va::_VAGenericValue__bindgen_ty_1 { i: format.fourcc().cast_signed() },
            },
        };
        let mut attributes = [pixel_format];
        let mut id = va::VA_INVALID_SURFACE;
        // SAFETY: one surface is asked for, and there is room for one; the list of attributes has one element.
        let status = unsafe {
            (display.va().vaCreateSurfaces)(
                display.handle(),
                format.rt_format(),
                size.width,
                size.height,
                &raw mut id,
                1,
                attributes.as_mut_ptr(),
                1,
            )
        };
        check("vaCreateSurfaces", status)?;
        Ok(Self { display: Arc::clone(display), id, size, format })
    }

    pub(crate) const fn id(&self) -> va::VASurfaceID {
        self.id
    }

    /// As it was made: what is shown may be less.
    pub(crate) const fn size(&self) -> Size {
        self.size
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    pub(crate) const fn display(&self) -> &Arc<Display> {
        &self.display
    }

    /// Waits until all that was asked of the surface is done.
    pub(crate) fn sync(&self) -> Result<(), CallError> {
        // SAFETY: the surface is one of the display's.
        let status = unsafe { (self.display.va().vaSyncSurface)(self.display.handle(), self.id) };
        check("vaSyncSurface", status)
    }

    /// As [`Self::sync`], for at most `patience`; whether all is done. Where it is not, the display is to be abandoned: a
    /// thread may go on waiting.
    pub(crate) fn sync_within(&self, patience: Duration) -> Result<bool, CallError> {
        if let Some(sync_within) = self.display.sync_surface_within() {
            // One less than va.h's VA_TIMEOUT_INFINITE.
            let nanoseconds = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX - 1);
            // SAFETY: the surface is one of the display's.
            let status = unsafe { sync_within(self.display.handle(), self.id, nanoseconds) };
            match check("vaSyncSurface2", status) {
                Ok(()) => return Ok(true),
                Err(CallError { status: Status::TimedOut, .. }) => return Ok(false),
                // libva has it, and the driver does not.
                Err(CallError { status: Status::Unimplemented, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.sync_beside(patience)
    }

    /// As [`Self::sync_within`], by a thread for each wait: the drivers that cannot wait for a time have nothing else that
    /// tells. Mesa's, before it had vaSyncSurface2, says of a surface that is encoded that it is rendered to until it was
    /// waited for.
    fn sync_beside(&self, patience: Duration) -> Result<bool, CallError> {
        let (display, id) = (Arc::clone(&self.display), self.id);
        let (sender, done) = mpsc::channel();
        let wait = move || {
            // SAFETY: the surface is one of the display's, and outlives the call: its owner waits for that, or abandons the
            // display, and then it is never destroyed.
            let status = unsafe { (display.va().vaSyncSurface)(display.handle(), id) };
            // Before whoever waits goes on: it is not to be this thread that ends the display.
            drop(display);
            // Nobody listens any more where it took too long.
            let _ = sender.send(check("vaSyncSurface", status));
        };
        let started = std::thread::Builder::new().name("va-sync".to_owned()).spawn(wait);
        if started.is_err() {
            return Err(CallError { call: "a thread for vaSyncSurface", status: Status::AllocationFailed });
        }
        match done.recv_timeout(patience) {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Whether all that was asked of it is done, as far as the driver can say.
    pub(crate) fn is_ready(&self) -> bool {
        let mut state: va::VASurfaceStatus = va::VASurfaceRendering;
        // SAFETY: the surface is one of the display's, and the state lives over the call.
        let status = unsafe {
            (self.display.va().vaQuerySurfaceStatus)(self.display.handle(), self.id, &raw mut state)
        };
        status == 0 && state & va::VASurfaceRendering == 0
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        if self.display.is_abandoned() {
            return;
        }
        let one: c_uint = 1;
        // SAFETY: the surface is one of the display's, and destroyed once; a driver lets work under way end first.
        unsafe {
            (self.display.va().vaDestroySurfaces)(self.display.handle(), &raw mut self.id, one.cast_signed())
        };
    }
}
