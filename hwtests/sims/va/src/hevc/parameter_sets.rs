//! Video and sequence parameter sets (7.3.2.1, 7.3.2.2).

use crate::bits::{BitReader, BitWriter, Exhausted};
use crate::hevc::{NAL_SPS, bits_for};

/// nal_unit_type of a video parameter set.
const NAL_VPS: u32 = 32;

/// What profile_tier_level says of the whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Profile {
    pub(crate) idc: u32,
    pub(crate) tier: bool,
    pub(crate) level_idc: u32,
}

/// A short-term reference picture set: differences of POC, nearest first, and whether the picture itself refers to each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ShortTermSet {
    pub(crate) before: Vec<(i32, bool)>,
    pub(crate) after: Vec<(i32, bool)>,
}

/// Pulse code modulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pcm {
    pub(crate) bit_depth_luma: u32,
    pub(crate) bit_depth_chroma: u32,
    pub(crate) log2_min_size: u32,
    pub(crate) log2_diff: u32,
    pub(crate) loop_filter_disabled: bool,
}

/// Scaling lists in the order of the bit stream: 6 of 4x4, 8x8 and 16x16 each, 2 of 32x32, and DC weights of the last
/// two sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalingLists {
    pub(crate) of_4x4: [[u8; 16]; 6],
    pub(crate) of_8x8: [[u8; 64]; 6],
    pub(crate) of_16x16: [[u8; 64]; 6],
    pub(crate) of_32x32: [[u8; 64]; 2],
    pub(crate) dc_16x16: [u8; 6],
    pub(crate) dc_32x32: [u8; 2],
}

/// What a sequence parameter set says, video usability information excepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sps {
    pub(crate) profile: Profile,
    pub(crate) id: u32,
    pub(crate) chroma_format_idc: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Left, right, top, bottom, in chroma samples.
    pub(crate) window: Option<[u32; 4]>,
    pub(crate) bit_depth_luma: u32,
    pub(crate) bit_depth_chroma: u32,
    pub(crate) log2_max_poc_lsb: u32,
    pub(crate) max_dec_pic_buffering_minus1: u32,
    pub(crate) max_num_reorder: u32,
    pub(crate) log2_min_coding_block: u32,
    pub(crate) log2_diff_coding_block: u32,
    pub(crate) log2_min_transform_block: u32,
    pub(crate) log2_diff_transform_block: u32,
    pub(crate) depth_inter: u32,
    pub(crate) depth_intra: u32,
    pub(crate) scaling_list_enabled: bool,
    pub(crate) scaling_lists: Option<Box<ScalingLists>>,
    pub(crate) amp: bool,
    pub(crate) sao: bool,
    pub(crate) pcm: Option<Pcm>,
    pub(crate) short_term_sets: Vec<ShortTermSet>,
    /// lt_ref_pic_poc_lsb_sps and used_by_curr_pic_lt_sps_flag; None where long-term references are off.
    pub(crate) long_term: Option<Vec<(u32, bool)>>,
    pub(crate) temporal_mvp: bool,
    pub(crate) strong_intra_smoothing: bool,
}

