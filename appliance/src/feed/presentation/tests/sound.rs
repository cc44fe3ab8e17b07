//! Sound of another format than the programme's: it is converted and heard, or silence, and pictures never wait for it.

use std::time::Duration;

use bytes::Bytes;
use media::Latency;
use proptest::prelude::*;
use worker_protocol::{FromWorker, SoundReport};

use super::configuration::{feed, limits};
use super::driver::{AUDIO, BOTH, Driver, PLAIN, Tracks, VIDEO};
use super::sound_worker::{CONVERTED, SoundWays};
use crate::config::{BackupReturn, Feed};
use crate::feed::presentation::Role;
use crate::supervisor::Death;

/// AAC-LC of 44.1 kHz: stereo, and mono; of 48 kHz stereo as libavcodec says it, and of HE-AAC.
const AT_44_1: &[u8] = &[0x12, 0x10];
const MONO: &[u8] = &[0x12, 0x08];
const SAME: &[u8] = &[0x11, 0x90, 0x56, 0xe5, 0x00];
const HE_AAC: &[u8] = &[0x2b, 0x11, 0x88, 0x00];

/// What a driver's publisher sends.
const AS_IT_CAME: &[u8] = b"sound";

/// Somebody publishes with sound of this record.
fn with_sound(driver: &mut Driver, tracks: Tracks, record: &'static [u8]) {
    driver.configure(Tracks { audio: false, ..tracks });
    driver.configure_sound(record);
}

/// On air with 48 kHz stereo; then another encoder comes, `away` later.
fn returned(driver: &mut Driver, tracks: Tracks, away: u64, record: &'static [u8], millis: u64) {
    driver.configure(tracks);
    driver.play(tracks, 6_000);
    driver.come_back(away);
    driver.jump(-4_000);
    with_sound(driver, tracks, record);
    driver.play(tracks, millis);
    assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
    driver.log.check_aligned();
}

/// How many frames of the sound from `from` on, in milliseconds, up to its last `payload` are something else.
fn others(driver: &Driver, from: u64, payload: &[u8]) -> usize {
    let first = usize::try_from(from * 48 / 1024).unwrap();
    let sound = driver.log.sound();
    let last = sound.iter().rposition(|frame| frame == payload).expect("some of it is heard");
    assert!(last > first + 40, "{last} of {first}");
    sound[first..last].iter().filter(|frame| *frame != payload).count()
}

#[test]
fn an_encoder_that_comes_back_with_other_sound_is_heard() {
    for latency in [Latency::Standard, Latency::Low] {
        for (away, record) in [(0, AT_44_1), (300, MONO), (1_000, MONO), (5_000, AT_44_1), (25_000, MONO)] {
            let mut driver = Driver::patient(latency);
            returned(&mut driver, BOTH, away, record, 8_000);
            assert_eq!(driver.log.warnings, ["audio_converted"]);
            assert_eq!(driver.sound_workers, 1);
            assert!(driver.presentation.problem().unwrap().contains("it is converted"));
            // From its first frame on, to a few.
            let others = others(&driver, 6_000 + away + 250, CONVERTED);
            assert_eq!(others, 0, "away {away} ms, {latency:?}");
            let now = driver.now();
            assert!(driver.presentation.facts(now).unwrap().sound_converted);
            driver.leave();
            driver.wait(31_000);
            driver.log.check_even_end();
            let due = i64::try_from(14_000 + away + 30_000).unwrap();
            let end = driver.log.end_millis();
            assert!((due - 1_300..=due + 300).contains(&end), "away {away} ms: ends at {end} ms, due {due}");
            assert_eq!(driver.presentation.facts(driver.now()).map(|facts| facts.sound_converted), None);
        }
    }
}

#[test]
fn sound_alone_is_converted_too() {
    let mut driver = Driver::patient(Latency::Standard);
    returned(&mut driver, AUDIO, 3_000, MONO, 8_000);
    assert_eq!(others(&driver, 9_500, CONVERTED), 0);
    assert!(driver.log.listed() >= 7, "{}", driver.log.listed());
}

#[test]
fn sound_that_decodes_alike_passes_through_whatever_its_record_says_beside() {
    let mut driver = Driver::patient(Latency::Standard);
    returned(&mut driver, BOTH, 300, SAME, 6_000);
    assert_eq!(driver.log.warnings, [""; 0]);
    assert_eq!(driver.sound_workers, 0);
    assert_eq!(others(&driver, 6_500, AS_IT_CAME), 0);
}

