//! `hvcC` and the HEVC sequence parameter set.
//!
//! Read here and not with a crate: the one there is subtracts unchecked fields from one another, which a hostile
//! record turns into a panic, and refuses extensions it does not know.

use super::bits::{BitReader, ByteReader, rbsp};
use super::{MAX_CODED_SIDE, ParamsError, StreamParams, sample_aspect};
use crate::{FrameRate, Size};

const RECORD: &str = "hvcC";
const SPS: &str = "HEVC SPS";
/// `nal_unit_type` of a sequence parameter set (ITU-T H.265, table 7-1).
pub(super) const NAL_SPS: u8 = 33;
/// Most delta POCs of a short-term reference picture set: 16 pictures (`MaxDpbSize`, A.4.2).
const MAX_DELTA_POCS: u32 = 16;

/// What an `hvcC` says (ISO/IEC 14496-15, 8.3.3.1.2).
pub(super) struct Record<'a> {
    pub(super) sps: Vec<&'a [u8]>,
    /// Frames in 256 seconds; 0 where unspecified.
    avg_frame_rate: u16,
}

pub(super) fn record(data: &[u8]) -> Result<Record<'_>, ParamsError> {
    let mut r = ByteReader::new(RECORD, data);
    match r.u8("configurationVersion")? {
        1 => {}
        found => return Err(ParamsError::Version { record: RECORD, found }),
    }
    r.take(18, "bitDepthChromaMinus8")?;
    let avg_frame_rate = r.u16("avgFrameRate")?;
    if r.u8("lengthSizeMinusOne")? & 3 == 2 {
        return Err(ParamsError::Value {
            record: RECORD,
            field: "lengthSizeMinusOne",
            value: 2,
            bound: "0, 1 or 3",
        });
    }
    let mut sps = Vec::new();
    for _ in 0..r.u8("numOfArrays")? {
        let nal_unit_type = r.u8("NAL_unit_type")? & 0x3f;
        for _ in 0..r.u16("numNalus")? {
            let length = usize::from(r.u16("nalUnitLength")?);
            let nal = r.take(length, "nalUnit")?;
            if nal_unit_type == NAL_SPS {
                sps.push(nal);
            }
        }
    }
    Ok(Record { sps, avg_frame_rate })
}

pub(super) fn parse(data: &[u8]) -> Result<StreamParams, ParamsError> {
    let record = record(data)?;
    let missing = ParamsError::Missing { record: RECORD, what: "sequence parameter set" };
    let mut params = sps(record.sps.first().ok_or(missing)?)?;
    if params.frame_rate.is_none() && record.avg_frame_rate > 0 {
        params.frame_rate = super::declared_rate(u64::from(record.avg_frame_rate), 256);
    }
    Ok(params)
}

