//! Slice segment headers (7.3.6.1), read whole and written again.

use crate::bits::{BitReader, BitWriter, Exhausted};
use crate::hevc::{NAL_IDR, NAL_IRAP, Pps, SLICE_B, SLICE_I, SLICE_P, ShortTermSet, Sps, bits_for};

/// A long-term reference picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongTerm {
    pub(crate) poc_lsb: u32,
    pub(crate) used: bool,
    /// DeltaPocMsbCycleLt (7-52), where it is said.
    pub(crate) msb_cycle: Option<u32>,
}

/// An explicit weight, as coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) delta_luma_weight: i32,
    pub(crate) luma_offset: i32,
    pub(crate) delta_chroma_weight: [i32; 2],
}

/// What a slice segment header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SliceHeader {
    pub(crate) nal_unit_type: u32,
    pub(crate) temporal_id: u32,
    pub(crate) first_in_picture: bool,
    pub(crate) no_output_of_prior_pics: bool,
    pub(crate) pps_id: u32,
    pub(crate) dependent: bool,
    pub(crate) address: u32,
    pub(crate) extra_bits: u32,
    pub(crate) slice_type: u32,
    pub(crate) pic_output: bool,
    pub(crate) poc_lsb: u32,
    /// Some for a set of the sequence parameter set, by number.
    pub(crate) short_term_index: Option<u32>,
    /// The set in force.
    pub(crate) short_term: ShortTermSet,
    pub(crate) long_term: Vec<LongTerm>,
    pub(crate) temporal_mvp: bool,
    pub(crate) sao_luma: bool,
    pub(crate) sao_chroma: bool,
    pub(crate) num_ref_idx_override: bool,
    pub(crate) num_ref_idx_active: [u32; 2],
    pub(crate) list_entries: [Option<Vec<u32>>; 2],
    pub(crate) mvd_l1_zero: bool,
    pub(crate) cabac_init: bool,
    pub(crate) collocated_from_l1: bool,
    pub(crate) collocated_ref_idx: u32,
    /// luma_log2_weight_denom, delta_chroma_log2_weight_denom and the entries of both lists.
    pub(crate) weights: Option<(u32, i32, [Vec<Entry>; 2])>,
    pub(crate) max_num_merge_cand: u32,
    pub(crate) slice_qp_delta: i32,
    pub(crate) cb_qp_offset: i32,
    pub(crate) cr_qp_offset: i32,
    pub(crate) deblocking_override: bool,
    pub(crate) deblocking_disabled: bool,
    pub(crate) beta_offset_div2: i32,
    pub(crate) tc_offset_div2: i32,
    pub(crate) loop_filter_across_slices: bool,
    pub(crate) entry_points: u32,
    /// Where byte_alignment begins, in bits of the NAL unit without emulation prevention bytes.
    pub(crate) bits: usize,
}

impl SliceHeader {
    pub(crate) fn is_idr(&self) -> bool {
        NAL_IDR.contains(&self.nal_unit_type)
    }

    /// What stands before the picture order: nothing of it needs sets of reference pictures. The parameter sets are found
    /// by number.
    pub(crate) fn parse_start<'a, 'b>(
        nal: &'a [u8],
        sets: impl FnOnce(u32) -> Option<(&'b Sps, &'b Pps)>,
    ) -> Result<(Self, BitReader<'a>, &'b Sps, &'b Pps), Exhausted> {
        let mut r = BitReader::new(nal);
        let unit = r.u(16)?;
        let mut h = Self {
            nal_unit_type: unit >> 9 & 0x3f,
            temporal_id: (unit & 7).saturating_sub(1),
            pic_output: true,
            ..Self::default()
        };
        h.first_in_picture = r.flag()?;
        if NAL_IRAP.contains(&h.nal_unit_type) {
            h.no_output_of_prior_pics = r.flag()?;
        }
        h.pps_id = r.ue()?;
        let (sps, pps) = sets(h.pps_id).ok_or(Exhausted)?;
        if !h.first_in_picture {
            h.dependent = pps.dependent_slice_segments && r.flag()?;
            h.address = r.u(sps.address_bits())?;
        }
        if !h.dependent {
            h.extra_bits = r.u(pps.num_extra_slice_header_bits)?;
            h.slice_type = r.ue()?;
            if pps.output_flag_present {
                h.pic_output = r.flag()?;
            }
            if !h.is_idr() {
                h.poc_lsb = r.u(sps.log2_max_poc_lsb)?;
            }
        }
        Ok((h, r, sps, pps))
    }

