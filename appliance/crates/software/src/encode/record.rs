//! The configuration record of what x264 puts out.

/// NAL unit types (Rec. ITU-T H.264, table 7-1).
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// Global headers that are not one SPS and one PPS with 4-byte lengths.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A length points beyond the end.
    #[error("unit of {length} bytes at byte {offset} of {bytes}")]
    Length {
        /// What the length says.
        length: usize,
        /// Where it stands.
        offset: usize,
        /// Length of all headers.
        bytes: usize,
    },
    /// A parameter set is missing or unusable.
    #[error("{0} is missing or too short or too long")]
    Missing(&'static str),
}

/// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2) of an SPS and a PPS, each with a 4-byte length.
pub(super) fn avcc(headers: &[u8]) -> Result<Vec<u8>, RecordError> {
    let (mut sps, mut pps) = (None, None);
    let mut rest = headers;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let offset = headers.len() - rest.len();
        let Some((unit, behind)) = behind.split_at_checked(length) else {
            return Err(RecordError::Length { length, offset, bytes: headers.len() });
        };
        match unit.first().map(|header| header & 0x1f) {
            Some(NAL_SPS) => sps = Some(unit),
            Some(NAL_PPS) => pps = Some(unit),
            _ => {}
        }
        rest = behind;
    }
    if !rest.is_empty() {
        let offset = headers.len() - rest.len();
        return Err(RecordError::Length { length: rest.len(), offset, bytes: headers.len() });
    }
    let sps = sps.ok_or(RecordError::Missing("sequence parameter set"))?;
    let pps = pps.ok_or(RecordError::Missing("picture parameter set"))?;
    let (sps_length, pps_length) = match (u16::try_from(sps.len()), u16::try_from(pps.len())) {
        (Ok(sps), Ok(pps)) => (sps, pps),
        (Err(_), _) => return Err(RecordError::Missing("sequence parameter set")),
        (_, Err(_)) => return Err(RecordError::Missing("picture parameter set")),
    };
    let &[_, profile, compatibility, level, ..] = sps else {
        return Err(RecordError::Missing("sequence parameter set"));
    };
    // Reserved bits are ones; lengths have 4 bytes; one SPS, one PPS.
    let mut record = vec![1, profile, compatibility, level, 0xff, 0xe1];
    record.extend_from_slice(&sps_length.to_be_bytes());
    record.extend_from_slice(sps);
    record.push(1);
    record.extend_from_slice(&pps_length.to_be_bytes());
    record.extend_from_slice(pps);
    if matches!(profile, 100 | 110 | 122 | 144) {
        // chroma_format 1 (4:2:0), both bit depths 8, no SPS extension.
        record.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_both_sets_and_what_high_profile_adds() {
        let headers = [0, 0, 0, 5, 0x67, 100, 0, 31, 0xac, 0, 0, 0, 2, 0x68, 0xee];
        let record = avcc(&headers).unwrap();
        let want = [
            &[1, 100, 0, 31, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 31, 0xac][..],
            &[1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0],
        ];
        assert_eq!(record, want.concat());
    }

    #[test]
    fn refuses_start_codes() {
        assert!(matches!(avcc(&[0, 0, 0, 1, 0x67, 100, 0, 31]), Err(RecordError::Length { .. })));
        assert!(matches!(avcc(&[]), Err(RecordError::Missing(_))));
    }
}
