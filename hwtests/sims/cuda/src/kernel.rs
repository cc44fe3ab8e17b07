//! Launches: the kernels of the crate `gpu`, run by their twins on the CPU.

use std::sync::Arc;

use gpu::scale::kernel::Kernel;
use gpu::scale::reference::{self, ConvertChroma, ConvertLuma, OutOfBounds, Resample, Table};
use sim_nvidia::pointer::In;
use sim_state::plan::Pictures;

use crate::driver::Driver;
use crate::memory::Allocation;
use crate::module::Function;
use crate::status::{Answer, ILLEGAL_ADDRESS, INVALID_VALUE, NOT_SUPPORTED};

/// What `cuLaunchKernel` is given beside the function.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) context: usize,
    pub(crate) device: usize,
    pub(crate) grid: (u32, u32, u32),
    pub(crate) block: (u32, u32, u32),
    pub(crate) shared_bytes: u32,
    /// Addresses of the arguments.
    pub(crate) arguments: In<usize>,
}

/// Device memory from a kernel's pointer to the end of its allocation.
struct Region {
    allocation: Arc<Allocation>,
    address: u64,
}

/// The arguments, read one after the other.
struct Arguments<'a> {
    driver: &'a Driver,
    launch: &'a Launch,
    name: &'a str,
    next: usize,
}

impl Arguments<'_> {
    fn place(&mut self) -> Answer<usize> {
        let place = self.launch.arguments.at(self.next).filter(|place| *place != 0);
        let number = self.next;
        self.next += 1;
        place.map_or_else(
            || {
                self.driver
                    .wrong(INVALID_VALUE, &format!("kernel {}: argument {number} is missing", self.name))
            },
            Ok,
        )
    }

    fn number(&mut self) -> Answer<u32> {
        let place = std::ptr::with_exposed_provenance::<u32>(self.place()?);
        // SAFETY: cuLaunchKernel wants an array with the address of each argument; this one has 4 bytes.
        Ok(unsafe { place.read_unaligned() })
    }

    fn signed(&mut self) -> Answer<i32> {
        self.number().map(u32::cast_signed)
    }

    fn memory(&mut self, element_bytes: u64) -> Answer<Region> {
        let number = self.next;
        let place = std::ptr::with_exposed_provenance::<u64>(self.place()?);
        // SAFETY: cuLaunchKernel wants an array with the address of each argument; this one has 8 bytes.
        let address = unsafe { place.read_unaligned() };
        let found =
            self.driver.find(&format!("kernel {}, argument {number},", self.name), address, element_bytes);
        let allocation = found.map_err(|_| ILLEGAL_ADDRESS)?;
        if address % element_bytes != 0 {
            let text = format!("kernel {}: argument {number} is not aligned to its elements", self.name);
            return self.driver.wrong(ILLEGAL_ADDRESS, &text);
        }
        if allocation.device != self.launch.device {
            let text = format!("kernel {}: argument {number} lies on another device", self.name);
            return self.driver.wrong(ILLEGAL_ADDRESS, &text);
        }
        Ok(Region { allocation, address })
    }
}

impl Region {
    /// The elements to read. Where they are in the allocation that is written, a copy: a kernel's twin wants them apart.
    fn read<T: Copy>(&self, written: &Self) -> Elements<'_, T> {
        let host = self.allocation.host(self.address).cast::<T>().cast_const();
        let count = self.allocation.rest(self.address) / size_of::<T>();
        // SAFETY: the rest of an allocation, which is held; plain numbers, for which any bytes are a value.
        let elements = unsafe { std::slice::from_raw_parts(host, count) };
        if Arc::ptr_eq(&self.allocation, &written.allocation) {
            Elements::Copied(elements.to_vec())
        } else {
            Elements::Lent(elements)
        }
    }

    /// The elements to write.
    #[expect(clippy::mut_from_ref, reason = "a kernel's target is the device's memory, not the region's")]
    fn write<T: Copy>(&self) -> &mut [T] {
        let host = self.allocation.host(self.address).cast::<T>();
        let count = self.allocation.rest(self.address) / size_of::<T>();
        // SAFETY: the rest of an allocation, which is held; what is read beside it is apart or copied, by `read`, and
        // other calls that touch it are the client's to keep apart, as on a real device.
        unsafe { std::slice::from_raw_parts_mut(host, count) }
    }
}

