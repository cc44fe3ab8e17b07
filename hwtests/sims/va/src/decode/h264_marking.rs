//! What H.264's slice headers say of picture order (8.2.1) and of reference marking (8.2.5), for frames.

use crate::h264::{Marking, Reference, SliceHeader, Sps};

/// The decoder's memory of the order of the pictures before.
#[derive(Debug, Default)]
pub(super) struct Order {
    prev_poc_msb: i64,
    prev_poc_lsb: i64,
    prev_frame_num: i64,
    prev_frame_num_offset: i64,
    /// memory_management_control_operation 5 of the picture before: it counts as frame_num 0, with this POC.
    after_reset: Option<i64>,
}

impl Order {
    /// TopFieldOrderCnt and BottomFieldOrderCnt of a picture; `None` for pic_order_cnt_type 1, whose cycle the client
    /// does not tell.
    pub(super) fn next(&mut self, header: &SliceHeader, sps: &Sps) -> Option<[i32; 2]> {
        let counts = match sps.pic_order_cnt_type {
            0 => Some(self.by_lsb(header, sps)),
            2 => Some(self.by_frame_num(header, sps)),
            _ => None,
        };
        self.prev_frame_num = header.frame_num.into();
        let reset = header.markings.iter().flatten().any(|marking| marking.operation == 5);
        self.after_reset = None;
        if reset {
            let top = |[top, bottom]: [i64; 2]| match (header.field_pic, header.bottom_field) {
                (_, true) => 0,
                (true, false) => top,
                (false, false) => top - top.min(bottom),
            };
            self.after_reset = Some(counts.map_or(0, top));
        }
        let narrow = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        counts.map(|[top, bottom]| [narrow(top), narrow(bottom)])
    }

    /// 8.2.1.1.
    fn by_lsb(&mut self, header: &SliceHeader, sps: &Sps) -> [i64; 2] {
        if header.is_idr() {
            (self.prev_poc_msb, self.prev_poc_lsb) = (0, 0);
        } else if let Some(top) = self.after_reset {
            (self.prev_poc_msb, self.prev_poc_lsb) = (0, top);
        }
        let max = 1i64 << sps.log2_max_pic_order_cnt_lsb;
        let lsb = i64::from(header.pic_order_cnt_lsb);
        let msb = if lsb < self.prev_poc_lsb && self.prev_poc_lsb - lsb >= max / 2 {
            self.prev_poc_msb + max
        } else if lsb > self.prev_poc_lsb && lsb - self.prev_poc_lsb > max / 2 {
            self.prev_poc_msb - max
        } else {
            self.prev_poc_msb
        };
        if header.nal_ref_idc != 0 {
            (self.prev_poc_msb, self.prev_poc_lsb) = (msb, lsb);
        }
        let top = msb + lsb;
        [top, if header.field_pic { top } else { top + i64::from(header.delta_pic_order_cnt_bottom) }]
    }

    /// 8.2.1.3.
    fn by_frame_num(&mut self, header: &SliceHeader, sps: &Sps) -> [i64; 2] {
        let (frame_num, max) = (i64::from(header.frame_num), 1i64 << sps.log2_max_frame_num);
        let previous = if self.after_reset.is_some() { 0 } else { self.prev_frame_num_offset };
        let offset = if header.is_idr() {
            0
        } else if self.prev_frame_num > frame_num && self.after_reset.is_none() {
            previous + max
        } else {
            previous
        };
        self.prev_frame_num_offset = offset;
        let not_reference = i64::from(header.nal_ref_idc == 0);
        let count = if header.is_idr() { 0 } else { 2 * (offset + frame_num) - not_reference };
        [count, count]
    }
}

/// The reference frames that there ought to be. Fields and gaps in frame_num are not followed: until the next IDR
/// nothing is expected then.
#[derive(Debug, Default)]
pub(super) struct Marked {
    frames: Option<Vec<Reference>>,
    previous_reference_frame_num: Option<u32>,
}

impl Marked {
    /// The frames that the next picture may refer to; `None` where that is not followed.
    pub(super) fn expected(&mut self, header: &SliceHeader, sps: &Sps) -> Option<&[Reference]> {
        if header.is_idr() {
            self.frames = Some(Vec::new());
        } else if header.field_pic {
            self.frames = None;
        } else if let Some(previous) = self.previous_reference_frame_num {
            let next = (previous + 1) % (1 << sps.log2_max_frame_num);
            if ![previous, next].contains(&header.frame_num) {
                self.frames = None;
            }
        }
        self.frames.as_deref()
    }

    /// Marks a picture that was decoded into `surface`.
    pub(super) fn mark(&mut self, header: &SliceHeader, sps: &Sps, surface: u32, poc: i32) {
        if header.nal_ref_idc == 0 {
            return;
        }
        self.previous_reference_frame_num = Some(header.frame_num);
        let Some(frames) = &mut self.frames else { return };
        let max = 1i64 << sps.log2_max_frame_num;
        let mut own = Reference { surface, frame_idx: header.frame_num, long_term: false, poc };
        if header.is_idr() && header.long_term_reference {
            own = Reference { frame_idx: 0, long_term: true, ..own };
        }
        match &header.markings {
            Some(markings) => {
                for marking in markings {
                    adapt(frames, &mut own, marking, header.frame_num.into(), max);
                    if marking.operation == 5 {
                        self.previous_reference_frame_num = Some(0);
                    }
                }
            }
            None if !header.is_idr() => slide(frames, header.frame_num.into(), max, sps.max_num_ref_frames),
            None => {}
        }
        frames.push(own);
    }
}

/// Sliding window (8.2.5.3).
fn slide(frames: &mut Vec<Reference>, frame_num: i64, max: i64, most: u32) {
    if frames.len() < usize::try_from(most.max(1)).unwrap_or(1) {
        return;
    }
    let wrapped = |r: &Reference| {
        let num = i64::from(r.frame_idx);
        if num > frame_num { num - max } else { num }
    };
    if let Some(oldest) = frames.iter().filter(|r| !r.long_term).map(wrapped).min() {
        frames.retain(|r| r.long_term || wrapped(r) != oldest);
    }
}

/// One memory_management_control_operation (8.2.5.4).
fn adapt(frames: &mut Vec<Reference>, own: &mut Reference, marking: &Marking, frame_num: i64, max: i64) {
    let short = (frame_num - i64::from(marking.first) - 1).rem_euclid(max);
    let is_short = |r: &Reference| !r.long_term && i64::from(r.frame_idx) == short;
    let is_long = |r: &Reference, index: u32| r.long_term && r.frame_idx == index;
    match marking.operation {
        1 => frames.retain(|r| !is_short(r)),
        2 => frames.retain(|r| !is_long(r, marking.first)),
        3 => {
            frames.retain(|r| !is_long(r, marking.second));
            if let Some(frame) = frames.iter_mut().find(|r| is_short(r)) {
                (frame.long_term, frame.frame_idx) = (true, marking.second);
            }
        }
        4 => frames.retain(|r| !r.long_term || r.frame_idx < marking.first),
        5 => {
            frames.clear();
            own.frame_idx = 0;
        }
        6 => {
            frames.retain(|r| !is_long(r, marking.first));
            (own.long_term, own.frame_idx) = (true, marking.first);
        }
        _ => {}
    }
}
