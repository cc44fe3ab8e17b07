//! Closed captions (ATSC A/53 Part 4, 6.2.3): taken from coded units, carried with pictures, put into coded units.
//!
//! They stand in SEI messages of H.264 and HEVC. Decoders and encoders of the device are not asked for them: not every
//! driver hands them out, and none is needed to.

use std::sync::Arc;

use crate::device::Codec;
use crate::nal::{is_slice, nal_type, with_emulation_prevention, without_emulation_prevention};

/// `user_data_registered_itu_t_t35` (Rec. ITU-T H.264, D.1.6).
const REGISTERED_USER_DATA: u8 = 4;
/// Country United States, provider ATSC, identifier "GA94", type `cc_data`.
const CAPTIONS: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];
/// Messages of one picture that are kept: two fields, and as many again.
const MAX_MESSAGES: usize = 4;

/// Caption messages of one picture, each the payload of one SEI message.
pub(crate) type Captions = Arc<[Vec<u8>]>;

/// Adds the captions of a NAL unit.
pub(crate) fn collect(codec: Codec, unit: &[u8], found: &mut Vec<Vec<u8>>) {
    let header = match (codec, nal_type(codec, unit)) {
        (Codec::H264, Some(6)) => 1,
        (Codec::Hevc, Some(39 | 40)) => 2,
        _ => return,
    };
    let payload = without_emulation_prevention(unit.get(header..).unwrap_or_default());
    let mut rest = payload.as_slice();
    // The last byte is the trailing bits alone.
    while rest.len() > 1 && found.len() < MAX_MESSAGES {
        let Some((kind, behind)) = number(rest) else { return };
        let Some((size, behind)) = number(behind) else { return };
        let Some((message, behind)) = behind.split_at_checked(size) else { return };
        if kind == usize::from(REGISTERED_USER_DATA) && message.starts_with(&CAPTIONS) {
            found.push(message.to_vec());
        }
        rest = behind;
    }
}

/// A number of an SEI message's head: bytes of 255, and one that is not.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let (last, behind) = bytes.get(full..)?.split_first()?;
    Some((full * 255 + usize::from(*last), behind))
}

/// The sample with captions before its first slice.
pub(crate) fn insert(codec: Codec, sample: Vec<u8>, captions: &[Vec<u8>]) -> Vec<u8> {
    let header: &[u8] = match codec {
        Codec::H264 => &[6],
        // A prefix SEI of the base layer.
        Codec::Hevc => &[39 << 1, 1],
        Codec::Av1 => return sample,
    };
    let Some(at) = first_slice(codec, &sample).filter(|_| !captions.is_empty()) else { return sample };
    let mut plain = header.to_vec();
    for message in captions {
        plain.push(REGISTERED_USER_DATA);
        let size = message.len();
        plain.extend(std::iter::repeat_n(0xff, size / 255));
        plain.push(u8::try_from(size % 255).unwrap_or(0));
        plain.extend_from_slice(message);
    }
    plain.push(0x80);
    let unit = with_emulation_prevention(&plain);
    let length = u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut whole = Vec::with_capacity(sample.len() + unit.len() + 4);
    let (before, behind) = sample.split_at(at);
    for part in [before, &length, &unit, behind] {
        whole.extend_from_slice(part);
    }
    whole
}

/// Where the length of the first slice stands, of units with lengths of 4 bytes.
fn first_slice(codec: Codec, sample: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some((length, behind)) = sample.get(at..)?.split_first_chunk::<4>() {
        if nal_type(codec, behind).is_some_and(|kind| is_slice(codec, kind)) {
            return Some(at);
        }
        at = at.checked_add(4)?.checked_add(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(length: usize) -> Vec<u8> {
        let data = (0..length).map(|at| u8::try_from(at % 3).unwrap_or(0));
        CAPTIONS.into_iter().chain(data).collect()
    }

    #[test]
    fn captions_are_found_among_other_messages() {
        let mut unit = vec![6, 1, 2, 9, 9, 4, 11];
        unit.extend_from_slice(&message(3));
        unit.extend_from_slice(&[4, 3, 0xb5, 0, 0x3c, 0x80]);
        let mut found = Vec::new();
        collect(Codec::H264, &unit, &mut found);
        assert_eq!(found, [message(3)]);
        // A slice with the same bytes is none.
        unit[0] = 5;
        collect(Codec::H264, &unit, &mut found);
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_found_again(
            hevc in any::<bool>(), lengths in prop::collection::vec(0usize..700, 1..4), before in any::<bool>(),
        ) {
            let codec = if hevc { Codec::Hevc } else { Codec::H264 };
            let captions: Vec<Vec<u8>> = lengths.into_iter().map(message).collect();
            let mut sample = Vec::new();
            if before {
                // An SEI of another kind.
                sample.extend_from_slice(&[0, 0, 0, 4, if hevc { 78 } else { 6 }, 1, 0, 0x80]);
            }
            let slice = [0, 0, 0, 3, if hevc { 2 } else { 0x65 }, 1, 7];
            sample.extend_from_slice(&slice);
            let with = insert(codec, sample.clone(), &captions);
            prop_assert!(with.ends_with(&slice));
            let (mut found, mut rest) = (Vec::new(), with.as_slice());
            while let Some((length, behind)) = rest.split_first_chunk::<4>() {
                let (unit, behind) = behind.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
                collect(codec, unit, &mut found);
                rest = behind;
            }
            prop_assert_eq!(&found, &captions);
            prop_assert_eq!(insert(codec, sample.clone(), &[]), sample);
        }

        #[test]
        fn nothing_panics(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            bytes in prop::collection::vec(prop_oneof![Just(6u8), Just(0xff), Just(4), any::<u8>()], 0..100),
        ) {
            collect(codec, &bytes, &mut Vec::new());
            let with = insert(codec, bytes.clone(), &[message(9)]);
            prop_assert!(with.len() >= bytes.len());
        }
    }
}
