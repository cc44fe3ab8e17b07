//! Properties of both segmenters, for arbitrary cadences, reorderings and restarts.

use std::time::Duration;

use bytes::Bytes;
use media::ladder::RungRate;
use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Timescale};
use mp4_atom::{Any, Decode, DecodeMaybe, Moof, TrunEntry};
use proptest::prelude::*;

use super::{AudioGrid, AudioSegmenter, Packaged, Picture, SegmentError, VideoSegmenter};
use crate::cmaf::Chunk;

fn rate() -> impl Strategy<Value = FrameRate> {
    let standard =
        [(25, 1), (30_000, 1001), (60_000, 1001), (24_000, 1001), (30, 1), (50, 1), (15, 1), (25, 2)];
    prop_oneof![
        prop::sample::select(standard.to_vec()).prop_map(|(n, d)| FrameRate::new(n, d).unwrap()),
        (1u32..=120).prop_map(|n| FrameRate::new(n, 1).unwrap()),
    ]
}

fn cadence() -> impl Strategy<Value = Cadence> {
    (rate(), 200u64..4000, 20u64..2000).prop_map(|(rate, segment, chunk)| {
        Cadence::new(rate, Duration::from_millis(segment), Duration::from_millis(chunk))
    })
}

fn rung_rate() -> impl Strategy<Value = RungRate> {
    prop::sample::select(vec![RungRate::Full, RungRate::Half])
}

/// Decoding order of a closed GOP of `pictures`: each anchor before the `runs` of pictures that are shown before it.
fn decoding_order(pictures: u64, runs: &[u64]) -> Vec<u64> {
    let mut order = vec![0];
    let mut next = 1;
    for run in runs.iter().cycle() {
        if next >= pictures {
            break;
        }
        let anchor = (next + run).min(pictures - 1);
        order.push(anchor);
        // Backwards, as far from the order of showing as can be.
        order.extend((next..anchor).rev());
        next = anchor + 1;
    }
    order
}

/// What a chunk says of its samples: when each is decoded and shown, and whether it is a key.
fn samples(chunk: &Chunk) -> Vec<(i64, i64, bool)> {
    let mut head = chunk.parts[0].as_ref();
    let mut moof: Option<Moof> = None;
    while let Ok(Some(atom)) = Any::decode_maybe(&mut head) {
        if let Any::Moof(found) = atom {
            moof = Some(found);
            break;
        }
    }
    assert_eq!(&head[4..8], b"mdat");
    let mdat = usize::try_from(u32::from_be_bytes(head[..4].try_into().unwrap())).unwrap();
    assert_eq!(head.len(), 8, "nothing but the mdat header may follow the moof");
    assert_eq!(mdat, 8 + chunk.parts[1..].iter().map(Bytes::len).sum::<usize>());
    let moof = moof.expect("a moof");
    let traf = &moof.traf[0];
    let trun = &traf.trun[0];
    let mut dts = i64::try_from(traf.tfdt.as_ref().unwrap().base_media_decode_time).unwrap();
    let mut out = Vec::new();
    for (entry, payload) in trun.samples.iter().zip(&chunk.parts[1..]) {
        let TrunEntry { duration, size, flags, cts } = entry;
        assert_eq!(usize::try_from(size.unwrap()).unwrap(), payload.len());
        let flags = flags.or(traf.tfhd.default_sample_flags).unwrap();
        out.push((dts, dts + cts.unwrap_or(0), flags & 0x0001_0000 == 0));
        dts += i64::from(duration.or(traf.tfhd.default_sample_duration).unwrap());
    }
    assert_eq!(out.len(), chunk.parts.len() - 1);
    assert_eq!(dts - chunk.start.ticks(), chunk.duration.ticks());
    assert_eq!(chunk.bytes, u64::try_from(chunk.parts.iter().map(Bytes::len).sum::<usize>()).unwrap());
    out
}

