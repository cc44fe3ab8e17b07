//! Pointers that a client passes in. They cannot be made in safe code here: each comes from a C caller, whose promise it
//! is that the pointer is null or fit for what the function's documentation says. That promise is what the unsafe
//! blocks below rest on.

use std::ffi::{CStr, c_char};

/// Where an answer is to be written. Null, or valid for the write of a `T`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// Something to read. Null, or valid for the read of a `T`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct In<T>(*const T);

/// A C string. Null, or ended with a zero.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Text(*const c_char);

impl<T> Out<T> {
    /// Whether there is nowhere to write.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address itself.
    #[must_use]
    pub fn as_ptr(self) -> *mut T {
        self.0
    }

    /// The same place for another type, as the C function has a `void*` whose meaning another argument gives.
    #[must_use]
    pub fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Writes; false where there is nowhere to.
    pub fn put(self, value: T) -> bool {
        if self.0.is_null() {
            return false;
        }
        // SAFETY: not null, and so valid for the write by the caller's promise; it may be unaligned.
        unsafe { self.0.write_unaligned(value) };
        true
    }

    /// Reads what stands there; none where the pointer is null.
    #[must_use]
    pub fn get(self) -> Option<T>
    where
        T: Copy,
    {
        In(self.0.cast_const()).get()
    }

    /// Writes several, one after the other, as the function's documentation has an array here.
    pub fn put_all(self, values: impl IntoIterator<Item = T>) -> bool {
        if self.0.is_null() {
            return false;
        }
        for (at, value) in values.into_iter().enumerate() {
            // SAFETY: the array is as long as the client said, which the callers below keep to.
            let to = unsafe { self.0.add(at) };
            // SAFETY: as above.
            unsafe { to.write_unaligned(value) };
        }
        true
    }
}

impl Out<c_char> {
    /// Writes a text, cut to `room` bytes with its zero; false where there is nowhere to.
    pub fn put_text(self, text: &str, room: usize) -> bool {
        let Some(length) = room.checked_sub(1).map(|most| most.min(text.len())) else { return false };
        let bytes = text.as_bytes()[..length].iter().copied().chain([0]);
        self.cast::<u8>().put_all(bytes)
    }
}

impl<T: Copy> In<T> {
    /// What stands there; none where the pointer is null.
    #[must_use]
    pub fn get(self) -> Option<T> {
        // SAFETY: not null, and so valid for the read by the caller's promise; it may be unaligned.
        (!self.0.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }

    /// The address itself.
    #[must_use]
    pub fn as_ptr(self) -> *const T {
        self.0
    }

    /// The element at `index` of an array.
    #[must_use]
    pub fn at(self, index: usize) -> Option<T> {
        // Only the address is computed; null stays null.
        if self.0.is_null() { None } else { In(self.0.wrapping_add(index)).get() }
    }
}

impl Text {
    /// The text; none where the pointer is null.
    #[must_use]
    pub fn get<'a>(self) -> Option<&'a CStr> {
        // SAFETY: not null, and so ended with a zero by the caller's promise; the client keeps it through the call.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) })
    }
}

/// A structure of the C interface, read and written field by field at the offsets of `T`: a client may be built with
/// other headers than `T` is, where only the fields at the same offsets mean the same, and where its enums have values
/// that `T`'s have not. Null, or valid for reads and writes of a `T`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Fields<T>(*mut T);

impl<T> Clone for Fields<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Fields<T> {}

/// What a field is: numbers, and addresses as numbers. Any bytes are a value of these.
pub trait Plain: Copy {}

impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for i16 {}
impl Plain for u32 {}
impl Plain for i32 {}
impl Plain for u64 {}
impl Plain for i64 {}
impl Plain for usize {}
impl<const N: usize> Plain for [u8; N] {}

impl<T> Fields<T> {
    /// Whether there is no structure.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> usize {
        self.0.addr()
    }

    /// A field, by `offset_of!(T, field)`; zero where there is no structure, or where the field is outside of it.
    #[must_use]
    pub fn get<U: Plain + Default>(self, offset: usize) -> U {
        if self.0.is_null() || offset + size_of::<U>() > size_of::<T>() {
            return U::default();
        }
        // SAFETY: inside of the structure, which is valid by the caller's promise; any bytes are a U.
        unsafe { self.0.cast::<u8>().wrapping_add(offset).cast::<U>().read_unaligned() }
    }

    /// Sets a field, by `offset_of!(T, field)`.
    pub fn set<U: Plain>(self, offset: usize, value: U) {
        if self.0.is_null() || offset + size_of::<U>() > size_of::<T>() {
            return;
        }
        // SAFETY: inside of the structure, which is valid by the caller's promise.
        unsafe { self.0.cast::<u8>().wrapping_add(offset).cast::<U>().write_unaligned(value) };
    }

    /// A structure within this one, by its offset.
    #[must_use]
    pub fn inner<V>(self, offset: usize) -> Fields<V> {
        if self.0.is_null() {
            Fields(std::ptr::null_mut())
        } else {
            Fields(self.0.wrapping_byte_add(offset).cast())
        }
    }

    /// The structure that a pointer within this one leads to, by the pointer's offset.
    #[must_use]
    pub fn follow<V>(self, offset: usize) -> Fields<V> {
        Fields(std::ptr::with_exposed_provenance_mut(self.get::<usize>(offset)))
    }

    /// The place that a pointer within this one leads to, by the pointer's offset.
    #[must_use]
    pub fn place<V>(self, offset: usize) -> Out<V> {
        Out(std::ptr::with_exposed_provenance_mut(self.get::<usize>(offset)))
    }

    /// A structure in memory of ours, of which there must be enough; else it is null.
    #[must_use]
    pub fn of(memory: &mut [u64]) -> Self {
        let enough = size_of_val(memory) >= size_of::<T>();
        Self(if enough { memory.as_mut_ptr().cast() } else { std::ptr::null_mut() })
    }

    /// Clears it from an offset to its end.
    pub fn clear_from(self, offset: usize) {
        for at in offset..size_of::<T>() {
            self.set(at, 0_u8);
        }
    }
}
