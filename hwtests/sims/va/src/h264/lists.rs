//! Which pictures a slice of a frame refers to (8.2.4), built from the reference frames that the client names.

use crate::h264::{SLICE_B, SLICE_P, SliceHeader};

/// A reference frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) surface: u32,
    /// frame_num, or LongTermFrameIdx.
    pub(crate) frame_idx: u32,
    pub(crate) long_term: bool,
    /// PicOrderCnt of the frame.
    pub(crate) poc: i32,
}

/// An entry of a list: the surface, and none where the standard leaves a hole.
pub(crate) type ListEntry = Option<u32>;

/// What the standard makes of `references` for this slice: RefPicList0 and RefPicList1, as long as the header says.
///
/// For slices of frames only (and not of fields). The error is a sentence on a modification that names no reference.
pub(crate) fn expected_lists(
    header: &SliceHeader,
    references: &[Reference],
    max_frame_num: i64,
    poc: i32,
) -> Result<[Vec<ListEntry>; 2], String> {
    let frame_num = i64::from(header.frame_num);
    // (8-27), (8-28): PicNum of a short-term frame.
    let pic_num = |r: &Reference| {
        let num = i64::from(r.frame_idx);
        if num > frame_num { num - max_frame_num } else { num }
    };
    let mut short: Vec<Reference> = references.iter().copied().filter(|r| !r.long_term).collect();
    let mut long: Vec<Reference> = references.iter().copied().filter(|r| r.long_term).collect();
    long.sort_by_key(|r| r.frame_idx);
    let mut lists: [Vec<Reference>; 2] = Default::default();
    match header.kind() {
        SLICE_P => {
            short.sort_by_key(|r| std::cmp::Reverse(pic_num(r)));
            lists[0] = short.iter().chain(&long).copied().collect();
        }
        SLICE_B => {
            let (mut before, mut after): (Vec<_>, Vec<_>) = short.iter().copied().partition(|r| r.poc < poc);
            before.sort_by_key(|r| std::cmp::Reverse(r.poc));
            after.sort_by_key(|r| r.poc);
            lists[0] = before.iter().chain(&after).chain(&long).copied().collect();
            lists[1] = after.iter().chain(&before).chain(&long).copied().collect();
            if lists[1].len() > 1 && lists[0] == lists[1] {
                lists[1].swap(0, 1);
            }
        }
        _ => {}
    }
    let mut result: [Vec<ListEntry>; 2] = Default::default();
    for (index, list) in lists.iter().enumerate() {
        let length = usize::try_from(header.num_ref_idx_active[index]).unwrap_or(0);
        let mut entries: Vec<Option<Reference>> = list.iter().copied().map(Some).collect();
        entries.resize(length, None);
        if let Some(commands) = &header.modifications[index] {
            let mut predicted = frame_num;
            for (place, command) in commands.iter().enumerate() {
                let value = i64::from(command.value);
                let named = if command.idc == 2 {
                    long.iter().find(|r| i64::from(r.frame_idx) == value)
                } else {
                    let step = if command.idc == 0 { -(value + 1) } else { value + 1 };
                    predicted = (predicted + step).rem_euclid(max_frame_num);
                    let wanted = if predicted > frame_num { predicted - max_frame_num } else { predicted };
                    short.iter().find(|r| pic_num(r) == wanted)
                };
                let Some(named) = named.copied() else {
                    return Err(format!(
                        "list {index} is to be modified by idc {} value {value}, which names none of the reference frames",
                        command.idc
                    ));
                };
                if place >= length {
                    break;
                }
                // (8-37): the named picture moves to its place, and its old place closes up.
                entries.insert(place, Some(named));
                let double = (place + 1..entries.len()).find(|&at| {
                    entries[at]
                        .is_some_and(|r| (r.long_term, r.frame_idx) == (named.long_term, named.frame_idx))
                });
                if let Some(at) = double {
                    entries.remove(at);
                }
                entries.truncate(length);
            }
        }
        result[index] = entries.iter().map(|entry| entry.map(|r| r.surface)).collect();
    }
    Ok(result)
}
