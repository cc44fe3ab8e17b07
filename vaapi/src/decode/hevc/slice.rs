//! The slice segment header of HEVC (ITU-T H.265, 7.3.6).

use super::super::bits::{BitReader, SyntaxError};
use super::pps::Pps;
use super::references::ShortTermSet;
use super::sps::Sps;

const SLICE: &str = "HEVC slice header";

/// NAL unit types (ITU-T H.265, table 7-1).
pub(super) const RADL_N: u8 = 6;
pub(super) const RASL_N: u8 = 8;
pub(super) const RASL_R: u8 = 9;
const RSV_VCL_R15: u8 = 15;
pub(super) const BLA_W_LP: u8 = 16;
pub(super) const BLA_N_LP: u8 = 18;
const IDR_W_RADL: u8 = 19;
const IDR_N_LP: u8 = 20;
pub(super) const RSV_IRAP_VCL23: u8 = 23;

/// Where a picture stands among others, by the type of its NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitType(pub(super) u8);

impl UnitType {
    pub(super) const fn is_irap(self) -> bool {
        self.0 >= BLA_W_LP && self.0 <= RSV_IRAP_VCL23
    }

    pub(super) const fn is_idr(self) -> bool {
        self.0 == IDR_W_RADL || self.0 == IDR_N_LP
    }

    pub(super) const fn is_bla(self) -> bool {
        self.0 >= BLA_W_LP && self.0 <= BLA_N_LP
    }

    pub(super) const fn is_rasl(self) -> bool {
        self.0 == RASL_N || self.0 == RASL_R
    }

    /// Random access decodable or skipped leading.
    pub(super) const fn is_leading(self) -> bool {
        self.0 >= RADL_N && self.0 <= RASL_R
    }

    /// Not referred to by pictures of the same sub-layer.
    pub(super) const fn is_sub_layer_non_reference(self) -> bool {
        self.0 < RSV_VCL_R15 && self.0.is_multiple_of(2)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SliceType {
    B,
    P,
    I,
}

/// A long-term reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LongTerm {
    /// Whole order count where the most significant bits are present, the least significant bits otherwise.
    pub(super) lsb: u32,
    /// `DeltaPocMsbCycleLt` (7-52)
    pub(super) msb_cycle: Option<u32>,
    pub(super) used: bool,
}

/// Weights and offsets of one list's entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Weights {
    /// `delta_luma_weight`, `luma_offset`
    pub(super) luma: Vec<(i8, i8)>,
    /// `delta_chroma_weight`, `ChromaOffset` (7-56), of both chroma.
    pub(super) chroma: Vec<[(i8, i8); 2]>,
}

/// `pred_weight_table`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PredWeightTable {
    pub(super) luma_log2_weight_denom: u8,
    pub(super) delta_chroma_log2_weight_denom: i8,
    pub(super) lists: [Weights; 2],
}

/// What a dependent slice segment takes from the slice before it. Names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) slice_type: SliceType,
    pub(super) pic_output_flag: bool,
    pub(super) slice_pic_order_cnt_lsb: u32,
    pub(super) short_term: ShortTermSet,
    /// Bits of the set in this header; 0 where it is of the SPS.
    pub(super) st_rps_bits: u32,
    pub(super) long_term: Vec<LongTerm>,
    pub(super) slice_temporal_mvp_enabled_flag: bool,
    pub(super) slice_sao_luma_flag: bool,
    pub(super) slice_sao_chroma_flag: bool,
    pub(super) num_ref_idx_active_minus1: [u8; 2],
    /// `list_entry`, where the lists are modified.
    pub(super) list_entries: [Option<Vec<u8>>; 2],
    pub(super) mvd_l1_zero_flag: bool,
    pub(super) cabac_init_flag: bool,
    pub(super) collocated_from_l0_flag: bool,
    pub(super) collocated_ref_idx: u8,
    pub(super) pred_weight_table: Option<PredWeightTable>,
    pub(super) five_minus_max_num_merge_cand: u8,
    pub(super) slice_qp_delta: i8,
    pub(super) slice_cb_qp_offset: i8,
    pub(super) slice_cr_qp_offset: i8,
    pub(super) slice_deblocking_filter_disabled_flag: bool,
    pub(super) slice_beta_offset_div2: i8,
    pub(super) slice_tc_offset_div2: i8,
    pub(super) slice_loop_filter_across_slices_enabled_flag: bool,
}

