//! Parameter sets within a coded picture: found, kept or left out.

use sim_state::Codec;

/// Whether a NAL unit with this first byte is a parameter set (Rec. ITU-T H.264, table 7-1; H.265, table 7-1).
fn is_parameter_set(codec: Codec, header: u8) -> bool {
    match codec {
        Codec::H264 => matches!(header & 0x1f, 7 | 8),
        Codec::Hevc => matches!(header >> 1 & 0x3f, 32..=34),
        Codec::Av1 => false,
    }
}

/// The NAL units of a byte stream (Rec. ITU-T H.264, annex B), each with its start code.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            // A fourth byte before belongs to the start code.
            let start = if at > 0 && stream[at - 1] == 0 { at - 1 } else { at };
            starts.push(start);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts.iter().zip(ends).map(|(start, end)| &stream[*start..end]).collect()
}

fn header(unit: &[u8]) -> u8 {
    let start = unit.iter().position(|byte| *byte == 1).map_or(unit.len(), |at| at + 1);
    unit.get(start).copied().unwrap_or(0)
}

/// The parameter sets alone. AV1's sequence header is given as it is.
pub(crate) fn only_parameter_sets(codec: Codec, stream: &[u8]) -> Vec<u8> {
    if codec == Codec::Av1 {
        return stream.to_vec();
    }
    units(stream)
        .into_iter()
        .filter(|unit| is_parameter_set(codec, header(unit)))
        .flatten()
        .copied()
        .collect()
}

/// Everything but parameter sets.
pub(crate) fn without_parameter_sets(codec: Codec, stream: &[u8]) -> Vec<u8> {
    if codec == Codec::Av1 {
        return stream.to_vec();
    }
    units(stream)
        .into_iter()
        .filter(|unit| !is_parameter_set(codec, header(unit)))
        .flatten()
        .copied()
        .collect()
}

/// The sequence header OBU of an AV1 temporal unit (AV1 specification, 5.3.1: header, 5.3.2: size).
pub(crate) fn sequence_header(unit: &[u8]) -> Vec<u8> {
    const OBU_SEQUENCE_HEADER: u8 = 1;
    let mut at = 0;
    while let Some(header) = unit.get(at) {
        let header_bytes = if header & 4 == 0 { 1 } else { 2 };
        let (mut size, mut size_bytes) = (0_usize, 0);
        // leb128, 4.10.5: seven bits a byte, the lowest first.
        while header & 2 != 0
            && let Some(byte) = unit.get(at + header_bytes + size_bytes)
        {
            size |= usize::from(byte & 0x7f) << (7 * size_bytes);
            size_bytes += 1;
            if byte & 0x80 == 0 || size_bytes == 8 {
                break;
            }
        }
        let end = if size_bytes == 0 { unit.len() } else { at + header_bytes + size_bytes + size };
        if header >> 3 & 0xf == OBU_SEQUENCE_HEADER {
            return unit.get(at..end).unwrap_or_default().to_vec();
        }
        at = end;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_told_from_pictures() {
        let stream = [0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x68, 8, 0, 0, 0, 1, 0x65, 7, 0, 0, 3, 1];
        assert_eq!(only_parameter_sets(Codec::H264, &stream), [0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x68, 8]);
        assert_eq!(without_parameter_sets(Codec::H264, &stream), [0, 0, 0, 1, 0x65, 7, 0, 0, 3, 1]);
        assert_eq!(
            only_parameter_sets(Codec::Hevc, &[0, 0, 1, 0x40, 1, 0, 0, 1, 0x26, 1]),
            [0, 0, 1, 0x40, 1]
        );
        assert_eq!(without_parameter_sets(Codec::Av1, &[1, 2]), [1, 2]);
    }

    #[test]
    fn the_sequence_header_is_found_behind_the_delimiter() {
        assert_eq!(sequence_header(&[0x12, 0, 0x0a, 2, 7, 8, 0x32, 1, 9]), [0x0a, 2, 7, 8]);
        assert_eq!(sequence_header(&[0x12, 0]), []);
    }
}
