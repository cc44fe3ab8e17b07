//! H.264 from slices and parameters, put together again.

use std::collections::BTreeMap;

use crate::bits::{annex_b, unescape};
use crate::client::{Plain, bit, bits, plain, word};
use crate::context::Picture;
use crate::decode::h264_marking::{Marked, Order};
use crate::decode::{Stream, check_reference, check_target, cut_short, note_differences, slices};
use crate::ffi;
use crate::h264::{
    NAL_IDR, NAL_SLICE, Pps, Reference, SLICE_B, SLICE_I, ScalingLists, SliceHeader, Sps, expected_lists,
};
use crate::objects::Table;
use crate::status::{Answer, invalid, no};
use crate::surface::Surface;

type Parameters = ffi::VAPictureParameterBufferH264;
type SliceParameters = ffi::VASliceParameterBufferH264;
type Matrix = ffi::VAIQMatrixBufferH264;

// SAFETY: numbers.
unsafe impl Plain for Parameters {}
// SAFETY: numbers.
unsafe impl Plain for SliceParameters {}
// SAFETY: numbers.
unsafe impl Plain for Matrix {}

/// What is known of the pictures before.
#[derive(Default)]
pub(super) struct H264Decoder {
    order: Order,
    marked: Marked,
    /// What the client has for POC 0.
    poc_origin: i32,
    /// Surface and frame_num of a first field whose second has not come.
    open_field: Option<(u32, u32)>,
}

impl H264Decoder {
    pub(super) fn assemble(
        &mut self,
        own: u32,
        picture: &Picture,
        surfaces: &Table<Surface>,
        notes: &mut Vec<String>,
    ) -> Answer<Stream> {
        let parameters = picture
            .last(ffi::VAPictureParameterBufferType)
            .and_then(|part| plain::<Parameters>(&part.bytes))
            .ok_or_else(|| invalid("a picture without VAPictureParameterBufferH264"))?;
        check_target(parameters.CurrPic.picture_id, picture.target)?;
        let matrix = picture.last(ffi::VAIQMatrixBufferType).and_then(|part| plain::<Matrix>(&part.bytes));
        if matrix.is_none() {
            notes.push("a picture without VAIQMatrixBufferH264".into());
        }
        let slices = slices(picture, |slice: &SliceParameters| {
            (slice.slice_data_size, slice.slice_data_offset, slice.slice_data_flag)
        })?;
        let sps = sps(&parameters)?;
        let (headers, sets) = headers(&slices, &parameters, matrix.as_ref(), &sps)?;
        let first = headers.first().ok_or_else(|| invalid("a picture without slices"))?;
        let references = references(&parameters);
        if !first.is_idr() {
            for reference in &references {
                check_reference(own, reference.surface, reference.poc, surfaces, notes);
            }
        }
        let current = parameters.CurrPic;
        let pair = (picture.target, first.frame_num);
        let second_field = first.field_pic && self.open_field == Some(pair);
        self.open_field = (first.field_pic && !second_field).then_some(pair);
        self.check_picture(first, &parameters, &sps, &references, notes);
        for (header, (slice, data)) in headers.iter().zip(&slices) {
            check_slice(header, slice, data, &parameters, notes);
            if !first.field_pic {
                let poc = current.TopFieldOrderCnt.min(current.BottomFieldOrderCnt);
                check_lists(header, slice, &references, 1 << sps.log2_max_frame_num, poc, notes);
            }
        }
        self.marked.mark(first, &sps, picture.target, current.TopFieldOrderCnt);
        let mut bytes = Vec::new();
        annex_b(&sps.write(), &mut bytes);
        for pps in sets.values() {
            annex_b(&pps.write(), &mut bytes);
        }
        for (_, data) in &slices {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(data);
        }
        let bottom_first = first.bottom_field && !second_field;
        let poc = if bottom_first { current.BottomFieldOrderCnt } else { current.TopFieldOrderCnt };
        Ok(Stream { bytes, poc, frame_num: first.frame_num, second_field })
    }

