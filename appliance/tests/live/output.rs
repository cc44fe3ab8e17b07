//! What must hold of everything that comes out, whatever went in.

use std::collections::BTreeMap;

use test_support::boxes::h264_nal_types;
use test_support::mpd::Fetched;
use test_support::{Manifest, Rungd, media_check};

/// `nal_unit_type` of a coded slice of an IDR picture (ITU-T H.264, table 7-1).
const IDR: u8 = 5;

/// Fetches all that is listed and holds it to the rules. Gives the tracks by their name.
pub(crate) fn check(rungd: &Rungd, manifest: &Manifest) -> BTreeMap<String, Fetched> {
    assert_eq!(manifest.periods, 1, "one period:\n{}", manifest.text);
    let fetched: BTreeMap<_, _> =
        manifest.tracks.iter().map(|track| (track.id.clone(), track.fetch())).collect();
    for track in &manifest.tracks {
        let got = &fetched[&track.id];
        assert!(!got.segments.is_empty(), "{} lists no segment:\n{}", track.id, manifest.text);
        assert_eq!(u64::from(got.init.timescale), track.timescale, "{}: mdhd and MPD timescale", track.id);
        contiguous(&track.id, got);
        if track.content == "video" {
            begins_with_idr(&track.id, got);
        }
        let file = media_check::save(got, rungd.folder(), &track.id);
        let errors = media_check::decode_errors(file.to_str().unwrap());
        assert!(errors.is_empty(), "ffmpeg on {}: {errors}", track.id);
    }
    aligned(manifest);
    fetched
}

/// `tfdt` is what the MPD says, and each segment and chunk begins where the one before it ends.
pub(crate) fn contiguous(track: &str, fetched: &Fetched) {
    let mut end = None;
    let mut number = None;
    for (listed, segment) in &fetched.segments {
        let at = format!("{track}, segment {}", listed.number);
        assert_eq!(segment.start(), listed.start, "{at}: tfdt and the MPD's time");
        assert_eq!(segment.end() - segment.start(), listed.duration, "{at}: samples and the MPD's duration");
        for chunk in &segment.chunks {
            assert!(!chunk.samples.is_empty(), "{at}: a chunk without samples");
            assert!(
                end.is_none_or(|end| end == chunk.base_decode_time),
                "{at}: hole or overlap, {end:?} before it"
            );
            end = chunk.samples.last().map(|sample| sample.dts + u64::from(sample.duration));
        }
        assert!(number.is_none_or(|number| listed.number == number + 1), "{at}: comes after {number:?}");
        number = Some(listed.number);
        assert_eq!(
            segment.top_level.first().map(String::as_str),
            Some("styp"),
            "{at}: {:?}",
            segment.top_level
        );
        // All of a segment is shown within it: closed GOPs, no composition offset that reaches out.
        let (start, end) = (i64::try_from(segment.start()).unwrap(), i64::try_from(segment.end()).unwrap());
        let shown: Vec<_> = segment.samples().map(|sample| sample.pts).collect();
        assert_eq!(shown.iter().min(), Some(&start), "{at}: first shown");
        assert!(shown.iter().max() < Some(&end), "{at}: shown beyond its end");
    }
}

pub(crate) fn begins_with_idr(track: &str, fetched: &Fetched) {
    for (listed, segment) in &fetched.segments {
        let first = segment.samples().next().expect("a segment has a sample");
        assert!(first.sync, "{track}, segment {}: its first sample is no sync sample", listed.number);
        let types = h264_nal_types(&first.data);
        assert!(types.contains(&IDR), "{track}, segment {}: NAL types {types:?}", listed.number);
    }
}

/// All representations list the same numbers; video cuts at the very same times, audio within a frame of 1024 samples.
fn aligned(manifest: &Manifest) {
    // Tracks may be one segment apart in a live manifest; what both list must agree.
    let reference =
        manifest.video().next().or_else(|| manifest.audio().next()).expect("a manifest lists a track");
    for track in &manifest.tracks {
        for segment in &track.segments {
            let Some(other) = reference.segments.iter().find(|s| s.number == segment.number) else {
                continue;
            };
            let ours = u128::from(segment.start) * u128::from(reference.timescale);
            let theirs = u128::from(other.start) * u128::from(track.timescale);
            let tolerance = match track.content == reference.content {
                true => 0,
                false => 1024 * u128::from(reference.timescale),
            };
            assert!(
                ours.abs_diff(theirs) <= tolerance,
                "segment {} begins at {}/{} in {} and at {}/{} in {}",
                segment.number,
                segment.start,
                track.timescale,
                track.id,
                other.start,
                reference.timescale,
                reference.id,
            );
        }
    }
}

/// Whether the picture moves: pictures that follow each other differ in brightness or in size.
pub(crate) fn assert_moving(track: &Fetched) {
    let sizes: std::collections::BTreeSet<_> =
        track.segments.iter().flat_map(|(_, s)| s.samples().map(|sample| sample.data.len())).collect();
    assert!(sizes.len() > 5, "coded pictures of only {sizes:?} bytes: nothing moves");
}
