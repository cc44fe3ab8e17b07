//! Headers made of the client's parameters: a driver writes them where the client does not, and the client's own are
//! checked against them.

use crate::client::{bit, bits, word};
use crate::encode::hevc::{PictureParameters, Sequence, SliceParameters};
use crate::encode::{Previous, note};
use crate::ffi;
use crate::hevc::{Pps, Profile, SLICE_P, ShortTermSet, SliceHeader, Sps};
use crate::status::{Answer, invalid};

/// log2_max_pic_order_cnt_lsb of streams whose headers the driver writes: the parameters do not say it.
const LOG2_MAX_POC_LSB: u32 = 8;

/// The sequence parameter set that the parameters amount to.
pub(super) fn built_sps(profile: ffi::VAProfile, sequence: &Sequence) -> Answer<Sps> {
    let fields = word(sequence.seq_fields);
    let ten_bit = profile == ffi::VAProfileHEVCMain10;
    let depth = bits(fields, 3, 3) + 8;
    if depth != if ten_bit { 10 } else { 8 } {
        return Err(invalid(format!("bit_depth_luma {depth} in profile {profile}")));
    }
    let sps = Sps {
        profile: Profile {
            idc: sequence.general_profile_idc.into(),
            tier: sequence.general_tier_flag != 0,
            level_idc: sequence.general_level_idc.into(),
        },
        chroma_format_idc: 1,
        width: sequence.pic_width_in_luma_samples.into(),
        height: sequence.pic_height_in_luma_samples.into(),
        bit_depth_luma: depth,
        bit_depth_chroma: bits(fields, 6, 3) + 8,
        log2_max_poc_lsb: LOG2_MAX_POC_LSB,
        max_dec_pic_buffering_minus1: 1,
        log2_min_coding_block: u32::from(sequence.log2_min_luma_coding_block_size_minus3) + 3,
        log2_diff_coding_block: sequence.log2_diff_max_min_luma_coding_block_size.into(),
        log2_min_transform_block: u32::from(sequence.log2_min_transform_block_size_minus2) + 2,
        log2_diff_transform_block: sequence.log2_diff_max_min_transform_block_size.into(),
        depth_inter: sequence.max_transform_hierarchy_depth_inter.into(),
        depth_intra: sequence.max_transform_hierarchy_depth_intra.into(),
        scaling_list_enabled: bit(fields, 9),
        strong_intra_smoothing: bit(fields, 10),
        amp: bit(fields, 11),
        sao: bit(fields, 12),
        temporal_mvp: bit(fields, 15),
        ..Sps::default()
    };
    let tree = sps.log2_min_coding_block + sps.log2_diff_coding_block;
    let transform = sps.log2_min_transform_block + sps.log2_diff_transform_block;
    if !(4..=6).contains(&tree) || !(3..=6).contains(&sps.log2_min_coding_block) || transform > 5 {
        return Err(invalid(format!("coding tree blocks of 2^{tree}, transform blocks of 2^{transform}")));
    }
    let block = 1 << sps.log2_min_coding_block;
    if !sps.width.is_multiple_of(block) || !sps.height.is_multiple_of(block) || sps.width * sps.height == 0 {
        return Err(invalid(format!("{}x{} samples in coding blocks of {block}", sps.width, sps.height)));
    }
    Ok(sps)
}

/// The picture parameter set that the parameters amount to.
pub(super) fn built_pps(parameters: &PictureParameters) -> Pps {
    let fields = word(parameters.pic_fields);
    Pps {
        id: parameters.slice_pic_parameter_set_id.into(),
        dependent_slice_segments: bit(fields, 5),
        sign_data_hiding: bit(fields, 6),
        num_ref_idx_default: [
            u32::from(parameters.num_ref_idx_l0_default_active_minus1) + 1,
            u32::from(parameters.num_ref_idx_l1_default_active_minus1) + 1,
        ],
        init_qp_minus26: i32::from(parameters.pic_init_qp) - 26,
        constrained_intra_pred: bit(fields, 7),
        transform_skip: bit(fields, 8),
        cu_qp_delta_depth: bit(fields, 9).then_some(parameters.diff_cu_qp_delta_depth.into()),
        cb_qp_offset: parameters.pps_cb_qp_offset.into(),
        cr_qp_offset: parameters.pps_cr_qp_offset.into(),
        slice_chroma_qp_offsets_present: true,
        weighted_pred: bit(fields, 10),
        weighted_bipred: bit(fields, 11),
        transquant_bypass: bit(fields, 12),
        entropy_coding_sync: bit(fields, 14),
        loop_filter_across_slices: bit(fields, 16),
        deblocking_override_enabled: true,
        log2_parallel_merge_level: u32::from(parameters.log2_parallel_merge_level_minus2) + 2,
        ..Pps::default()
    }
}