    /// Picture order and reference marking, against what the slice headers amount to.
    fn check_picture(
        &mut self,
        header: &SliceHeader,
        parameters: &Parameters,
        sps: &Sps,
        references: &[Reference],
        notes: &mut Vec<String>,
    ) {
        let fields = word(parameters.pic_fields);
        let pairs = [
            ("frame_num", i64::from(header.frame_num), i64::from(parameters.frame_num)),
            ("field_pic_flag", header.field_pic.into(), bit(fields, 5).into()),
            ("reference_pic_flag", (header.nal_ref_idc != 0).into(), bit(fields, 10).into()),
        ];
        note_differences("VAPictureParameterBufferH264", &pairs, notes);
        if let Some([top, bottom]) = self.order.next(header, sps) {
            let current = &parameters.CurrPic;
            if header.is_idr() {
                // Only differences of POCs mean anything; some clients begin them elsewhere than at 0.
                let first = if header.bottom_field {
                    current.BottomFieldOrderCnt - bottom
                } else {
                    current.TopFieldOrderCnt - top
                };
                self.poc_origin = first;
            }
            let (top, bottom) = (top + self.poc_origin, bottom + self.poc_origin);
            let is_bottom = header.field_pic && header.bottom_field;
            let is_top = header.field_pic && !header.bottom_field;
            let counts = [
                ("TopFieldOrderCnt", !is_bottom, top, current.TopFieldOrderCnt),
                ("BottomFieldOrderCnt", !is_top, bottom, current.BottomFieldOrderCnt),
            ];
            for (name, coded, by_header, given) in counts {
                if coded && by_header != given {
                    notes.push(format!("{name} is {given}, and {by_header} by the slice header"));
                }
            }
        }
        let Some(expected) = self.marked.expected(header, sps) else { return };
        let key = |r: &Reference| (r.surface, r.frame_idx, r.long_term);
        let named = |list: &[Reference], wanted: &Reference| list.iter().any(|r| key(r) == key(wanted));
        for reference in expected.iter().filter(|reference| !named(references, reference)) {
            notes.push(format!("ReferenceFrames lacks {reference:?}, a reference by the slice headers"));
        }
        // An IDR picture refers to nothing, whatever the client still keeps.
        for reference in references.iter().filter(|reference| !header.is_idr() && !named(expected, reference))
        {
            notes.push(format!("ReferenceFrames has {reference:?}, no reference by the slice headers"));
        }
    }
}

/// Entries of ReferenceFrames that say something.
fn references(parameters: &Parameters) -> Vec<Reference> {
    let valid = |entry: &&ffi::VAPictureH264| {
        entry.flags & ffi::VA_PICTURE_H264_INVALID == 0 && entry.picture_id != ffi::VA_INVALID_SURFACE
    };
    let reference = |entry: &ffi::VAPictureH264| Reference {
        surface: entry.picture_id,
        frame_idx: entry.frame_idx,
        long_term: entry.flags & ffi::VA_PICTURE_H264_LONG_TERM_REFERENCE != 0,
        poc: entry.TopFieldOrderCnt,
    };
    parameters.ReferenceFrames.iter().filter(valid).map(reference).collect()
}

fn sps(parameters: &Parameters) -> Answer<Sps> {
    let fields = word(parameters.seq_fields);
    if bits(fields, 0, 2) != 1
        || parameters.bit_depth_luma_minus8 != 0
        || parameters.bit_depth_chroma_minus8 != 0
    {
        return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT));
    }
    let frame_mbs_only = bit(fields, 4);
    let height_in_mbs = u32::from(parameters.picture_height_in_mbs_minus1) + 1;
    Ok(Sps {
        profile_idc: 100,
        // The highest: nothing depends on it but limits.
        level_idc: 62,
        chroma_format_idc: 1,
        log2_max_frame_num: bits(fields, 8, 4) + 4,
        pic_order_cnt_type: bits(fields, 12, 2),
        log2_max_pic_order_cnt_lsb: bits(fields, 14, 4) + 4,
        delta_pic_order_always_zero_flag: bit(fields, 18),
        max_num_ref_frames: parameters.num_ref_frames.into(),
        gaps_in_frame_num_allowed: bit(fields, 3),
        width_in_mbs: u32::from(parameters.picture_width_in_mbs_minus1) + 1,
        height_in_map_units: if frame_mbs_only { height_in_mbs } else { height_in_mbs / 2 },
        frame_mbs_only,
        mb_adaptive_frame_field: bit(fields, 5),
        direct_8x8_inference: bit(fields, 6),
        ..Sps::default()
    })
}

