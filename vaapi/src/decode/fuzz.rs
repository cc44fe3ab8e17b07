//! Hostile bytes: whatever comes, parsers answer and bounds hold. Each body is fit for a fuzz target.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{h264, hevc, nal, record};

/// Any bytes as a configuration record, and its units as samples.
fn records(data: &[u8]) {
    for record in [record::avc(data), record::hevc(data)].into_iter().flatten() {
        for unit in &record.units {
            assert!(unit.len() <= data.len());
        }
        let split: usize = record.length_size.split(data).flatten().map(<[u8]>::len).sum();
        assert!(split <= data.len());
    }
}

/// Any bytes as the payload of each kind of NAL unit.
fn payloads(data: &[u8]) {
    let payload = nal::Payload::new(data, 1, data.len());
    assert!(payload.data.len() <= data.len());
    h264::fuzz::payload(&payload.data);
    hevc::fuzz::payload(&payload.data);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(data in vec(any::<u8>(), 0..300)) {
        records(&data);
        payloads(&data);
    }

    /// Zeros make the longest codes, ones the most of everything.
    #[test]
    fn sparse_bytes_are_answered(data in vec(prop_oneof![Just(0u8), Just(0xff), Just(1), any::<u8>()], 0..300)) {
        records(&data);
        payloads(&data);
    }

    #[test]
    fn damaged_parameter_sets_are_answered(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        for set in h264::fuzz::sets().into_iter().chain(hevc::fuzz::sets()) {
            let mut damaged = set;
            for (at, with) in &flips {
                let at = at.index(damaged.len());
                damaged[at] ^= with;
            }
            payloads(&damaged);
            damaged.truncate(cut.index(damaged.len()));
            payloads(&damaged);
        }
    }

    #[test]
    fn every_h264_picture_is_shown_once(steps in vec(h264::fuzz::step(), 0..60)) {
        h264::fuzz::pictures(&steps);
    }

    #[test]
    fn every_hevc_picture_is_shown_once(steps in vec(hevc::fuzz::step(), 0..60)) {
        hevc::fuzz::pictures(&steps);
    }
}