    /// Reads a NAL unit without emulation prevention bytes, its header included.
    pub(crate) fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Result<Self, Exhausted> {
        let (mut h, mut r, ..) = Self::parse_start(nal, |id| (id == pps.id).then_some((sps, pps)))?;
        if !h.dependent {
            if h.slice_type > SLICE_I {
                return Err(Exhausted);
            }
            if !h.is_idr() {
                h.parse_reference_sets(&mut r, sps)?;
            }
            if sps.sao {
                h.sao_luma = r.flag()?;
                h.sao_chroma = sps.chroma_format_idc != 0 && r.flag()?;
            }
            if h.slice_type != SLICE_I {
                h.parse_prediction(&mut r, sps, pps)?;
            }
            h.parse_filters(&mut r, sps, pps)?;
        }
        if pps.tiles.is_some() || pps.entropy_coding_sync {
            h.entry_points = r.ue()?;
            if h.entry_points > sps.coding_trees() {
                return Err(Exhausted);
            }
            if h.entry_points > 0 {
                let bits = r.ue()? + 1;
                if bits > 32 {
                    return Err(Exhausted);
                }
                for _ in 0..h.entry_points {
                    r.u(bits)?;
                }
            }
        }
        if pps.slice_header_extension_present {
            for _ in 0..r.ue()? {
                r.u(8)?;
            }
        }
        h.bits = r.position();
        Ok(h)
    }

    fn parse_reference_sets(&mut self, r: &mut BitReader<'_>, sps: &Sps) -> Result<(), Exhausted> {
        let sets = &sps.short_term_sets;
        let count = u32::try_from(sets.len()).map_err(|_| Exhausted)?;
        if r.flag()? {
            let index = r.u(bits_for(count))?;
            self.short_term_index = Some(index);
            self.short_term =
                usize::try_from(index).ok().and_then(|at| sets.get(at)).ok_or(Exhausted)?.clone();
        } else {
            self.short_term = ShortTermSet::parse(r, sets.len(), sets)?;
        }
        if let Some(known) = &sps.long_term {
            let known_count = u32::try_from(known.len()).map_err(|_| Exhausted)?;
            let from_sps = if known_count > 0 { r.ue()? } else { 0 };
            let all = from_sps.checked_add(r.ue()?).filter(|&all| all <= 33).ok_or(Exhausted)?;
            let mut cycle = 0;
            for index in 0..all {
                let (poc_lsb, used) = if index < from_sps {
                    let at = r.u(bits_for(known_count))?;
                    usize::try_from(at).ok().and_then(|at| known.get(at)).copied().ok_or(Exhausted)?
                } else {
                    (r.u(sps.log2_max_poc_lsb)?, r.flag()?)
                };
                if index == 0 || index == from_sps {
                    cycle = 0;
                }
                let present = r.flag()?;
                if present {
                    cycle += r.ue()?;
                }
                self.long_term.push(LongTerm { poc_lsb, used, msb_cycle: present.then_some(cycle) });
            }
        }
        self.temporal_mvp = sps.temporal_mvp && r.flag()?;
        Ok(())
    }

    /// NumPicTotalCurr (7-55).
    fn pictures_in_use(&self) -> u32 {
        let short =
            self.short_term.before.iter().chain(&self.short_term.after).filter(|(_, used)| *used).count();
        let long = self.long_term.iter().filter(|picture| picture.used).count();
        u32::try_from(short + long).unwrap_or(0)
    }

