//! HEVC's parameter sets and slice segment headers (ITU-T H.265, 7.3), as far as the simulated driver needs them: it
//! reads what x265 and clients write, and writes what a driver writes.

mod parameter_sets;
mod pps;
mod slice;

pub(crate) use parameter_sets::{Pcm, Profile, ScalingLists, ShortTermSet, Sps, write_vps};
pub(crate) use pps::{Pps, Tiles};
pub(crate) use slice::{LongTerm, SliceHeader};

/// nal_unit_type of the first and the last of the intra random access point pictures (table 7-1).
pub(crate) const NAL_IRAP: std::ops::RangeInclusive<u32> = 16..=23;
/// nal_unit_type of IDR pictures.
pub(crate) const NAL_IDR: std::ops::RangeInclusive<u32> = 19..=20;
/// nal_unit_type of RADL and RASL pictures, which no picture order is counted from.
pub(crate) const NAL_LEADING: std::ops::RangeInclusive<u32> = 6..=9;
/// nal_unit_type of the last that is a slice segment.
pub(crate) const NAL_LAST_SLICE: u32 = 31;
/// nal_unit_type of a sequence parameter set.
pub(crate) const NAL_SPS: u32 = 33;
/// nal_unit_type of a picture parameter set.
pub(crate) const NAL_PPS: u32 = 34;

/// slice_type (table 7-7).
pub(crate) const SLICE_B: u32 = 0;
/// See [`SLICE_B`].
pub(crate) const SLICE_P: u32 = 1;
/// See [`SLICE_B`].
pub(crate) const SLICE_I: u32 = 2;

/// nal_unit_type of a NAL unit.
pub(crate) fn unit_type(unit: &[u8]) -> u32 {
    unit.first().map_or(u32::MAX, |&byte| u32::from(byte >> 1 & 0x3f))
}

/// How many bits a number below `count` takes.
pub(crate) fn bits_for(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}