/// A slice segment header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceHeader {
    pub(super) unit_type: UnitType,
    pub(super) temporal_id: u8,
    pub(super) first_slice_segment_in_pic_flag: bool,
    pub(super) slice_pic_parameter_set_id: u8,
    pub(super) dependent_slice_segment_flag: bool,
    pub(super) slice_segment_address: u32,
    pub(super) shared: Shared,
    pub(super) num_entry_point_offsets: u16,
    /// Bytes of the header, the NAL unit's included, without emulation prevention.
    pub(super) header_bytes: usize,
}

/// The sets that slices refer to.
pub(super) trait Sets {
    fn pps(&self, id: u8) -> Option<&Pps>;
    fn sps(&self, id: u8) -> Option<&Sps>;
}

impl SliceHeader {
    /// Of a NAL unit's two bytes and its payload; `before` is the slice before it in the same picture.
    pub(super) fn parse(
        header: [u8; 2],
        payload: &[u8],
        sets: &impl Sets,
        before: Option<&Shared>,
    ) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(SLICE, payload);
        let unit_type = UnitType(header[0] >> 1 & 0x3f);
        let first = r.flag("first_slice_segment_in_pic_flag")?;
        if unit_type.is_irap() {
            r.flag("no_output_of_prior_pics_flag")?;
        }
        let slice_pic_parameter_set_id = r.ue_byte(63, "0 to 63", "slice_pic_parameter_set_id")?;
        let unknown = |set, id: u8| SyntaxError::Unknown { structure: SLICE, set, id: u32::from(id) };
        let pps = sets.pps(slice_pic_parameter_set_id).ok_or(unknown("PPS", slice_pic_parameter_set_id))?;
        let id = pps.pps_seq_parameter_set_id;
        let sps = sets.sps(id).ok_or(unknown("SPS", id))?;
        let (mut dependent, mut address) = (false, 0);
        if !first {
            dependent =
                pps.dependent_slice_segments_enabled_flag && r.flag("dependent_slice_segment_flag")?;
            let (width, height) = sps.size_in_ctbs();
            let blocks = width * height;
            // Ceil(Log2(PicSizeInCtbsY))
            address =
                r.bits(u32::BITS - blocks.saturating_sub(1).leading_zeros(), "slice_segment_address")?;
            if address >= blocks {
                return Err(r.value("slice_segment_address", i64::from(address), "within the picture"));
            }
        }
        let shared = match (dependent, before) {
            (false, _) => Shared::parse(r, unit_type, sps, pps)?,
            (true, Some(before)) => before.clone(),
            (true, None) => return Err(r.value("dependent_slice_segment_flag", 1, "0 in a first slice")),
        };
        let mut num_entry_point_offsets = 0;
        if pps.tiles.is_some() || pps.entropy_coding_sync_enabled_flag {
            // Table A.8: tiles and rows of coding tree blocks.
            let count = r.ue_up_to(0x3fff, "under 2^14", "num_entry_point_offsets")?;
            num_entry_point_offsets = u16::try_from(count).unwrap_or(0);
            if count > 0 {
                let bits = usize::try_from(r.ue_up_to(31, "0 to 31", "offset_len_minus1")?).unwrap_or(0) + 1;
                r.skip(bits * usize::from(num_entry_point_offsets), "entry_point_offset_minus1")?;
            }
        }
        if pps.slice_segment_header_extension_present_flag {
            let bytes = r.ue_up_to(256, "0 to 256", "slice_segment_header_extension_length")?;
            r.skip(8 * usize::try_from(bytes).unwrap_or(0), "slice_segment_header_extension_data_byte")?;
        }
        // byte_alignment(): a one, and zeros up to the next byte.
        r.skip(1, "alignment_bit_equal_to_one")?;
        Ok(Self {
            unit_type,
            temporal_id: (header[1] & 7).saturating_sub(1),
            first_slice_segment_in_pic_flag: first,
            slice_pic_parameter_set_id,
            dependent_slice_segment_flag: dependent,
            slice_segment_address: address,
            shared,
            num_entry_point_offsets,
            header_bytes: r.position().div_ceil(8) + 2,
        })
    }
}