/// The picture parameter set that the parameters amount to; the default counts of references come from slices.
fn pps(parameters: &Parameters, matrix: Option<&Matrix>, id: u32) -> Pps {
    let fields = word(parameters.pic_fields);
    let lists =
        |matrix: &Matrix| ScalingLists { of_4x4: matrix.ScalingList4x4, of_8x8: matrix.ScalingList8x8 };
    Pps {
        id,
        sps_id: 0,
        entropy_coding_mode: bit(fields, 0),
        pic_order_present: bit(fields, 7),
        num_ref_idx_default: [1, 1],
        weighted_pred: bit(fields, 1),
        weighted_bipred_idc: bits(fields, 2, 2),
        pic_init_qp_minus26: parameters.pic_init_qp_minus26.into(),
        pic_init_qs_minus26: parameters.pic_init_qs_minus26.into(),
        chroma_qp_index_offset: parameters.chroma_qp_index_offset.into(),
        second_chroma_qp_index_offset: parameters.second_chroma_qp_index_offset.into(),
        deblocking_filter_control_present: bit(fields, 8),
        constrained_intra_pred: bit(fields, 6),
        redundant_pic_cnt_present: bit(fields, 9),
        transform_8x8_mode: bit(fields, 4),
        scaling: matrix.map(lists).filter(|lists| !lists.is_flat()).map(Box::new),
    }
}

/// All slices' headers, and the picture parameter sets that they name.
fn headers(
    slices: &[(SliceParameters, Vec<u8>)],
    parameters: &Parameters,
    matrix: Option<&Matrix>,
    sps: &Sps,
) -> Answer<(Vec<SliceHeader>, BTreeMap<u32, Pps>)> {
    let mut sets: BTreeMap<u32, Pps> = BTreeMap::new();
    let mut headers = Vec::new();
    for pass in 0..2 {
        headers.clear();
        for (slice, data) in slices {
            let unit = unescape(data);
            let (start, _) = SliceHeader::start(&unit).map_err(|_| cut_short("a slice header"))?;
            let known = [NAL_SLICE, NAL_IDR].contains(&start.nal_unit_type);
            if !known || start.slice_type > 9 || start.pps_id > 255 {
                return Err(cut_short("a slice header"));
            }
            let set = sets.entry(start.pps_id).or_insert_with(|| pps(parameters, matrix, start.pps_id));
            let header = SliceHeader::parse(&unit, sps, set).map_err(|_| cut_short("a slice header"))?;
            // A slice without an override has the set's default, which only its parameters tell.
            if pass == 0 && !header.num_ref_idx_override && header.kind() != SLICE_I {
                set.num_ref_idx_default[0] = u32::from(slice.num_ref_idx_l0_active_minus1) + 1;
                if header.kind() == SLICE_B {
                    set.num_ref_idx_default[1] = u32::from(slice.num_ref_idx_l1_active_minus1) + 1;
                }
            }
            headers.push(header);
        }
    }
    Ok((headers, sets))
}

/// One slice's parameters against its header.
fn check_slice(
    header: &SliceHeader,
    slice: &SliceParameters,
    data: &[u8],
    parameters: &Parameters,
    notes: &mut Vec<String>,
) {
    let active = |count: u32| i64::from(count.max(1)) - 1;
    let deblocking = i64::from(header.disable_deblocking_filter_idc);
    let alpha = i64::from(header.alpha_c0_offset_div2);
    let mut pairs = vec![
        ("first_mb_in_slice", i64::from(header.first_mb), i64::from(slice.first_mb_in_slice)),
        ("slice_type modulo 5", header.kind().into(), i64::from(slice.slice_type) % 5),
        ("slice_qp_delta", header.slice_qp_delta.into(), slice.slice_qp_delta.into()),
        ("disable_deblocking_filter_idc", deblocking, slice.disable_deblocking_filter_idc.into()),
        ("slice_alpha_c0_offset_div2", alpha, slice.slice_alpha_c0_offset_div2.into()),
        ("slice_beta_offset_div2", header.beta_offset_div2.into(), slice.slice_beta_offset_div2.into()),
    ];
    if header.kind() != SLICE_I {
        let l0 = header.num_ref_idx_active[0];
        pairs.push(("num_ref_idx_l0_active_minus1", active(l0), slice.num_ref_idx_l0_active_minus1.into()));
        if bit(word(parameters.pic_fields), 0) {
            pairs.push(("cabac_init_idc", header.cabac_init_idc.into(), slice.cabac_init_idc.into()));
        }
    }
    if header.kind() == SLICE_B {
        let l1 = header.num_ref_idx_active[1];
        pairs.push(("num_ref_idx_l1_active_minus1", active(l1), slice.num_ref_idx_l1_active_minus1.into()));
        let spatial = i64::from(header.direct_spatial_mv_pred);
        pairs.push(("direct_spatial_mv_pred_flag", spatial, slice.direct_spatial_mv_pred_flag.into()));
    }
    note_differences("VASliceParameterBufferH264", &pairs, notes);
    let offset = usize::from(slice.slice_data_bit_offset);
    // Drivers differ in whether the alignment before CABAC data is counted.
    if ![header.bits, header.bits.next_multiple_of(8)].contains(&offset) {
        let (bits, bytes) = (header.bits, data.len());
        notes.push(format!(
            "slice_data_bit_offset is {offset}, and the header has {bits} bits of {bytes} bytes"
        ));
    }
    check_weights(header, slice, notes);
}

