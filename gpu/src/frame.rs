//! Pictures in a device's memory.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::captions::Captions;
use crate::device::Device;
use crate::error::CudaError;
use crate::ffi::cuda::{Event, Memory, Rectangle};

/// Width and height in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Samples across.
    pub width: u32,
    /// Samples down.
    pub height: u32,
}

impl Size {
    /// Whether 4:2:0 can have it: both sides even and not zero.
    #[must_use]
    pub const fn is_even(self) -> bool {
        self.width >= 2 && self.height >= 2 && self.width.is_multiple_of(2) && self.height.is_multiple_of(2)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How the samples of a picture lie in memory: luma, then both chroma interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 8 bits a sample.
    Nv12,
    /// 16 bits a sample, the high ones used: P010, P012 and P016.
    P016,
}

impl Format {
    /// Bytes of a sample.
    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::Nv12 => 1,
            Self::P016 => 2,
        }
    }
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// `MatrixCoefficients` of Rec. ITU-T H.273, table 4; 2 where the stream does not say.
    pub matrix: u8,
    /// Whether samples use all of their bits' range.
    pub full_range: bool,
}

impl Colour {
    /// BT.709 in limited range: what encoders are given.
    pub const TARGET: Self = Self { matrix: 1, full_range: false };
}

/// A size and a format in memory; rows are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) size: Size,
    pub(crate) format: Format,
    /// Bytes from row to row, of both planes.
    pub(crate) pitch: u32,
}

/// Rows begin on multiples of this many bytes, as those of cuMemAllocPitch do.
const PITCH_ALIGNMENT: u32 = 512;
/// Largest side of a picture. NVDEC's is 8192 (Video Codec SDK, decode capabilities), slates are no larger.
const MAX_SIDE: u32 = 16384;

impl Layout {
    /// None for a size that is odd, empty or too large.
    pub(crate) fn new(size: Size, format: Format) -> Option<Self> {
        if !size.is_even() || size.width > MAX_SIDE || size.height > MAX_SIDE {
            return None;
        }
        let pitch = (size.width * format.bytes()).next_multiple_of(PITCH_ALIGNMENT);
        Some(Self { size, format, pitch })
    }

    fn bytes(self) -> usize {
        to_usize(self.pitch) * to_usize(self.size.height) / 2 * 3
    }

    /// A part of a plane: luma (0) or chroma (1), in samples of luma, all even.
    pub(crate) fn plane(self, plane: usize, left: u32, top: u32, part: Size) -> Rectangle {
        let pitch = to_usize(self.pitch);
        let first = if plane == 0 { 0 } else { pitch * to_usize(self.size.height) };
        let halves = if plane == 0 { 1 } else { 2 };
        Rectangle {
            offset: first + to_usize(top / halves) * pitch + to_usize(left * self.format.bytes()),
            pitch,
            // Half as many pairs of chroma as samples of luma: as many bytes.
            width: to_usize(part.width * self.format.bytes()),
            height: to_usize(part.height / halves),
        }
    }

    pub(crate) fn whole(self, plane: usize) -> Rectangle {
        self.plane(plane, 0, 0, self.size)
    }
}

pub(crate) fn to_usize(x: u32) -> usize {
    // Not on targets that libcuda exists for.
    usize::try_from(x).unwrap_or(usize::MAX)
}

/// Memory of one picture.
pub(crate) struct Storage {
    /// Unlike an address, never given twice: what encoders know it by.
    pub(crate) id: u64,
    pub(crate) layout: Layout,
    pub(crate) memory: Memory,
    /// When it was last written.
    pub(crate) written: Event,
}

impl Storage {
    fn new(device: &Device, layout: Layout) -> Result<Self, CudaError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let context = device.context();
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            layout,
            memory: context.allocate(layout.bytes())?,
            written: context.event()?,
        })
    }

    /// Fills all of it with black in limited range (ITU-R BT.709, 4.6).
    pub(crate) fn fill_black(&self) -> Result<(), CudaError> {
        self.memory.fill(self.layout.whole(0), 16)?;
        self.memory.fill(self.layout.whole(1), 128)
    }
}

/// Pictures of one layout that come back when nobody holds them any more.
///
/// What is given out again may still be read by work on the device; all such work was given to the device's stream
/// before, and whatever writes to it comes later in the same stream. Encoders hold pictures until they are done.
#[derive(Clone)]
pub(crate) struct Pool {
    device: Device,
    layout: Layout,
    /// What fresh pictures are filled with.
    black: bool,
    idle: Arc<Mutex<Vec<Arc<Storage>>>>,
}