fn profile_tier_level(r: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<Profile, Exhausted> {
    r.u(2)?;
    let tier = r.flag()?;
    let idc = r.u(5)?;
    r.u(32)?;
    r.u(32)?;
    r.u(16)?;
    let level_idc = r.u(8)?;
    let mut present = Vec::new();
    for _ in 0..max_sub_layers_minus1 {
        present.push((r.flag()?, r.flag()?));
    }
    if max_sub_layers_minus1 > 0 {
        for _ in max_sub_layers_minus1..8 {
            r.u(2)?;
        }
    }
    for (profile, level) in present {
        for bits in [if profile { 88 } else { 0 }, if level { 8 } else { 0 }] {
            for _ in 0..bits {
                r.bit()?;
            }
        }
    }
    Ok(Profile { idc, tier, level_idc })
}

fn write_profile_tier_level(w: &mut BitWriter, profile: Profile) {
    w.u(0, 2);
    w.flag(profile.tier);
    w.u(profile.idc, 5);
    // A Main stream is a Main 10 stream as well (A.3.3).
    for number in 0..32 {
        w.flag(number == profile.idc || profile.idc == 1 && number == 2);
    }
    // Progressive, frames only; no other constraint is said.
    w.u(0b1001, 4);
    w.u(0, 32);
    w.u(0, 12);
    w.u(profile.level_idc, 8);
}

/// A video parameter set with number 0, without emulation prevention bytes.
pub(crate) fn write_vps(
    profile: Profile,
    max_dec_pic_buffering_minus1: u32,
    max_num_reorder: u32,
) -> Vec<u8> {
    let mut w = BitWriter::default();
    w.u(NAL_VPS << 9 | 1, 16);
    w.u(0, 4);
    w.u(0b11, 2);
    w.u(0, 6);
    w.u(0, 3);
    w.flag(true);
    w.u(0xffff, 16);
    write_profile_tier_level(&mut w, profile);
    w.flag(true);
    w.ue(max_dec_pic_buffering_minus1);
    w.ue(max_num_reorder);
    w.ue(0);
    w.u(0, 6);
    w.ue(0);
    w.flag(false);
    w.flag(false);
    w.trail();
    w.finish()
}

impl ShortTermSet {
    /// st_ref_pic_set (7.3.7), `index` of `all.len()` sets that are there already; that many or more in a slice header.
    pub(crate) fn parse(r: &mut BitReader<'_>, index: usize, all: &[Self]) -> Result<Self, Exhausted> {
        if index > 0 && r.flag()? {
            return Self::parse_predicted(r, index, all);
        }
        let (before, after) = (r.ue()?, r.ue()?);
        if before > 16 || after > 16 {
            return Err(Exhausted);
        }
        let mut set = Self::default();
        let mut delta = 0;
        for _ in 0..before {
            delta -= i32::try_from(r.ue()?).map_err(|_| Exhausted)? + 1;
            set.before.push((delta, r.flag()?));
        }
        delta = 0;
        for _ in 0..after {
            delta += i32::try_from(r.ue()?).map_err(|_| Exhausted)? + 1;
            set.after.push((delta, r.flag()?));
        }
        Ok(set)
    }

    /// (7-61), (7-62).
    fn parse_predicted(r: &mut BitReader<'_>, index: usize, all: &[Self]) -> Result<Self, Exhausted> {
        let back = if index == all.len() { usize::try_from(r.ue()?).map_err(|_| Exhausted)? + 1 } else { 1 };
        let reference = index.checked_sub(back).and_then(|at| all.get(at)).ok_or(Exhausted)?;
        let negative = r.flag()?;
        let magnitude = i32::try_from(r.ue()?).map_err(|_| Exhausted)? + 1;
        let delta = if negative { -magnitude } else { magnitude };
        let deltas: Vec<i32> =
            reference.before.iter().chain(&reference.after).map(|(delta, _)| *delta).chain([0]).collect();
        let mut kept = Vec::new();
        for of in deltas {
            let used = r.flag()?;
            let keep = used || r.flag()?;
            if keep && of + delta != 0 {
                kept.push((of + delta, used));
            }
        }
        let mut set = Self::default();
        for entry in kept {
            if entry.0 < 0 { set.before.push(entry) } else { set.after.push(entry) }
        }
        set.before.sort_by_key(|(delta, _)| -delta);
        set.after.sort_by_key(|(delta, _)| *delta);
        Ok(set)
    }

    /// Without prediction from another set; `first` where no flag says so.
    pub(crate) fn write(&self, w: &mut BitWriter, first: bool) {
        if !first {
            w.flag(false);
        }
        let count = |list: &[(i32, bool)]| u32::try_from(list.len()).unwrap_or(0);
        w.ue(count(&self.before));
        w.ue(count(&self.after));
        for list in [&self.before, &self.after] {
            let mut last = 0u32;
            for (delta, used) in list {
                w.ue(delta.unsigned_abs() - last - 1);
                w.flag(*used);
                last = delta.unsigned_abs();
            }
        }
    }
}

impl Sps {
    /// Reads a NAL unit without emulation prevention bytes, its header included.
    pub(crate) fn parse(nal: &[u8]) -> Result<Self, Exhausted> {
        let mut r = BitReader::new(nal);
        r.u(16)?;
        r.u(4)?;
        let max_sub_layers_minus1 = r.u(3)?;
        r.bit()?;
        let mut sps = Self { profile: profile_tier_level(&mut r, max_sub_layers_minus1)?, ..Self::default() };
        sps.id = r.ue()?;
        sps.chroma_format_idc = r.ue()?;
        if sps.chroma_format_idc == 3 {
            r.bit()?;
        }
        sps.width = r.ue()?;
        sps.height = r.ue()?;
        if r.flag()? {
            sps.window = Some([r.ue()?, r.ue()?, r.ue()?, r.ue()?]);
        }
        sps.bit_depth_luma = r.ue()? + 8;
        sps.bit_depth_chroma = r.ue()? + 8;
        sps.log2_max_poc_lsb = r.ue()? + 4;
        let from = if r.flag()? { 0 } else { max_sub_layers_minus1 };
        for _ in from..=max_sub_layers_minus1 {
            sps.max_dec_pic_buffering_minus1 = r.ue()?;
            sps.max_num_reorder = r.ue()?;
            r.ue()?;
        }
        sps.log2_min_coding_block = r.ue()? + 3;
        sps.log2_diff_coding_block = r.ue()?;
        sps.log2_min_transform_block = r.ue()? + 2;
        sps.log2_diff_transform_block = r.ue()?;
        sps.depth_inter = r.ue()?;
        sps.depth_intra = r.ue()?;
        sps.scaling_list_enabled = r.flag()?;
        if sps.scaling_list_enabled && r.flag()? {
            skip_scaling_lists(&mut r)?;
        }
        sps.amp = r.flag()?;
        sps.sao = r.flag()?;
        if r.flag()? {
            sps.pcm = Some(Pcm {
                bit_depth_luma: r.u(4)? + 1,
                bit_depth_chroma: r.u(4)? + 1,
                log2_min_size: r.ue()? + 3,
                log2_diff: r.ue()?,
                loop_filter_disabled: r.flag()?,
            });
        }
        let sets = r.ue()?;
        if sets > 64 {
            return Err(Exhausted);
        }
        for index in 0..sets {
            let index = usize::try_from(index).map_err(|_| Exhausted)?;
            // Within the parameter set, a set is predicted from the one before it.
            let set = ShortTermSet::parse(
                &mut r,
                index,
                &[&sps.short_term_sets[..], &[ShortTermSet::default()]].concat(),
            )?;
            sps.short_term_sets.push(set);
        }
        if r.flag()? {
            let mut list = Vec::new();
            for _ in 0..r.ue()?.min(32) {
                list.push((r.u(sps.log2_max_poc_lsb)?, r.flag()?));
            }
            sps.long_term = Some(list);
        }
        sps.temporal_mvp = r.flag()?;
        sps.strong_intra_smoothing = r.flag()?;
        Ok(sps)
    }

    /// The NAL unit, without emulation prevention bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.u(NAL_SPS << 9 | 1, 16);
        w.u(0, 4);
        w.u(0, 3);
        w.flag(true);
        write_profile_tier_level(&mut w, self.profile);
        w.ue(self.id);
        w.ue(self.chroma_format_idc);
        w.ue(self.width);
        w.ue(self.height);
        w.flag(self.window.is_some());
        for edge in self.window.iter().flatten() {
            w.ue(*edge);
        }
        w.ue(self.bit_depth_luma - 8);
        w.ue(self.bit_depth_chroma - 8);
        w.ue(self.log2_max_poc_lsb - 4);
        w.flag(true);
        w.ue(self.max_dec_pic_buffering_minus1);
        w.ue(self.max_num_reorder);
        w.ue(0);
        w.ue(self.log2_min_coding_block - 3);
        w.ue(self.log2_diff_coding_block);
        w.ue(self.log2_min_transform_block - 2);
        w.ue(self.log2_diff_transform_block);
        w.ue(self.depth_inter);
        w.ue(self.depth_intra);
        w.flag(self.scaling_list_enabled);
        if self.scaling_list_enabled {
            w.flag(self.scaling_lists.is_some());
            if let Some(lists) = &self.scaling_lists {
                lists.write(&mut w);
            }
        }
        w.flag(self.amp);
        w.flag(self.sao);
        w.flag(self.pcm.is_some());
        if let Some(pcm) = self.pcm {
            w.u(pcm.bit_depth_luma - 1, 4);
            w.u(pcm.bit_depth_chroma - 1, 4);
            w.ue(pcm.log2_min_size - 3);
            w.ue(pcm.log2_diff);
            w.flag(pcm.loop_filter_disabled);
        }
        w.ue(u32::try_from(self.short_term_sets.len()).unwrap_or(0));
        for (index, set) in self.short_term_sets.iter().enumerate() {
            set.write(&mut w, index == 0);
        }
        w.flag(self.long_term.is_some());
        if let Some(list) = &self.long_term {
            w.ue(u32::try_from(list.len()).unwrap_or(0));
            for (lsb, used) in list {
                w.u(*lsb, self.log2_max_poc_lsb);
                w.flag(*used);
            }
        }
        w.flag(self.temporal_mvp);
        w.flag(self.strong_intra_smoothing);
        // No VUI, no extension.
        w.u(0, 2);
        w.trail();
        w.finish()
    }

    /// PicSizeInCtbsY.
    pub(crate) fn coding_trees(&self) -> u32 {
        let size = 1 << (self.log2_min_coding_block + self.log2_diff_coding_block);
        self.width.div_ceil(size) * self.height.div_ceil(size)
    }

    /// Bits of a slice segment's address.
    pub(crate) fn address_bits(&self) -> u32 {
        bits_for(self.coding_trees())
    }
}

