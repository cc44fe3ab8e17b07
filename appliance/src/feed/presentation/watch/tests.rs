use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::config::RuleActions;

fn limits() -> SourceLimits {
    SourceLimits {
        max_width: 1920,
        max_height: 1080,
        max_frame_rate: 60,
        max_bit_rate: 1_000_000,
        max_key_frame_interval: Duration::from_secs(10),
        max_timestamp_faults: 3,
        max_channels: 6,
        actions: RuleActions::default(),
    }
}

fn broken(finding: Option<Finding>) -> Option<(InputRule, RuleAction, String)> {
    match finding {
        Some(Finding::Broken { rule, action, text }) => Some((rule, action, text)),
        _ => None,
    }
}

#[test]
fn a_burst_is_forgiven_and_a_flood_is_not() {
    let start = clock::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut watch = Watch::new(limits());
    assert_eq!(watch.unit(at(0), 1_000_000), None, "8 Mbit at once are 0.8 Mbit/s over 10 s");
    assert!((1..200u64).all(|i| watch.unit(at(10_000 + i * 100), 12_000).is_none()), "0.96 Mbit/s");
    let flood = (0..100u64).find_map(|i| broken(watch.unit(at(30_000 + i * 100), 20_000)));
    let (rule, action, text) = flood.unwrap();
    assert_eq!((rule, action), (InputRule::BitRate, RuleAction::Refuse));
    assert!(text.contains("bound of 1000 kbit/s"), "{text}");
}

#[test]
fn a_rare_key_frame_is_told_once_a_minute() {
    let start = clock::now();
    let mut watch = Watch::new(limits());
    let mut see = |millis: u64, key| {
        let dts = MediaTime::from_millis(i64::try_from(millis).unwrap());
        broken(watch.picture(start + Duration::from_millis(millis), dts, key))
    };
    assert_eq!(see(0, true), None);
    assert_eq!(see(2_000, true), None);
    assert_eq!(see(12_000, false), None);
    let (rule, action, text) = see(12_040, false).unwrap();
    assert_eq!((rule, action), (InputRule::KeyFrameInterval, RuleAction::Warn));
    assert!(text.starts_with("no key frame for 10.0 s, the bound is 10.0 s"), "{text}");
    assert!((12_080..72_000).step_by(40).all(|millis| see(millis, false).is_none()));
    assert!(see(72_080, false).is_some());
}

#[test]
fn stamps_that_go_wrong_now_and_then_are_bridged_in_silence() {
    let start = clock::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut watch = Watch::new(limits());
    // Three a minute are the bound.
    assert!((0..60).all(|i| watch.stamp(at(i * 20), Some(TimelineEvent::StoodStill)).is_none()));
    assert!((0..60).all(|i| watch.stamp(at(1200 + i), Some(TimelineEvent::Followed)).is_none()));
    let wrong = (0..4).filter_map(|i| {
        let event =
            if i % 2 == 0 { TimelineEvent::StoodStill } else { TimelineEvent::Backward(Duration::ZERO) };
        broken(watch.stamp(at(1300 + i), Some(event)))
    });
    let found: Vec<_> = wrong.collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1), (InputRule::Timestamps, RuleAction::Warn));
    assert!(found[0].2.contains("more than 3 time stamps within 60 s"), "{}", found[0].2);
    assert!(found[0].2.contains("ran backward;"), "{}", found[0].2);
}

proptest! {
    #[test]
    fn the_action_is_the_configured_one_and_comes_at_most_once_a_minute(
        action in prop_oneof![Just(RuleAction::Accept), Just(RuleAction::Warn), Just(RuleAction::Refuse)],
        gaps in proptest::collection::vec(1u64..5_000, 1..200),
    ) {
        let start = clock::now();
        let actions = RuleActions::default().with(InputRule::BitRate, action);
        let mut watch = Watch::new(SourceLimits { actions, ..limits() });
        let (mut millis, mut told) = (0, Vec::new());
        for gap in gaps {
            millis += gap;
            if let Some((rule, found, _)) = broken(watch.unit(start + Duration::from_millis(millis), 2_000_000)) {
                prop_assert_eq!((rule, found), (InputRule::BitRate, action));
                told.push(millis);
            }
        }
        prop_assert!(!told.is_empty());
        prop_assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 60_000), "{:?}", told);
    }
}
