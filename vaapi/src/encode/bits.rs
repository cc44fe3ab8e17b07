//! Writing NAL units.

/// A NAL unit's payload being written, most significant bits first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    data: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    /// `u(n)`
    pub(super) fn bits(&mut self, count: u32, value: u32) {
        for at in (0..count).rev() {
            self.flag(value.checked_shr(at).unwrap_or(0) & 1 == 1);
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        if self.bits.is_multiple_of(8) {
            self.data.push(0);
        }
        if let Some(last) = self.data.last_mut() {
            *last |= u8::from(value) << (7 - self.bits % 8);
        }
        self.bits += 1;
    }

    /// `ue(v)` (ITU-T H.264, 9.1)
    pub(super) fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = u64::BITS - code.leading_zeros();
        for _ in 1..length {
            self.flag(false);
        }
        for at in (0..length).rev() {
            self.flag(code >> at & 1 == 1);
        }
    }

    /// `se(v)` (ITU-T H.264, 9.1.1)
    pub(super) fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 { magnitude * 2 - 1 } else { magnitude * 2 });
    }

    /// `rbsp_trailing_bits()`, or `byte_alignment()`, which is the same.
    pub(super) fn trailing(&mut self) {
        self.flag(true);
        self.bits = self.data.len() * 8;
    }

    pub(super) const fn length_bits(&self) -> usize {
        self.bits
    }

    /// The NAL unit with this header, without emulation prevention.
    pub(super) fn unit(self, header: &[u8]) -> Vec<u8> {
        [header, &self.data].concat()
    }
}

/// A NAL unit with emulation prevention (ITU-T H.264, 7.4.1).
pub(super) fn escaped(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len() + 4);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        let mut writer = BitWriter::default();
        for value in 0..4 {
            writer.ue(value);
        }
        // 1 010 011 00100
        writer.trailing();
        assert_eq!(writer.unit(&[]), [0b1010_0110, 0b0100_1000]);
        let mut writer = BitWriter::default();
        for value in [0, 1, -1, 2] {
            writer.se(value);
        }
        writer.trailing();
        assert_eq!(writer.unit(&[0x68]), [0x68, 0b1010_0110, 0b0100_1000]);
    }

    #[test]
    fn start_codes_are_prevented() {
        assert_eq!(escaped(&[0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4]), [0, 0, 3, 0, 0, 3, 1, 0, 0, 3, 3, 0, 0, 4]);
    }
}