pub(super) fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), Exhausted> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !r.flag()? {
                r.ue()?;
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..if size == 0 { 16 } else { 64 } {
                r.se()?;
            }
        }
    }
    Ok(())
}

impl ScalingLists {
    /// scaling_list_data (7.3.4), all of it said outright.
    fn write(&self, w: &mut BitWriter) {
        let list = |w: &mut BitWriter, dc: Option<u8>, weights: &[u8]| {
            w.flag(true);
            let mut last = 8;
            if let Some(dc) = dc {
                w.se(i32::from(dc) - 8);
                last = i32::from(dc);
            }
            for &weight in weights {
                let delta = i32::from(weight) - last;
                w.se(if delta > 127 {
                    delta - 256
                } else if delta < -128 {
                    delta + 256
                } else {
                    delta
                });
                last = i32::from(weight);
            }
        };
        self.of_4x4.iter().for_each(|weights| list(w, None, weights));
        self.of_8x8.iter().for_each(|weights| list(w, None, weights));
        self.of_16x16.iter().zip(self.dc_16x16).for_each(|(weights, dc)| list(w, Some(dc), weights));
        self.of_32x32.iter().zip(self.dc_32x32).for_each(|(weights, dc)| list(w, Some(dc), weights));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hevc::Pps;

    #[test]
    fn parameter_sets_are_read_as_written() {
        let sps = Sps {
            profile: Profile { idc: 1, tier: false, level_idc: 120 },
            chroma_format_idc: 1,
            width: 1920,
            height: 1088,
            window: Some([0, 0, 0, 4]),
            bit_depth_luma: 8,
            bit_depth_chroma: 8,
            log2_max_poc_lsb: 8,
            max_dec_pic_buffering_minus1: 4,
            max_num_reorder: 2,
            log2_min_coding_block: 3,
            log2_diff_coding_block: 3,
            log2_min_transform_block: 2,
            log2_diff_transform_block: 3,
            depth_inter: 1,
            depth_intra: 2,
            amp: true,
            sao: true,
            short_term_sets: vec![
                ShortTermSet { before: vec![(-1, true), (-3, false)], after: vec![(2, true)] },
                ShortTermSet { before: vec![(-2, true)], after: vec![] },
            ],
            long_term: Some(vec![(7, true)]),
            temporal_mvp: true,
            ..Sps::default()
        };
        assert_eq!(Sps::parse(&sps.write()), Ok(sps));
        let pps = Pps {
            id: 2,
            num_ref_idx_default: [3, 1],
            init_qp_minus26: -7,
            cu_qp_delta_depth: Some(1),
            deblocking_override_enabled: true,
            tc_offset_div2: -2,
            log2_parallel_merge_level: 2,
            ..Pps::default()
        };
        assert_eq!(Pps::parse(&pps.write()), Ok(Some(pps)));
    }
}
