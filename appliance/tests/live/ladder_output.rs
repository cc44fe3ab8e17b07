//! A ladder of three: every rung in its size and rate, cut at the same places, described as it is.

use test_support::{FeedSetup, Ffmpeg, Rungd, Setup};

use crate::output;

#[test]
fn a_ladder_of_three_is_as_configured() {
    let _rungd = a_ladder_of_three(Setup::default(), "device = \"software\"", |_| {});
}

/// Streams a ladder of three on the device of `device`, and looks at what comes out, and at `while_on_air`.
pub(crate) fn a_ladder_of_three(setup: Setup, device: &str, while_on_air: impl FnOnce(&Rungd)) -> Rungd {
    let feed = FeedSetup::new("ladder")
        .rung("full", "320x180", "250k")
        .rung("mid", "240x136", "120k")
        .rung("low", "160x90", "60k")
        .line("segment = \"2s\"")
        .line(device);
    let mut rungd = setup.feed(feed).start();
    let _publisher = Ffmpeg::new()
        .picture("testsrc2=size=320x180:rate=25")
        .video_encoder("-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p -b:v 400k -g 50")
        .publish(&rungd.rtmps_url("ladder"), rungd.folder());
    let manifest = rungd.wait_for_segments("ladder", 4);
    while_on_air(&rungd);
    let tracks = output::check(&rungd, &manifest);

    let shape = |id: &str| manifest.tracks.iter().find(|track| track.id == id).unwrap();
    assert_eq!(shape("full").size, Some((320, 180)));
    assert_eq!(shape("low").size, Some((160, 90)));
    let (width, height) = shape("mid").size.unwrap();
    assert!(width <= 240 && height <= 136 && width % 2 == 0 && height % 2 == 0, "{width}x{height}");
    for track in manifest.video() {
        assert!(["25", "25/1"].contains(&track.frame_rate.as_deref().unwrap()), "{:?}", track.frame_rate);
        assert!(track.codecs.starts_with("avc1.") && track.codecs.len() == 11, "{}", track.codecs);
        let got = &tracks[&track.id];
        assert_eq!(got.init.coding, "avc1");
        for (listed, segment) in &got.segments {
            // 2 s of 25 fps: 50 frames, an even number.
            assert_eq!(segment.samples().count(), 50, "{}, segment {}", track.id, listed.number);
            assert!(segment.chunks.len() >= 4, "{} chunks of 0.5 s", segment.chunks.len());
            let seconds = listed.duration / track.timescale;
            let bits: u64 = segment.samples().map(|s| u64::try_from(s.data.len()).unwrap() * 8).sum();
            assert!(bits / seconds <= track.bandwidth, "{}: bandwidth is under what a segment has", track.id);
        }
    }
    assert_eq!(shape("audio").codecs, "mp4a.40.2");
    // Segment numbers count from 1, and what a viewer saw keeps its number.
    assert_eq!(shape("full").segments.first().unwrap().number, 1);
    rungd
}

/// What a viewer has fetched is what a later manifest says: numbers, times and bytes stay.
#[test]
fn what_was_listed_never_changes() {
    let mut rungd = Setup::one_feed("steady").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("steady"), rungd.folder());
    let early = rungd.wait_for_segments("steady", 3);
    let early_tracks = output::check(&rungd, &early);
    let late = rungd.wait_for_segments("steady", 6);
    assert_eq!(early.availability_start, late.availability_start);
    for track in &early.tracks {
        let later = late.tracks.iter().find(|t| t.id == track.id).unwrap();
        for (listed, segment) in &early_tracks[&track.id].segments {
            assert!(
                later.segments.contains(listed),
                "{}: {listed:?} is not in {:?}",
                track.id,
                later.segments
            );
            let again = test_support::boxes::segment(
                &early_tracks[&track.id].init,
                &test_support::http::body(&listed.url),
            );
            assert_eq!(&again, segment);
        }
    }
}