#[test]
fn a_programme_of_sound_that_is_not_encoded_has_silence_and_a_warning() {
    let mut driver = Driver::patient(Latency::Standard);
    with_sound(&mut driver, BOTH, HE_AAC);
    driver.play(BOTH, 6_000);
    driver.come_back(1_000);
    driver.configure(BOTH);
    driver.play(BOTH, 8_000);
    assert_eq!(driver.log.warnings, ["audio_format"]);
    assert_eq!(driver.sound_workers, 0);
    assert!(driver.log.dismissed.is_empty());
    driver.log.check_aligned();
    assert!(driver.log.listed() >= 6);
    // The last that was heard came before.
    let last = driver.log.sound().iter().rposition(|frame| frame == AS_IT_CAME).unwrap();
    assert!(last < 6_500 * 24 / 1024, "{last}");
}

/// A backup with sound of this record stands in, and the primary takes back. Key frames are so far apart, in pictures.
fn stood_in(record: &'static [u8], latency_millis: u64, pictures_per_key: u64) -> Driver {
    let feed = Feed { grace: Duration::from_secs(30), backup_return: BackupReturn::AtOnce, ..feed() };
    let mut driver = Driver::with(PLAIN, &feed, limits());
    driver.sound_ways = SoundWays::Works { latency_millis };
    driver.pictures_per_key = pictures_per_key;
    driver.configure(BOTH);
    driver.join(1, Role::Backup);
    with_sound(&mut driver, BOTH, record);
    let both = |driver: &mut Driver, millis: u64| {
        for _ in 0..millis / 100 {
            driver.play_of(0, BOTH, 100);
            driver.play_of_at_once(1, BOTH, 100);
        }
    };
    both(&mut driver, 9_000);
    driver.play_of(1, BOTH, 4_000);
    assert_eq!(driver.presentation.source_on_air(), Some(1));
    both(&mut driver, 15_000);
    assert_eq!(driver.presentation.source_on_air(), Some(0));
    driver.log.check_aligned();
    driver
}

#[test]
fn the_programmes_own_sound_takes_back_without_a_hole() {
    let lacks = |sound: &[Bytes]| sound.iter().filter(|frame| *frame != AS_IT_CAME).count();
    assert_eq!(lacks(stood_in(SAME, 0, 60).log.sound()), 0, "where nothing is converted");
    for (latency_millis, pictures_per_key) in [(0, 60), (60, 60), (140, 60), (200, 60), (60, 300), (200, 300)]
    {
        let mut driver = stood_in(AT_44_1, latency_millis, pictures_per_key);
        assert_eq!(driver.sound_workers, 1, "{:?}", driver.log.warnings);
        let sound = driver.log.sound();
        let first = sound.iter().position(|frame| frame == CONVERTED).expect("the backup is heard");
        let last = sound.iter().rposition(|frame| frame == CONVERTED).unwrap();
        assert!(sound[first..last].iter().all(|frame| frame == CONVERTED), "{latency_millis} ms");
        assert!(last - first > 100, "{} frames of the backup", last - first);
        let behind = &sound[last + 1..];
        assert!(
            lacks(behind) <= 1 && behind.len() > 100,
            "{} silent frames at {latency_millis} ms",
            lacks(behind)
        );
        let now = driver.now();
        assert_eq!(driver.presentation.facts(now).unwrap().sound_decode_errors, 1);
    }
}

/// As with another encoder: what changes is converted, and what is the programme's again is let be.
#[test]
fn sound_that_changes_while_it_is_published_is_heard() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.configure_sound(AT_44_1);
    driver.play(BOTH, 12_000);
    assert_eq!(driver.log.warnings, ["audio_converted"]);
    assert_eq!(others(&driver, 6_500, CONVERTED), 0);
    driver.configure(AUDIO);
    driver.play(BOTH, 4_000);
    assert_eq!(driver.sound_workers, 1);
    assert_eq!(others(&driver, 18_500, AS_IT_CAME), 0);
    assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
    driver.log.check_aligned();
}

/// The last frames of a worker are waited for no longer than a moment.
#[test]
fn a_worker_that_does_not_end_keeps_nobody_waiting() {
    let mut driver = Driver::patient(Latency::Standard);
    returned(&mut driver, BOTH, 300, AT_44_1, 4_000);
    driver.sound_ways = SoundWays::Hangs;
    driver.come_back(0);
    with_sound(&mut driver, BOTH, MONO);
    driver.play(BOTH, 2_000);
    driver.come_back(0);
    driver.configure(BOTH);
    driver.play(BOTH, 5_000);
    assert_eq!(driver.sound_workers, 2);
    driver.log.check_aligned();
    assert_eq!(others(&driver, 13_000, AS_IT_CAME), 0);
}

