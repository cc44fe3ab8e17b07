//! Playlists of low latency against the rules of RFC 8216bis, out of real segmenters.

use bytes::Bytes;
use media::SegmentNumber;
use media::ladder::RungRate;
use proptest::prelude::*;
use std::time::Duration;

use crate::hls::{HlsError, Readiness, Reload, ReloadError, Skip, media, media_update, readiness};
use crate::segmenter::{AudioGrid, AudioSegmenter, Packaged, Picture, VideoSegmenter};
use crate::window::{Latency, LiveEdge, Window, WindowTrack, WindowTrackKind, sample};

/// Whether this part is there.
fn has(edge: &LiveEdge, number: SegmentNumber, index: u32) -> bool {
    let whole = edge.whole().map(|whole| (whole.number, whole.parts.len()));
    let open = edge.open().map(|open| (open.number, open.parts.len()));
    whole.chain(open).any(|(found, parts)| found == number && usize::try_from(index).unwrap() < parts)
}

/// The sample's window at a moment in low latency: segments `from..to` are whole, and of the next one each track has
/// `chunks` chunks.
fn low(from: u64, to: u64, chunks: usize) -> Window {
    let mut window = sample::window(true, from, to);
    window.latency = Latency::low(&sample::cadence(), Duration::from_secs(2));
    for track in &mut window.tracks {
        track.edge = edge(track, from, to, chunks);
    }
    window
}

/// The edge of a track that has had all segments before `to` and `chunks` chunks of that one, out of the segmenters.
fn edge(track: &WindowTrack, from: u64, to: u64, chunks: usize) -> LiveEdge {
    let edge = LiveEdge::new(sample::cadence().segment_duration().to_duration());
    fill(edge, track, (from, to), chunks)
}

fn fill(mut edge: LiveEdge, track: &WindowTrack, (from, to): (u64, u64), chunks: usize) -> LiveEdge {
    let cadence = sample::cadence();
    let payload = Bytes::from_static(b"x");
    let mut open = 0;
    let mut take = |packages: Vec<Packaged>| {
        for package in packages {
            match package {
                Packaged::Chunk { segment, chunk } => {
                    open += usize::from(segment.0 == to);
                    if segment.0 < to || segment.0 == to && open <= chunks {
                        edge.push(segment, &chunk);
                    }
                }
                Packaged::SegmentEnd { segment, .. } if segment.0 < to => edge.complete(segment),
                Packaged::SegmentEnd { .. } => {}
            }
        }
        open
    };
    let first = SegmentNumber(from);
    match track.kind {
        WindowTrackKind::Video { frame_rate, .. } => {
            let half = frame_rate != cadence.frame_rate();
            let rate = if half { RungRate::Half } else { RungRate::Full };
            let mut segmenter = VideoSegmenter::new(cadence, rate, first);
            let mut frame = cadence.first_frame(first);
            while segmenter.segment().0 <= to {
                let key = cadence.begins_segment(frame);
                take(segmenter.push(Picture { frame, key, payload: payload.clone() }).unwrap());
                frame += if half { 2 } else { 1 };
            }
        }
        WindowTrackKind::Audio { sample_rate, .. } => {
            let grid = AudioGrid::new(cadence, sample_rate, 1024).unwrap();
            let mut segmenter = AudioSegmenter::new(grid, first);
            while segmenter.segment().0 <= to {
                take(segmenter.push(segmenter.next_frame(), payload.clone()).unwrap());
            }
        }
    }
    edge
}

#[test]
fn a_media_playlist_in_full() {
    let expected = "#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,HOLD-BACK=6,PART-HOLD-BACK=1.601601
#EXT-X-PART-INF:PART-TARGET=0.5005
#EXT-X-MEDIA-SEQUENCE:5
#EXT-X-MAP:URI=\"../20261121T031500Z/720p/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:15:08.258Z
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/5.0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/5.1.m4s\"
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/5.2.m4s\"
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/5.3.m4s\"
#EXTINF:2.002000,
../20261121T031500Z/720p/5.m4s
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/6.0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500500,URI=\"../20261121T031500Z/720p/6.1.m4s\"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../20261121T031500Z/720p/6.2.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"../480p/index.m3u8\",LAST-MSN=6,LAST-PART=1
#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=6,LAST-PART=1
";
    assert_eq!(media(&low(5, 6, 2), 0).unwrap(), expected);
}

