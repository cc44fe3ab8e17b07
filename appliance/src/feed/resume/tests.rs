use bytes::Bytes;
use media::{Cadence, SegmentNumber, Timescale};
use packager::window::WindowTrackKind;

use super::*;
use crate::store::{FeedName, InterruptedTrack, NewTrack, PresentationId};

const ZERO_UNIX_MILLIS: u64 = 1_800_000_000_000;

fn feed() -> config::Feed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rungd.toml");
    let text = "state_dir = \"state\"\n[worker]\nprogram = \"/bin/true\"\n[feed.studio-a]\nkeys = \
                [\"sha256:e38e0619bdb707887ef0edcfd6d698192d6cbb11cf24175198d757ed2efc044b\"]\n";
    std::fs::write(&path, text).unwrap();
    config::Config::load(&path).unwrap().feeds.remove(0)
}

fn note(config: &config::Feed, silent_since_unix_millis: Option<u64>) -> Vec<u8> {
    Note::new(Settings::of(config), Vec::new(), Some(vec![0x11, 0x90]), silent_since_unix_millis).to_bytes()
}

/// Sound alone, of which five segments of 2 s are kept.
fn left(config: &config::Feed) -> Interrupted {
    let second = Duration::from_secs(1);
    let cadence = Cadence::new(media::FrameRate::PAL, second * 2, second);
    Interrupted {
        feed: FeedName::new("studio-a").unwrap(),
        id: PresentationId::new("20261121T031500.000Z").unwrap(),
        title: "Studio A".to_owned(),
        availability_start_unix_millis: ZERO_UNIX_MILLIS,
        cadence,
        window: second * 60,
        memory: second * 60,
        target_latency: None,
        resume: note(config, None),
        tracks: vec![InterruptedTrack {
            track: NewTrack {
                name: "audio".to_owned(),
                kind: WindowTrackKind::Audio { sample_rate: 48_000, channels: 2 },
                codecs: "mp4a.40.2".to_owned(),
                timescale: Timescale::new(48_000).unwrap(),
                init: Bytes::from_static(b"init"),
                nominal_bit_rate: 128_000,
            },
            end: MediaTime::from_millis(10_000),
        }],
        next_segment: SegmentNumber(6),
        last_end: MediaTime::from_millis(10_000),
    }
}

/// So long after the last segment's end.
fn after(millis: u64) -> u64 {
    ZERO_UNIX_MILLIS + 10_000 + millis
}

#[test]
fn within_the_grace_time_it_is_gone_on_with() {
    let config = feed();
    for millis in [0, 5_000, 30_000] {
        let (from, silent) = decide(&config, &left(&config), after(millis)).unwrap();
        assert_eq!(from.next_segment, SegmentNumber(6));
        assert_eq!(from.availability_start_unix_millis, ZERO_UNIX_MILLIS);
        assert_eq!(silent, Duration::ZERO);
    }
    // A wall clock that was set back.
    assert!(decide(&config, &left(&config), after(0) - 3_600_000).is_ok());
    assert!(matches!(
        decide(&config, &left(&config), after(30_001)),
        Err(Refused::TooLate { away, .. }) if away == Duration::from_millis(30_001)
    ));
    let without = config::Feed { grace: Duration::ZERO, ..config.clone() };
    assert!(matches!(decide(&without, &left(&config), after(0)), Err(Refused::TooLate { .. })));
}

#[test]
fn silence_before_the_daemon_ended_counts_and_silence_without_it_does_not() {
    let config = feed();
    let left = Interrupted { resume: note(&config, Some(after(0) - 7_000)), ..left(&config) };
    let (_, silent) = decide(&config, &left, after(20_000)).unwrap();
    assert_eq!(silent, Duration::from_secs(7));
}

#[test]
fn what_cannot_be_gone_on_with_says_why() {
    let config = feed();
    let short = Interrupted { last_end: MediaTime::from_millis(9_500), ..left(&config) };
    assert!(matches!(decide(&config, &short, after(0)), Err(Refused::Ended { last: 5, .. })));
    let ended = Interrupted { resume: Vec::new(), ..left(&config) };
    assert!(matches!(decide(&config, &ended, after(0)), Err(Refused::Note(NoteError::Absent))));
    let mut other = config.clone();
    other.ladder.rungs.pop();
    let refused = decide(&other, &left(&config), after(0)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the feed's ladder, frame rate, segment, chunk or latency is another one now"
    );
    let mut renamed = left(&config);
    renamed.tracks[0].track.name = "sound".to_owned();
    let refused = decide(&config, &renamed, after(0)).unwrap_err();
    assert_eq!(refused.to_string(), "it has the tracks sound, its note speaks of audio");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
fn a_gap_is_filled_no_faster_than_the_archive_takes_it_but_not_stalled_by_one_that_hangs() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::default();
    assert_eq!(pace.room(at(0), 0), 4);
    assert_eq!(pace.room(at(100), 4), 0);
    assert_eq!(pace.room(at(200), 3), 1);
    // A slow disk that goes on is waited for.
    for second in 1..20 {
        assert_eq!(pace.room(at(second * 1_000), 4), 0);
        assert_eq!(pace.room(at(second * 1_000 + 100), 3), 1);
    }
    assert_eq!(pace.room(at(21_000), 4), 0);
    assert_eq!(pace.room(at(21_500), 4), 1);
    assert_eq!(pace.room(at(21_600), 5), 1);
    assert_eq!(pace.room(at(21_700), 2), 2);
    assert_eq!(pace.room(at(21_800), 4), 0);
}
