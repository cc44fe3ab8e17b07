//! HEVC. Not written yet: every picture is refused.

use crate::client::Plain;
use crate::context::Picture;
use crate::encode::Coded;
use crate::ffi;
use crate::objects::{Config, Table};
use crate::status::{Answer, no};
use crate::surface::Surface;

// SAFETY: numbers.
unsafe impl Plain for ffi::VAEncPictureParameterBufferHEVC {}

/// An HEVC encoder.
pub(crate) struct HevcEncoder;

impl HevcEncoder {
    pub(crate) fn new(_config: &Config) -> Self {
        Self
    }

    pub(crate) fn encode(
        &mut self,
        _own: u32,
        _picture: &Picture,
        _surfaces: &Table<Surface>,
        _notes: &mut Vec<String>,
    ) -> Answer<Coded> {
        Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED))
    }
}
