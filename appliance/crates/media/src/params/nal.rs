//! A look into coded pictures: what they hold, against what the container says of them.

use super::{av1, h264, hevc};
use crate::{VideoCodec, VideoParams};

/// Most NAL units or OBUs in one access unit: a 2160p picture of 8 slices a macroblock row has fewer.
pub const MAX_UNITS: usize = 2_048;

/// `nal_unit_type`s of H.264 (table 7-1).
const H264_IDR: u8 = 5;
const H264_SEI: u8 = 6;
const H264_SPS: u8 = 7;
/// `nal_unit_type` of HEVC (table 7-1).
const HEVC_PREFIX_SEI: u8 = 39;
/// `payloadType` of a recovery point SEI message (H.264 and H.265, table D.1).
const SEI_RECOVERY_POINT: u32 = 6;
/// That of a message registered by ITU-T T.35, and what one begins with that holds closed captions: country (USA), provider
/// (ATSC), `user_identifier` and `user_data_type_code` (ATSC A/53 part 4, 6.2.3).
const SEI_ITU_T_T35: u32 = 4;
const CAPTIONS: &[u8] = b"\xb5\x00\x31GA94\x03";
/// OBU types (AV1, 6.2.2).
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// An access unit whose framing does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// A length field or its NAL unit reaches beyond the access unit.
    #[error("nal unit of {bytes} bytes at byte {offset} reaches beyond its access unit of {whole} bytes")]
    Beyond {
        /// Where its length field stands in the access unit.
        offset: usize,
        /// The length it claims.
        bytes: u64,
        /// Bytes in the access unit.
        whole: usize,
    },
    /// There are more than anything honest has.
    #[error("access unit of {whole} bytes has over {MAX_UNITS} nal units")]
    TooMany {
        /// Bytes in the access unit.
        whole: usize,
    },
    /// An OBU does not hold.
    #[error("temporal unit breaks the framing of OBUs")]
    Obu(#[source] super::ParamsError),
}

/// The NAL units of an access unit, without their length fields; empty ones are left out.
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    whole: &'a [u8],
    offset: usize,
    length_bytes: usize,
    seen: usize,
}

impl<'a> NalUnits<'a> {
    /// Over `access_unit`, whose length fields have `length_bytes` (1, 2 or 4) bytes.
    #[must_use]
    pub const fn new(access_unit: &'a [u8], length_bytes: usize) -> Self {
        Self { whole: access_unit, offset: 0, length_bytes, seen: 0 }
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], NalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.whole.get(self.offset..).filter(|rest| !rest.is_empty())?;
            let at = self.offset;
            self.seen += 1;
            // Whatever is wrong, nothing comes behind it.
            self.offset = self.whole.len();
            if self.seen > MAX_UNITS {
                return Some(Err(NalError::TooMany { whole: self.whole.len() }));
            }
            let field = rest.get(..self.length_bytes).unwrap_or(rest);
            let bytes = field.iter().fold(0u64, |length, &byte| length << 8 | u64::from(byte));
            let end = usize::try_from(bytes).ok().and_then(|n| n.checked_add(self.length_bytes));
            let Some(nal) = end.and_then(|end| rest.get(self.length_bytes..end)) else {
                return Some(Err(NalError::Beyond { offset: at, bytes, whole: self.whole.len() }));
            };
            self.offset = at + self.length_bytes + nal.len();
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
    }
}

/// What is in an access unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Whether it is a picture to start from with nothing before it: an IDR picture (H.264), an IRAP picture (HEVC),
    /// a shown key frame (AV1). A container's key flag that says otherwise lies.
    pub key: bool,
    /// Whether a recovery point SEI message says that decoding may start here all the same (H.264 and HEVC with
    /// periodic intra refresh or open GOPs).
    pub recovery_point: bool,
    /// Whether it has coded picture data at all.
    pub picture: bool,
    /// Whether it carries a sequence parameter set (header) other than those of the configuration record.
    pub changes_parameters: bool,
}

