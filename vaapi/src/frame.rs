//! Pictures in the device's memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::device::Device;
use crate::error::{CallError, Status};
use crate::ffi::{Display, Format, Mapped, Surface};

/// Width and height in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Samples across.
    pub width: u32,
    /// Samples down.
    pub height: u32,
}

impl Size {
    /// Whether 4:2:0 pictures can have it.
    pub(crate) const fn is_even(self) -> bool {
        self.width >= 2 && self.height >= 2 && self.width.is_multiple_of(2) && self.height.is_multiple_of(2)
    }

    /// Samples of luma.
    #[must_use]
    pub fn samples(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How the samples of a picture are to be read (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// `MatrixCoefficients`; 2 is unspecified.
    pub matrix: u8,
    /// Whether samples use all of their bits' range.
    pub full_range: bool,
}

impl Colour {
    /// BT.709, limited range: what encoders take and say.
    pub const BT709: Self = Self { matrix: 1, full_range: false };
}

/// What a frame is made of; every part is immutable while a [`Frame`] holds it.
pub(crate) struct Picture {
    pub(crate) surface: Arc<Surface>,
    /// What is shown of the surface.
    pub(crate) size: Size,
    /// Where that begins.
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) sample_aspect_ratio: (u32, u32),
    pub(crate) colour: Colour,
    /// Where the surface goes when nobody holds it any more.
    pub(crate) home: Weak<Shelf>,
    /// The picture that the surface is of, where this one only borrows it.
    pub(crate) _lender: Option<Frame>,
}

impl Drop for Picture {
    fn drop(&mut self) {
        if let Some(shelf) = self.home.upgrade() {
            shelf.put(&self.surface);
        }
    }
}

/// An immutable picture in the device's memory; clones share it.
#[derive(Clone)]
pub struct Frame(pub(crate) Arc<Picture>);

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} {:?})", self.size(), self.0.surface.format())
    }
}

/// The samples of a picture in memory: 4:2:0, luma, then both chroma, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// Size of luma.
    pub size: Size,
    /// Bits of a sample; those above 8 lie in two bytes, the lower one first.
    pub bit_depth: u8,
    /// The planes.
    pub planes: [Vec<u8>; 3],
}

/// A picture that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The size has no samples, or an odd number across or down, which 4:2:0 does not have.
    #[error("picture size {0} is not even and at least 2x2")]
    Size(Size),
    /// A plane is not as large as the size says.
    #[error("plane {plane} of a {size} picture has {bytes} bytes, not {wanted}")]
    Plane {
        /// Which, from 0.
        plane: usize,
        /// Size of the picture.
        size: Size,
        /// What it has.
        bytes: usize,
        /// What it would have.
        wanted: usize,
    },
    /// The driver fails.
    #[error("a picture of {size} in the device's memory")]
    Driver {
        /// Size of the picture.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
}

/// Luma and chroma of black in limited range (ITU-R BT.709, 4.6).
const BLACK: (u8, u8) = (16, 128);

impl Frame {
    /// A black picture, ready for an encoder.
    ///
    /// # Errors
    /// Where the size is not even, or the device has no memory.
    pub fn black(device: &Device, size: Size) -> Result<Self, FrameError> {
        if !size.is_even() {
            return Err(FrameError::Size(size));
        }
        let samples = usize::try_from(size.samples()).unwrap_or(0);
        let luma = vec![BLACK.0; samples];
        let chroma = vec![BLACK.1; samples / 4];
        Self::from_planes(device, size, [&luma, &chroma, &chroma])
    }

