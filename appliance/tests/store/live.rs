use std::time::Duration;

use appliance::config;
use appliance::store::{Absent, Discarded, Segment, StoreError};
use media::SegmentNumber;
use test_support::Stopwatch;

use crate::programme::{SEGMENT, begin, complete, metric, open, push, segment, write};

const NO_ARCHIVE: config::Archive = config::Archive { enabled: false, max_age: None, max_bytes: None };
const ID: &str = "20261121T031500.000Z";

async fn read(segment: &Segment) -> Result<Vec<u8>, Discarded> {
    let mut reader = segment.reader();
    let mut bytes = Vec::new();
    while let Some(part) = reader.next().await? {
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[tokio::test]
async fn the_segment_being_written_is_read_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(20));
    let view = store.live("studio-a").unwrap();

    // Asked for before there is anything of it.
    let waiting = tokio::spawn({
        let view = view.clone();
        async move { view.segment(0, SegmentNumber(1)).await }
    });
    tokio::task::yield_now().await;
    push(&presentation, 0, 1, 0);
    let open = waiting.await.unwrap().expect("the segment that was about to exist");
    let mut reader = open.reader();
    assert_eq!(reader.next().await.unwrap().unwrap(), "first half of segment 1 of 360p. ");
    assert_eq!(open.whole_bytes(), None);
    assert!(view.listed().is_none());
    push(&presentation, 0, 1, 1);
    complete(&presentation, 0, 1);
    assert_eq!(reader.next().await.unwrap().unwrap(), "second half of segment 1 of 360p. ");
    assert_eq!(reader.next().await, Ok(None));
    assert!(view.listed().is_none(), "the sound is still missing");
    write(&presentation, [1]);
    assert_eq!(view.listed(), Some((SegmentNumber(1), SegmentNumber(1))));
}

#[expect(clippy::disallowed_methods, reason = "the clock is paused, and goes on when everything waits")]
fn paused_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_three_segments() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(4));
    write(&presentation, 1..=10);
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed(), Some((SegmentNumber(9), SegmentNumber(10))));
    let asked = |number| {
        let view = view.clone();
        async move {
            let before = paused_now();
            let found = view.segment(0, SegmentNumber(number)).await.err();
            (found, paused_now().duration_since(before))
        }
    };
    assert_eq!(asked(11).await, (Some(Absent::Late), 3 * SEGMENT));
    let not = Some(Absent::Not);
    for (number, absent) in [(12, not), (u64::MAX, not), (5, not), (0, not), (6, None), (10, None)] {
        assert_eq!(asked(number).await, (absent, Duration::ZERO), "segment {number}");
    }
}

#[tokio::test]
async fn what_leaves_the_window_is_let_go_even_if_somebody_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(4));
    write(&presentation, [1]);
    let view = store.live("studio-a").unwrap();
    let held = view.segment(0, SegmentNumber(1)).await.unwrap();
    assert_eq!(read(&held).await.unwrap(), segment(0, 1));
    write(&presentation, 2..=50);
    assert_eq!(read(&held).await, Err(Discarded(SegmentNumber(1))));
    // Two listed, three of grace, on two tracks.
    let expected: usize = (46..=50).map(|number| segment(0, number).len() + segment(1, number).len()).sum();
    assert_eq!(view.memory_bytes(), u64::try_from(expected).unwrap());
    assert_eq!(metric(&registry, "rungd_store_memory_segments"), 10.0);
    assert_eq!(metric(&registry, "rungd_store_segments_completed_total"), 100.0);
}

#[tokio::test]
async fn without_an_archive_the_last_presentation_stays_until_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(20));
    write(&presentation, 1..=3);
    push(&presentation, 0, 4, 0);
    let view = store.live("studio-a").unwrap();
    let half = view.segment(0, SegmentNumber(4)).await.unwrap();
    presentation.end(1_795_230_910_000);

    assert_eq!(
        read(&half).await,
        Err(Discarded(SegmentNumber(4))),
        "a half segment never looks like a whole one"
    );
    let window = view.window("");
    assert!(!window.live);
    assert_eq!(window.published_unix_millis, 1_795_230_910_000);
    assert_eq!(window.tracks[0].segments.len(), 3);
    let since = Stopwatch::start();
    assert_eq!(view.segment(0, SegmentNumber(4)).await.err(), Some(Absent::Not));
    assert!(since.elapsed() < Duration::from_secs(1));
    let infos = store.presentations(Some("studio-a")).await.unwrap();
    assert_eq!((infos.len(), infos[0].live, infos[0].archived), (1, false, false));

    let next = begin(&store, "studio-a", "20261121T041500.000Z", Duration::from_secs(20));
    assert!(store.live("studio-a").unwrap().is_live());
    assert_eq!(view.segment(0, SegmentNumber(1)).await.err(), Some(Absent::Not));
    drop(next);
    assert!(!store.live("studio-a").unwrap().is_live(), "a writer that is dropped ends its presentation");
}

#[tokio::test]
async fn bit_rates_come_from_the_segments() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(20));
    let rates = |track: usize| {
        let window = store.live("studio-a").unwrap().window("");
        (window.tracks[track].peak_bit_rate, window.tracks[track].mean_bit_rate)
    };
    assert_eq!(rates(0), (1000, 1000));
    write(&presentation, 1..=10);
    let bits = |number| u64::try_from(segment(0, number).len()).unwrap() * 8;
    let total: u64 = (1..=10).map(bits).sum();
    assert_eq!(rates(0), (1000, total / 20));
}

#[tokio::test]
async fn what_cannot_be_begun_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&NO_ARCHIVE, folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(20));
    let view = presentation.view();
    let again = |feed: &str, id: &str, names: [&str; 2]| {
        let window = view.window("");
        let tracks = window.tracks.iter().zip(names).map(|(track, name)| appliance::store::NewTrack {
            name: name.to_owned(),
            kind: track.kind.clone(),
            codecs: track.codecs.clone(),
            timescale: track.timescale,
            init: bytes::Bytes::new(),
            nominal_bit_rate: 1,
        });
        store.begin(appliance::store::NewPresentation {
            feed: feed.to_owned(),
            title: String::new(),
            id: id.to_owned(),
            availability_start_unix_millis: 0,
            cadence: media::Cadence::new(media::FrameRate::PAL, SEGMENT, SEGMENT),
            window: SEGMENT,
            memory: SEGMENT,
            target_latency: None,
            resume: Vec::new(),
            tracks: tracks.collect(),
        })
    };
    assert!(matches!(again("studio-a", ID, ["a", "b"]), Err(StoreError::Taken { .. })));
    assert!(matches!(again("studio-b", "1", ["a", "a"]), Err(StoreError::Tracks { .. })));
    assert!(matches!(again("../b", "1", ["a", "b"]), Err(StoreError::Name(_))));
    assert!(matches!(again("studio-b", "../1", ["a", "b"]), Err(StoreError::Name(_))));
    assert!(matches!(again("studio-b", "1", ["a", "b/c"]), Err(StoreError::Name(_))));
    assert!(view.is_live(), "what is on air is not touched by it");
}
