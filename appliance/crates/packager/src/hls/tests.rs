use media::{MediaTime, Timescale};
use proptest::prelude::*;

use super::*;
use crate::window::sample;

#[test]
fn the_master_playlist_pairs_each_rung_with_the_sound() {
    let text = master(&sample::window(true, 5, 35)).unwrap();
    let expected = "#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/index.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2378000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"
720p/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1130000,AVERAGE-BANDWIDTH=878000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=854x480,FRAME-RATE=14.985,AUDIO=\"audio\"
480p/index.m3u8
";
    assert_eq!(text, expected);
}

#[test]
fn captions_are_a_group_of_every_variant_where_there_are_any() {
    let mut window = sample::window(true, 5, 35);
    assert!(!master(&window).unwrap().contains("CAPTIONS"));
    sample::with_captions(&mut window);
    let text = master(&window).unwrap();
    let group = "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"CC1\",DEFAULT=NO,AUTOSELECT=YES,\
                 INSTREAM-ID=\"CC1\"";
    assert_eq!(text.lines().filter(|line| *line == group).count(), 1, "{text}");
    let variants = text.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF"));
    assert!(
        variants.clone().count() == 2
            && variants.into_iter().all(|line| line.ends_with(",CLOSED-CAPTIONS=\"captions\""))
    );
}

#[test]
fn sound_alone_is_a_variant_and_pictures_alone_have_no_group() {
    let mut window = sample::window(true, 1, 3);
    let sound = window.tracks.split_off(2);
    let pictures = master(&window).unwrap();
    assert!(!pictures.contains("AUDIO") && !pictures.contains("mp4a"), "{pictures}");
    assert!(
        pictures.contains("BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2250000,CODECS=\"avc1.64001f\""),
        "{pictures}"
    );
    window.tracks = sound;
    let expected = "#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\naudio/index.m3u8\n";
    let text = master(&window).unwrap();
    assert!(text.ends_with(expected) && !text.contains("EXT-X-MEDIA"), "{text}");
    window.tracks.clear();
    assert!(matches!(master(&window), Err(HlsError::NoTracks)));
}

#[test]
fn a_live_media_playlist() {
    let text = media(&sample::window(true, 5, 7), 0).unwrap();
    let expected = "#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:5
#EXT-X-MAP:URI=\"../20261121T031500Z/720p/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:15:08.258Z
#EXTINF:2.002000,
../20261121T031500Z/720p/5.m4s
#EXTINF:2.002000,
../20261121T031500Z/720p/6.m4s
";
    assert_eq!(text, expected);
}

#[test]
fn an_ended_media_playlist_has_an_end() {
    let text = media(&sample::window(false, 1, 4), 2).unwrap();
    assert!(!text.contains("PLAYLIST-TYPE"), "{text}");
    assert!(text.ends_with("/audio/3.m4s\n#EXT-X-ENDLIST\n"), "{text}");
}

#[test]
fn what_cannot_be_listed_is_named() {
    let mut window = sample::window(true, 1, 4);
    assert_eq!(media(&window, 3).unwrap_err().to_string(), "track 3 does not exist, there are 3");
    window.tracks[1].segments.remove(1);
    assert_eq!(media(&window, 1).unwrap_err().to_string(), "track 480p lists segment 3 where 2 should be");
    window.tracks[1].segments.clear();
    assert_eq!(media(&window, 1).unwrap_err().to_string(), "track 480p lists no segments");
}

#[test]
fn no_name_breaks_out_of_its_quotes() {
    let mut window = sample::window(true, 1, 3);
    window.tracks[2].name = "a\",URI=\"x\n#EXT-X-ENDLIST".to_owned();
    let text = master(&window).unwrap();
    let line = text.lines().find(|line| line.starts_with("#EXT-X-MEDIA:")).unwrap();
    assert!(line.contains("NAME=\"a,URI=x#EXT-X-ENDLIST\",DEFAULT=YES"), "{text}");
}

proptest! {
    /// RFC 8216, 4.3.3.1, and a target that does not depend on which segments are listed.
    #[test]
    fn no_segment_is_over_the_target_duration(nominal_millis in 200u64..12_000, over_millis in 0i64..128) {
        let mut window = sample::window(true, 1, 2);
        window.segment_duration = Duration::from_millis(nominal_millis);
        let target = |window: &Window| {
            let text = media(window, 0).unwrap();
            let value = |tag: &str| text.lines().find_map(|line| line.strip_prefix(tag).map(str::to_owned)).unwrap();
            let extinf: f64 = value("#EXTINF:").trim_end_matches(',').parse().unwrap();
            let target: f64 = value("#EXT-X-TARGETDURATION:").parse().unwrap();
            assert!(extinf.round() <= target, "{text}");
            target
        };
        let mut with = |millis: i64| {
            window.tracks[0].segments[0].duration = MediaTime::new(millis * 90, Timescale::VIDEO);
            target(&window)
        };
        let nominal = i64::try_from(nominal_millis).unwrap();
        let usual = with(nominal);
        prop_assert!((usual - with(nominal + over_millis)).abs() < 0.5);
        with(nominal * 3);
    }
}
