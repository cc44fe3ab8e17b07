//! When a segment is listed: once it is kept, or after a bounded wait.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use media::SegmentNumber;
use test_support::Stopwatch;
use test_support::wait::poll;

use crate::programme::{
    begin, begin_ladder, begin_with_memory, complete, fetch, folder_in_memory, keep_all, metric, numbers,
    open, push, push_bytes, segment, soon, write, write_only,
};
use crate::shaky_disk::{Mood, ShakyDisk};

const ID: &str = "20261121T031500.000Z";
/// More than zero where a machine under load was too slow to keep what it lists, and said so.
const UNPROTECTED: &str = "rungd_store_listed_unprotected_total";
const DEADLINE: Duration = Duration::from_secs(20);
/// As long as a number waits for the archive.
const WAIT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn what_is_listed_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (store, registry) = open(&keep_all(), folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    let mut waits = Vec::new();
    for number in 1..=30 {
        let before = metric(&registry, UNPROTECTED);
        let since = Stopwatch::start();
        write(&presentation, [number]);
        waits.push(since.elapsed());
        if metric(&registry, UNPROTECTED) > before {
            soon("the archive to have it", || presentation.view().waiting_for_archive() == 0);
            continue;
        }
        // Memory apart: the archive by itself has it.
        for track in 0..2 {
            let file = folder.path().join("archive/studio-a").join(ID).join(crate::programme::TRACKS[track]);
            let bytes = std::fs::read(file.join(format!("{number:08}.m4s"))).unwrap();
            assert_eq!(bytes, segment(track, number));
        }
    }
    waits.sort();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!("from whole on every track to listed: median {median:?}, worst {worst:?}");
    assert!(median < WAIT / 2, "median {median:?}, worst {worst:?}");
}

