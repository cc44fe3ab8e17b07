//! The slice header of H.264 (ITU-T H.264, 7.3.3).

use super::super::bits::{BitReader, SyntaxError};
use super::pps::Pps;
use super::sps::Sps;

const SLICE: &str = "H.264 slice header";

/// P, B and I; SP and SI are of profiles that no hardware decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SliceType {
    P,
    B,
    I,
}

/// What a coded picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure {
    Frame,
    TopField,
    BottomField,
}

impl Structure {
    /// Bit 0 for the top field, bit 1 for the bottom field.
    pub(super) const fn fields(self) -> u8 {
        match self {
            Self::Frame => 3,
            Self::TopField => 1,
            Self::BottomField => 2,
        }
    }

    pub(super) const fn is_field(self) -> bool {
        !matches!(self, Self::Frame)
    }
}

/// One step of `ref_pic_list_modification` (7.3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modification {
    /// 0: `abs_diff_pic_num_minus1 + 1` less than the last.
    Subtract(u32),
    /// 1: as much more.
    Add(u32),
    /// 2: `long_term_pic_num`.
    LongTerm(u32),
}

/// One step of `dec_ref_pic_marking` (7.3.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    /// 1: `difference_of_pic_nums_minus1`.
    ShortUnused(u32),
    /// 2: `long_term_pic_num`.
    LongUnused(u32),
    /// 3: `difference_of_pic_nums_minus1`, `long_term_frame_idx`.
    ShortToLong(u32, u32),
    /// 4: `max_long_term_frame_idx_plus1`.
    MaxLong(u32),
    /// 5
    AllUnused,
    /// 6: `long_term_frame_idx`.
    CurrentToLong(u32),
}

/// How the current picture changes what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RefMarking {
    /// Of an IDR picture; whether it is a long-term reference.
    Idr {
        long_term_reference_flag: bool,
    },
    SlidingWindow,
    Adaptive(Vec<Marking>),
}

/// Weights and offsets of one list's entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Weights {
    /// Luma, then both chroma: weight and offset; none where the flag is 0.
    pub(super) luma: Vec<Option<(i16, i16)>>,
    pub(super) chroma: Vec<Option<[(i16, i16); 2]>>,
}

/// `pred_weight_table` (7.3.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PredWeightTable {
    pub(super) luma_log2_weight_denom: u8,
    pub(super) chroma_log2_weight_denom: u8,
    pub(super) lists: [Weights; 2],
}

/// Names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceHeader {
    pub(super) nal_ref_idc: u8,
    pub(super) idr: bool,
    pub(super) first_mb_in_slice: u32,
    pub(super) slice_type: SliceType,
    pub(super) pic_parameter_set_id: u8,
    pub(super) frame_num: u32,
    pub(super) structure: Structure,
    pub(super) idr_pic_id: u32,
    pub(super) pic_order_cnt_lsb: u32,
    pub(super) delta_pic_order_cnt_bottom: i32,
    pub(super) delta_pic_order_cnt: [i32; 2],
    pub(super) redundant_pic_cnt: u32,
    pub(super) direct_spatial_mv_pred_flag: bool,
    pub(super) num_ref_idx_active_minus1: [u8; 2],
    pub(super) modifications: [Vec<Modification>; 2],
    pub(super) pred_weight_table: Option<PredWeightTable>,
    pub(super) marking: RefMarking,
    pub(super) cabac_init_idc: u8,
    pub(super) slice_qp_delta: i8,
    pub(super) disable_deblocking_filter_idc: u8,
    pub(super) slice_alpha_c0_offset_div2: i8,
    pub(super) slice_beta_offset_div2: i8,
    /// Bits of the header, the NAL unit's included, without emulation prevention.
    pub(super) header_bits: u16,
}

/// The sets that slices refer to.
pub(super) trait Sets {
    fn pps(&self, id: u8) -> Option<&Pps>;
    fn sps(&self, id: u8) -> Option<&Sps>;
}

