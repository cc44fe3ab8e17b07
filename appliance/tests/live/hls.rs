//! HLS says the same as DASH, of the same segments.

use test_support::{Ffmpeg, Setup, http, media_check};

#[test]
fn the_playlists_are_whole_and_ffmpeg_plays_them() {
    let mut rungd = Setup::one_feed("studio-h").start();
    let mut publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-h"), rungd.folder());
    let _ = rungd.wait_for_segments("studio-h", 4);
    let master = http::get(&rungd.hls_url("studio-h"));
    assert_eq!(master.header("content-type"), Some("application/vnd.apple.mpegurl"));
    let master = master.text();
    assert!(master.starts_with("#EXTM3U"), "{master}");
    assert_eq!(master.matches("#EXT-X-STREAM-INF").count(), 2, "{master}");
    assert!(master.contains("TYPE=AUDIO"), "{master}");
    assert!(master.contains("CODECS=\"avc1.") && master.contains("mp4a.40.2"), "{master}");
    let live = http::get(&rungd.url("/live/studio-h/180p/index.m3u8")).text();
    for wanted in
        ["#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MAP", "#EXTINF", "#EXT-X-INDEPENDENT-SEGMENTS"]
    {
        assert!(live.contains(wanted) || master.contains(wanted), "{wanted} is missing:\n{live}");
    }
    assert!(!live.contains("#EXT-X-ENDLIST"), "{live}");

    let _ = publisher.terminate(std::time::Duration::from_secs(10));
    let ended = test_support::wait_until(std::time::Duration::from_secs(60), "the playlist to end", || {
        let text = http::get(&rungd.url("/live/studio-h/180p/index.m3u8")).text();
        text.contains("#EXT-X-ENDLIST").then_some(text)
    });
    assert!(ended.contains("#EXTINF"), "{ended}");
    // ffmpeg's HLS reader warns of nothing and of no gap.
    let errors = media_check::decode_errors(&rungd.hls_url("studio-h"));
    assert!(errors.is_empty(), "{errors}");
}