#[tokio::test]
async fn a_disk_that_hangs_costs_a_bounded_wait_once() {
    let folder = folder_in_memory();
    let (disk, store, registry) = ShakyDisk::open(folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    write(&presentation, 1..=3);
    soon("the archive to have all", || presentation.view().waiting_for_archive() == 0);
    let before = metric(&registry, UNPROTECTED);
    disk.set(Mood::Hangs);
    let since = Stopwatch::start();
    write(&presentation, [4]);
    assert!(since.elapsed() >= WAIT, "listed after {:?} without the disk", since.elapsed());
    let since = Stopwatch::start();
    write(&presentation, 5..=10);
    assert!(since.elapsed() < WAIT, "six numbers took {:?}", since.elapsed());
    let degraded = store.archive_health().unwrap().degraded;
    assert_eq!(degraded.as_deref(), Some("archive: studio-a lists segments that are not on disk yet"));
    assert_eq!(metric(&registry, UNPROTECTED) - before, 7.0);
    store.show_health();
    assert_eq!(metric(&registry, "rungd_store_archive_degraded"), 1.0);
    assert_eq!(fetch(&store, "studio-a", ID, 1, Some(10)).await, Some(segment(1, 10)));

    // What an end finds unwritten is written after it.
    disk.set(Mood::Works);
    assert!(poll(DEADLINE, || store.archive_health()?.degraded.is_none().then_some(())).is_some());
    assert_eq!(store.archive_health().unwrap().lost, 0);
    write(&presentation, [11]);
    presentation.end(1_795_230_940_000);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", ID).await, (1..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_hangs_holds_no_more_than_memory_and_then_leaves_a_hole() {
    let folder = folder_in_memory();
    let (disk, store, registry) = ShakyDisk::open(folder.path());
    // A minute may be sought back through, of which ten seconds are in memory.
    let presentation =
        begin_with_memory(&store, "studio-a", ID, Duration::from_secs(60), Duration::from_secs(10));
    write(&presentation, 1..=20);
    let view = store.live("studio-a").unwrap();
    let full = view.memory_bytes();
    disk.set(Mood::Fails(ErrorKind::StorageFull));
    write(&presentation, 21..=60);
    assert!(view.memory_bytes() <= full, "{} bytes", view.memory_bytes());
    let degraded = store.archive_health().unwrap().degraded.unwrap();
    assert!(degraded.contains("00000021.m4s cannot be written"), "{degraded}");
    // Only what is in memory can be had, so only that is listed.
    assert_eq!(view.listed(), Some((SegmentNumber(56), SegmentNumber(60))));

    disk.set(Mood::Works);
    assert!(poll(DEADLINE, || (store.archive_health()?.waiting == 0).then_some(())).is_some());
    assert!(poll(DEADLINE, || store.archive_health()?.degraded.is_none().then_some(())).is_some());
    assert_eq!(metric(&registry, "rungd_store_archive_segments_lost_total"), 2.0 * 32.0);
    write(&presentation, 61..=100);
    let (first, last) = view.listed().unwrap();
    assert_eq!((first, last), (SegmentNumber(71), SegmentNumber(100)), "the whole window again");
    for number in first.0..=last.0 {
        assert_eq!(fetch(&store, "studio-a", ID, 0, Some(number)).await, Some(segment(0, number)));
    }
    // Both manifests list what they can: neither has a hole.
    presentation.end(1_795_230_940_000);
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    let live = store.live_window(&view, "").await.unwrap();
    let listed: Vec<u64> = live.tracks[0].segments.iter().map(|segment| segment.number.0).collect();
    assert_eq!(listed, (53..=100).collect::<Vec<_>>(), "live viewers see the newest stretch end");
    assert_eq!(numbers(&store, "studio-a", ID).await, listed, "which is the longest as well");
}

/// So long that more segments wait than the queue takes: those that can still be written are among them.
#[tokio::test]
async fn however_long_a_disk_hangs_what_is_in_memory_then_is_kept() {
    let folder = folder_in_memory();
    let (disk, store, registry) = ShakyDisk::open(folder.path());
    let presentation =
        begin_with_memory(&store, "studio-a", ID, Duration::from_secs(60), Duration::from_secs(10));
    write(&presentation, 1..=3);
    soon("the archive to have them", || presentation.view().waiting_for_archive() == 0);
    disk.set(Mood::Hangs);
    write(&presentation, 4..=2200);
    assert!(store.archive_health().unwrap().degraded.is_some(), "it says so");
    disk.set(Mood::Works);
    assert!(poll(DEADLINE, || (store.archive_health()?.waiting == 0).then_some(())).is_some());
    presentation.end(1_795_235_340_000);
    store.shutdown(DEADLINE).await;
    // What is listed, five, and three of grace.
    assert_eq!(numbers(&store, "studio-a", ID).await, (2193..=2200).collect::<Vec<_>>());
    assert_eq!(store.archive_health().unwrap().lost, 2 * (2200 - 3 - 8) - 1, "one was being written");
    assert_eq!(metric(&registry, "rungd_store_archive_segments_lost_total"), 4377.0);
}

#[tokio::test]
async fn time_shift_is_seamless_over_memory_and_archive() {
    let folder = folder_in_memory();
    let (store, registry) = open(&keep_all(), folder.path());
    let presentation =
        begin_with_memory(&store, "studio-a", ID, Duration::from_secs(200), Duration::from_secs(10));
    write(&presentation, 1..=150);
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed(), Some((SegmentNumber(51), SegmentNumber(150))));
    let held = metric(&registry, "rungd_store_memory_segments");
    assert!(held <= 2.0 * 8.0, "{held} segments in memory");
    let window = store.live_window(&view, "").await.unwrap();
    assert_eq!(window.time_shift, Duration::from_secs(200));
    for (track, listed) in window.tracks.iter().enumerate() {
        assert_eq!(listed.segments.len(), 100);
        for listed in &listed.segments {
            let bytes = fetch(&store, "studio-a", ID, track, Some(listed.number.0)).await.unwrap();
            assert_eq!(bytes, segment(track, listed.number.0));
            assert_eq!(u64::try_from(bytes.len()).unwrap(), listed.bytes);
        }
    }
    // What a manifest named a moment ago answers from the archive as well.
    assert_eq!(fetch(&store, "studio-a", ID, 0, Some(50)).await, Some(segment(0, 50)));
}

