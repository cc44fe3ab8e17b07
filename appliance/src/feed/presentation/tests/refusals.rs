//! Sources that are not taken, and what their encoders are told.

use bytes::Bytes;
use media::probe::Hints;
use media::{SourceStamp, Track, VideoCodec};

use super::configuration::{feed, limits};
use super::driver::{AUDIO, AVC_576I25, BOTH, Driver, PLAIN, VIDEO, Ways};
use crate::config;
use crate::feed::source::Input;

fn refused(driver: &Driver) -> &str {
    assert!(driver.log.closed, "it is over");
    assert!(driver.log.opening.is_none(), "nothing was begun");
    assert_eq!(driver.log.dismissed.len(), 1);
    assert_eq!(driver.presentation.problem(), Some(driver.log.dismissed[0].as_str()));
    &driver.log.dismissed[0]
}

#[test]
fn what_cannot_be_taken_is_named() {
    let mut driver = Driver::new(PLAIN);
    driver.input(Input::Unsupported { track: Track::Video, codec: "On2 VP6".to_owned() });
    assert_eq!(refused(&driver), "video codec On2 VP6 is not supported; supported: H.264, HEVC and AV1");

    let mut driver = Driver::new(PLAIN);
    driver.input(Input::VideoConfiguration { codec: VideoCodec::H264, record: Bytes::from_static(&[1, 2]) });
    assert!(refused(&driver).starts_with("the H.264 configuration record cannot be read: avcC of 2 bytes"));

    let mut driver =
        Driver::with(PLAIN, &feed(), config::SourceLimits { max_width: 1280, max_height: 720, ..limits() });
    driver.configure(VIDEO);
    assert_eq!(refused(&driver), "picture of 1920x1080 is over the bound of 1280x720");

    let mut driver = Driver::new(PLAIN);
    driver.input(Input::AudioConfiguration(Bytes::from_static(&[0x11, 0x80])));
    assert!(refused(&driver).starts_with("the AAC configuration record cannot be read: AudioSpecificConfig"));
}

#[test]
fn a_source_without_key_frames_is_told_what_to_set() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(VIDEO);
    for millis in (0..40_000).step_by(40) {
        let stamp = SourceStamp { millis, ..SourceStamp::default() };
        driver.picture(stamp, false);
        driver.wait(40);
    }
    assert_eq!(
        refused(&driver),
        "no key frame came within 20 s; set the encoder's key frame interval to 2 s"
    );
    assert!(driver.elapsed().as_secs() >= 20);
}

#[test]
fn a_connection_without_media_is_not_kept() {
    let mut driver = Driver::new(PLAIN);
    driver.wait(21_000);
    assert_eq!(refused(&driver), "the stream could not be made out within 20 s");
}

#[test]
fn what_is_held_of_a_flood_is_bounded() {
    let mut driver = Driver::new(PLAIN);
    // The record of its sound never comes.
    for millis in 0..20_000 {
        let stamp = SourceStamp { millis, ..SourceStamp::default() };
        driver.input(Input::Audio {
            stamp: SourceStamp { millis: 0, ..stamp },
            payload: Bytes::from_static(b"x"),
        });
        if driver.log.closed {
            assert!((10_000..10_002).contains(&millis), "after {millis}");
            break;
        }
    }
    assert_eq!(refused(&driver), "the stream could not be made out within 10000 units");
}

#[test]
fn units_without_bytes_are_as_nothing() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    let (stamp, payload) = (SourceStamp::default(), Bytes::new());
    driver.input(Input::Video { stamp, key: true, payload: payload.clone() });
    driver.play(BOTH, 4_000);
    driver.input(Input::Video { stamp, key: true, payload: payload.clone() });
    driver.input(Input::Audio { stamp, payload });
    driver.play(BOTH, 1_000);
    driver.leave();
    driver.log.check_even_end();
    assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
}

/// Each change may cost a process: who changes all the time is sent away.
#[test]
fn sound_that_changes_its_format_again_and_again_ends_the_publish_once() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 5_000);
    driver.configure(AUDIO);
    assert!(driver.log.dismissed.is_empty(), "the same again is no change");
    for record in [&[0x12, 0x10], &[0x12, 0x08], &[0x12, 0x10]] {
        driver.input(Input::AudioConfiguration(Bytes::from_static(record)));
        driver.play(BOTH, 500);
    }
    let reason = "the audio format changed twice within 10s; stop and publish again";
    assert_eq!(driver.log.dismissed, [reason]);
    assert_eq!(driver.sound_workers, 1);
    // The presentation ended with what there was, though the publisher has not gone.
    driver.log.check_even_end();
    assert!((5_400..=5_600).contains(&(driver.log.end_millis())), "{}", driver.log.end_millis());
}

#[test]
fn a_record_is_passed_on_when_it_changes_and_only_then() {
    let mut driver = Driver::new(PLAIN);
    driver.configure(BOTH);
    driver.play(BOTH, 3_000);
    driver.configure(VIDEO);
    driver.configure(VIDEO);
    assert_eq!(driver.configurations, 1);
    driver
        .input(Input::VideoConfiguration { codec: VideoCodec::H264, record: Bytes::from_static(AVC_576I25) });
    assert_eq!(driver.configurations, 2);
    driver.input(Input::VideoConfiguration { codec: VideoCodec::H264, record: Bytes::from_static(b"bad") });
    assert_eq!(driver.log.dismissed.len(), 1);
    driver.log.check_even_end();
}

#[test]
fn pictures_before_a_change_of_record_are_not_decoded_with_the_new_one() {
    let mut driver = Driver::new(PLAIN);
    driver.input(Input::Hints(Hints {
        frame_rate: Some(25.0),
        has_video: Some(true),
        has_audio: Some(false),
    }));
    driver
        .input(Input::VideoConfiguration { codec: VideoCodec::H264, record: Bytes::from_static(AVC_576I25) });
    driver.picture(SourceStamp::default(), true);
    driver.configure(VIDEO);
    driver.play(VIDEO, 5_000);
    driver.leave();
    driver.log.check_even_end();
    // The first key frame with the new record came two seconds later.
    assert!(driver.log.end_millis() < 3_100, "{}", driver.log.end_of(0));
}

#[test]
fn a_source_that_never_decodes_is_told_so_and_its_timeline_has_no_hole() {
    let mut driver = Driver::new(Ways { decodes: false, ..PLAIN });
    driver.configure(BOTH);
    driver.play(BOTH, 12_000);
    assert_eq!(driver.log.dismissed.len(), 1);
    let reason = &driver.log.dismissed[0];
    assert!(reason.starts_with("none of the first 2") && reason.contains("H.264"), "{reason}");
    driver.log.check_even_end();
    assert!(driver.log.listed() >= 2, "{} segments of black", driver.log.listed());
}
