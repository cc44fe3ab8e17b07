//! Pictures in memory.

use std::fmt;
use std::sync::Arc;

use ffmpeg_next::color;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::error::LibraryError;
use crate::ffi;

/// Width and height in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Samples across.
    pub width: u32,
    /// Samples down.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// An immutable picture; clones share it.
#[derive(Clone)]
pub struct Frame(pub(crate) Arc<Video>);

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} {:?})", self.size(), self.0.format())
    }
}

/// Luma and chroma of black in limited range (ITU-R BT.709, 4.6).
const BLACK: (u8, u8) = (16, 128);

impl Frame {
    /// A black picture, ready for an encoder.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn black(size: Size) -> Result<Self, LibraryError> {
        blank(size).map(|video| Self(Arc::new(video)))
    }

    /// A picture of the samples of `planes` (luma, then both chroma), 8-bit 4:2:0, BT.709, limited range, rows without
    /// padding; ready for an encoder. None where a plane is not as large as `size`, which is even, has it.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn from_planes(size: Size, planes: [&[u8]; 3]) -> Result<Option<Self>, LibraryError> {
        let mut video = blank(size)?;
        for (index, plane) in planes.into_iter().enumerate() {
            let length = |side: u32| usize::try_from(if index == 0 { side } else { side / 2 });
            let (Ok(width), Ok(height)) = (length(size.width), length(size.height)) else { return Ok(None) };
            if width == 0 || plane.len() != width * height {
                return Ok(None);
            }
            let stride = video.stride(index);
            for (target, row) in video.data_mut(index).chunks_mut(stride).zip(plane.chunks_exact(width)) {
                let Some(target) = target.get_mut(..width) else { return Ok(None) };
                target.copy_from_slice(row);
            }
        }
        Ok(Some(Self(Arc::new(video))))
    }

    /// The samples of a picture in the encoder's form, as [`Self::from_planes`] takes them; of a decoded picture of 10
    /// bits each in two bytes, the lower first; none of any other.
    #[must_use]
    pub fn planes(&self) -> Option<[Vec<u8>; 3]> {
        let sample_bytes = match self.0.format() {
            Pixel::YUV420P => 1,
            Pixel::YUV420P10LE => 2,
            _ => return None,
        };
        let plane = |index: usize| {
            let half = |side: u32| if index == 0 { side } else { side.div_ceil(2) };
            let width = usize::try_from(half(self.0.width())).ok()? * sample_bytes;
            let height = usize::try_from(half(self.0.height())).ok()?;
            let mut samples = Vec::with_capacity(width * height);
            for row in self.0.data(index).chunks(self.0.stride(index)).take(height) {
                samples.extend_from_slice(row.get(..width)?);
            }
            Some(samples)
        };
        Some([plane(0)?, plane(1)?, plane(2)?])
    }

    /// Its size in samples.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { width: self.0.width(), height: self.0.height() }
    }

    /// Its sample aspect ratio; `(1, 1)` where the stream does not say, or says nonsense.
    #[must_use]
    pub fn sample_aspect_ratio(&self) -> (u32, u32) {
        let ratio = self.0.aspect_ratio();
        match (u32::try_from(ratio.numerator()), u32::try_from(ratio.denominator())) {
            (Ok(n), Ok(d)) if n > 0 && d > 0 => (n, d),
            _ => (1, 1),
        }
    }

    /// Whether samples use all of their bits' range.
    pub(crate) fn is_full_range(&self) -> bool {
        let planar_full = [Pixel::YUVJ420P, Pixel::YUVJ422P, Pixel::YUVJ444P, Pixel::YUVJ440P];
        self.0.color_range() == color::Range::JPEG || planar_full.contains(&self.0.format())
    }
}

/// A picture in the encoder's form, all black, that nobody else holds yet.
pub(crate) fn blank(size: Size) -> Result<Video, LibraryError> {
    let mut video = ffi::allocate(Pixel::YUV420P, size).ok_or(LibraryError::OUT_OF_MEMORY)?;
    for plane in 0..3 {
        video.data_mut(plane).fill(if plane == 0 { BLACK.0 } else { BLACK.1 });
    }
    video.set_color_range(color::Range::MPEG);
    video.set_color_space(color::Space::BT709);
    ffi::set_square_samples(&mut video);
    Ok(video)
}