#[tokio::test]
async fn the_end_lists_what_was_whole() {
    let folder = folder_in_memory();
    let (disk, store, _registry) = ShakyDisk::open(folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    write(&presentation, 1..=3);
    soon("the archive to have all", || presentation.view().waiting_for_archive() == 0);
    disk.set(Mood::Hangs);
    write_only(&presentation, 4);
    push(&presentation, 0, 5, 0);
    let view = presentation.view().clone();
    let mut progress = view.progress();
    presentation.end(1_795_230_940_000);
    assert!(view.is_live(), "the last one is still to be listed");
    let ended = tokio::time::timeout(DEADLINE, progress.wait_for(|progress| progress.ended)).await;
    assert!(ended.unwrap().is_ok() && !view.is_live());
    assert_eq!(view.listed(), Some((SegmentNumber(1), SegmentNumber(4))));
    disk.set(Mood::Works);
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    assert_eq!(numbers(&store, "studio-a", ID).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_segment_begun_anew_is_never_spliced() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    write(&presentation, [1]);
    let view = presentation.view().clone();
    push(&presentation, 0, 2, 0);
    let open = view.open_segment(0).unwrap();
    assert_eq!((open.number, open.chunks.len(), open.whole), (SegmentNumber(2), 1, false));
    let mut reader = open.segment.reader();
    assert!(reader.next().await.unwrap().is_some());
    let mut progress = view.progress();
    progress.mark_unchanged();

    // The worker died.
    assert!(presentation.restart(0, SegmentNumber(2)));
    assert!(progress.has_changed().unwrap(), "players that wait for its next part are told");
    assert!(reader.next().await.is_err(), "what was read is not all of it");
    assert!(view.open_segment(0).is_none());
    let asked = tokio::spawn({
        let view = view.clone();
        async move { view.segment(0, SegmentNumber(2)).await }
    });
    tokio::task::yield_now().await;
    push(&presentation, 0, 2, 0);
    push(&presentation, 0, 2, 1);
    let again = asked.await.unwrap().expect("it is about to exist again");
    complete(&presentation, 0, 2);
    assert!(view.open_segment(0).unwrap().whole, "its sound is still missing");
    push(&presentation, 1, 2, 0);
    push(&presentation, 1, 2, 1);
    complete(&presentation, 1, 2);
    soon("it to be listed", || view.listed() == Some((SegmentNumber(1), SegmentNumber(2))));
    assert_eq!(again.complete().unwrap().parts.concat(), segment(0, 2));
    assert!(!presentation.restart(0, SegmentNumber(2)), "it is listed and stays");
}

#[tokio::test]
async fn the_edge_follows_on_the_list() {
    let folder = folder_in_memory();
    let (disk, store, _registry) = ShakyDisk::open(folder.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    write(&presentation, 1..=20);
    let view = presentation.view().clone();
    soon("the archive to have all", || view.waiting_for_archive() == 0);
    disk.set(Mood::Hangs);
    write_only(&presentation, 21);
    push(&presentation, 0, 22, 0);
    let edge = view.edge(0);
    let newest = edge.whole().next_back().unwrap();
    assert_eq!((newest.number, newest.parts.len()), (SegmentNumber(20), 2));
    let open = edge.open().unwrap();
    assert_eq!((open.number, open.parts.len()), (SegmentNumber(21), 2), "whole, and not listed yet");
    soon("it to be listed", || view.listed().unwrap().1 == SegmentNumber(21));
    let edge = view.edge(0);
    assert_eq!(edge.whole().next_back().unwrap().number, SegmentNumber(21));
    assert_eq!(edge.open().unwrap().number, SegmentNumber(22));
}

/// Ten feeds of a full ladder each, two seconds of them at once, which is harder than real time is.
#[tokio::test]
async fn listing_takes_milliseconds_under_load() {
    const FEEDS: usize = 10;
    const SEGMENTS: u64 = 8;
    // 5, 2.5, 1.2 and 0.6 Mbit/s, and sound: bytes of two seconds.
    const SIZES: [usize; 5] = [1_250_000, 625_000, 300_000, 150_000, 32_000];
    let folder = tempfile::tempdir().unwrap();
    let (store, registry) = open(&keep_all(), folder.path());
    let names: Vec<String> = (0..FEEDS).map(|feed| format!("studio-{feed}")).collect();
    let presentations: Vec<_> =
        names.iter().map(|name| begin_ladder(&store, name, ID, SIZES.len())).collect();
    let payloads = SIZES.map(|size| Bytes::from(vec![7; size]));
    let mut waits = Vec::new();
    for number in 1..=SEGMENTS {
        for presentation in &presentations {
            for (track, payload) in payloads.iter().enumerate() {
                push_bytes(presentation, track, number, payload.clone());
            }
        }
        let since = Stopwatch::start();
        for presentation in &presentations {
            for track in 0..SIZES.len() {
                complete(presentation, track, number);
            }
        }
        for presentation in &presentations {
            soon("all to be listed", || {
                presentation.view().listed().is_some_and(|(_, last)| last.0 >= number)
            });
            waits.push(since.elapsed());
        }
    }
    waits.sort();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    let unprotected = metric(&registry, UNPROTECTED);
    println!(
        "{FEEDS} feeds of {} tracks at once: median {median:?}, worst {worst:?}, {unprotected} without the archive",
        SIZES.len()
    );
}
