//! What the driver is told of an H.264 picture.

use super::dpb::{Dpb, Entry};
use super::lists::Reference;
use super::pps::Pps;
use super::scaling::ScalingLists;
use super::slice::{PredWeightTable, SliceHeader, SliceType, Structure, Weights};
use super::sps::Sps;
use super::{Coding, Shown};
use crate::ffi::va;
use crate::ffi::words::{H264PicFields, H264SeqFields};

/// No picture.
const NONE: va::VAPictureH264 = va::VAPictureH264 {
    picture_id: va::VA_INVALID_SURFACE,
    frame_idx: 0,
    flags: va::VA_PICTURE_H264_INVALID,
    TopFieldOrderCnt: 0,
    BottomFieldOrderCnt: 0,
    va_reserved: [0; 4],
};

/// An entry of the buffer, or fields of it.
fn reference(entry: &Entry<Shown>, fields: u8) -> va::VAPictureH264 {
    let long = entry.long & fields != 0;
    let mark =
        if long { va::VA_PICTURE_H264_LONG_TERM_REFERENCE } else { va::VA_PICTURE_H264_SHORT_TERM_REFERENCE };
    va::VAPictureH264 {
        picture_id: entry.picture.frame.0.surface.id(),
        frame_idx: if long { entry.long_term_frame_idx } else { entry.frame_num },
        flags: mark | field_flags(fields),
        TopFieldOrderCnt: if entry.fields & 1 != 0 { entry.counts[0] } else { 0 },
        BottomFieldOrderCnt: if entry.fields & 2 != 0 { entry.counts[1] } else { 0 },
        ..NONE
    }
}

/// A frame has neither flag.
const fn field_flags(fields: u8) -> u32 {
    match fields {
        1 => va::VA_PICTURE_H264_TOP_FIELD,
        2 => va::VA_PICTURE_H264_BOTTOM_FIELD,
        _ => 0,
    }
}

pub(super) fn picture(
    sps: &Sps,
    pps: &Pps,
    dpb: &Dpb<Shown>,
    coding: &Coding,
) -> va::VAPictureParameterBufferH264 {
    let (first, current) = (&coding.first, &coding.current);
    let second = dpb.pair_of(first.structure, first.frame_num, first.idr).is_some();
    // Of a frame, and of a second field, both counts are known.
    let known = if second { 3 } else { first.structure.fields() };
    let count = |field: u8, count: i32| if known & field != 0 { count } else { 0 };
    let marked = if current.reference { va::VA_PICTURE_H264_SHORT_TERM_REFERENCE } else { 0 };
    let mut reference_frames = [NONE; 16];
    let kept = dpb.entries().iter().filter(|entry| entry.is_reference() && !entry.non_existing);
    for (target, entry) in reference_frames.iter_mut().zip(kept) {
        *target = reference(entry, entry.short | entry.long);
    }
    let mut parameters = va::VAPictureParameterBufferH264 {
        CurrPic: va::VAPictureH264 {
            picture_id: coding.surface.id(),
            frame_idx: first.frame_num,
            flags: marked | field_flags(first.structure.fields()),
            TopFieldOrderCnt: count(1, current.counts[0]),
            BottomFieldOrderCnt: count(2, current.counts[1]),
            ..NONE
        },
        ReferenceFrames: reference_frames,
        picture_width_in_mbs_minus1: sps.pic_width_in_mbs - 1,
        picture_height_in_mbs_minus1: sps.frame_height_in_mbs() - 1,
        bit_depth_luma_minus8: sps.bit_depth_luma_minus8,
        bit_depth_chroma_minus8: sps.bit_depth_chroma_minus8,
        num_ref_frames: sps.max_num_ref_frames,
        pic_init_qp_minus26: pps.pic_init_qp_minus26,
        pic_init_qs_minus26: pps.pic_init_qs_minus26,
        chroma_qp_index_offset: pps.chroma_qp_index_offset,
        second_chroma_qp_index_offset: pps.second_chroma_qp_index_offset,
        frame_num: u16::try_from(first.frame_num).unwrap_or(0),
        ..Default::default()
    };
    parameters.seq_fields._bindgen_opaque_blob = H264SeqFields {
        chroma_format_idc: u32::from(sps.chroma_format_idc),
        residual_colour_transform_flag: u32::from(sps.separate_colour_plane_flag),
        gaps_in_frame_num_value_allowed_flag: u32::from(sps.gaps_in_frame_num_value_allowed_flag),
        frame_mbs_only_flag: u32::from(sps.frame_mbs_only_flag),
        mb_adaptive_frame_field_flag: u32::from(sps.mb_adaptive_frame_field_flag),
        direct_8x8_inference_flag: u32::from(sps.direct_8x8_inference_flag),
        // A.3.3.2: from level 3.1 on.
        MinLumaBiPredSize8x8: u32::from(sps.level_idc >= 31),
        log2_max_frame_num_minus4: u32::from(sps.log2_max_frame_num_minus4),
        pic_order_cnt_type: u32::from(sps.pic_order_cnt_type),
        log2_max_pic_order_cnt_lsb_minus4: u32::from(sps.log2_max_pic_order_cnt_lsb_minus4),
        delta_pic_order_always_zero_flag: u32::from(sps.delta_pic_order_always_zero_flag),
    }
    .pack();
    parameters.pic_fields._bindgen_opaque_blob = H264PicFields {
        entropy_coding_mode_flag: u32::from(pps.entropy_coding_mode_flag),
        weighted_pred_flag: u32::from(pps.weighted_pred_flag),
        weighted_bipred_idc: u32::from(pps.weighted_bipred_idc),
        transform_8x8_mode_flag: u32::from(pps.transform_8x8_mode_flag),
        field_pic_flag: u32::from(first.structure != Structure::Frame),
        constrained_intra_pred_flag: u32::from(pps.constrained_intra_pred_flag),
        pic_order_present_flag: u32::from(pps.bottom_field_pic_order_in_frame_present_flag),
        deblocking_filter_control_present_flag: u32::from(pps.deblocking_filter_control_present_flag),
        redundant_pic_cnt_present_flag: u32::from(pps.redundant_pic_cnt_present_flag),
        reference_pic_flag: u32::from(current.reference),
    }
    .pack();
    parameters
}