    fn parse_prediction(&mut self, r: &mut BitReader<'_>, sps: &Sps, pps: &Pps) -> Result<(), Exhausted> {
        let lists = if self.slice_type == SLICE_B { 2 } else { 1 };
        self.num_ref_idx_active = pps.num_ref_idx_default;
        self.num_ref_idx_override = r.flag()?;
        if self.num_ref_idx_override {
            for list in 0..lists {
                self.num_ref_idx_active[list] = r.ue()? + 1;
            }
        }
        self.num_ref_idx_active[lists..].fill(0);
        if self.num_ref_idx_active.iter().any(|&count| count > 16) {
            return Err(Exhausted);
        }
        let in_use = self.pictures_in_use();
        if pps.lists_modification_present && in_use > 1 {
            for list in 0..lists {
                if r.flag()? {
                    let mut entries = Vec::new();
                    for _ in 0..self.num_ref_idx_active[list] {
                        entries.push(r.u(bits_for(in_use))?);
                    }
                    self.list_entries[list] = Some(entries);
                }
            }
        }
        if self.slice_type == SLICE_B {
            self.mvd_l1_zero = r.flag()?;
        }
        if pps.cabac_init_present {
            self.cabac_init = r.flag()?;
        }
        if self.temporal_mvp {
            if self.slice_type == SLICE_B {
                self.collocated_from_l1 = !r.flag()?;
            }
            if self.num_ref_idx_active[usize::from(self.collocated_from_l1)] > 1 {
                self.collocated_ref_idx = r.ue()?;
            }
        }
        let weighted = if self.slice_type == SLICE_P { pps.weighted_pred } else { pps.weighted_bipred };
        if weighted {
            self.parse_weights(r, sps)?;
        }
        self.max_num_merge_cand = 5u32.checked_sub(r.ue()?).ok_or(Exhausted)?;
        Ok(())
    }

    fn parse_weights(&mut self, r: &mut BitReader<'_>, sps: &Sps) -> Result<(), Exhausted> {
        let chroma = sps.chroma_format_idc != 0;
        let luma_denominator = r.ue()?;
        let chroma_delta = if chroma { r.se()? } else { 0 };
        let mut lists: [Vec<Entry>; 2] = Default::default();
        for (list, entries) in lists.iter_mut().enumerate() {
            let count = self.num_ref_idx_active[list];
            let mut flags = vec![(false, false); usize::try_from(count).map_err(|_| Exhausted)?];
            for flag in &mut flags {
                flag.0 = r.flag()?;
            }
            for flag in flags.iter_mut().filter(|_| chroma) {
                flag.1 = r.flag()?;
            }
            for (luma, chroma) in flags {
                let mut entry = Entry::default();
                if luma {
                    entry.delta_luma_weight = r.se()?;
                    entry.luma_offset = r.se()?;
                }
                if chroma {
                    for plane in 0..2 {
                        entry.delta_chroma_weight[plane] = r.se()?;
                        r.se()?;
                    }
                }
                entries.push(entry);
            }
        }
        self.weights = Some((luma_denominator, chroma_delta, lists));
        Ok(())
    }

    fn parse_filters(&mut self, r: &mut BitReader<'_>, _sps: &Sps, pps: &Pps) -> Result<(), Exhausted> {
        self.slice_qp_delta = r.se()?;
        if pps.slice_chroma_qp_offsets_present {
            self.cb_qp_offset = r.se()?;
            self.cr_qp_offset = r.se()?;
        }
        self.deblocking_override = pps.deblocking_override_enabled && r.flag()?;
        self.deblocking_disabled = pps.deblocking_disabled;
        (self.beta_offset_div2, self.tc_offset_div2) = (pps.beta_offset_div2, pps.tc_offset_div2);
        if self.deblocking_override {
            self.deblocking_disabled = r.flag()?;
            if !self.deblocking_disabled {
                (self.beta_offset_div2, self.tc_offset_div2) = (r.se()?, r.se()?);
            }
        }
        self.loop_filter_across_slices = pps.loop_filter_across_slices;
        let filtered = self.sao_luma || self.sao_chroma || !self.deblocking_disabled;
        if pps.loop_filter_across_slices && filtered {
            self.loop_filter_across_slices = r.flag()?;
        }
        Ok(())
    }