impl VideoParams {
    /// Bytes of the length fields of this stream's access units: 1, 2 or 4 (for AV1 of no meaning, 4).
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        let at = match self.codec {
            VideoCodec::H264 => 4,
            VideoCodec::Hevc => 21,
            VideoCodec::Av1 => return 4,
        };
        self.configuration.get(at).map_or(4, |byte| usize::from(byte & 3) + 1)
    }

    /// Looks into an access unit of this stream.
    ///
    /// # Errors
    /// Where the framing of its NAL units or OBUs does not hold.
    pub fn inspect(&self, access_unit: &[u8]) -> Result<Contents, NalError> {
        match self.codec {
            VideoCodec::H264 => self.inspect_h264(access_unit),
            VideoCodec::Hevc => self.inspect_hevc(access_unit),
            VideoCodec::Av1 => self.inspect_av1(access_unit),
        }
    }

    /// Whether an access unit has closed captions beside it (CEA-608 and 708 as ATSC A/53 has them; H.264 and HEVC only). One
    /// whose framing does not hold has none.
    #[must_use]
    pub fn has_captions(&self, access_unit: &[u8]) -> bool {
        // The SEI NAL unit's type, by the codec's way to say it.
        let sei = |nal: &[u8]| match self.codec {
            VideoCodec::H264 => (nal.first().copied().unwrap_or(0) & 0x1f == H264_SEI).then_some(1),
            VideoCodec::Hevc => {
                (nal.first().copied().unwrap_or(0) >> 1 & 0x3f == HEVC_PREFIX_SEI).then_some(2)
            }
            VideoCodec::Av1 => None,
        };
        self.codec != VideoCodec::Av1
            && NalUnits::new(access_unit, self.length_bytes()).map_while(Result::ok).any(|nal| {
                sei(nal).is_some_and(|header_bytes| {
                    has_message(nal, header_bytes, |kind, rest| {
                        kind == SEI_ITU_T_T35 && rest.starts_with(CAPTIONS)
                    })
                })
            })
    }

    fn inspect_h264(&self, access_unit: &[u8]) -> Result<Contents, NalError> {
        let mut contents = Contents::default();
        for nal in NalUnits::new(access_unit, self.length_bytes()) {
            let nal = nal?;
            match nal.first().copied().unwrap_or(0) & 0x1f {
                1..=4 => contents.picture = true,
                H264_IDR => (contents.picture, contents.key) = (true, true),
                H264_SEI => contents.recovery_point |= has_recovery_point(nal, 1),
                H264_SPS => {
                    let known =
                        h264::record(&self.configuration).is_ok_and(|record| record.sps.contains(&nal));
                    contents.changes_parameters |= !known;
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    fn inspect_hevc(&self, access_unit: &[u8]) -> Result<Contents, NalError> {
        let mut contents = Contents::default();
        for nal in NalUnits::new(access_unit, self.length_bytes()) {
            let nal = nal?;
            // ITU-T H.265, table 7-1.
            match nal.first().copied().unwrap_or(0) >> 1 & 0x3f {
                0..=9 => contents.picture = true,
                16..=21 => (contents.picture, contents.key) = (true, true),
                HEVC_PREFIX_SEI => contents.recovery_point |= has_recovery_point(nal, 2),
                hevc::NAL_SPS => {
                    let known =
                        hevc::record(&self.configuration).is_ok_and(|record| record.sps.contains(&nal));
                    contents.changes_parameters |= !known;
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    fn inspect_av1(&self, temporal_unit: &[u8]) -> Result<Contents, NalError> {
        let mut contents = Contents::default();
        for (seen, obu) in av1::Obus::new("temporal unit", temporal_unit).enumerate() {
            if seen >= MAX_UNITS {
                return Err(NalError::TooMany { whole: temporal_unit.len() });
            }
            let obu = obu.map_err(NalError::Obu)?;
            match obu.obu_type {
                OBU_FRAME_HEADER | OBU_FRAME => {
                    contents.picture = true;
                    // show_existing_frame (1 bit) unset, frame_type (2 bits) KEY_FRAME, show_frame (1 bit) set
                    // (AV1, 5.9.2); reduced still pictures, which have none of these, are no live stream.
                    contents.key |= obu.payload.first().is_some_and(|byte| byte >> 4 == 0b0001);
                }
                av1::OBU_SEQUENCE_HEADER => {
                    let known =
                        av1::record(&self.configuration).is_ok_and(|known| known == Some(obu.payload));
                    contents.changes_parameters |= !known;
                }
                _ => {}
            }
        }
        Ok(contents)
    }
}

fn has_recovery_point(nal: &[u8], header_bytes: usize) -> bool {
    has_message(nal, header_bytes, |payload_type, _| payload_type == SEI_RECOVERY_POINT)
}

/// Whether an SEI NAL unit has a message that `wanted` takes by its type and what follows (H.264, 7.3.2.3.1). Emulation
/// prevention bytes are let be: they stand behind two zeros, and what is looked for comes in the first messages, which have
/// none before it.
fn has_message(nal: &[u8], header_bytes: usize, wanted: impl Fn(u32, &[u8]) -> bool) -> bool {
    let mut rest = nal.get(header_bytes..).unwrap_or_default();
    // 0x80 alone is the trailing bits.
    while rest.len() > 2 {
        let (Some(payload_type), Some(size)) = (ff_coded(&mut rest), ff_coded(&mut rest)) else {
            return false;
        };
        if wanted(payload_type, rest) {
            return true;
        }
        rest = usize::try_from(size).ok().and_then(|size| rest.get(size..)).unwrap_or_default();
    }
    false
}

/// `payloadType` and `payloadSize`: 255 for each 0xff byte, and the byte behind.
fn ff_coded(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    loop {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value = value.saturating_add(u32::from(byte));
        if byte != 0xff {
            return Some(value);
        }
    }
}
