//! The configuration record of what NVENC puts out, from its parameter sets.

use super::access_unit::{leb128, nal_units, obus};
use crate::device::Codec;
use crate::nal::{nal_type, without_emulation_prevention};

/// Parameter sets that are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of the {codec} encoder is missing, too short or too long")]
pub struct RecordError {
    codec: Codec,
    what: &'static str,
}

/// `avcC`, `hvcC` or `av1C`.
pub(super) fn record(codec: Codec, headers: &[u8]) -> Result<Vec<u8>, RecordError> {
    let missing = |what| RecordError { codec, what };
    let find = |kind, what| {
        let unit = nal_units(headers).find(|unit| nal_type(codec, unit) == Some(kind));
        unit.filter(|unit| u16::try_from(unit.len()).is_ok()).ok_or(missing(what))
    };
    match codec {
        Codec::H264 => {
            let (sps, pps) = (find(7, "sequence parameter set")?, find(8, "picture parameter set")?);
            avcc(sps, pps).ok_or(missing("sequence parameter set"))
        }
        Codec::Hevc => {
            let (vps, sps) = (find(32, "video parameter set")?, find(33, "sequence parameter set")?);
            let pps = find(34, "picture parameter set")?;
            hvcc(vps, sps, pps).ok_or(missing("sequence parameter set"))
        }
        Codec::Av1 => {
            let header = obus(headers).find(|(kind, _)| *kind == 1).map(|(_, obu)| obu);
            header.and_then(av1c).ok_or(missing("sequence header"))
        }
    }
}

fn push(record: &mut Vec<u8>, unit: &[u8]) {
    // Found to fit by `record`.
    record.extend_from_slice(&u16::try_from(unit.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend_from_slice(unit);
}

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2).
fn avcc(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let &[_, profile, compatibility, level, ..] = sps else { return None };
    // Reserved bits are ones; lengths have 4 bytes; one SPS, one PPS.
    let mut record = vec![1, profile, compatibility, level, 0xff, 0xe1];
    push(&mut record, sps);
    record.push(1);
    push(&mut record, pps);
    if matches!(profile, 100 | 110 | 122 | 144) {
        // chroma_format 1 (4:2:0), both bit depths 8, no SPS extension.
        record.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Some(record)
}

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2).
fn hvcc(vps: &[u8], sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    // Behind the header of 2 bytes: vps id (4 bits), sub-layers less one (3), nesting (1), profile_tier_level, whose
    // general part has 12 bytes (Rec. ITU-T H.265, 7.3.2.2 and 7.3.3).
    let plain = without_emulation_prevention(sps.get(2..)?);
    let (&layers, general) = plain.split_first()?;
    let mut record = vec![1];
    record.extend_from_slice(general.get(..12)?);
    // No minimal segmentation, unknown parallelism, chroma_format 1 (4:2:0), both bit depths 8, unknown frame rate.
    record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0]);
    let temporal_layers = (layers >> 1 & 7) + 1;
    // Lengths have 4 bytes.
    record.push((temporal_layers & 7) << 3 | (layers & 1) << 2 | 3);
    record.push(3);
    for (kind, unit) in [(32, vps), (33, sps), (34, pps)] {
        // All there are; one.
        record.extend_from_slice(&[0x80 | kind, 0, 1]);
        push(&mut record, unit);
    }
    Some(record)
}

/// `AV1CodecConfigurationRecord` (AV1-ISOBMFF, 2.3.3).
fn av1c(obu: &[u8]) -> Option<Vec<u8>> {
    let header_bytes = if obu.first()? & 4 != 0 { 2 } else { 1 };
    let (size, size_bytes) = leb128(obu.get(header_bytes..)?)?;
    let payload = obu.get(header_bytes + size_bytes..)?.get(..size)?;
    let header = SequenceHeader::read(&mut Bits { bytes: payload, at: 0 })?;
    let mut record = vec![
        0x81,
        header.profile << 5 | header.level,
        header.tier << 7
            | u8::from(header.high_bit_depth) << 6
            | u8::from(header.twelve_bit) << 5
            | u8::from(header.monochrome) << 4
            | header.subsampling << 2
            | header.chroma_position,
        0,
    ];
    record.extend_from_slice(obu);
    Some(record)
}

