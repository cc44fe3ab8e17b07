//! Units as containers have them to units as NVDEC's parser takes them: lengths to start codes (Rec. ITU-T H.264 and
//! H.265, annex B), parameter sets of the configuration record first.

use crate::captions::{self, Captions};
use crate::device::Codec;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A configuration record that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It does not begin like one.
    #[error("{} bytes that start with {first:?}, not with a whole record of version 1", bytes)]
    Version {
        /// Its length.
        bytes: usize,
        /// Its first byte.
        first: Option<u8>,
    },
    /// Lengths of 3 bytes do not exist.
    #[error("units with lengths of 3 bytes")]
    LengthSize,
    /// A parameter set ends behind the record.
    #[error("a parameter set ends behind byte {bytes}, the last")]
    Truncated {
        /// The record's length.
        bytes: usize,
    },
}

/// A unit whose lengths do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Converts units of one stream.
#[derive(Debug)]
pub(crate) struct Units {
    codec: Codec,
    /// Bytes of a length.
    length_size: usize,
    /// Parameter sets, until the first unit has taken them.
    headers: Vec<u8>,
    buffer: Vec<u8>,
}

impl Units {
    pub(crate) fn new(codec: Codec, record: Option<&[u8]>) -> Result<Self, RecordError> {
        let mut units = Self { codec, length_size: 4, headers: Vec::new(), buffer: Vec::new() };
        if let Some(record) = record {
            check_start(codec, record)?;
            let read = match codec {
                Codec::H264 => units.read_avcc(record),
                Codec::Hevc => units.read_hvcc(record),
                Codec::Av1 => {
                    units.headers = record.get(4..).unwrap_or_default().to_vec();
                    Some(())
                }
            };
            read.ok_or(RecordError::Truncated { bytes: record.len() })?;
            if units.length_size == 3 {
                return Err(RecordError::LengthSize);
            }
        }
        Ok(units)
    }

    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2).
    fn read_avcc(&mut self, record: &[u8]) -> Option<()> {
        let mut rest = Reader(record.get(4..)?);
        self.length_size = usize::from(rest.byte()? & 3) + 1;
        for _ in 0..rest.byte()? & 0x1f {
            self.add_header(rest.block()?);
        }
        for _ in 0..rest.byte()? {
            self.add_header(rest.block()?);
        }
        Some(())
    }

    /// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2).
    fn read_hvcc(&mut self, record: &[u8]) -> Option<()> {
        let mut rest = Reader(record.get(21..)?);
        self.length_size = usize::from(rest.byte()? & 3) + 1;
        for _ in 0..rest.byte()? {
            let _type = rest.byte()?;
            for _ in 0..rest.number()? {
                self.add_header(rest.block()?);
            }
        }
        Some(())
    }

    fn add_header(&mut self, unit: &[u8]) {
        if !unit.is_empty() {
            self.headers.extend_from_slice(&START_CODE);
            self.headers.extend_from_slice(unit);
        }
    }

    /// The captions in a unit.
    pub(crate) fn captions(&self, unit: &[u8]) -> Option<Captions> {
        if self.codec == Codec::Av1 {
            return None;
        }
        let (mut found, mut rest) = (Vec::new(), unit);
        while let Some((unit, behind)) = split_unit(rest, self.length_size).filter(|_| !rest.is_empty()) {
            captions::collect(self.codec, unit, &mut found);
            rest = behind;
        }
        (!found.is_empty()).then(|| found.into())
    }

    /// The unit as the parser takes it; empty where nothing of it is whole. What is whole is taken even where the rest is
    /// damaged.
    pub(crate) fn convert(&mut self, unit: &[u8]) -> (&[u8], Result<(), Damaged>) {
        self.buffer.clear();
        let mut result = Ok(());
        let mut body = std::mem::take(&mut self.buffer);
        if self.codec == Codec::Av1 {
            body.extend_from_slice(unit);
        } else {
            let mut rest = unit;
            while !rest.is_empty() {
                let Some((unit, behind)) = split_unit(rest, self.length_size) else {
                    result = Err(Damaged);
                    break;
                };
                if !unit.is_empty() {
                    body.extend_from_slice(&START_CODE);
                    body.extend_from_slice(unit);
                }
                rest = behind;
            }
        }
        if !body.is_empty() && !self.headers.is_empty() {
            body.splice(0..0, std::mem::take(&mut self.headers));
        }
        self.buffer = body;
        (&self.buffer, result)
    }
}

/// A unit behind its length, and what follows.
fn split_unit(bytes: &[u8], length_size: usize) -> Option<(&[u8], &[u8])> {
    let (length, behind) = bytes.split_at_checked(length_size)?;
    let length =
        length.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?;
    behind.split_at_checked(length)
}