impl Shared {
    fn parse(r: &mut BitReader<'_>, unit_type: UnitType, sps: &Sps, pps: &Pps) -> Result<Self, SyntaxError> {
        r.skip(usize::from(pps.num_extra_slice_header_bits), "slice_reserved_flag")?;
        let slice_type = match r.ue_up_to(2, "0 to 2", "slice_type")? {
            0 => SliceType::B,
            1 => SliceType::P,
            _ => SliceType::I,
        };
        let mut slice = Self {
            slice_type,
            pic_output_flag: true,
            slice_pic_order_cnt_lsb: 0,
            short_term: ShortTermSet::default(),
            st_rps_bits: 0,
            long_term: Vec::new(),
            slice_temporal_mvp_enabled_flag: false,
            slice_sao_luma_flag: false,
            slice_sao_chroma_flag: false,
            num_ref_idx_active_minus1: pps.num_ref_idx_default_active_minus1,
            list_entries: [None, None],
            mvd_l1_zero_flag: false,
            cabac_init_flag: false,
            collocated_from_l0_flag: true,
            collocated_ref_idx: 0,
            pred_weight_table: None,
            five_minus_max_num_merge_cand: 0,
            slice_qp_delta: 0,
            slice_cb_qp_offset: 0,
            slice_cr_qp_offset: 0,
            slice_deblocking_filter_disabled_flag: pps.pps_deblocking_filter_disabled_flag,
            slice_beta_offset_div2: pps.pps_beta_offset_div2,
            slice_tc_offset_div2: pps.pps_tc_offset_div2,
            slice_loop_filter_across_slices_enabled_flag: pps.pps_loop_filter_across_slices_enabled_flag,
        };
        if pps.output_flag_present_flag {
            slice.pic_output_flag = r.flag("pic_output_flag")?;
        }
        if sps.separate_colour_plane_flag {
            r.skip(2, "colour_plane_id")?;
        }
        if !unit_type.is_idr() {
            slice.read_sets(r, sps)?;
        }
        if sps.sample_adaptive_offset_enabled_flag {
            slice.slice_sao_luma_flag = r.flag("slice_sao_luma_flag")?;
            // ChromaArrayType is not 0: 4:2:0 alone is decoded here.
            slice.slice_sao_chroma_flag = r.flag("slice_sao_chroma_flag")?;
        }
        if slice_type != SliceType::I {
            slice.read_prediction(r, pps)?;
        }
        slice.read_filters(r, pps)?;
        Ok(slice)
    }

    fn read_sets(&mut self, r: &mut BitReader<'_>, sps: &Sps) -> Result<(), SyntaxError> {
        let bits = u32::from(sps.log2_max_pic_order_cnt_lsb_minus4) + 4;
        self.slice_pic_order_cnt_lsb = r.bits(bits, "slice_pic_order_cnt_lsb")?;
        let sets = &sps.short_term_ref_pic_sets;
        if r.flag("short_term_ref_pic_set_sps_flag")? {
            let count = u32::try_from(sets.len()).unwrap_or(0);
            // Ceil(Log2(num_short_term_ref_pic_sets))
            let bits = u32::BITS - count.saturating_sub(1).leading_zeros();
            let index = r.bits(bits, "short_term_ref_pic_set_idx")?;
            let set = usize::try_from(index).ok().and_then(|index| sets.get(index));
            self.short_term =
                set.ok_or(r.value("short_term_ref_pic_set_idx", i64::from(index), "a set there is"))?.clone();
        } else {
            let start = r.position();
            self.short_term = ShortTermSet::parse(r, sets, true)?;
            self.st_rps_bits = u32::try_from(r.position() - start).unwrap_or(0);
        }
        if sps.long_term_ref_pics_present_flag {
            self.read_long_term(r, sps)?;
        }
        if sps.sps_temporal_mvp_enabled_flag {
            self.slice_temporal_mvp_enabled_flag = r.flag("slice_temporal_mvp_enabled_flag")?;
        }
        Ok(())
    }