    /// A picture of the samples of `planes` (luma, then both chroma), 8-bit 4:2:0, BT.709, limited range, rows without
    /// padding; ready for an encoder.
    ///
    /// # Errors
    /// Where the size is not even, a plane is not as large as `size` has it, or the device has no memory.
    pub fn from_planes(device: &Device, size: Size, planes: [&[u8]; 3]) -> Result<Self, FrameError> {
        if !size.is_even() {
            return Err(FrameError::Size(size));
        }
        let luma = usize::try_from(size.samples()).unwrap_or(usize::MAX);
        for (plane, samples) in planes.iter().enumerate() {
            let wanted = if plane == 0 { luma } else { luma / 4 };
            if samples.len() != wanted {
                return Err(FrameError::Plane { plane, size, bytes: samples.len(), wanted });
            }
        }
        let failed = |source| FrameError::Driver { size, source };
        let display = device.display();
        let surface = Surface::new(display, size, Format::Nv12).map_err(failed)?;
        upload(display, &surface, size, planes).map_err(failed)?;
        Ok(Self(Arc::new(Picture {
            surface: Arc::new(surface),
            size,
            left: 0,
            top: 0,
            sample_aspect_ratio: (1, 1),
            colour: Colour::BT709,
            home: Weak::new(),
            _lender: None,
        })))
    }

    /// The samples, copied out of the device's memory: for tests and known-answer checks, not for the way of a picture.
    ///
    /// # Errors
    /// Where the driver fails to make them, or to give them out.
    pub fn samples(&self) -> Result<Samples, FrameError> {
        let size = self.size();
        let failed = |source| FrameError::Driver { size, source };
        self.0.surface.sync().map_err(failed)?;
        self.download().map_err(failed)
    }

    /// Waits until the device has made it, and copies nothing.
    ///
    /// # Errors
    /// Where the driver fails to make it.
    pub fn wait(&self) -> Result<(), FrameError> {
        let size = self.size();
        self.0.surface.sync().map_err(|source| FrameError::Driver { size, source })
    }

    fn download(&self) -> Result<Samples, CallError> {
        let picture = &self.0;
        let (surface, format) = (&picture.surface, picture.surface.format());
        let whole = surface.size();
        let mapped = match Mapped::new(surface.display(), whole, format)
            .and_then(|mut image| image.get(surface, whole).map(|()| image))
        {
            Ok(image) => image,
            Err(_) => Mapped::derive(surface)?,
        };
        let wrong = CallError { call: "vaGetImage", status: Status::InvalidImage };
        let planes = mapped.planes(whole).ok_or(wrong)?;
        let bytes = mapped.bytes();
        let sample = format.sample_bytes();
        let number = |value: u32| usize::try_from(value).map_err(|_| wrong);
        let (left, top) = (number(picture.left)?, number(picture.top)?);
        let (width, height) = (number(picture.size.width)?, number(picture.size.height)?);
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        let [luma, chroma] = planes;
        let row = |offset: usize, length: usize| bytes.get(offset..offset + length).ok_or(wrong);
        for y in 0..height {
            let at = luma.offset + (top + y) * luma.pitch + left * sample;
            push(&mut out[0], row(at, width * sample)?, format);
        }
        for y in 0..height / 2 {
            let at = chroma.offset + (top / 2 + y) * chroma.pitch + left / 2 * 2 * sample;
            for (index, pair) in row(at, width / 2 * 2 * sample)?.chunks_exact(sample).enumerate() {
                push(&mut out[1 + index % 2], pair, format);
            }
        }
        Ok(Samples { size: picture.size, bit_depth: format.depth(), planes: out })
    }

    /// Its size in samples.
    #[must_use]
    pub fn size(&self) -> Size {
        self.0.size
    }

    /// Bits of a sample: 8 or 10.
    #[must_use]
    pub fn bit_depth(&self) -> u8 {
        self.0.surface.format().depth()
    }

    /// Its sample aspect ratio; `(1, 1)` where the stream does not say, or says nonsense.
    #[must_use]
    pub fn sample_aspect_ratio(&self) -> (u32, u32) {
        self.0.sample_aspect_ratio
    }

    /// How its samples are to be read.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.0.colour
    }
}

/// Appends samples; those of P010 lie in the upper bits.
fn push(plane: &mut Vec<u8>, samples: &[u8], format: Format) {
    match format {
        Format::Nv12 => plane.extend_from_slice(samples),
        Format::P010 => {
            for pair in samples.chunks_exact(2) {
                let word = pair.iter().rev().fold(0u16, |word, byte| word << 8 | u16::from(*byte));
                plane.extend_from_slice(&(word >> 6).to_le_bytes());
            }
        }
    }
}

