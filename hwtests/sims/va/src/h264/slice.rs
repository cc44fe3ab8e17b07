//! Slice headers (7.3.3), read whole and written again.

use crate::bits::{BitReader, BitWriter, Exhausted};
use crate::h264::{NAL_IDR, Pps, SLICE_B, SLICE_I, SLICE_P, Sps};

/// One command of ref_pic_list_modification (7.3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListModification {
    /// modification_of_pic_nums_idc: 0 to 2.
    pub(crate) idc: u32,
    /// abs_diff_pic_num_minus1 or long_term_pic_num.
    pub(crate) value: u32,
}

/// One memory_management_control_operation (7.3.3.3), with its one or two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marking {
    pub(crate) operation: u32,
    pub(crate) first: u32,
    pub(crate) second: u32,
}

/// A pred_weight_table, with what it leaves out filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightTable {
    pub(crate) luma_log2_denom: u32,
    pub(crate) chroma_log2_denom: u32,
    pub(crate) lists: [Vec<Weights>; 2],
}

/// Weight and offset of each plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) luma: (i32, i32),
    pub(crate) chroma: [(i32, i32); 2],
}

/// What a slice header says. A prediction weight table is kept as its bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SliceHeader {
    pub(crate) nal_ref_idc: u32,
    pub(crate) nal_unit_type: u32,
    pub(crate) first_mb: u32,
    /// As coded: 0 to 9.
    pub(crate) slice_type: u32,
    pub(crate) pps_id: u32,
    pub(crate) frame_num: u32,
    pub(crate) field_pic: bool,
    pub(crate) bottom_field: bool,
    pub(crate) idr_pic_id: u32,
    pub(crate) pic_order_cnt_lsb: u32,
    pub(crate) delta_pic_order_cnt_bottom: i32,
    pub(crate) delta_pic_order_cnt: [i32; 2],
    pub(crate) redundant_pic_cnt: u32,
    pub(crate) direct_spatial_mv_pred: bool,
    pub(crate) num_ref_idx_override: bool,
    /// In force for this slice, by override or by default.
    pub(crate) num_ref_idx_active: [u32; 2],
    pub(crate) modifications: [Option<Vec<ListModification>>; 2],
    /// A pred_weight_table, bit by bit.
    pub(crate) weights: Vec<bool>,
    pub(crate) no_output_of_prior_pics: bool,
    pub(crate) long_term_reference: bool,
    /// Some for adaptive marking.
    pub(crate) markings: Option<Vec<Marking>>,
    pub(crate) cabac_init_idc: u32,
    pub(crate) slice_qp_delta: i32,
    pub(crate) disable_deblocking_filter_idc: u32,
    pub(crate) alpha_c0_offset_div2: i32,
    pub(crate) beta_offset_div2: i32,
    /// Where slice data begins, in bits of the NAL unit without emulation prevention bytes, alignment not included.
    pub(crate) bits: usize,
}

impl SliceHeader {
    /// nal_ref_idc, nal_unit_type, first_mb, slice_type and pps_id, which need no parameter set.
    pub(crate) fn start(nal: &[u8]) -> Result<(Self, BitReader<'_>), Exhausted> {
        let mut r = BitReader::new(nal);
        r.bit()?;
        let header = Self {
            nal_ref_idc: r.u(2)?,
            nal_unit_type: r.u(5)?,
            first_mb: r.ue()?,
            slice_type: r.ue()?,
            pps_id: r.ue()?,
            ..Self::default()
        };
        Ok((header, r))
    }

    pub(crate) fn kind(&self) -> u32 {
        self.slice_type % 5
    }

    pub(crate) fn is_idr(&self) -> bool {
        self.nal_unit_type == NAL_IDR
    }

    /// Reads a NAL unit without emulation prevention bytes, its header byte included.
    pub(crate) fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Result<Self, Exhausted> {
        let (mut h, mut r) = Self::start(nal)?;
        h.frame_num = r.u(sps.log2_max_frame_num)?;
        if !sps.frame_mbs_only {
            h.field_pic = r.flag()?;
            h.bottom_field = h.field_pic && r.flag()?;
        }
        if h.is_idr() {
            h.idr_pic_id = r.ue()?;
        }
        if sps.pic_order_cnt_type == 0 {
            h.pic_order_cnt_lsb = r.u(sps.log2_max_pic_order_cnt_lsb)?;
            if pps.pic_order_present && !h.field_pic {
                h.delta_pic_order_cnt_bottom = r.se()?;
            }
        }
        if sps.pic_order_cnt_type == 1 && !sps.delta_pic_order_always_zero_flag {
            h.delta_pic_order_cnt[0] = r.se()?;
            if pps.pic_order_present && !h.field_pic {
                h.delta_pic_order_cnt[1] = r.se()?;
            }
        }
        if pps.redundant_pic_cnt_present {
            h.redundant_pic_cnt = r.ue()?;
        }
        h.parse_references(&mut r, pps)?;
        if h.nal_ref_idc != 0 {
            h.parse_marking(&mut r)?;
        }
        if pps.entropy_coding_mode && h.kind() != SLICE_I {
            h.cabac_init_idc = r.ue()?;
        }
        h.slice_qp_delta = r.se()?;
        if pps.deblocking_filter_control_present {
            h.disable_deblocking_filter_idc = r.ue()?;
            if h.disable_deblocking_filter_idc != 1 {
                h.alpha_c0_offset_div2 = r.se()?;
                h.beta_offset_div2 = r.se()?;
            }
        }
        h.bits = r.position();
        Ok(h)
    }