impl SliceHeader {
    /// Of a NAL unit's first byte and payload.
    pub(super) fn parse(header: u8, payload: &[u8], sets: &impl Sets) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(SLICE, payload);
        let (nal_ref_idc, idr) = (header >> 5 & 3, header & 0x1f == 5);
        let first_mb_in_slice = r.ue("first_mb_in_slice")?;
        let slice_type = match r.ue_up_to(9, "0 to 9", "slice_type")? % 5 {
            0 => SliceType::P,
            1 => SliceType::B,
            2 => SliceType::I,
            other => return Err(r.value("slice_type", i64::from(other), "P, B or I")),
        };
        let pic_parameter_set_id = r.ue_byte(255, "0 to 255", "pic_parameter_set_id")?;
        let unknown = |set, id: u8| SyntaxError::Unknown { structure: SLICE, set, id: u32::from(id) };
        let pps = sets.pps(pic_parameter_set_id).ok_or(unknown("PPS", pic_parameter_set_id))?;
        let sps = sets.sps(pps.seq_parameter_set_id).ok_or(unknown("SPS", pps.seq_parameter_set_id))?;
        if sps.separate_colour_plane_flag {
            r.skip(2, "colour_plane_id")?;
        }
        let frame_num = r.bits(u32::from(sps.log2_max_frame_num_minus4) + 4, "frame_num")?;
        let mut structure = Structure::Frame;
        if !sps.frame_mbs_only_flag && r.flag("field_pic_flag")? {
            structure =
                if r.flag("bottom_field_flag")? { Structure::BottomField } else { Structure::TopField };
        }
        let mut slice = Self {
            nal_ref_idc,
            idr,
            first_mb_in_slice,
            slice_type,
            pic_parameter_set_id,
            frame_num,
            structure,
            idr_pic_id: 0,
            pic_order_cnt_lsb: 0,
            delta_pic_order_cnt_bottom: 0,
            delta_pic_order_cnt: [0; 2],
            redundant_pic_cnt: 0,
            direct_spatial_mv_pred_flag: false,
            num_ref_idx_active_minus1: pps.num_ref_idx_default_active_minus1,
            modifications: [Vec::new(), Vec::new()],
            pred_weight_table: None,
            marking: RefMarking::SlidingWindow,
            cabac_init_idc: 0,
            slice_qp_delta: 0,
            disable_deblocking_filter_idc: 0,
            slice_alpha_c0_offset_div2: 0,
            slice_beta_offset_div2: 0,
            header_bits: 0,
        };
        slice.check_address(r, sps)?;
        slice.read_order(r, sps, pps)?;
        slice.read_references(r, sps, pps)?;
        if pps.entropy_coding_mode_flag && slice_type != SliceType::I {
            slice.cabac_init_idc = r.ue_byte(2, "0 to 2", "cabac_init_idc")?;
        }
        slice.slice_qp_delta = r.se_within((-87, 77), "-87 to 77", "slice_qp_delta")?;
        if pps.deblocking_filter_control_present_flag {
            slice.disable_deblocking_filter_idc = r.ue_byte(2, "0 to 2", "disable_deblocking_filter_idc")?;
            if slice.disable_deblocking_filter_idc != 1 {
                slice.slice_alpha_c0_offset_div2 =
                    r.se_within((-6, 6), "-6 to 6", "slice_alpha_c0_offset_div2")?;
                slice.slice_beta_offset_div2 = r.se_within((-6, 6), "-6 to 6", "slice_beta_offset_div2")?;
            }
        }
        let bits = r.position() + 8;
        slice.header_bits = u16::try_from(bits).map_err(|_| r.truncated("slice_data"))?;
        Ok(slice)
    }

    fn check_address(&self, r: &BitReader<'_>, sps: &Sps) -> Result<(), SyntaxError> {
        let frame = u32::from(sps.pic_width_in_mbs) * u32::from(sps.frame_height_in_mbs());
        // Counted in pairs where macroblocks are.
        let halved = self.structure.is_field() || sps.mb_adaptive_frame_field_flag;
        if self.first_mb_in_slice >= if halved { frame / 2 } else { frame } {
            return Err(r.value(
                "first_mb_in_slice",
                i64::from(self.first_mb_in_slice),
                "within the picture",
            ));
        }
        Ok(())
    }

    fn read_order(&mut self, r: &mut BitReader<'_>, sps: &Sps, pps: &Pps) -> Result<(), SyntaxError> {
        if self.idr {
            self.idr_pic_id = r.ue_up_to(65535, "0 to 65535", "idr_pic_id")?;
        }
        let both = pps.bottom_field_pic_order_in_frame_present_flag && !self.structure.is_field();
        if sps.pic_order_cnt_type == 0 {
            let bits = u32::from(sps.log2_max_pic_order_cnt_lsb_minus4) + 4;
            self.pic_order_cnt_lsb = r.bits(bits, "pic_order_cnt_lsb")?;
            if both {
                self.delta_pic_order_cnt_bottom = r.se_i32("delta_pic_order_cnt_bottom")?;
            }
        } else if sps.pic_order_cnt_type == 1 && !sps.delta_pic_order_always_zero_flag {
            self.delta_pic_order_cnt[0] = r.se_i32("delta_pic_order_cnt")?;
            if both {
                self.delta_pic_order_cnt[1] = r.se_i32("delta_pic_order_cnt")?;
            }
        }
        if pps.redundant_pic_cnt_present_flag {
            self.redundant_pic_cnt = r.ue_up_to(127, "0 to 127", "redundant_pic_cnt")?;
        }
        Ok(())
    }

    fn read_references(&mut self, r: &mut BitReader<'_>, sps: &Sps, pps: &Pps) -> Result<(), SyntaxError> {
        let lists = match self.slice_type {
            SliceType::I => 0,
            SliceType::P => 1,
            SliceType::B => 2,
        };
        if self.slice_type == SliceType::B {
            self.direct_spatial_mv_pred_flag = r.flag("direct_spatial_mv_pred_flag")?;
        }
        if lists > 0 && r.flag("num_ref_idx_active_override_flag")? {
            for count in self.num_ref_idx_active_minus1.iter_mut().take(lists) {
                *count = r.ue_byte(31, "0 to 31", "num_ref_idx_active_minus1")?;
            }
        }
        // 7.4.3: 32 only for fields.
        let most = if self.structure.is_field() { 31 } else { 15 };
        for count in self.num_ref_idx_active_minus1.iter_mut().take(lists) {
            *count = (*count).min(most);
        }
        for list in self.modifications.iter_mut().take(lists) {
            if r.flag("ref_pic_list_modification_flag")? {
                *list = modifications(r)?;
            }
        }
        let weighted = match self.slice_type {
            SliceType::P => pps.weighted_pred_flag,
            SliceType::B => pps.weighted_bipred_idc == 1,
            SliceType::I => false,
        };
        if weighted {
            let chroma = sps.chroma_format_idc != 0 && !sps.separate_colour_plane_flag;
            self.pred_weight_table =
                Some(pred_weight_table(r, chroma, self.num_ref_idx_active_minus1, lists)?);
        }
        if self.nal_ref_idc != 0 {
            self.marking = marking(r, self.idr)?;
        }
        Ok(())
    }

    /// Whether another slice header begins a new picture (7.4.1.2.4).
    pub(super) fn begins_new_picture(&self, next: &Self) -> bool {
        self.frame_num != next.frame_num
            || self.pic_parameter_set_id != next.pic_parameter_set_id
            || self.structure != next.structure
            || (self.nal_ref_idc == 0) != (next.nal_ref_idc == 0)
            || self.idr != next.idr
            || (self.idr && self.idr_pic_id != next.idr_pic_id)
            || self.pic_order_cnt_lsb != next.pic_order_cnt_lsb
            || self.delta_pic_order_cnt_bottom != next.delta_pic_order_cnt_bottom
            || self.delta_pic_order_cnt != next.delta_pic_order_cnt
    }
}

