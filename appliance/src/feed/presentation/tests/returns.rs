//! Publishers that come back, take over and stand in: the programme goes on without a hole.

use std::time::Duration;

use media::Latency;

use super::driver::{AUDIO, BOTH, Driver, PLAIN, Ways, feed, limits};
use crate::config::{BackupReturn, Feed};
use crate::feed::presentation::Role;

fn patient() -> Driver {
    let mut feed = feed();
    feed.grace = Duration::from_secs(30);
    Driver::with(PLAIN, &feed, limits())
}

/// Likewise, in low latency.
fn patient_and_prompt() -> Driver {
    let feed = Feed { grace: Duration::from_secs(30), latency: Latency::Low, ..feed() };
    Driver::with(Ways { reorders: false, lookahead: 0, ..PLAIN }, &feed, limits())
}

#[test]
fn a_publisher_that_comes_back_goes_on_with_the_same_programme() {
    for (away, mut driver) in [0, 300, 1_000, 5_000, 25_000]
        .into_iter()
        .flat_map(|away| [(away, patient()), (away, patient_and_prompt())])
    {
        driver.configure(BOTH);
        driver.play(BOTH, 6_000);
        driver.leave();
        driver.wait(away);
        driver.join(1, Role::Primary);
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
    let mut driver = patient();
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
    let mut driver = patient();
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.leave();
    driver.wait(5_000);
    let slate = driver.slate_from.expect("a slate");
    let at = driver.cadence().time_of(slate).ticks_at(media::Timescale::MILLIS);
    assert!((6_900..=7_100).contains(&at), "the slate comes at {at} ms");
}

#[test]
fn sound_of_another_format_is_silence_and_a_warning() {
    let mut driver = patient();
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.leave();
    driver.wait(1_000);
    driver.join(1, Role::Primary);
    driver.configure(super::driver::VIDEO);
    driver.configure_sound(&[0x12, 0x10]);
    driver.play(BOTH, 8_000);
    assert_eq!(driver.log.warnings, ["audio_format"]);
    assert!(driver.log.dismissed.is_empty());
    driver.log.check_aligned();
    assert!(driver.log.listed() >= 6);
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
    let mut driver = patient();
    driver.configure(AUDIO);
    driver.play(AUDIO, 6_000);
    driver.leave();
    driver.wait(5_000);
    driver.join(1, Role::Primary);
    driver.configure(AUDIO);
    driver.play(AUDIO, 8_000);
    driver.log.check_aligned();
    assert!(driver.log.listed() >= 7, "{}", driver.log.listed());
}
