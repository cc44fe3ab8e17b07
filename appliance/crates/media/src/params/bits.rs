//! Reading fields of a few bits from hostile bytes.

use super::ParamsError;

/// A cursor over the bits of a record. Every read names its field, so that an error can say where the record ends.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    record: &'static str,
    data: &'a [u8],
    position_bits: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(record: &'static str, data: &'a [u8]) -> Self {
        Self { record, data, position_bits: 0 }
    }

    pub(super) fn remaining_bits(&self) -> usize {
        self.data.len().saturating_mul(8).saturating_sub(self.position_bits)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, ParamsError> {
        let truncated = ParamsError::Truncated { record: self.record, field, bytes: self.data.len() };
        let byte = self.data.get(self.position_bits / 8).ok_or(truncated)?;
        let bit = byte >> (7 - self.position_bits % 8) & 1;
        self.position_bits += 1;
        Ok(bit == 1)
    }

    /// Up to 32 bits, most significant first: `u(n)` of the standards.
    pub(super) fn bits(&mut self, count: u32, field: &'static str) -> Result<u32, ParamsError> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag(field)?);
        }
        Ok(value)
    }

    /// Up to 8 bits.
    pub(super) fn byte(&mut self, count: u32, field: &'static str) -> Result<u8, ParamsError> {
        Ok(u8::try_from(self.bits(count, field)? & 0xff).unwrap_or(u8::MAX))
    }

    pub(super) fn skip(&mut self, count: usize, field: &'static str) -> Result<(), ParamsError> {
        if count > self.remaining_bits() {
            return Err(ParamsError::Truncated { record: self.record, field, bytes: self.data.len() });
        }
        self.position_bits += count;
        Ok(())
    }

    pub(super) fn align(&mut self) {
        self.position_bits = self.position_bits.next_multiple_of(8);
    }

    /// `ue(v)` (ITU-T H.264, 9.1), up to 2^32 - 2.
    pub(super) fn ue(&mut self, field: &'static str) -> Result<u32, ParamsError> {
        let mut zeros = 0;
        while !self.flag(field)? {
            zeros += 1;
            if zeros > 31 {
                return Err(self.value(field, u64::from(u32::MAX), "at most 31 leading zero bits"));
            }
        }
        Ok(((1u32 << zeros) - 1).wrapping_add(self.bits(zeros, field)?))
    }

    /// `ue(v)` no greater than `most`; `bound` says so in words.
    pub(super) fn ue_up_to(
        &mut self,
        most: u32,
        bound: &'static str,
        field: &'static str,
    ) -> Result<u32, ParamsError> {
        match self.ue(field)? {
            value if value > most => Err(self.value(field, u64::from(value), bound)),
            value => Ok(value),
        }
    }

    /// `se(v)` (ITU-T H.264, 9.1.1).
    pub(super) fn se(&mut self, field: &'static str) -> Result<i64, ParamsError> {
        let code = i64::from(self.ue(field)?);
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }

    pub(super) fn value(&self, field: &'static str, value: u64, bound: &'static str) -> ParamsError {
        ParamsError::Value { record: self.record, field, value, bound }
    }
}

/// The bytes of a NAL unit without `emulation_prevention_three_byte` (ITU-T H.264, 7.4.1), behind `header_bytes`.
pub(super) fn rbsp(nal: &[u8], header_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal.get(header_bytes..).unwrap_or_default() {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The bytes of a record, field by field.
#[derive(Debug, Clone)]
pub(super) struct ByteReader<'a> {
    record: &'static str,
    whole: usize,
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub(super) fn new(record: &'static str, data: &'a [u8]) -> Self {
        Self { record, whole: data.len(), rest: data }
    }

    pub(super) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], ParamsError> {
        let truncated = ParamsError::Truncated { record: self.record, field, bytes: self.whole };
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, ParamsError> {
        Ok(self.take(1, field)?.first().copied().unwrap_or(0))
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, ParamsError> {
        Ok(u16::from(self.u8(field)?) << 8 | u16::from(self.u8(field)?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
