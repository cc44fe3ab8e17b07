//! Headers made of the client's parameters: a driver writes them where the client does not, and the client's own are
//! checked against them.

use crate::client::{bit, bits, word};
use crate::encode::h264::{PictureParameters, Sequence, SliceParameters};
use crate::encode::note;
use crate::ffi;
use crate::h264::{NAL_IDR, NAL_SLICE, Pps, SLICE_P, SliceHeader, Sps};

/// The sequence parameter set that the parameters amount to.
pub(super) fn built_sps(profile: ffi::VAProfile, sequence: &Sequence) -> Sps {
    let fields = word(sequence.seq_fields);
    // Annex A: constrained baseline is baseline with constraint_set1_flag.
    let (profile_idc, constraint_flags) = match profile {
        ffi::VAProfileH264ConstrainedBaseline => (66, 0x40),
        ffi::VAProfileH264Main => (77, 0x40),
        _ => (100, 0),
    };
    let timing = bit(word(sequence.vui_fields), 1) && sequence.vui_parameters_present_flag != 0;
    Sps {
        profile_idc,
        constraint_flags,
        level_idc: sequence.level_idc.into(),
        id: sequence.seq_parameter_set_id.into(),
        chroma_format_idc: 1,
        log2_max_frame_num: bits(fields, 6, 4) + 4,
        pic_order_cnt_type: bits(fields, 10, 2),
        log2_max_pic_order_cnt_lsb: bits(fields, 12, 4) + 4,
        delta_pic_order_always_zero_flag: bit(fields, 16),
        max_num_ref_frames: sequence.max_num_ref_frames,
        width_in_mbs: sequence.picture_width_in_mbs.max(1).into(),
        height_in_map_units: sequence.picture_height_in_mbs.max(1).into(),
        frame_mbs_only: bit(fields, 2),
        direct_8x8_inference: bit(fields, 5),
        crop: (sequence.frame_cropping_flag != 0).then_some([
            sequence.frame_crop_left_offset,
            sequence.frame_crop_right_offset,
            sequence.frame_crop_top_offset,
            sequence.frame_crop_bottom_offset,
        ]),
        timing: timing.then_some((sequence.num_units_in_tick, sequence.time_scale)),
        ..Sps::default()
    }
}

/// The picture parameter set that the parameters amount to.
pub(super) fn built_pps(parameters: &PictureParameters) -> Pps {
    let fields = word(parameters.pic_fields);
    Pps {
        id: parameters.pic_parameter_set_id.into(),
        sps_id: parameters.seq_parameter_set_id.into(),
        entropy_coding_mode: bit(fields, 3),
        pic_order_present: bit(fields, 11),
        num_ref_idx_default: [
            u32::from(parameters.num_ref_idx_l0_active_minus1) + 1,
            u32::from(parameters.num_ref_idx_l1_active_minus1) + 1,
        ],
        weighted_pred: bit(fields, 4),
        weighted_bipred_idc: bits(fields, 5, 2),
        pic_init_qp_minus26: i32::from(parameters.pic_init_qp) - 26,
        chroma_qp_index_offset: parameters.chroma_qp_index_offset.into(),
        second_chroma_qp_index_offset: parameters.second_chroma_qp_index_offset.into(),
        deblocking_filter_control_present: bit(fields, 9),
        constrained_intra_pred: bit(fields, 7),
        redundant_pic_cnt_present: bit(fields, 10),
        transform_8x8_mode: bit(fields, 8),
        ..Pps::default()
    }
}

