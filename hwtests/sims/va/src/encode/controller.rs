//! One-pass rate control, picture by picture, for x265: its own does not follow a rate that changes.
//!
//! A picture of complexity X takes about X * 2^(-QP/6) bits. X is learned from the pictures before, apart for intra and
//! inter pictures, and what was spent too much or too little is made up for over half a second.

use crate::encode::rate::{Method, Rate};
use crate::encode::x264::PictureKind;

/// How many inter pictures' bits an intra picture may take.
const INTRA_SHARE: f64 = 5.0;
/// Largest step of QP between inter pictures.
const STEP: i32 = 6;
/// Bits that a sample of an intra picture takes at QP 26, before anything is known.
const BITS_A_SAMPLE: f64 = 0.35;

/// The memory of the pictures before.
#[derive(Debug, Default)]
pub(crate) struct Controller {
    /// Of intra and inter pictures.
    complexity: [Option<f64>; 2],
    /// Bits spent too much.
    debt: f64,
    last_qp: Option<i32>,
}

/// Mean bits of a picture.
fn share(rate: &Rate) -> f64 {
    let kbits = if rate.method == Method::Qvbr { rate.peak_kbits() } else { rate.target_kbits() };
    f64::from(kbits) * 1000.0 * f64::from(rate.frame_rate.1) / f64::from(rate.frame_rate.0)
}

impl Controller {
    /// The QP of the next picture, of so many samples of luma.
    pub(crate) fn qp(&self, kind: PictureKind, rate: &Rate, samples: u32) -> i32 {
        let quality = i32::try_from(rate.quality).unwrap_or(23);
        if rate.method == Method::Icq {
            return quality;
        }
        let share = share(rate);
        let inter = kind == PictureKind::Predicted;
        let frames_in_half_a_second = f64::from(rate.frame_rate.0) / f64::from(rate.frame_rate.1) / 2.0;
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
        let least = i32::try_from(rate.min_qp).unwrap_or(0).max(1);
        let most = if rate.max_qp > 0 { i32::try_from(rate.max_qp).unwrap_or(51).max(least) } else { 51 };
        let qp = if rate.method == Method::Qvbr { qp.max(quality) } else { qp };
        qp.clamp(least, most)
    }

    /// Learns what a picture took.
    pub(crate) fn learn(&mut self, kind: PictureKind, rate: &Rate, qp: i32, bits: u32) {
        let found = f64::from(bits) * (f64::from(qp) / 6.0).exp2();
        let known = &mut self.complexity[usize::from(kind == PictureKind::Predicted)];
        *known = Some(known.map_or(found, |before| (before + found) / 2.0));
        let share = share(rate);
        let second = share * f64::from(rate.frame_rate.0) / f64::from(rate.frame_rate.1);
        self.debt = (self.debt + f64::from(bits) - share).clamp(-second / 4.0, second / 2.0);
        self.last_qp = Some(qp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(kbits: u32) -> Rate {
        Rate {
            method: Method::Cbr,
            peak_bits_per_second: kbits * 1000,
            target_percentage: 100,
            buffer_bits: 0,
            initial_bits: 0,
            quality: 23,
            min_qp: 0,
            max_qp: 0,
            frame_rate: (25, 1),
        }
    }

    #[test]
    fn the_rate_is_met_and_a_new_one_within_a_second() {
        let mut controller = Controller::default();
        let mut seconds = [0; 6];
        for picture in 0..150_usize {
            let rate = rate(if picture < 75 { 300 } else { 1200 });
            let kind = if picture == 0 { PictureKind::Idr } else { PictureKind::Predicted };
            let qp = controller.qp(kind, &rate, 640 * 360);
            // Pictures of which an intra one takes 2 Mbit at QP 10.
            let size = if picture == 0 { 2_000_000 } else { 700_000 };
            let bits = size >> u32::try_from((qp - 10).max(0) / 6).unwrap();
            controller.learn(kind, &rate, qp, bits);
            seconds[picture / 25] += bits / 1000;
        }
        assert!((240..360).contains(&seconds[2]), "{seconds:?}");
        assert!((1000..1400).contains(&seconds[4]), "{seconds:?}");
        assert!((1000..1400).contains(&seconds[5]), "{seconds:?}");
    }
}
