//! One-pass rate control, picture by picture, for x265: its own does not follow a rate that changes.
//!
//! A picture takes about k * R * 2^(-QP/6) bits, R being what is left of it after a crude prediction ([`Glance`]). k is
//! learned from the pictures before, apart for intra and inter pictures; a picture unlike them is held to be dear. What was
//! spent too much or too little is made up for over half a second, below the peak rate; and no picture is let take more
//! than half of what the buffer has room for.

mod glance;

pub use glance::Glance;

/// How many inter pictures' bits an intra picture may take.
const INTRA_SHARE: f64 = 5.0;
/// Largest step of QP between inter pictures.
const STEP: i32 = 6;
/// k before anything is known, and for a picture unlike those before it: about what noise takes.
const DEAR: f64 = 3.0;
/// So many times what was left of the pictures before makes a picture unlike them.
const UNLIKE: f64 = 2.0;
/// Seconds for which bits may be saved up, where the peak is above the mean.
const SAVED_SECONDS: f64 = 4.0;

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Bits a second.
    pub bit_rate: u32,
    /// Bits a second over the buffer; the same as the mean for a constant rate.
    pub peak: u32,
    /// Bits that a decoder's buffer holds.
    pub buffer: u32,
    /// Frames, and seconds for them.
    pub frame_rate: (u32, u32),
    /// The least and the largest QP.
    pub qp: (i32, i32),
}

impl Target {
    fn frames_a_second(&self) -> f64 {
        f64::from(self.frame_rate.0) / f64::from(self.frame_rate.1)
    }

    /// Mean bits of a picture.
    fn share(&self) -> f64 {
        f64::from(self.bit_rate) / self.frames_a_second()
    }

    /// What leaves the buffer with each picture.
    fn leak(&self) -> f64 {
        f64::from(self.peak.max(self.bit_rate)) / self.frames_a_second()
    }

    fn is_variable(&self) -> bool {
        self.peak > self.bit_rate
    }
}

/// What was chosen for a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The quantiser.
    pub qp: i32,
    inter: bool,
    /// R.
    left: f64,
    predicted: f64,
}

/// The memory of the pictures before.
#[derive(Debug, Default)]
pub struct RateController {
    /// k of intra and inter pictures.
    costs: [Option<f64>; 2],
    /// R of the inter pictures before.
    usual: Option<f64>,
    previous: Option<Glance>,
    /// Bits spent too much, by the mean.
    debt: f64,
    /// Bits in a buffer that the peak rate empties.
    level: f64,
    last_qp: Option<i32>,
}

impl RateController {
    /// The QP of the next picture in order of display, of so many samples of luma, `inter` where it refers to others.
    pub fn next(&mut self, inter: bool, target: &Target, glance: Glance, samples: u32) -> Choice {
        let left = glance.left(self.previous.as_ref().filter(|_| inter)) * f64::from(samples);
        self.previous = Some(glance);
        let unlike = inter && self.usual.is_none_or(|usual| left > usual * UNLIKE);
        let cost = match self.costs[usize::from(inter)] {
            Some(cost) if unlike => cost.max(DEAR),
            Some(cost) => cost,
            None => DEAR,
        };
        let bits = |qp: i32| cost * left * (-f64::from(qp - 4) / 6.0).exp2();
        let least = |budget: f64| (10..=51).find(|qp| bits(*qp) <= budget).unwrap_or(51);
        let mean = least(self.wanted(target) * if inter { 1.0 } else { INTRA_SHARE });
        let mean = match self.last_qp {
            Some(last) if inter => mean.clamp(last - STEP, last + STEP),
            _ => mean,
        };
        let fits = least((f64::from(target.buffer) - self.level) / 2.0);
        let qp = mean.max(fits).clamp(target.qp.0, target.qp.1.max(target.qp.0));
        self.last_qp = Some(qp);
        let predicted = bits(qp);
        self.spend(target, predicted - target.share(), predicted - target.leak());
        Choice { qp, inter, left, predicted }
    }

    /// Learns what the picture of a choice took.
    pub fn learn(&mut self, choice: Choice, target: &Target, bits: u32) {
        let bits = f64::from(bits);
        let found = bits * (f64::from(choice.qp - 4) / 6.0).exp2() / choice.left;
        let known = &mut self.costs[usize::from(choice.inter)];
        *known = Some(known.map_or(found, |before| (before + found) / 2.0));
        if choice.inter {
            self.usual = Some(self.usual.map_or(choice.left, |usual| (usual + choice.left) / 2.0));
        }
        self.spend(target, bits - choice.predicted, bits - choice.predicted);
    }

