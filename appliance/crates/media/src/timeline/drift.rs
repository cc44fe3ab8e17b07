//! How fast the source's clock runs against the wall's.

/// Length of a window, in nanoseconds.
const WINDOW_NANOS: i128 = 10_000_000_000;
/// Windows that the slope is taken over: about five minutes.
const WINDOWS: usize = 32;
/// Windows before there is an estimate.
const FEWEST_WINDOWS: usize = 6;

/// Keeps the highest lead of each window, which is that of the unit least delayed on its way, and takes the slope of
/// these: least squares.
#[derive(Debug, Clone, Default)]
pub(super) struct Drift {
    /// Whole windows, oldest first: when they began, and their highest lead, in nanoseconds.
    windows: Vec<(i128, i128)>,
    open: Option<(i128, i128)>,
}

impl Drift {
    pub(super) fn observe(&mut self, now: i128, lead: i128) {
        match &mut self.open {
            Some((began, high)) if now - *began < WINDOW_NANOS => *high = lead.max(*high),
            open => {
                if let Some(whole) = open.replace((now, lead)) {
                    if self.windows.len() == WINDOWS {
                        self.windows.remove(0);
                    }
                    self.windows.push(whole);
                }
            }
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn ppm(&self) -> Option<f64> {
        let &(first, base) = self.windows.first()?;
        if self.windows.len() < FEWEST_WINDOWS {
            return None;
        }
        // Milliseconds of time and microseconds of lead fit an i32, and so an f64, for what a few minutes can hold.
        let small = |value: i128| i32::try_from(value).map(f64::from).ok();
        let mut points = Vec::with_capacity(self.windows.len());
        for &(at, lead) in &self.windows {
            points.push((small((at - first) / 1_000_000)? / 1e3, small((lead - base) / 1_000)?));
        }
        let count = f64::from(u32::try_from(points.len()).ok()?);
        let mean = |values: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(values).sum::<f64>() / count;
        let (mean_at, mean_lead) = (mean(&|point| point.0), mean(&|point| point.1));
        let covariance: f64 = points.iter().map(|(at, lead)| (at - mean_at) * (lead - mean_lead)).sum();
        let variance: f64 = points.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        // Microseconds a second are parts per million.
        (variance > 0.0).then(|| covariance / variance)
    }
}