pub(super) fn matrix(sps: &Sps, pps: &Pps) -> va::VAIQMatrixBufferH264 {
    let lists = ScalingLists::in_force(sps.scaling_lists.as_deref(), pps.scaling_lists.as_deref());
    va::VAIQMatrixBufferH264 { ScalingList4x4: lists.four, ScalingList8x8: lists.eight, ..Default::default() }
}

pub(super) fn slice(
    slice: &SliceHeader,
    dpb: &Dpb<Shown>,
    lists: &[Vec<Option<Reference>>; 2],
    bytes: usize,
) -> va::VASliceParameterBufferH264 {
    let pictures = |list: &[Option<Reference>]| {
        let mut pictures = [NONE; 32];
        for (target, found) in pictures.iter_mut().zip(list) {
            let entry = found.and_then(|found| Some((dpb.entries().get(found.at)?, found.fields)));
            if let Some((entry, fields)) = entry {
                *target = reference(entry, fields);
            }
        }
        pictures
    };
    let active = |list: usize, used: bool| if used { slice.num_ref_idx_active_minus1[list] } else { 0 };
    let mut parameters = va::VASliceParameterBufferH264 {
        slice_data_size: u32::try_from(bytes).unwrap_or(u32::MAX),
        slice_data_flag: va::VA_SLICE_DATA_FLAG_ALL,
        slice_data_bit_offset: slice.header_bits,
        first_mb_in_slice: u16::try_from(slice.first_mb_in_slice).unwrap_or(u16::MAX),
        slice_type: match slice.slice_type {
            SliceType::P => 0,
            SliceType::B => 1,
            SliceType::I => 2,
        },
        direct_spatial_mv_pred_flag: u8::from(slice.direct_spatial_mv_pred_flag),
        num_ref_idx_l0_active_minus1: active(0, slice.slice_type != SliceType::I),
        num_ref_idx_l1_active_minus1: active(1, slice.slice_type == SliceType::B),
        cabac_init_idc: slice.cabac_init_idc,
        slice_qp_delta: slice.slice_qp_delta,
        disable_deblocking_filter_idc: slice.disable_deblocking_filter_idc,
        slice_alpha_c0_offset_div2: slice.slice_alpha_c0_offset_div2,
        slice_beta_offset_div2: slice.slice_beta_offset_div2,
        RefPicList0: pictures(&lists[0]),
        RefPicList1: pictures(&lists[1]),
        ..Default::default()
    };
    if let Some(table) = &slice.pred_weight_table {
        weights(&mut parameters, table, slice.slice_type);
    }
    parameters
}

fn weights(p: &mut va::VASliceParameterBufferH264, table: &PredWeightTable, kind: SliceType) {
    p.luma_log2_weight_denom = table.luma_log2_weight_denom;
    p.chroma_log2_weight_denom = table.chroma_log2_weight_denom;
    let defaults = (1i16 << table.luma_log2_weight_denom, 1i16 << table.chroma_log2_weight_denom);
    let [first, second] = &table.lists;
    let any = |weights: &Weights| {
        let chroma = weights.chroma.iter().any(Option::is_some);
        (u8::from(weights.luma.iter().any(Option::is_some)), u8::from(chroma))
    };
    (p.luma_weight_l0_flag, p.chroma_weight_l0_flag) = any(first);
    fill(
        first,
        defaults,
        (&mut p.luma_weight_l0, &mut p.luma_offset_l0),
        (&mut p.chroma_weight_l0, &mut p.chroma_offset_l0),
    );
    if kind == SliceType::B {
        (p.luma_weight_l1_flag, p.chroma_weight_l1_flag) = any(second);
        fill(
            second,
            defaults,
            (&mut p.luma_weight_l1, &mut p.luma_offset_l1),
            (&mut p.chroma_weight_l1, &mut p.chroma_offset_l1),
        );
    }
}

/// Weights of one list; entries without their own have weight one and no offset.
fn fill(
    weights: &Weights,
    (luma_default, chroma_default): (i16, i16),
    luma: (&mut [i16; 32], &mut [i16; 32]),
    chroma: (&mut [[i16; 2]; 32], &mut [[i16; 2]; 32]),
) {
    for (at, own) in weights.luma.iter().enumerate().take(32) {
        (luma.0[at], luma.1[at]) = own.unwrap_or((luma_default, 0));
    }
    for (at, own) in weights.chroma.iter().enumerate().take(32) {
        let [blue, red] = own.unwrap_or([(chroma_default, 0); 2]);
        chroma.0[at] = [blue.0, red.0];
        chroma.1[at] = [blue.1, red.1];
    }
}