fn picture(frame: u64, key: bool) -> Picture {
    Picture { frame, key, payload: Bytes::from(frame.to_be_bytes().to_vec()) }
}

proptest! {
    #[test]
    fn pictures_come_out_once_and_without_a_gap(
        cadence in cadence(),
        rung in rung_rate(),
        first in 1u64..100_000,
        segments in 1u64..4,
        runs in prop::collection::vec(0u64..8, 1..5),
    ) {
        let first = SegmentNumber(first);
        let step = if rung == RungRate::Half { 2 } else { 1 };
        let per_segment = u64::from(cadence.frames_per_segment()) / step;
        let mut segmenter = VideoSegmenter::new(cadence, rung, first);
        let mut at = cadence.segment_start(first);
        let mut segment = first;
        let mut begun = false;
        let mut last_sequence = None;
        for _ in 0..segments {
            let base = cadence.first_frame(segment);
            let order = decoding_order(per_segment, &runs);
            let mut pending = Vec::new();
            for (i, place) in order.iter().enumerate() {
                let frame = base + place * step;
                let given = picture(frame, i == 0);
                pending.push((frame, given.payload.as_ptr()));
                let out = segmenter.push(given).unwrap();
                let last = i + 1 == order.len();
                prop_assert_eq!(out.iter().any(|p| matches!(p, Packaged::SegmentEnd { .. })), last);
                for packaged in out {
                    match packaged {
                        Packaged::Chunk { segment: of, chunk } => {
                            prop_assert_eq!(of, segment);
                            prop_assert_eq!(chunk.start.ticks(), at.ticks(), "chunks follow on each other");
                            prop_assert_eq!(chunk.independent, !begun);
                            prop_assert_eq!(chunk.parts[0].get(4..8) == Some(b"styp".as_slice()), !begun);
                            begun = true;
                            let told = samples(&chunk);
                            prop_assert!(told.len() <= pending.len() && pending.len() <= told.len() + 1);
                            for ((frame, payload), (part, (dts, pts, key))) in
                                pending.drain(..told.len()).zip(chunk.parts[1..].iter().zip(told))
                            {
                                prop_assert_eq!(pts, cadence.time_of(frame).ticks());
                                prop_assert!(pts - dts > -20, "at most the ticks that keep them apart: {}", pts - dts);
                                prop_assert_eq!(key, frame == base);
                                prop_assert_eq!(part.as_ptr(), payload, "the payload is not copied");
                            }
                            at = at.plus(chunk.duration);
                            let sequence = sequence_of(&chunk);
                            prop_assert!(last_sequence.is_none_or(|before| before < sequence));
                            last_sequence = Some(sequence);
                        }
                        Packaged::SegmentEnd { segment: of, start, duration } => {
                            prop_assert_eq!(of, segment);
                            prop_assert_eq!(start.ticks(), cadence.segment_start(segment).ticks());
                            prop_assert_eq!(duration.ticks(), cadence.segment_duration().ticks());
                            prop_assert_eq!(at.ticks(), start.plus(duration).ticks());
                        }
                    }
                }
            }
            prop_assert!(pending.is_empty());
            segment = segment.next();
            begun = false;
        }
        prop_assert!(segmenter.finish().unwrap().is_empty());
    }

    /// Also where the end comes exactly at a chunk's, and decoding is behind showing.
    #[test]
    fn a_segment_cut_short_lasts_as_long_as_its_chunks(
        cadence in cadence(),
        rung in rung_rate(),
        runs in prop::collection::vec(0u64..8, 1..5),
        cut in 1u64..200,
        at_chunk: bool,
    ) {
        let step = if rung == RungRate::Half { 2 } else { 1 };
        let per_segment = u64::from(cadence.frames_per_segment()) / step;
        let per_chunk = (u64::from(cadence.frames_per_chunk()) / step).max(1);
        let order = decoding_order(per_segment, &runs);
        let cut = if at_chunk { cut.div_ceil(per_chunk) * per_chunk } else { cut };
        let mut segmenter = VideoSegmenter::new(cadence, rung, SegmentNumber::FIRST);
        let mut out = Vec::new();
        for (i, place) in (0..cut).zip(&order) {
            out.extend(segmenter.push(picture(place * step, i == 0)).unwrap());
        }
        match segmenter.finish() {
            Ok(last) => out.extend(last),
            Err(error) => {
                prop_assert!(matches!(error, SegmentError::Missing { .. }), "{error}");
                return Ok(());
            }
        }
        let mut sum = 0;
        let mut ends = 0;
        for packaged in out {
            match packaged {
                Packaged::Chunk { chunk, .. } => {
                    samples(&chunk);
                    sum += chunk.duration.ticks();
                }
                Packaged::SegmentEnd { duration, .. } => {
                    ends += 1;
                    prop_assert_eq!(duration.ticks(), sum);
                }
            }
        }
        prop_assert_eq!(ends, 1);
    }

    #[test]
    fn audio_segments_tile_and_are_cut_alike_after_a_restart(
        cadence in cadence(),
        sample_rate in prop::sample::select(vec![8_000u32, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]),
        samples_per_frame in prop::sample::select(vec![960u32, 1024]),
        first in 1u64..100_000,
    ) {
        let Ok(grid) = AudioGrid::new(cadence, sample_rate, samples_per_frame) else {
            let frame = MediaTime::new(i64::from(samples_per_frame), Timescale::new(sample_rate).unwrap());
            prop_assert!(frame > cadence.segment_duration());
            return Ok(());
        };
        let run = |first: SegmentNumber, segments: u64| {
            let mut segmenter = AudioSegmenter::new(grid, first);
            let mut out = Vec::new();
            let mut ended = 0;
            while ended < segments {
                let frame = segmenter.next_frame();
                for packaged in segmenter.push(frame, Bytes::from(frame.to_be_bytes().to_vec())).unwrap() {
                    ended += u64::from(matches!(packaged, Packaged::SegmentEnd { .. }));
                    out.push(packaged);
                }
            }
            out
        };
        let first = SegmentNumber(first);
        let whole = run(first, 3);
        let mut at = grid.time_of(grid.first_frame(first));
        for packaged in &whole {
            match packaged {
                Packaged::Chunk { segment, chunk } => {
                    prop_assert_eq!(chunk.start.ticks(), at.ticks());
                    prop_assert!(chunk.independent);
                    at = at.plus(chunk.duration);
                    for (dts, pts, key) in samples(chunk) {
                        let start = MediaTime::new(pts, grid.timescale());
                        prop_assert!(start >= cadence.segment_start(*segment));
                        prop_assert!(start < cadence.segment_start(segment.next()));
                        prop_assert!(dts == pts && key);
                    }
                }
                Packaged::SegmentEnd { segment, start, duration } => {
                    prop_assert!(*start >= cadence.segment_start(*segment));
                    prop_assert_eq!(start.plus(*duration).ticks(), at.ticks());
                }
            }
        }
        let third = SegmentNumber(first.0 + 2);
        let of_third = |p: &&Packaged| match p {
            Packaged::Chunk { segment, .. } | Packaged::SegmentEnd { segment, .. } => *segment == third,
        };
        let again = run(third, 1);
        prop_assert_eq!(whole.iter().filter(of_third).collect::<Vec<_>>(), again.iter().collect::<Vec<_>>());
    }

    #[test]
    fn nonsense_is_refused_and_changes_nothing(
        pushes in prop::collection::vec((0u64..30, any::<bool>(), any::<bool>()), 0..60),
        rung in rung_rate(),
    ) {
        let cadence = Cadence::new(FrameRate::PAL, Duration::from_millis(400), Duration::from_millis(80));
        let mut segmenter = VideoSegmenter::new(cadence, rung, SegmentNumber::FIRST);
        let mut accepted = Vec::new();
        for (frame, key, empty) in pushes {
            let mut given = picture(frame, key);
            if empty {
                given.payload = Bytes::new();
            }
            let before = format!("{segmenter:?}");
            match segmenter.push(given) {
                Ok(_) => accepted.push(frame),
                Err(_) => prop_assert_eq!(before, format!("{segmenter:?}")),
            }
        }
        let _ = segmenter.finish();
        let distinct: std::collections::BTreeSet<_> = accepted.iter().collect();
        prop_assert_eq!(distinct.len(), accepted.len(), "no frame twice");
    }
}

