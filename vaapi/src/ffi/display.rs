//! A display: the connection of libva to one render node.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Library, va};
use crate::error::{CallError, Status, check};

/// Most lines of libva's messages that are kept: what loading a driver says.
const MAX_MESSAGES: usize = 8;
/// Bounds on what a driver says of itself, before anything is allocated for it; the drivers in use say less than 64.
const MAX_LIST: c_int = 1024;

/// What libva says while a driver is loaded.
type Messages = Mutex<Vec<String>>;

/// An initialised display. The node stays open as long as it.
pub(crate) struct Display {
    library: Arc<Library>,
    handle: va::VADisplay,
    /// libva holds its address.
    messages: Box<Messages>,
    node: Option<File>,
    /// The driver hangs: whoever calls it may never return.
    abandoned: AtomicBool,
}

// SAFETY: the handle is a pointer to libva's display context, which is not bound to a thread; see the module.
unsafe impl Send for Display {}
// SAFETY: drivers lock around each call; see the module. Initialising and terminating, which libva does not lock, are in
// `open` and `drop`, where nobody else has the handle.
unsafe impl Sync for Display {}

/// Why there is no display on a node.
pub(crate) enum OpenFailure {
    /// libva does not take the node for a DRM node.
    NotDrm,
    /// No driver loads, or it does not initialise.
    Initialise {
        /// What libva answered.
        error: CallError,
        /// What it said meanwhile.
        messages: Vec<String>,
    },
}

impl Display {
    /// Initialises libva on an open render node.
    pub(crate) fn open(library: &Arc<Library>, node: File) -> Result<Self, OpenFailure> {
        // SAFETY: takes any descriptor, and gives a null pointer for one that is not a DRM node.
        let handle = unsafe { (library.get_display_drm)(node.as_raw_fd()) };
        if handle.is_null() {
            return Err(OpenFailure::NotDrm);
        }
        let display = Self {
            library: Arc::clone(library),
            handle,
            messages: Box::default(),
            node: Some(node),
            abandoned: AtomicBool::new(false),
        };
        let context: *const Messages = &raw const *display.messages;
        // SAFETY: the handle was given above; the context lives in a box of the display, which terminates the handle
        // before the box is dropped.
        unsafe { (library.va.vaSetErrorCallback)(handle, Some(keep), context.cast_mut().cast()) };
        // What was tried is said as information alone.
        // SAFETY: as above.
        unsafe { (library.va.vaSetInfoCallback)(handle, Some(keep), context.cast_mut().cast()) };
        let (mut major, mut minor): (c_int, c_int) = (0, 0);
        // SAFETY: the handle was given above, and both numbers live over the call.
        let status = unsafe { (library.va.vaInitialize)(handle, &raw mut major, &raw mut minor) };
        match check("vaInitialize", status) {
            Ok(()) => Ok(display),
            Err(error) => {
                let messages =
                    std::mem::take(&mut *display.messages.lock().unwrap_or_else(PoisonError::into_inner));
                Err(OpenFailure::Initialise { error, messages })
            }
        }
    }

    pub(crate) fn va(&self) -> &va::Va {
        &self.library.va
    }

    pub(crate) fn handle(&self) -> va::VADisplay {
        self.handle
    }

    /// libva's wait for a surface with an end, where it has one.
    pub(super) fn sync_surface_within(&self) -> Option<super::SyncSurfaceWithin> {
        self.library.sync_surface_within
    }

