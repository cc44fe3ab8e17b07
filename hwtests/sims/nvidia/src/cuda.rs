//! The way from the simulated NVENC and NVDEC to the simulated libcuda: the table it exports as `simCudaTable`.

use std::ffi::c_void;
use std::sync::OnceLock;

/// The symbol that the simulated libcuda exports: a function that answers a `*const CudaTable`.
pub const SYMBOL: &std::ffi::CStr = c"simCudaTable";

/// Device memory, lent: it stays until it is returned, whatever the client does.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawView {
    /// The first byte wanted, in this process.
    pub data: *mut u8,
    /// To return it with.
    pub token: usize,
}

/// What the simulated libcuda does for the other libraries. Functions with a `u32` answer a CUDA status.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CudaTable {
    /// The device (its number in the plan) of a context; -1 where it is none, or destroyed.
    pub device_of_context: extern "C" fn(context: usize) -> i64,
    /// The context current to the calling thread; 0 for none.
    pub current_context: extern "C" fn() -> usize,
    /// Makes a context current to the calling thread, over the one that is.
    pub push: extern "C" fn(context: usize),
    /// Ends that.
    pub pop: extern "C" fn(),
    /// Lends `bytes` of device memory at `address`, which must lie in one allocation on the context's device. While it
    /// is lent, freeing it is a violation.
    pub lend: extern "C" fn(context: usize, address: u64, bytes: u64, view: *mut RawView) -> u32,
    /// Takes lent memory back.
    pub give_back: extern "C" fn(token: usize),
    /// Allocates device memory for a driver: a client cannot free it.
    pub allocate: extern "C" fn(context: usize, bytes: u64, address: *mut u64) -> u32,
    /// Frees it.
    pub free: extern "C" fn(address: u64),
    /// Lets clients use memory of a driver's (1), or no longer (0): that they do is then a violation.
    pub show: extern "C" fn(address: u64, shown: u32),
}

/// The simulated libcuda of this process.
#[derive(Clone, Copy, Debug)]
pub struct Cuda(&'static CudaTable);

/// Device memory, lent until it is dropped.
#[derive(Debug)]
pub struct View {
    cuda: Cuda,
    raw: RawView,
    bytes: usize,
}

// SAFETY: the memory is the device's, not a thread's; who reads and writes it when is the client's to order, as on the
// real device.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

/// Device memory of a driver, freed when dropped.
#[derive(Debug)]
pub struct DriverMemory {
    cuda: Cuda,
    address: u64,
}

impl Cuda {
    /// The simulated libcuda, where this process has loaded it: who has a context has.
    #[must_use]
    pub fn loaded() -> Option<Self> {
        static TABLE: OnceLock<Option<Cuda>> = OnceLock::new();
        *TABLE.get_or_init(|| {
            // SAFETY: a library that is loaded already; nothing of it runs by this.
            let library =
                unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
            if library.is_null() {
                return None;
            }
            // SAFETY: a handle that was just opened, and never closed.
            let symbol = unsafe { libc::dlsym(library, SYMBOL.as_ptr()) };
            if symbol.is_null() {
                return None;
            }
            // SAFETY: only the simulated libcuda has this symbol, with this type.
            let table =
                unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> *const CudaTable>(symbol) };
            // SAFETY: it answers a static table of the type that both libraries are built with.
            unsafe { table().as_ref() }.map(Cuda)
        })
    }

    /// The device of a context, by its number in the plan; none where the context is none, or destroyed.
    #[must_use]
    pub fn device_of(self, context: usize) -> Option<usize> {
        usize::try_from((self.0.device_of_context)(context)).ok()
    }

    /// The context current to this thread.
    #[must_use]
    pub fn current(self) -> Option<usize> {
        Some((self.0.current_context)()).filter(|context| *context != 0)
    }

    /// Makes a context current to this thread, over the one that is.
    pub fn push(self, context: usize) {
        (self.0.push)(context);
    }

    /// Ends that.
    pub fn pop(self) {
        (self.0.pop)();
    }

    /// Borrows device memory.
    ///
    /// # Errors
    /// A CUDA status where it is not all in one allocation on the context's device.
    pub fn lend(self, context: usize, address: u64, bytes: usize) -> Result<View, u32> {
        let mut raw = RawView { data: std::ptr::null_mut(), token: 0 };
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        match (self.0.lend)(context, address, length, &raw mut raw) {
            0 => Ok(View { cuda: self, raw, bytes }),
            status => Err(status),
        }
    }

    /// Allocates device memory for a driver.
    ///
    /// # Errors
    /// A CUDA status.
    pub fn allocate(self, context: usize, bytes: usize) -> Result<DriverMemory, u32> {
        let mut address = 0;
        match (self.0.allocate)(context, u64::try_from(bytes).unwrap_or(u64::MAX), &raw mut address) {
            0 => Ok(DriverMemory { cuda: self, address }),
            status => Err(status),
        }
    }
}

impl View {
    /// The bytes. Nobody writes them meanwhile, or the client did not wait for its own work.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: lent memory of that length stays until it is given back; it was zeroed when allocated.
        unsafe { std::slice::from_raw_parts(self.raw.data, self.bytes) }
    }

    /// The bytes, to be written.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the driver writes only what it allocated itself.
        unsafe { std::slice::from_raw_parts_mut(self.raw.data, self.bytes) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        (self.cuda.0.give_back)(self.raw.token);
    }
}

impl DriverMemory {
    /// Its address on the device.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Lets clients use it, or no longer.
    pub fn show(&self, shown: bool) {
        (self.cuda.0.show)(self.address, shown.into());
    }
}

impl Drop for DriverMemory {
    fn drop(&mut self) {
        (self.cuda.0.free)(self.address);
    }
}