/// Weights and offsets of one list, as va.h has them; none where its flag is 0.
struct GivenWeights<'a> {
    luma: Option<Tables<'a, i16>>,
    chroma: Option<Tables<'a, [i16; 2]>>,
}

/// Weights, and offsets.
type Tables<'a, T> = (&'a [T], &'a [T]);

/// The weights that a device would use, against those of the header.
fn check_weights(header: &SliceHeader, slice: &SliceParameters, notes: &mut Vec<String>) {
    let Some(table) = header.weight_table() else { return };
    let (luma_log2, chroma_log2) = (table.luma_log2_denom, table.chroma_log2_denom);
    let denominators = [
        ("luma_log2_weight_denom", i64::from(luma_log2), i64::from(slice.luma_log2_weight_denom)),
        ("chroma_log2_weight_denom", chroma_log2.into(), slice.chroma_log2_weight_denom.into()),
    ];
    note_differences("VASliceParameterBufferH264", &denominators, notes);
    let given = [
        GivenWeights {
            luma: (slice.luma_weight_l0_flag != 0).then_some((&slice.luma_weight_l0, &slice.luma_offset_l0)),
            chroma: (slice.chroma_weight_l0_flag != 0)
                .then_some((&slice.chroma_weight_l0, &slice.chroma_offset_l0)),
        },
        GivenWeights {
            luma: (slice.luma_weight_l1_flag != 0).then_some((&slice.luma_weight_l1, &slice.luma_offset_l1)),
            chroma: (slice.chroma_weight_l1_flag != 0)
                .then_some((&slice.chroma_weight_l1, &slice.chroma_offset_l1)),
        },
    ];
    for (list, (entries, given)) in table.lists.iter().zip(given).enumerate() {
        for (index, entry) in entries.iter().enumerate() {
            let luma = given
                .luma
                .map_or((1 << luma_log2, 0), |(weight, offset)| (weight[index].into(), offset[index].into()));
            let chroma = |plane: usize| {
                given.chroma.map_or((1 << chroma_log2, 0), |(weight, offset)| {
                    (weight[index][plane].into(), offset[index][plane].into())
                })
            };
            let in_use = [luma, chroma(0), chroma(1)];
            let wanted = [entry.luma, entry.chroma[0], entry.chroma[1]];
            if in_use != wanted {
                notes.push(format!(
                    "list {list}[{index}]: weights and offsets {in_use:?}, and {wanted:?} by the slice header"
                ));
            }
        }
    }
}

/// RefPicList0 and RefPicList1 of a frame's slice, against what its header makes of the reference frames.
fn check_lists(
    header: &SliceHeader,
    slice: &SliceParameters,
    references: &[Reference],
    max_frame_num: i64,
    poc: i32,
    notes: &mut Vec<String>,
) {
    let expected = match expected_lists(header, references, max_frame_num, poc) {
        Ok(lists) => lists,
        Err(sentence) => return notes.push(sentence),
    };
    for (list, (expected, given)) in expected.iter().zip([&slice.RefPicList0, &slice.RefPicList1]).enumerate()
    {
        for (index, (expected, given)) in expected.iter().zip(given).enumerate() {
            if let Some(expected) = expected
                && *expected != given.picture_id
            {
                let id = given.picture_id;
                notes.push(format!(
                    "RefPicList{list}[{index}] is surface {id:#x}, and {expected:#x} by the header"
                ));
            }
        }
    }
}
