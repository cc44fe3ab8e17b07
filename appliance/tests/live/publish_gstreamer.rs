//! GStreamer publishes with both its sinks, and a right ladder comes out.

use test_support::publisher::Sink;
use test_support::{Gstreamer, Setup};

use crate::output;

#[test]
fn with_rtmp2sink_over_rtmps() {
    let mut rungd = Setup::one_feed("studio-g").start();
    let _publisher = Gstreamer::new(Sink::Rtmp2).publish(&rungd.rtmps_url("studio-g"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-g", 3);
    let tracks = output::check(&rungd, &manifest);
    output::assert_moving(&tracks["180p"]);
    assert!(tracks.len() == 3, "two rungs and sound: {:?}", tracks.keys());
}

#[test]
fn with_librtmp_over_rtmp() {
    let mut rungd = Setup::one_feed("studio-l").start();
    let _publisher = Gstreamer::new(Sink::Librtmp).publish(&rungd.rtmp_url("studio-l"), rungd.folder());
    let manifest = rungd.wait_for_segments("studio-l", 3);
    let tracks = output::check(&rungd, &manifest);
    output::assert_moving(&tracks["180p"]);
    assert!(tracks.len() == 3, "two rungs and sound: {:?}", tracks.keys());
}