/// Elements that a kernel reads.
enum Elements<'a, T> {
    Lent(&'a [T]),
    Copied(Vec<T>),
}

impl<T> std::ops::Deref for Elements<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Lent(elements) => elements,
            Self::Copied(elements) => elements,
        }
    }
}

/// Runs a kernel.
pub(crate) fn launch(driver: &Driver, function: &Function, launch: &Launch) -> Answer {
    let Some(kernel) = function.kernel else {
        let text = format!("kernel {} is launched, whose code is not that of the crate gpu", function.name);
        return driver.wrong(NOT_SUPPORTED, &text);
    };
    let (grid, block) = (launch.grid, launch.block);
    let threads = u64::from(block.0) * u64::from(block.1) * u64::from(block.2);
    if [grid.0, grid.1, grid.2].contains(&0)
        || threads == 0
        || threads > 1024
        || grid.1 > 65535
        || grid.2 > 65535
    {
        let text = format!("kernel {} has a grid {grid:?} of blocks {block:?}", function.name);
        return driver.wrong(INVALID_VALUE, &text);
    }
    if (grid.2, block.2, launch.shared_bytes) != (1, 1, 0) {
        let text = format!("kernel {} is flat and shares no memory", function.name);
        return driver.wrong(INVALID_VALUE, &text);
    }
    let arguments = Arguments { driver, launch, name: &function.name, next: 0 };
    let done = run(driver, kernel, arguments);
    if done == Err(ILLEGAL_ADDRESS) {
        // As on a real device: nothing more goes in this context.
        driver.break_context(launch.context, ILLEGAL_ADDRESS);
    }
    done
}

fn run(driver: &Driver, kernel: Kernel, mut arguments: Arguments<'_>) -> Answer {
    match kernel {
        Kernel::ResampleH8 => {
            let resampling = Resampling::read::<u8, i16>(&mut arguments, false)?;
            resampling.run(driver, &arguments, |r, table| {
                reference::resample_h8(&r.src.read(&r.dst), r.dst.write(), table, &r.args)
            })
        }
        Kernel::ResampleH16 => {
            let resampling = Resampling::read::<u16, i16>(&mut arguments, false)?;
            resampling.run(driver, &arguments, |r, table| {
                reference::resample_h16(&r.src.read(&r.dst), r.dst.write(), table, &r.args)
            })
        }
        Kernel::ResampleV8 => {
            let resampling = Resampling::read::<i16, u8>(&mut arguments, true)?;
            resampling.run(driver, &arguments, |r, table| {
                reference::resample_v8(&r.src.read(&r.dst), r.dst.write(), table, &r.args)
            })
        }
        Kernel::ResampleV16 => {
            let resampling = Resampling::read::<i16, i16>(&mut arguments, true)?;
            resampling.run(driver, &arguments, |r, table| {
                reference::resample_v16(&r.src.read(&r.dst), r.dst.write(), table, &r.args)
            })
        }
        Kernel::ConvertLuma => {
            let (luma, chroma, dst) = (arguments.memory(2)?, arguments.memory(2)?, arguments.memory(1)?);
            let args = ConvertLuma {
                luma_pitch: arguments.number()?,
                chroma_pitch: arguments.number()?,
                dst_pitch: arguments.number()?,
                width: arguments.number()?,
                height: arguments.number()?,
                black: arguments.signed()?,
                of_y: arguments.signed()?,
                of_cb: arguments.signed()?,
                of_cr: arguments.signed()?,
            };
            finish(driver, &arguments, (args.width, args.height), || {
                reference::convert_luma(&luma.read(&dst), &chroma.read(&dst), dst.write(), &args)
            })
        }
        Kernel::ConvertChroma => {
            let (chroma, dst) = (arguments.memory(2)?, arguments.memory(1)?);
            let args = ConvertChroma {
                chroma_pitch: arguments.number()?,
                dst_pitch: arguments.number()?,
                width: arguments.number()?,
                height: arguments.number()?,
                cb_of_cb: arguments.signed()?,
                cb_of_cr: arguments.signed()?,
                cr_of_cb: arguments.signed()?,
                cr_of_cr: arguments.signed()?,
            };
            finish(driver, &arguments, (args.width, args.height), || {
                reference::convert_chroma(&chroma.read(&dst), dst.write(), &args)
            })
        }
    }
}

