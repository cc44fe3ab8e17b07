//! A disk that is really full: a small file system in memory, where this may be mounted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use media::SegmentNumber;
use test_support::wait::poll;

use crate::programme::{begin_ladder, complete, keep_all, numbers, open, push_bytes, soon};

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);
const SEGMENT_BYTES: usize = 100_000;

struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, for a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_live_alone_and_heals_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        println!("skipped: nothing may be mounted here; see listing.rs for the same with a stand-in");
        return;
    };
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
