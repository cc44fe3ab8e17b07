//! What NVENC puts out, start codes and all, to what goes into samples of ISO/IEC 14496-15 and AV1-ISOBMFF.

use crate::device::Codec;
use crate::nal::nal_type;

/// NAL unit types that do not go into samples: SPS, PPS, access unit delimiter, filler (Rec. ITU-T H.264, table 7-1).
const H264_LEFT_OUT: [u8; 4] = [7, 8, 9, 12];
/// VPS, SPS, PPS, access unit delimiter, filler (Rec. ITU-T H.265, table 7-1).
const HEVC_LEFT_OUT: [u8; 5] = [32, 33, 34, 35, 38];
/// Temporal delimiter and padding (AV1 6.2.2; AV1-ISOBMFF 2.4 leaves both out).
const AV1_LEFT_OUT: [u8; 2] = [2, 15];

/// NAL units of a byte stream (Rec. ITU-T H.264 and H.265, annex B), without empty ones.
pub(super) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let from = rest?;
        let end = start_code(from).unwrap_or(from.len());
        let unit = from.get(..end)?;
        rest = from.get(end..).and_then(after_start_code);
        Some(unit)
    })
    // Zeros before the next start code are not the unit's: its last byte is never zero.
    .map(|unit| unit.iter().rposition(|byte| *byte != 0).and_then(|last| unit.get(..=last)).unwrap_or(&[]))
    .filter(|unit| !unit.is_empty())
}

/// Where the next start code begins.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(start_code(bytes)? + 3..)
}

/// OBUs of a temporal unit in low-overhead form (AV1 5.2), each whole with its type; ends at one that is not.
pub(super) fn obus(unit: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = unit;
    std::iter::from_fn(move || {
        let header = *rest.first()?;
        // Forbidden bit, and the size, which this form always has.
        if header & 0x80 != 0 || header & 2 == 0 {
            return None;
        }
        let header_bytes = if header & 4 != 0 { 2 } else { 1 };
        let (size, size_bytes) = leb128(rest.get(header_bytes..)?)?;
        let (obu, behind) = rest.split_at_checked(size.checked_add(header_bytes + size_bytes)?)?;
        rest = behind;
        Some((header >> 3 & 0xf, obu))
    })
}

/// A number of AV1 4.10.5 and its length.
pub(super) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= usize::from(byte & 0x7f).checked_shl(u32::try_from(index * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// The payload of a sample.
pub(super) fn sample(codec: Codec, stream: &[u8]) -> Vec<u8> {
    let left_out: &[u8] = match codec {
        Codec::H264 => &H264_LEFT_OUT,
        Codec::Hevc => &HEVC_LEFT_OUT,
        Codec::Av1 => {
            let kept = obus(stream).filter(|(kind, _)| !AV1_LEFT_OUT.contains(kind));
            return kept.flat_map(|(_, obu)| obu).copied().collect();
        }
    };
    let mut sample = Vec::with_capacity(stream.len() + 16);
    for unit in nal_units(stream) {
        if nal_type(codec, unit).is_some_and(|kind| left_out.contains(&kind)) {
            continue;
        }
        // A picture is not larger.
        let length = u32::try_from(unit.len()).unwrap_or(u32::MAX);
        sample.extend_from_slice(&length.to_be_bytes());
        sample.extend_from_slice(unit);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameter_sets_are_left_out_and_lengths_put_in() {
        let stream = [
            &[0, 0, 0, 1, 0x67, 100, 0, 31][..],
            &[0, 0, 0, 1, 0x68, 0xee],
            &[0, 0, 1, 0x06, 1, 2, 0x80],
            &[0, 0, 0, 1, 0x65, 0x88, 0, 0, 3, 1, 0, 0],
        ]
        .concat();
        let want = [&[0, 0, 0, 4, 0x06, 1, 2, 0x80][..], &[0, 0, 0, 6, 0x65, 0x88, 0, 0, 3, 1]].concat();
        assert_eq!(sample(Codec::H264, &stream), want);
        let stream = [&[0, 0, 0, 1, 0x40, 1, 5][..], &[0, 0, 0, 1, 0x26, 1, 9]].concat();
        assert_eq!(sample(Codec::Hevc, &stream), [0, 0, 0, 3, 0x26, 1, 9]);
    }

    #[test]
    fn delimiters_of_av1_are_left_out() {
        let unit = [0x12, 0, 0x0a, 2, 7, 7, 0x32, 0x83, 0, 1, 2, 3];
        assert_eq!(sample(Codec::Av1, &unit), unit[2..]);
        assert_eq!(leb128(&[0xff; 9]), None);
    }

    proptest! {
        #[test]
        fn units_that_were_put_in_come_out(sizes in prop::collection::vec(1usize..60, 0..9), long in any::<bool>()) {
            let units: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0x41; *size]).collect();
            let mut stream = Vec::new();
            for unit in &units {
                stream.extend_from_slice(if long { &[0, 0, 0, 1] } else { &[0, 0, 1] });
                stream.extend_from_slice(unit);
            }
            let found: Vec<&[u8]> = nal_units(&stream).collect();
            prop_assert_eq!(found, units);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..300)) {
            for codec in Codec::ALL {
                let payload = sample(codec, &bytes);
                prop_assert!(payload.len() <= bytes.len() * 3);
            }
        }
    }
}
