//! Picture timing messages of H.264 (ITU-T H.264, D.1.3, D.2.3), as far as they say what fields a picture shows.

use super::super::bits::BitReader;
use super::super::output::FieldOrder;
use super::slice::Structure;
use super::sps::Sps;

/// `payloadType` of `pic_timing`.
const PIC_TIMING: usize = 1;
/// Most messages of a NAL unit that are looked at.
const MAX_MESSAGES: usize = 64;

/// The picture timing among the messages of a payload (7.3.2.3.1).
pub(super) fn find(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = payload;
    for _ in 0..MAX_MESSAGES {
        let mut number = || {
            let mut value = 0usize;
            loop {
                let (byte, behind) = rest.split_first()?;
                rest = behind;
                value += usize::from(*byte);
                if *byte != 0xff {
                    return Some(value);
                }
            }
        };
        let (kind, length) = (number()?, number()?);
        let (message, behind) = rest.split_at_checked(length)?;
        rest = behind;
        if kind == PIC_TIMING {
            return Some(message.to_vec());
        }
    }
    None
}

/// Which field of a picture was taken first; none where it is progressive. `counts` are its fields' order counts.
pub(super) fn interlaced(
    sps: &Sps,
    structure: Structure,
    counts: [i32; 2],
    timing: Option<&[u8]>,
) -> Option<FieldOrder> {
    let pic_struct = sps.vui.pic_struct_at.zip(timing).and_then(|(at, message)| {
        let mut r = BitReader::new("pic_timing", message);
        r.skip(at, "dpb_output_delay").ok()?;
        r.byte(4, "pic_struct").ok()
    });
    match (structure, pic_struct) {
        (Structure::TopField, _) => Some(FieldOrder::TopFirst),
        (Structure::BottomField, _) => Some(FieldOrder::BottomFirst),
        // Frames whose macroblocks may be fields are taken to be interlaced, unless the stream says what they show: whole
        // frames (0, 7, 8), two fields (3, 4), or two and one of them again (5, 6), which is film.
        (Structure::Frame, _) if !sps.mb_adaptive_frame_field_flag => None,
        (Structure::Frame, Some(0 | 5..=8)) => None,
        (Structure::Frame, Some(3)) => Some(FieldOrder::TopFirst),
        (Structure::Frame, Some(4)) => Some(FieldOrder::BottomFirst),
        (Structure::Frame, _) if counts[1] < counts[0] => Some(FieldOrder::BottomFirst),
        (Structure::Frame, _) => Some(FieldOrder::TopFirst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_walked_through() {
        // Unregistered user data of 257 bytes, then timing.
        let mut payload = vec![5, 0xff, 2];
        payload.resize(3 + 257, 7);
        payload.extend([1, 2, 0x30, 0x80, 0x80]);
        assert_eq!(find(&payload), Some(vec![0x30, 0x80]));
        assert_eq!(find(&payload[..200]), None);
        assert_eq!(find(&[0xff; 9]), None);
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn a_stream_may_say_that_its_frames_are_whole() {
        let set = &crate::encode::fuzz::h264_parameter_sets()[0];
        let mut sps = Sps::parse(&crate::decode::nal::Payload::new(set, 1, set.len()).data).unwrap();
        let frame = |sps: &Sps, timing| interlaced(sps, Structure::Frame, [0, 1], timing);
        assert_eq!(frame(&sps, None), None);
        sps.mb_adaptive_frame_field_flag = true;
        assert_eq!(frame(&sps, None), Some(FieldOrder::TopFirst));
        // Behind delays of 4 bits.
        let whole: &[u8] = &[0xf0, 0];
        assert_eq!(frame(&sps, Some(whole)), Some(FieldOrder::TopFirst), "timing has no such field");
        sps.vui.pic_struct_at = Some(4);
        assert_eq!(frame(&sps, Some(whole)), None);
        assert_eq!(frame(&sps, Some(&[0xf4])), Some(FieldOrder::BottomFirst));
        assert_eq!(frame(&sps, Some(&[])), Some(FieldOrder::TopFirst), "it breaks off");
    }
}