    /// The NAL unit up to byte_alignment, which is not included. For pictures of one slice and without tiles, WPP,
    /// explicit weights, modified lists and extensions: what encoders here make.
    pub(crate) fn write(&self, sps: &Sps, pps: &Pps) -> BitWriter {
        let mut w = BitWriter::default();
        w.u(self.nal_unit_type << 9 | (self.temporal_id + 1), 16);
        w.flag(self.first_in_picture);
        if NAL_IRAP.contains(&self.nal_unit_type) {
            w.flag(self.no_output_of_prior_pics);
        }
        w.ue(self.pps_id);
        w.u(self.extra_bits, pps.num_extra_slice_header_bits);
        w.ue(self.slice_type);
        if pps.output_flag_present {
            w.flag(self.pic_output);
        }
        if !self.is_idr() {
            w.u(self.poc_lsb, sps.log2_max_poc_lsb);
            self.write_reference_sets(&mut w, sps);
        }
        if sps.sao {
            w.flag(self.sao_luma);
            w.flag(self.sao_chroma);
        }
        if self.slice_type != SLICE_I {
            w.flag(self.num_ref_idx_override);
            if self.num_ref_idx_override {
                w.ue(self.num_ref_idx_active[0] - 1);
            }
            if pps.lists_modification_present && self.pictures_in_use() > 1 {
                w.flag(false);
            }
            if pps.cabac_init_present {
                w.flag(self.cabac_init);
            }
            if self.temporal_mvp && self.num_ref_idx_active[0] > 1 {
                w.ue(self.collocated_ref_idx);
            }
            w.ue(5 - self.max_num_merge_cand);
        }
        w.se(self.slice_qp_delta);
        if pps.slice_chroma_qp_offsets_present {
            w.se(self.cb_qp_offset);
            w.se(self.cr_qp_offset);
        }
        if pps.deblocking_override_enabled {
            w.flag(self.deblocking_override);
        }
        if self.deblocking_override {
            w.flag(self.deblocking_disabled);
            if !self.deblocking_disabled {
                w.se(self.beta_offset_div2);
                w.se(self.tc_offset_div2);
            }
        }
        let filtered = self.sao_luma || self.sao_chroma || !self.deblocking_disabled;
        if pps.loop_filter_across_slices && filtered {
            w.flag(self.loop_filter_across_slices);
        }
        if pps.slice_header_extension_present {
            w.ue(0);
        }
        w
    }

    /// The sets of reference pictures, and whether motion is predicted from one of them.
    pub(crate) fn write_reference_sets(&self, w: &mut BitWriter, sps: &Sps) {
        let count = u32::try_from(sps.short_term_sets.len()).unwrap_or(0);
        w.flag(self.short_term_index.is_some());
        match self.short_term_index {
            Some(index) => w.u(index, bits_for(count)),
            None => self.short_term.write(w, count == 0),
        }
        if let Some(known) = &sps.long_term {
            if !known.is_empty() {
                w.ue(0);
            }
            w.ue(u32::try_from(self.long_term.len()).unwrap_or(0));
            let mut cycle = 0;
            for picture in &self.long_term {
                w.u(picture.poc_lsb, sps.log2_max_poc_lsb);
                w.flag(picture.used);
                w.flag(picture.msb_cycle.is_some());
                if let Some(own) = picture.msb_cycle {
                    w.ue(own - cycle);
                    cycle = own;
                }
            }
        }
        if sps.temporal_mvp {
            w.flag(self.temporal_mvp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_written() {
        let sps = Sps {
            chroma_format_idc: 1,
            width: 640,
            height: 360,
            log2_min_coding_block: 3,
            log2_diff_coding_block: 2,
            log2_max_poc_lsb: 8,
            sao: true,
            temporal_mvp: true,
            long_term: Some(Vec::new()),
            ..Sps::default()
        };
        let pps = Pps {
            num_ref_idx_default: [1, 1],
            deblocking_override_enabled: true,
            loop_filter_across_slices: true,
            ..Pps::default()
        };
        let mut header = SliceHeader {
            nal_unit_type: 1,
            first_in_picture: true,
            slice_type: SLICE_P,
            pic_output: true,
            poc_lsb: 77,
            short_term: ShortTermSet { before: vec![(-1, true), (-4, false)], after: vec![] },
            long_term: vec![LongTerm { poc_lsb: 3, used: true, msb_cycle: Some(1) }],
            temporal_mvp: true,
            sao_chroma: true,
            num_ref_idx_override: true,
            num_ref_idx_active: [2, 0],
            collocated_ref_idx: 1,
            max_num_merge_cand: 3,
            slice_qp_delta: -5,
            deblocking_override: true,
            beta_offset_div2: 2,
            tc_offset_div2: -1,
            loop_filter_across_slices: true,
            ..SliceHeader::default()
        };
        let mut written = header.write(&sps, &pps);
        let length = written.clone().finish().len();
        written.trail();
        let read = SliceHeader::parse(&written.finish(), &sps, &pps).unwrap();
        assert_eq!(read.bits.div_ceil(8), length);
        header.bits = read.bits;
        assert_eq!(read, header);
    }
}