/// What a record repeats of a sequence header.
#[derive(Debug, PartialEq, Eq)]
struct SequenceHeader {
    profile: u8,
    level: u8,
    tier: u8,
    high_bit_depth: bool,
    twelve_bit: bool,
    monochrome: bool,
    /// `subsampling_x` and `subsampling_y`.
    subsampling: u8,
    chroma_position: u8,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0u32, |sum, _| Some(sum << 1 | u32::from(self.flag()?)))
    }

    /// At most 8 bits.
    fn byte(&mut self, bits: u32) -> Option<u8> {
        self.number(bits).and_then(|value| u8::try_from(value).ok())
    }

    /// AV1 4.10.3.
    fn uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.number(zeros)?;
        }
        Some(())
    }
}

impl SequenceHeader {
    /// AV1 5.5.1. Names of fields are the specification's.
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let seq_profile = bits.byte(3)?;
        let _still_picture = bits.flag()?;
        let reduced = bits.flag()?;
        let (level, tier) = if reduced { (bits.byte(5)?, 0) } else { Self::operating_points(bits)? };
        let width_bits = bits.number(4)? + 1;
        let height_bits = bits.number(4)? + 1;
        bits.number(width_bits)?;
        bits.number(height_bits)?;
        // frame_id_numbers_present_flag.
        if !reduced && bits.flag()? {
            bits.number(7)?;
        }
        // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter.
        bits.number(3)?;
        if !reduced {
            Self::tools(bits)?;
        }
        // enable_superres, enable_cdef, enable_restoration.
        bits.number(3)?;
        let high_bit_depth = bits.flag()?;
        let twelve_bit = seq_profile == 2 && high_bit_depth && bits.flag()?;
        let monochrome = seq_profile != 1 && bits.flag()?;
        // color_description_present_flag; primaries, transfer, matrix.
        let description = if bits.flag()? { bits.number(24)? } else { 0x02_0202 };
        let subsampling = match seq_profile {
            _ if monochrome => 3,
            // sRGB.
            _ if description == 0x01_0d00 => 0,
            0 => 3,
            1 => 0,
            _ if !twelve_bit => 2,
            _ => {
                bits.flag()?;
                let across = bits.byte(1)?;
                return Some(Self {
                    profile: seq_profile,
                    level,
                    tier,
                    high_bit_depth,
                    twelve_bit,
                    monochrome,
                    subsampling: across << 1 | if across == 1 { bits.byte(1)? } else { 0 },
                    chroma_position: 0,
                });
            }
        };
        // color_range, which sRGB does not have.
        if subsampling != 0 || seq_profile == 1 {
            bits.flag()?;
        }
        let chroma_position = if subsampling == 3 && !monochrome { bits.byte(2)? } else { 0 };
        let profile = seq_profile;
        Some(Self {
            profile,
            level,
            tier,
            high_bit_depth,
            twelve_bit,
            monochrome,
            subsampling,
            chroma_position,
        })
    }

    /// `seq_level_idx` and `seq_tier` of the first operating point; all of them are read.
    fn operating_points(bits: &mut Bits<'_>) -> Option<(u8, u8)> {
        let mut delay_bits = None;
        // timing_info_present_flag.
        if bits.flag()? {
            bits.number(32)?;
            bits.number(32)?;
            if bits.flag()? {
                bits.uvlc()?;
            }
            // decoder_model_info_present_flag.
            if bits.flag()? {
                delay_bits = Some(bits.number(5)? + 1);
                bits.number(32)?;
                bits.number(10)?;
            }
        }
        let initial_display_delay = bits.flag()?;
        let count = bits.number(5)? + 1;
        let mut first = None;
        for _ in 0..count {
            bits.number(12)?;
            let level = bits.byte(5)?;
            let tier = if level > 7 { bits.byte(1)? } else { 0 };
            first.get_or_insert((level, tier));
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.number(delay_bits)?;
                bits.number(delay_bits)?;
                bits.flag()?;
            }
            if initial_display_delay && bits.flag()? {
                bits.number(4)?;
            }
        }
        first
    }

    fn tools(bits: &mut Bits<'_>) -> Option<()> {
        // enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter.
        bits.number(4)?;
        let enable_order_hint = bits.flag()?;
        if enable_order_hint {
            bits.number(2)?;
        }
        // seq_choose_screen_content_tools, else seq_force_screen_content_tools.
        let screen_content = bits.flag()? || bits.flag()?;
        // seq_choose_integer_mv, else seq_force_integer_mv.
        if screen_content && !bits.flag()? {
            bits.flag()?;
        }
        if enable_order_hint {
            bits.number(3)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
