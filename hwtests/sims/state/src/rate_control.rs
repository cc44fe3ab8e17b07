//! One-pass rate control, picture by picture, for x265: its own does not follow a rate that changes.
//!
//! A picture of complexity X takes about X * 2^(-QP/6) bits. X is learned from the pictures before, apart for intra and
//! inter pictures, and what was spent too much or too little is made up for over half a second.

/// How many inter pictures' bits an intra picture may take.
const INTRA_SHARE: f64 = 5.0;
/// Largest step of QP between inter pictures.
const STEP: i32 = 6;
/// Bits that a sample of an intra picture takes at QP 26, before anything is known.
const BITS_A_SAMPLE: f64 = 0.35;

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Bits a second.
    pub bit_rate: u32,
    /// Frames, and seconds for them.
    pub frame_rate: (u32, u32),
    /// The least and the largest QP.
    pub qp: (i32, i32),
}

impl Target {
    /// Mean bits of a picture.
    fn share(&self) -> f64 {
        f64::from(self.bit_rate) * f64::from(self.frame_rate.1) / f64::from(self.frame_rate.0)
    }
}

/// The memory of the pictures before.
#[derive(Debug, Default)]
pub struct RateController {
    /// Of intra and inter pictures.
    complexity: [Option<f64>; 2],
    /// Bits spent too much.
    debt: f64,
    last_qp: Option<i32>,
}

impl RateController {
    /// The QP of the next picture, of so many samples of luma, `inter` where it refers to others.
    #[must_use]
    pub fn qp(&self, inter: bool, target: &Target, samples: u32) -> i32 {
        let share = target.share();
        let frames_in_half_a_second = f64::from(target.frame_rate.0) / f64::from(target.frame_rate.1) / 2.0;
        let wanted = share - self.debt / frames_in_half_a_second.max(1.0);
        let budget = wanted.clamp(share * 0.25, share * 2.5) * if inter { 1.0 } else { INTRA_SHARE };
        let guess = f64::from(samples) * BITS_A_SAMPLE * (26.0f64 / 6.0).exp2();
        let complexity = match self.complexity[usize::from(inter)] {
            Some(complexity) => complexity,
            None if inter => self.complexity[0].unwrap_or(guess) / INTRA_SHARE,
            None => guess,
        };
        let fits = |qp: &i32| complexity * (-f64::from(*qp) / 6.0).exp2() <= budget;
        let qp = (10..=51).find(fits).unwrap_or(51);
        let qp = match self.last_qp {
            Some(last) if inter => qp.clamp(last - STEP, last + STEP),
            _ => qp,
        };
        qp.clamp(target.qp.0, target.qp.1.max(target.qp.0))
    }

    /// Learns what a picture took.
    pub fn learn(&mut self, inter: bool, target: &Target, qp: i32, bits: u32) {
        let found = f64::from(bits) * (f64::from(qp) / 6.0).exp2();
        let known = &mut self.complexity[usize::from(inter)];
        *known = Some(known.map_or(found, |before| (before + found) / 2.0));
        let share = target.share();
        let second = share * f64::from(target.frame_rate.0) / f64::from(target.frame_rate.1);
        self.debt = (self.debt + f64::from(bits) - share).clamp(-second / 4.0, second / 2.0);
        self.last_qp = Some(qp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_met_and_a_new_one_within_a_second() {
        let mut controller = RateController::default();
        let mut seconds = [0; 6];
        for picture in 0..150_usize {
            let bit_rate = if picture < 75 { 300_000 } else { 1_200_000 };
            let target = Target { bit_rate, frame_rate: (25, 1), qp: (1, 51) };
            let inter = picture != 0;
            let qp = controller.qp(inter, &target, 640 * 360);
            // Pictures of which an intra one takes 2 Mbit at QP 10.
            let size = if inter { 700_000 } else { 2_000_000 };
            let bits = size >> u32::try_from((qp - 10).max(0) / 6).unwrap();
            controller.learn(inter, &target, qp, bits);
            seconds[picture / 25] += bits / 1000;
        }
        assert!((240..360).contains(&seconds[2]), "{seconds:?}");
        assert!((1000..1400).contains(&seconds[4]), "{seconds:?}");
        assert!((1000..1400).contains(&seconds[5]), "{seconds:?}");
    }
}
