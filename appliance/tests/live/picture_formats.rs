//! Whatever the source's pictures are, rungs are 8-bit 4:2:0 in the source's shape.

use test_support::{Ffmpeg, Setup};

use crate::output;

/// Publishes with an encoder and gives the sizes that come out, best first.
fn sizes(feed: &str, publisher: &Ffmpeg) -> Vec<(u32, u32)> {
    let mut rungd = Setup::one_feed(feed).start();
    let _publisher = publisher.publish(&rungd.rtmp_url(feed), rungd.folder());
    let manifest = rungd.wait_for_segments(feed, 2);
    let tracks = output::check(&rungd, &manifest);
    for track in manifest.video() {
        output::assert_moving(&tracks[&track.id]);
        // Profiles over High (100 = 0x64) are for other than 8-bit 4:2:0 (ITU-T H.264, A.2).
        let profile = u8::from_str_radix(&track.codecs[5..7], 16).unwrap();
        assert!(profile <= 0x64, "{}: {}", track.id, track.codecs);
    }
    manifest.video().filter_map(|track| track.size).collect()
}

const TEN_BIT_422: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv422p10le -g 30";
const PLAIN: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30";
const INTERLACED: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -flags +ilme+ildct -top 1";

#[test]
fn ten_bits_and_full_colour() {
    assert_eq!(sizes("ten-bit", &Ffmpeg::new().video_encoder(TEN_BIT_422)), [(320, 180), (160, 90)]);
}

#[test]
fn portrait_keeps_its_shape() {
    let publisher = Ffmpeg::new().picture("testsrc2=size=180x320:rate=15").video_encoder(PLAIN);
    for (width, height) in sizes("portrait", &publisher) {
        assert!(width < height && width % 2 == 0 && height % 2 == 0, "{width}x{height}");
    }
}

#[test]
fn a_small_source_is_not_made_larger() {
    let publisher = Ffmpeg::new().picture("testsrc2=size=160x90:rate=15").video_encoder(PLAIN);
    for (width, height) in sizes("small", &publisher) {
        assert!(width <= 160 && height <= 90, "{width}x{height}");
    }
}

#[test]
fn interlaced_is_deinterlaced() {
    let mut rungd = Setup::one_feed("interlaced").start();
    let _publisher = Ffmpeg::new()
        .picture("testsrc2=size=320x180:rate=50,tinterlace=interleave_top,fieldorder=tff")
        .video_encoder(INTERLACED)
        .publish(&rungd.rtmp_url("interlaced"), rungd.folder());
    let manifest = rungd.wait_for_segments("interlaced", 2);
    output::check(&rungd, &manifest);
    let feed = rungd.feed("interlaced");
    assert_eq!(feed["source"]["deinterlacing"], true, "{feed}");
}
