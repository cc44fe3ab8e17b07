//! Filter tables, computed on the host: for each sample of the target, where its taps begin in the source and what each
//! weighs.
//!
//! Bicubic with the support widened when reducing, so that nothing above the target's bandwidth folds back. Only
//! addition, multiplication and division of doubles are used, whose results IEEE 754 fixes: tables are the same on all
//! machines.

/// One in weights: 14 fractional bits.
pub const ONE: i32 = 1 << 14;

/// Sharpness of the cubic: libswscale's default, so that rungs look alike on all engines.
const CUBIC: f64 = -0.6;

/// Where a plane's samples lie relative to luma's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Siting {
    /// Luma; and chroma down, which lies between two rows of luma.
    Centre,
    /// Chroma across, which lies on every second column of luma (Rec. ITU-T H.264, E.2.1, type 0).
    Left,
}

/// The table of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// Samples of the target.
    pub length: u32,
    /// Taps of each sample.
    pub count: u32,
    /// By sample of the target: the source's sample that its first tap is for. That and all the following ones are
    /// within the source.
    pub starts: Vec<u32>,
    /// By tap, then by sample of the target. The weights of a sample sum up to [`ONE`].
    pub weights: Vec<i16>,
}

impl Taps {
    /// The table from `source` samples to `target` samples. None where either is zero or over 65536.
    #[must_use]
    pub fn new(source: u32, target: u32, siting: Siting) -> Option<Self> {
        if source == 0 || target == 0 || source > 65536 || target > 65536 {
            return None;
        }
        let ratio = f64::from(source) / f64::from(target);
        let offset = match siting {
            Siting::Centre => 0.5,
            Siting::Left => 0.25,
        };
        let widened = ratio.max(1.0);
        let reach = 2.0 * widened;
        let ideal = whole((2.0 * reach).floor()) + 1;
        let last = i64::from(source) - 1;
        let count = ideal.min(i64::from(source));
        let slots = usize::try_from(count).ok()?;
        let length = usize::try_from(target).ok()?;
        let mut starts = Vec::with_capacity(length);
        let mut weights = vec![0; slots.checked_mul(length)?];
        let mut exact = vec![0.0; slots];
        for at in 0..target {
            // Both in units of source samples, the first of which lies at 0.
            let centre = (f64::from(at) + offset) * ratio - offset;
            let first = whole((centre - reach).ceil());
            let start = first.clamp(0, i64::from(source) - count);
            exact.fill(0.0);
            for tap in first..first + ideal {
                let weight = cubic((float(tap) - centre) / widened);
                // What would lie outside repeats the edge.
                let slot = usize::try_from(tap.clamp(0, last) - start).ok()?;
                *exact.get_mut(slot)? += weight;
            }
            starts.push(u32::try_from(start).ok()?);
            let column = usize::try_from(at).ok()?;
            for (slot, weight) in rounded(&exact).into_iter().enumerate() {
                *weights.get_mut(slot * length + column)? = i16::try_from(weight).ok()?;
            }
        }
        Some(Self { length: target, count: u32::try_from(count).ok()?, starts, weights })
    }
}

/// Keys's kernel.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC
    } else {
        0.0
    }
}

/// In 14 fractional bits, summing up to one: what rounding loses or adds goes to the largest.
fn rounded(exact: &[f64]) -> Vec<i32> {
    let sum: f64 = exact.iter().sum();
    let one = f64::from(ONE);
    let mut weights: Vec<i32> =
        exact.iter().map(|w| i32::try_from(whole((w / sum * one).round())).unwrap_or(0)).collect();
    let rest = ONE - weights.iter().sum::<i32>();
    if let Some(largest) = weights.iter_mut().max_by_key(|weight| **weight) {
        *largest += rest;
    }
    weights
}

/// A double that holds a whole number under 2^53.
#[expect(clippy::cast_possible_truncation, reason = "callers give whole numbers of the size of a picture")]
const fn whole(x: f64) -> i64 {
    x as i64
}

/// A whole number of the size of a picture.
#[expect(clippy::cast_precision_loss, reason = "callers give numbers under 2^53")]
const fn float(x: i64) -> f64 {
    x as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_table_stays_within_the_source_and_sums_up_to_one(
            source in 1u32..2200, target in 1u32..2200, left in any::<bool>(),
        ) {
            let siting = if left { Siting::Left } else { Siting::Centre };
            let taps = Taps::new(source, target, siting).unwrap();
            let (length, count) = (target as usize, taps.count as usize);
            prop_assert_eq!(taps.starts.len(), length);
            prop_assert_eq!(taps.weights.len(), length * count);
            for at in 0..length {
                prop_assert!(taps.starts[at] + taps.count <= source);
                let weights: Vec<i32> =
                    (0..count).map(|tap| i32::from(taps.weights[tap * length + at])).collect();
                prop_assert_eq!(weights.iter().sum::<i32>(), ONE);
                // What keeps the kernels' sums within 32 bits: 32768 * 31000 < 2^30.
                prop_assert!(weights.iter().map(|w| w.abs()).sum::<i32>() <= 31000);
            }
        }
    }

    #[test]
    fn the_same_size_is_passed_through() {
        for siting in [Siting::Centre, Siting::Left] {
            let taps = Taps::new(64, 64, siting).unwrap();
            for at in 0..64u32 {
                for tap in 0..taps.count {
                    let weight = taps.weights[(tap * 64 + at) as usize];
                    let here = taps.starts[at as usize] + tap == at;
                    assert_eq!(i32::from(weight), if here { ONE } else { 0 }, "sample {at}, tap {tap}");
                }
            }
        }
    }

    #[test]
    fn halving_keeps_left_sited_chroma_where_it_was() {
        // Target sample 8 lies on luma column 16 of the target, 32.5 of the source, so on chroma sample 16.25.
        let taps = Taps::new(64, 32, Siting::Left).unwrap();
        let mean: f64 = (0..taps.count)
            .map(|tap| {
                f64::from(taps.weights[(tap * 32 + 8) as usize]) / f64::from(ONE)
                    * f64::from(taps.starts[8] + tap)
            })
            .sum();
        assert!((mean - 16.25).abs() < 0.01, "{mean}");
    }

    #[test]
    fn refuses_nothing_and_too_much() {
        assert_eq!(Taps::new(0, 1, Siting::Centre), None);
        assert_eq!(Taps::new(1, 0, Siting::Centre), None);
        assert_eq!(Taps::new(65537, 1, Siting::Centre), None);
    }
}
