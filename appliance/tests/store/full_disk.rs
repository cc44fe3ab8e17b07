//! A disk that is really full: a small file system in memory, where this may be mounted.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use media::SegmentNumber;
use test_support::SmallDisk;
use test_support::wait::poll;

use crate::programme::{
    begin, begin_ladder, begin_with_memory, complete, fetch, keep_all, metric, numbers, open, push_bytes,
    segment, soon, write,
};

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);
const SEGMENT_BYTES: usize = 100_000;

#[tokio::test]
async fn a_full_disk_leaves_live_alone_and_heals_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    // See listing.rs for the same with a stand-in.
    let Some(_disk) = SmallDisk::mount(folder.path(), 8) else { return };
    // What somebody else keeps there.
    let other = folder.path().join("other");
    fs::write(&other, vec![0; 5_000_000]).unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let presentation = begin_ladder(&store, "studio-a", ID, 2);
    let payload = Bytes::from(vec![7; SEGMENT_BYTES]);
    let write = |number| {
        for track in 0..2 {
            push_bytes(&presentation, track, number, payload.clone());
            complete(&presentation, track, number);
        }
        soon("it to be listed", || presentation.view().listed().is_some_and(|(_, last)| last.0 >= number));
    };
    (1..=25).for_each(write);
    let degraded = poll(DEADLINE, || store.archive_health()?.degraded).expect("it says so");
    assert!(degraded.contains("No space left") || degraded.contains("full"), "{degraded}");
    assert_eq!(presentation.view().listed(), Some((SegmentNumber(1), SegmentNumber(25))));
    let before = numbers(&store, "studio-a", ID).await.len();
    assert!((5..25).contains(&before), "{before} are kept");
    let remains = || {
        let folders =
            ["rung-0", "rung-1"].map(|track| folder.path().join("archive/studio-a").join(ID).join(track));
        folders
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with(".tmp"))
    };
    soon("half a segment to be removed", || !remains());

    fs::remove_file(&other).unwrap();
    let healed = || store.archive_health().filter(|health| health.degraded.is_none() && health.waiting == 0);
    let health = poll(DEADLINE, healed).expect("it heals");
    assert_eq!(health.lost, 0, "all was in memory still");
    (26..=30).for_each(write);
    drop(presentation);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", ID).await, (1..=30).collect::<Vec<_>>());
}

/// Killed, and started again on a disk that was filled or made read-only meanwhile: it comes on air, and the archive comes
/// when the disk lets it.
#[tokio::test]
async fn a_start_on_a_disk_in_trouble_is_on_air_and_heals() {
    for trouble in ["full", "read-only"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(folder.path(), 8) else { return };
        {
            let (store, _registry) = open(&keep_all(), folder.path());
            let before = begin(&store, "studio-a", ID, Duration::from_secs(60));
            write(&before, 1..=5);
            soon("the archive to have all", || before.view().waiting_for_archive() == 0);
            before.suspend();
            store.shutdown(DEADLINE).await;
        }
        let filling = match trouble {
            "full" => Some(disk.fill()),
            _ => {
                disk.read_only(true);
                None
            }
        };
        let (store, registry) = open(&keep_all(), folder.path());
        let interrupted = store.interrupted("studio-a");
        let presentation = match interrupted {
            Some(interrupted) => store.resume(interrupted).unwrap(),
            None => {
                let (window, memory) = (Duration::from_secs(3600), Duration::from_secs(60));
                begin_with_memory(&store, "studio-a", "20261121T041500.000Z", window, memory)
            }
        };
        let id = presentation.view().id().to_string();
        write(&presentation, 6..=12);
        assert_eq!(fetch(&store, "studio-a", &id, 0, Some(12)).await, Some(segment(0, 12)), "{trouble}");
        let degraded = poll(DEADLINE, || store.archive_health()?.degraded).expect("it says so");
        assert!(degraded.contains("archive"), "{trouble}: {degraded}");
        store.show_health();
        assert_eq!(metric(&registry, "rungd_store_archive_degraded"), 1.0, "{trouble}");
        if id != ID {
            let window = presentation.view().time_shift();
            assert_eq!(
                window,
                Duration::from_secs(60),
                "{trouble}: what was for the disk is not held in memory"
            );
        }

        match filling {
            Some(filling) => fs::remove_file(filling).unwrap(),
            None => disk.read_only(false),
        }
        let healed = || store.archive_health()?.degraded.is_none().then_some(());
        assert!(poll(DEADLINE, healed).is_some(), "{trouble}: {:?}", store.archive_health());
        assert!(presentation.view().is_archived(), "{trouble}: what came on air meanwhile");
        drop(presentation);
        let next = begin(&store, "studio-a", "20261121T051500.000Z", Duration::from_secs(60));
        write(&next, 1..=3);
        assert!(
            poll(DEADLINE, || store.archive_health()?.degraded.is_none().then_some(())).is_some(),
            "{trouble}"
        );
        drop(next);
        store.shutdown(DEADLINE).await;
        assert_eq!(numbers(&store, "studio-a", "20261121T051500.000Z").await, [1, 2, 3], "{trouble}");
        if id != ID {
            assert_eq!(numbers(&store, "studio-a", &id).await, (6..=12).collect::<Vec<_>>(), "{trouble}");
        }
        let old = numbers(&store, "studio-a", ID).await;
        assert!(old.starts_with(&[1, 2, 3, 4, 5]), "{trouble}: what was kept is a recording: {old:?}");
        drop(store);
    }
}
