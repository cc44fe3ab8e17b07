//! HEVC from slices and parameters, put together again.
//!
//! The sequence parameter set's reference picture sets are not among the parameters, so every slice gets a new header:
//! its set is spelled out from the client's ReferenceFrames, and the rest of the header follows as it was.

use crate::bits::{BitReader, BitWriter, annex_b, unescape};
use crate::client::{Plain, bit, bits, plain, word};
use crate::context::Picture;
use crate::decode::{Stream, check_reference, check_target, cut_short, note_differences, slices};
use crate::ffi;
use crate::hevc::{
    LongTerm, NAL_IRAP, NAL_LAST_SLICE, NAL_LEADING, Pcm, Pps, Profile, SLICE_B, SLICE_I, ScalingLists,
    ShortTermSet, SliceHeader, Sps, Tiles, bits_for, write_vps,
};
use crate::objects::Table;
use crate::status::{Answer, invalid, no};
use crate::surface::Surface;

type Parameters = ffi::VAPictureParameterBufferHEVC;
type SliceParameters = ffi::VASliceParameterBufferHEVC;
type Matrix = ffi::VAIQMatrixBufferHEVC;

// SAFETY: numbers.
unsafe impl Plain for Parameters {}
// SAFETY: numbers.
unsafe impl Plain for SliceParameters {}
// SAFETY: numbers.
unsafe impl Plain for Matrix {}

/// What is known of the pictures before.
pub(super) struct HevcDecoder {
    profile: ffi::VAProfile,
    /// POC of the picture before that others count from (8.3.1).
    previous: Option<i32>,
}

/// Reference pictures as ReferenceFrames names them.
struct References {
    short_term: ShortTermSet,
    long_term: Vec<LongTerm>,
    /// RefPicSetStCurrBefore, RefPicSetStCurrAfter and RefPicSetLtCurr, as POCs.
    current: [Vec<i32>; 3],
}

impl HevcDecoder {
    pub(super) fn new(profile: ffi::VAProfile) -> Self {
        Self { profile, previous: None }
    }

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
            .ok_or_else(|| invalid("a picture without VAPictureParameterBufferHEVC"))?;
        check_target(parameters.CurrPic.picture_id, picture.target)?;
        let matrix = picture.last(ffi::VAIQMatrixBufferType).and_then(|part| plain::<Matrix>(&part.bytes));
        let slices = slices(picture, |slice: &SliceParameters| {
            (slice.slice_data_size, slice.slice_data_offset, slice.slice_data_flag)
        })?;
        let sps = sps(&parameters, matrix.as_ref(), self.profile, notes)?;
        let pps = pps(&parameters);
        let poc = parameters.CurrPic.pic_order_cnt;
        let references = references(&parameters, &sps);
        for entry in named(&parameters) {
            check_reference(own, entry.picture_id, entry.pic_order_cnt, surfaces, notes);
        }
        let mut bytes = Vec::new();
        let buffering = sps.max_dec_pic_buffering_minus1;
        annex_b(&write_vps(sps.profile, buffering, sps.max_num_reorder), &mut bytes);
        annex_b(&sps.write(), &mut bytes);
        let mut written_pps = None;
        for (index, (slice, data)) in slices.iter().enumerate() {
            let unit = unescape(data);
            let (start, at) = start(&unit, &sps, &pps)?;
            if written_pps != Some(start.pps_id) {
                annex_b(&Pps { id: start.pps_id, ..pps.clone() }.write(), &mut bytes);
                written_pps = Some(start.pps_id);
            }
            if index == 0 {
                self.check_order(&start, &sps, poc, &parameters, notes);
            }
            let rewritten = rewrite(&unit, &start, at, slice, &parameters, &sps, &references)?;
            let set = Pps { id: start.pps_id, ..pps.clone() };
            let header = SliceHeader::parse(&rewritten.unit, &sps, &set)
                .map_err(|_| cut_short("a slice segment header"))?;
            if header.bits != rewritten.header_bits {
                notes.push(format!(
                    "slice_data_byte_offset {} is not where the slice segment header ends",
                    slice.slice_data_byte_offset
                ));
            }
            check_slice(&header, slice, notes);
            check_lists(&header, slice, &parameters, &references, notes);
            annex_b(&rewritten.unit, &mut bytes);
        }
        Ok(Stream { bytes, poc, frame_num: 0, second_field: false })
    }

    /// Picture order (8.3.1), against the client's.
    fn check_order(
        &mut self,
        header: &SliceHeader,
        sps: &Sps,
        poc: i32,
        parameters: &Parameters,
        notes: &mut Vec<String>,
    ) {
        let irap = NAL_IRAP.contains(&header.nal_unit_type);
        let fields = word(parameters.slice_parsing_fields);
        let pairs = [
            ("RapPicFlag", i64::from(irap), i64::from(bit(fields, 11))),
            ("IdrPicFlag", header.is_idr().into(), bit(fields, 12).into()),
        ];
        note_differences("VAPictureParameterBufferHEVC", &pairs, notes);
        let max = 1i32 << sps.log2_max_poc_lsb;
        let lsb = i32::try_from(header.poc_lsb).unwrap_or(0);
        let counted = match self.previous {
            _ if header.is_idr() => Some(0),
            None => None,
            Some(previous) => {
                let (previous_lsb, previous_msb) = (previous & (max - 1), previous & !(max - 1));
                let msb = if lsb < previous_lsb && previous_lsb - lsb >= max / 2 {
                    previous_msb + max
                } else if lsb > previous_lsb && lsb - previous_lsb > max / 2 {
                    previous_msb - max
                } else {
                    previous_msb
                };
                Some(msb + lsb)
            }
        };
        // A broken link or a first CRA or BLA picture begins anew, with its lower bits alone.
        let begins_anew = irap && poc == lsb;
        if let Some(counted) = counted
            && counted != poc
            && !begins_anew
        {
            notes.push(format!("pic_order_cnt is {poc}, and {counted} by the slice header"));
        }
        // Sub-layer non-reference pictures are even-numbered below 16 (table 7-1).
        let referred = header.nal_unit_type > 15 || header.nal_unit_type % 2 == 1;
        if header.temporal_id == 0 && referred && !NAL_LEADING.contains(&header.nal_unit_type) {
            self.previous = Some(poc);
        }
    }
}

