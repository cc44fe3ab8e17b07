//! Media time: ticks that know their rate.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Ticks per second. `90 kHz` for video, the sample rate for audio, `1 kHz` for RTMP stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// 90 000 ticks a second, the clock of video everywhere in rungd (ISO/IEC 13818-1, 2.4.2).
    pub const VIDEO: Self = Self(NonZeroU32::new(90_000).unwrap());
    /// 1 000 ticks a second, the clock of RTMP messages (RTMP 1.0, section 4).
    pub const MILLIS: Self = Self(NonZeroU32::new(1_000).unwrap());

    /// A rate of `ticks_per_second`; `None` for zero.
    #[must_use]
    pub const fn new(ticks_per_second: u32) -> Option<Self> {
        match NonZeroU32::new(ticks_per_second) {
            Some(rate) => Some(Self(rate)),
            None => None,
        }
    }

    /// Ticks per second.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A point or a length on a media timeline, in ticks of its own [`Timescale`].
///
/// Compared and hashed by value of time, not of ticks: 1 s at 90 kHz equals 1 s at 48 kHz.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct MediaTime {
    ticks: i64,
    scale: Timescale,
}

impl MediaTime {
    /// Zero on the 90 kHz clock.
    pub const ZERO: Self = Self { ticks: 0, scale: Timescale::VIDEO };

    /// `ticks` of `scale`.
    #[must_use]
    pub const fn new(ticks: i64, scale: Timescale) -> Self {
        Self { ticks, scale }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self { ticks: millis, scale: Timescale::MILLIS }
    }

    /// A duration on the clock `scale`, rounded down to a tick.
    #[must_use]
    pub fn from_duration(duration: Duration, scale: Timescale) -> Self {
        let ticks = duration.as_nanos() * u128::from(scale.get()) / 1_000_000_000;
        Self { ticks: i64::try_from(ticks).unwrap_or(i64::MAX), scale }
    }

    /// Ticks of [`Self::scale`].
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// The clock the ticks count.
    #[must_use]
    pub const fn scale(self) -> Timescale {
        self.scale
    }

    /// The same instant in ticks of `scale`, rounded to the nearest tick (half away from zero). The one place
    /// where times are rescaled.
    #[must_use]
    pub fn rescale(self, scale: Timescale) -> Self {
        if scale == self.scale {
            return self;
        }
        let product = i128::from(self.ticks) * i128::from(scale.get());
        let from = i128::from(self.scale.get());
        let half = if product < 0 { -from / 2 } else { from / 2 };
        Self { ticks: clamp((product + half) / from), scale }
    }

    /// Ticks of `scale`; see [`Self::rescale`].
    #[must_use]
    pub fn ticks_at(self, scale: Timescale) -> i64 {
        self.rescale(scale).ticks
    }

    /// As a duration; zero where the time is negative.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        let nanos = i128::from(self.ticks) * 1_000_000_000 / i128::from(self.scale.get());
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// `self + other`, in the clock of `self`; saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { ticks: self.ticks.saturating_add(other.ticks_at(self.scale)), scale: self.scale }
    }

    /// `self - other`, in the clock of `self`; saturates.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { ticks: self.ticks.saturating_sub(other.ticks_at(self.scale)), scale: self.scale }
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaTime {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.ticks) * i128::from(other.scale.get());
        let right = i128::from(other.ticks) * i128::from(self.scale.get());
        left.cmp(&right)
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ticks, self.scale.get())
    }
}

impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.ticks_at(Timescale::MILLIS);
        write!(f, "{}{}.{:03} s", if millis < 0 { "-" } else { "" }, millis.abs() / 1000, millis.abs() % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescales_to_the_nearest_tick() {
        let khz48 = Timescale::new(48_000).unwrap();
        assert_eq!(MediaTime::from_millis(1).ticks_at(Timescale::VIDEO), 90);
        assert_eq!(MediaTime::new(1, khz48).ticks_at(Timescale::VIDEO), 2);
        assert_eq!(MediaTime::new(-1, khz48).ticks_at(Timescale::VIDEO), -2);
        assert_eq!(MediaTime::new(90_000, Timescale::VIDEO), MediaTime::new(48_000, khz48));
    }

    #[test]
    fn saturates_at_the_ends() {
        let end = MediaTime::new(i64::MAX, Timescale::MILLIS);
        assert_eq!(end.plus(MediaTime::from_millis(1)).ticks(), i64::MAX);
        assert_eq!(end.ticks_at(Timescale::VIDEO), i64::MAX);
    }
}