/// What follows `tag` on each line that begins with it.
fn all<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(tag)).collect()
}

/// The value of an attribute of the first such tag.
fn attribute<'a>(text: &'a str, tag: &str, name: &str) -> Option<&'a str> {
    let attributes = all(text, tag).first().copied()?;
    let value = attributes.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

fn seconds_of(text: &str, tag: &str, name: &str) -> f64 {
    attribute(text, tag, name).unwrap_or_else(|| panic!("{tag} {name}\n{text}")).parse().unwrap()
}

/// Duration, address and independence of each part.
fn listed_parts(text: &str) -> Vec<(f64, String, bool)> {
    let part = |line: &str| {
        let field = |name: &str| attribute(line, "", name).map(str::to_owned);
        let file = field("URI").unwrap().rsplit('/').next().unwrap().to_owned();
        (field("DURATION").unwrap().parse().unwrap(), file, field("INDEPENDENT").as_deref() == Some("YES"))
    };
    all(text, "#EXT-X-PART:").into_iter().map(part).collect()
}

/// All that RFC 8216bis asks of a playlist by itself.
fn obeys(window: &Window, track: usize, text: &str) {
    let target: f64 = all(text, "#EXT-X-TARGETDURATION:")[0].parse().unwrap();
    let part_target = seconds_of(text, "#EXT-X-PART-INF:", "PART-TARGET");
    let control = |name| seconds_of(text, "#EXT-X-SERVER-CONTROL:", name);
    assert_eq!(attribute(text, "#EXT-X-SERVER-CONTROL:", "CAN-BLOCK-RELOAD"), Some("YES"));
    assert!(control("PART-HOLD-BACK") >= 3.0 * part_target, "{text}");
    assert!(control("HOLD-BACK") >= 3.0 * target && control("CAN-SKIP-UNTIL") >= 6.0 * target, "{text}");
    assert!(part_target <= target);

    // Parts: no longer than the target, no shorter than 85% of it but for a segment's last; and they add up.
    let parts = listed_parts(text);
    let mut sums = std::collections::BTreeMap::<u64, (usize, f64)>::new();
    for (i, (duration, file, independent)) in parts.iter().enumerate() {
        let mut numbers =
            file.trim_end_matches(".m4s").split('.').map(|number| number.parse::<u64>().unwrap());
        let (number, index) = (numbers.next().unwrap(), numbers.next().unwrap());
        let sum = sums.entry(number).or_default();
        assert_eq!(
            index,
            u64::try_from(sum.0).unwrap(),
            "parts are counted from zero, all of a segment\n{text}"
        );
        *sum = (sum.0 + 1, sum.1 + duration);
        assert!(*duration <= part_target, "{duration} is over {part_target}\n{text}");
        let last = parts.get(i + 1).map_or(sum.1 > 1.9, |next| next.1.ends_with(".0.m4s"));
        assert!(last || *duration >= 0.85 * part_target, "{duration} is under 85% of {part_target}\n{text}");
        assert_eq!(*independent, index == 0 || window.tracks[track].name == "audio");
    }
    let first: u64 = all(text, "#EXT-X-MEDIA-SEQUENCE:")[0].parse().unwrap();
    let skipped =
        attribute(text, "#EXT-X-SKIP:", "SKIPPED-SEGMENTS").map_or(0, |value| value.parse().unwrap());
    let open = sums.last_key_value().filter(|(number, _)| !text.contains(&format!("/{number}.m4s\n")));
    let mut following = open.map_or(0.0, |(_, (_, sum))| *sum);
    for (number, extinf) in
        (first + skipped..).zip(all(text, "#EXTINF:")).collect::<Vec<_>>().into_iter().rev()
    {
        let extinf: f64 = extinf.trim_end_matches(',').parse().unwrap();
        assert!(text.contains(&format!("/{number}.m4s\n")) && extinf.round() <= target);
        match sums.get(&number) {
            Some((_, sum)) => assert!((sum - extinf).abs() < 1e-4, "{sum}, {extinf}"),
            None => assert!(following > 3.0 * target - 1e-3, "segment {number} needs its parts\n{text}"),
        }
        following += extinf;
    }
    assert_eq!(all(text, "#EXT-X-PRELOAD-HINT:").len(), 1);
    assert_eq!(all(text, "#EXT-X-RENDITION-REPORT:").len(), window.tracks.len() - 1);
    assert_eq!(all(text, "#EXT-X-PROGRAM-DATE-TIME:").len(), 1);
}