/// Entries of ReferenceFrames that say something.
fn named(parameters: &Parameters) -> impl Iterator<Item = &ffi::VAPictureHEVC> {
    parameters.ReferenceFrames.iter().filter(|entry| {
        entry.flags & ffi::VA_PICTURE_HEVC_INVALID == 0 && entry.picture_id != ffi::VA_INVALID_SURFACE
    })
}

fn references(parameters: &Parameters, sps: &Sps) -> References {
    let poc = parameters.CurrPic.pic_order_cnt;
    let max = 1i32 << sps.log2_max_poc_lsb;
    let mut short_term = ShortTermSet::default();
    let mut long: Vec<(i32, bool)> = Vec::new();
    for entry in named(parameters) {
        let own = entry.pic_order_cnt;
        let is = |flag: u32| entry.flags & flag != 0;
        let long_term = is(ffi::VA_PICTURE_HEVC_LONG_TERM_REFERENCE) || is(ffi::VA_PICTURE_HEVC_RPS_LT_CURR);
        if long_term {
            long.push((own, is(ffi::VA_PICTURE_HEVC_RPS_LT_CURR)));
        } else if own < poc {
            short_term.before.push((own - poc, is(ffi::VA_PICTURE_HEVC_RPS_ST_CURR_BEFORE)));
        } else if own > poc {
            short_term.after.push((own - poc, is(ffi::VA_PICTURE_HEVC_RPS_ST_CURR_AFTER)));
        }
    }
    short_term.before.sort_by_key(|(delta, _)| -delta);
    short_term.after.sort_by_key(|(delta, _)| *delta);
    short_term.before.dedup_by_key(|(delta, _)| *delta);
    short_term.after.dedup_by_key(|(delta, _)| *delta);
    // Cycles of the upper bits are coded as growing numbers (7-52).
    long.sort_by_key(|(own, _)| -(own & !(max - 1)));
    let msb_cycle = |own: i32| u32::try_from(((poc & !(max - 1)) - (own & !(max - 1))) / max).unwrap_or(0);
    let long_term = long
        .iter()
        .map(|&(own, used)| LongTerm {
            poc_lsb: u32::try_from(own & (max - 1)).unwrap_or(0),
            used,
            msb_cycle: Some(msb_cycle(own)),
        })
        .collect();
    let in_use =
        |list: &[(i32, bool)]| list.iter().filter(|(_, used)| *used).map(|(delta, _)| poc + delta).collect();
    let current = [
        in_use(&short_term.before),
        in_use(&short_term.after),
        long.iter().filter(|(_, used)| *used).map(|(own, _)| *own).collect(),
    ];
    References { short_term, long_term, current }
}

