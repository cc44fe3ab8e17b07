//! A window for the tests of both manifests.

use std::time::Duration;

use media::ladder::RungRate;
use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};

use super::{Latency, LiveEdge, Window, WindowSegment, WindowTrack, WindowTrackKind};
use crate::segmenter::AudioGrid;

/// Segments of 60 frames at 29.97, and chunks of 15.
pub(crate) fn cadence() -> Cadence {
    let rate = FrameRate::new(30_000, 1001).unwrap();
    Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(500))
}

/// Two rungs at 29.97 and 14.985 and stereo at 44.1 kHz, with segments `from..to`.
pub(crate) fn window(live: bool, from: u64, to: u64) -> Window {
    let cadence = cadence();
    let rate = cadence.frame_rate();
    let grid = AudioGrid::new(cadence, 44_100, 1024).unwrap();
    let pictures = |number| WindowSegment {
        number: SegmentNumber(number),
        start: cadence.segment_start(SegmentNumber(number)),
        duration: cadence.segment_duration(),
        bytes: 1000,
    };
    let sound = |number| {
        let start = grid.time_of(grid.first_frame(SegmentNumber(number)));
        let end = grid.time_of(grid.first_frame(SegmentNumber(number + 1)));
        WindowSegment { number: SegmentNumber(number), start, duration: end.minus(start), bytes: 100 }
    };
    let rung = |name: &str, size: Size, rung_rate: RungRate, peak: u64| WindowTrack {
        name: name.to_owned(),
        codecs: "avc1.64001f".to_owned(),
        peak_bit_rate: peak,
        mean_bit_rate: peak * 3 / 4,
        timescale: Timescale::VIDEO,
        kind: WindowTrackKind::Video {
            size,
            frame_rate: if rung_rate == RungRate::Half { rate.half() } else { rate },
            captions: false,
        },
        segments: (from..to).map(pictures).collect(),
        edge: LiveEdge::default(),
    };
    Window {
        title: "Studio A".to_owned(),
        availability_start_unix_millis: 1_795_230_900_250,
        published_unix_millis: 1_795_230_950_000,
        live,
        segment_duration: cadence.segment_duration().to_duration(),
        latency: Latency::Standard,
        time_shift: Duration::from_secs(60),
        time_url: "/time".to_owned(),
        origin: MediaTime::ZERO,
        media_base: "20261121T031500Z/".to_owned(),
        tracks: vec![
            rung("720p", Size { width: 1280, height: 720 }, RungRate::Full, 3_000_000),
            rung("480p", Size { width: 854, height: 480 }, RungRate::Half, 1_000_000),
            WindowTrack {
                name: "audio".to_owned(),
                codecs: "mp4a.40.2".to_owned(),
                peak_bit_rate: 130_000,
                mean_bit_rate: 128_000,
                timescale: grid.timescale(),
                kind: WindowTrackKind::Audio { sample_rate: 44_100, channels: 2 },
                segments: (from..to).map(sound).collect(),
                edge: LiveEdge::default(),
            },
        ],
    }
}

/// Captions in the rungs of the full rate, the first.
pub(crate) fn with_captions(window: &mut Window) {
    if let WindowTrackKind::Video { captions, .. } = &mut window.tracks[0].kind {
        *captions = true;
    }
}
