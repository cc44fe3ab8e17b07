//! Any picture to what encoders take: 8-bit 4:2:0, BT.709, limited range, square samples, a given size.
//!
//! Separable: across first, into codes of 14 bits, then down; where the matrix or the range is another one, a third
//! kernel a plane converts. All of it is in integers.

pub mod kernel;
pub mod reference;
pub mod taps;