fn sequence_of(chunk: &Chunk) -> u32 {
    let head = &chunk.parts[0];
    let at = head.windows(4).position(|w| w == b"mfhd").unwrap();
    u32::from_be_bytes(head[at + 8..at + 12].try_into().unwrap())
}

/// Ten frames a segment, two a chunk.
fn small() -> Cadence {
    let cadence = Cadence::new(FrameRate::PAL, Duration::from_millis(400), Duration::from_millis(80));
    assert_eq!((cadence.frames_per_segment(), cadence.frames_per_chunk()), (10, 2));
    cadence
}

#[test]
fn says_what_is_wrong_with_a_picture() {
    let mut segmenter = VideoSegmenter::new(small(), RungRate::Full, SegmentNumber(3));
    let error = |segmenter: &mut VideoSegmenter, frame, key| {
        segmenter.push(picture(frame, key)).unwrap_err().to_string()
    };
    assert_eq!(error(&mut segmenter, 20, false), "frame 20 begins segment 3 but is not a key picture");
    assert_eq!(error(&mut segmenter, 22, true), "frame 20 of segment 3 has not come");
    assert_eq!(error(&mut segmenter, 19, true), "frame 19 is outside of segment 3, frames 20 to 29");
    segmenter.push(picture(20, true)).unwrap();
    assert_eq!(error(&mut segmenter, 20, true), "frame 20 of segment 3 has already come");
    segmenter.push(picture(24, false)).unwrap();
    assert_eq!(error(&mut segmenter, 24, false), "frame 24 of segment 3 has already come");
    assert_eq!(error(&mut segmenter, 30, false), "frame 30 is outside of segment 3, frames 20 to 29");
    assert_eq!(error(&mut segmenter, 30, true), "frame 21 of segment 3 has not come");
    assert!(matches!(segmenter.finish(), Err(SegmentError::Missing { frame: 21, .. })));

    let mut half = VideoSegmenter::new(small(), RungRate::Half, SegmentNumber::FIRST);
    half.push(picture(0, true)).unwrap();
    assert_eq!(
        error(&mut half, 1, false),
        "frame 1 is odd, and a half-rate rung has even frames of segment 1 only"
    );
    assert!(matches!(half.push(picture(10, true)), Err(SegmentError::Missing { frame: 2, .. })));
}