/// Pictures that a pool keeps idle: more than an encoder's queue holds.
const MAX_IDLE: usize = 12;

impl Pool {
    pub(crate) fn new(device: &Device, layout: Layout, black: bool) -> Self {
        Self { device: device.clone(), layout, black, idle: Arc::default() }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Memory that nobody else holds.
    pub(crate) fn take(&self) -> Result<Lease, CudaError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let storage = match idle {
            Some(storage) => storage,
            None => {
                let storage = Storage::new(&self.device, self.layout)?;
                if self.black {
                    storage.fill_black()?;
                }
                Arc::new(storage)
            }
        };
        Ok(Lease { storage, home: Arc::clone(&self.idle) })
    }
}

/// Memory of a pool, which goes back when it is dropped.
pub(crate) struct Lease {
    pub(crate) storage: Arc<Storage>,
    home: Arc<Mutex<Vec<Arc<Storage>>>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Arc::clone(&self.storage));
        }
    }
}

struct Picture {
    lease: Lease,
    device: Device,
    colour: Colour,
    aspect: (u32, u32),
    captions: Option<Captions>,
}

/// An immutable picture; clones share it.
#[derive(Clone)]
pub struct Frame(Arc<Picture>);

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} {:?})", self.size(), self.format())
    }
}

/// A picture that cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// 4:2:0 does not have this size, or it is too large.
    #[error("size {0} is not even, empty or over {MAX_SIDE}x{MAX_SIDE}")]
    Size(Size),
    /// A plane is of another size.
    #[error("plane {plane} has {bytes} bytes, where {size} has {wanted}")]
    Plane {
        /// Which, from 0.
        plane: usize,
        /// Bytes given.
        bytes: usize,
        /// The picture's size.
        size: Size,
        /// Bytes that the size has.
        wanted: usize,
    },
    /// Pictures of more than 8 bits are not read.
    #[error("a picture of 16-bit samples cannot be read as one of 8-bit samples")]
    Deep,
    /// The device fails.
    #[error("memory for a picture of {size}")]
    Memory {
        /// Its size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
}

