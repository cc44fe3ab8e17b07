//! Bodies for [`crate::decode::fuzz`].

use proptest::prelude::*;

use super::dpb::{Bounds, Current, Dpb};
use super::slice::{Marking, RefMarking, SliceHeader, SliceType, Structure};
use super::*;
use crate::decode::nal::Payload;

/// Parameter sets as they come: those that our own encoder writes, and one with more of the syntax.
pub(in crate::decode) fn sets() -> Vec<Vec<u8>> {
    let mut sets = crate::encode::fuzz::h264_parameter_sets();
    // x264, interlaced, with scaling lists, HRD and a bitstream restriction.
    sets.push(vec![
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xb4, 0x05, 0x01, 0x7f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00,
        0x00, 0xfa, 0x40, 0x00, 0x30, 0xd4, 0x23, 0xc5, 0x8b, 0xa8,
    ]);
    sets
}

/// Any payload as an SPS, a PPS, and slices of a stream with the sets that came.
pub(in crate::decode) fn payload(data: &[u8]) {
    let mut sets = Sets::default();
    for set in self::sets() {
        let payload = Payload::new(&set, 1, set.len()).data;
        match set[0] & 0x1f {
            SPS => {
                drop(Sps::parse(&payload).map(|sps| sets.sps.insert(sps.seq_parameter_set_id, sps.into())))
            }
            _ => drop(Pps::parse(&payload).map(|pps| sets.pps.insert(pps.pic_parameter_set_id, pps))),
        }
    }
    assert!(!sets.sps.is_empty() && !sets.pps.is_empty());
    if let Ok(sps) = Sps::parse(data) {
        let (width, height) = sps.coded_size();
        assert!(sps.crop[0] + sps.crop[1] < width && sps.crop[2] + sps.crop[3] < height);
        assert!((1..=16).contains(&sps.max_dec_frame_buffering()));
        let _ = (sps.form(), sps.window());
        sets.sps.insert(0, sps.into());
    }
    if let Ok(pps) = Pps::parse(data) {
        sets.pps.insert(0, pps);
    }
    for header in [0x65, 0x41, 0x01] {
        let _ = SliceHeader::parse(header, data, &sets);
    }
}

/// A picture of a stream that keeps to nothing.
#[derive(Debug, Clone)]
pub(in crate::decode) struct AnyPicture {
    structure: u8,
    frame_num: u32,
    counts: [i32; 2],
    reference: bool,
    marking: Vec<Marking>,
    idr: bool,
    gap: bool,
}

pub(in crate::decode) fn step() -> impl Strategy<Value = AnyPicture> {
    let marking = prop_oneof![
        (0u32..20).prop_map(Marking::ShortUnused),
        (0u32..20).prop_map(Marking::LongUnused),
        (0u32..20, 0u32..16).prop_map(|(a, b)| Marking::ShortToLong(a, b)),
        (0u32..17).prop_map(Marking::MaxLong),
        (0u32..16).prop_map(Marking::CurrentToLong),
        Just(Marking::AllUnused),
    ];
    (
        0u8..3,
        0u32..16,
        [-40i32..40, -40i32..40],
        any::<bool>(),
        proptest::collection::vec(marking, 0..4),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(structure, frame_num, counts, reference, marking, idr, gap)| AnyPicture {
            structure,
            frame_num,
            counts,
            reference,
            marking,
            idr,
            gap,
        })
}

