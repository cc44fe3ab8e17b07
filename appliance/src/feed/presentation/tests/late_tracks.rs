//! Tracks that begin after the others: what has no place is told of, and nothing is put where it does not belong.

use media::Latency;

use super::driver::{AUDIO, BOTH, Driver, Tracks, VIDEO};

/// AAC-LC, 44.1 kHz, stereo.
const AAC_44K_STEREO: &[u8] = &[0x12, 0x10];

fn other(track: Tracks) -> Tracks {
    if track == VIDEO { AUDIO } else { VIDEO }
}

#[test]
fn a_track_that_begins_late_is_left_out_and_told_of_once() {
    for first in [VIDEO, AUDIO] {
        let mut driver = Driver::patient(Latency::Standard);
        driver.configure(first);
        driver.play(first, 3_000);
        driver.configure(other(first));
        driver.play(BOTH, 5_000);
        assert_eq!(driver.log.warnings, ["late_track"], "{first:?}");
        let problem = driver.presentation.problem().unwrap();
        assert!(problem.contains("began 3.0 s after the source"), "{problem}");
        assert!(problem.contains("rungd end studio-a"), "{problem}");
        assert!(driver.log.dismissed.is_empty());
        driver.log.check_aligned();
    }
}

#[test]
fn a_track_that_an_encoder_comes_back_with_is_told_of_too() {
    for first in [VIDEO, AUDIO] {
        let mut driver = Driver::patient(Latency::Standard);
        driver.configure(first);
        driver.play(first, 3_000);
        driver.come_back(0);
        driver.configure(BOTH);
        driver.play(BOTH, 5_000);
        assert_eq!(driver.log.warnings, ["extra_track"], "{first:?}");
        assert!(driver.log.dismissed.is_empty());
        driver.log.check_aligned();
    }
}

fn silent_frames(driver: &mut Driver) -> u64 {
    driver.presentation.facts(driver.now()).unwrap().silence_frames
}

/// Its record says what it is, whether that comes at the beginning or with the sound.
#[test]
fn sound_of_another_format_that_comes_back_late_is_converted() {
    for at_once in [true, false] {
        let mut driver = Driver::patient(Latency::Standard);
        driver.configure(BOTH);
        driver.play(BOTH, 6_000);
        driver.come_back(0);
        driver.configure(VIDEO);
        if at_once {
            driver.configure_sound(AAC_44K_STEREO);
        }
        driver.play(VIDEO, 4_000);
        if !at_once {
            driver.configure_sound(AAC_44K_STEREO);
        }
        let before = silent_frames(&mut driver);
        driver.play(BOTH, 4_000);
        assert_eq!(driver.log.warnings, ["audio_converted"], "{at_once}");
        let silent = silent_frames(&mut driver) - before;
        assert!(silent <= 60, "{silent} silent frames in 4 s");
        assert!(driver.log.dismissed.is_empty());
        driver.log.check_aligned();
    }
}

#[test]
fn sound_of_the_same_format_that_comes_back_late_is_heard() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.come_back(0);
    driver.configure(VIDEO);
    driver.play(VIDEO, 4_000);
    driver.configure(AUDIO);
    let before = silent_frames(&mut driver);
    driver.play(BOTH, 4_000);
    assert!(driver.log.warnings.is_empty(), "{:?}", driver.log.warnings);
    // Half of the last second before, at most.
    assert!(silent_frames(&mut driver) - before <= 50);
}
