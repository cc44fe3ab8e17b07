//! H.264's parameter sets and slice headers (ISO/IEC 14496-10, 7.3), as far as the simulated driver needs them: it
//! reads what x264 and clients write, and writes what a driver writes.

mod lists;
mod parameter_sets;
mod slice;

pub(crate) use lists::{Reference, expected_lists};
pub(crate) use parameter_sets::{Pps, ScalingLists, Sps};
pub(crate) use slice::{Marking, SliceHeader};

/// nal_unit_type of a slice that is not of an IDR picture (table 7-1).
pub(crate) const NAL_SLICE: u32 = 1;
/// nal_unit_type of a slice of an IDR picture.
pub(crate) const NAL_IDR: u32 = 5;
/// nal_unit_type of a sequence parameter set.
pub(crate) const NAL_SPS: u32 = 7;
/// nal_unit_type of a picture parameter set.
pub(crate) const NAL_PPS: u32 = 8;

/// slice_type modulo 5 (table 7-6).
pub(crate) const SLICE_P: u32 = 0;
/// See [`SLICE_P`].
pub(crate) const SLICE_B: u32 = 1;
/// See [`SLICE_P`].
pub(crate) const SLICE_I: u32 = 2;
