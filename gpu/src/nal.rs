//! NAL units of H.264 and HEVC, as far as both sides of the device need them.

use crate::device::Codec;

/// The type of a NAL unit (Rec. ITU-T H.264, 7.3.1; Rec. ITU-T H.265, 7.3.1.2).
pub(crate) fn nal_type(codec: Codec, unit: &[u8]) -> Option<u8> {
    let header = *unit.first()?;
    Some(if codec == Codec::H264 { header & 0x1f } else { header >> 1 & 0x3f })
}

/// Whether a NAL unit of this type holds a part of a picture.
pub(crate) fn is_slice(codec: Codec, nal_type: u8) -> bool {
    match codec {
        Codec::H264 => (1..=5).contains(&nal_type),
        Codec::Hevc => nal_type < 32,
        Codec::Av1 => false,
    }
}

/// The payload without the bytes that keep start codes out of it (Rec. ITU-T H.264, 7.4.1; H.265, 7.4.2).
pub(crate) fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

/// The payload with those bytes.
pub(crate) fn with_emulation_prevention(plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() + 4);
    let mut zeros = 0;
    for byte in plain {
        if zeros >= 2 && *byte <= 3 {
            bytes.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes.push(*byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn payloads_come_back_and_hold_no_start_code(
            plain in prop::collection::vec(prop_oneof![Just(0u8), 0u8..5, any::<u8>()], 0..200),
        ) {
            let escaped = with_emulation_prevention(&plain);
            prop_assert!(escaped.windows(3).all(|w| w[..2] != [0, 0] || w[2] >= 3));
            prop_assert_eq!(without_emulation_prevention(&escaped), plain);
        }
    }
}