/// A sequence parameter set NAL unit (ITU-T H.265, 7.3.2.2.1).
pub(super) fn sps(nal: &[u8]) -> Result<StreamParams, ParamsError> {
    let nal_unit_type = nal.first().copied().unwrap_or(0) >> 1 & 0x3f;
    if nal_unit_type != NAL_SPS {
        return Err(ParamsError::Value {
            record: SPS,
            field: "nal_unit_type",
            value: u64::from(nal_unit_type),
            bound: "33",
        });
    }
    let data = rbsp(nal, 2);
    let r = &mut BitReader::new(SPS, &data);
    r.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers = r.bits(3, "sps_max_sub_layers_minus1")?;
    r.skip(1, "sps_temporal_id_nesting_flag")?;
    let source_interlaced = profile_tier_level(r, sub_layers)?;
    r.ue_up_to(15, "0 to 15", "sps_seq_parameter_set_id")?;
    let chroma_format_idc = r.ue_up_to(3, "0 to 3", "chroma_format_idc")?;
    let separate_planes = chroma_format_idc == 3 && r.flag("separate_colour_plane_flag")?;
    let width = r.ue_up_to(MAX_CODED_SIDE, "1 to 16384", "pic_width_in_luma_samples")?;
    let height = r.ue_up_to(MAX_CODED_SIDE, "1 to 16384", "pic_height_in_luma_samples")?;
    let chroma = if separate_planes { 0 } else { chroma_format_idc };
    let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 };
    let (mut left_right, mut top_bottom) = (0, 0);
    if r.flag("conformance_window_flag")? {
        left_right = u64::from(r.ue("conf_win_left_offset")?) + u64::from(r.ue("conf_win_right_offset")?);
        top_bottom = u64::from(r.ue("conf_win_top_offset")?) + u64::from(r.ue("conf_win_bottom_offset")?);
    }
    let size = Size {
        width: super::cropped(SPS, "conf_win_right_offset", width, left_right * unit_x)?,
        height: super::cropped(SPS, "conf_win_bottom_offset", height, top_bottom * unit_y)?,
    };
    let bit_depth = 8 + r.ue_up_to(8, "0 to 8", "bit_depth_luma_minus8")?;
    let mut params = StreamParams {
        size,
        sample_aspect_ratio: (1, 1),
        frame_rate: None,
        interlaced: source_interlaced,
        bit_depth: u8::try_from(bit_depth).unwrap_or(8),
    };
    // What comes behind only leads to the VUI; where it breaks off, decoders go on with what they have.
    let _ = to_vui(r, sub_layers, &mut params);
    Ok(params)
}

/// 7.3.3. Whether the source is declared interlaced and not progressive.
fn profile_tier_level(r: &mut BitReader<'_>, sub_layers: u32) -> Result<bool, ParamsError> {
    r.skip(40, "general_profile_compatibility_flag")?;
    let progressive = r.flag("general_progressive_source_flag")?;
    let interlaced = r.flag("general_interlaced_source_flag")?;
    r.skip(46, "general_reserved_zero_43bits")?;
    r.skip(8, "general_level_idc")?;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((r.flag("sub_layer_profile_present_flag")?, r.flag("sub_layer_level_present_flag")?));
    }
    if sub_layers > 0 {
        r.skip(2 * 8usize.saturating_sub(present.len()), "reserved_zero_2bits")?;
    }
    for (profile, level) in present {
        r.skip(if profile { 88 } else { 0 }, "sub_layer_profile_idc")?;
        r.skip(if level { 8 } else { 0 }, "sub_layer_level_idc")?;
    }
    Ok(interlaced && !progressive)
}

fn to_vui(r: &mut BitReader<'_>, sub_layers: u32, params: &mut StreamParams) -> Result<(), ParamsError> {
    r.ue("bit_depth_chroma_minus8")?;
    let poc_bits = 4 + r.ue_up_to(12, "0 to 12", "log2_max_pic_order_cnt_lsb_minus4")?;
    let each = r.flag("sps_sub_layer_ordering_info_present_flag")?;
    for _ in 0..if each { sub_layers + 1 } else { 1 } {
        r.ue("sps_max_dec_pic_buffering_minus1")?;
        r.ue("sps_max_num_reorder_pics")?;
        r.ue("sps_max_latency_increase_plus1")?;
    }
    for field in [
        "log2_min_luma_coding_block_size_minus3",
        "log2_diff_max_min_luma_coding_block_size",
        "log2_min_luma_transform_block_size_minus2",
        "log2_diff_max_min_luma_transform_block_size",
        "max_transform_hierarchy_depth_inter",
        "max_transform_hierarchy_depth_intra",
    ] {
        r.ue(field)?;
    }
    if r.flag("scaling_list_enabled_flag")? && r.flag("sps_scaling_list_data_present_flag")? {
        scaling_list_data(r)?;
    }
    r.skip(2, "sample_adaptive_offset_enabled_flag")?;
    if r.flag("pcm_enabled_flag")? {
        r.skip(8, "pcm_sample_bit_depth_chroma_minus1")?;
        r.ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        r.ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        r.flag("pcm_loop_filter_disabled_flag")?;
    }
    let sets = r.ue_up_to(64, "0 to 64", "num_short_term_ref_pic_sets")?;
    let mut delta_pocs = 0;
    for index in 0..sets {
        delta_pocs = st_ref_pic_set(r, index, delta_pocs)?;
    }
    if r.flag("long_term_ref_pics_present_flag")? {
        for _ in 0..r.ue_up_to(32, "0 to 32", "num_long_term_ref_pics_sps")? {
            r.bits(poc_bits, "lt_ref_pic_poc_lsb_sps")?;
            r.flag("used_by_curr_pic_lt_sps_flag")?;
        }
    }
    r.skip(2, "strong_intra_smoothing_enabled_flag")?;
    if r.flag("vui_parameters_present_flag")? {
        vui(r, params)?;
    }
    Ok(())
}