    /// Bits that an inter picture should take.
    fn wanted(&self, target: &Target) -> f64 {
        let (share, pictures) = (target.share(), (target.frames_a_second() / 2.0).max(1.0));
        let most = if target.is_variable() { target.leak() - self.level / pictures } else { share * 2.5 };
        (share - self.debt / pictures).min(most).max(share * 0.25)
    }

    fn spend(&mut self, target: &Target, debt: f64, level: f64) {
        let second = f64::from(target.bit_rate);
        let saved = if target.is_variable() { second * SAVED_SECONDS } else { second / 4.0 };
        self.debt = (self.debt + debt).clamp(-saved, second / 2.0);
        self.level = (self.level + level).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FPS: usize = 25;
    const SAMPLES: u32 = 640 * 360;

    /// A picture of so much noise, which no other picture has.
    fn noise(number: usize, range: u32) -> Glance {
        let mut state = u32::try_from(number).unwrap() * 7919 + 1;
        let mut blocks = Vec::new();
        for _ in 0..64 * 64 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            blocks.push(96 + u8::try_from((state >> 24) % range).unwrap());
        }
        Glance::of(64, 64, |x, y| blocks[y * 64 + x])
    }

    /// What an encoder makes of noise: less and less of it is worth coding.
    fn bits(range: u32, qp: i32, inter: bool) -> u32 {
        let bits = (1.0 + f64::from(range) / ((f64::from(qp - 4) / 6.0).exp2() * 2.0)).log2();
        let bits = bits * f64::from(SAMPLES) * if inter { 0.1 } else { 0.3 };
        format!("{bits:.0}").parse().unwrap()
    }

    /// Codes pictures of these targets, and of so much noise; gives the bits of each.
    fn code(pictures: impl Iterator<Item = (Target, u32)>) -> Vec<u32> {
        let mut controller = RateController::default();
        let mut coded = Vec::new();
        for (number, (target, range)) in pictures.enumerate() {
            let choice = controller.next(number > 0, &target, noise(number, range), SAMPLES);
            let bits = bits(range, choice.qp, number > 0);
            controller.learn(choice, &target, bits);
            coded.push(bits);
        }
        coded
    }

    fn target(bit_rate: u32, peak: u32) -> Target {
        Target { bit_rate, peak, buffer: peak / 2, frame_rate: (25, 1), qp: (1, 51) }
    }

    fn kbits(bits: &[u32]) -> Vec<u32> {
        bits.chunks(FPS).map(|second| second.iter().sum::<u32>() / 1000).collect()
    }

    #[test]
    fn the_rate_is_met_and_a_new_one_within_a_second() {
        let rates = [600_000, 600_000, 600_000, 1_200_000, 1_200_000, 1_200_000, 600_000, 600_000, 600_000];
        let coded = code((0..9 * FPS).map(|number| (target(rates[number / FPS], rates[number / FPS]), 40)));
        let seconds = kbits(&coded);
        for (second, rate) in rates.iter().enumerate().filter(|(second, _)| second % 3 > 0) {
            let rate = rate / 1000;
            assert!((rate * 9 / 10..rate * 11 / 10).contains(&seconds[second]), "{second}: {seconds:?}");
        }
    }

    #[test]
    fn sudden_noise_fits_into_the_buffer_and_what_was_saved_is_spent_below_the_peak() {
        for (mean, peak) in [(600_000, 600_000), (600_000, 1_200_000)] {
            let target = target(mean, peak);
            let coded = code((0..6 * FPS).map(|number| (target, if number < 3 * FPS { 1 } else { 60 })));
            let mut level = 0;
            for bits in &coded {
                level += bits;
                assert!(level <= target.buffer, "{level} bits in {}: {:?}", target.buffer, kbits(&coded));
                level = level.saturating_sub(peak / 25);
            }
            let seconds = kbits(&coded);
            let peak = peak / 1000;
            assert!((peak * 8 / 10..peak * 21 / 20).contains(&seconds[4]), "{seconds:?}");
        }
    }
}
