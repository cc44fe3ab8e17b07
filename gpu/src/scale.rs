//! Any picture to what encoders take: 8-bit 4:2:0, BT.709, limited range, square samples, a given size.
//!
//! The form is the same for every source, since the parameter sets of a rung are written before the source is known
//! and hold for the whole presentation. A picture that has it already, and the size, is passed on as it is.
//!
//! Separable: across first, into codes of 14 bits, then down; where the matrix or the range is another one, a third
//! kernel a plane converts. All of it is in integers. Not promised: tone mapping. A BT.2020 source gets the right
//! matrix, but keeps its primaries and its transfer curve.

pub mod kernel;
pub mod plan;
pub mod reference;
pub mod taps;
pub mod whole;

use crate::device::Device;
use crate::error::CudaError;
use crate::ffi::cuda::{Memory, Rectangle};
use crate::ffi::kernels::{Kernels, Operand, Table};
use crate::frame::{Colour, Format, Frame, Layout, Pool, Size, to_usize};
use plan::{Conversion, Place};
use taps::Siting;

/// Conversions kept ready: a ladder of 16 rungs from two sources.
const MAX_CONVERSIONS: usize = 32;

/// A picture that cannot be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// The target has no samples, or an odd number across or down, which 4:2:0 does not have, or is too large.
    #[error("target size {0} is not even, or of no picture")]
    Target(Size),
    /// The kernels do not load.
    #[error("the kernels do not load")]
    Kernels(#[source] CudaError),
    /// The conversion fails.
    #[error("scaling a picture of {from} to {to}")]
    Run {
        /// Size of the source.
        from: Size,
        /// The size asked for.
        to: Size,
        /// What the driver says.
        #[source]
        source: CudaError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    from: Size,
    format: Format,
    colour: Colour,
    aspect: (u32, u32),
    to: Size,
}

/// The tables of a plane and the memory between its two passes.
struct Plane {
    across: Table,
    down: Table,
    /// Of 16-bit codes: as wide as the target, as high as the source.
    between: Memory,
    /// Of 16-bit codes, where colours are still to be converted.
    scaled: Option<Memory>,
    /// Bytes from row to row of both.
    pitch: u32,
    channels: u32,
    /// Samples across and down of the target's plane, and rows of the source's.
    width: u32,
    height: u32,
    source_height: u32,
}

struct Opened {
    key: Key,
    place: Place,
    conversion: Option<Conversion>,
    planes: [Plane; 2],
    pool: Pool,
}

/// Converts pictures, keeping what it needs for each pair of sizes.
pub struct Scaler {
    device: Device,
    /// Least recently used first.
    conversions: Vec<Opened>,
}

impl Scaler {
    /// A scaler on the device; nothing is loaded before it is used.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), conversions: Vec::new() }
    }

    /// `frame` fitted into `to`, whose sides are even: its shape kept, with bars where that differs. Sample aspect
    /// ratio is applied, so that the result has square samples. Does not wait: what uses the result does.
    ///
    /// # Errors
    /// Where the size cannot be had, or the device fails.
    pub fn scale(&mut self, frame: &Frame, to: Size) -> Result<Frame, ScaleError> {
        let from = frame.size();
        let key = Key {
            from,
            format: frame.format(),
            colour: plan::read_as(frame.colour(), from),
            aspect: frame.sample_aspect_ratio(),
            to,
        };
        let layout = Layout::new(to, Format::Nv12).ok_or(ScaleError::Target(to))?;
        let place = plan::place(from, key.aspect, to);
        let ready =
            from == to && key.format == Format::Nv12 && key.colour == Colour::TARGET && place.inner == to;
        if ready {
            return Ok(frame.clone());
        }
        let failed = |source| ScaleError::Run { from, to, source };
        let opened = match self.conversions.iter().position(|opened| opened.key == key) {
            Some(at) => self.conversions.remove(at),
            None => Opened::new(&self.device, key, place, layout).map_err(failed)?,
        };
        if self.conversions.len() >= MAX_CONVERSIONS {
            self.conversions.remove(0);
        }
        let kernels = self.device.kernels().map_err(ScaleError::Kernels)?;
        let result = opened.run(kernels, frame).map_err(failed);
        self.conversions.push(opened);
        result
    }
}