    /// The driver does not give back what it was given: from now on nothing on the display is destroyed, since the device
    /// may still use it, and the driver may hold its lock.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether what was made on the display is to be left as it is.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// What the driver calls itself.
    pub(crate) fn vendor(&self) -> String {
        // SAFETY: the display is initialised.
        let text = unsafe { (self.va().vaQueryVendorString)(self.handle) };
        if text.is_null() {
            return "unnamed driver".to_owned();
        }
        // SAFETY: not null, and a C string that the driver keeps until the display is terminated.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// The profiles that the driver has any entry point for.
    pub(crate) fn profiles(&self) -> Result<Vec<va::VAProfile>, CallError> {
        // SAFETY: the display is initialised.
        let most = unsafe { (self.va().vaMaxNumProfiles)(self.handle) };
        list("vaQueryConfigProfiles", most, |out, count| {
            // SAFETY: the list has room for as many as the driver says it has at most.
            unsafe { (self.va().vaQueryConfigProfiles)(self.handle, out, count) }
        })
    }

    /// The entry points of a profile.
    pub(crate) fn entrypoints(&self, profile: va::VAProfile) -> Result<Vec<va::VAEntrypoint>, CallError> {
        // SAFETY: the display is initialised.
        let most = unsafe { (self.va().vaMaxNumEntrypoints)(self.handle) };
        list("vaQueryConfigEntrypoints", most, |out, count| {
            // SAFETY: the list has room for as many as the driver says it has at most.
            unsafe { (self.va().vaQueryConfigEntrypoints)(self.handle, profile, out, count) }
        })
    }

    /// Attributes of an entry point, in the order asked for; none where the driver does not have one.
    pub(crate) fn attributes<const N: usize>(
        &self,
        profile: va::VAProfile,
        entrypoint: va::VAEntrypoint,
        kinds: [va::VAConfigAttribType; N],
    ) -> Result<[Option<u32>; N], CallError> {
        let mut attributes = kinds.map(|type_| va::VAConfigAttrib { type_, value: 0 });
        let count = c_int::try_from(N).unwrap_or(0);
        // SAFETY: the list has as many elements as is said.
        let status = unsafe {
            (self.va().vaGetConfigAttributes)(
                self.handle,
                profile,
                entrypoint,
                attributes.as_mut_ptr(),
                count,
            )
        };
        check("vaGetConfigAttributes", status)?;
        Ok(attributes.map(|a| (a.value != va::VA_ATTRIB_NOT_SUPPORTED).then_some(a.value)))
    }

    /// The pixel layouts that images can have.
    pub(crate) fn image_formats(&self) -> Result<Vec<va::VAImageFormat>, CallError> {
        // SAFETY: the display is initialised.
        let most = unsafe { (self.va().vaMaxNumImageFormats)(self.handle) };
        list("vaQueryImageFormats", most, |out, count| {
            // SAFETY: the list has room for as many as the driver says it has at most.
            unsafe { (self.va().vaQueryImageFormats)(self.handle, out, count) }
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if self.is_abandoned() {
            // Threads of the driver may be at work: its code, its descriptor and what it was told stay.
            std::mem::forget(Arc::clone(&self.library));
            std::mem::forget(std::mem::take(&mut self.messages));
            std::mem::forget(self.node.take());
            return;
        }
        // SAFETY: the handle was given by libva, is terminated once, and all that was made on it holds this display and
        // is gone. libva takes a display that did not initialise, too.
        unsafe { (self.va().vaTerminate)(self.handle) };
    }
}

/// A list that a driver fills, which has at most as many elements as it said before.
fn list<T: Copy + Default>(
    call: &'static str,
    most: c_int,
    fill: impl FnOnce(*mut T, *mut c_int) -> va::VAStatus,
) -> Result<Vec<T>, CallError> {
    let too_many = CallError { call, status: Status::MaxNumExceeded };
    let room = usize::try_from(most.clamp(0, MAX_LIST)).map_err(|_| too_many)?;
    if most > MAX_LIST {
        return Err(too_many);
    }
    let mut items = vec![T::default(); room];
    let mut count = most.max(0);
    check(call, fill(items.as_mut_ptr(), &raw mut count))?;
    items.truncate(usize::try_from(count).map_err(|_| too_many)?);
    Ok(items)
}

/// Keeps a line of what libva says.
extern "C" fn keep(context: *mut c_void, message: *const c_char) {
    if context.is_null() || message.is_null() {
        return;
    }
    // SAFETY: `open` gave the address of messages that live longer than the display.
    let messages = unsafe { &*context.cast::<Messages>() };
    // SAFETY: libva gives a C string that lives over the call.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
    if messages.len() < MAX_MESSAGES {
        messages.push(text.trim().to_owned());
    }
}

/// The number of elements of a list as libva wants it.
pub(super) fn count_of<T>(list: &[T]) -> Result<c_uint, CallError> {
    let error = CallError { call: "counting elements", status: Status::InvalidValue };
    c_uint::try_from(list.len()).map_err(|_| error)
}
