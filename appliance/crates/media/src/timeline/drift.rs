//! How fast the source's clock runs against the wall's, and how far that has taken it.
//!
//! What is measured is the lead: presentation time of a unit less the wall time it arrives at. The network only ever
//! takes from it, so the highest lead of a window is that of the unit least delayed. The line through these, by medians,
//! is the clock; stalls of a part of the windows do not move it. How far the windows are from their line says how much
//! of what it shows may be the network, and nothing is corrected that may be.

use std::collections::VecDeque;

/// Length of a window, in nanoseconds.
pub(super) const WINDOW_NANOS: i128 = 10_000_000_000;
/// Windows that the line is laid through: ten minutes, which at 500 ppm are 300 ms.
const WINDOWS: usize = 60;
/// Windows before there is a line: a source 500 ppm off is 30 ms away by then.
const FEWEST_WINDOWS: usize = 6;
/// Uncertainty, in nanoseconds, below which the line is believed.
const SURE_NANOS: i128 = 15_000_000;
/// Uncertainty, in nanoseconds, below which the line's slope is told: some 100 ppm.
const READABLE_NANOS: i128 = 40_000_000;
/// What is let be on top of twice the uncertainty, in nanoseconds: a third of a picture, half an audio frame.
const DEAD_BAND_NANOS: i128 = 10_000_000;
/// Longest step, in nanoseconds: less than a frame of anything.
const MAX_STEP_NANOS: i128 = 8_000_000;

/// Follows one track. Leads are given and kept as they would be if nothing had been corrected.
#[derive(Debug, Clone, Default)]
pub(super) struct Drift {
    /// The best of each whole window, oldest first.
    windows: VecDeque<Point>,
    /// When the open window began, and its best.
    open: Option<(i128, Point)>,
    line: Option<Line>,
    /// The lead to hold.
    steady: Option<i128>,
    /// What is held while that is not known: the lead that there was when the first session ended.
    provisional: Option<i128>,
}

/// When a unit arrived, and its lead; in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: i128,
    lead: i128,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    from: Point,
    /// Nanoseconds of lead gained in a second.
    slope: i128,
    /// How far the line's end may be off.
    uncertainty: i128,
}

/// Nanoseconds a second by which to correct: half as fast again as the fastest drift, so that what ran up before the line
/// was known is made up for.
pub(super) fn slew_rate(max_ppm: u32) -> i128 {
    i128::from(max_ppm) * 1_500
}

impl Line {
    const fn lead(&self, at: i128) -> i128 {
        self.from.lead + self.slope * (at - self.from.at) / 1_000_000_000
    }
}

impl Drift {
    /// A unit with this lead arrived, `corrected` of which is the sum of all corrections. Whether a window ended.
    pub(super) fn observe(&mut self, now: i128, lead: i128, corrected: i128) -> bool {
        let point = Point { at: now, lead: lead - corrected };
        match &mut self.open {
            Some((began, best)) if now - *began < WINDOW_NANOS => {
                if point.lead > best.lead {
                    *best = point;
                }
                false
            }
            open => {
                let Some((_, best)) = open.replace((now, point)) else { return false };
                if self.windows.len() == WINDOWS {
                    self.windows.pop_front();
                }
                self.windows.push_back(best);
                self.line = self.fit();
                if let Some(line) = &self.line
                    && self.steady.is_none()
                    && (line.uncertainty <= SURE_NANOS || self.windows.len() == WINDOWS)
                {
                    self.steady = Some(line.from.lead + corrected);
                }
                true
            }
        }
    }

    /// The stamps made a jump, or another publisher came: begins to measure anew. The lead to hold stays.
    pub(super) fn jumped(&mut self) {
        *self = Self { steady: self.steady, provisional: self.provisional, ..Self::default() };
    }

    /// The highest lead of the last ten or twenty seconds, in nanoseconds, where `corrected` is the sum of all corrections.
    pub(super) fn recent(&self, corrected: i128) -> Option<i128> {
        let open = self.open.map(|(_, best)| best.lead);
        let last = self.windows.back().map(|best| best.lead);
        open.max(last).map(|lead| lead + corrected)
    }

    /// The lead that a publisher is to have that returns now; none at the start. What is taken for it before the steady one
    /// is known is taken once, or sessions in a row would each add what the best of them is better by.
    pub(super) fn held(&mut self, corrected: i128) -> Option<i128> {
        if self.steady.is_none() && self.provisional.is_none() {
            self.provisional = self.recent(corrected);
        }
        self.steady.or(self.provisional)
    }

    /// The lead to hold, in nanoseconds, once it is known.
    #[cfg(test)]
    pub(super) const fn steady(&self) -> Option<i128> {
        self.steady
    }

    /// By how much to move the track now, in nanoseconds, where `corrected` is the sum so far.
    pub(super) fn correction(&self, now: i128, corrected: i128, max_ppm: u32) -> Option<i128> {
        let (line, steady) = (self.line?, self.steady?);
        let max_slope = i128::from(max_ppm) * 1_000;
        // A steeper line is no clock but a network that fills or empties, or stamps gone wrong.
        if line.slope.abs() > max_slope + max_slope / 4 {
            return None;
        }
        let away = line.lead(now) + corrected - steady;
        if away.abs() <= DEAD_BAND_NANOS + 2 * line.uncertainty {
            return None;
        }
        let most = (slew_rate(max_ppm) * WINDOW_NANOS / 1_000_000_000).min(MAX_STEP_NANOS);
        Some(-away.clamp(-most, most)).filter(|&by| by != 0)
    }

    /// Parts per million; none while it is uncertain.
    pub(super) fn ppm(&self) -> Option<f64> {
        let line = self.line.filter(|line| line.uncertainty <= READABLE_NANOS)?;
        i32::try_from(line.slope).ok().map(|nanos_a_second| f64::from(nanos_a_second) / 1e3)
    }

    /// The median of the slopes between windows half of all apart, and the upper quartile of where that puts the line:
    /// delays only ever pull points down.
    fn fit(&self) -> Option<Line> {
        let points = &self.windows;
        let count = points.len();
        let first = points.front()?;
        if count < FEWEST_WINDOWS {
            return None;
        }
        let pairs = points.iter().zip(points.iter().skip(count / 2));
        let slopes = pairs.map(|(early, late)| {
            (late.lead - early.lead).saturating_mul(1_000_000_000) / (late.at - early.at).max(1)
        });
        let slope = quantile(slopes.collect(), 2)?;
        let flat = Line { from: Point { at: first.at, lead: 0 }, slope, uncertainty: 0 };
        let residuals: Vec<i128> = points.iter().map(|point| point.lead - flat.lead(point.at)).collect();
        let middle = quantile(residuals.clone(), 2)?;
        let spread = quantile(residuals.iter().map(|residual| (residual - middle).abs()).collect(), 2)?;
        let lead = quantile(residuals, 3)?;
        let scale = i128::try_from(WINDOWS / count).unwrap_or(1);
        Some(Line { from: Point { at: first.at, lead }, slope, uncertainty: spread * scale })
    }
}

/// The value that `quarters` of four are below.
fn quantile(mut values: Vec<i128>, quarters: usize) -> Option<i128> {
    let index = values.len() * quarters / 4;
    (index < values.len()).then(|| *values.select_nth_unstable(index).1)
}
