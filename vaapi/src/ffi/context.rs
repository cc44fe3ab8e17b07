//! Configurations and contexts: a way through the driver, and what is submitted to it.

use std::ffi::c_int;
use std::sync::Arc;

use super::display::count_of;
use super::{Buffer, Display, Surface, va};
use crate::error::{CallError, Status, check};
use crate::frame::Size;

/// A profile and an entry point with their attributes.
pub(crate) struct Config {
    display: Arc<Display>,
    id: va::VAConfigID,
}

impl Config {
    /// A configuration.
    pub(crate) fn new(
        display: &Arc<Display>,
        profile: va::VAProfile,
        entrypoint: va::VAEntrypoint,
        attributes: &[(va::VAConfigAttribType, u32)],
    ) -> Result<Self, CallError> {
        let mut list: Vec<_> =
            attributes.iter().map(|&(type_, value)| va::VAConfigAttrib { type_, value }).collect();
        let mut id = va::VA_INVALID_ID;
        // SAFETY: the list has as many elements as is said, and there is room for the identifier.
        let status = unsafe {
            (display.va().vaCreateConfig)(
                display.handle(),
                profile,
                entrypoint,
                list.as_mut_ptr(),
                count_of(&list)?.cast_signed(),
                &raw mut id,
            )
        };
        check("vaCreateConfig", status)?;
        Ok(Self { display: Arc::clone(display), id })
    }

    /// The layouts that surfaces for it can have.
    pub(crate) fn surface_formats(&self) -> Result<Vec<u32>, CallError> {
        const CALL: &str = "vaQuerySurfaceAttributes";
        /// More than any driver lists; a bound on what is allocated.
        const MAX_ATTRIBUTES: u32 = 1024;
        let mut count = 0;
        // SAFETY: without a list only the number is given.
        let status = unsafe {
            (self.display.va().vaQuerySurfaceAttributes)(
                self.display.handle(),
                self.id,
                std::ptr::null_mut(),
                &raw mut count,
            )
        };
        check(CALL, status)?;
        let room = usize::try_from(count.min(MAX_ATTRIBUTES)).unwrap_or(0);
        let mut list = vec![va::VASurfaceAttrib::default(); room];
        count = count_of(&list)?;
        // SAFETY: the list has as many elements as is said.
        let status = unsafe {
            (self.display.va().vaQuerySurfaceAttributes)(
                self.display.handle(),
                self.id,
                list.as_mut_ptr(),
                &raw mut count,
            )
        };
        check(CALL, status)?;
        list.truncate(usize::try_from(count).unwrap_or(0));
        let formats = list.iter().filter(|a| {
            a.type_ == va::VASurfaceAttribPixelFormat && a.value.type_ == va::VAGenericValueTypeInteger
        });
        Ok(formats
            // SAFETY: the value says that it is an integer.
            .map(|a| unsafe { a.value.value.i }.cast_unsigned())
            .collect())
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        if self.display.is_abandoned() {
            return;
        }
        // SAFETY: the configuration is one of the display's, and destroyed once.
        unsafe { (self.display.va().vaDestroyConfig)(self.display.handle(), self.id) };
    }
}

/// A decoder, encoder or processor in the driver.
pub(crate) struct Context {
    /// Destroyed behind the context: fields are dropped in order, after [`Drop::drop`].
    config: Config,
    id: va::VAContextID,
    /// What it was made with; some drivers want to know these surfaces for as long as it lives.
    _targets: Vec<Arc<Surface>>,
}

impl Context {
    /// A context for progressive surfaces of a size; `targets` are what it will render into, as far as is known.
    pub(crate) fn new(config: Config, size: Size, targets: Vec<Arc<Surface>>) -> Result<Self, CallError> {
        let side = |length: u32| {
            c_int::try_from(length)
                .map_err(|_| CallError { call: "vaCreateContext", status: Status::ResolutionNotSupported })
        };
        let (width, height) = (side(size.width)?, side(size.height)?);
        let mut ids: Vec<_> = targets.iter().map(|surface| surface.id()).collect();
        let mut id = va::VA_INVALID_ID;
        let display = &config.display;
        // SAFETY: the configuration and all surfaces are the display's, the list has as many elements as is said, and
        // there is room for the identifier.
        let status = unsafe {
            (display.va().vaCreateContext)(
                display.handle(),
                config.id,
                width,
                height,
                va::VA_PROGRESSIVE.cast_signed(),
                ids.as_mut_ptr(),
                count_of(&ids)?.cast_signed(),
                &raw mut id,
            )
        };
        check("vaCreateContext", status)?;
        Ok(Self { config, id, _targets: targets })
    }

    pub(crate) const fn display(&self) -> &Arc<Display> {
        &self.config.display
    }

    pub(crate) const fn id(&self) -> va::VAContextID {
        self.id
    }

    /// Has the driver do what the buffers say, with `target` as the surface that is decoded into, encoded from or
    /// processed into. What is in the buffers is used up: they are destroyed on return.
    pub(crate) fn submit(&mut self, target: &Surface, buffers: Vec<Buffer>) -> Result<(), CallError> {
        let display = &self.config.display;
        let (va, handle) = (display.va(), display.handle());
        let mut ids: Vec<_> = buffers.iter().map(Buffer::id).collect();
        let count = count_of(&ids)?.cast_signed();
        // SAFETY: context and surface are the display's.
        check("vaBeginPicture", unsafe { (va.vaBeginPicture)(handle, self.id, target.id()) })?;
        // SAFETY: a picture is begun; the buffers are the context's, live over the call, and are as many as is said.
        let rendered = check("vaRenderPicture", unsafe {
            (va.vaRenderPicture)(handle, self.id, ids.as_mut_ptr(), count)
        });
        // Also behind a failure: otherwise the context would be left within a picture.
        // SAFETY: a picture is begun.
        let ended = check("vaEndPicture", unsafe { (va.vaEndPicture)(handle, self.id) });
        rendered.and(ended)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let display = &self.config.display;
        if display.is_abandoned() {
            return;
        }
        // SAFETY: the context is one of the display's, and destroyed once.
        unsafe { (display.va().vaDestroyContext)(display.handle(), self.id) };
    }
}