fn sps(
    parameters: &Parameters,
    matrix: Option<&Matrix>,
    profile: ffi::VAProfile,
    notes: &mut Vec<String>,
) -> Answer<Sps> {
    let fields = word(parameters.pic_fields);
    let parsing = word(parameters.slice_parsing_fields);
    if bits(fields, 0, 2) != 1 || parameters.bit_depth_luma_minus8 > 2 {
        return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT));
    }
    let scaling_list_enabled = bit(fields, 4);
    if scaling_list_enabled && matrix.is_none() {
        notes.push("scaling_list_enabled_flag without VAIQMatrixBufferHEVC".into());
    }
    let lists = |matrix: &Matrix| {
        Box::new(ScalingLists {
            of_4x4: matrix.ScalingList4x4.map(diagonally::<4, 16>),
            of_8x8: matrix.ScalingList8x8.map(diagonally::<8, 64>),
            of_16x16: matrix.ScalingList16x16.map(diagonally::<8, 64>),
            of_32x32: matrix.ScalingList32x32.map(diagonally::<8, 64>),
            dc_16x16: matrix.ScalingListDC16x16,
            dc_32x32: matrix.ScalingListDC32x32,
        })
    };
    let buffering = u32::from(parameters.sps_max_dec_pic_buffering_minus1).min(15);
    let sps = Sps {
        profile: Profile {
            idc: if profile == ffi::VAProfileHEVCMain10 { 2 } else { 1 },
            tier: false,
            level_idc: 186,
        },
        chroma_format_idc: 1,
        width: parameters.pic_width_in_luma_samples.into(),
        height: parameters.pic_height_in_luma_samples.into(),
        bit_depth_luma: u32::from(parameters.bit_depth_luma_minus8) + 8,
        bit_depth_chroma: u32::from(parameters.bit_depth_chroma_minus8) + 8,
        log2_max_poc_lsb: u32::from(parameters.log2_max_pic_order_cnt_lsb_minus4).min(12) + 4,
        max_dec_pic_buffering_minus1: buffering,
        max_num_reorder: buffering,
        log2_min_coding_block: u32::from(parameters.log2_min_luma_coding_block_size_minus3) + 3,
        log2_diff_coding_block: parameters.log2_diff_max_min_luma_coding_block_size.into(),
        log2_min_transform_block: u32::from(parameters.log2_min_transform_block_size_minus2) + 2,
        log2_diff_transform_block: parameters.log2_diff_max_min_transform_block_size.into(),
        depth_inter: parameters.max_transform_hierarchy_depth_inter.into(),
        depth_intra: parameters.max_transform_hierarchy_depth_intra.into(),
        scaling_list_enabled,
        scaling_lists: matrix.filter(|_| scaling_list_enabled).map(lists),
        amp: bit(fields, 6),
        sao: bit(parsing, 7),
        pcm: bit(fields, 3).then_some(Pcm {
            bit_depth_luma: u32::from(parameters.pcm_sample_bit_depth_luma_minus1) + 1,
            bit_depth_chroma: u32::from(parameters.pcm_sample_bit_depth_chroma_minus1) + 1,
            log2_min_size: u32::from(parameters.log2_min_pcm_luma_coding_block_size_minus3) + 3,
            log2_diff: parameters.log2_diff_max_min_pcm_luma_coding_block_size.into(),
            loop_filter_disabled: bit(fields, 18),
        }),
        long_term: bit(parsing, 1).then(Vec::new),
        temporal_mvp: bit(parsing, 2),
        strong_intra_smoothing: bit(fields, 7),
        ..Sps::default()
    };
    let tree = sps.log2_min_coding_block + sps.log2_diff_coding_block;
    if !(4..=6).contains(&tree) || sps.width == 0 || sps.height == 0 {
        return Err(invalid(format!(
            "{}x{} samples in coding tree blocks of 2^{tree}",
            sps.width, sps.height
        )));
    }
    Ok(sps)
}