#[test]
fn a_worker_that_dies_is_silence_and_another_one_less_and_less_often() {
    let mut driver = Driver::patient(Latency::Standard);
    driver.sound_ways = SoundWays::Dies;
    returned(&mut driver, BOTH, 300, AT_44_1, 10_000);
    // At once, and 1/4, 1/2, 1, 2 and 4 seconds later.
    assert!((5..=6).contains(&driver.sound_workers), "{} workers", driver.sound_workers);
    assert_eq!(driver.log.warnings.first(), Some(&"audio_converted"));
    assert!(driver.log.warnings[1..].iter().all(|rule| *rule == "sound_worker"));
    assert!(!driver.presentation.facts(driver.now()).unwrap().sound_converted);
    let behind = i64::try_from(driver.elapsed().as_millis()).unwrap() - driver.log.chunks_end_millis(0);
    assert!(behind < 3_000, "pictures are {behind} ms behind");
    // Sound is no further behind: silence stands there.
    let behind = i64::try_from(driver.elapsed().as_millis()).unwrap() - driver.log.chunks_end_millis(3);
    assert!(behind < 3_000, "sound is {behind} ms behind");
    driver.sound_ways = SoundWays::Works { latency_millis: 60 };
    driver.play(BOTH, 12_000);
    driver.log.check_aligned();
    assert_eq!(others(&driver, 25_500, CONVERTED), 0);
}

#[test]
fn a_worker_that_hangs_or_says_what_nobody_sent_is_replaced() {
    for ways in
        [SoundWays::Hangs, SoundWays::Wild(i64::MAX / 2), SoundWays::Wild(200_000), SoundWays::Wild(-200_000)]
    {
        let mut driver = Driver::patient(Latency::Low);
        driver.sound_ways = ways;
        returned(&mut driver, BOTH, 300, AT_44_1, 6_000);
        assert!((2..=7).contains(&driver.sound_workers), "{ways:?}: {} workers", driver.sound_workers);
        assert!(driver.log.warnings.contains(&"sound_worker"), "{ways:?}: {:?}", driver.log.warnings);
        assert!(!driver.presentation.is_ahead(driver.now()));
        let behind = i64::try_from(driver.elapsed().as_millis()).unwrap() - driver.log.chunks_end_millis(3);
        assert!(behind < 1_500, "{ways:?}: sound is {behind} ms behind");
        driver.sound_ways = SoundWays::Works { latency_millis: 60 };
        driver.play(BOTH, 14_000);
        driver.log.check_aligned();
        assert_eq!(others(&driver, 24_000, CONVERTED), 0, "{ways:?}");
    }
}

#[test]
fn a_source_that_stalls_while_it_is_converted_goes_on_with_the_same_worker() {
    let mut driver = Driver::patient(Latency::Standard);
    returned(&mut driver, BOTH, 300, AT_44_1, 4_000);
    // Without a word, and for longer than a worker may hang.
    driver.wait(8_000);
    driver.jump(8_000);
    driver.play(BOTH, 6_000);
    assert_eq!(driver.sound_workers, 1, "{:?}", driver.log.warnings);
    driver.log.check_aligned();
    assert_eq!(others(&driver, 19_500, CONVERTED), 0);
}

#[test]
fn the_end_comes_with_the_last_frames_and_does_not_wait_for_them() {
    for ways in [SoundWays::Works { latency_millis: 60 }, SoundWays::Hangs, SoundWays::Dies] {
        let mut feed = feed();
        feed.grace = Duration::from_secs(30);
        let mut driver = Driver::with(PLAIN, &feed, limits());
        returned(&mut driver, BOTH, 300, AT_44_1, 4_300);
        driver.sound_ways = ways;
        let actions = driver.presentation.finish(driver.now());
        driver.act(actions);
        assert!(driver.log.closed, "{ways:?}");
        driver.log.check_even_end();
    }
}