/// The slice header that the parameters amount to.
pub(super) fn built_slice_header(
    sps: &Sps,
    pps: &Pps,
    parameters: &PictureParameters,
    slice: &SliceParameters,
) -> SliceHeader {
    let fields = word(parameters.pic_fields);
    let idr = bit(fields, 0);
    SliceHeader {
        nal_ref_idc: bits(fields, 1, 2),
        nal_unit_type: if idr { NAL_IDR } else { NAL_SLICE },
        first_mb: slice.macroblock_address,
        slice_type: slice.slice_type.into(),
        pps_id: slice.pic_parameter_set_id.into(),
        frame_num: u32::from(parameters.frame_num) & ((1 << sps.log2_max_frame_num) - 1),
        idr_pic_id: if idr { slice.idr_pic_id.into() } else { 0 },
        pic_order_cnt_lsb: if sps.pic_order_cnt_type == 0 { slice.pic_order_cnt_lsb.into() } else { 0 },
        num_ref_idx_override: slice.num_ref_idx_active_override_flag != 0,
        num_ref_idx_active: if u32::from(slice.slice_type) % 5 == SLICE_P { [1, 0] } else { [0, 0] },
        cabac_init_idc: if pps.entropy_coding_mode { slice.cabac_init_idc.into() } else { 0 },
        slice_qp_delta: slice.slice_qp_delta.into(),
        disable_deblocking_filter_idc: slice.disable_deblocking_filter_idc.into(),
        alpha_c0_offset_div2: slice.slice_alpha_c0_offset_div2.into(),
        beta_offset_div2: slice.slice_beta_offset_div2.into(),
        ..SliceHeader::default()
    }
}

/// What of a client's own parameter set the device must know as well.
pub(super) fn note_sps_differences(own: &Sps, built: &Sps, notes: &mut Vec<String>) {
    let flag = u32::from;
    let pairs = [
        ("seq_parameter_set_id", own.id, built.id),
        ("level_idc", own.level_idc, built.level_idc),
        ("log2_max_frame_num", own.log2_max_frame_num, built.log2_max_frame_num),
        ("pic_order_cnt_type", own.pic_order_cnt_type, built.pic_order_cnt_type),
        ("pic_width_in_mbs", own.width_in_mbs, built.width_in_mbs),
        ("pic_height_in_map_units", own.height_in_map_units, built.height_in_map_units),
        ("frame_mbs_only_flag", flag(own.frame_mbs_only), flag(built.frame_mbs_only)),
        ("direct_8x8_inference_flag", flag(own.direct_8x8_inference), flag(built.direct_8x8_inference)),
        ("max_num_ref_frames", own.max_num_ref_frames, built.max_num_ref_frames),
    ];
    note("SPS", &pairs, notes);
    if own.pic_order_cnt_type == 0 && own.log2_max_pic_order_cnt_lsb != built.log2_max_pic_order_cnt_lsb {
        let pair =
            ("log2_max_pic_order_cnt_lsb", own.log2_max_pic_order_cnt_lsb, built.log2_max_pic_order_cnt_lsb);
        note("SPS", &[pair], notes);
    }
}

/// See [`note_sps_differences`].
pub(super) fn note_pps_differences(own: &Pps, built: &Pps, notes: &mut Vec<String>) {
    let flag = i64::from;
    let pairs = [
        ("pic_parameter_set_id", own.id.into(), built.id.into()),
        ("entropy_coding_mode_flag", flag(own.entropy_coding_mode), flag(built.entropy_coding_mode)),
        ("pic_init_qp_minus26", own.pic_init_qp_minus26.into(), built.pic_init_qp_minus26.into()),
        ("chroma_qp_index_offset", own.chroma_qp_index_offset.into(), built.chroma_qp_index_offset.into()),
        ("transform_8x8_mode_flag", flag(own.transform_8x8_mode), flag(built.transform_8x8_mode)),
        ("constrained_intra_pred_flag", flag(own.constrained_intra_pred), flag(built.constrained_intra_pred)),
        ("weighted_pred_flag", flag(own.weighted_pred), flag(built.weighted_pred)),
        (
            "deblocking_filter_control_present_flag",
            flag(own.deblocking_filter_control_present),
            flag(built.deblocking_filter_control_present),
        ),
    ];
    note("PPS", &pairs, notes);
}
