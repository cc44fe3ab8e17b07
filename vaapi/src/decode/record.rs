//! Configuration records: `avcC` and `hvcC` (ISO/IEC 14496-15).

use super::nal::LengthSize;

/// What is wrong with a configuration record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It breaks off.
    #[error("it has {bytes} bytes and ends in {field}")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It is of another version.
    #[error("it has version {0}, not 1")]
    Version(u8),
    /// Lengths of 3 bytes, which there are not.
    #[error("it has lengths of {0} bytes; there are 1, 2 and 4")]
    LengthSize(u8),
    /// A parameter set is missing, and without it nothing can be decoded.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A parameter set cannot be read.
    #[error("its parameter sets")]
    ParameterSet(#[source] super::SyntaxError),
}

/// What a record says.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) length_size: LengthSize,
    /// Parameter sets, in order.
    pub(super) units: Vec<&'a [u8]>,
}

struct Bytes<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let truncated = RecordError::Truncated { field, bytes: self.whole };
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, RecordError> {
        Ok(self.take(1, field)?.first().copied().unwrap_or(0))
    }

    fn unit(&mut self, field: &'static str) -> Result<&'a [u8], RecordError> {
        let length = self.take(2, field)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.take(length, field)
    }

    fn version(&mut self) -> Result<(), RecordError> {
        match self.byte("configurationVersion")? {
            1 => Ok(()),
            version => Err(RecordError::Version(version)),
        }
    }

    fn length_size(&mut self) -> Result<LengthSize, RecordError> {
        let size = (self.byte("lengthSizeMinusOne")? & 3) + 1;
        LengthSize::new(size).ok_or(RecordError::LengthSize(size))
    }
}

/// `AVCDecoderConfigurationRecord` (5.3.3.1.2).
pub(super) fn avc(data: &[u8]) -> Result<Record<'_>, RecordError> {
    let mut bytes = Bytes { whole: data.len(), rest: data };
    bytes.version()?;
    bytes.take(3, "AVCLevelIndication")?;
    let length_size = bytes.length_size()?;
    let mut units = Vec::new();
    for _ in 0..bytes.byte("numOfSequenceParameterSets")? & 0x1f {
        units.push(bytes.unit("sequenceParameterSetNALUnit")?);
    }
    for _ in 0..bytes.byte("numOfPictureParameterSets")? {
        units.push(bytes.unit("pictureParameterSetNALUnit")?);
    }
    Ok(Record { length_size, units })
}

/// `HEVCDecoderConfigurationRecord` (8.3.3.1.2).
pub(super) fn hevc(data: &[u8]) -> Result<Record<'_>, RecordError> {
    let mut bytes = Bytes { whole: data.len(), rest: data };
    bytes.version()?;
    bytes.take(20, "avgFrameRate")?;
    let length_size = bytes.length_size()?;
    let mut units = Vec::new();
    for _ in 0..bytes.byte("numOfArrays")? {
        bytes.byte("NAL_unit_type")?;
        let count = bytes.take(2, "numNalus")?.iter().fold(0u16, |count, byte| count << 8 | u16::from(*byte));
        for _ in 0..count {
            units.push(bytes.unit("nalUnit")?);
        }
    }
    Ok(Record { length_size, units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_avcc_gives_its_sets() {
        let data = [1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 100, 1, 0, 1, 0x68, 0xfd, 0xf8, 0xf8, 0];
        let record = avc(&data).unwrap();
        assert_eq!(record.units, [&[0x67, 100][..], &[0x68]]);
        assert_eq!(record.length_size, LengthSize::new(4).unwrap());
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(avc(&[]).unwrap_err(), RecordError::Truncated { field: "configurationVersion", bytes: 0 });
        assert_eq!(avc(&[0, 0, 0, 1]).unwrap_err(), RecordError::Version(0));
        assert_eq!(avc(&[1, 100, 0, 31, 0xfe]).unwrap_err(), RecordError::LengthSize(3));
        assert!(matches!(hevc(&[1; 30]), Err(RecordError::Truncated { .. } | RecordError::LengthSize(_))));
    }
}