/// The slice header that the parameters amount to.
pub(super) fn built_slice_header(
    sps: &Sps,
    parameters: &PictureParameters,
    slice: &SliceParameters,
    previous: Option<Previous>,
) -> SliceHeader {
    let fields = word(slice.slice_fields);
    let poc = parameters.decoded_curr_pic.pic_order_cnt;
    let idr = bit(word(parameters.pic_fields), 0);
    let kind = u32::from(slice.slice_type);
    let before = previous.filter(|_| !idr).map(|previous| (previous.poc - poc, kind == SLICE_P));
    let lsb = poc & ((1 << sps.log2_max_poc_lsb) - 1);
    SliceHeader {
        nal_unit_type: parameters.nal_unit_type.into(),
        first_in_picture: true,
        pps_id: slice.slice_pic_parameter_set_id.into(),
        slice_type: kind,
        pic_output: true,
        poc_lsb: if idr { 0 } else { u32::try_from(lsb).unwrap_or(0) },
        short_term: ShortTermSet { before: before.into_iter().collect(), after: Vec::new() },
        temporal_mvp: !idr && sps.temporal_mvp && bit(fields, 4),
        sao_luma: sps.sao && bit(fields, 5),
        sao_chroma: sps.sao && bit(fields, 6),
        num_ref_idx_override: kind == SLICE_P && parameters.num_ref_idx_l0_default_active_minus1 != 0,
        num_ref_idx_active: if kind == SLICE_P { [1, 0] } else { [0, 0] },
        max_num_merge_cand: slice.max_num_merge_cand.clamp(1, 5).into(),
        slice_qp_delta: slice.slice_qp_delta.into(),
        cb_qp_offset: slice.slice_cb_qp_offset.into(),
        cr_qp_offset: slice.slice_cr_qp_offset.into(),
        deblocking_override: bits(fields, 10, 2) != 0
            || slice.slice_beta_offset_div2 != 0
            || slice.slice_tc_offset_div2 != 0,
        deblocking_disabled: bits(fields, 10, 2) != 0,
        beta_offset_div2: slice.slice_beta_offset_div2.into(),
        tc_offset_div2: slice.slice_tc_offset_div2.into(),
        loop_filter_across_slices: bit(fields, 12),
        ..SliceHeader::default()
    }
}

/// What of a client's own parameter set the device must know as well.
pub(super) fn note_sps_differences(own: &Sps, built: &Sps, notes: &mut Vec<String>) {
    let flag = u32::from;
    let pairs = [
        ("general_profile_idc", own.profile.idc, built.profile.idc),
        ("general_level_idc", own.profile.level_idc, built.profile.level_idc),
        ("pic_width_in_luma_samples", own.width, built.width),
        ("pic_height_in_luma_samples", own.height, built.height),
        ("bit_depth_luma", own.bit_depth_luma, built.bit_depth_luma),
        ("log2_min_luma_coding_block_size", own.log2_min_coding_block, built.log2_min_coding_block),
        (
            "log2_diff_max_min_luma_coding_block_size",
            own.log2_diff_coding_block,
            built.log2_diff_coding_block,
        ),
        ("log2_min_transform_block_size", own.log2_min_transform_block, built.log2_min_transform_block),
        (
            "log2_diff_max_min_transform_block_size",
            own.log2_diff_transform_block,
            built.log2_diff_transform_block,
        ),
        ("max_transform_hierarchy_depth_inter", own.depth_inter, built.depth_inter),
        ("max_transform_hierarchy_depth_intra", own.depth_intra, built.depth_intra),
        ("amp_enabled_flag", flag(own.amp), flag(built.amp)),
        ("sample_adaptive_offset_enabled_flag", flag(own.sao), flag(built.sao)),
        ("sps_temporal_mvp_enabled_flag", flag(own.temporal_mvp), flag(built.temporal_mvp)),
        (
            "strong_intra_smoothing_enabled_flag",
            flag(own.strong_intra_smoothing),
            flag(built.strong_intra_smoothing),
        ),
    ];
    note("SPS", &pairs, notes);
}

/// See [`note_sps_differences`].
pub(super) fn note_pps_differences(own: &Pps, built: &Pps, notes: &mut Vec<String>) {
    let flag = i64::from;
    let depth = |depth: Option<u32>| depth.map_or(-1, i64::from);
    let pairs = [
        ("pps_pic_parameter_set_id", own.id.into(), built.id.into()),
        ("init_qp_minus26", own.init_qp_minus26.into(), built.init_qp_minus26.into()),
        ("sign_data_hiding_enabled_flag", flag(own.sign_data_hiding), flag(built.sign_data_hiding)),
        ("constrained_intra_pred_flag", flag(own.constrained_intra_pred), flag(built.constrained_intra_pred)),
        ("transform_skip_enabled_flag", flag(own.transform_skip), flag(built.transform_skip)),
        ("diff_cu_qp_delta_depth", depth(own.cu_qp_delta_depth), depth(built.cu_qp_delta_depth)),
        ("pps_cb_qp_offset", own.cb_qp_offset.into(), built.cb_qp_offset.into()),
        ("pps_cr_qp_offset", own.cr_qp_offset.into(), built.cr_qp_offset.into()),
        ("weighted_pred_flag", flag(own.weighted_pred), flag(built.weighted_pred)),
    ];
    note("PPS", &pairs, notes);
}
