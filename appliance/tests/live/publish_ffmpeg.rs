//! ffmpeg publishes over RTMP and RTMPS, and a right ladder comes out.

use std::time::Duration;

use test_support::{Ffmpeg, Manifest, Rungd, Setup, wait_until};

use crate::output;

#[test]
fn over_rtmp() {
    let mut rungd = Setup::one_feed("studio-a").start();
    let _publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-a"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-a", 4);
    assert!(manifest.dynamic, "{}", manifest.text);
    let tracks = output::check(&rungd, &manifest);
    output::assert_moving(&tracks["180p"]);
}

#[test]
fn over_rtmps_with_b_frames() {
    let mut rungd = Setup::one_feed("studio-b").start();
    let _publisher = Ffmpeg::new()
        .video_encoder("-c:v libx264 -preset veryfast -bf 3 -b_strategy 0 -pix_fmt yuv420p -b:v 300k -g 30")
        .publish(&rungd.rtmps_url("studio-b"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-b", 4);
    let tracks = output::check(&rungd, &manifest);
    output::assert_moving(&tracks["180p"]);
    let feed = rungd.feed("studio-b");
    assert_eq!(feed["publisher"]["tls"], true, "{feed}");
    assert_eq!(feed["state"], "live", "{feed}");
}

/// A feed that comes back within one daemon's life plays again at the same URL.
#[test]
fn again_after_it_has_ended() {
    let mut rungd = Setup::one_feed("studio-c").start();
    let publish = |rungd: &Rungd| Ffmpeg::new().publish(&rungd.rtmp_url("studio-c"), rungd.folder());
    let mut first = publish(&rungd);
    let before = rungd.wait_for_segments("studio-c", 2);
    let _ = first.terminate(Duration::from_secs(10));
    rungd.wait_for_state("studio-c", Duration::from_secs(60), &["idle"]);
    let _second = publish(&rungd);
    let after = wait_until(Duration::from_secs(40), "a new presentation of studio-c", || {
        let manifest = Manifest::fetch(&rungd.mpd_url("studio-c"))?;
        (manifest.dynamic && manifest.fewest_segments() >= 3).then_some(manifest)
    });
    assert_ne!(before.availability_start, after.availability_start);
    output::check(&rungd, &after);
}