/// The arguments of a resampling kernel.
struct Resampling {
    src: Region,
    dst: Region,
    weights: Region,
    starts: Region,
    args: Resample,
}

impl Resampling {
    /// `S` and `D` are the elements of source and target; `down` says which size the table goes by.
    fn read<S, D>(arguments: &mut Arguments<'_>, down: bool) -> Answer<Self> {
        let bytes = |size: usize| u64::try_from(size).unwrap_or(1);
        let read = Self {
            src: arguments.memory(bytes(size_of::<S>()))?,
            dst: arguments.memory(bytes(size_of::<D>()))?,
            weights: arguments.memory(2)?,
            starts: arguments.memory(4)?,
            args: Resample {
                src_pitch: arguments.number()?,
                dst_pitch: arguments.number()?,
                width: arguments.number()?,
                height: arguments.number()?,
                channels: arguments.number()?,
                taps: arguments.number()?,
            },
        };
        let args = &read.args;
        let whole = bytes(args.src_pitch as usize) % bytes(size_of::<S>()) == 0
            && bytes(args.dst_pitch as usize) % bytes(size_of::<D>()) == 0;
        let length = if down { args.height } else { args.width };
        if !whole || ![1, 2].contains(&args.channels) || args.taps == 0 || length == 0 {
            let text = format!("kernel {} is given {args:?}", arguments.name);
            return arguments.driver.wrong(ILLEGAL_ADDRESS, &text);
        }
        Ok(read)
    }

    fn run(
        &self,
        driver: &Driver,
        arguments: &Arguments<'_>,
        twin: impl FnOnce(&Self, Table<'_>) -> Result<(), OutOfBounds>,
    ) -> Answer {
        let (weights, starts) = (self.weights.read::<i16>(&self.dst), self.starts.read::<u32>(&self.dst));
        let size = (self.args.width.saturating_mul(self.args.channels), self.args.height);
        finish(driver, arguments, size, || twin(self, Table { weights: &weights, starts: &starts }))
    }
}

/// Checks that the grid covers the target's elements, and runs the twin.
fn finish(
    driver: &Driver,
    arguments: &Arguments<'_>,
    size: (u32, u32),
    twin: impl FnOnce() -> Result<(), OutOfBounds>,
) -> Answer {
    let (grid, block) = (arguments.launch.grid, arguments.launch.block);
    let covered = (u64::from(grid.0) * u64::from(block.0), u64::from(grid.1) * u64::from(block.1));
    if covered.0 < size.0.into() || covered.1 < size.1.into() {
        let text = format!(
            "kernel {}: a grid of {covered:?} threads leaves some of {size:?} undone",
            arguments.name
        );
        return driver.wrong(INVALID_VALUE, &text);
    }
    let pixels = u64::from(size.0) * u64::from(size.1);
    driver.scale_job(arguments.launch.device, pixels, || {
        if driver.state.plan().pictures == Pictures::Flat {
            return Ok(());
        }
        let outside = |out: OutOfBounds| {
            driver.wrong(ILLEGAL_ADDRESS, &format!("kernel {} reaches outside: {out}", arguments.name))
        };
        twin().or_else(outside)
    })
}
