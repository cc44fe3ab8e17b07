//! Publishers that come back, take over and stand in: the programme goes on without a hole.

use std::time::Duration;

use bytes::Bytes;
use media::{Latency, MediaTime, SourceStamp, VideoCodec};

use super::configuration::{feed, limits};
use super::driver::{AUDIO, AVC_576I25, BOTH, Driver, PLAIN, VIDEO};
use crate::config::BackupReturn;
use crate::feed::presentation::Role;
use crate::feed::source::Input;

#[test]
fn a_publisher_that_comes_back_goes_on_with_the_same_programme() {
    for (away, latency) in [0, 300, 1_000, 5_000, 25_000]
        .into_iter()
        .flat_map(|away| [(away, Latency::Standard), (away, Latency::Low)])
    {
        let mut driver = Driver::patient(latency);
        driver.configure(BOTH);
        driver.play(BOTH, 6_000);
        driver.come_back(away);
        // Another clock, as after a restart of the encoder.
        driver.jump(-4_000);
        driver.configure(BOTH);
        driver.play(BOTH, 8_000);
        assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
        driver.log.check_aligned();
        driver.leave();
        driver.wait(31_000);
        driver.log.check_even_end();
        // Latency is what it was: the end stands where wall time has it, with the grace time behind it.
        let due = i64::try_from(14_000 + away + 30_000).unwrap();
        let end = driver.log.end_millis();
        assert!((due - 1_300..=due + 300).contains(&end), "away {away} ms: ends at {end} ms, due {due}");
    }
}

#[test]
fn the_programme_ends_when_the_grace_time_is_over() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.leave();
    driver.wait(29_000);
    assert!(!driver.log.closed);
    driver.wait(2_000);
    assert!(driver.log.closed);
    driver.log.check_even_end();
}

#[test]
fn the_last_picture_is_held_for_a_second_before_the_slate() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.leave();
    driver.wait(5_000);
    let slate = driver.slate_from.expect("a slate");
    let at = driver.cadence().time_of(slate).ticks_at(media::Timescale::MILLIS);
    assert!((6_900..=7_100).contains(&at), "the slate comes at {at} ms");
}

#[test]
fn a_backup_takes_over_within_a_second_and_gives_back_by_policy() {
    for (policy, back) in [(BackupReturn::AtOnce, 0), (BackupReturn::WhenBackupEnds, 1)] {
        let mut feed = feed();
        feed.grace = Duration::from_secs(30);
        feed.backup_return = policy;
        let mut driver = Driver::with(PLAIN, &feed, limits());
        driver.configure(BOTH);
        driver.join(1, Role::Backup);
        driver.configure(BOTH);
        let both = |driver: &mut Driver, millis: u64| {
            for _ in 0..millis / 100 {
                driver.play_of(0, BOTH, 100);
                driver.play_of_at_once(1, BOTH, 100);
            }
        };
        both(&mut driver, 6_000);
        assert_eq!(driver.presentation.source_on_air(), Some(0));
        // The primary falls silent without a word.
        for _ in 0..10 {
            driver.play_of(1, BOTH, 100);
        }
        assert_eq!(driver.presentation.source_on_air(), Some(1), "{policy:?}");
        driver.play_of(1, BOTH, 3_000);
        both(&mut driver, 4_000);
        assert_eq!(driver.presentation.source_on_air(), Some(back), "{policy:?}");
        driver.log.check_aligned();
        assert!(driver.log.dismissed.is_empty());
    }
}

#[test]
fn sound_alone_comes_back_too() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(AUDIO);
    driver.play(AUDIO, 6_000);
    driver.come_back(5_000);
    driver.configure(AUDIO);
    driver.play(AUDIO, 8_000);
    driver.log.check_aligned();
    assert!(driver.log.listed() >= 7, "{}", driver.log.listed());
}

/// What stands by is held from its last key frame on, up to ten seconds ago. That is for the decoder; what is shown next is
/// what comes next.
#[test]
fn however_long_a_group_of_pictures_is_switching_adds_no_latency() {
    for (latency, group) in [(Latency::Standard, 60), (Latency::Standard, 300), (Latency::Low, 300)] {
        let mut driver = Driver::patient(latency);
        driver.pictures_per_key = group;
        driver.configure(BOTH);
        driver.join(1, Role::Backup);
        driver.configure(BOTH);
        let both = |driver: &mut Driver, millis: u64| {
            for _ in 0..millis / 100 {
                driver.play_of(0, BOTH, 100);
                driver.play_of_at_once(1, BOTH, 100);
            }
        };
        let lead = |driver: &Driver| {
            let elapsed = i64::try_from(driver.elapsed().as_millis()).unwrap();
            driver.last_shown.ticks_at(media::Timescale::MILLIS) - elapsed
        };
        both(&mut driver, 12_000);
        let before = lead(&driver);
        for switch in 0..5 {
            // The primary falls silent for a moment, late in a group of its standby's.
            both(&mut driver, 7_000);
            for _ in 0..15 {
                driver.play_of(1, BOTH, 100);
            }
            assert_eq!(driver.presentation.source_on_air(), Some(1));
            let away = lead(&driver);
            assert!((away - before).abs() <= 100, "switch {switch}: {before} ms before, {away} ms now");
            both(&mut driver, 25_000);
            assert_eq!(driver.presentation.source_on_air(), Some(0));
            let back = lead(&driver);
            assert!((back - before).abs() <= 100, "switch {switch}: {before} ms before, {back} ms now");
            driver.log.check_aligned();
        }
        assert_eq!(driver.log.caught_up, 10);
        // What was held of the other one stands in the place of the silence; low latency does not wait so long.
        let facts = driver.presentation.facts(driver.now()).unwrap();
        let most = if latency == Latency::Low { 40 } else { 15 };
        assert!(facts.silence_frames <= most, "{} silent frames in ten switches", facts.silence_frames);
        assert!(driver.log.dismissed.is_empty());
    }
}

#[test]
fn what_bears_one_stamp_is_spaced_as_the_encoder_that_came_back_has_it() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(VIDEO);
    driver.play(VIDEO, 6_000);
    driver.come_back(0);
    // 25 pictures a second where there were 29.97.
    let record = Bytes::from_static(AVC_576I25);
    driver.input(Input::VideoConfiguration { codec: VideoCodec::H264, record });
    driver.play(VIDEO, 3_000);
    let before = driver.last_shown;
    let stamp = SourceStamp { millis: 14_000, ..SourceStamp::default() };
    driver.picture(stamp, false);
    let first = driver.last_shown;
    driver.picture(stamp, false);
    assert!(before < first);
    assert_eq!(driver.last_shown.minus(first), MediaTime::from_millis(40));
}
