//! Sequence and picture parameter sets (7.3.2.1, 7.3.2.2).

use crate::bits::{BitReader, BitWriter, Exhausted};
use crate::h264::{NAL_PPS, NAL_SPS};

/// Profiles whose sequence parameter set says chroma format and bit depth (7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Zig-zag scans (table 8-2 and 8.5.7), which scaling lists are written in.
const ZIGZAG_4X4: [usize; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
const ZIGZAG_8X8: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What a sequence parameter set says, video usability information excepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sps {
    pub(crate) profile_idc: u32,
    pub(crate) constraint_flags: u32,
    pub(crate) level_idc: u32,
    pub(crate) id: u32,
    pub(crate) chroma_format_idc: u32,
    pub(crate) bit_depth_luma_minus8: u32,
    pub(crate) bit_depth_chroma_minus8: u32,
    pub(crate) log2_max_frame_num: u32,
    pub(crate) pic_order_cnt_type: u32,
    pub(crate) log2_max_pic_order_cnt_lsb: u32,
    pub(crate) delta_pic_order_always_zero_flag: bool,
    pub(crate) max_num_ref_frames: u32,
    pub(crate) gaps_in_frame_num_allowed: bool,
    pub(crate) width_in_mbs: u32,
    pub(crate) height_in_map_units: u32,
    pub(crate) frame_mbs_only: bool,
    pub(crate) mb_adaptive_frame_field: bool,
    pub(crate) direct_8x8_inference: bool,
    /// Left, right, top, bottom, in crop units.
    pub(crate) crop: Option<[u32; 4]>,
    /// num_units_in_tick and time_scale, in a VUI that says nothing else.
    pub(crate) timing: Option<(u32, u32)>,
}

impl Sps {
    /// Reads a NAL unit without emulation prevention bytes, its header byte included.
    pub(crate) fn parse(nal: &[u8]) -> Result<Self, Exhausted> {
        let mut r = BitReader::new(nal);
        r.u(8)?;
        let mut sps =
            Self { profile_idc: r.u(8)?, constraint_flags: r.u(8)?, level_idc: r.u(8)?, ..Self::default() };
        sps.id = r.ue()?;
        sps.chroma_format_idc = 1;
        if HIGH_PROFILES.contains(&sps.profile_idc) {
            sps.chroma_format_idc = r.ue()?;
            if sps.chroma_format_idc == 3 {
                r.bit()?;
            }
            sps.bit_depth_luma_minus8 = r.ue()?;
            sps.bit_depth_chroma_minus8 = r.ue()?;
            r.bit()?;
            if r.flag()? {
                skip_scaling_lists(&mut r, if sps.chroma_format_idc == 3 { 12 } else { 8 })?;
            }
        }
        sps.log2_max_frame_num = r.ue()? + 4;
        sps.pic_order_cnt_type = r.ue()?;
        match sps.pic_order_cnt_type {
            0 => sps.log2_max_pic_order_cnt_lsb = r.ue()? + 4,
            1 => {
                sps.delta_pic_order_always_zero_flag = r.flag()?;
                r.se()?;
                r.se()?;
                for _ in 0..r.ue()? {
                    r.se()?;
                }
            }
            _ => {}
        }
        sps.max_num_ref_frames = r.ue()?;
        sps.gaps_in_frame_num_allowed = r.flag()?;
        sps.width_in_mbs = r.ue()? + 1;
        sps.height_in_map_units = r.ue()? + 1;
        sps.frame_mbs_only = r.flag()?;
        sps.mb_adaptive_frame_field = !sps.frame_mbs_only && r.flag()?;
        sps.direct_8x8_inference = r.flag()?;
        if r.flag()? {
            sps.crop = Some([r.ue()?, r.ue()?, r.ue()?, r.ue()?]);
        }
        Ok(sps)
    }

    /// The NAL unit, without emulation prevention bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.u(3 << 5 | NAL_SPS, 8);
        w.u(self.profile_idc, 8);
        w.u(self.constraint_flags, 8);
        w.u(self.level_idc, 8);
        w.ue(self.id);
        if HIGH_PROFILES.contains(&self.profile_idc) {
            w.ue(self.chroma_format_idc);
            w.ue(self.bit_depth_luma_minus8);
            w.ue(self.bit_depth_chroma_minus8);
            w.flag(false);
            w.flag(false);
        }
        w.ue(self.log2_max_frame_num - 4);
        w.ue(self.pic_order_cnt_type);
        match self.pic_order_cnt_type {
            0 => w.ue(self.log2_max_pic_order_cnt_lsb - 4),
            1 => {
                w.flag(self.delta_pic_order_always_zero_flag);
                w.se(0);
                w.se(0);
                w.ue(0);
            }
            _ => {}
        }
        w.ue(self.max_num_ref_frames);
        w.flag(self.gaps_in_frame_num_allowed);
        w.ue(self.width_in_mbs - 1);
        w.ue(self.height_in_map_units - 1);
        w.flag(self.frame_mbs_only);
        if !self.frame_mbs_only {
            w.flag(self.mb_adaptive_frame_field);
        }
        w.flag(self.direct_8x8_inference);
        w.flag(self.crop.is_some());
        for edge in self.crop.iter().flatten() {
            w.ue(*edge);
        }
        w.flag(self.timing.is_some());
        if let Some((tick, scale)) = self.timing {
            // Aspect ratio, overscan, video signal type, chroma location: not present.
            w.u(0, 4);
            w.flag(true);
            w.u(tick, 32);
            w.u(scale, 32);
            w.flag(true);
            // Both HRDs, pic_struct, bitstream restriction: not present.
            w.u(0, 4);
        }
        w.trail();
        w.finish()
    }
}

