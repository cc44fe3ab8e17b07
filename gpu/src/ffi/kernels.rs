//! The kernels of [`crate::scale`] on the device. Every call checks that what a kernel touches is within the memory it is
//! given, so calls are safe.

use std::ffi::{CString, c_void};

use cudarc::driver::{result, sys};

use super::cuda::{Context, Memory, Rectangle};
use crate::error::CudaError;
use crate::frame::Format;
use crate::scale::kernel::{BLOCK, Kernel, PTX};
use crate::scale::plan::Conversion;
use crate::scale::taps::{Siting, Taps};

/// One argument of a kernel.
#[derive(Debug, Clone, Copy)]
enum Argument {
    Address(u64),
    Unsigned(u32),
    Signed(i32),
}

/// A rectangle of bytes that a kernel reads or writes. All work is in one stream, and memory is freed only after that
/// has come to its end, so nothing has to be kept for a kernel's sake.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) at: Rectangle,
}

impl Operand<'_> {
    /// Its address, where it has `rows` of at least `bytes`.
    fn address(self, bytes: u32, rows: u32) -> Result<Argument, CudaError> {
        let fits = |have: usize, want: u32| usize::try_from(want).is_ok_and(|want| want <= have);
        if !fits(self.at.width, bytes) || !fits(self.at.height, rows) {
            return Err(CudaError::INVALID_VALUE);
        }
        self.memory.contains(self.at).map(Argument::Address)
    }

    fn pitch(self) -> Result<Argument, CudaError> {
        u32::try_from(self.at.pitch).map(Argument::Unsigned).map_err(|_| CudaError::INVALID_VALUE)
    }
}

/// A filter table on the device.
pub(crate) struct Table {
    source: u32,
    length: u32,
    count: u32,
    starts: Memory,
    weights: Memory,
}

impl Table {
    pub(crate) fn new(
        context: &Context,
        source: u32,
        target: u32,
        siting: Siting,
    ) -> Result<Self, CudaError> {
        let taps = Taps::new(source, target, siting).ok_or(CudaError::INVALID_VALUE)?;
        Ok(Self {
            source,
            length: taps.length,
            count: taps.count,
            starts: context.upload(&taps.starts)?,
            weights: context.upload(&taps.weights)?,
        })
    }

    fn addresses(&self) -> [Argument; 2] {
        [Argument::Address(self.weights.span().0), Argument::Address(self.starts.span().0)]
    }
}

/// The compiled kernels.
pub(crate) struct Kernels {
    module: sys::CUmodule,
    functions: Vec<(Kernel, sys::CUfunction)>,
    context: Context,
}

// SAFETY: both are handles, which any thread may use that has the context bound (CUDA C++ Programming Guide, "Driver
// API", "Context"); every use binds it.
unsafe impl Send for Kernels {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Compiles the kernels, or takes what the driver has compiled before.
    pub(crate) fn load(context: &Context) -> Result<Self, CudaError> {
        context.bind()?;
        let code = CString::new(PTX).map_err(|_| CudaError::INVALID_VALUE)?;
        // SAFETY: `code` is PTX with a zero at its end, and lives until the call returns, which is all that is asked.
        let module = unsafe { result::module::load_data(code.as_ptr().cast()) }?;
        let mut kernels = Self { module, functions: Vec::new(), context: context.clone() };
        for kernel in Kernel::ALL {
            let name = CString::new(kernel.entry()).map_err(|_| CudaError::INVALID_VALUE)?;
            // SAFETY: the module was just loaded, and is unloaded by drop alone.
            let function = unsafe { result::module::get_function(module, name) }?;
            kernels.functions.push((kernel, function));
        }
        Ok(kernels)
    }

