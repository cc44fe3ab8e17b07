//! Images: a surface's samples in memory that the CPU reads and writes.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::{Display, Format, Surface, va};
use crate::error::{CallError, Status, check};
use crate::frame::Size;

/// An image, mapped.
pub(crate) struct Mapped {
    display: Arc<Display>,
    image: va::VAImage,
    start: *mut c_void,
    format: Format,
}

/// One plane of an image.
pub(crate) struct Plane {
    /// Where it begins in [`Mapped::bytes`].
    pub(crate) offset: usize,
    /// Bytes from one row to the next.
    pub(crate) pitch: usize,
}

fn failed(call: &'static str, status: Status) -> CallError {
    CallError { call, status }
}

impl Mapped {
    /// A new image in the layout of a surface, its samples undefined.
    pub(crate) fn new(display: &Arc<Display>, size: Size, format: Format) -> Result<Self, CallError> {
        let unsupported = failed("vaQueryImageFormats", Status::InvalidImageFormat);
        let mut layout = display
            .image_formats()?
            .into_iter()
            .find(|found| found.fourcc == format.fourcc())
            .ok_or(unsupported)?;
        let side = |length: u32| {
            c_int::try_from(length).map_err(|_| failed("vaCreateImage", Status::ResolutionNotSupported))
        };
        let (width, height) = (side(size.width)?, side(size.height)?);
        let mut image = va::VAImage::default();
        // SAFETY: the layout is one that the driver listed, and there is room for the image.
        let status = unsafe {
            (display.va().vaCreateImage)(display.handle(), &raw mut layout, width, height, &raw mut image)
        };
        check("vaCreateImage", status)?;
        Self::map(display, image, format)
    }

    /// The samples of a surface in place, where the driver can do that.
    pub(crate) fn derive(surface: &Surface) -> Result<Self, CallError> {
        let display = surface.display();
        let mut image = va::VAImage::default();
        // SAFETY: the surface is one of the display's, and there is room for the image.
        let status = unsafe { (display.va().vaDeriveImage)(display.handle(), surface.id(), &raw mut image) };
        check("vaDeriveImage", status)?;
        if image.format.fourcc != surface.format().fourcc() {
            // SAFETY: the image was made above.
            unsafe { (display.va().vaDestroyImage)(display.handle(), image.image_id) };
            return Err(failed("vaDeriveImage", Status::InvalidImageFormat));
        }
        Self::map(display, image, surface.format())
    }

    fn map(display: &Arc<Display>, image: va::VAImage, format: Format) -> Result<Self, CallError> {
        let mut mapped = Self { display: Arc::clone(display), image, start: std::ptr::null_mut(), format };
        // SAFETY: the image's buffer is one of the display's and not mapped.
        let status =
            unsafe { (display.va().vaMapBuffer)(display.handle(), image.buf, &raw mut mapped.start) };
        check("vaMapBuffer", status)?;
        match mapped.start.is_null() {
            true => Err(failed("vaMapBuffer", Status::InvalidBuffer)),
            false => Ok(mapped),
        }
    }

    /// Luma and chroma, each `size` samples of 4:2:0 within the image; none where the driver's figures cannot be.
    pub(crate) fn planes(&self, size: Size) -> Option<[Plane; 2]> {
        let bytes = usize::try_from(self.image.data_size).ok()?;
        let plane = |index: usize| -> Option<Plane> {
            let offset = usize::try_from(*self.image.offsets.get(index)?).ok()?;
            let pitch = usize::try_from(*self.image.pitches.get(index)?).ok()?;
            let across = usize::try_from(size.width).ok()?.checked_mul(self.format.sample_bytes())?;
            let down =
                usize::try_from(if index == 0 { size.height } else { size.height.div_ceil(2) }).ok()?;
            let end = pitch.checked_mul(down.saturating_sub(1))?.checked_add(across)?.checked_add(offset)?;
            (across <= pitch && end <= bytes).then_some(Plane { offset, pitch })
        };
        Some([plane(0)?, plane(1)?])
    }

    /// All bytes of the image.
    pub(crate) fn bytes(&self) -> &[u8] {
        let length = usize::try_from(self.image.data_size).unwrap_or(0);
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: a mapped image has `data_size` bytes (va.h), nobody writes to them while this is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.cast_const().cast(), length) }
    }

    /// All bytes of the image, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let length = usize::try_from(self.image.data_size).unwrap_or(0);
        if self.start.is_null() {
            return &mut [];
        }
        // SAFETY: a mapped image has `data_size` bytes (va.h), and this is borrowed by one.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), length) }
    }

    /// Copies the samples of a surface into this image.
    pub(crate) fn get(&mut self, surface: &Surface, size: Size) -> Result<(), CallError> {
        self.unmap()?;
        // SAFETY: surface and image are the display's; both are at least as large.
        let status = unsafe {
            (self.display.va().vaGetImage)(
                self.display.handle(),
                surface.id(),
                0,
                0,
                size.width,
                size.height,
                self.image.image_id,
            )
        };
        check("vaGetImage", status)?;
        // SAFETY: the image's buffer is one of the display's and not mapped.
        let status = unsafe {
            (self.display.va().vaMapBuffer)(self.display.handle(), self.image.buf, &raw mut self.start)
        };
        check("vaMapBuffer", status)?;
        match self.start.is_null() {
            true => Err(failed("vaMapBuffer", Status::InvalidBuffer)),
            false => Ok(()),
        }
    }

    /// Copies this image into a surface.
    pub(crate) fn put(mut self, surface: &Surface, size: Size) -> Result<(), CallError> {
        self.unmap()?;
        // SAFETY: surface and image are the display's; both are at least as large.
        let status = unsafe {
            (self.display.va().vaPutImage)(
                self.display.handle(),
                surface.id(),
                self.image.image_id,
                0,
                0,
                size.width,
                size.height,
                0,
                0,
                size.width,
                size.height,
            )
        };
        check("vaPutImage", status)
    }

    fn unmap(&mut self) -> Result<(), CallError> {
        if std::mem::replace(&mut self.start, std::ptr::null_mut()).is_null() {
            return Ok(());
        }
        // SAFETY: the buffer is mapped, and what is borrowed of it cannot be held here.
        let status = unsafe { (self.display.va().vaUnmapBuffer)(self.display.handle(), self.image.buf) };
        check("vaUnmapBuffer", status)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.display.is_abandoned() {
            return;
        }
        // What can be done about it is done: the image goes.
        let _ = self.unmap();
        // SAFETY: the image is one of the display's, not mapped, and destroyed once.
        unsafe { (self.display.va().vaDestroyImage)(self.display.handle(), self.image.image_id) };
    }
}
