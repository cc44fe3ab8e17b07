//! Bit rates: who controls them, what a driver is told, and our own control where the driver has none.

use super::RateControl;
use crate::caps::RateMode;
use crate::ffi::va;
use crate::ffi::words::RateControlFlags;

/// The rate control for a rate, best first: the driver's own, and ours where it has none.
pub(super) fn mode(rate: RateControl, offered: &[RateMode]) -> Option<RateMode> {
    let constant = [RateMode::Cbr, RateMode::Vbr, RateMode::Qvbr, RateMode::Cqp];
    let variable = [RateMode::Vbr, RateMode::Qvbr, RateMode::Cbr, RateMode::Cqp];
    let wanted = if rate.max_bit_rate <= rate.bit_rate { constant } else { variable };
    wanted.into_iter().find(|mode| offered.contains(mode))
}

/// Quality that QVBR is not to exceed: about where x264's CRF 20 is, so that it hardly ever holds bits back.
const QVBR_QUALITY: u32 = 20;

/// What a driver with rate control is told.
pub(super) fn parameters(
    mode: RateMode,
    rate: RateControl,
) -> (va::VAEncMiscParameterRateControl, va::VAEncMiscParameterHRD) {
    let constant = mode == RateMode::Cbr;
    let most = if constant { rate.bit_rate } else { rate.max_bit_rate.max(rate.bit_rate) };
    let per_cent = u64::from(rate.bit_rate) * 100 / u64::from(most.max(1));
    let window = u64::from(rate.buffer_bits) * 1000 / u64::from(most.max(1));
    let mut control = va::VAEncMiscParameterRateControl {
        bits_per_second: most,
        target_percentage: u32::try_from(per_cent.clamp(1, 100)).unwrap_or(100),
        window_size: u32::try_from(window.clamp(100, 60_000)).unwrap_or(1000),
        quality_factor: if mode == RateMode::Qvbr { QVBR_QUALITY } else { 0 },
        ..Default::default()
    };
    control.rc_flags._bindgen_opaque_blob = RateControlFlags {
        // A picture for each picture, and no filler, which would be taken out again.
        disable_frame_skip: 1,
        disable_bit_stuffing: 1,
        ..Default::default()
    }
    .pack();
    let buffer = va::VAEncMiscParameterHRD {
        // Three quarters, as most encoders begin.
        initial_buffer_fullness: rate.buffer_bits / 4 * 3,
        buffer_size: rate.buffer_bits,
        ..Default::default()
    };
    (control, buffer)
}

/// Chooses quantisers for drivers without rate control (`VA_RC_CQP`): a leaky bucket of the VBV buffer, emptied at the
/// peak rate, and a mean that is held over some seconds.
///
/// Pure: fed with the size of each picture. It cannot see a picture before it is coded, so that the buffer can be
/// overrun by one picture at a sudden change; it is a fallback, not a match for hardware control.
#[derive(Debug, Clone)]
pub(super) struct QpControl {
    rate: RateControl,
    /// Frames a second.
    frame_rate: (u32, u32),
    /// Quantiser of predicted pictures, with 8 bits of fraction.
    qp: i64,
    /// Bits over the mean, since the beginning, leaking.
    debt: i64,
}

/// The scale of a quantiser's fraction.
const ONE: i64 = 256;
/// Quantisers in use: below 10 bits are wasted; 51 is the highest there is.
const QP: (i64, i64) = (10 * ONE, 51 * ONE);
/// Intra pictures are quantised this much finer: all others are predicted from them.
const INTRA_FINER: i64 = 3;

impl QpControl {
    pub(super) fn new(rate: RateControl, frame_rate: (u32, u32), samples: u64) -> Self {
        let mut control = Self { rate, frame_rate, qp: 0, debt: 0 };
        // About 0.1 bits a sample at quantiser 26, halved by each 6.
        let samples = i64::try_from(samples).unwrap_or(i64::MAX).max(1);
        let (mut qp, mut bits) = (26 * ONE, samples / 10);
        let wanted = control.per_picture();
        while bits > wanted && qp < QP.1 {
            (qp, bits) = (qp + ONE, bits * 8 / 9);
        }
        while bits < wanted && qp > QP.0 {
            (qp, bits) = (qp - ONE, bits * 9 / 8 + 1);
        }
        control.qp = qp;
        control
    }