/// 7.3.4
fn scaling_list_data(r: &mut BitReader<'_>) -> Result<(), ParamsError> {
    for size_id in 0..4u32 {
        for _ in 0..if size_id == 3 { 2 } else { 6 } {
            if !r.flag("scaling_list_pred_mode_flag")? {
                r.ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size_id > 1 {
                r.se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + (size_id << 1))) {
                r.se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// 7.3.7. The set's `NumDeltaPocs`, which the next one may be predicted from.
fn st_ref_pic_set(r: &mut BitReader<'_>, index: u32, previous: u32) -> Result<u32, ParamsError> {
    if index > 0 && r.flag("inter_ref_pic_set_prediction_flag")? {
        r.flag("delta_rps_sign")?;
        r.ue("abs_delta_rps_minus1")?;
        let mut count = 0;
        for _ in 0..=previous {
            let used = r.flag("used_by_curr_pic_flag")?;
            let kept = used || r.flag("use_delta_flag")?;
            count += u32::from(kept);
        }
        return match count {
            count if count > MAX_DELTA_POCS => {
                Err(r.value("use_delta_flag", u64::from(count), "at most 16 set"))
            }
            count => Ok(count),
        };
    }
    let negative = r.ue_up_to(MAX_DELTA_POCS, "0 to 16", "num_negative_pics")?;
    let positive =
        r.ue_up_to(MAX_DELTA_POCS - negative, "0 to 16 with num_negative_pics", "num_positive_pics")?;
    for _ in 0..negative + positive {
        r.ue("delta_poc_minus1")?;
        r.flag("used_by_curr_pic_flag")?;
    }
    Ok(negative + positive)
}

/// E.2.1, as far as timing.
fn vui(r: &mut BitReader<'_>, params: &mut StreamParams) -> Result<(), ParamsError> {
    if r.flag("aspect_ratio_info_present_flag")? {
        params.sample_aspect_ratio = sample_aspect::read(r)?;
    }
    if r.flag("overscan_info_present_flag")? {
        r.flag("overscan_appropriate_flag")?;
    }
    if r.flag("video_signal_type_present_flag")? {
        r.skip(4, "video_full_range_flag")?;
        if r.flag("colour_description_present_flag")? {
            r.skip(24, "matrix_coeffs")?;
        }
    }
    if r.flag("chroma_loc_info_present_flag")? {
        r.ue("chroma_sample_loc_type_top_field")?;
        r.ue("chroma_sample_loc_type_bottom_field")?;
    }
    r.flag("neutral_chroma_indication_flag")?;
    let field_seq = r.flag("field_seq_flag")?;
    params.interlaced |= field_seq;
    r.flag("frame_field_info_present_flag")?;
    if r.flag("default_display_window_flag")? {
        for _ in 0..4 {
            r.ue("def_disp_win_left_offset")?;
        }
    }
    if r.flag("vui_timing_info_present_flag")? {
        let num_units_in_tick = u64::from(r.bits(32, "vui_num_units_in_tick")?);
        let time_scale = u64::from(r.bits(32, "vui_time_scale")?);
        // A tick is a picture, and a picture is a field where field_seq_flag says so (E.3.1).
        let rate: Option<FrameRate> =
            super::declared_rate(time_scale, num_units_in_tick * if field_seq { 2 } else { 1 });
        params.frame_rate = rate;
    }
    Ok(())
}
