//! `avcC` and the H.264 sequence parameter set.
//!
//! Read here and not with a crate: the maintained ones refuse pictures over the declared level, a short VUI and
//! trailing bytes, all of which encoders in the field send and libavcodec plays.

use super::bits::{BitReader, ByteReader, rbsp};
use super::{MAX_CODED_SIDE, ParamsError, StreamParams, sample_aspect};
use crate::{FrameRate, Size};

const RECORD: &str = "avcC";
const SPS: &str = "H.264 SPS";
/// `nal_unit_type` of a sequence parameter set (ITU-T H.264, table 7-1).
const NAL_SPS: u8 = 7;
/// Profiles whose SPS says chroma format and bit depth (7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The parameter sets of an `avcC` (ISO/IEC 14496-15, 5.3.3.1.2).
pub(super) struct Record<'a> {
    pub(super) sps: Vec<&'a [u8]>,
}

pub(super) fn record(data: &[u8]) -> Result<Record<'_>, ParamsError> {
    let mut r = ByteReader::new(RECORD, data);
    match r.u8("configurationVersion")? {
        1 => {}
        found => return Err(ParamsError::Version { record: RECORD, found }),
    }
    r.take(3, "AVCProfileIndication")?;
    if r.u8("lengthSizeMinusOne")? & 3 == 2 {
        return Err(ParamsError::Value {
            record: RECORD,
            field: "lengthSizeMinusOne",
            value: 2,
            bound: "0, 1 or 3",
        });
    }
    let mut sps = Vec::new();
    for _ in 0..r.u8("numOfSequenceParameterSets")? & 0x1f {
        let length = usize::from(r.u16("sequenceParameterSetLength")?);
        sps.push(r.take(length, "sequenceParameterSetNALUnit")?);
    }
    for _ in 0..r.u8("numOfPictureParameterSets")? {
        let length = usize::from(r.u16("pictureParameterSetLength")?);
        r.take(length, "pictureParameterSetNALUnit")?;
    }
    Ok(Record { sps })
}

pub(super) fn parse(data: &[u8]) -> Result<StreamParams, ParamsError> {
    let missing = ParamsError::Missing { record: RECORD, what: "sequence parameter set" };
    sps(record(data)?.sps.first().ok_or(missing)?)
}

