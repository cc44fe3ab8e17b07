//! A frame rate from the first stamps.

use std::time::Duration;

use crate::timeline::SourceStamp;

/// Pictures that are measured; later ones only count.
const MOST_PICTURES: usize = 120;
/// Pictures that may still come between those that are there, in display order (`max_num_reorder_frames`, E.2.1).
const REORDERED: usize = 4;

/// Gathers the stamps of the first pictures.
#[derive(Debug, Clone, Default)]
pub(super) struct RateMeter {
    count: usize,
    first_millis: u32,
    /// Decoding times since the first, in microseconds, and presentation times likewise.
    decoded: Vec<i64>,
    shown: Vec<i64>,
}

impl RateMeter {
    pub(super) fn picture(&mut self, stamp: SourceStamp) {
        if self.count == 0 {
            self.first_millis = stamp.millis;
        }
        self.count += 1;
        if self.decoded.len() < MOST_PICTURES {
            let millis = stamp.millis.wrapping_sub(self.first_millis).cast_signed();
            let decoded = i64::from(millis) * 1000 + i64::from(stamp.nanos / 1000);
            self.decoded.push(decoded);
            self.shown.push(decoded + i64::from(stamp.composition_millis) * 1000);
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// From the first to the last stamp measured.
    pub(super) fn span(&self) -> Duration {
        let span = self.decoded.iter().max().copied().unwrap_or(0);
        Duration::from_micros(u64::try_from(span).unwrap_or(0))
    }

    /// Frames per second by the more regular of decoding times and presentation times; none before there are three
    /// different ones.
    pub(super) fn frames_per_second(&self) -> Option<f64> {
        let mut shown = self.shown.clone();
        shown.sort_unstable();
        shown.truncate(shown.len().saturating_sub(REORDERED).max(3));
        let (decoded, shown) = (fit(&self.decoded), fit(&shown));
        let best = match (decoded, shown) {
            (Some(decoded), Some(shown)) if shown.unevenness < decoded.unevenness * 0.5 => shown,
            (Some(fit), _) | (None, Some(fit)) => fit,
            (None, None) => return None,
        };
        Some(1e6 / best.micros_per_frame)
    }
}

struct Fit {
    micros_per_frame: f64,
    /// Mean distance of the stamps from the line through them, in microseconds.
    unevenness: f64,
}

/// The line through stamps over frame numbers, by least squares: over a second of millisecond stamps it tells 29.97
/// from 30, which a mean of deltas cannot. A delta of several frames counts as so many, so lost pictures do no harm.
fn fit(stamps: &[i64]) -> Option<Fit> {
    let deltas: Vec<i64> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut sorted: Vec<i64> = deltas.iter().copied().filter(|&delta| delta > 0).collect();
    if sorted.len() < 2 {
        return None;
    }
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    let (mut frame, mut micros) = (0i64, 0i64);
    let mut points = vec![(0.0, 0.0)];
    for delta in deltas {
        let frames = (delta + median / 2).div_euclid(median);
        // Standing still, running backwards, jumping: nothing to measure, the line goes on behind it.
        if !(1..=16).contains(&frames) {
            continue;
        }
        frame += frames;
        micros = micros.saturating_add(delta);
        let small = |value: i64| i32::try_from(value).map(f64::from).ok();
        points.push((small(frame)?, small(micros)?));
    }
    if points.len() < 3 {
        return None;
    }
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean_frame = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_micros = points.iter().map(|point| point.1).sum::<f64>() / count;
    let covariance: f64 =
        points.iter().map(|(frame, micros)| (frame - mean_frame) * (micros - mean_micros)).sum();
    let variance: f64 = points.iter().map(|(frame, _)| (frame - mean_frame).powi(2)).sum();
    let micros_per_frame = covariance / variance;
    let off =
        |(frame, micros): &(f64, f64)| (micros - mean_micros - micros_per_frame * (frame - mean_frame)).abs();
    let unevenness = points.iter().map(off).sum::<f64>() / count;
    (micros_per_frame.is_finite() && micros_per_frame > 0.0).then_some(Fit { micros_per_frame, unevenness })
}
