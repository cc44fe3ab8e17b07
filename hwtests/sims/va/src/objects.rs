//! What clients make and hold by number. Numbers are never used twice, so that one that is used after its end is known.

use std::collections::BTreeMap;

use crate::buffer::Buffer;
use crate::context::Context;
use crate::device::Purpose;
use crate::ffi;
use crate::image::Image;
use crate::status::{Answer, misuse};
use crate::surface::Surface;

/// All objects of one kind of one display.
pub(crate) struct Table<T> {
    kind: &'static str,
    /// The status for a number that is none of these.
    status: u32,
    first: u32,
    next: u32,
    live: BTreeMap<u32, T>,
}

impl<T> Table<T> {
    fn new(kind: &'static str, status: u32, first: u32) -> Self {
        Self { kind, status, first, next: first, live: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, object: T) -> u32 {
        let id = self.next;
        self.next += 1;
        self.live.insert(id, object);
        id
    }

    fn absent(&self, id: u32) -> String {
        if (self.first..self.next).contains(&id) {
            format!("{} {id:#x} is used after its destruction", self.kind)
        } else {
            format!("{id:#x} is no {}", self.kind)
        }
    }

    pub(crate) fn get(&self, id: u32) -> Answer<&T> {
        self.live.get(&id).ok_or_else(|| misuse(self.status, self.absent(id)))
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Answer<&mut T> {
        if !self.live.contains_key(&id) {
            return Err(misuse(self.status, self.absent(id)));
        }
        self.live.get_mut(&id).ok_or_else(|| misuse(self.status, self.kind))
    }

    pub(crate) fn remove(&mut self, id: u32) -> Answer<T> {
        self.live.remove(&id).ok_or_else(|| misuse(self.status, self.absent(id)))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.live.values()
    }

    /// A sentence on what was never destroyed.
    fn leaked(&self) -> Option<String> {
        let first = self.live.keys().next()?;
        let (count, kind) = (self.live.len(), self.kind);
        Some(format!("{count} {kind}(s) not destroyed before vaTerminate, the first being {first:#x}"))
    }
}

/// A codec, an entry point, and how they are to be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    pub(crate) profile: ffi::VAProfile,
    pub(crate) entrypoint: ffi::VAEntrypoint,
    pub(crate) purpose: Purpose,
    pub(crate) rt_format: u32,
    /// One of VA_RC_, 0 where the client asked for none.
    pub(crate) rate_control: u32,
    /// Some of VA_ENC_PACKED_HEADER_.
    pub(crate) packed_headers: u32,
}

/// All objects of one display. Each kind has numbers of its own; surfaces begin at 0, as Intel's driver has them.
pub(crate) struct Objects {
    pub(crate) configs: Table<Config>,
    pub(crate) surfaces: Table<Surface>,
    pub(crate) contexts: Table<Context>,
    pub(crate) buffers: Table<Buffer>,
    pub(crate) images: Table<Image>,
}

impl Objects {
    pub(crate) fn new() -> Self {
        Self {
            configs: Table::new("config", ffi::VA_STATUS_ERROR_INVALID_CONFIG, 0x0100_0000),
            surfaces: Table::new("surface", ffi::VA_STATUS_ERROR_INVALID_SURFACE, 0),
            contexts: Table::new("context", ffi::VA_STATUS_ERROR_INVALID_CONTEXT, 0x0200_0000),
            buffers: Table::new("buffer", ffi::VA_STATUS_ERROR_INVALID_BUFFER, 0x0800_0000),
            images: Table::new("image", ffi::VA_STATUS_ERROR_INVALID_IMAGE, 0x0900_0000),
        }
    }

    /// Sentences on all that was never destroyed.
    pub(crate) fn leaks(&self) -> Vec<String> {
        [
            self.contexts.leaked(),
            self.configs.leaked(),
            self.surfaces.leaked(),
            self.buffers.leaked(),
            self.images.leaked(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