#[test]
fn all_playlists_agree_and_obey() {
    let window = low(5, 30, 3);
    let texts: Vec<_> = (0..3).map(|track| media(&window, track).unwrap()).collect();
    for (track, text) in texts.iter().enumerate() {
        obeys(&window, track, text);
        for tag in ["#EXT-X-SERVER-CONTROL:", "#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:"] {
            assert_eq!(all(text, tag), all(&texts[0], tag), "6.2.4");
        }
    }
    let sound = seconds_of(&texts[2], "#EXT-X-PART-INF:", "PART-TARGET");
    assert!((sound - 22.0 * 1024.0 / 44_100.0).abs() < 1e-3, "whole AAC frames: {sound}");
}

#[test]
fn a_track_is_listed_as_far_as_it_has_come() {
    // The sound is a segment behind, so the store lists 9 nowhere.
    let mut window = low(5, 9, 4);
    window.tracks[0].edge = edge(&window.tracks[0], 5, 10, 1);
    let text = media(&window, 0).unwrap();
    obeys(&window, 0, &text);
    assert!(text.contains("#EXTINF:2.002000,\n../20261121T031500Z/720p/9.m4s\n"), "{text}");
    assert!(text.contains("PRELOAD-HINT:TYPE=PART,URI=\"../20261121T031500Z/720p/10.1.m4s\""), "{text}");
    assert!(text.contains("RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=9,LAST-PART=3\n"), "{text}");
    let sound = media(&window, 2).unwrap();
    assert!(
        sound.contains("RENDITION-REPORT:URI=\"../720p/index.m3u8\",LAST-MSN=10,LAST-PART=0\n"),
        "{sound}"
    );
}

#[test]
fn the_first_segment_is_listed_by_its_parts() {
    let mut window = low(1, 1, 2);
    let text = media(&window, 0).unwrap();
    obeys(&window, 0, &text);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:1\n") && !text.contains("#EXTINF"), "{text}");
    window.tracks[0].edge = LiveEdge::default();
    assert!(matches!(media(&window, 0), Err(HlsError::NothingListed { .. })));
}

/// A daemon that goes on where another one died makes segment 9 anew, of which players were told parts 0 to 2.
#[test]
fn a_segment_whose_parts_were_lost_is_told_of_when_it_is_whole() {
    let window = |to, chunks| {
        let mut window = low(5, to, chunks);
        for track in &mut window.tracks {
            let lost = LiveEdge::new(window.segment_duration).since(SegmentNumber(10));
            track.edge = fill(lost, track, (5, to), chunks);
        }
        window
    };
    let asked = |window: &Window, msn, part| {
        readiness(window, 0, &Reload { msn: Some(SegmentNumber(msn)), part: Some(part), skip: Skip::No })
            .unwrap()
    };
    let open = window(9, 3);
    let text = media(&open, 0).unwrap();
    assert!(text.contains("720p/8.m4s\n") && !text.contains("720p/9."), "{text}");
    assert!(!text.contains("#EXT-X-PART:") && !text.contains("PRELOAD-HINT"), "{text}");
    // However far in it they were: they are answered with the whole of it.
    for part in [0, 3, 40] {
        assert_eq!(asked(&open, 9, part), Readiness::Wait, "{part}");
        assert_eq!(asked(&window(10, 0), 9, part), Readiness::Ready, "{part}");
    }
    let next = media(&window(10, 0), 0).unwrap();
    assert!(next.contains("720p/9.m4s\n") && !next.contains("#EXT-X-PART:"), "{next}");
    assert!(attribute(&next, "#EXT-X-PRELOAD-HINT:", "URI").unwrap().ends_with("/10.0.m4s"), "{next}");
    let on = media(&window(10, 1), 0).unwrap();
    assert_eq!(listed_parts(&on).len(), 1, "{on}");
    assert!(attribute(&on, "#EXT-X-PRELOAD-HINT:", "URI").unwrap().ends_with("/10.1.m4s"), "{on}");
    assert_eq!(
        asked(&window(10, 1), 10, 40),
        Readiness::Refused(ReloadError::TooFarAhead {
            msn: SegmentNumber(10),
            part: Some(40),
            last: SegmentNumber(9),
        })
    );
}

