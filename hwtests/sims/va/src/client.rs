//! Pointers that a client hands in. libva's interface says what they point at; that trust is placed here, once, and
//! null is refused.

use crate::status::{Answer, invalid};

/// Writes an answer where the client wants it.
pub(crate) fn give<T>(to: *mut T, value: T, what: &str) -> Answer<()> {
    if to.is_null() {
        return Err(invalid(format!("{what} is null")));
    }
    // SAFETY: not null (checked); libva's interface has the client give room for one T here, aligned and its own.
    unsafe { to.write(value) };
    Ok(())
}

/// Reads a structure.
pub(crate) fn take<T: Copy>(from: *const T, what: &str) -> Answer<T> {
    if from.is_null() {
        return Err(invalid(format!("{what} is null")));
    }
    // SAFETY: not null (checked); libva's interface has the client give one initialised T here.
    Ok(unsafe { from.read() })
}

/// Copies `count` entries in.
pub(crate) fn list<T: Copy>(from: *const T, count: usize, what: &str) -> Answer<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if from.is_null() {
        return Err(invalid(format!("{what} is null, for {count} entries")));
    }
    // SAFETY: not null (checked); libva's interface has the client give `count` initialised entries here, which nobody
    // writes while the call runs.
    Ok(unsafe { std::slice::from_raw_parts(from, count) }.to_vec())
}

/// The client's own list, to answer in place.
pub(crate) fn list_mut<'a, T>(at: *mut T, count: usize, what: &str) -> Answer<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    if at.is_null() {
        return Err(invalid(format!("{what} is null, for {count} entries")));
    }
    // SAFETY: not null (checked); libva's interface has the client give room for `count` entries here, its own for the
    // time of the call, and the slice does not outlive the call.
    Ok(unsafe { std::slice::from_raw_parts_mut(at, count) })
}

/// A count that the interface has as a signed number.
pub(crate) fn count(number: i32, what: &str) -> Answer<usize> {
    usize::try_from(number).map_err(|_| invalid(format!("{what} is {number}")))
}

/// A structure of plain numbers, which any bytes are.
///
/// # Safety
/// Every bit pattern is a value: integers, arrays and structures of them, and raw pointers.
pub(crate) unsafe trait Plain: Copy {}

/// Reads a parameter structure out of a buffer's bytes; `None` where there are too few.
pub(crate) fn plain<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes (checked), alignment is not asked for, and any bytes are a T (Plain).
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The `width` bits at `at` of a word of flags.
pub(crate) fn bits(word: u32, at: u32, width: u32) -> u32 {
    word >> at & ((1 << width) - 1)
}

/// One bit of a word of flags.
pub(crate) fn bit(word: u32, at: u32) -> bool {
    word >> at & 1 == 1
}

/// A union of a word and its fields, as the word.
pub(crate) fn word<U: Copy>(flags: U) -> u32 {
    const { assert!(size_of::<U>() == size_of::<u32>(), "a word of flags has 32 bits") };
    // SAFETY: as large as a u32 (asserted); the unions that come here are a u32 in va.h, beside its bit fields, and were
    // read as plain bytes, all of them initialised.
    unsafe { std::mem::transmute_copy(&flags) }
}