fn upload(
    display: &Arc<Display>,
    surface: &Surface,
    size: Size,
    planes: [&[u8]; 3],
) -> Result<(), CallError> {
    // In place where it can be done: one copy instead of two.
    match Mapped::derive(surface) {
        Ok(mut image) => fill(&mut image, size, planes),
        Err(_) => {
            let mut image = Mapped::new(display, size, Format::Nv12)?;
            fill(&mut image, size, planes)?;
            image.put(surface, size)
        }
    }
}

/// Writes planes into an image, chroma interleaved.
fn fill(image: &mut Mapped, size: Size, planes: [&[u8]; 3]) -> Result<(), CallError> {
    let wrong = CallError { call: "vaMapBuffer", status: Status::InvalidImage };
    let [luma, chroma] = image.planes(size).ok_or(wrong)?;
    let width = usize::try_from(size.width).map_err(|_| wrong)?;
    let [y, blue, red] = planes;
    let bytes = image.bytes_mut();
    for (index, row) in y.chunks_exact(width).enumerate() {
        let at = luma.offset + index * luma.pitch;
        bytes.get_mut(at..at + width).ok_or(wrong)?.copy_from_slice(row);
    }
    let rows = blue.chunks_exact(width / 2).zip(red.chunks_exact(width / 2));
    for (index, (blue, red)) in rows.enumerate() {
        let at = chroma.offset + index * chroma.pitch;
        let target = bytes.get_mut(at..at + width).ok_or(wrong)?;
        for (pair, samples) in target.chunks_exact_mut(2).zip(blue.iter().zip(red)) {
            pair.copy_from_slice(&[*samples.0, *samples.1]);
        }
    }
    Ok(())
}

/// Surfaces of one size that nobody uses now.
pub(crate) struct Shelf {
    /// Longest free first: the driver has had most time to be done with it.
    free: Mutex<VecDeque<Arc<Surface>>>,
}

/// Makes surfaces of one size, and uses again those that came back.
///
/// What is made holds its shelf weakly: a frame may live longer than the decoder or scaler it came from.
pub(crate) struct Pool {
    display: Arc<Display>,
    size: Size,
    format: Format,
    shelf: Arc<Shelf>,
    made: usize,
    most: usize,
}

impl Pool {
    /// A pool that makes at most `most` surfaces.
    pub(crate) fn new(display: &Arc<Display>, size: Size, format: Format, most: usize) -> Self {
        let shelf = Arc::new(Shelf { free: Mutex::new(VecDeque::new()) });
        Self { display: Arc::clone(display), size, format, shelf, made: 0, most }
    }

    /// Makes surfaces ahead of their use, and gives them all.
    pub(crate) fn prepare(&mut self, count: usize) -> Result<Vec<Arc<Surface>>, CallError> {
        let mut made = Vec::new();
        for _ in 0..count {
            made.push(self.make()?);
        }
        made.iter().for_each(|surface| self.shelf.put(surface));
        Ok(made)
    }

    fn make(&mut self) -> Result<Arc<Surface>, CallError> {
        if self.made >= self.most {
            return Err(CallError { call: "vaCreateSurfaces", status: Status::MaxNumExceeded });
        }
        let surface = Surface::new(&self.display, self.size, self.format)?;
        self.made += 1;
        Ok(Arc::new(surface))
    }

    /// A surface that nobody else uses. It comes back when the frame of [`Pool::frame`] is dropped.
    pub(crate) fn take(&mut self) -> Result<Arc<Surface>, CallError> {
        match self.shelf.take() {
            Some(surface) => Ok(surface),
            None => self.make(),
        }
    }

    /// Where its surfaces go when they are free.
    pub(crate) fn home(&self) -> Weak<Shelf> {
        Arc::downgrade(&self.shelf)
    }

    pub(crate) const fn size(&self) -> Size {
        self.size
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }
}

impl Shelf {
    fn take(&self) -> Option<Arc<Surface>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put(&self, surface: &Arc<Surface>) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(Arc::clone(surface));
    }
}