#[test]
fn a_hint_after_the_last_part_is_for_the_next_segment() {
    // All of segment 6 is there, 4 chunks of 15 frames, but nobody has said that it is whole.
    for track in 0..3 {
        let text = media(&low(5, 6, 4), track).unwrap();
        assert!(attribute(&text, "#EXT-X-PRELOAD-HINT:", "URI").unwrap().ends_with("/7.0.m4s"), "{text}");
        let text = media(&low(5, 6, 3), track).unwrap();
        assert!(attribute(&text, "#EXT-X-PRELOAD-HINT:", "URI").unwrap().ends_with("/6.3.m4s"), "{text}");
    }
}

#[test]
fn a_delta_update_leaves_out_what_is_behind_the_skip_boundary() {
    let window = low(5, 30, 3);
    let (whole, delta) = (media(&window, 0).unwrap(), media_update(&window, 0, Skip::Yes).unwrap());
    obeys(&window, 0, &delta);
    assert_eq!(all(&delta, "#EXT-X-MEDIA-SEQUENCE:"), ["5"]);
    // From the end of the last whole one on, 24 is 10.010 s away and 23 is 12.012 s.
    assert_eq!(attribute(&delta, "#EXT-X-SKIP:", "SKIPPED-SEGMENTS"), Some("19"));
    let (_, kept) = whole.split_once("720p/23.m4s\n").unwrap();
    assert!(
        delta.ends_with(&format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:15:46.296Z\n{kept}")),
        "{delta}"
    );
    let short = low(5, 8, 0);
    assert_eq!(media_update(&short, 0, Skip::Yes).unwrap(), media(&short, 0).unwrap());
}

#[test]
fn what_is_not_low_latency_or_has_ended_is_written_as_ever() {
    for live in [true, false] {
        let standard = sample::window(live, 1, 30);
        let latency = if live { Latency::Standard } else { low(1, 30, 1).latency };
        let window = Window { latency, ..standard.clone() };
        let text = media_update(&window, 0, Skip::Yes).unwrap();
        assert_eq!(text, media(&standard, 0).unwrap());
        assert!(!text.contains("PART") && !text.contains("SKIP"), "{text}");
        let far = Reload { msn: Some(SegmentNumber(99)), part: Some(9), skip: Skip::No };
        assert_eq!(readiness(&window, 0, &far).unwrap(), Readiness::Ready);
    }
}

#[test]
fn directives_are_read() {
    let read = |query: &str| Reload::parse(query).map_err(|error| error.to_string());
    assert_eq!(read(""), Ok(Reload::default()));
    assert_eq!(
        read("token=a%20b&_HLS_msn=7&&_HLS_part=0&_HLS_skip=v2&_HLS_other"),
        Ok(Reload { msn: Some(SegmentNumber(7)), part: Some(0), skip: Skip::Yes })
    );
    assert_eq!(read("_HLS_skip=YES").unwrap().skip, Skip::Yes);
    assert_eq!(read("_HLS_skip=v9").unwrap().skip, Skip::No);
    for (query, told) in [
        ("_HLS_part=1", "_HLS_part stands without _HLS_msn"),
        ("_HLS_msn=1&_HLS_msn=2", "_HLS_msn stands more than once in the query"),
        ("_HLS_msn=", "_HLS_msn is not a decimal integer of at most 18446744073709551615"),
        ("_HLS_msn", "_HLS_msn is not a decimal integer of at most 18446744073709551615"),
        ("_HLS_msn=+1", "_HLS_msn is not a decimal integer of at most 18446744073709551615"),
        (
            "_HLS_msn=18446744073709551616",
            "_HLS_msn is not a decimal integer of at most 18446744073709551615",
        ),
        ("_HLS_msn=1&_HLS_part=4294967296", "_HLS_part is not a decimal integer of at most 4294967295"),
    ] {
        assert_eq!(read(query), Err(told.to_owned()), "{query}");
    }
}

#[test]
fn an_answer_waits_for_what_is_asked_for() {
    // Segments 5 to 8 are whole, of 9 there are parts 0 to 2; segments have parts 0 to 3.
    let window = low(5, 9, 3);
    let ask = |msn, part: Option<u32>| {
        let reload = Reload { msn: Some(SegmentNumber(msn)), part, skip: Skip::No };
        match readiness(&window, 0, &reload).unwrap() {
            Readiness::Ready => "ready",
            Readiness::Wait => "wait",
            Readiness::Refused(_) => "refused",
        }
    };
    for (msn, part, expected) in [
        (0, None, "ready"),
        (8, None, "ready"),
        (8, Some(3), "ready"),
        (9, Some(2), "ready"),
        // Past the last part of a whole segment is the first part of the next.
        (8, Some(4), "ready"),
        (7, Some(99), "ready"),
        (9, None, "wait"),
        (9, Some(3), "wait"),
        (10, Some(0), "wait"),
        (10, None, "wait"),
        // Three seconds are five parts of 500.5 ms.
        (9, Some(7), "wait"),
        (9, Some(8), "refused"),
        (11, None, "refused"),
        (u64::MAX, Some(u32::MAX), "refused"),
    ] {
        assert_eq!(ask(msn, part), expected, "segment {msn}, part {part:?}");
    }
    let nothing = Window { tracks: low(1, 1, 0).tracks, ..window.clone() };
    let first = Reload { msn: Some(SegmentNumber(1)), part: Some(0), skip: Skip::No };
    assert_eq!(readiness(&nothing, 0, &first).unwrap(), Readiness::Wait);
    let far = Reload { msn: Some(SegmentNumber(12)), ..first };
    let Readiness::Refused(error) = readiness(&window, 0, &far).unwrap() else { panic!() };
    assert_eq!(error.to_string(), "segment 12, part 0 is too far ahead: the playlist ends with segment 8");
}

proptest! {
    /// The playlist itself says what is next; that is waited for, never refused, and ready once it is there.
    #[test]
    fn what_is_hinted_can_be_asked_for(from in 1u64..20, whole in 0u64..20, chunks in 0usize..6, track in 0usize..3) {
        let window = low(from, from + whole, chunks);
        prop_assume!(whole > 0 || chunks > 0);
        for skip in [Skip::No, Skip::Yes] {
            obeys(&window, track, &media_update(&window, track, skip).unwrap());
        }
        let text = media(&window, track).unwrap();
        let hint = attribute(&text, "#EXT-X-PRELOAD-HINT:", "URI").unwrap();
        let mut numbers = hint.rsplit('/').next().unwrap().trim_end_matches(".m4s").split('.');
        let msn = SegmentNumber(numbers.next().unwrap().parse().unwrap());
        let part: u32 = numbers.next().unwrap().parse().unwrap();
        let reload = Reload { msn: Some(msn), part: Some(part), skip: Skip::No };
        prop_assert_eq!(readiness(&window, track, &reload).unwrap(), Readiness::Wait);
        prop_assert!(!has(&window.tracks[track].edge, msn, part));
        let further = low(from, msn.0, usize::try_from(part).unwrap() + 1);
        prop_assert_eq!(readiness(&further, track, &reload).unwrap(), Readiness::Ready);
        prop_assert!(has(&further.tracks[track].edge, msn, part));
        for (_, file, _) in listed_parts(&text) {
            let mut numbers = file.trim_end_matches(".m4s").split('.');
            let number = SegmentNumber(numbers.next().unwrap().parse().unwrap());
            let index: u32 = numbers.next().unwrap().parse().unwrap();
            prop_assert!(has(&window.tracks[track].edge, number, index));
        }
    }

    #[test]
    fn no_query_panics(query in ".{0,60}|(_HLS_(msn|part|skip)=[0-9]{0,22}&?){0,4}", chunks in 0usize..6) {
        if let Ok(reload) = Reload::parse(&query) {
            let _ = readiness(&low(5, 9, chunks), 0, &reload).unwrap();
        }
    }
}
