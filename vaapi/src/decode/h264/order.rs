//! Picture order counts of H.264 (ITU-T H.264, 8.2.1).

use super::slice::{Marking, RefMarking, SliceHeader, Structure};
use super::sps::Sps;

/// What later pictures' counts are derived from.
#[derive(Debug, Clone, Default)]
pub(super) struct OrderCounter {
    prev_pic_order_cnt_msb: i32,
    prev_pic_order_cnt_lsb: i32,
    prev_frame_num: u32,
    prev_frame_num_offset: i32,
}

impl OrderCounter {
    /// Counts of the top and the bottom field; that of a field which the picture does not have is without meaning.
    pub(super) fn count(&mut self, sps: &Sps, slice: &SliceHeader) -> [i32; 2] {
        match sps.pic_order_cnt_type {
            0 => self.type_0(sps, slice),
            kind => self.type_1_or_2(kind, sps, slice),
        }
    }

    /// Counts start anew behind a picture that marks all references unused (8.2.1): what the current one counts is
    /// `tempPicOrderCnt` less. Gives its counts from now on.
    pub(super) fn restart(&mut self, counts: [i32; 2], structure: Structure) -> [i32; 2] {
        let [top, bottom] = counts;
        let base = match structure {
            Structure::Frame => top.min(bottom),
            Structure::TopField => top,
            Structure::BottomField => bottom,
        };
        let counts = [top.wrapping_sub(base), bottom.wrapping_sub(base)];
        self.prev_pic_order_cnt_msb = 0;
        self.prev_pic_order_cnt_lsb = if structure == Structure::BottomField { 0 } else { counts[0] };
        self.prev_frame_num = 0;
        self.prev_frame_num_offset = 0;
        counts
    }

    fn type_0(&mut self, sps: &Sps, slice: &SliceHeader) -> [i32; 2] {
        if slice.idr {
            (self.prev_pic_order_cnt_msb, self.prev_pic_order_cnt_lsb) = (0, 0);
        }
        let max = 1i32 << (sps.log2_max_pic_order_cnt_lsb_minus4 + 4);
        let lsb = i32::try_from(slice.pic_order_cnt_lsb).unwrap_or(0);
        let (prev_msb, prev_lsb) = (self.prev_pic_order_cnt_msb, self.prev_pic_order_cnt_lsb);
        let msb = if lsb < prev_lsb && prev_lsb - lsb >= max / 2 {
            prev_msb.wrapping_add(max)
        } else if lsb > prev_lsb && lsb - prev_lsb > max / 2 {
            prev_msb.wrapping_sub(max)
        } else {
            prev_msb
        };
        let top = msb.wrapping_add(lsb);
        let bottom = top.wrapping_add(slice.delta_pic_order_cnt_bottom);
        if slice.nal_ref_idc != 0 {
            (self.prev_pic_order_cnt_msb, self.prev_pic_order_cnt_lsb) = (msb, lsb);
        }
        [top, bottom]
    }

    fn type_1_or_2(&mut self, kind: u8, sps: &Sps, slice: &SliceHeader) -> [i32; 2] {
        let max_frame_num = i32::try_from(sps.max_frame_num()).unwrap_or(i32::MAX);
        let offset = if slice.idr {
            0
        } else if self.prev_frame_num > slice.frame_num {
            self.prev_frame_num_offset.wrapping_add(max_frame_num)
        } else {
            self.prev_frame_num_offset
        };
        self.prev_frame_num = slice.frame_num;
        self.prev_frame_num_offset = offset;
        let frame_num = i32::try_from(slice.frame_num).unwrap_or(0);
        if kind == 2 {
            let doubled = offset.wrapping_add(frame_num).wrapping_mul(2);
            let count = if slice.idr { 0 } else { doubled.wrapping_sub(i32::from(slice.nal_ref_idc == 0)) };
            return [count, count];
        }
        let cycle = &sps.offset_for_ref_frame;
        let length = i32::try_from(cycle.len()).unwrap_or(0);
        let mut abs_frame_num = if length != 0 { offset.wrapping_add(frame_num) } else { 0 };
        if slice.nal_ref_idc == 0 && abs_frame_num > 0 {
            abs_frame_num -= 1;
        }
        let mut expected = 0i32;
        if abs_frame_num > 0 {
            let whole = (abs_frame_num - 1) / length.max(1);
            let within = usize::try_from((abs_frame_num - 1) % length.max(1)).unwrap_or(0);
            let delta = cycle.iter().fold(0i32, |sum, offset| sum.wrapping_add(*offset));
            expected = whole.wrapping_mul(delta);
            expected = cycle.iter().take(within + 1).fold(expected, |sum, offset| sum.wrapping_add(*offset));
        }
        if slice.nal_ref_idc == 0 {
            expected = expected.wrapping_add(sps.offset_for_non_ref_pic);
        }
        let [first, second] = slice.delta_pic_order_cnt;
        let to_bottom = sps.offset_for_top_to_bottom_field;
        match slice.structure {
            Structure::Frame => {
                let top = expected.wrapping_add(first);
                [top, top.wrapping_add(to_bottom).wrapping_add(second)]
            }
            Structure::TopField => [expected.wrapping_add(first); 2],
            Structure::BottomField => [expected.wrapping_add(to_bottom).wrapping_add(first); 2],
        }
    }
}

/// Whether a picture marks all references unused (`memory_management_control_operation` 5).
pub(super) fn restarts(slice: &SliceHeader) -> bool {
    matches!(&slice.marking, RefMarking::Adaptive(steps) if steps.contains(&Marking::AllUnused))
}