/// What a picture parameter set says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pps {
    pub(crate) id: u32,
    pub(crate) sps_id: u32,
    pub(crate) entropy_coding_mode: bool,
    pub(crate) pic_order_present: bool,
    pub(crate) num_ref_idx_default: [u32; 2],
    pub(crate) weighted_pred: bool,
    pub(crate) weighted_bipred_idc: u32,
    pub(crate) pic_init_qp_minus26: i32,
    pub(crate) pic_init_qs_minus26: i32,
    pub(crate) chroma_qp_index_offset: i32,
    pub(crate) second_chroma_qp_index_offset: i32,
    pub(crate) deblocking_filter_control_present: bool,
    pub(crate) constrained_intra_pred: bool,
    pub(crate) redundant_pic_cnt_present: bool,
    pub(crate) transform_8x8_mode: bool,
    /// Scaling lists in raster order, where they are not flat.
    pub(crate) scaling: Option<Box<ScalingLists>>,
}

/// Six lists of 4x4 and two of 8x8, in raster order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalingLists {
    pub(crate) of_4x4: [[u8; 16]; 6],
    pub(crate) of_8x8: [[u8; 64]; 2],
}

impl ScalingLists {
    pub(crate) fn is_flat(&self) -> bool {
        self.of_4x4.iter().flatten().chain(self.of_8x8.iter().flatten()).all(|&weight| weight == 16)
    }
}

impl Pps {
    /// Reads a NAL unit without emulation prevention bytes, its header byte included. `None` for several slice groups.
    pub(crate) fn parse(nal: &[u8]) -> Result<Option<Self>, Exhausted> {
        let mut r = BitReader::new(nal);
        r.u(8)?;
        let mut pps = Self { id: r.ue()?, sps_id: r.ue()?, ..Self::default() };
        pps.entropy_coding_mode = r.flag()?;
        pps.pic_order_present = r.flag()?;
        if r.ue()? > 0 {
            return Ok(None);
        }
        pps.num_ref_idx_default = [r.ue()? + 1, r.ue()? + 1];
        pps.weighted_pred = r.flag()?;
        pps.weighted_bipred_idc = r.u(2)?;
        pps.pic_init_qp_minus26 = r.se()?;
        pps.pic_init_qs_minus26 = r.se()?;
        pps.chroma_qp_index_offset = r.se()?;
        pps.second_chroma_qp_index_offset = pps.chroma_qp_index_offset;
        pps.deblocking_filter_control_present = r.flag()?;
        pps.constrained_intra_pred = r.flag()?;
        pps.redundant_pic_cnt_present = r.flag()?;
        if more_data(nal, r.position()) {
            pps.transform_8x8_mode = r.flag()?;
            if r.flag()? {
                skip_scaling_lists(&mut r, if pps.transform_8x8_mode { 8 } else { 6 })?;
            }
            pps.second_chroma_qp_index_offset = r.se()?;
        }
        Ok(Some(pps))
    }

