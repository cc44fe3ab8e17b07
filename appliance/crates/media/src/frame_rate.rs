//! Frame rates as exact ratios.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Frames per second as an exact ratio, `30000/1001` for 29.97.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

/// The highest rate accepted anywhere, in frames per second.
pub const MAX_FRAMES_PER_SECOND: u32 = 240;

/// A frame rate that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "frame rate \"{0}\" is not a number or a ratio such as 25, 29.97 or 30000/1001, above 0 and up to {MAX_FRAMES_PER_SECOND}"
)]
pub struct InvalidFrameRate(String);

/// Rates that sources are snapped to: film, PAL and NTSC families with their halves and doubles (SMPTE ST 2036-1
/// and the low rates of screen encoders).
const STANDARD: [(u32, u32); 19] = [
    (5, 1),
    (10, 1),
    (12, 1),
    (25, 2),
    (15_000, 1001),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48_000, 1001),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (100, 1),
    (120, 1),
];

impl FrameRate {
    /// 25 frames a second: the grid of a feed with sound alone.
    pub const PAL: Self = Self { numerator: 25, denominator: 1 };

    /// `numerator / denominator` frames a second, in lowest terms; `None` where either is zero or the rate is over
    /// [`MAX_FRAMES_PER_SECOND`] or under one frame in ten seconds.
    #[must_use]
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if numerator == 0 || denominator == 0 {
            return None;
        }
        let (n, d) = (u64::from(numerator), u64::from(denominator));
        if n > u64::from(MAX_FRAMES_PER_SECOND) * d || n * 10 < d {
            return None;
        }
        let divisor = gcd(numerator, denominator);
        Some(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The numerator, in lowest terms.
    #[must_use]
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator, in lowest terms.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second, for display and comparison.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// What a person or a file means by `frames_per_second`: the standard rate within 0.4 thousandths of it (29.97 is
    /// 30000/1001, 23.98 is 24000/1001, 30 is 30), otherwise the number itself to a thousandth. `None` outside the
    /// bounds of [`Self::new`].
    #[must_use]
    pub fn declared(frames_per_second: f64) -> Option<Self> {
        if !frames_per_second.is_finite()
            || !(0.0..=f64::from(MAX_FRAMES_PER_SECOND)).contains(&frames_per_second)
        {
            return None;
        }
        let near =
            |&&(n, d): &&(u32, u32)| (f64::from(n) / f64::from(d) / frames_per_second - 1.0).abs() <= 0.000_4;
        if let Some(&(n, d)) = STANDARD.iter().find(near) {
            return Self::new(n, d);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0..=240, checked above"
        )]
        let thousandths = (frames_per_second * 1000.0).round() as u32;
        Self::new(thousandths, 1000)
    }

    /// The standard rate nearest to a measured `frames_per_second` if one is within 2 %, otherwise the nearest whole
    /// number; `None` for nonsense. See [`Self::declared`] for rates that are said and not measured.
    #[must_use]
    pub fn snap(frames_per_second: f64) -> Option<Self> {
        if !frames_per_second.is_finite() || frames_per_second <= 0.0 {
            return None;
        }
        let distance = |&(n, d): &(u32, u32)| (f64::from(n) / f64::from(d) / frames_per_second - 1.0).abs();
        let nearest = STANDARD.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        if distance(nearest) <= 0.02 {
            return Self::new(nearest.0, nearest.1);
        }
        if frames_per_second < 1.0 || frames_per_second > f64::from(MAX_FRAMES_PER_SECOND) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 1..=240, checked above"
        )]
        let rounded = frames_per_second.round() as u32;
        Self::new(rounded, 1)
    }

    /// Half the rate, as half-rate rungs use.
    #[must_use]
    pub fn half(self) -> Self {
        match self.numerator.is_multiple_of(2) {
            true => Self { numerator: self.numerator / 2, ..self },
            false => Self { denominator: self.denominator * 2, ..self },
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            d => write!(f, "{}/{d}", self.numerator),
        }
    }
}

impl FromStr for FrameRate {
    type Err = InvalidFrameRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidFrameRate(text.to_owned());
        let rate = match text.split_once('/') {
            Some((n, d)) => {
                Self::new(n.trim().parse().map_err(|_| invalid())?, d.trim().parse().map_err(|_| invalid())?)
            }
            None => Self::declared(text.trim().parse().map_err(|_| invalid())?),
        };
        rate.ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snaps_declared_and_measured_rates() {
        let snapped = |fps: f64| FrameRate::snap(fps).map(|r| r.to_string());
        assert_eq!(snapped(29.97).as_deref(), Some("30000/1001"));
        assert_eq!(snapped(30.0).as_deref(), Some("30"));
        assert_eq!(snapped(59.94).as_deref(), Some("60000/1001"));
        assert_eq!(snapped(23.976).as_deref(), Some("24000/1001"));
        assert_eq!(snapped(24.6).as_deref(), Some("25"));
        assert_eq!(snapped(26.0).as_deref(), Some("26"));
        assert_eq!(snapped(17.3).as_deref(), Some("17"));
        assert_eq!(snapped(f64::NAN), None);
        assert_eq!(snapped(1e9), None);
    }

    #[test]
    fn parses_ratios_and_numbers() {
        assert_eq!("29.97".parse::<FrameRate>().unwrap(), FrameRate::new(30_000, 1001).unwrap());
        assert_eq!("26".parse::<FrameRate>().unwrap().to_string(), "26");
        assert_eq!("23.98".parse::<FrameRate>().unwrap().to_string(), "24000/1001");
        assert_eq!("24".parse::<FrameRate>().unwrap().to_string(), "24");
        assert_eq!("7.3".parse::<FrameRate>().unwrap().to_string(), "73/10");
        assert_eq!("50/2".parse::<FrameRate>().unwrap().to_string(), "25");
        assert!("0/1".parse::<FrameRate>().is_err());
        assert!("1000".parse::<FrameRate>().is_err());
    }
}