    fn read_long_term(&mut self, r: &mut BitReader<'_>, sps: &Sps) -> Result<(), SyntaxError> {
        let known = u32::try_from(sps.long_term_ref_pics.len()).unwrap_or(0);
        let bound = "at most 16 pictures";
        let of_sps = match known {
            0 => 0,
            known => r.ue_up_to(known.min(16), bound, "num_long_term_sps")?,
        };
        let own = r.ue_up_to(16 - of_sps, bound, "num_long_term_pics")?;
        let lsb_bits = u32::from(sps.log2_max_pic_order_cnt_lsb_minus4) + 4;
        let mut cycle = 0u32;
        for index in 0..of_sps + own {
            let (lsb, used) = if index < of_sps {
                let at = r.bits(u32::BITS - known.saturating_sub(1).leading_zeros(), "lt_idx_sps")?;
                let found = usize::try_from(at).ok().and_then(|at| sps.long_term_ref_pics.get(at));
                *found.ok_or(r.value("lt_idx_sps", i64::from(at), "a picture there is"))?
            } else {
                (r.bits(lsb_bits, "poc_lsb_lt")?, r.flag("used_by_curr_pic_lt_flag")?)
            };
            // (7-52): cycles add up, anew from the first one of the slice's own.
            if index == 0 || index == of_sps {
                cycle = 0;
            }
            let present = r.flag("delta_poc_msb_present_flag")?;
            if present {
                cycle = cycle.wrapping_add(r.ue("delta_poc_msb_cycle_lt")?);
            }
            self.long_term.push(LongTerm { lsb, msb_cycle: present.then_some(cycle), used });
        }
        Ok(())
    }

    /// `NumPicTotalCurr` (7-55)
    fn pictures_in_use(&self) -> usize {
        self.short_term.used() + self.long_term.iter().filter(|picture| picture.used).count()
    }

    fn read_prediction(&mut self, r: &mut BitReader<'_>, pps: &Pps) -> Result<(), SyntaxError> {
        let lists = if self.slice_type == SliceType::B { 2 } else { 1 };
        if r.flag("num_ref_idx_active_override_flag")? {
            for count in self.num_ref_idx_active_minus1.iter_mut().take(lists) {
                *count = r.ue_byte(14, "0 to 14", "num_ref_idx_active_minus1")?;
            }
        }
        let total = self.pictures_in_use();
        if pps.lists_modification_present_flag && total > 1 {
            let bits = usize::BITS - (total - 1).leading_zeros();
            for (entries, count) in
                self.list_entries.iter_mut().zip(self.num_ref_idx_active_minus1).take(lists)
            {
                if r.flag("ref_pic_list_modification_flag")? {
                    let mut list = Vec::new();
                    for _ in 0..=count {
                        list.push(r.byte(bits, "list_entry")?);
                    }
                    *entries = Some(list);
                }
            }
        }
        if lists == 2 {
            self.mvd_l1_zero_flag = r.flag("mvd_l1_zero_flag")?;
        }
        if pps.cabac_init_present_flag {
            self.cabac_init_flag = r.flag("cabac_init_flag")?;
        }
        if self.slice_temporal_mvp_enabled_flag {
            if lists == 2 {
                self.collocated_from_l0_flag = r.flag("collocated_from_l0_flag")?;
            }
            let list = usize::from(!self.collocated_from_l0_flag);
            if self.num_ref_idx_active_minus1[list] > 0 {
                let most = self.num_ref_idx_active_minus1[list];
                self.collocated_ref_idx = r.ue_byte(most, "an entry of the list", "collocated_ref_idx")?;
            }
        }
        let weighted = match self.slice_type {
            SliceType::P => pps.weighted_pred_flag,
            _ => pps.weighted_bipred_flag,
        };
        if weighted {
            self.pred_weight_table = Some(pred_weight_table(r, self.num_ref_idx_active_minus1, lists)?);
        }
        self.five_minus_max_num_merge_cand = r.ue_byte(4, "0 to 4", "five_minus_max_num_merge_cand")?;
        Ok(())
    }

