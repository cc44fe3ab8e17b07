//! Rate control, from the parameters that clients send between pictures.

use sim_state::rate_control::Target;

use crate::client::{Plain, plain};
use crate::context::Picture;
use crate::ffi;
use crate::objects::Config;

// SAFETY: numbers.
unsafe impl Plain for ffi::VAEncMiscParameterRateControl {}
// SAFETY: numbers.
unsafe impl Plain for ffi::VAEncMiscParameterFrameRate {}
// SAFETY: numbers.
unsafe impl Plain for ffi::VAEncMiscParameterHRD {}

/// How the rate is controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The client gives each picture's QP.
    Cqp,
    /// A constant rate.
    Cbr,
    /// A mean rate, and a peak.
    Vbr,
    /// A quality, and a peak rate.
    Qvbr,
    /// A quality.
    Icq,
}

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) method: Method,
    pub(crate) peak_bits_per_second: u32,
    pub(crate) target_percentage: u32,
    /// In bits; 0 for one second's worth.
    pub(crate) buffer_bits: u32,
    pub(crate) initial_bits: u32,
    /// ICQ's and QVBR's quality, on the scale of QP.
    pub(crate) quality: u32,
    pub(crate) min_qp: u32,
    pub(crate) max_qp: u32,
    /// Frames, and seconds for them.
    pub(crate) frame_rate: (u32, u32),
}

impl Rate {
    pub(crate) fn new(config: &Config) -> Self {
        let method = match config.rate_control {
            ffi::VA_RC_CBR => Method::Cbr,
            ffi::VA_RC_VBR => Method::Vbr,
            ffi::VA_RC_QVBR => Method::Qvbr,
            ffi::VA_RC_ICQ => Method::Icq,
            _ => Method::Cqp,
        };
        Self {
            method,
            peak_bits_per_second: 0,
            target_percentage: 100,
            buffer_bits: 0,
            initial_bits: 0,
            quality: 23,
            min_qp: 0,
            max_qp: 0,
            frame_rate: (30, 1),
        }
    }

    /// Takes what a picture brings.
    pub(crate) fn take(&mut self, picture: &Picture, sequence_bits_per_second: Option<u32>) {
        if let Some(bits) =
            sequence_bits_per_second.filter(|&bits| bits > 0 && self.peak_bits_per_second == 0)
        {
            self.peak_bits_per_second = bits;
        }
        for part in picture.all(ffi::VAEncMiscParameterBufferType) {
            let Some(kind) = plain::<u32>(&part.bytes) else { continue };
            let body = &part.bytes[size_of::<ffi::VAEncMiscParameterBuffer>().min(part.bytes.len())..];
            match kind {
                ffi::VAEncMiscParameterTypeRateControl => self.take_rate_control(body),
                ffi::VAEncMiscParameterTypeFrameRate => {
                    if let Some(rate) = plain::<ffi::VAEncMiscParameterFrameRate>(body) {
                        // Numerator in the low half; the denominator, if not 0, in the high one.
                        let (frames, seconds) = (rate.framerate & 0xffff, rate.framerate >> 16);
                        if frames > 0 {
                            self.frame_rate = (frames, seconds.max(1));
                        }
                    }
                }
                ffi::VAEncMiscParameterTypeHRD => {
                    if let Some(hrd) = plain::<ffi::VAEncMiscParameterHRD>(body) {
                        self.buffer_bits = hrd.buffer_size;
                        self.initial_bits = hrd.initial_buffer_fullness;
                    }
                }
                _ => {}
            }
        }
    }

    fn take_rate_control(&mut self, body: &[u8]) {
        let Some(control) = plain::<ffi::VAEncMiscParameterRateControl>(body) else { return };
        if control.bits_per_second > 0 {
            self.peak_bits_per_second = control.bits_per_second;
        }
        if (1..=100).contains(&control.target_percentage) {
            self.target_percentage = control.target_percentage;
        }
        let quality =
            if self.method == Method::Icq { control.ICQ_quality_factor } else { control.quality_factor };
        if (1..=51).contains(&quality) {
            self.quality = quality;
        }
        self.min_qp = control.min_qp.min(51);
        self.max_qp = control.max_qp.min(51);
    }

    /// What the pictures are to take, where libraries are told each picture's QP.
    pub(crate) fn target(&self) -> Target {
        let kbits = if self.method == Method::Qvbr { self.peak_kbits() } else { self.target_kbits() };
        let least = if self.method == Method::Qvbr { self.min_qp.max(self.quality) } else { self.min_qp };
        let most = if self.max_qp > 0 { self.max_qp } else { 51 };
        let qp = |qp: u32| i32::try_from(qp).unwrap_or(51);
        let bits = |kbits: i32| u32::try_from(kbits).unwrap_or(1).saturating_mul(1000);
        Target {
            bit_rate: bits(kbits),
            peak: bits(self.peak_kbits()),
            buffer: bits(self.buffer_kbits()),
            frame_rate: self.frame_rate,
            qp: (qp(least).max(1), qp(most)),
        }
    }

    /// Mean rate in kbit/s.
    pub(crate) fn target_kbits(&self) -> i32 {
        let percentage = if self.method == Method::Vbr { self.target_percentage } else { 100 };
        kbits(u64::from(self.peak_bits_per_second) * u64::from(percentage) / 100)
    }

    /// Peak rate in kbit/s.
    pub(crate) fn peak_kbits(&self) -> i32 {
        kbits(self.peak_bits_per_second.into())
    }

    /// The buffer of the hypothetical decoder, in kbit: no more than 400 ms' worth, even where the client allows more. The
    /// libraries inside settle to a new rate over about two buffers, devices within a second.
    pub(crate) fn buffer_kbits(&self) -> i32 {
        let most = kbits(u64::from(self.peak_bits_per_second) * 2 / 5);
        if self.buffer_bits > 0 { kbits(self.buffer_bits.into()).min(most) } else { most }
    }

    /// How full it begins, from 0 to 1.
    pub(crate) fn initial_fullness(&self) -> f32 {
        if self.buffer_bits == 0 || self.initial_bits == 0 {
            return 0.9;
        }
        // Whole per cents are enough.
        let percent = u64::from(self.initial_bits) * 100 / u64::from(self.buffer_bits);
        f32::from(u8::try_from(percent.clamp(10, 100)).unwrap_or(90)) / 100.0
    }

    /// The quality, for libraries that take it as a fraction.
    pub(crate) fn quality_factor(&self) -> f32 {
        f32::from(u8::try_from(self.quality).unwrap_or(23))
    }
}

/// At least 1: 0 means "off" to both libraries.
fn kbits(bits: u64) -> i32 {
    i32::try_from(bits / 1000).unwrap_or(i32::MAX).max(1)
}