    /// Bits of a picture at the mean rate.
    fn per_picture(&self) -> i64 {
        let (frames, seconds) = self.frame_rate;
        i64::from(self.rate.bit_rate) * i64::from(seconds) / i64::from(frames.max(1)).max(1)
    }

    pub(super) const fn set_rate(&mut self, rate: RateControl) {
        self.rate = rate;
        self.debt = 0;
    }

    /// The quantiser of the next picture.
    pub(super) fn next(&self, intra: bool) -> u8 {
        let qp = (self.qp + ONE / 2) / ONE - if intra { INTRA_FINER } else { 0 };
        u8::try_from(qp.clamp(QP.0 / ONE, QP.1 / ONE)).unwrap_or(26)
    }

    /// A picture has been coded in so many bytes.
    pub(super) fn coded(&mut self, bytes: usize) {
        let mean = self.per_picture().max(1);
        let bits = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(8);
        let buffer = i64::from(self.rate.buffer_bits).max(mean);
        self.debt = (self.debt + bits - mean).clamp(-buffer, 2 * buffer);
        // A full buffer of debt moves the quantiser by 2 a picture, an empty one by nothing.
        let step = self.debt * 2 * ONE / buffer;
        self.qp = (self.qp + step.clamp(-ONE / 2, 2 * ONE)).clamp(QP.0, QP.1);
        // Old debts fade, over about a buffer.
        self.debt -= self.debt * mean / (buffer * 4).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bit_rate: u32, max_bit_rate: u32) -> RateControl {
        RateControl { bit_rate, max_bit_rate, buffer_bits: max_bit_rate }
    }

    #[test]
    fn the_drivers_own_control_is_preferred() {
        let all = [RateMode::Cbr, RateMode::Vbr, RateMode::Qvbr, RateMode::Cqp];
        assert_eq!(mode(rate(1, 1), &all), Some(RateMode::Cbr));
        assert_eq!(mode(rate(1, 2), &all), Some(RateMode::Vbr));
        assert_eq!(mode(rate(1, 2), &all[..1]), Some(RateMode::Cbr));
        assert_eq!(mode(rate(1, 2), &all[2..]), Some(RateMode::Qvbr));
        assert_eq!(mode(rate(1, 2), &all[3..]), Some(RateMode::Cqp));
        assert_eq!(mode(rate(1, 2), &[]), None);
    }

    #[test]
    fn a_variable_rate_is_a_part_of_its_peak() {
        let (control, buffer) = parameters(RateMode::Vbr, rate(3_000_000, 4_000_000));
        assert_eq!((control.bits_per_second, control.target_percentage), (4_000_000, 75));
        assert_eq!(buffer.buffer_size, 4_000_000);
        let (control, _) = parameters(RateMode::Cbr, rate(3_000_000, 4_000_000));
        assert_eq!((control.bits_per_second, control.target_percentage), (3_000_000, 100));
    }

    /// A model of an encoder: bits halve by 6 quantiser steps; intra pictures take five times as many.
    fn run(control: &mut QpControl, pictures: u32, complexity: f64) -> f64 {
        let mut bits = 0.0;
        for picture in 0..pictures {
            let intra = picture % 50 == 0;
            let qp = control.next(intra);
            let picture_bits = complexity
                * f64::from(26 - i32::from(qp)).mul_add(1.0 / 6.0, 0.0).exp2()
                * if intra { 5.0 } else { 1.0 };
            bits += picture_bits;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a model's size")]
            control.coded((picture_bits / 8.0) as usize);
        }
        bits / f64::from(pictures) * 25.0
    }

    #[test]
    fn our_own_control_holds_the_mean() {
        for complexity in [20_000.0, 100_000.0, 400_000.0] {
            let mut control = QpControl::new(rate(2_000_000, 2_200_000), (25, 1), 1280 * 720);
            run(&mut control, 100, complexity);
            let found = run(&mut control, 500, complexity);
            assert!((1_800_000.0..2_200_000.0).contains(&found), "{found} at {complexity}");
            control.set_rate(rate(1_000_000, 1_100_000));
            run(&mut control, 25, complexity);
            let found = run(&mut control, 500, complexity);
            assert!((900_000.0..1_100_000.0).contains(&found), "{found} at {complexity}, lower");
        }
    }
}
