use proptest::prelude::*;

use super::*;

const ROOMY: GopBounds = GopBounds { bytes: 1 << 20, duration: Duration::from_secs(10) };

fn unit(millis: i64, key: bool, size: usize) -> AccessUnit {
    let time = MediaTime::from_millis(millis);
    AccessUnit { dts: time, pts: time, key, payload: Bytes::from(vec![0; size]) }
}

fn record(byte: u8) -> Bytes {
    Bytes::copy_from_slice(&[byte])
}

fn configured(bounds: GopBounds) -> GopBuffer {
    let mut buffer = GopBuffer::new(bounds);
    buffer.configuration(VideoCodec::H264, record(0));
    buffer
}

/// Groups of ten pictures, one every 100 ms.
fn push_groups(buffer: &mut GopBuffer, groups: i64, size: usize) {
    for k in 0..groups * 10 {
        buffer.push(unit(k * 100, k % 10 == 0, size));
    }
}

/// What is replayed, in short: a record by its byte, a unit by its milliseconds.
fn told(buffer: &GopBuffer, millis: i64) -> (Vec<u8>, Vec<i64>) {
    let (mut records, mut units) = (Vec::new(), Vec::new());
    for (nth, item) in buffer.replay_from(MediaTime::from_millis(millis)).enumerate() {
        match item {
            Item::Configuration(configuration) => records.push(configuration.record[0]),
            Item::Unit(unit) => units.push(unit.pts.ticks()),
        }
        assert!(nth > 0 || !records.is_empty(), "the configuration comes first");
    }
    (records, units)
}

#[test]
fn replays_from_the_last_key_frame_at_or_before_the_time() {
    let mut buffer = configured(ROOMY);
    push_groups(&mut buffer, 3, 10);
    for (time, start) in [(0, 0), (999, 0), (1_000, 1_000), (1_950, 1_000), (9_999, 2_000), (-5, 0)] {
        let (records, units) = told(&buffer, time);
        assert_eq!((records, units.first()), (vec![0], Some(&start)), "{time}");
        assert_eq!(units.last(), Some(&2_900));
        assert_eq!(buffer.replay_start(MediaTime::from_millis(time)), Some(MediaTime::from_millis(start)));
    }
    buffer.release_before(MediaTime::from_millis(1_500));
    assert_eq!(told(&buffer, 0).1.first(), Some(&1_000));
    buffer.release_before(MediaTime::from_millis(99_000));
    assert_eq!(told(&buffer, 0).1.first(), Some(&2_000));
}

#[test]
fn payloads_are_shared() {
    let mut buffer = configured(ROOMY);
    let key = unit(0, true, 100);
    buffer.push(key.clone());
    let replayed = buffer.replay_from(MediaTime::ZERO).last();
    let Some(Item::Unit(replayed)) = replayed else { panic!("{replayed:?}") };
    assert_eq!(replayed.payload.as_ptr(), key.payload.as_ptr());
}

/// Pictures that lead the second key frame come after it and are shown before it.
#[test]
fn what_leads_a_key_frame_needs_the_group_before() {
    let mut buffer = configured(ROOMY);
    for (dts, pts, key) in [(0, 0, true), (40, 80, false), (80, 200, true), (120, 120, false)] {
        let [dts, pts] = [dts, pts].map(MediaTime::from_millis);
        buffer.push(AccessUnit { dts, pts, key, payload: Bytes::new() });
    }
    assert_eq!(buffer.replay_start(MediaTime::from_millis(120)), Some(MediaTime::ZERO));
    assert_eq!(buffer.replay_start(MediaTime::from_millis(200)), Some(MediaTime::from_millis(200)));
}

#[test]
fn the_record_in_force_is_replayed_and_changes_keep_their_place() {
    let mut buffer = configured(ROOMY);
    assert_eq!(told(&buffer, 0), (vec![0], vec![]));
    buffer.push(unit(0, true, 1));
    buffer.configuration(VideoCodec::H264, record(0));
    buffer.push(unit(100, false, 1));
    buffer.configuration(VideoCodec::H264, record(1));
    buffer.configuration(VideoCodec::H264, record(2));
    buffer.push(unit(200, true, 1));
    assert_eq!(told(&buffer, 100), (vec![0, 2], vec![0, 100, 200]));
    assert_eq!(told(&buffer, 200), (vec![2], vec![200]));
    buffer.release_before(MediaTime::from_millis(200));
    assert_eq!(told(&buffer, 0), (vec![2], vec![200]));
    // One that nothing came under is as if it had never been.
    buffer.configuration(VideoCodec::Hevc, record(3));
    buffer.configuration(VideoCodec::H264, record(2));
    assert_eq!(told(&buffer, 0), (vec![2], vec![200]));
    buffer.clear();
    assert_eq!((buffer.bytes(), buffer.in_force()), (0, None));
}

#[test]
fn over_a_bound_the_oldest_group_goes() {
    let mut buffer = configured(GopBounds { bytes: 1 << 20, duration: Duration::from_millis(2_500) });
    push_groups(&mut buffer, 5, 10);
    assert_eq!(told(&buffer, 0).1.first(), Some(&3_000));
    assert_eq!(buffer.counters(), GopCounters { groups_dropped: 3, ..GopCounters::default() });

    let group = 10 * (1_000 + ITEM_OVERHEAD);
    let mut buffer = configured(GopBounds { bytes: 2 * group, duration: Duration::from_secs(100) });
    push_groups(&mut buffer, 2, 1_000);
    assert_eq!(told(&buffer, 0).1.first(), Some(&0));
    assert_eq!(buffer.push(unit(2_000, true, 0)), Kept::Dropping(1));
    assert_eq!(told(&buffer, 0).1.first(), Some(&1_000));
}