#[test]
fn a_partial_last_segment_is_as_long_as_its_pictures() {
    let mut segmenter = VideoSegmenter::new(small(), RungRate::Full, SegmentNumber(2));
    for (frame, key) in [(10, true), (12, false), (11, false)] {
        segmenter.push(picture(frame, key)).unwrap();
    }
    let out = segmenter.finish().unwrap();
    assert_eq!(out.len(), 2);
    assert!(
        matches!(&out[0], Packaged::Chunk { chunk, .. } if chunk.start.plus(chunk.duration).ticks() == 13 * 3600)
    );
    let Packaged::SegmentEnd { segment, start, duration } = out[1] else { panic!("{out:?}") };
    assert_eq!((segment, start.ticks(), duration.ticks()), (SegmentNumber(2), 10 * 3600, 3 * 3600));
    assert!(segmenter.finish().unwrap().is_empty());

    let grid = AudioGrid::new(small(), 48_000, 1024).unwrap();
    let mut audio = AudioSegmenter::new(grid, SegmentNumber(2));
    assert_eq!(audio.next_frame(), 19, "400 ms are 18.75 frames");
    audio.push(19, Bytes::from_static(&[1])).unwrap();
    let out = audio.finish().unwrap();
    let Packaged::SegmentEnd { start, duration, .. } = out[1] else { panic!("{out:?}") };
    assert_eq!((start.ticks(), duration.ticks()), (19 * 1024, 1024));
    let error = audio.push(19, Bytes::from_static(&[1])).unwrap_err();
    assert_eq!(error.to_string(), "audio frame 19 has come where 20 was expected, in segment 3");
}