impl Frame {
    /// A black picture, ready for an encoder.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn black(device: &Device, size: Size) -> Result<Self, FrameError> {
        let layout = Layout::new(size, Format::Nv12).ok_or(FrameError::Size(size))?;
        let failed = |source| FrameError::Memory { size, source };
        let lease = Pool::new(device, layout, true).take().map_err(failed)?;
        Self::written(device, lease, Colour::TARGET, (1, 1), None).map_err(failed)
    }

    /// A picture of the samples of `planes` (luma, then both chroma), 8-bit 4:2:0, BT.709, limited range, rows without
    /// padding; ready for an encoder. It is copied to the device: for what is drawn once, not for every picture.
    ///
    /// # Errors
    /// Where a plane is not as large as `size`, which is even, has it, or there is no memory for it.
    pub fn from_planes(device: &Device, size: Size, planes: [&[u8]; 3]) -> Result<Self, FrameError> {
        let layout = Layout::new(size, Format::Nv12).ok_or(FrameError::Size(size))?;
        let luma = to_usize(size.width) * to_usize(size.height);
        for (plane, (bytes, wanted)) in
            planes.iter().map(|p| p.len()).zip([luma, luma / 4, luma / 4]).enumerate()
        {
            if bytes != wanted {
                return Err(FrameError::Plane { plane, bytes, size, wanted });
            }
        }
        let [luma, blue, red] = planes;
        let chroma: Vec<u8> = blue.iter().zip(red).flat_map(|(b, r)| [*b, *r]).collect();
        let failed = |source| FrameError::Memory { size, source };
        let lease = Pool::new(device, layout, false).take().map_err(failed)?;
        lease.storage.memory.write(layout.whole(0), luma).map_err(failed)?;
        lease.storage.memory.write(layout.whole(1), &chroma).map_err(failed)?;
        Self::written(device, lease, Colour::TARGET, (1, 1), None).map_err(failed)
    }

    /// As [`Self::from_planes`], in the form that decoders give and with what they say of it: luma and interleaved
    /// chroma, whose 16-bit samples are in native byte order. For checks of what is done with decoded pictures.
    ///
    /// # Errors
    /// As there.
    pub fn from_decoded_planes(
        device: &Device,
        size: Size,
        format: Format,
        colour: Colour,
        sample_aspect_ratio: (u32, u32),
        planes: [&[u8]; 2],
    ) -> Result<Self, FrameError> {
        let layout = Layout::new(size, format).ok_or(FrameError::Size(size))?;
        let luma = to_usize(size.width) * to_usize(size.height) * to_usize(format.bytes());
        for (plane, (bytes, wanted)) in planes.iter().map(|p| p.len()).zip([luma, luma / 2]).enumerate() {
            if bytes != wanted {
                return Err(FrameError::Plane { plane, bytes, size, wanted });
            }
        }
        let failed = |source| FrameError::Memory { size, source };
        let lease = Pool::new(device, layout, false).take().map_err(failed)?;
        for (plane, samples) in planes.into_iter().enumerate() {
            lease.storage.memory.write(layout.whole(plane), samples).map_err(failed)?;
        }
        Self::written(device, lease, colour, sample_aspect_ratio, None).map_err(failed)
    }

    /// A picture whose samples were just given to the device's stream.
    pub(crate) fn written(
        device: &Device,
        lease: Lease,
        colour: Colour,
        aspect: (u32, u32),
        captions: Option<Captions>,
    ) -> Result<Self, CudaError> {
        lease.storage.written.record(device.context())?;
        Ok(Self(Arc::new(Picture { lease, device: device.clone(), colour, aspect, captions })))
    }

    /// Its size in samples.
    #[must_use]
    pub fn size(&self) -> Size {
        self.storage().layout.size
    }

    /// How its samples lie in memory.
    #[must_use]
    pub fn format(&self) -> Format {
        self.storage().layout.format
    }

    /// How its samples are to be read.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.0.colour
    }

    /// Its sample aspect ratio; `(1, 1)` where the stream does not say.
    #[must_use]
    pub fn sample_aspect_ratio(&self) -> (u32, u32) {
        self.0.aspect
    }

    /// Its closed captions: messages of ATSC A/53, each the payload of one `user_data_registered_itu_t_t35`.
    #[must_use]
    pub fn captions(&self) -> &[Vec<u8>] {
        self.0.captions.as_deref().unwrap_or_default()
    }

    pub(crate) fn shared_captions(&self) -> Option<Captions> {
        self.0.captions.clone()
    }

    /// Luma and both chroma on the host, rows without padding: for encoders on the CPU, and for checks.
    ///
    /// # Errors
    /// Where its samples have more than 8 bits, or the device fails.
    pub fn to_planes(&self) -> Result<[Vec<u8>; 3], FrameError> {
        if self.format() != Format::Nv12 {
            return Err(FrameError::Deep);
        }
        let [luma, chroma] = self.to_decoded_planes()?;
        let blue = chroma.iter().step_by(2).copied().collect();
        let red = chroma.iter().skip(1).step_by(2).copied().collect();
        Ok([luma, blue, red])
    }

    /// Luma and interleaved chroma on the host as they are on the device, rows without padding; 16-bit samples in
    /// native byte order.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn to_decoded_planes(&self) -> Result<[Vec<u8>; 2], FrameError> {
        let size = self.size();
        let read = |plane| {
            let from = self.storage().layout.whole(plane);
            let mut samples = vec![0; from.width * from.height];
            let done = self.storage().memory.read(from, &mut samples);
            done.map(|()| samples).map_err(|source| FrameError::Memory { size, source })
        };
        Ok([read(0)?, read(1)?])
    }

    /// Waits until the device has written it, and copies nothing.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn wait(&self) -> Result<(), FrameError> {
        let size = self.size();
        self.storage().written.wait().map_err(|source| FrameError::Memory { size, source })
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.0.lease.storage
    }

    pub(crate) fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether both are the same picture, not only equal ones.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_planes_lie_behind_each_other() {
        let layout = Layout::new(Size { width: 642, height: 360 }, Format::P016).unwrap();
        assert_eq!((layout.pitch, layout.bytes()), (1536, 1536 * 540));
        let chroma = layout.plane(1, 10, 20, Size { width: 100, height: 50 });
        assert_eq!((chroma.offset, chroma.pitch), (1536 * 370 + 20, 1536));
        assert_eq!((chroma.width, chroma.height), (200, 25));
        for (width, height) in [(641, 360), (640, 0), (16386, 2)] {
            assert_eq!(Layout::new(Size { width, height }, Format::Nv12), None);
        }
    }
}