    /// The NAL unit, without emulation prevention bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.u(3 << 5 | NAL_PPS, 8);
        w.ue(self.id);
        w.ue(self.sps_id);
        w.flag(self.entropy_coding_mode);
        w.flag(self.pic_order_present);
        w.ue(0);
        w.ue(self.num_ref_idx_default[0] - 1);
        w.ue(self.num_ref_idx_default[1] - 1);
        w.flag(self.weighted_pred);
        w.u(self.weighted_bipred_idc, 2);
        w.se(self.pic_init_qp_minus26);
        w.se(self.pic_init_qs_minus26);
        w.se(self.chroma_qp_index_offset);
        w.flag(self.deblocking_filter_control_present);
        w.flag(self.constrained_intra_pred);
        w.flag(self.redundant_pic_cnt_present);
        let second = self.second_chroma_qp_index_offset != self.chroma_qp_index_offset;
        if self.transform_8x8_mode || self.scaling.is_some() || second {
            w.flag(self.transform_8x8_mode);
            w.flag(self.scaling.is_some());
            if let Some(lists) = &self.scaling {
                for list in &lists.of_4x4 {
                    write_scaling_list(&mut w, list, &ZIGZAG_4X4);
                }
                for list in lists.of_8x8.iter().filter(|_| self.transform_8x8_mode) {
                    write_scaling_list(&mut w, list, &ZIGZAG_8X8);
                }
            }
            w.se(self.second_chroma_qp_index_offset);
        }
        w.trail();
        w.finish()
    }
}

/// more_rbsp_data of 7.2: whether anything but the trailing bits follows bit `at`.
fn more_data(nal: &[u8], at: usize) -> bool {
    let Some(last) = nal.iter().rposition(|&byte| byte != 0) else { return false };
    let stop = last * 8 + 7 - usize::try_from(nal[last].trailing_zeros()).unwrap_or(0);
    at < stop
}

fn skip_scaling_lists(r: &mut BitReader<'_>, count: u32) -> Result<(), Exhausted> {
    for index in 0..count {
        if !r.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if index < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + r.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

/// All weights of a list, as differences (7.3.2.1.1.1).
fn write_scaling_list(w: &mut BitWriter, raster: &[u8], scan: &[usize]) {
    w.flag(true);
    let mut last = 8;
    for &at in scan {
        let weight = i32::from(raster[at]);
        let mut delta = weight - last;
        if delta > 127 {
            delta -= 256;
        } else if delta < -128 {
            delta += 256;
        }
        w.se(delta);
        last = weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_read_as_written() {
        let sps = Sps {
            profile_idc: 100,
            level_idc: 40,
            chroma_format_idc: 1,
            log2_max_frame_num: 8,
            log2_max_pic_order_cnt_lsb: 9,
            max_num_ref_frames: 4,
            width_in_mbs: 120,
            height_in_map_units: 68,
            frame_mbs_only: true,
            direct_8x8_inference: true,
            crop: Some([0, 0, 0, 4]),
            ..Sps::default()
        };
        assert_eq!(Sps::parse(&sps.write()), Ok(sps));
        let pps = Pps {
            id: 3,
            entropy_coding_mode: true,
            num_ref_idx_default: [2, 1],
            pic_init_qp_minus26: -4,
            chroma_qp_index_offset: 2,
            second_chroma_qp_index_offset: 2,
            deblocking_filter_control_present: true,
            transform_8x8_mode: true,
            ..Pps::default()
        };
        assert_eq!(Pps::parse(&pps.write()), Ok(Some(pps)));
    }
}
