//! Short-term reference picture sets of HEVC (ITU-T H.265, 7.3.7, 7.4.8).

use super::super::bits::{BitReader, SyntaxError};

/// Most pictures of a set (`MaxDpbSize`, A.4.2).
const MAX_PICTURES: usize = 16;

/// Distances from the current picture, nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ShortTermSet {
    /// `DeltaPocS0`, `UsedByCurrPicS0`
    pub(super) negative: Vec<(i32, bool)>,
    /// `DeltaPocS1`, `UsedByCurrPicS1`
    pub(super) positive: Vec<(i32, bool)>,
}

impl ShortTermSet {
    /// The next one behind `sets`, which it may be predicted from; of a slice header that can be any of them.
    pub(super) fn parse(
        r: &mut BitReader<'_>,
        sets: &[Self],
        in_slice_header: bool,
    ) -> Result<Self, SyntaxError> {
        if !sets.is_empty() && r.flag("inter_ref_pic_set_prediction_flag")? {
            return Self::predicted(r, sets, in_slice_header);
        }
        let bound = "at most 16 pictures";
        let negative = r.ue_up_to(16, bound, "num_negative_pics")?;
        let positive = r.ue_up_to(16 - negative, bound, "num_positive_pics")?;
        let mut list = |count: u32, sign: i32| -> Result<Vec<(i32, bool)>, SyntaxError> {
            let mut distance = 0;
            let mut list = Vec::new();
            for _ in 0..count {
                let step = r.ue_up_to(0x7fff, "under 2^15", "delta_poc_minus1")?;
                distance += sign * (i32::try_from(step).unwrap_or(0) + 1);
                list.push((distance, r.flag("used_by_curr_pic_flag")?));
            }
            Ok(list)
        };
        Ok(Self { negative: list(negative, -1)?, positive: list(positive, 1)? })
    }

    fn predicted(r: &mut BitReader<'_>, sets: &[Self], in_slice_header: bool) -> Result<Self, SyntaxError> {
        let mut back = 1;
        if in_slice_header {
            let most = u32::try_from(sets.len()).unwrap_or(0) - 1;
            back += usize::try_from(r.ue_up_to(most, "a set there is", "delta_idx_minus1")?).unwrap_or(0);
        }
        let Some(base) = sets.len().checked_sub(back).and_then(|at| sets.get(at)) else {
            return Err(r.value("delta_idx_minus1", 0, "a set there is"));
        };
        let sign = r.flag("delta_rps_sign")?;
        let magnitude =
            i32::try_from(r.ue_up_to(0x7fff, "under 2^15", "abs_delta_rps_minus1")?).unwrap_or(0) + 1;
        let delta = if sign { -magnitude } else { magnitude };
        // In the order of (7-61): negative ones, positive ones, and the picture of the set itself.
        let mut flags = Vec::new();
        for _ in 0..=base.negative.len() + base.positive.len() {
            let used = r.flag("used_by_curr_pic_flag")?;
            flags.push((used, used || r.flag("use_delta_flag")?));
        }
        let mut set = Self::default();
        let flag = |at: usize| flags.get(at).copied().unwrap_or((false, false));
        let negatives = base.negative.len();
        let mut add = |distance: i32, at: usize, list: fn(&mut Self) -> &mut Vec<(i32, bool)>| {
            let (used, kept) = flag(at);
            if kept {
                list(&mut set).push((distance, used));
            }
        };
        // (7-61)
        for (at, (distance, _)) in base.positive.iter().enumerate().rev() {
            if distance + delta < 0 {
                add(distance + delta, negatives + at, |set| &mut set.negative);
            }
        }
        if delta < 0 {
            add(delta, flags.len() - 1, |set| &mut set.negative);
        }
        for (at, (distance, _)) in base.negative.iter().enumerate() {
            if distance + delta < 0 {
                add(distance + delta, at, |set| &mut set.negative);
            }
        }
        // (7-62)
        for (at, (distance, _)) in base.negative.iter().enumerate().rev() {
            if distance + delta > 0 {
                add(distance + delta, at, |set| &mut set.positive);
            }
        }
        if delta > 0 {
            add(delta, flags.len() - 1, |set| &mut set.positive);
        }
        for (at, (distance, _)) in base.positive.iter().enumerate() {
            if distance + delta > 0 {
                add(distance + delta, negatives + at, |set| &mut set.positive);
            }
        }
        if set.negative.len() + set.positive.len() > MAX_PICTURES {
            return Err(r.value("use_delta_flag", 17, "at most 16 set"));
        }
        Ok(set)
    }

    /// Pictures that the current one may refer to.
    pub(super) fn used(&self) -> usize {
        self.negative.iter().chain(&self.positive).filter(|(_, used)| *used).count()
    }
}