    fn parse_references(&mut self, r: &mut BitReader<'_>, pps: &Pps) -> Result<(), Exhausted> {
        let kind = self.kind();
        if kind == SLICE_B {
            self.direct_spatial_mv_pred = r.flag()?;
        }
        if kind == SLICE_P || kind == SLICE_B {
            self.num_ref_idx_active = pps.num_ref_idx_default;
            self.num_ref_idx_override = r.flag()?;
            if self.num_ref_idx_override {
                self.num_ref_idx_active[0] = r.ue()? + 1;
                if kind == SLICE_B {
                    self.num_ref_idx_active[1] = r.ue()? + 1;
                }
            }
            if kind == SLICE_P {
                self.num_ref_idx_active[1] = 0;
            }
        }
        let lists = match kind {
            SLICE_P => 1,
            SLICE_B => 2,
            _ => 0,
        };
        for list in 0..lists {
            if !r.flag()? {
                continue;
            }
            let mut commands = Vec::new();
            loop {
                let idc = r.ue()?;
                if idc >= 3 {
                    break;
                }
                commands.push(ListModification { idc, value: r.ue()? });
            }
            self.modifications[list] = Some(commands);
        }
        if pps.weighted_pred && kind == SLICE_P || pps.weighted_bipred_idc == 1 && kind == SLICE_B {
            let mut from = r.clone();
            self.skip_weights(r, lists)?;
            while from.position() < r.position() {
                self.weights.push(from.flag()?);
            }
        }
        Ok(())
    }