/// From raster order, which va.h has, to the up-right diagonal scan of the bit stream (6.5.3).
fn diagonally<const SIZE: usize, const COUNT: usize>(raster: [u8; COUNT]) -> [u8; COUNT] {
    let mut scanned = [0; COUNT];
    let places = (0..2 * SIZE - 1).flat_map(|sum| {
        let columns = sum.saturating_sub(SIZE - 1)..=sum.min(SIZE - 1);
        columns.map(move |x| (sum - x) * SIZE + x)
    });
    for (to, from) in scanned.iter_mut().zip(places) {
        *to = raster[from];
    }
    scanned
}

fn pps(parameters: &Parameters) -> Pps {
    let fields = word(parameters.pic_fields);
    let parsing = word(parameters.slice_parsing_fields);
    let tiles = || {
        let sizes = |list: &[u16], count: u8| {
            list.iter().take(usize::from(count)).map(|&size| u32::from(size) + 1).collect::<Vec<_>>()
        };
        Tiles {
            columns: sizes(&parameters.column_width_minus1, parameters.num_tile_columns_minus1),
            rows: sizes(&parameters.row_height_minus1, parameters.num_tile_rows_minus1),
            loop_filter_across: bit(fields, 17),
        }
    };
    Pps {
        dependent_slice_segments: bit(parsing, 5),
        output_flag_present: bit(parsing, 4),
        num_extra_slice_header_bits: u32::from(parameters.num_extra_slice_header_bits).min(7),
        sign_data_hiding: bit(fields, 8),
        cabac_init_present: bit(parsing, 3),
        num_ref_idx_default: [
            u32::from(parameters.num_ref_idx_l0_default_active_minus1) + 1,
            u32::from(parameters.num_ref_idx_l1_default_active_minus1) + 1,
        ],
        init_qp_minus26: parameters.init_qp_minus26.into(),
        constrained_intra_pred: bit(fields, 9),
        transform_skip: bit(fields, 5),
        cu_qp_delta_depth: bit(fields, 10).then_some(parameters.diff_cu_qp_delta_depth.into()),
        cb_qp_offset: parameters.pps_cb_qp_offset.into(),
        cr_qp_offset: parameters.pps_cr_qp_offset.into(),
        slice_chroma_qp_offsets_present: bit(parsing, 6),
        weighted_pred: bit(fields, 11),
        weighted_bipred: bit(fields, 12),
        transquant_bypass: bit(fields, 13),
        tiles: bit(fields, 14).then(tiles),
        entropy_coding_sync: bit(fields, 15),
        loop_filter_across_slices: bit(fields, 16),
        deblocking_override_enabled: bit(parsing, 8),
        deblocking_disabled: bit(parsing, 9),
        beta_offset_div2: parameters.pps_beta_offset_div2.into(),
        tc_offset_div2: parameters.pps_tc_offset_div2.into(),
        lists_modification_present: bit(parsing, 0),
        log2_parallel_merge_level: u32::from(parameters.log2_parallel_merge_level_minus2) + 2,
        slice_header_extension_present: bit(parsing, 10),
        ..Pps::default()
    }
}

/// A header up to its picture order, and where the reading stands.
fn start(unit: &[u8], sps: &Sps, pps: &Pps) -> Result<(SliceHeader, usize), crate::status::Refusal> {
    // Only its number is not known, and nothing else depends on it.
    let (start, reader, ..) = SliceHeader::parse_start(unit, |_| Some((sps, pps)))
        .map_err(|_| cut_short("a slice segment header"))?;
    if start.nal_unit_type > NAL_LAST_SLICE || start.slice_type > SLICE_I || start.pps_id > 63 {
        return Err(cut_short("a slice segment header"));
    }
    Ok((start, reader.position()))
}

/// A slice segment under a new header.
struct Rewritten {
    unit: Vec<u8>,
    header_bits: usize,
}