/// A sequence parameter set NAL unit (ITU-T H.264, 7.3.2.1.1).
pub(super) fn sps(nal: &[u8]) -> Result<StreamParams, ParamsError> {
    let header = nal.first().copied().unwrap_or(0);
    if header & 0x1f != NAL_SPS {
        return Err(ParamsError::Value {
            record: SPS,
            field: "nal_unit_type",
            value: u64::from(header & 0x1f),
            bound: "7",
        });
    }
    let data = rbsp(nal, 1);
    let r = &mut BitReader::new(SPS, &data);
    let profile_idc = r.byte(8, "profile_idc")?;
    r.skip(16, "level_idc")?;
    r.ue_up_to(31, "0 to 31", "seq_parameter_set_id")?;
    let (mut chroma_format_idc, mut bit_depth, mut separate_planes) = (1, 8, false);
    if HIGH_PROFILES.contains(&profile_idc) {
        chroma_format_idc = r.ue_up_to(3, "0 to 3", "chroma_format_idc")?;
        if chroma_format_idc == 3 {
            separate_planes = r.flag("separate_colour_plane_flag")?;
        }
        bit_depth = 8 + r.ue_up_to(6, "0 to 6", "bit_depth_luma_minus8")?;
        r.ue_up_to(6, "0 to 6", "bit_depth_chroma_minus8")?;
        r.flag("qpprime_y_zero_transform_bypass_flag")?;
        if r.flag("seq_scaling_matrix_present_flag")? {
            for list in 0..if chroma_format_idc == 3 { 12 } else { 8 } {
                if r.flag("seq_scaling_list_present_flag")? {
                    scaling_list(r, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    r.ue("log2_max_frame_num_minus4")?;
    match r.ue_up_to(2, "0 to 2", "pic_order_cnt_type")? {
        0 => {
            r.ue("log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => {
            r.flag("delta_pic_order_always_zero_flag")?;
            r.se("offset_for_non_ref_pic")?;
            r.se("offset_for_top_to_bottom_field")?;
            for _ in 0..r.ue_up_to(255, "0 to 255", "num_ref_frames_in_pic_order_cnt_cycle")? {
                r.se("offset_for_ref_frame")?;
            }
        }
        _ => {}
    }
    r.ue("max_num_ref_frames")?;
    r.flag("gaps_in_frame_num_value_allowed_flag")?;
    let side_in_units = MAX_CODED_SIDE / 16 - 1;
    let width = 16 * (r.ue_up_to(side_in_units, "0 to 1023", "pic_width_in_mbs_minus1")? + 1);
    let units = r.ue_up_to(side_in_units, "0 to 1023", "pic_height_in_map_units_minus1")? + 1;
    let frame_mbs_only = r.flag("frame_mbs_only_flag")?;
    let height = 16 * units * if frame_mbs_only { 1 } else { 2 };
    if !frame_mbs_only {
        r.flag("mb_adaptive_frame_field_flag")?;
    }
    r.flag("direct_8x8_inference_flag")?;
    // Table 6-1 and (7-19) to (7-22): cropping counts chroma samples, and field lines where there are fields.
    let chroma = if separate_planes { 0 } else { chroma_format_idc };
    let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 } * if frame_mbs_only { 1 } else { 2 };
    let (mut left_right, mut top_bottom) = (0, 0);
    if r.flag("frame_cropping_flag")? {
        left_right = u64::from(r.ue("frame_crop_left_offset")?) + u64::from(r.ue("frame_crop_right_offset")?);
        top_bottom = u64::from(r.ue("frame_crop_top_offset")?) + u64::from(r.ue("frame_crop_bottom_offset")?);
    }
    let size = Size {
        width: super::cropped(SPS, "frame_crop_right_offset", width, left_right * unit_x)?,
        height: super::cropped(SPS, "frame_crop_bottom_offset", height, top_bottom * unit_y)?,
    };
    let mut vui = Vui { sample_aspect_ratio: (1, 1), frame_rate: None };
    if r.flag("vui_parameters_present_flag").unwrap_or(false) {
        // What was read before a VUI breaks off still holds; decoders go on without the rest too.
        let _ = vui.read(r);
    }
    Ok(StreamParams {
        size,
        sample_aspect_ratio: vui.sample_aspect_ratio,
        frame_rate: vui.frame_rate,
        interlaced: !frame_mbs_only,
        bit_depth: u8::try_from(bit_depth).unwrap_or(8),
    })
}

/// 7.3.2.1.1.1; the values are of no use here, only their length.
fn scaling_list(r: &mut BitReader<'_>, entries: u32) -> Result<(), ParamsError> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..entries {
        if next != 0 {
            next = (last + r.se("delta_scale")?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

struct Vui {
    sample_aspect_ratio: (u32, u32),
    frame_rate: Option<FrameRate>,
}

impl Vui {
    /// E.1.1, as far as timing.
    fn read(&mut self, r: &mut BitReader<'_>) -> Result<(), ParamsError> {
        if r.flag("aspect_ratio_info_present_flag")? {
            self.sample_aspect_ratio = sample_aspect::read(r)?;
        }
        if r.flag("overscan_info_present_flag")? {
            r.flag("overscan_appropriate_flag")?;
        }
        if r.flag("video_signal_type_present_flag")? {
            r.skip(4, "video_full_range_flag")?;
            if r.flag("colour_description_present_flag")? {
                r.skip(24, "matrix_coefficients")?;
            }
        }
        if r.flag("chroma_loc_info_present_flag")? {
            r.ue("chroma_sample_loc_type_top_field")?;
            r.ue("chroma_sample_loc_type_bottom_field")?;
        }
        if r.flag("timing_info_present_flag")? {
            let num_units_in_tick = r.bits(32, "num_units_in_tick")?;
            let time_scale = r.bits(32, "time_scale")?;
            // A tick is a field even where there are none (E.2.1).
            self.frame_rate = super::declared_rate(u64::from(time_scale), 2 * u64::from(num_units_in_tick));
        }
        Ok(())
    }
}
