//! Amends to parameter sets that a driver writes: what its interface has no place for, and viewers need.
//!
//! The sets go into the configuration record alone, and no slice depends on what is amended.

use super::EncodeError;
use super::bits::{BitWriter, escaped};
use super::syntax::video_signal_type;
use crate::decode::nal::Payload;
use crate::decode::{self, UnsaidColours};
use crate::device::Codec;
use crate::frame::Size;

/// The driver's parameter sets, showing pictures of this size in BT.709.
///
/// `VAEncSequenceParameterBufferHEVC` cannot say that pictures are smaller than what is coded, so that a driver that
/// writes its own sets shows whole coding blocks; and no structure says colours.
pub(super) fn amended(codec: Codec, mut sets: Vec<Vec<u8>>, size: Size) -> Result<Vec<Vec<u8>>, EncodeError> {
    for set in &mut sets {
        let header = set.first().copied().unwrap_or(0);
        let is_sps = match codec {
            Codec::H264 => header & 0x1f == 7,
            Codec::Hevc => header >> 1 & 0x3f == 33,
        };
        if is_sps {
            *set = sps(codec, set, size)?;
        }
    }
    Ok(sets)
}

fn sps(codec: Codec, set: &[u8], size: Size) -> Result<Vec<u8>, EncodeError> {
    let shape = |set: &[u8]| {
        let unusable = EncodeError::Output { what: "a sequence parameter set that cannot be read" };
        decode::shape(codec, set).ok_or(unusable)
    };
    let mut set = set.to_vec();
    match shape(&set)?.unsaid {
        None => {}
        Some(UnsaidColours::NoSignalType(at)) => {
            set = with_bits(codec, &set, at, video_signal_type);
        }
        Some(UnsaidColours::NoUsability(at)) => {
            // Behind the colours nothing else is said: six flags in H.264, seven in HEVC (E.1.1, E.2.1).
            let rest = if codec == Codec::H264 { 6 } else { 7 };
            set = with_bits(codec, &set, at, |w| {
                w.flag(true); // vui_parameters_present_flag
                w.flag(false); // aspect_ratio_info_present_flag
                w.flag(false); // overscan_info_present_flag
                video_signal_type(w);
                (0..rest).for_each(|_| w.flag(false));
            });
        }
    }
    let found = shape(&set)?;
    if found.shown != size {
        let right = found.shown.width.checked_sub(size.width);
        let bottom = found.shown.height.checked_sub(size.height);
        if let (Some(at), Some(right), Some(bottom)) = (found.without_window, right, bottom) {
            set = with_bits(codec, &set, at, |w| {
                w.flag(true); // conformance_window_flag
                for offset in [0, right / 2, 0, bottom / 2] {
                    w.ue(offset);
                }
            });
        }
    }
    let found = shape(&set)?;
    if found.shown != size || found.unsaid.is_some() {
        return Err(EncodeError::Output { what: "parameter sets of another picture size or of no colours" });
    }
    Ok(set)
}

/// The set with other bits in place of one bit of its payload.
fn with_bits(codec: Codec, set: &[u8], at: usize, write: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
    let header_bytes = if codec == Codec::H264 { 1 } else { 2 };
    let payload = Payload::new(set, header_bytes, set.len()).data;
    let bit = |at: usize| payload.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    // Up to the stop bit, which is the last that is 1.
    let end = (0..payload.len() * 8).rev().find(|at| bit(*at)).unwrap_or(0);
    let mut w = BitWriter::default();
    (0..at).for_each(|at| w.flag(bit(at)));
    write(&mut w);
    (at + 1..end).for_each(|at| w.flag(bit(at)));
    w.trailing();
    escaped(&w.unit(set.get(..header_bytes).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_put_in_where_it_is_missing() {
        let sets = crate::encode::fuzz::hevc_parameter_sets();
        let wanted = Size { width: 1274, height: 712 };
        let cut = amended(Codec::Hevc, sets.clone(), wanted).unwrap();
        assert_eq!(decode::shape(Codec::Hevc, &cut[1]).unwrap().shown, wanted);
        assert_eq!((&cut[0], &cut[2]), (&sets[0], &sets[2]));
        let same = amended(Codec::Hevc, sets.clone(), Size { width: 1280, height: 720 }).unwrap();
        assert_eq!(same, sets, "what needs no amends stays");
    }

    #[test]
    fn colours_are_put_in_where_they_are_missing() {
        for codec in Codec::ALL {
            let (sets, at, size) = match codec {
                Codec::H264 => (crate::encode::fuzz::h264_parameter_sets(), 0, (1920, 1080)),
                Codec::Hevc => (crate::encode::fuzz::hevc_parameter_sets(), 1, (1280, 720)),
            };
            let size = Size { width: size.0, height: size.1 };
            // Without video usability information, as a driver may write it: the bits end before it.
            let full = &sets[at];
            let header = if codec == Codec::H264 { 1 } else { 2 };
            let payload = Payload::new(full, header, full.len()).data;
            let bare = (0..payload.len() * 8).find_map(|end| {
                let mut w = BitWriter::default();
                (0..end).for_each(|at| w.flag(payload[at / 8] >> (7 - at % 8) & 1 == 1));
                w.flag(false);
                w.trailing();
                let set = escaped(&w.unit(&full[..header]));
                let shape = decode::shape(codec, &set)?;
                (shape.shown == size && shape.unsaid == Some(UnsaidColours::NoUsability(end))).then_some(set)
            });
            let amended = amended(codec, vec![bare.unwrap()], size).unwrap();
            assert_eq!(decode::shape(codec, &amended[0]).unwrap().unsaid, None, "{codec:?}");
        }
    }
}