#[test]
fn what_went_out_can_be_gone_on_with_by_another_encoder() {
    let chunks = |out: Vec<Packaged>| {
        let bytes = |packaged| match packaged {
            Packaged::Chunk { chunk, .. } => Some(chunk.parts.concat()),
            Packaged::SegmentEnd { .. } => None,
        };
        out.into_iter().filter_map(bytes).collect::<Vec<_>>()
    };
    for (rate, step) in [(RungRate::Full, 1), (RungRate::Half, 2)] {
        let cadence =
            Cadence::new(FrameRate::new(30, 1).unwrap(), Duration::from_secs(2), Duration::from_millis(500));
        let all = |cut: Option<u64>| {
            let mut segmenter = VideoSegmenter::new(cadence, rate, SegmentNumber(3));
            let first = cadence.first_frame(SegmentNumber(3));
            assert_eq!((segmenter.next_after_chunks(), segmenter.rewind()), (first, true));
            let (mut out, mut frame, mut cut) = (Vec::new(), first, cut);
            while segmenter.segment() == SegmentNumber(3) {
                if cut == Some(frame) {
                    cut = None;
                    frame = segmenter.next_after_chunks();
                    assert!(segmenter.rewind() && segmenter.next_after_chunks() == frame);
                }
                // The same bytes, whoever codes it.
                out.extend(chunks(segmenter.push(picture(frame, frame == first)).unwrap()));
                frame += step;
            }
            out
        };
        let undisturbed = all(None);
        for cut in (120 + step..180).step_by(usize::try_from(step).unwrap()) {
            assert_eq!(all(Some(cut)), undisturbed, "{rate:?}, cut at {cut}");
        }
    }
    // Reordered pictures are not gone on with: what is before the cut may lack one.
    let mut segmenter = VideoSegmenter::new(small(), RungRate::Full, SegmentNumber(1));
    for (frame, key) in [(0, true), (2, false), (1, false)] {
        segmenter.push(picture(frame, key)).unwrap();
    }
    assert_eq!((segmenter.next_after_chunks(), segmenter.rewind()), (0, false));
    assert!(segmenter.push(picture(0, true)).is_ok());
}

#[test]
fn a_prft_says_when_the_chunk_happened() {
    let zero = 1_795_230_900_250;
    let mut segmenter =
        VideoSegmenter::new(small(), RungRate::Full, SegmentNumber(2)).with_producer_time(zero);
    segmenter.push(picture(10, true)).unwrap();
    let out = segmenter.push(picture(11, false)).unwrap();
    let Packaged::Chunk { chunk, .. } = &out[0] else { panic!("{out:?}") };
    let mut head = chunk.parts[0].as_ref();
    assert!(matches!(Any::decode(&mut head), Ok(Any::Styp(_))), "styp comes first");
    let Ok(Any::Prft(prft)) = Any::decode(&mut head) else { panic!("prft comes before the moof it is of") };
    assert_eq!(prft.media_time, 36_000);
    // 400 ms after zero; NTP counts from 1900 in 2^-32 s.
    assert_eq!(prft.ntp_timestamp >> 32, 1_795_230_900 + 2_208_988_800);
    let fraction = (prft.ntp_timestamp & 0xffff_ffff) * 1000;
    assert_eq!((fraction + (1 << 31)) >> 32, 650);
}

