//! A decoder in the driver, for pictures of one size and kind.

use std::sync::Arc;

use super::DecodeError;
use super::lend::MAX_LENT;
use crate::device::{Codec, Device};
use crate::error::{CallError, Status};
use crate::ffi::{Buffer, Config, Context, Format, Surface, va};
use crate::frame::{Colour, Frame, Picture, Pool, Size};

/// Surfaces beside those that the stream refers to: those that are lent out, one being decoded, and one for a frame whose
/// second field did not come. A context decodes into the surfaces that it was made with alone.
const SPARE_SURFACES: usize = MAX_LENT + 2;
/// Largest picture that is decoded, in samples: 8192x4608, over every level of broadcast use.
const MAX_SAMPLES: u64 = 8192 * 4608;

/// What a session is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) codec: Codec,
    pub(super) bit_depth: u8,
    /// Coded size.
    pub(super) size: Size,
    /// Frames that the stream refers to or reorders.
    pub(super) frames: usize,
}

/// What of a coded picture is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
    pub(super) sample_aspect_ratio: (u32, u32),
    pub(super) colour: Colour,
}

/// A context with its surfaces.
pub(super) struct Session {
    form: Form,
    context: Context,
    pool: Pool,
}

impl Session {
    pub(super) fn open(device: &Device, form: Form) -> Result<Self, DecodeError> {
        let Form { codec, bit_depth, size, .. } = form;
        let caps = device.caps().decoder(codec, bit_depth);
        let unsupported = DecodeError::Unsupported { codec, bit_depth };
        let (Some(caps), Some(format)) = (caps, Format::of_depth(bit_depth)) else { return Err(unsupported) };
        // Sides for a driver that does not say; the bound on samples holds either way.
        let most = caps.max_size.unwrap_or(Size { width: 8192, height: 8192 });
        if size.width > most.width || size.height > most.height || size.samples() > MAX_SAMPLES {
            return Err(DecodeError::Size { codec, size, most });
        }
        let failed = |source| DecodeError::Open { codec, size, source };
        let missing = CallError { call: "vaCreateConfig", status: Status::UnsupportedProfile };
        let profile = *caps.profiles.first().ok_or(failed(missing))?;
        let display = device.display();
        let attributes = [(va::VAConfigAttribRTFormat, format.rt_format())];
        let config = Config::new(display, profile, va::VAEntrypointVLD, &attributes).map_err(failed)?;
        let count = form.frames + SPARE_SURFACES;
        let mut pool = Pool::new(display, size, format, count);
        let surfaces = pool.prepare(count).map_err(failed)?;
        let context = Context::new(config, size, surfaces).map_err(failed)?;
        Ok(Self { form, context, pool })
    }

    /// Whether it can go on for pictures of another form.
    pub(super) fn fits(&self, form: Form) -> bool {
        let frames = self.form.frames.max(form.frames);
        Form { frames, ..form } == self.form
    }

    /// A picture to decode into, with its surface.
    pub(super) fn target(&mut self, window: Window) -> Result<(Frame, Arc<Surface>), DecodeError> {
        let surface = self.pool.take().map_err(|e| self.failed(e))?;
        let frame = Frame(Arc::new(Picture {
            surface: Arc::clone(&surface),
            size: window.size,
            left: window.left,
            top: window.top,
            sample_aspect_ratio: window.sample_aspect_ratio,
            colour: window.colour,
            home: self.pool.home(),
            _lender: None,
        }));
        Ok((frame, surface))
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    /// Has the driver decode a picture. True where it finds the picture damaged.
    pub(super) fn submit(&mut self, target: &Surface, buffers: Vec<Buffer>) -> Result<bool, DecodeError> {
        match self.context.submit(target, buffers) {
            Ok(()) => Ok(false),
            Err(CallError { status: Status::DecodingError, .. }) => Ok(true),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub(super) fn failed(&self, source: CallError) -> DecodeError {
        DecodeError::Decode { size: self.form.size, source }
    }
}
