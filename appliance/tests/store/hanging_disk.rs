//! A disk that hangs while the store is opened: nobody waits for it, and what it has is taken in once it answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use appliance::store::{FeedName, PresentationId, Replay, Store};
use nix::sys::stat::Mode;
use prometheus::Registry;
use test_support::wait::until;
use test_support::{Stopwatch, wait_until};

use crate::programme::{begin, fetch, keep_all, metric, numbers, open, segment, write, write_and_archive};

const BEFORE: &str = "20261121T031500.000Z";
const MEANWHILE: &str = "20261121T031600.000Z";
const DEADLINE: Duration = Duration::from_secs(20);
/// Longest that a start may take: what it waits for the disk, and what a busy machine costs.
const START_WITHIN: Duration = Duration::from_secs(8);

/// Has whoever opens the store wait: opening a pipe to write waits for a reader, as opening a file on a disk that hangs
/// waits for the disk.
fn hang(state_dir: &Path) -> PathBuf {
    let pipe = state_dir.join("catalogue.lock");
    let _ = fs::remove_file(&pipe);
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    pipe
}

/// On a thread of its own, for a start that waits for ever to be a failure.
fn open_in_time(state_dir: &Path) -> (Store, Registry) {
    let (opened, waits) = mpsc::channel();
    let state_dir = state_dir.to_owned();
    std::thread::spawn(move || opened.send(open(&keep_all(), &state_dir)));
    waits.recv_timeout(START_WITHIN).expect("a start that waits for no disk that hangs")
}

/// What was on air when a daemon stopped.
async fn interrupted(state_dir: &Path) {
    let (store, _) = open(&keep_all(), state_dir);
    let presentation = begin(&store, "studio-a", BEFORE, Duration::from_secs(60));
    write_and_archive(&store, &presentation, 1..=5);
    presentation.suspend();
    store.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn live_begins_without_a_disk_that_hangs_and_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    interrupted(folder.path()).await;
    let pipe = hang(folder.path());
    let (store, registry) = open_in_time(folder.path());
    let degraded = store.archive_health().unwrap().degraded.expect("the archive says so");
    assert!(degraded.contains("did not answer within 5s"), "{degraded}");
    store.show_health();
    assert_eq!(metric(&registry, "rungd_store_archive_degraded"), 1.0);
    assert!(store.awaits_archive());
    let meanwhile = begin(&store, "studio-a", MEANWHILE, Duration::from_secs(60));
    write(&meanwhile, 1..=3);
    assert_eq!(fetch(&store, "studio-a", MEANWHILE, 1, Some(2)).await.unwrap(), segment(1, 2));

    drop(File::open(&pipe).unwrap());
    wait_until(DEADLINE, "the archive to be used", || (!store.awaits_archive()).then_some(()));
    let (feed, id) = (FeedName::new("studio-a").unwrap(), PresentationId::new(BEFORE).unwrap());
    until(DEADLINE, "what was on air to be a recording", async || {
        store.replay(&feed, &id).await.unwrap().filter(Replay::is_ended)
    })
    .await;
    assert_eq!(numbers(&store, "studio-a", BEFORE).await, [1, 2, 3, 4, 5]);
    assert!(store.interrupted("studio-a").is_none());
    assert_eq!(fetch(&store, "studio-a", BEFORE, 0, Some(4)).await.unwrap(), segment(0, 4));
    // Live has not noticed, and what is on air is kept, as is what begins from now on.
    until(DEADLINE, "what is on air to be kept", async || {
        (meanwhile.view().is_archived() && meanwhile.view().waiting_for_archive() == 0).then_some(())
    })
    .await;
    assert_eq!(store.archive_health().unwrap().degraded, None);
    write(&meanwhile, 4..=5);
    let next = begin(&store, "studio-b", BEFORE, Duration::from_secs(60));
    write_and_archive(&store, &next, 1..=3);
    meanwhile.end(1_795_230_910_000);
    next.end(1_795_230_910_000);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-b", BEFORE).await, [1, 2, 3]);
    assert_eq!(numbers(&store, "studio-a", MEANWHILE).await, [1, 2, 3, 4, 5]);
    assert_eq!(store.archive_health().unwrap().degraded, None);
}

#[tokio::test]
async fn a_stop_waits_for_no_disk_that_hangs_and_leaves_what_it_has_to_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    interrupted(folder.path()).await;
    let pipe = hang(folder.path());
    let (store, _) = open_in_time(folder.path());
    let since = Stopwatch::start();
    store.shutdown(DEADLINE).await;
    assert!(since.elapsed() < Duration::from_secs(2), "stopped after {:?}", since.elapsed());
    // It answers too late: whoever opens it now finds what was on air still interrupted, and the lock free.
    let answers = File::open(&pipe).unwrap();
    let next = wait_until(DEADLINE, "the next start to have the archive", || {
        Store::open(&keep_all(), folder.path(), &Registry::new()).ok()
    });
    drop((store, answers));
    let left = next.interrupted("studio-a").expect("what was on air");
    assert_eq!((left.id.as_str(), left.next_segment.0), (BEFORE, 6));
    next.shutdown(DEADLINE).await;
}