/// Whatever is stored is shown exactly once, the buffer keeps to its bound, and lists lead into it.
pub(in crate::decode) fn pictures(steps: &[AnyPicture]) {
    let bounds = Bounds { frames: 4, reorder: None, references: 3, max_frame_num: 16 };
    let mut dpb = Dpb::new(bounds);
    let (mut shown, mut stored, mut completed) = (Vec::new(), 0usize, 0usize);
    for (number, step) in steps.iter().enumerate() {
        let structure =
            [Structure::Frame, Structure::TopField, Structure::BottomField][usize::from(step.structure)];
        let paired = dpb.pair_of(structure, step.frame_num, step.idr).is_some();
        if !paired {
            dpb.end_field_pair(&mut shown);
            if step.idr {
                dpb.clear(&mut shown);
            }
            if step.gap {
                dpb.infer(usize::MAX, (step.frame_num + 15) % 16, &mut shown);
            }
        }
        dpb.number(step.frame_num);
        let slice = header(step, structure);
        for slice_type in [SliceType::P, SliceType::B] {
            let lists = lists::lists(&dpb, &SliceHeader { slice_type, ..slice.clone() }, step.counts[0]);
            for reference in lists.iter().flatten().flatten() {
                assert!(reference.at < dpb.entries().len());
                assert!((1..=3).contains(&reference.fields));
            }
        }
        let marking = match step.marking.as_slice() {
            [] if step.idr => RefMarking::Idr { long_term_reference_flag: step.gap },
            [] => RefMarking::SlidingWindow,
            steps => RefMarking::Adaptive(steps.to_vec()),
        };
        let restarted = step.reference && step.marking.contains(&Marking::AllUnused);
        let current = Current {
            picture: number,
            structure,
            frame_num: step.frame_num,
            counts: step.counts,
            reference: step.reference,
        };
        dpb.store(current, &marking, restarted.then_some([0; 2]), &mut shown);
        stored += usize::from(!paired);
        completed += usize::from(paired);
        assert!(dpb.entries().len() <= bounds.frames + 1, "{} entries", dpb.entries().len());
    }
    dpb.flush(&mut shown);
    let distinct: std::collections::BTreeSet<_> = shown.iter().collect();
    assert_eq!(
        (shown.len(), distinct.len()),
        (stored, stored),
        "of {} pictures, {completed} second fields",
        steps.len()
    );
}

fn header(step: &AnyPicture, structure: Structure) -> SliceHeader {
    SliceHeader {
        nal_ref_idc: u8::from(step.reference),
        idr: false,
        first_mb_in_slice: 0,
        slice_type: SliceType::P,
        pic_parameter_set_id: 0,
        frame_num: step.frame_num,
        structure,
        idr_pic_id: 0,
        pic_order_cnt_lsb: 0,
        delta_pic_order_cnt_bottom: 0,
        delta_pic_order_cnt: [0; 2],
        redundant_pic_cnt: 0,
        direct_spatial_mv_pred_flag: false,
        num_ref_idx_active_minus1: [3, 3],
        modifications: [
            vec![slice::Modification::Subtract(1), slice::Modification::LongTerm(0)],
            vec![slice::Modification::Add(3)],
        ],
        pred_weight_table: None,
        marking: RefMarking::SlidingWindow,
        cabac_init_idc: 0,
        slice_qp_delta: 0,
        disable_deblocking_filter_idc: 0,
        slice_alpha_c0_offset_div2: 0,
        slice_beta_offset_div2: 0,
        header_bits: 0,
    }
}

#[test]
fn what_our_encoder_writes_is_read_as_meant() {
    let sets = crate::encode::fuzz::h264_parameter_sets();
    let sps = Sps::parse(&Payload::new(&sets[0], 1, 100).data).unwrap();
    assert_eq!((sps.coded_size(), sps.crop), ((1920, 1088), [0, 0, 0, 8]));
    assert_eq!((sps.vui.matrix_coefficients, sps.vui.video_full_range_flag), (1, false));
    assert_eq!(sps.vui.bitstream_restriction, Some((0, 1)));
    assert_eq!((sps.profile_idc, sps.level_idc), (100, 40));
    assert!(sps.form().is_ok());
    let pps = Pps::parse(&Payload::new(&sets[1], 1, 100).data).unwrap();
    assert!(pps.transform_8x8_mode_flag && pps.entropy_coding_mode_flag);
}
