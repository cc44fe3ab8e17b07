//! Bit strings of H.264 and HEVC: Exp-Golomb codes (9.1 of both standards) and emulation prevention (7.4.1.1, 7.4.2).

/// Reads past the end, or a code of more than 32 bits: the header is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Reads a payload that carries no emulation prevention bytes.
#[derive(Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn skip(&mut self, bits: usize) {
        self.at = self.at.saturating_add(bits);
    }

    pub(crate) fn bit(&mut self) -> Result<u32, Exhausted> {
        let byte = self.bytes.get(self.at / 8).ok_or(Exhausted)?;
        let bit = (byte >> (7 - self.at % 8)) & 1;
        self.at += 1;
        Ok(u32::from(bit))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Exhausted> {
        Ok(self.bit()? == 1)
    }

    /// u(n), n at most 32.
    pub(crate) fn u(&mut self, count: u32) -> Result<u32, Exhausted> {
        (0..count).try_fold(0u32, |value, _| Ok(value << 1 | self.bit()?))
    }

    pub(crate) fn ue(&mut self) -> Result<u32, Exhausted> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return Err(Exhausted);
            }
        }
        Ok((1u32 << zeros) - 1 + self.u(zeros)?)
    }

    pub(crate) fn se(&mut self) -> Result<i32, Exhausted> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 { (code + 1) / 2 } else { -code / 2 };
        i32::try_from(value).map_err(|_| Exhausted)
    }
}

/// Writes a payload, without emulation prevention bytes.
#[derive(Default, Clone)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    pub(crate) fn bit(&mut self, value: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut().filter(|_| value) {
            *last |= 0x80 >> (self.bits % 8);
        }
        self.bits += 1;
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.bit(value);
    }

    pub(crate) fn u(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            self.bit(value >> shift & 1 == 1);
        }
    }

    pub(crate) fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = 64 - code.leading_zeros();
        for _ in 1..length {
            self.bit(false);
        }
        for shift in (0..length).rev() {
            self.bit(code >> shift & 1 == 1);
        }
    }

    pub(crate) fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 { 2 * magnitude - 1 } else { 2 * magnitude });
    }

    /// The rest of `payload` from bit `from` up to bit `to`.
    pub(crate) fn copy(&mut self, payload: &[u8], from: usize, to: usize) {
        for at in from..to {
            self.bit(payload[at / 8] >> (7 - at % 8) & 1 == 1);
        }
    }

    /// Appends whole bytes; the writer stands on a byte.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_aligned(), "whole bytes begin on a byte");
        self.bytes.extend_from_slice(bytes);
        self.bits += 8 * bytes.len();
    }

    /// Bits written so far.
    pub(crate) fn bits(&self) -> usize {
        self.bits
    }

    pub(crate) fn is_aligned(&self) -> bool {
        self.bits.is_multiple_of(8)
    }

    /// A one, and zeros up to the byte's end: rbsp_trailing_bits, and HEVC's byte_alignment.
    pub(crate) fn trail(&mut self) {
        self.bit(true);
        while !self.is_aligned() {
            self.bit(false);
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes the emulation prevention bytes out of a NAL unit.
pub(crate) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Puts emulation prevention bytes in, and a start code in front.
pub(crate) fn annex_b(unescaped: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    let mut zeros = 0;
    for &byte in unescaped {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}

/// The NAL units of an Annex B byte stream, without start codes and trailing zeros.
pub(crate) fn split_annex_b(stream: &[u8]) -> Vec<&[u8]> {
    let codes: Vec<usize> =
        (0..stream.len().saturating_sub(2)).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let mut units = Vec::new();
    for (index, &code) in codes.iter().enumerate() {
        let end = codes.get(index + 1).copied().unwrap_or(stream.len());
        let mut unit = &stream[code + 3..end];
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        if !unit.is_empty() {
            units.push(unit);
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = BitWriter::default();
        let values = [0u32, 1, 2, 7, 8, 254, 255, 65_535, 1_000_000];
        for value in values {
            writer.ue(value);
            writer.se(i32::try_from(value).unwrap());
            writer.se(-i32::try_from(value).unwrap());
        }
        writer.u(0b1011, 4);
        writer.trail();
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for value in values {
            assert_eq!(reader.ue(), Ok(value));
            assert_eq!(reader.se(), Ok(i32::try_from(value).unwrap()));
            assert_eq!(reader.se(), Ok(-i32::try_from(value).unwrap()));
        }
        assert_eq!(reader.u(4), Ok(0b1011));
    }

    #[test]
    fn emulation_prevention_is_undone() {
        let payload = [0x65, 0, 0, 0, 1, 0, 0, 3, 0, 0, 2, 9];
        let mut stream = Vec::new();
        annex_b(&payload, &mut stream);
        let units = split_annex_b(&stream);
        assert_eq!(units.len(), 1);
        assert_eq!(unescape(units[0]), payload);
    }
}