fn modifications(r: &mut BitReader<'_>) -> Result<Vec<Modification>, SyntaxError> {
    /// 7.4.3.1: no more than the entries of a list, and the end.
    const MOST: usize = 33;
    let mut list = Vec::new();
    while list.len() < MOST {
        list.push(match r.ue_up_to(3, "0 to 3", "modification_of_pic_nums_idc")? {
            0 => Modification::Subtract(r.ue_up_to(0x1_ffff, "under 2^17", "abs_diff_pic_num_minus1")? + 1),
            1 => Modification::Add(r.ue_up_to(0x1_ffff, "under 2^17", "abs_diff_pic_num_minus1")? + 1),
            2 => Modification::LongTerm(r.ue("long_term_pic_num")?),
            _ => return Ok(list),
        });
    }
    Err(r.value("modification_of_pic_nums_idc", 33, "at most 32 steps"))
}

fn pred_weight_table(
    r: &mut BitReader<'_>,
    chroma: bool,
    active_minus1: [u8; 2],
    lists: usize,
) -> Result<PredWeightTable, SyntaxError> {
    let mut table = PredWeightTable {
        luma_log2_weight_denom: r.ue_byte(7, "0 to 7", "luma_log2_weight_denom")?,
        ..PredWeightTable::default()
    };
    if chroma {
        table.chroma_log2_weight_denom = r.ue_byte(7, "0 to 7", "chroma_log2_weight_denom")?;
    }
    let bound = "-128 to 127";
    for (weights, count) in table.lists.iter_mut().zip(active_minus1).take(lists) {
        let pair = |r: &mut BitReader<'_>| -> Result<(i16, i16), SyntaxError> {
            let weight = r.se_within((-128, 127), bound, "weight")?;
            Ok((i16::from(weight), i16::from(r.se_within((-128, 127), bound, "offset")?)))
        };
        for _ in 0..=count {
            let luma = r.flag("luma_weight_flag")?;
            weights.luma.push(if luma { Some(pair(r)?) } else { None });
            let both = chroma && r.flag("chroma_weight_flag")?;
            weights.chroma.push(if both { Some([pair(r)?, pair(r)?]) } else { None });
        }
    }
    Ok(table)
}