fn rewrite(
    unit: &[u8],
    start: &SliceHeader,
    at: usize,
    slice: &SliceParameters,
    parameters: &Parameters,
    sps: &Sps,
    references: &References,
) -> Answer<Rewritten> {
    let data_at = slice.slice_data_byte_offset as usize;
    let header = unit.get(..data_at).filter(|header| !header.is_empty() && data_at < unit.len());
    let Some(last) = header.and_then(|header| header.last()).filter(|&&last| last != 0) else {
        return Err(invalid(format!(
            "slice_data_byte_offset is {data_at} in a slice of {} bytes, and no byte_alignment ends there",
            unit.len()
        )));
    };
    // byte_alignment is a one and zeros.
    let end = data_at * 8 - 1 - usize::try_from(last.trailing_zeros()).unwrap_or(0);
    let mut writer = BitWriter::default();
    writer.copy(unit, 0, at);
    let mut tail = at;
    if !start.dependent && !start.is_idr() {
        tail = skip_reference_sets(unit, at, parameters, sps)
            .map_err(|_| cut_short("a reference picture set"))?;
        let spelled = SliceHeader {
            short_term: references.short_term.clone(),
            long_term: references.long_term.clone(),
            ..SliceHeader::default()
        };
        // The flag of temporal motion vectors comes after, with the rest.
        spelled.write_reference_sets(&mut writer, &Sps { temporal_mvp: false, ..sps.clone() });
    }
    if tail > end {
        return Err(invalid(format!("slice_data_byte_offset is {data_at}, and the header goes on after it")));
    }
    writer.copy(unit, tail, end);
    let header_bits = writer.bits();
    writer.trail();
    writer.bytes(&unit[data_at..]);
    Ok(Rewritten { unit: writer.finish(), header_bits })
}

/// Where the header goes on after its reference picture sets.
fn skip_reference_sets(
    unit: &[u8],
    at: usize,
    parameters: &Parameters,
    sps: &Sps,
) -> Result<usize, crate::bits::Exhausted> {
    let mut r = BitReader::new(unit);
    r.skip(at);
    if r.flag()? {
        r.u(bits_for(parameters.num_short_term_ref_pic_sets.into()))?;
    } else {
        // What the set is predicted from is not among the parameters; how long it is, is.
        r.skip(parameters.st_rps_bits as usize);
    }
    if sps.long_term.is_some() {
        let known = u32::from(parameters.num_long_term_ref_pic_sps);
        let from_sps = if known > 0 { r.ue()? } else { 0 };
        let all = from_sps + r.ue()?.min(33);
        for index in 0..all {
            if index < from_sps {
                r.u(bits_for(known))?;
            } else {
                r.u(sps.log2_max_poc_lsb + 1)?;
            }
            if r.flag()? {
                r.ue()?;
            }
        }
    }
    Ok(r.position())
}

/// One slice's parameters against its header.
fn check_slice(header: &SliceHeader, slice: &SliceParameters, notes: &mut Vec<String>) {
    let fields = word(slice.LongSliceFlags);
    let number = |value: u32| i64::from(value);
    let mut pairs = vec![
        ("dependent_slice_segment_flag", i64::from(header.dependent), i64::from(bit(fields, 1))),
        ("slice_segment_address", number(header.address), number(slice.slice_segment_address)),
    ];
    if !header.dependent {
        pairs.extend([
            ("slice_type", number(header.slice_type), number(bits(fields, 2, 2))),
            ("slice_qp_delta", header.slice_qp_delta.into(), slice.slice_qp_delta.into()),
            ("slice_cb_qp_offset", header.cb_qp_offset.into(), slice.slice_cb_qp_offset.into()),
            ("slice_cr_qp_offset", header.cr_qp_offset.into(), slice.slice_cr_qp_offset.into()),
            ("slice_sao_luma_flag", header.sao_luma.into(), bit(fields, 6).into()),
            ("slice_sao_chroma_flag", header.sao_chroma.into(), bit(fields, 7).into()),
            (
                "slice_deblocking_filter_disabled_flag",
                header.deblocking_disabled.into(),
                bit(fields, 11).into(),
            ),
            (
                "slice_loop_filter_across_slices_enabled_flag",
                header.loop_filter_across_slices.into(),
                bit(fields, 13).into(),
            ),
        ]);
        if !header.deblocking_disabled {
            let (beta, tc) = (header.beta_offset_div2.into(), header.tc_offset_div2.into());
            pairs.push(("slice_beta_offset_div2", beta, slice.slice_beta_offset_div2.into()));
            pairs.push(("slice_tc_offset_div2", tc, slice.slice_tc_offset_div2.into()));
        }
    }
    if !header.dependent && header.slice_type != SLICE_I {
        let merge = i64::from(5 - header.max_num_merge_cand);
        let l0 = i64::from(header.num_ref_idx_active[0].max(1)) - 1;
        pairs.extend([
            ("slice_temporal_mvp_enabled_flag", header.temporal_mvp.into(), bit(fields, 10).into()),
            ("cabac_init_flag", header.cabac_init.into(), bit(fields, 9).into()),
            ("five_minus_max_num_merge_cand", merge, slice.five_minus_max_num_merge_cand.into()),
            ("num_ref_idx_l0_active_minus1", l0, slice.num_ref_idx_l0_active_minus1.into()),
        ]);
        if header.temporal_mvp {
            pairs.push((
                "collocated_ref_idx",
                number(header.collocated_ref_idx),
                slice.collocated_ref_idx.into(),
            ));
        }
        if header.slice_type == SLICE_B {
            let l1 = i64::from(header.num_ref_idx_active[1].max(1)) - 1;
            pairs.push(("num_ref_idx_l1_active_minus1", l1, slice.num_ref_idx_l1_active_minus1.into()));
            pairs.push(("mvd_l1_zero_flag", header.mvd_l1_zero.into(), bit(fields, 8).into()));
            if header.temporal_mvp {
                let from_l0 = i64::from(!header.collocated_from_l1);
                pairs.push(("collocated_from_l0_flag", from_l0, bit(fields, 12).into()));
            }
        }
    }
    note_differences("VASliceParameterBufferHEVC", &pairs, notes);
    check_weights(header, slice, notes);
}

