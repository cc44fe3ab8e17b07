//! HEVC. Not written yet: every picture is refused.

use crate::context::Picture;
use crate::decode::Stream;
use crate::ffi;
use crate::objects::Table;
use crate::status::{Answer, no};
use crate::surface::Surface;

/// What is known of the pictures before.
pub(super) struct HevcDecoder;

impl HevcDecoder {
    pub(super) fn new(_profile: ffi::VAProfile) -> Self {
        Self
    }

    pub(super) fn assemble(
        &mut self,
        _own: u32,
        _picture: &Picture,
        _surfaces: &Table<Surface>,
        _notes: &mut Vec<String>,
    ) -> Answer<Stream> {
        Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED))
    }
}