    /// Runs a kernel over `across` by `down` elements, in the stream's order.
    ///
    /// # Safety
    /// The arguments are those that [`Kernel`] lists, in number, order and width; addresses are of memory of this
    /// context that the kernel stays within and that is freed as [`Memory`] is.
    unsafe fn launch(
        &self,
        kernel: Kernel,
        (across, down): (u32, u32),
        arguments: &mut [Argument],
    ) -> Result<(), CudaError> {
        let found = self.functions.iter().find(|(of, _)| *of == kernel);
        let (_, function) = found.ok_or(CudaError::INVALID_VALUE)?;
        self.context.bind()?;
        let mut pointers: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| match argument {
                Argument::Address(value) => std::ptr::from_mut(value).cast(),
                Argument::Unsigned(value) => std::ptr::from_mut(value).cast(),
                Argument::Signed(value) => std::ptr::from_mut(value).cast(),
            })
            .collect();
        let grid = (across.div_ceil(BLOCK.0), down.div_ceil(BLOCK.1), 1);
        let block = (BLOCK.0, BLOCK.1, 1);
        let stream = self.context.stream();
        // SAFETY: the function is of a loaded module; `pointers` has one pointer an argument (the caller's promise),
        // and the values they point at are copied before the call returns.
        unsafe { result::launch_kernel(*function, grid, block, 0, stream, &mut pointers) }?;
        Ok(())
    }

    /// Across: `rows` rows of a plane of `channels` interleaved channels to codes.
    pub(crate) fn across(
        &self,
        format: Format,
        table: &Table,
        source: Operand<'_>,
        target: Operand<'_>,
        channels: u32,
        rows: u32,
    ) -> Result<(), CudaError> {
        let kernel = match format {
            Format::Nv12 => Kernel::ResampleH8,
            Format::P016 => Kernel::ResampleH16,
        };
        let elements = product(table.length, channels)?;
        let [weights, starts] = table.addresses();
        let mut arguments = [
            source.address(product(product(table.source, channels)?, format.bytes())?, rows)?,
            target.address(product(elements, 2)?, rows)?,
            weights,
            starts,
            source.pitch()?,
            target.pitch()?,
            Argument::Unsigned(table.length),
            Argument::Unsigned(rows),
            Argument::Unsigned(channels),
            Argument::Unsigned(table.count),
        ];
        // SAFETY: the arguments are those of ResampleH8 and ResampleH16. The kernel reads elements up to the table's
        // source length and writes as many as its length; both were found to be within the operands (above), and the
        // table's memory has its length and count.
        unsafe { self.launch(kernel, (elements, rows), &mut arguments) }
    }

    /// Down: rows of `elements` codes to 8-bit samples, or to codes.
    pub(crate) fn down(
        &self,
        to_codes: bool,
        table: &Table,
        source: Operand<'_>,
        target: Operand<'_>,
        elements: u32,
    ) -> Result<(), CudaError> {
        let (kernel, bytes) = if to_codes { (Kernel::ResampleV16, 2) } else { (Kernel::ResampleV8, 1) };
        let [weights, starts] = table.addresses();
        let mut arguments = [
            source.address(product(elements, 2)?, table.source)?,
            target.address(product(elements, bytes)?, table.length)?,
            weights,
            starts,
            source.pitch()?,
            target.pitch()?,
            Argument::Unsigned(elements),
            Argument::Unsigned(table.length),
            // Elements are all alike here.
            Argument::Unsigned(1),
            Argument::Unsigned(table.count),
        ];
        // SAFETY: the arguments are those of ResampleV8 and ResampleV16. The kernel reads rows up to the table's source
        // length and writes as many as its length; both were found to be within the operands (above).
        unsafe { self.launch(kernel, (elements, table.length), &mut arguments) }
    }

    /// Luma codes, with the chroma codes beside them, to 8-bit samples of the target's colours.
    pub(crate) fn convert_luma(
        &self,
        conversion: &Conversion,
        luma: Operand<'_>,
        chroma: Operand<'_>,
        target: Operand<'_>,
        (width, height): (u32, u32),
    ) -> Result<(), CudaError> {
        if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(CudaError::INVALID_VALUE);
        }
        let codes = product(width, 2)?;
        let mut arguments = [
            luma.address(codes, height)?,
            chroma.address(codes, height / 2)?,
            target.address(width, height)?,
            luma.pitch()?,
            chroma.pitch()?,
            target.pitch()?,
            Argument::Unsigned(width),
            Argument::Unsigned(height),
            Argument::Signed(conversion.black),
            Argument::Signed(conversion.y_of_y),
            Argument::Signed(conversion.y_of_cb),
            Argument::Signed(conversion.y_of_cr),
        ];
        // SAFETY: the arguments are those of ConvertLuma. The kernel stays within width and height, and within half of
        // each for chroma, which were found to be within the operands (above).
        unsafe { self.launch(Kernel::ConvertLuma, (width, height), &mut arguments) }
    }

    /// Chroma codes, `width` pairs across, to 8-bit samples of the target's colours.
    pub(crate) fn convert_chroma(
        &self,
        conversion: &Conversion,
        chroma: Operand<'_>,
        target: Operand<'_>,
        (width, height): (u32, u32),
    ) -> Result<(), CudaError> {
        let mut arguments = [
            chroma.address(product(width, 4)?, height)?,
            target.address(product(width, 2)?, height)?,
            chroma.pitch()?,
            target.pitch()?,
            Argument::Unsigned(width),
            Argument::Unsigned(height),
            Argument::Signed(conversion.cb_of_cb),
            Argument::Signed(conversion.cb_of_cr),
            Argument::Signed(conversion.cr_of_cb),
            Argument::Signed(conversion.cr_of_cr),
        ];
        // SAFETY: the arguments are those of ConvertChroma. The kernel stays within `width` pairs and `height` rows, which
        // were found to be within the operands (above).
        unsafe { self.launch(Kernel::ConvertChroma, (width, height), &mut arguments) }
    }
}

fn product(a: u32, b: u32) -> Result<u32, CudaError> {
    a.checked_mul(b).ok_or(CudaError::INVALID_VALUE)
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let _ = self.context.synchronize();
        if self.context.bind().is_ok() {
            // SAFETY: the module was loaded by load and is unloaded here alone, after its kernels have run (above).
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}