#[test]
fn a_later_daemon_converts_as_well() {
    let mut feed = feed();
    feed.grace = Duration::from_secs(30);
    let mut driver = Driver::with(PLAIN, &feed, limits());
    driver.configure(BOTH);
    driver.play(BOTH, 9_300);
    driver.kill_daemon(&feed, 5_000);
    driver.wait(1_200);
    driver.join(1, Role::Primary);
    driver.jump(-3_000);
    with_sound(&mut driver, BOTH, MONO);
    driver.play(BOTH, 6_000);
    assert_eq!(driver.log.warnings, ["audio_converted"]);
    driver.log.check_aligned();
    assert!(driver.log.sound().iter().filter(|frame| *frame == CONVERTED).count() > 200);
    // And one that dies while it is converted.
    driver.kill_daemon(&feed, 3_000);
    driver.wait(1_200);
    driver.join(2, Role::Primary);
    driver.configure(BOTH);
    driver.play(BOTH, 6_000);
    driver.log.check_aligned();
    assert_eq!(driver.log.sound().last().map(|frame| &frame[..]), Some(AS_IT_CAME));
}

#[derive(Debug, Clone)]
enum Event {
    Play(u64),
    Wait(u64),
    Return(u64, &'static [u8], Tracks),
    Ways(SoundWays),
    Say(FromWorker, usize),
    Death,
}

fn event() -> impl Strategy<Value = Event> {
    let record = prop_oneof![Just(AT_44_1), Just(MONO), Just(SAME), Just(HE_AAC)];
    let tracks = prop_oneof![4 => Just(BOTH), 1 => Just(VIDEO)];
    let ways = prop_oneof![
        3 => (0u64..400).prop_map(|latency_millis| SoundWays::Works { latency_millis }),
        1 => Just(SoundWays::Hangs),
        1 => Just(SoundWays::Dies),
        1 => any::<i64>().prop_map(SoundWays::Wild),
    ];
    let said = prop_oneof![
        4 => prop_oneof![0i64..1_000_000, any::<i64>()]
            .prop_map(|position| FromWorker::ConvertedSound { position }),
        1 => Just(FromWorker::Finished),
        1 => any::<u64>().prop_map(|decode_errors| {
            FromWorker::SoundReport(SoundReport { decode_errors, ..SoundReport::default() })
        }),
        1 => Just(FromWorker::Failed { reason: "so".to_owned() }),
        1 => Just(FromWorker::Picture { rung: 0, frame: 1, key: true }),
    ];
    prop_oneof![
        4 => (0u64..3_000).prop_map(Event::Play),
        2 => (0u64..3_000).prop_map(Event::Wait),
        3 => (0u64..2_000, record, tracks).prop_map(|(away, record, tracks)| Event::Return(away, record, tracks)),
        2 => ways.prop_map(Event::Ways),
        2 => (said, prop_oneof![0usize..300, Just(20_000)]).prop_map(|(said, bytes)| Event::Say(said, bytes)),
        1 => Just(Event::Death),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sound_goes_on_through_anything(events in prop::collection::vec(event(), 0..30), low_latency: bool) {
        let latency = if low_latency { Latency::Low } else { Latency::Standard };
        let mut driver = Driver::patient(latency);
        driver.configure(BOTH);
        driver.play(BOTH, 3_000);
        let mut tracks = BOTH;
        let mut id = 0;
        // A source that sends no pictures for ten seconds is sent away, which is not what this is about.
        let mut silent = 0;
        for event in events {
            match event {
                Event::Play(millis) => {
                    driver.play(tracks, millis);
                    silent = if millis < 1_000 { silent + millis } else { 0 };
                }
                Event::Wait(millis) => {
                    let millis = millis.min(8_000u64.saturating_sub(silent));
                    driver.wait(millis);
                    silent += millis;
                }
                Event::Return(away, record, sent) => {
                    driver.leave();
                    driver.wait(away);
                    id += 1;
                    driver.join(id, Role::Primary);
                    tracks = sent;
                    driver.configure(VIDEO);
                    if sent.audio {
                        driver.configure_sound(record);
                    }
                }
                Event::Ways(ways) => driver.sound_ways = ways,
                Event::Say(said, bytes) => driver.say_of_sound(said, Bytes::from(vec![1; bytes])),
                Event::Death => driver.kill_sound_worker(&Death::Signalled(9)),
            }
            prop_assert!(driver.log.dismissed.is_empty(), "{:?}", driver.log.dismissed);
            let _ = driver.presentation.facts(driver.now());
        }
        driver.wait(1_500);
        driver.log.check_aligned();
        let elapsed = i64::try_from(driver.elapsed().as_millis()).unwrap();
        let behind = elapsed - driver.log.chunks_end_millis(3);
        prop_assert!(behind < 4_000, "sound is {} ms behind", behind);
    }
}
