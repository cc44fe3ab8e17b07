//! What the driver is told of an HEVC picture.

use super::dpb::{Dpb, Entry, Mark};
use super::pps::Pps;
use super::scaling::ScalingListData;
use super::slice::{PredWeightTable, SliceHeader, SliceType, Weights};
use super::sps::Sps;
use super::{Coding, Shown};
use crate::ffi::va;
use crate::ffi::words::{HevcLongSliceFlags, HevcPicFields, HevcSliceParsingFields};

/// An entry of a list that there is not.
const NO_ENTRY: u8 = 0xff;

/// No picture.
const NONE: va::VAPictureHEVC = va::VAPictureHEVC {
    picture_id: va::VA_INVALID_SURFACE,
    pic_order_cnt: 0,
    flags: va::VA_PICTURE_HEVC_INVALID,
    va_reserved: [0; 4],
};

/// Places in the buffer of the pictures of `ReferenceFrames`, in its order.
fn referred(dpb: &Dpb<Shown>) -> impl Iterator<Item = (usize, &Entry<Shown>)> {
    dpb.entries().iter().enumerate().filter(|(_, entry)| entry.mark != Mark::Unused).take(15)
}

pub(super) fn picture(
    sps: &Sps,
    pps: &Pps,
    dpb: &Dpb<Shown>,
    coding: &Coding,
    slice: &SliceHeader,
) -> va::VAPictureParameterBufferHEVC {
    let mut reference_frames = [NONE; 15];
    let set = &coding.set;
    for (target, (at, entry)) in reference_frames.iter_mut().zip(referred(dpb)) {
        let of = |list: &[Option<usize>], flag: u32| if list.contains(&Some(at)) { flag } else { 0 };
        let long = if entry.mark == Mark::LongTerm { va::VA_PICTURE_HEVC_LONG_TERM_REFERENCE } else { 0 };
        *target = va::VAPictureHEVC {
            picture_id: entry.picture.frame.0.surface.id(),
            pic_order_cnt: entry.count,
            flags: long
                | of(&set.before, va::VA_PICTURE_HEVC_RPS_ST_CURR_BEFORE)
                | of(&set.after, va::VA_PICTURE_HEVC_RPS_ST_CURR_AFTER)
                | of(&set.long_term, va::VA_PICTURE_HEVC_RPS_LT_CURR),
            ..NONE
        };
    }
    let pcm = sps.pcm.unwrap_or_default();
    let mut p = va::VAPictureParameterBufferHEVC {
        CurrPic: va::VAPictureHEVC {
            picture_id: coding.surface.id(),
            pic_order_cnt: coding.count,
            flags: 0,
            ..NONE
        },
        ReferenceFrames: reference_frames,
        pic_width_in_luma_samples: sps.pic_width_in_luma_samples,
        pic_height_in_luma_samples: sps.pic_height_in_luma_samples,
        sps_max_dec_pic_buffering_minus1: sps.sps_max_dec_pic_buffering_minus1,
        bit_depth_luma_minus8: sps.bit_depth_luma_minus8,
        bit_depth_chroma_minus8: sps.bit_depth_chroma_minus8,
        pcm_sample_bit_depth_luma_minus1: pcm.pcm_sample_bit_depth_luma_minus1,
        pcm_sample_bit_depth_chroma_minus1: pcm.pcm_sample_bit_depth_chroma_minus1,
        log2_min_luma_coding_block_size_minus3: sps.log2_min_luma_coding_block_size_minus3,
        log2_diff_max_min_luma_coding_block_size: sps.log2_diff_max_min_luma_coding_block_size,
        log2_min_transform_block_size_minus2: sps.log2_min_luma_transform_block_size_minus2,
        log2_diff_max_min_transform_block_size: sps.log2_diff_max_min_luma_transform_block_size,
        log2_min_pcm_luma_coding_block_size_minus3: pcm.log2_min_pcm_luma_coding_block_size_minus3,
        log2_diff_max_min_pcm_luma_coding_block_size: pcm.log2_diff_max_min_pcm_luma_coding_block_size,
        max_transform_hierarchy_depth_intra: sps.max_transform_hierarchy_depth_intra,
        max_transform_hierarchy_depth_inter: sps.max_transform_hierarchy_depth_inter,
        init_qp_minus26: pps.init_qp_minus26,
        diff_cu_qp_delta_depth: pps.diff_cu_qp_delta_depth,
        pps_cb_qp_offset: pps.pps_cb_qp_offset,
        pps_cr_qp_offset: pps.pps_cr_qp_offset,
        log2_parallel_merge_level_minus2: pps.log2_parallel_merge_level_minus2,
        log2_max_pic_order_cnt_lsb_minus4: sps.log2_max_pic_order_cnt_lsb_minus4,
        num_short_term_ref_pic_sets: u8::try_from(sps.short_term_ref_pic_sets.len()).unwrap_or(0),
        num_long_term_ref_pic_sps: u8::try_from(sps.long_term_ref_pics.len()).unwrap_or(0),
        num_ref_idx_l0_default_active_minus1: pps.num_ref_idx_default_active_minus1[0],
        num_ref_idx_l1_default_active_minus1: pps.num_ref_idx_default_active_minus1[1],
        pps_beta_offset_div2: pps.pps_beta_offset_div2,
        pps_tc_offset_div2: pps.pps_tc_offset_div2,
        num_extra_slice_header_bits: pps.num_extra_slice_header_bits,
        st_rps_bits: slice.shared.st_rps_bits,
        ..Default::default()
    };
    tiles(&mut p, sps, pps);
    p.pic_fields._bindgen_opaque_blob = pic_fields(sps, pps).pack();
    p.slice_parsing_fields._bindgen_opaque_blob = slice_parsing_fields(sps, pps, slice).pack();
    p
}

