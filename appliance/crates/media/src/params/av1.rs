//! `av1C` and the AV1 sequence header.

use super::bits::{BitReader, ByteReader};
use super::{MAX_CODED_SIDE, ParamsError, StreamParams};
use crate::{FrameRate, Size};

const RECORD: &str = "av1C";
const HEADER: &str = "AV1 sequence header";
/// `OBU_SEQUENCE_HEADER` (AV1, 6.2.2).
pub(super) const OBU_SEQUENCE_HEADER: u8 = 1;

/// One open bitstream unit: its type and what follows its header.
pub(super) struct Obu<'a> {
    pub(super) obu_type: u8,
    pub(super) payload: &'a [u8],
}

/// Cuts low-overhead OBUs (AV1, 5.3 and 5.9.1) one by one.
pub(super) struct Obus<'a> {
    rest: ByteReader<'a>,
}

impl<'a> Obus<'a> {
    pub(super) fn new(record: &'static str, data: &'a [u8]) -> Self {
        Self { rest: ByteReader::new(record, data) }
    }

    fn read(&mut self) -> Result<Obu<'a>, ParamsError> {
        let header = self.rest.u8("obu_header")?;
        if header & 0b100 != 0 {
            self.rest.u8("obu_extension_header")?;
        }
        let length = match header & 0b10 {
            0 => self.rest.rest().len(),
            _ => self.leb128()?,
        };
        Ok(Obu { obu_type: header >> 3 & 0xf, payload: self.rest.take(length, "obu")? })
    }

    /// 4.10.5; a value over 2^32 - 1 is saturated, which no data can hold.
    fn leb128(&mut self) -> Result<usize, ParamsError> {
        let mut value = 0u64;
        for shift in 0..8u32 {
            let byte = self.rest.u8("obu_size")?;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(usize::try_from(value).unwrap_or(usize::MAX))
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, ParamsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let obu = self.read();
        if obu.is_err() {
            self.rest = ByteReader::new(RECORD, &[]);
        }
        Some(obu)
    }
}

/// The sequence header of an `av1C` (AV1-ISOBMFF, 2.3.3), or nothing where it holds none.
pub(super) fn record(data: &[u8]) -> Result<Option<&[u8]>, ParamsError> {
    let mut r = ByteReader::new(RECORD, data);
    match r.u8("version")? {
        0x81 => {}
        found => return Err(ParamsError::Version { record: RECORD, found: found & 0x7f }),
    }
    r.take(3, "initial_presentation_delay_minus_one")?;
    for obu in Obus::new(RECORD, r.rest()) {
        let obu = obu?;
        if obu.obu_type == OBU_SEQUENCE_HEADER {
            return Ok(Some(obu.payload));
        }
    }
    Ok(None)
}

pub(super) fn parse(data: &[u8]) -> Result<StreamParams, ParamsError> {
    sequence_header(
        record(data)?.ok_or(ParamsError::Missing { record: RECORD, what: "sequence header OBU" })?,
    )
}

/// AV1, 5.5.1.
pub(super) fn sequence_header(payload: &[u8]) -> Result<StreamParams, ParamsError> {
    let r = &mut BitReader::new(HEADER, payload);
    let seq_profile = r.bits(3, "seq_profile")?;
    r.flag("still_picture")?;
    let reduced = r.flag("reduced_still_picture_header")?;
    let mut frame_rate = None;
    if reduced {
        r.skip(5, "seq_level_idx")?;
    } else {
        let mut delay_bits = None;
        if r.flag("timing_info_present_flag")? {
            frame_rate = timing_info(r)?;
            if r.flag("decoder_model_info_present_flag")? {
                delay_bits = Some(1 + r.bits(5, "buffer_delay_length_minus_1")?);
                r.skip(42, "frame_presentation_time_length_minus_1")?;
            }
        }
        let display_delay = r.flag("initial_display_delay_present_flag")?;
        for _ in 0..=r.bits(5, "operating_points_cnt_minus_1")? {
            r.skip(12, "operating_point_idc")?;
            if r.bits(5, "seq_level_idx")? > 7 {
                r.flag("seq_tier")?;
            }
            if let Some(bits) = delay_bits
                && r.flag("decoder_model_present_for_this_op")?
            {
                r.bits(bits, "decoder_buffer_delay")?;
                r.bits(bits, "encoder_buffer_delay")?;
                r.flag("low_delay_mode_flag")?;
            }
            if display_delay && r.flag("initial_display_delay_present_for_this_op")? {
                r.skip(4, "initial_display_delay_minus_1")?;
            }
        }
    }
    let width_bits = 1 + r.bits(4, "frame_width_bits_minus_1")?;
    let height_bits = 1 + r.bits(4, "frame_height_bits_minus_1")?;
    let width = 1 + r.bits(width_bits, "max_frame_width_minus_1")?;
    let height = 1 + r.bits(height_bits, "max_frame_height_minus_1")?;
    for (field, side) in [("max_frame_width_minus_1", width), ("max_frame_height_minus_1", height)] {
        if side > MAX_CODED_SIDE {
            return Err(r.value(field, u64::from(side - 1), "0 to 16383"));
        }
    }
    let bit_depth = bit_depth(r, seq_profile, reduced)?;
    Ok(StreamParams {
        size: Size { width, height },
        sample_aspect_ratio: (1, 1),
        frame_rate,
        interlaced: false,
        bit_depth,
    })
}

/// 5.5.3
fn timing_info(r: &mut BitReader<'_>) -> Result<Option<FrameRate>, ParamsError> {
    let num_units_in_display_tick = u64::from(r.bits(32, "num_units_in_display_tick")?);
    let time_scale = u64::from(r.bits(32, "time_scale")?);
    if !r.flag("equal_picture_interval")? {
        return Ok(None);
    }
    let ticks = 1 + u64::from(r.ue("num_ticks_per_picture_minus_1")?);
    Ok(super::declared_rate(time_scale, num_units_in_display_tick.saturating_mul(ticks)))
}

/// The tools between frame size and `color_config`, then its bit depth (5.5.1, 5.5.2).
fn bit_depth(r: &mut BitReader<'_>, seq_profile: u32, reduced: bool) -> Result<u8, ParamsError> {
    if !reduced && r.flag("frame_id_numbers_present_flag")? {
        r.skip(7, "additional_frame_id_length_minus_1")?;
    }
    r.skip(3, "enable_intra_edge_filter")?;
    if !reduced {
        r.skip(4, "enable_dual_filter")?;
        let order_hint = r.flag("enable_order_hint")?;
        if order_hint {
            r.skip(2, "enable_ref_frame_mvs")?;
        }
        let choose_tools = r.flag("seq_choose_screen_content_tools")?;
        let tools = choose_tools || r.flag("seq_force_screen_content_tools")?;
        if tools && !r.flag("seq_choose_integer_mv")? {
            r.flag("seq_force_integer_mv")?;
        }
        if order_hint {
            r.skip(3, "order_hint_bits_minus_1")?;
        }
    }
    r.skip(3, "enable_restoration")?;
    let high = r.flag("high_bitdepth")?;
    Ok(match (high, seq_profile) {
        (true, 2) if r.flag("twelve_bit")? => 12,
        (true, _) => 10,
        (false, _) => 8,
    })
}
