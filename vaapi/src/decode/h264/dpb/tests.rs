//! The order of showing, and what is kept.

use super::*;

fn bounds(frames: usize, reorder: Option<usize>, references: usize) -> Bounds {
    Bounds { frames, reorder, references, max_frame_num: 16 }
}

fn frame(picture: u32, frame_num: u32, count: i32, reference: bool) -> Current<u32> {
    Current { picture, structure: Structure::Frame, frame_num, counts: [count; 2], reference }
}

fn store(dpb: &mut Dpb<u32>, current: Current<u32>, shown: &mut Vec<u32>) {
    dpb.number(current.frame_num);
    dpb.store(current, &RefMarking::SlidingWindow, None, shown);
}

#[test]
fn pictures_are_shown_in_the_order_of_their_counts() {
    let mut dpb = Dpb::new(bounds(4, Some(1), 2));
    let mut shown = Vec::new();
    // I0 P4 b2 P8 b6, pictures numbered by their counts.
    for (count, frame_num, reference) in
        [(0, 0, true), (4, 1, true), (2, 2, false), (8, 2, true), (6, 3, false)]
    {
        store(&mut dpb, frame(u32::try_from(count).unwrap(), frame_num, count, reference), &mut shown);
    }
    assert_eq!(shown, [0, 2, 4, 6], "each as soon as one waits too many");
    dpb.flush(&mut shown);
    assert_eq!(shown, [0, 2, 4, 6, 8]);
}

#[test]
fn without_a_word_on_reordering_successors_need_not_wait() {
    let mut dpb = Dpb::new(bounds(4, None, 1));
    let mut shown = Vec::new();
    for index in 0..6u32 {
        let count = i32::try_from(index * 2).unwrap();
        store(&mut dpb, frame(index, index, count, true), &mut shown);
        assert_eq!(shown.len(), usize::try_from(index).unwrap() + 1);
    }
    // One that leaves a place waits for what may fill it.
    store(&mut dpb, frame(7, 6, 14, true), &mut shown);
    assert_eq!(shown.last(), Some(&5));
    store(&mut dpb, frame(6, 7, 12, false), &mut shown);
    assert_eq!(shown, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn the_window_slides_over_wrapped_numbers() {
    let mut dpb = Dpb::new(bounds(4, Some(0), 2));
    let mut shown = Vec::new();
    for (index, frame_num) in [(0, 14), (1, 15), (2, 0), (3, 1)] {
        store(&mut dpb, frame(index, frame_num, i32::try_from(index * 2).unwrap(), true), &mut shown);
    }
    let kept: Vec<_> = dpb.entries().iter().filter(|e| e.is_reference()).map(|e| e.picture).collect();
    assert_eq!(kept, [2, 3]);
    assert_eq!(dpb.newest_reference(), Some(&3));
}

#[test]
fn two_fields_are_one_frame() {
    let mut dpb = Dpb::new(bounds(4, Some(0), 2));
    let mut shown = Vec::new();
    let field = |structure, counts| Current { picture: 1, structure, frame_num: 0, counts, reference: true };
    store(&mut dpb, field(Structure::TopField, [0, 0]), &mut shown);
    assert_eq!(shown, [0u32; 0], "half a frame is not shown");
    assert!(dpb.pair_of(Structure::TopField, 0, false).is_none(), "of the same parity");
    assert!(dpb.pair_of(Structure::BottomField, 0, false).is_some());
    store(&mut dpb, field(Structure::BottomField, [0, 1]), &mut shown);
    assert_eq!(shown, [1]);
    let [entry] = dpb.entries() else { panic!("one frame") };
    assert_eq!((entry.fields, entry.short, entry.counts), (3, 3, [0, 1]));
}

#[test]
fn an_unreferenced_picture_goes_by_a_full_buffer() {
    let mut dpb = Dpb::new(bounds(2, Some(2), 1));
    let mut shown = Vec::new();
    store(&mut dpb, frame(0, 0, 0, true), &mut shown);
    store(&mut dpb, frame(8, 1, 8, true), &mut shown);
    store(&mut dpb, frame(4, 2, 4, false), &mut shown);
    dpb.flush(&mut shown);
    assert_eq!(shown, [0, 4, 8]);
}

#[test]
fn long_term_references_stay_until_they_are_told_to_go() {
    let mut dpb = Dpb::new(bounds(4, Some(0), 2));
    let mut shown = Vec::new();
    store(&mut dpb, frame(0, 0, 0, true), &mut shown);
    dpb.number(1);
    let steps = vec![Marking::MaxLong(1), Marking::ShortToLong(0, 0)];
    dpb.store(frame(1, 1, 2, true), &RefMarking::Adaptive(steps), None, &mut shown);
    for index in 2..6u32 {
        store(&mut dpb, frame(index, index, i32::try_from(index * 2).unwrap(), true), &mut shown);
    }
    let long: Vec<_> = dpb.entries().iter().filter(|e| e.long == 3).map(|e| e.picture).collect();
    assert_eq!(long, [0]);
    dpb.number(6);
    dpb.store(frame(6, 6, 12, true), &RefMarking::Adaptive(vec![Marking::LongUnused(0)]), None, &mut shown);
    assert!(dpb.entries().iter().all(|e| e.long == 0));
}
