//! HEVC and AV1 come in by Enhanced RTMP and go out as the ladder says.

use test_support::{Ffmpeg, Setup};

use crate::output;

fn plays(feed: &str, encoder: &str, codec: &str) {
    let mut rungd = Setup::one_feed(feed).start();
    let _publisher = Ffmpeg::present_day()
        .picture("testsrc2=size=320x180:rate=10")
        .video_encoder(encoder)
        .publish(&rungd.rtmp_url(feed), rungd.folder());
    let manifest = rungd.wait_for_segments(feed, 3);
    let tracks = output::check(&rungd, &manifest);
    output::assert_moving(&tracks["180p"]);
    assert_eq!(rungd.feed(feed)["source"]["video_codec"], codec);
    for track in manifest.video() {
        assert!(track.codecs.starts_with("avc1."), "{}: {}", track.id, track.codecs);
    }
}

#[test]
fn hevc() {
    plays(
        "hevc",
        "-c:v libx265 -preset ultrafast -x265-params keyint=20:min-keyint=20:log-level=error",
        "HEVC",
    );
}

#[test]
fn av1() {
    plays("av1", "-c:v libsvtav1 -preset 12 -g 20 -svtav1-params lp=1", "AV1");
}

#[test]
fn h264_of_a_present_day_ffmpeg() {
    plays("h264", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20", "H.264");
}