fn check_weights(header: &SliceHeader, slice: &SliceParameters, notes: &mut Vec<String>) {
    let Some((luma, chroma, lists)) = &header.weights else { return };
    let denominators = [
        ("luma_log2_weight_denom", i64::from(*luma), i64::from(slice.luma_log2_weight_denom)),
        ("delta_chroma_log2_weight_denom", i64::from(*chroma), slice.delta_chroma_log2_weight_denom.into()),
    ];
    note_differences("VASliceParameterBufferHEVC", &denominators, notes);
    let given = [
        (&slice.delta_luma_weight_l0, &slice.luma_offset_l0, &slice.delta_chroma_weight_l0),
        (&slice.delta_luma_weight_l1, &slice.luma_offset_l1, &slice.delta_chroma_weight_l1),
    ];
    for (list, (entries, (weight, offset, chroma))) in lists.iter().zip(given).enumerate() {
        for (index, entry) in entries.iter().enumerate().take(weight.len()) {
            let in_header = [
                entry.delta_luma_weight,
                entry.luma_offset,
                entry.delta_chroma_weight[0],
                entry.delta_chroma_weight[1],
            ];
            let in_use = [
                i32::from(weight[index]),
                i32::from(offset[index]),
                i32::from(chroma[index][0]),
                i32::from(chroma[index][1]),
            ];
            if in_header != in_use {
                notes.push(format!(
                    "list {list}[{index}]: weights {in_use:?}, and {in_header:?} by the slice header"
                ));
            }
        }
    }
}

/// RefPicList against what the header makes of the reference pictures (8.3.4).
fn check_lists(
    header: &SliceHeader,
    slice: &SliceParameters,
    parameters: &Parameters,
    references: &References,
    notes: &mut Vec<String>,
) {
    if header.dependent || header.slice_type == SLICE_I {
        return;
    }
    let [before, after, long] = &references.current;
    let orders: [[&Vec<i32>; 3]; 2] = [[before, after, long], [after, before, long]];
    for (list, order) in orders.iter().enumerate() {
        let all: Vec<i32> = order.iter().flat_map(|part| part.iter().copied()).collect();
        let active = header.num_ref_idx_active[list] as usize;
        if active > 0 && all.is_empty() {
            return notes
                .push("a P or B slice without any picture that ReferenceFrames marks as in use".into());
        }
        for index in 0..active.min(15) {
            let at = match &header.list_entries[list] {
                Some(entries) => entries[index] as usize,
                None => index % all.len(),
            };
            let expected = all.get(at).copied();
            let named = usize::from(slice.RefPicList[list][index]);
            let given = parameters.ReferenceFrames.get(named).map(|entry| entry.pic_order_cnt);
            if expected != given {
                notes.push(format!(
                    "RefPicList[{list}][{index}] is entry {named}, POC {given:?}, and {expected:?} by the slice header"
                ));
            }
        }
    }
}
