//! Reading fields of a few bits from hostile bytes.

/// A header or parameter set that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// It breaks off.
    #[error("{structure} of {bytes} bytes ends in {field}")]
    Truncated {
        /// What it is.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// Its length, without emulation prevention.
        bytes: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{structure}: {field} is {value}, not {bound}")]
    Value {
        /// What it is.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// What it has.
        value: i64,
        /// What it may have.
        bound: &'static str,
    },
    /// It refers to a parameter set that never came.
    #[error("{structure}: {set} {id} is unknown")]
    Unknown {
        /// What it is.
        structure: &'static str,
        /// Which kind of set.
        set: &'static str,
        /// Which one.
        id: u32,
    },
}

/// A cursor over the bits of a payload. Every read names its field, so that an error can say where the payload ends.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    structure: &'static str,
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(structure: &'static str, data: &'a [u8]) -> Self {
        Self { structure, data, position: 0 }
    }

    /// Bits read so far.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    fn remaining(&self) -> usize {
        (self.data.len().saturating_mul(8)).saturating_sub(self.position)
    }

    pub(super) fn truncated(&self, field: &'static str) -> SyntaxError {
        SyntaxError::Truncated { structure: self.structure, field, bytes: self.data.len() }
    }

    pub(super) fn value(&self, field: &'static str, value: i64, bound: &'static str) -> SyntaxError {
        SyntaxError::Value { structure: self.structure, field, value, bound }
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, SyntaxError> {
        let byte = self.data.get(self.position / 8).ok_or_else(|| self.truncated(field))?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// Up to 32 bits, most significant first: `u(n)` of the standards.
    pub(super) fn bits(&mut self, count: u32, field: &'static str) -> Result<u32, SyntaxError> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag(field)?);
        }
        Ok(value)
    }

    /// Up to 8 bits.
    pub(super) fn byte(&mut self, count: u32, field: &'static str) -> Result<u8, SyntaxError> {
        let value = self.bits(count.min(8), field)?;
        Ok(u8::try_from(value).unwrap_or(u8::MAX))
    }

    pub(super) fn skip(&mut self, count: usize, field: &'static str) -> Result<(), SyntaxError> {
        if count > self.remaining() {
            return Err(self.truncated(field));
        }
        self.position += count;
        Ok(())
    }

    /// `ue(v)` (ITU-T H.264, 9.1), up to 2^32 - 2.
    pub(super) fn ue(&mut self, field: &'static str) -> Result<u32, SyntaxError> {
        let mut zeros = 0;
        while !self.flag(field)? {
            zeros += 1;
            if zeros > 31 {
                return Err(self.value(field, i64::from(u32::MAX), "at most 31 leading zero bits"));
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
    ) -> Result<u32, SyntaxError> {
        match self.ue(field)? {
            value if value > most => Err(self.value(field, i64::from(value), bound)),
            value => Ok(value),
        }
    }

    /// Likewise, for what a byte holds.
    pub(super) fn ue_byte(
        &mut self,
        most: u8,
        bound: &'static str,
        field: &'static str,
    ) -> Result<u8, SyntaxError> {
        let value = self.ue_up_to(u32::from(most), bound, field)?;
        Ok(u8::try_from(value).unwrap_or(most))
    }

    /// `se(v)` (ITU-T H.264, 9.1.1).
    pub(super) fn se(&mut self, field: &'static str) -> Result<i64, SyntaxError> {
        let code = i64::from(self.ue(field)?);
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }

    /// `se(v)` of 32 bits.
    pub(super) fn se_i32(&mut self, field: &'static str) -> Result<i32, SyntaxError> {
        let value = self.se(field)?;
        i32::try_from(value).map_err(|_| self.value(field, value, "32 bits"))
    }

    /// `se(v)` from `least` to `most`; `bound` says so in words.
    pub(super) fn se_within(
        &mut self,
        (least, most): (i8, i8),
        bound: &'static str,
        field: &'static str,
    ) -> Result<i8, SyntaxError> {
        let value = self.se(field)?;
        match i8::try_from(value) {
            Ok(found) if (least..=most).contains(&found) => Ok(found),
            _ => Err(self.value(field, value, bound)),
        }
    }

    /// `more_rbsp_data()` (ITU-T H.264, 7.2): whether there is more than the stop bit and what is behind it.
    pub(super) fn more_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|byte| *byte != 0) else { return false };
        let zeros = self.data.get(last).map_or(0, |byte| byte.trailing_zeros());
        let stop = last * 8 + 7 - usize::try_from(zeros).unwrap_or(0);
        self.position < stop
    }
}
