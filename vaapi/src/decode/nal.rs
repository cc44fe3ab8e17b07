//! NAL units: between their lengths, and without emulation prevention.

/// Bytes of the length before each unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LengthSize(usize);

impl LengthSize {
    /// 1, 2 or 4.
    pub(crate) const fn new(bytes: u8) -> Option<Self> {
        match bytes {
            1 => Some(Self(1)),
            2 => Some(Self(2)),
            4 => Some(Self(4)),
            _ => None,
        }
    }

    /// The NAL units of a sample, empty ones left out. The last one is an error where its length leads beyond the end.
    pub(crate) fn split(self, sample: &[u8]) -> impl Iterator<Item = Result<&[u8], BeyondEnd>> {
        let mut rest = sample;
        std::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let Some((length, behind)) = rest.split_at_checked(self.0) else {
                    rest = &[];
                    return Some(Err(BeyondEnd));
                };
                let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
                let Some((unit, behind)) = behind.split_at_checked(length) else {
                    rest = &[];
                    return Some(Err(BeyondEnd));
                };
                rest = behind;
                if !unit.is_empty() {
                    return Some(Ok(unit));
                }
            }
        })
    }
}

/// A length that leads beyond the end of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BeyondEnd;

/// The payload of a NAL unit without `emulation_prevention_three_byte` (ITU-T H.264, 7.4.1; H.265, 7.4.2), and where in
/// it such bytes were left out.
pub(crate) struct Payload {
    pub(crate) data: Vec<u8>,
    /// Positions in `data` that an emulation prevention byte stood before.
    removed: Vec<usize>,
}

impl Payload {
    /// Of a unit behind its header, at most `most` bytes of it.
    pub(crate) fn new(unit: &[u8], header_bytes: usize, most: usize) -> Self {
        let coded = unit.get(header_bytes..).unwrap_or_default();
        let coded = coded.get(..most).unwrap_or(coded);
        let mut payload = Self { data: Vec::with_capacity(coded.len()), removed: Vec::new() };
        let mut zeros = 0;
        for &byte in coded {
            if zeros >= 2 && byte == 3 {
                payload.removed.push(payload.data.len());
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            payload.data.push(byte);
        }
        payload
    }

    /// How many bytes were left out before byte `at` of the data.
    pub(crate) fn removed_before(&self, at: usize) -> usize {
        self.removed.iter().filter(|position| **position < at).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_and_a_wrong_length_ends_them() {
        let sample = [0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 9, 4];
        let units: Vec<_> = LengthSize::new(4).unwrap().split(&sample).collect();
        assert_eq!(units, [Ok(&[1, 2][..]), Ok(&[3][..]), Err(BeyondEnd)]);
        assert_eq!(LengthSize::new(3), None);
    }

    #[test]
    fn emulation_prevention_is_left_out_and_counted() {
        let payload = Payload::new(&[0x65, 0, 0, 3, 1, 0, 0, 3, 0, 7], 1, 100);
        assert_eq!(payload.data, [0, 0, 1, 0, 0, 0, 7]);
        assert_eq!(
            (payload.removed_before(2), payload.removed_before(3), payload.removed_before(6)),
            (0, 1, 2)
        );
    }
}