#[test]
fn a_group_over_a_bound_empties_the_buffer_until_the_next_key_frame() {
    let mut buffer = configured(GopBounds { bytes: 1 << 20, duration: Duration::from_millis(500) });
    let kept: Vec<Kept> = (0..8).map(|k| buffer.push(unit(k * 100, k == 0, 10))).collect();
    let expected = [&[Kept::Yes; 6][..], &[Kept::Emptied, Kept::NoKeyFrame]].concat();
    assert_eq!(kept, expected);
    assert_eq!(told(&buffer, 0), (vec![0], vec![]));
    assert_eq!((buffer.is_empty(), buffer.bytes(), buffer.replay_start(MediaTime::ZERO)), (true, 0, None));
    assert_eq!(buffer.push(unit(1_000, true, 10)), Kept::Yes);
    assert_eq!(told(&buffer, 0), (vec![0], vec![1_000]));

    // One unit can be too much.
    let mut buffer = configured(GopBounds { bytes: 1_000, duration: Duration::from_secs(1) });
    assert_eq!(buffer.push(unit(0, true, 1_001)), Kept::Emptied);
}

#[test]
fn empty_units_have_a_price() {
    let mut buffer = configured(GopBounds { bytes: 10_000, duration: Duration::from_secs(1) });
    for k in 0..100_000 {
        let time = MediaTime::new(i64::from(k == 0), crate::Timescale::VIDEO);
        buffer.push(AccessUnit { dts: time, pts: time, key: k == 0, payload: Bytes::new() });
        buffer.configuration(VideoCodec::H264, Bytes::from(vec![u8::try_from(k % 250).unwrap(); 100]));
        assert!(buffer.items.len() * ITEM_OVERHEAD <= 10_000);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push { step: i64, reorder: i64, key: bool, size: usize },
    Configuration(u8),
    Release(i64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1i64..200, 0i64..300, prop::bool::weighted(0.2), 0usize..400)
            .prop_map(|(step, reorder, key, size)| Step::Push { step, reorder, key, size }),
        2 => (0u8..4).prop_map(Step::Configuration),
        2 => (-500i64..1_500).prop_map(Step::Release),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    /// Against the whole history: what is replayed is its end, begins with a key frame and with the record that was in
    /// force there, and is no more than the bounds allow, and no less than they and the releases took.
    #[test]
    fn replay_is_the_end_of_what_came(
        steps in prop::collection::vec(step(), 1..200),
        bytes in 500usize..8_000,
        millis in 200u64..4_000,
        ask in -500i64..20_000,
    ) {
        let bounds = GopBounds { bytes, duration: Duration::from_millis(millis) };
        let mut buffer = GopBuffer::new(bounds);
        // Units with the record in force, and the record by now.
        let mut history: Vec<(AccessUnit, Option<u8>)> = Vec::new();
        let mut now = None;
        let mut clock = 0;
        let mut released = i64::MIN;
        let mut dropped = false;
        for step in steps {
            match step {
                Step::Push { step, reorder, key, size } => {
                    clock += step;
                    let pts = MediaTime::from_millis(clock + reorder);
                    let unit = AccessUnit { pts, ..unit(clock, key, size) };
                    history.push((unit.clone(), now));
                    let was_empty = buffer.is_empty();
                    let kept = buffer.push(unit);
                    prop_assert_eq!(kept == Kept::NoKeyFrame, was_empty && !key);
                    prop_assert!(kept != Kept::Emptied || buffer.is_empty());
                    dropped |= kept != Kept::Yes;
                }
                Step::Configuration(byte) => {
                    now = Some(byte);
                    let counters = buffer.counters();
                    buffer.configuration(VideoCodec::H264, record(byte));
                    dropped |= buffer.counters() != counters;
                }
                Step::Release(after) => {
                    released = released.max(clock + after);
                    buffer.release_before(MediaTime::from_millis(clock + after));
                }
                Step::Clear => {
                    buffer.clear();
                    history.clear();
                    (now, released, dropped) = (None, i64::MIN, false);
                }
            }
            prop_assert!(buffer.bytes() <= bytes && buffer.duration() <= bounds.duration);
            let cost: usize = buffer.items.iter().map(Item::cost).sum();
            prop_assert_eq!(cost, buffer.bytes());
        }

        let time = MediaTime::from_millis(ask);
        let mut force = None;
        let mut replayed = Vec::new();
        for (nth, item) in buffer.replay_from(time).enumerate() {
            match item {
                Item::Configuration(configuration) => force = Some(configuration.record[0]),
                Item::Unit(unit) => replayed.push((unit, force)),
            }
            prop_assert!(nth > 0 || force.is_some() || history.iter().any(|(_, force)| force.is_none()));
        }
        prop_assert_eq!(force, now);
        let end = &history[history.len() - replayed.len()..];
        prop_assert_eq!(&replayed[..], end);
        if let Some((first, _)) = replayed.first() {
            prop_assert!(first.key);
            let later = replayed.iter().skip(1).filter(|(unit, _)| unit.key && unit.pts <= time);
            prop_assert_eq!(later.count(), 0);
        }
        // Nothing is missing that no bound took and no release allowed to go.
        let needed = history.iter().rposition(|(unit, _)| unit.key && unit.pts <= time);
        if let (false, true, Some(needed)) = (dropped, ask >= released, needed) {
            prop_assert_eq!(replayed.len(), history.len() - needed);
        }
    }
}