fn marking(r: &mut BitReader<'_>, idr: bool) -> Result<RefMarking, SyntaxError> {
    /// More than a conforming picture has: each of 32 fields once, and the current one.
    const MOST: usize = 70;
    if idr {
        r.flag("no_output_of_prior_pics_flag")?;
        return Ok(RefMarking::Idr { long_term_reference_flag: r.flag("long_term_reference_flag")? });
    }
    if !r.flag("adaptive_ref_pic_marking_mode_flag")? {
        return Ok(RefMarking::SlidingWindow);
    }
    let mut steps = Vec::new();
    while steps.len() < MOST {
        steps.push(match r.ue_up_to(6, "0 to 6", "memory_management_control_operation")? {
            1 => Marking::ShortUnused(r.ue("difference_of_pic_nums_minus1")?),
            2 => Marking::LongUnused(r.ue("long_term_pic_num")?),
            3 => Marking::ShortToLong(
                r.ue("difference_of_pic_nums_minus1")?,
                r.ue_up_to(15, "0 to 15", "long_term_frame_idx")?,
            ),
            4 => Marking::MaxLong(r.ue_up_to(16, "0 to 16", "max_long_term_frame_idx_plus1")?),
            5 => Marking::AllUnused,
            6 => Marking::CurrentToLong(r.ue_up_to(15, "0 to 15", "long_term_frame_idx")?),
            _ => return Ok(RefMarking::Adaptive(steps)),
        });
    }
    Err(r.value("memory_management_control_operation", 70, "fewer steps"))
}