/// Refuses what cannot be a record: Annex B in its place, say.
fn check_start(codec: Codec, record: &[u8]) -> Result<(), RecordError> {
    // Fixed parts of ISO/IEC 14496-15, 5.3.3.1.2 and 8.3.3.1.2, and of AV1-ISOBMFF 2.3.3 (marker and version 1).
    let (first, least) = match codec {
        Codec::H264 => (1, 7),
        Codec::Hevc => (1, 23),
        Codec::Av1 => (0x81, 4),
    };
    if record.len() < least || record.first() != Some(&first) {
        return Err(RecordError::Version { bytes: record.len(), first: record.first().copied() });
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    /// Bytes behind their length of 16 bits.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.number()?);
        let (block, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AVCC: [u8; 19] =
        [1, 100, 0, 31, 0xff, 0xe1, 0, 4, 0x67, 100, 0, 31, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80];

    #[test]
    fn parameter_sets_come_before_the_first_unit_and_lengths_become_start_codes() {
        let mut units = Units::new(Codec::H264, Some(&AVCC)).unwrap();
        let (first, whole) = units.convert(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x41]);
        assert_eq!(whole, Ok(()));
        let want: [&[u8]; 8] = [
            &START_CODE,
            &[0x67, 100, 0, 31],
            &START_CODE,
            &[0x68, 0xee, 0x3c, 0x80],
            &START_CODE,
            &[0x65, 1],
            &START_CODE,
            &[0x41],
        ];
        assert_eq!(first, want.concat());
        let (second, _) = units.convert(&[0, 0, 0, 1, 0x41]);
        assert_eq!(second, [0, 0, 0, 1, 0x41]);
    }

    #[test]
    fn what_is_whole_of_a_damaged_unit_is_taken() {
        let mut units = Units::new(Codec::Hevc, None).unwrap();
        assert_eq!(units.convert(&[0, 0, 0, 1, 7, 0, 0, 0, 9, 1]), (&[0, 0, 0, 1, 7][..], Err(Damaged)));
        assert_eq!(units.convert(&[0, 0]), (&[][..], Err(Damaged)));
    }

    #[test]
    fn hevc_records_and_shorter_lengths_are_read() {
        let mut record = vec![1; 21];
        record.extend([0xfd, 2, 0xa0, 0, 1, 0, 2, 0x40, 1, 0xa1, 0, 1, 0, 2, 0x42, 1]);
        let mut units = Units::new(Codec::Hevc, Some(&record)).unwrap();
        let (unit, whole) = units.convert(&[0, 1, 0x26]);
        assert_eq!(
            (unit, whole),
            (&[0, 0, 0, 1, 0x40, 1, 0, 0, 0, 1, 0x42, 1, 0, 0, 0, 1, 0x26][..], Ok(()))
        );
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let open = |codec, record: &[u8]| Units::new(codec, Some(record)).map(|_| ()).unwrap_err();
        assert_eq!(
            open(Codec::H264, &[0, 0, 0, 1, 0x67, 1, 2]),
            RecordError::Version { bytes: 7, first: Some(0) }
        );
        assert_eq!(open(Codec::Av1, &[]), RecordError::Version { bytes: 0, first: None });
        assert_eq!(open(Codec::H264, &AVCC[..12]), RecordError::Truncated { bytes: 12 });
        let mut three = AVCC;
        three[4] = 0xfe;
        assert_eq!(open(Codec::H264, &three), RecordError::LengthSize);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_byte_is_made_up(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            mut record in prop::collection::vec(any::<u8>(), 0..80),
            unit in prop::collection::vec(any::<u8>(), 0..200),
            begins in any::<bool>(),
        ) {
            if begins && let Some(first) = record.first_mut() {
                *first = if codec == Codec::Av1 { 0x81 } else { 1 };
            }
            let Ok(mut units) = Units::new(codec, Some(&record)) else { return Ok(()) };
            let headers = units.headers.len();
            prop_assert!(headers <= record.len() * 3);
            let (converted, _) = units.convert(&unit);
            prop_assert!(converted.len() <= headers + unit.len() * 4);
        }

        #[test]
        fn all_units_come_through(sizes in prop::collection::vec(1usize..300, 1..9), length_size in 0usize..3) {
            let length_size = [1, 2, 4][length_size];
            let mut units = Units::new(Codec::H264, None).unwrap();
            units.length_size = length_size;
            let (mut packed, mut want) = (Vec::new(), Vec::new());
            for size in sizes {
                let size = if length_size == 1 { size.min(255) } else { size };
                packed.extend_from_slice(&u32::try_from(size).unwrap().to_be_bytes()[4 - length_size..]);
                packed.extend(std::iter::repeat_n(0x41, size));
                want.extend_from_slice(&START_CODE);
                want.extend(std::iter::repeat_n(0x41, size));
            }
            prop_assert_eq!(units.convert(&packed), (&want[..], Ok(())));
        }
    }
}
