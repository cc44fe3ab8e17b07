//! What an encoder is opened with, and what of it a driver takes.

use std::time::Duration;

use super::EncodeError;
use crate::caps::{EncodeCaps, EntryPoint};
use crate::device::Codec;
use crate::frame::Size;

/// The bit rate of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateControl {
    /// Mean, in bits per second.
    pub bit_rate: u32,
    /// Highest over the VBV buffer, in bits per second. The same as the mean asks for a constant rate.
    pub max_bit_rate: u32,
    /// VBV buffer, in bits.
    pub buffer_bits: u32,
}

/// What an encoder is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderConfig {
    /// The coding format.
    pub codec: Codec,
    /// Picture size; even.
    pub size: Size,
    /// Frames a second, as a ratio.
    pub frame_rate: (u32, u32),
    /// Bit rate.
    pub rate: RateControl,
    /// Profile: `baseline`, `main` or `high` for H.264, `main` for HEVC.
    pub profile: String,
    /// Which way through the hardware, where there is a choice.
    pub entry_point: EntryPoint,
    /// Quality from 0, the fastest, to 100, the best: mapped onto the driver's levels.
    pub quality: u8,
    /// Whether each picture is to come out as soon as it is coded, rather than to keep the device busy.
    pub low_latency: bool,
    /// Longest time for one picture: beyond it the device hangs, and what it was given is left as it is, in this process
    /// and for all that was made on the device.
    pub patience: Duration,
}

/// Smallest side that drivers take.
const MIN_SIDE: u32 = 16;

/// Whether the driver takes pictures of this size.
pub(super) fn check_size(size: Size, caps: &EncodeCaps) -> Result<(), EncodeError> {
    // Drivers that do not say take at least this; they answer for themselves.
    let most = caps.max_size.unwrap_or(Size { width: 8192, height: 8192 });
    let fits = size.is_even()
        && size.width >= MIN_SIDE
        && size.height >= MIN_SIDE
        && size.width <= most.width
        && size.height <= most.height;
    if fits { Ok(()) } else { Err(EncodeError::Size { size, most }) }
}

/// The driver's level of a quality from 0 to 100: 1 is its best.
pub(super) fn quality_level(quality: u8, levels: u32) -> Option<u32> {
    let worse = u64::from(100 - quality.min(100)) * u64::from(levels.checked_sub(1)?);
    let level = 1 + worse.div_ceil(100);
    (levels > 1).then_some(u32::try_from(level).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_spread_over_the_drivers_levels() {
        assert_eq!(
            (quality_level(100, 7), quality_level(0, 7), quality_level(50, 7)),
            (Some(1), Some(7), Some(4))
        );
        assert_eq!((quality_level(50, 0), quality_level(50, 1)), (None, None));
    }
}
