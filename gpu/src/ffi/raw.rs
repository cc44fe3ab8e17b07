//! Structures that a driver reads and writes, as memory: fields are set and read by their place and as numbers, so that no
//! Rust enum ever holds a value that it does not have, neither zero nor one that a newer driver has written.

use std::mem::MaybeUninit;

use super::cuda::Plain;

/// A `T` of C, all of whose bytes are initialised.
pub(super) struct Raw<T>(Box<MaybeUninit<T>>);

// SAFETY: bytes; the pointers among them are only used by a driver, during a call that is given them.
unsafe impl<T> Send for Raw<T> {}

// SAFETY: a number.
unsafe impl Plain for i32 {}
// SAFETY: a number.
unsafe impl Plain for u16 {}
// SAFETY: a number.
unsafe impl Plain for u64 {}
// SAFETY: any bytes are some pointer; reading through one is another matter.
unsafe impl<T> Plain for *mut T {}
// SAFETY: numbers.
unsafe impl Plain for nvidia_video_codec_sdk::sys::nvEncodeAPI::GUID {}

impl<T> Raw<T> {
    /// All zero, which is what drivers ask of fields that are not set.
    pub(super) fn zeroed() -> Self {
        Self(Box::new(MaybeUninit::zeroed()))
    }

    /// For a call of the driver.
    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_mut_ptr()
    }

    /// Sets what is at `offset`, from `offset_of!`.
    pub(super) fn set<F: Plain>(&mut self, offset: usize, value: F) {
        assert!(offset + size_of::<F>() <= size_of::<T>(), "a field lies within its structure");
        let field = self.as_mut_ptr().wrapping_byte_add(offset).cast::<F>();
        // SAFETY: within the allocation (checked above), and no alignment is asked for.
        unsafe { field.write_unaligned(value) };
    }

    /// What is at `offset`.
    pub(super) fn get<F: Plain>(&self, offset: usize) -> F {
        assert!(offset + size_of::<F>() <= size_of::<T>(), "a field lies within its structure");
        let field = self.0.as_ptr().wrapping_byte_add(offset).cast::<F>();
        // SAFETY: within the allocation (checked above), whose bytes are initialised; any bytes are some F.
        unsafe { field.read_unaligned() }
    }

    /// Sets some bits of the 32 at `offset`.
    pub(super) fn set_bits(&mut self, offset: usize, bits: Bits, value: u32) {
        let mask = ((1 << bits.width) - 1) << bits.first;
        let rest = self.get::<u32>(offset) & !mask;
        self.set(offset, rest | (value << bits.first & mask));
    }

    /// Copies a structure that lies within this one.
    pub(super) fn copy_in<F>(&mut self, offset: usize, from: &Raw<F>) {
        assert!(offset + size_of::<F>() <= size_of::<T>(), "a field lies within its structure");
        let field = self.as_mut_ptr().wrapping_byte_add(offset).cast::<u8>();
        // SAFETY: the target is within the allocation (checked above), the source is a whole F, and both are apart.
        unsafe { std::ptr::copy_nonoverlapping(from.0.as_ptr().cast::<u8>(), field, size_of::<F>()) };
    }

    /// Copies out a structure that lies within this one.
    pub(super) fn copy_out<F>(&self, offset: usize) -> Raw<F> {
        assert!(offset + size_of::<F>() <= size_of::<T>(), "a field lies within its structure");
        let mut copy = Raw::<F>::zeroed();
        let field = self.0.as_ptr().wrapping_byte_add(offset).cast::<u8>();
        // SAFETY: as in copy_in, the other way round.
        unsafe { std::ptr::copy_nonoverlapping(field, copy.as_mut_ptr().cast::<u8>(), size_of::<F>()) };
        copy
    }
}

/// A bit field, by its first bit and its width; C puts the first declared at bit 0 on all targets of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) first: u32,
    pub(super) width: u32,
}

pub(super) const fn bit(first: u32) -> Bits {
    Bits { first, width: 1 }
}