fn pic_fields(sps: &Sps, pps: &Pps) -> HevcPicFields {
    HevcPicFields {
        chroma_format_idc: u32::from(sps.chroma_format_idc),
        separate_colour_plane_flag: u32::from(sps.separate_colour_plane_flag),
        pcm_enabled_flag: u32::from(sps.pcm.is_some()),
        scaling_list_enabled_flag: u32::from(sps.scaling_list_enabled_flag),
        transform_skip_enabled_flag: u32::from(pps.transform_skip_enabled_flag),
        amp_enabled_flag: u32::from(sps.amp_enabled_flag),
        strong_intra_smoothing_enabled_flag: u32::from(sps.strong_intra_smoothing_enabled_flag),
        sign_data_hiding_enabled_flag: u32::from(pps.sign_data_hiding_enabled_flag),
        constrained_intra_pred_flag: u32::from(pps.constrained_intra_pred_flag),
        cu_qp_delta_enabled_flag: u32::from(pps.cu_qp_delta_enabled_flag),
        weighted_pred_flag: u32::from(pps.weighted_pred_flag),
        weighted_bipred_flag: u32::from(pps.weighted_bipred_flag),
        transquant_bypass_enabled_flag: u32::from(pps.transquant_bypass_enabled_flag),
        tiles_enabled_flag: u32::from(pps.tiles.is_some()),
        entropy_coding_sync_enabled_flag: u32::from(pps.entropy_coding_sync_enabled_flag),
        pps_loop_filter_across_slices_enabled_flag: u32::from(pps.pps_loop_filter_across_slices_enabled_flag),
        loop_filter_across_tiles_enabled_flag: u32::from(
            pps.tiles.as_ref().is_some_and(|tiles| tiles.loop_filter_across_tiles_enabled_flag),
        ),
        pcm_loop_filter_disabled_flag: u32::from(
            sps.pcm.is_some_and(|pcm| pcm.pcm_loop_filter_disabled_flag),
        ),
        NoPicReorderingFlag: u32::from(sps.sps_max_num_reorder_pics == 0),
        // Known only behind the last slice; 0 is always true.
        NoBiPredFlag: 0,
    }
}