impl Plane {
    fn new(device: &Device, from: Size, to: Size, chroma: bool, converts: bool) -> Result<Self, CudaError> {
        let (part, channels, siting) = if chroma { (2, 2, Siting::Left) } else { (1, 1, Siting::Centre) };
        let (width, height) = (to.width / part, to.height / part);
        let source_height = from.height / part;
        let pitch = (width * channels * 2).next_multiple_of(256);
        let context = device.context();
        let rows = |rows: u32| context.allocate(to_usize(pitch) * to_usize(rows));
        Ok(Self {
            across: Table::new(context, from.width / part, width, siting)?,
            down: Table::new(context, source_height, height, Siting::Centre)?,
            between: rows(source_height)?,
            scaled: if converts { Some(rows(height)?) } else { None },
            pitch,
            channels,
            width,
            height,
            source_height,
        })
    }

    /// Rows of codes of this plane.
    fn codes<'a>(&self, memory: &'a Memory, rows: u32) -> Operand<'a> {
        let width = to_usize(self.width * self.channels * 2);
        Operand {
            memory,
            at: Rectangle { offset: 0, pitch: to_usize(self.pitch), width, height: to_usize(rows) },
        }
    }

    /// Both passes; the second one into `target` unless colours are still to be converted.
    fn resample(
        &self,
        kernels: &Kernels,
        format: Format,
        source: Operand<'_>,
        target: Operand<'_>,
    ) -> Result<(), CudaError> {
        let between = self.codes(&self.between, self.source_height);
        kernels.across(format, &self.across, source, between, self.channels, self.source_height)?;
        let scaled = self.scaled.as_ref().map(|scaled| self.codes(scaled, self.height));
        let elements = self.width * self.channels;
        kernels.down(scaled.is_some(), &self.down, between, scaled.unwrap_or(target), elements)
    }
}

impl Opened {
    fn new(device: &Device, key: Key, place: Place, layout: Layout) -> Result<Self, CudaError> {
        let conversion = plan::conversion(key.colour);
        let plane = |chroma| Plane::new(device, key.from, place.inner, chroma, conversion.is_some());
        Ok(Self {
            key,
            place,
            conversion,
            planes: [plane(false)?, plane(true)?],
            // The bars are never written again.
            pool: Pool::new(device, layout, true),
        })
    }

    fn run(&self, kernels: &Kernels, frame: &Frame) -> Result<Frame, CudaError> {
        let lease = self.pool.take()?;
        let from = frame.storage();
        let to = &lease.storage;
        let source = |plane| Operand { memory: &from.memory, at: from.layout.whole(plane) };
        let Place { left, top, inner } = self.place;
        let target = |plane| Operand { memory: &to.memory, at: to.layout.plane(plane, left, top, inner) };
        for (index, plane) in self.planes.iter().enumerate() {
            plane.resample(kernels, self.key.format, source(index), target(index))?;
        }
        let [luma, chroma] = &self.planes;
        if let (Some(conversion), Some(luma_codes), Some(chroma_codes)) =
            (&self.conversion, &luma.scaled, &chroma.scaled)
        {
            let luma_codes = luma.codes(luma_codes, luma.height);
            let chroma_codes = chroma.codes(chroma_codes, chroma.height);
            let size = (luma.width, luma.height);
            kernels.convert_luma(conversion, luma_codes, chroma_codes, target(0), size)?;
            kernels.convert_chroma(conversion, chroma_codes, target(1), (chroma.width, chroma.height))?;
        }
        Frame::written(self.pool.device(), lease, Colour::TARGET, (1, 1), frame.shared_captions())
    }
}