    /// pred_weight_table (7.3.3.2) of 4:2:0 pictures.
    fn skip_weights(&self, r: &mut BitReader<'_>, lists: usize) -> Result<(), Exhausted> {
        r.ue()?;
        r.ue()?;
        for list in 0..lists {
            for _ in 0..self.num_ref_idx_active[list].min(32) {
                if r.flag()? {
                    r.se()?;
                    r.se()?;
                }
                if r.flag()? {
                    for _ in 0..4 {
                        r.se()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The explicit weights; `None` where the header has none.
    pub(crate) fn weight_table(&self) -> Option<WeightTable> {
        if self.weights.is_empty() {
            return None;
        }
        let mut bits = BitWriter::default();
        self.weights.iter().for_each(|&bit| bits.bit(bit));
        let bytes = bits.finish();
        let mut r = BitReader::new(&bytes);
        let (luma_log2_denom, chroma_log2_denom) = (r.ue().ok()?.min(7), r.ue().ok()?.min(7));
        let mut lists: [Vec<Weights>; 2] = Default::default();
        let count = if self.kind() == SLICE_B { 2 } else { 1 };
        for (list, entries) in lists.iter_mut().enumerate().take(count) {
            for _ in 0..self.num_ref_idx_active[list].min(32) {
                let mut weights =
                    Weights { luma: (1 << luma_log2_denom, 0), chroma: [(1 << chroma_log2_denom, 0); 2] };
                if r.flag().ok()? {
                    weights.luma = (r.se().ok()?, r.se().ok()?);
                }
                if r.flag().ok()? {
                    for plane in &mut weights.chroma {
                        *plane = (r.se().ok()?, r.se().ok()?);
                    }
                }
                entries.push(weights);
            }
        }
        Some(WeightTable { luma_log2_denom, chroma_log2_denom, lists })
    }

    fn parse_marking(&mut self, r: &mut BitReader<'_>) -> Result<(), Exhausted> {
        if self.is_idr() {
            self.no_output_of_prior_pics = r.flag()?;
            self.long_term_reference = r.flag()?;
            return Ok(());
        }
        if !r.flag()? {
            return Ok(());
        }
        let mut markings = Vec::new();
        loop {
            let operation = r.ue()?;
            let first = if matches!(operation, 1..=4 | 6) { r.ue()? } else { 0 };
            let second = if operation == 3 { r.ue()? } else { 0 };
            if operation == 0 {
                break;
            }
            markings.push(Marking { operation, first, second });
        }
        self.markings = Some(markings);
        Ok(())
    }

    /// The NAL unit up to slice data, alignment not included.
    pub(crate) fn write(&self, sps: &Sps, pps: &Pps) -> BitWriter {
        let mut w = BitWriter::default();
        w.u(self.nal_ref_idc << 5 | self.nal_unit_type, 8);
        w.ue(self.first_mb);
        w.ue(self.slice_type);
        w.ue(self.pps_id);
        w.u(self.frame_num, sps.log2_max_frame_num);
        if !sps.frame_mbs_only {
            w.flag(self.field_pic);
            if self.field_pic {
                w.flag(self.bottom_field);
            }
        }
        if self.is_idr() {
            w.ue(self.idr_pic_id);
        }
        if sps.pic_order_cnt_type == 0 {
            w.u(self.pic_order_cnt_lsb, sps.log2_max_pic_order_cnt_lsb);
            if pps.pic_order_present && !self.field_pic {
                w.se(self.delta_pic_order_cnt_bottom);
            }
        }
        if sps.pic_order_cnt_type == 1 && !sps.delta_pic_order_always_zero_flag {
            w.se(self.delta_pic_order_cnt[0]);
            if pps.pic_order_present && !self.field_pic {
                w.se(self.delta_pic_order_cnt[1]);
            }
        }
        if pps.redundant_pic_cnt_present {
            w.ue(self.redundant_pic_cnt);
        }
        self.write_references(&mut w);
        if self.nal_ref_idc != 0 {
            self.write_marking(&mut w);
        }
        if pps.entropy_coding_mode && self.kind() != SLICE_I {
            w.ue(self.cabac_init_idc);
        }
        w.se(self.slice_qp_delta);
        if pps.deblocking_filter_control_present {
            w.ue(self.disable_deblocking_filter_idc);
            if self.disable_deblocking_filter_idc != 1 {
                w.se(self.alpha_c0_offset_div2);
                w.se(self.beta_offset_div2);
            }
        }
        w
    }

    fn write_references(&self, w: &mut BitWriter) {
        let kind = self.kind();
        if kind == SLICE_B {
            w.flag(self.direct_spatial_mv_pred);
        }
        if kind == SLICE_P || kind == SLICE_B {
            w.flag(self.num_ref_idx_override);
            if self.num_ref_idx_override {
                w.ue(self.num_ref_idx_active[0] - 1);
                if kind == SLICE_B {
                    w.ue(self.num_ref_idx_active[1] - 1);
                }
            }
        }
        let lists = match kind {
            SLICE_P => 1,
            SLICE_B => 2,
            _ => 0,
        };
        for commands in &self.modifications[..lists] {
            w.flag(commands.is_some());
            if let Some(commands) = commands {
                for command in commands {
                    w.ue(command.idc);
                    w.ue(command.value);
                }
                w.ue(3);
            }
        }
        for &bit in &self.weights {
            w.bit(bit);
        }
    }

    fn write_marking(&self, w: &mut BitWriter) {
        if self.is_idr() {
            w.flag(self.no_output_of_prior_pics);
            w.flag(self.long_term_reference);
            return;
        }
        w.flag(self.markings.is_some());
        if let Some(markings) = &self.markings {
            for marking in markings {
                w.ue(marking.operation);
                if matches!(marking.operation, 1..=4 | 6) {
                    w.ue(marking.first);
                }
                if marking.operation == 3 {
                    w.ue(marking.second);
                }
            }
            w.ue(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::NAL_SLICE;

    #[test]
    fn headers_are_read_as_written() {
        let sps = Sps {
            log2_max_frame_num: 6,
            log2_max_pic_order_cnt_lsb: 8,
            frame_mbs_only: true,
            ..Sps::default()
        };
        let pps = Pps {
            entropy_coding_mode: true,
            deblocking_filter_control_present: true,
            num_ref_idx_default: [1, 1],
            ..Pps::default()
        };
        let mut header = SliceHeader {
            nal_ref_idc: 2,
            nal_unit_type: NAL_SLICE,
            slice_type: 6,
            frame_num: 33,
            pic_order_cnt_lsb: 200,
            num_ref_idx_override: true,
            num_ref_idx_active: [3, 2],
            modifications: [Some(vec![ListModification { idc: 0, value: 4 }]), None],
            markings: Some(vec![Marking { operation: 1, first: 7, second: 0 }]),
            cabac_init_idc: 2,
            slice_qp_delta: -7,
            alpha_c0_offset_div2: -2,
            beta_offset_div2: 1,
            ..SliceHeader::default()
        };
        let mut written = header.write(&sps, &pps);
        let unit = written.clone().finish();
        written.trail();
        let read = SliceHeader::parse(&written.finish(), &sps, &pps).unwrap();
        assert_eq!(read.bits.div_ceil(8), unit.len());
        header.bits = read.bits;
        assert_eq!(read, header);
    }
}