/// ISO/IEC 14496-12, 8.16.5: flags 24, a consistent, small offset from real time; 64 bits of media time in version 1.
#[test]
fn a_prft_says_what_its_time_is() {
    let body = |segment: u64| {
        let segment = SegmentNumber(segment);
        let mut segmenter = VideoSegmenter::new(small(), RungRate::Full, segment).with_producer_time(0);
        let frame = small().first_frame(segment);
        segmenter.push(picture(frame, true)).unwrap();
        let out = segmenter.push(picture(frame + 1, false)).unwrap();
        let Packaged::Chunk { chunk, .. } = &out[0] else { panic!("{out:?}") };
        let at = chunk.parts[0].windows(4).position(|w| w == b"prft").unwrap();
        let length =
            usize::try_from(u32::from_be_bytes(chunk.parts[0][at - 4..at].try_into().unwrap())).unwrap();
        chunk.parts[0][at + 4..at - 4 + length].to_vec()
    };
    let first = body(2);
    assert_eq!(first[..8], [0, 0, 0, 24, 0, 0, 0, 1], "version, flags, track");
    assert_eq!((first.len(), &first[16..]), (20, &36_000u32.to_be_bytes()[..]));
    // After more than 13 hours of 90 kHz.
    let later = body(150_001);
    assert_eq!(later[..8], [1, 0, 0, 24, 0, 0, 0, 1]);
    assert_eq!((later.len(), &later[16..]), (24, &5_400_000_000u64.to_be_bytes()[..]));
}

/// Decoding order as x264 has it: an anchor, the middle of those shown before it, and the rest in order.
fn x264_order(pictures: u64, b_frames: u64) -> Vec<u64> {
    let mut order = vec![0];
    let mut next = 1;
    while next < pictures {
        let anchor = (next + b_frames).min(pictures - 1);
        order.push(anchor);
        let middle = (anchor - next > 1).then_some(next + (anchor - next) / 2);
        order.extend(middle);
        order.extend((next..anchor).filter(|place| Some(*place) != middle));
        next = anchor + 1;
    }
    order
}

#[test]
fn reordered_pictures_are_decoded_in_time_and_evenly() {
    for ((n, d), chunk_millis, b_frames) in [
        ((25, 1), 500, 3),
        ((30_000, 1001), 500, 3),
        ((60_000, 1001), 333, 3),
        ((25, 1), 200, 1),
        ((25, 1), 500, 2),
    ] {
        let rate = FrameRate::new(n, d).unwrap();
        let cadence = Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(chunk_millis));
        let segment = SegmentNumber(9);
        let mut segmenter = VideoSegmenter::new(cadence, RungRate::Full, segment);
        let base = cadence.first_frame(segment);
        let mut told = Vec::new();
        for place in x264_order(u64::from(cadence.frames_per_segment()), b_frames) {
            for packaged in segmenter.push(picture(base + place, place == 0)).unwrap() {
                if let Packaged::Chunk { chunk, .. } = packaged {
                    told.extend(samples(&chunk));
                }
            }
        }
        let end = cadence.segment_start(segment.next()).ticks();
        let interval = 90_000 * i64::from(d) / i64::from(n);
        let mut uneven = 0;
        for (i, (dts, pts, _)) in told.iter().enumerate() {
            let following = told.get(i + 1).map_or(end, |next| next.0);
            assert!(
                following > *dts && pts >= dts,
                "{rate} fps, picture {i}: decoded at {dts}, shown at {pts}"
            );
            assert!(pts + following - dts <= end, "{rate} fps, picture {i} lasts into the next segment");
            uneven += usize::from((following - dts - interval).abs() > 1);
        }
        assert!(
            uneven <= 10,
            "{rate} fps, {b_frames} B-frames: {uneven} of {} distances are uneven",
            told.len()
        );
    }
}
