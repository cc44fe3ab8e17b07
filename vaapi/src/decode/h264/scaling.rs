//! Scaling lists of H.264 (ITU-T H.264, 7.3.2.1.1.1, 7.4.2.1.1 and table 7-2).

use super::super::bits::{BitReader, SyntaxError};

/// A list as a parameter set has it, in zig-zag order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScalingList {
    /// Fall-back rule.
    Absent,
    /// The default of its kind.
    Default,
    /// 16 or 64 values.
    Values(Vec<u8>),
}

/// Six lists of 4x4 and `eights` of 8x8.
pub(super) fn lists(r: &mut BitReader<'_>, eights: usize) -> Result<Vec<ScalingList>, SyntaxError> {
    let mut lists = Vec::new();
    for index in 0..6 + eights {
        lists.push(match r.flag("scaling_list_present_flag")? {
            true => list(r, if index < 6 { 16 } else { 64 })?,
            false => ScalingList::Absent,
        });
    }
    Ok(lists)
}

fn list(r: &mut BitReader<'_>, entries: usize) -> Result<ScalingList, SyntaxError> {
    let (mut last, mut next) = (8i64, 8i64);
    let mut values = Vec::with_capacity(entries);
    for index in 0..entries {
        if next != 0 {
            next = (last + r.se("delta_scale")?).rem_euclid(256);
            if index == 0 && next == 0 {
                return Ok(ScalingList::Default);
            }
        }
        if next != 0 {
            last = next;
        }
        values.push(u8::try_from(last).unwrap_or(16));
    }
    Ok(ScalingList::Values(values))
}

const DEFAULT_4X4_INTRA: [u8; 16] = [6, 13, 13, 20, 20, 20, 28, 28, 28, 28, 32, 32, 32, 37, 37, 42];
const DEFAULT_4X4_INTER: [u8; 16] = [10, 14, 14, 20, 20, 20, 24, 24, 24, 24, 27, 27, 27, 30, 30, 34];
const DEFAULT_8X8_INTRA: [u8; 64] = [
    6, 10, 10, 13, 11, 13, 16, 16, 16, 16, 18, 18, 18, 18, 18, 23, 23, 23, 23, 23, 23, 25, 25, 25, 25, 25,
    25, 25, 27, 27, 27, 27, 27, 27, 27, 27, 29, 29, 29, 29, 29, 29, 29, 31, 31, 31, 31, 31, 31, 33, 33, 33,
    33, 33, 36, 36, 36, 36, 38, 38, 38, 40, 40, 42,
];
const DEFAULT_8X8_INTER: [u8; 64] = [
    9, 13, 13, 15, 13, 15, 17, 17, 17, 17, 19, 19, 19, 19, 19, 21, 21, 21, 21, 21, 21, 22, 22, 22, 22, 22,
    22, 22, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 27, 27, 27, 27, 27, 27, 28, 28, 28,
    28, 28, 30, 30, 30, 30, 32, 32, 32, 33, 33, 35,
];

/// Positions of a zig-zag scan of 4x4, as rows of 4 (figure 6-7).
const ZIGZAG_4X4: [usize; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
/// Likewise of 8x8 (figure 6-8).
const ZIGZAG_8X8: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The lists in force: six of 4x4, two of 8x8 (4:2:0), in raster order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScalingLists {
    pub(super) four: [[u8; 16]; 6],
    pub(super) eight: [[u8; 64]; 2],
}

impl ScalingLists {
    /// What the sets of a sequence and of a picture say together.
    pub(super) fn in_force(sps: Option<&[ScalingList]>, pps: Option<&[ScalingList]>) -> Self {
        let flat = [
            vec![16; 16],
            vec![16; 16],
            vec![16; 16],
            vec![16; 16],
            vec![16; 16],
            vec![16; 16],
            vec![16; 64],
            vec![16; 64],
        ];
        let defaults = [0, 0, 0, 1, 1, 1, 2, 3].map(|kind| match kind {
            0 => DEFAULT_4X4_INTRA.to_vec(),
            1 => DEFAULT_4X4_INTER.to_vec(),
            2 => DEFAULT_8X8_INTRA.to_vec(),
            _ => DEFAULT_8X8_INTER.to_vec(),
        });
        // Fall-back rule set A leads to the defaults, B to the sequence's lists.
        let sequence = sps.map_or(flat.clone(), |lists| resolve(lists, &defaults, &defaults));
        let fallback = if sps.is_some() { &sequence } else { &defaults };
        let lists = match pps {
            Some(lists) => resolve(lists, fallback, &defaults),
            None => sequence,
        };
        let mut out = Self { four: [[16; 16]; 6], eight: [[16; 64]; 2] };
        for (target, list) in out.four.iter_mut().zip(&lists) {
            raster(target, list, &ZIGZAG_4X4);
        }
        for (target, list) in out.eight.iter_mut().zip(lists.iter().skip(6)) {
            raster(target, list, &ZIGZAG_8X8);
        }
        out
    }
}

/// Lists of a set with what stands in for those that are absent: the first of a kind falls back, the others follow the
/// one before.
fn resolve(lists: &[ScalingList], fallback: &[Vec<u8>; 8], defaults: &[Vec<u8>; 8]) -> [Vec<u8>; 8] {
    let mut out: [Vec<u8>; 8] = fallback.clone();
    for index in 0..8 {
        let first = matches!(index, 0 | 3 | 6 | 7);
        let value = match lists.get(index) {
            Some(ScalingList::Values(values)) => values.clone(),
            Some(ScalingList::Default) => defaults[index].clone(),
            // A picture's 8x8 lists are not there without 8x8 transforms, and fall back too.
            Some(ScalingList::Absent) | None if first => fallback[index].clone(),
            Some(ScalingList::Absent) | None => out[index - 1].clone(),
        };
        out[index] = value;
    }
    out
}

fn raster<const N: usize>(target: &mut [u8; N], list: &[u8], scan: &[usize; N]) {
    for (value, at) in list.iter().zip(scan) {
        if let Some(place) = target.get_mut(*at) {
            *place = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fall_back_as_the_tables_say() {
        let flat = ScalingLists::in_force(None, None);
        assert_eq!(flat, ScalingLists { four: [[16; 16]; 6], eight: [[16; 64]; 2] });
        let absent = vec![ScalingList::Absent; 8];
        let defaults = ScalingLists::in_force(Some(&absent), None);
        assert_eq!(defaults.four[1][..5], [6, 13, 20, 28, 13], "raster order, list 1 follows list 0");
        assert_eq!(defaults.eight[1][63], 35);
        let mut own = absent.clone();
        own[3] = ScalingList::Values(vec![7; 16]);
        let mixed = ScalingLists::in_force(Some(&own), Some(&absent));
        assert_eq!(mixed.four[4], [7; 16], "rule B: the sequence's list, and what follows it");
        assert_eq!(
            ScalingLists::in_force(None, Some(&absent)),
            defaults,
            "rule A without a sequence's lists"
        );
    }
}
