//! Bodies for [`crate::decode::fuzz`].

use proptest::prelude::*;

use super::dpb::{Bounds, Dpb, Mark};
use super::references::ShortTermSet;
use super::slice::{LongTerm, SliceHeader};
use super::*;
use crate::decode::nal::Payload;

/// Parameter sets as our own encoder writes them.
pub(in crate::decode) fn sets() -> Vec<Vec<u8>> {
    crate::encode::fuzz::hevc_parameter_sets()
}

/// Any payload as an SPS, a PPS, and slices of a stream with the sets that came.
pub(in crate::decode) fn payload(data: &[u8]) {
    let mut sets = Sets::default();
    for set in self::sets() {
        let payload = Payload::new(&set, 2, set.len()).data;
        match set[0] >> 1 & 0x3f {
            SPS => drop(Sps::parse(&payload).map(|sps| sets.sps.insert(0, sps.into()))),
            PPS => drop(Pps::parse(&payload).map(|pps| sets.pps.insert(0, pps))),
            _ => {}
        }
    }
    assert!(!sets.sps.is_empty() && !sets.pps.is_empty());
    if let Ok(sps) = Sps::parse(data) {
        let [left, right, top, bottom] = sps.window;
        assert!(left + right < u32::from(sps.pic_width_in_luma_samples));
        assert!(top + bottom < u32::from(sps.pic_height_in_luma_samples));
        let _ = (sps.form(), sps.display_window(), sps.size_in_ctbs());
        sets.sps.insert(0, sps.into());
    }
    if let Ok(pps) = Pps::parse(data) {
        sets.pps.insert(0, pps);
    }
    for header in [[0x26, 1], [0x02, 1], [0x12, 1]] {
        let _ = SliceHeader::parse(header, data, &sets, None);
    }
}

/// A picture of a stream that keeps to nothing.
#[derive(Debug, Clone)]
pub(in crate::decode) struct AnyPicture {
    count: i32,
    begins: bool,
    output: bool,
    negative: Vec<(i32, bool)>,
    positive: Vec<(i32, bool)>,
    long_term: Vec<(u32, Option<u32>, bool)>,
}

pub(in crate::decode) fn step() -> impl Strategy<Value = AnyPicture> {
    let list = |from: i32| proptest::collection::vec((from..from + 10, any::<bool>()), 0..5);
    (
        -40i32..40,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
        list(-10),
        list(1),
        proptest::collection::vec((0u32..16, proptest::option::of(0u32..3), any::<bool>()), 0..3),
    )
        .prop_map(|(count, begins, output, negative, positive, long_term)| AnyPicture {
            count,
            begins,
            output,
            negative,
            positive,
            long_term,
        })
}

/// Whatever is to be shown is shown exactly once, the buffer keeps to its bound, and sets lead to what is referred to.
pub(in crate::decode) fn pictures(steps: &[AnyPicture]) {
    let mut dpb = Dpb::new(Bounds { frames: 5, reorder: 2, latency: Some(3) });
    let (mut shown, mut output) = (Vec::new(), 0usize);
    for (number, step) in steps.iter().enumerate() {
        if step.begins {
            dpb.clear(&mut shown);
        }
        let short = ShortTermSet { negative: step.negative.clone(), positive: step.positive.clone() };
        let long: Vec<_> = step
            .long_term
            .iter()
            .map(|(lsb, msb_cycle, used)| LongTerm { lsb: *lsb, msb_cycle: *msb_cycle, used: *used })
            .collect();
        dpb.derive(step.count, 15, &short, &long);
        dpb.make_room(&mut shown);
        let set = dpb.derive(step.count, 15, &short, &long);
        for at in [&set.before, &set.after, &set.long_term].into_iter().flatten().flatten() {
            assert!(dpb.entries().get(*at).is_some_and(|entry| entry.mark != Mark::Unused));
        }
        let list = dpb::list(&set.before, &set.after, &set.long_term, 15, None);
        assert_eq!(list.len(), 15);
        dpb.store(number, step.count, step.output, &mut shown);
        output += usize::from(step.output);
        assert!(dpb.entries().len() <= 17, "{} entries", dpb.entries().len());
    }
    dpb.clear(&mut shown);
    let distinct: std::collections::BTreeSet<_> = shown.iter().collect();
    assert_eq!((shown.len(), distinct.len()), (output, output));
}

#[test]
fn what_our_encoder_writes_is_read_as_meant() {
    let sets = sets();
    let sps = Sps::parse(&Payload::new(&sets[1], 2, 200).data).unwrap();
    assert_eq!((sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples), (1280, 720));
    assert_eq!((sps.vui.matrix_coeffs, sps.vui.video_full_range_flag), (1, false));
    assert_eq!(sps.short_term_ref_pic_sets[0].negative, [(-1, true)]);
    assert_eq!((sps.sps_max_num_reorder_pics, sps.sps_max_dec_pic_buffering_minus1), (0, 1));
    assert!(sps.form().is_ok());
    let pps = Pps::parse(&Payload::new(&sets[2], 2, 200).data).unwrap();
    assert!(pps.cu_qp_delta_enabled_flag && pps.pps_loop_filter_across_slices_enabled_flag);
    assert!(!pps.extended);
}