    fn read_filters(&mut self, r: &mut BitReader<'_>, pps: &Pps) -> Result<(), SyntaxError> {
        self.slice_qp_delta = r.se_within((-127, 127), "-127 to 127", "slice_qp_delta")?;
        if pps.pps_slice_chroma_qp_offsets_present_flag {
            self.slice_cb_qp_offset = r.se_within((-12, 12), "-12 to 12", "slice_cb_qp_offset")?;
            self.slice_cr_qp_offset = r.se_within((-12, 12), "-12 to 12", "slice_cr_qp_offset")?;
        }
        if pps.deblocking_filter_override_enabled_flag && r.flag("deblocking_filter_override_flag")? {
            self.slice_deblocking_filter_disabled_flag = r.flag("slice_deblocking_filter_disabled_flag")?;
            if !self.slice_deblocking_filter_disabled_flag {
                self.slice_beta_offset_div2 = r.se_within((-6, 6), "-6 to 6", "slice_beta_offset_div2")?;
                self.slice_tc_offset_div2 = r.se_within((-6, 6), "-6 to 6", "slice_tc_offset_div2")?;
            }
        }
        let filtered = self.slice_sao_luma_flag
            || self.slice_sao_chroma_flag
            || !self.slice_deblocking_filter_disabled_flag;
        if pps.pps_loop_filter_across_slices_enabled_flag && filtered {
            self.slice_loop_filter_across_slices_enabled_flag =
                r.flag("slice_loop_filter_across_slices_enabled_flag")?;
        }
        Ok(())
    }
}

/// 7.3.6.3. Entries that are the current picture itself or of another layer are not among those decoded here.
fn pred_weight_table(
    r: &mut BitReader<'_>,
    active_minus1: [u8; 2],
    lists: usize,
) -> Result<PredWeightTable, SyntaxError> {
    let mut table = PredWeightTable {
        luma_log2_weight_denom: r.ue_byte(7, "0 to 7", "luma_log2_weight_denom")?,
        delta_chroma_log2_weight_denom: r.se_within((-7, 7), "-7 to 7", "delta_chroma_log2_weight_denom")?,
        ..PredWeightTable::default()
    };
    let denominator =
        i32::from(table.luma_log2_weight_denom) + i32::from(table.delta_chroma_log2_weight_denom);
    if !(0..=7).contains(&denominator) {
        return Err(r.value("delta_chroma_log2_weight_denom", i64::from(denominator), "0 to 7 in all"));
    }
    for (weights, count) in table.lists.iter_mut().zip(active_minus1).take(lists) {
        let flags = |r: &mut BitReader<'_>, field| -> Result<Vec<bool>, SyntaxError> {
            (0..=count).map(|_| r.flag(field)).collect()
        };
        let luma = flags(r, "luma_weight_flag")?;
        let chroma = flags(r, "chroma_weight_flag")?;
        for (luma, chroma) in luma.into_iter().zip(chroma) {
            let mut entry = (0, 0);
            if luma {
                entry.0 = r.se_within((-128, 127), "-128 to 127", "delta_luma_weight")?;
                entry.1 = r.se_within((-128, 127), "-128 to 127", "luma_offset")?;
            }
            weights.luma.push(entry);
            let mut pair = [(0, 0); 2];
            if chroma {
                for both in &mut pair {
                    let weight = r.se_within((-128, 127), "-128 to 127", "delta_chroma_weight")?;
                    let delta = r.se("delta_chroma_offset")?.clamp(-512, 511);
                    *both = (weight, chroma_offset(weight, delta, denominator));
                }
            }
            weights.chroma.push(pair);
        }
    }
    Ok(table)
}

/// (7-56), with `wpOffsetHalfRangeC` of 128.
fn chroma_offset(delta_weight: i8, delta_offset: i64, denominator: i32) -> i8 {
    let weight = (1i64 << denominator) + i64::from(delta_weight);
    let offset = 128 + delta_offset - ((128 * weight) >> denominator);
    i8::try_from(offset.clamp(-128, 127)).unwrap_or(0)
}