fn slice_parsing_fields(sps: &Sps, pps: &Pps, slice: &SliceHeader) -> HevcSliceParsingFields {
    HevcSliceParsingFields {
        lists_modification_present_flag: u32::from(pps.lists_modification_present_flag),
        long_term_ref_pics_present_flag: u32::from(sps.long_term_ref_pics_present_flag),
        sps_temporal_mvp_enabled_flag: u32::from(sps.sps_temporal_mvp_enabled_flag),
        cabac_init_present_flag: u32::from(pps.cabac_init_present_flag),
        output_flag_present_flag: u32::from(pps.output_flag_present_flag),
        dependent_slice_segments_enabled_flag: u32::from(pps.dependent_slice_segments_enabled_flag),
        pps_slice_chroma_qp_offsets_present_flag: u32::from(pps.pps_slice_chroma_qp_offsets_present_flag),
        sample_adaptive_offset_enabled_flag: u32::from(sps.sample_adaptive_offset_enabled_flag),
        deblocking_filter_override_enabled_flag: u32::from(pps.deblocking_filter_override_enabled_flag),
        pps_disable_deblocking_filter_flag: u32::from(pps.pps_deblocking_filter_disabled_flag),
        slice_segment_header_extension_present_flag: u32::from(
            pps.slice_segment_header_extension_present_flag,
        ),
        RapPicFlag: u32::from(slice.unit_type.is_irap()),
        IdrPicFlag: u32::from(slice.unit_type.is_idr()),
        // Random access points have I slices alone.
        IntraPicFlag: u32::from(slice.unit_type.is_irap()),
    }
}

/// Widths and heights of tiles, those with uniform spacing too (6-3, 6-4).
fn tiles(p: &mut va::VAPictureParameterBufferHEVC, sps: &Sps, pps: &Pps) {
    let Some(tiles) = &pps.tiles else { return };
    p.num_tile_columns_minus1 = tiles.num_tile_columns_minus1;
    p.num_tile_rows_minus1 = tiles.num_tile_rows_minus1;
    let (width, height) = sps.size_in_ctbs();
    let fill = |target: &mut [u16], count: u8, whole: u32, own: Option<&Vec<u16>>| {
        let count = u32::from(count) + 1;
        let mut rest = whole;
        for (index, size) in (0..count).zip(target.iter_mut()) {
            let given = own.and_then(|list| list.get(usize::try_from(index).unwrap_or(usize::MAX)));
            let blocks = match (own, given) {
                (None, _) => (index + 1) * whole / count - index * whole / count,
                (Some(_), Some(minus1)) => u32::from(*minus1) + 1,
                // The last one is what is left.
                (Some(_), None) => rest,
            };
            rest = rest.saturating_sub(blocks);
            *size = u16::try_from(blocks.saturating_sub(1)).unwrap_or(0);
        }
    };
    let spacing = tiles.spacing.as_ref();
    fill(&mut p.column_width_minus1, tiles.num_tile_columns_minus1, width, spacing.map(|s| &s.0));
    fill(&mut p.row_height_minus1, tiles.num_tile_rows_minus1, height, spacing.map(|s| &s.1));
}

/// None where scaling lists are not in use.
pub(super) fn matrix(sps: &Sps, pps: &Pps) -> Option<va::VAIQMatrixBufferHEVC> {
    if !sps.scaling_list_enabled_flag {
        return None;
    }
    let defaults = ScalingListData::default();
    let lists = pps.scaling_list_data.as_ref().or(sps.scaling_list_data.as_ref()).unwrap_or(&defaults);
    Some(va::VAIQMatrixBufferHEVC {
        ScalingList4x4: std::array::from_fn(|matrix| lists.raster(0, matrix)),
        ScalingList8x8: std::array::from_fn(|matrix| lists.raster(1, matrix)),
        ScalingList16x16: std::array::from_fn(|matrix| lists.raster(2, matrix)),
        ScalingList32x32: [lists.raster(3, 0), lists.raster(3, 3)],
        ScalingListDC16x16: std::array::from_fn(|matrix| lists.dc(2, matrix)),
        ScalingListDC32x32: [lists.dc(3, 0), lists.dc(3, 3)],
        ..Default::default()
    })
}

