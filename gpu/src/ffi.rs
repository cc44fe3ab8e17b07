//! What the drivers offer, one C call a function; the one place with `unsafe`.
//!
//! Statuses are numbers here, never Rust enums: a newer driver may give one that this version does not know.

#[cfg(test)]
mod bindings;
pub(crate) mod cuda;
pub(crate) mod cuvid;
pub(crate) mod kernels;
pub(crate) mod nvenc;
mod raw;