pub(super) fn slice(
    slice: &SliceHeader,
    dpb: &Dpb<Shown>,
    lists: &[Vec<Option<usize>>; 2],
    bytes: usize,
    emulation_bytes: usize,
) -> (va::VASliceParameterBufferHEVC, HevcLongSliceFlags) {
    let shared = &slice.shared;
    let mut ref_pic_list = [[NO_ENTRY; 15]; 2];
    for (target, list) in ref_pic_list.iter_mut().zip(lists) {
        for (index, at) in target.iter_mut().zip(list) {
            let found = referred(dpb).position(|(place, _)| Some(place) == *at);
            *index = found.and_then(|found| u8::try_from(found).ok()).unwrap_or(NO_ENTRY);
        }
    }
    let active = |list: usize, used: bool| if used { shared.num_ref_idx_active_minus1[list] } else { 0 };
    let small = |value: usize| u16::try_from(value).unwrap_or(0);
    let mut p = va::VASliceParameterBufferHEVC {
        slice_data_size: u32::try_from(bytes).unwrap_or(u32::MAX),
        slice_data_flag: va::VA_SLICE_DATA_FLAG_ALL,
        slice_data_byte_offset: u32::try_from(slice.header_bytes).unwrap_or(u32::MAX),
        slice_segment_address: slice.slice_segment_address,
        RefPicList: ref_pic_list,
        collocated_ref_idx: if shared.slice_temporal_mvp_enabled_flag && shared.slice_type != SliceType::I {
            shared.collocated_ref_idx
        } else {
            NO_ENTRY
        },
        num_ref_idx_l0_active_minus1: active(0, shared.slice_type != SliceType::I),
        num_ref_idx_l1_active_minus1: active(1, shared.slice_type == SliceType::B),
        slice_qp_delta: shared.slice_qp_delta,
        slice_cb_qp_offset: shared.slice_cb_qp_offset,
        slice_cr_qp_offset: shared.slice_cr_qp_offset,
        slice_beta_offset_div2: shared.slice_beta_offset_div2,
        slice_tc_offset_div2: shared.slice_tc_offset_div2,
        five_minus_max_num_merge_cand: shared.five_minus_max_num_merge_cand,
        num_entry_point_offsets: slice.num_entry_point_offsets,
        slice_data_num_emu_prevn_bytes: small(emulation_bytes),
        ..Default::default()
    };
    let flags = HevcLongSliceFlags {
        LastSliceOfPic: 0,
        dependent_slice_segment_flag: u32::from(slice.dependent_slice_segment_flag),
        slice_type: match shared.slice_type {
            SliceType::B => 0,
            SliceType::P => 1,
            SliceType::I => 2,
        },
        color_plane_id: 0,
        slice_sao_luma_flag: u32::from(shared.slice_sao_luma_flag),
        slice_sao_chroma_flag: u32::from(shared.slice_sao_chroma_flag),
        mvd_l1_zero_flag: u32::from(shared.mvd_l1_zero_flag),
        cabac_init_flag: u32::from(shared.cabac_init_flag),
        slice_temporal_mvp_enabled_flag: u32::from(shared.slice_temporal_mvp_enabled_flag),
        slice_deblocking_filter_disabled_flag: u32::from(shared.slice_deblocking_filter_disabled_flag),
        collocated_from_l0_flag: u32::from(shared.collocated_from_l0_flag),
        slice_loop_filter_across_slices_enabled_flag: u32::from(
            shared.slice_loop_filter_across_slices_enabled_flag,
        ),
    };
    if let Some(table) = &shared.pred_weight_table {
        weights(&mut p, table);
    }
    (p, flags)
}

/// Writes the flags of a slice once it is known whether it is the picture's last.
pub(super) fn finish(p: &mut va::VASliceParameterBufferHEVC, flags: HevcLongSliceFlags, last: bool) {
    let flags = HevcLongSliceFlags { LastSliceOfPic: u32::from(last), ..flags };
    p.LongSliceFlags._bindgen_opaque_blob = flags.pack();
}

fn weights(p: &mut va::VASliceParameterBufferHEVC, table: &PredWeightTable) {
    p.luma_log2_weight_denom = table.luma_log2_weight_denom;
    p.delta_chroma_log2_weight_denom = table.delta_chroma_log2_weight_denom;
    let [first, second] = &table.lists;
    fill(
        first,
        (&mut p.delta_luma_weight_l0, &mut p.luma_offset_l0),
        (&mut p.delta_chroma_weight_l0, &mut p.ChromaOffsetL0),
    );
    fill(
        second,
        (&mut p.delta_luma_weight_l1, &mut p.luma_offset_l1),
        (&mut p.delta_chroma_weight_l1, &mut p.ChromaOffsetL1),
    );
}

fn fill(
    weights: &Weights,
    luma: (&mut [i8; 15], &mut [i8; 15]),
    chroma: (&mut [[i8; 2]; 15], &mut [[i8; 2]; 15]),
) {
    for (at, (weight, offset)) in weights.luma.iter().enumerate().take(15) {
        (luma.0[at], luma.1[at]) = (*weight, *offset);
    }
    for (at, [blue, red]) in weights.chroma.iter().enumerate().take(15) {
        chroma.0[at] = [blue.0, red.0];
        chroma.1[at] = [blue.1, red.1];
    }
}
