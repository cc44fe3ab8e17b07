use std::time::Duration;

use appliance::config;
use appliance::store::{FeedName, PresentationId, Store};
use media::SegmentNumber;
use test_support::wait::{poll, until};

use crate::programme::{begin, fetch, folder_in_memory, keep_all, metric, open, segment, soon, write};
use crate::shaky_disk::ShakyDisk;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_oldest_recordings_go_when_there_are_too_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let ids = ["20261121T010000.000Z", "20261121T020000.000Z", "20261121T030000.000Z"];
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        for (id, end) in ids.into_iter().zip(1..) {
            let presentation = begin(&store, "studio-a", id, Duration::from_secs(60));
            write(&presentation, 1..=5);
            presentation.end(1_795_230_910_000 + end);
        }
        store.shutdown(DEADLINE).await;
    }
    let size: usize = (1..=5).map(|number| segment(0, number).len() + segment(1, number).len()).sum();
    let max_bytes = Some(u64::try_from(2 * size).unwrap());
    let (store, registry) = open(&config::Archive { max_bytes, ..keep_all() }, folder.path());
    let expired = || metric(&registry, "rungd_store_archive_presentations_expired_total") >= 1.0;
    assert!(poll(DEADLINE, || expired().then_some(())).is_some());
    let left: Vec<String> =
        store.presentations(None).await.unwrap().into_iter().map(|info| info.id).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&ids[0].to_owned()), "{left:?}");
    let feed = FeedName::new("studio-a").unwrap();
    let may_keep = ids.map(|id| store.may_keep(&feed, &PresentationId::new(id).unwrap(), None));
    assert_eq!(may_keep, [false, true, true]);
    assert!(!folder.path().join("archive/studio-a").join(ids[0]).exists());
    assert!(folder.path().join("archive/studio-a").join(ids[1]).exists());
}

#[tokio::test]
async fn recordings_go_when_they_are_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let max_age = Some(Duration::from_secs(3600));
    let (store, registry) = open(&config::Archive { max_age, ..keep_all() }, folder.path());
    let old = begin(&store, "studio-a", "20200101T000000.000Z", Duration::from_secs(60));
    write(&old, 1..=2);
    old.end(1_577_836_800_000);
    let new = begin(&store, "studio-b", "20261121T030000.000Z", Duration::from_secs(60));
    write(&new, 1..=2);
    // What is too old is looked for after each beginning, once all that was asked for before it is done.
    let expired = || metric(&registry, "rungd_store_archive_presentations_expired_total") >= 1.0;
    assert!(poll(DEADLINE, || expired().then_some(())).is_some());
    let left: Vec<String> =
        store.presentations(Some("studio-a")).await.unwrap().into_iter().map(|info| info.id).collect();
    // It is still on its live URL, out of memory, but no longer a recording.
    assert_eq!(left, ["20200101T000000.000Z"]);
    assert!(!folder.path().join("archive/studio-a").exists());
}

#[tokio::test]
async fn what_is_live_is_shortened_before_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let size = |number| u64::try_from(segment(0, number).len() + segment(1, number).len()).unwrap();
    // Ten seconds are the window; far less than that may be kept.
    let max_bytes = Some(3 * size(100));
    let (store, registry) = open(&config::Archive { max_bytes, ..keep_all() }, folder.path());
    let presentation = begin(&store, "studio-a", "20261121T030000.000Z", Duration::from_secs(10));
    write(&presentation, 1..=100);
    // What is too much is looked for after each beginning.
    let other = begin(&store, "studio-b", "20261121T030000.000Z", Duration::from_secs(10));
    write(&other, [1]);
    let kept = folder.path().join("archive/studio-a/20261121T030000.000Z/360p");
    let left = || std::fs::read_dir(&kept).unwrap().count() - 1;
    assert!(poll(DEADLINE, || (left() == 8).then_some(())).is_some(), "{} are left", left());
    assert!(kept.join("00000093.m4s").exists(), "the five of the window, and three that were just in it");
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed().map(|(first, last)| (first.0, last.0)), Some((96, 100)));
    let expected = u32::try_from((93..=100).map(size).sum::<u64>() + size(1)).unwrap();
    let stored = || metric(&registry, "rungd_store_archive_stored_bytes");
    let told = poll(DEADLINE, || (stored() <= f64::from(expected)).then_some(()));
    assert!(told.is_some(), "{} bytes", stored());
    presentation.end(1_795_230_910_000);
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    let infos = store.presentations(Some("studio-a")).await.unwrap();
    assert_eq!((infos[0].duration_millis, infos[0].bytes), (16_000, (93..=100).map(size).sum()));
    assert_eq!(
        crate::programme::numbers(&store, "studio-a", "20261121T030000.000Z").await,
        (93..=100).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_is_gone_is_known_without_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&config::Archive { max_bytes: Some(1), ..keep_all() }, folder.path());
    let presentation = begin(&store, "studio-a", NEW, Duration::from_secs(10));
    write(&presentation, 1..=20);
    let other = begin(&store, "studio-b", NEW, Duration::from_secs(10));
    let (feed, id) = (FeedName::new("studio-a").unwrap(), PresentationId::new(NEW).unwrap());
    let may_keep = |store: &Store, number| store.may_keep(&feed, &id, Some(SegmentNumber(number)));
    let known = || (!may_keep(&store, 12)).then_some(());
    assert!(poll(DEADLINE, known).is_some(), "all before the window, and the three that were just in it");
    assert_eq!([1, 12, 13, 20].map(|number| may_keep(&store, number)), [false, false, true, true]);
    // Not ended: what has ended would all have to make room.
    presentation.suspend();
    other.suspend();
    store.shutdown(DEADLINE).await;
    drop(store);
    let (store, _registry) = open(&keep_all(), folder.path());
    assert_eq!([1, 12, 13, 20].map(|number| may_keep(&store, number)), [false, false, true, true]);
    assert!(store.may_keep(&feed, &id, None));
}

/// Recordings of an earlier run: one that ended long before the other, and its folder.
async fn two_recordings(folder: &std::path::Path) {
    let (store, _registry) = open(&keep_all(), folder);
    for (id, ended) in [(OLD, 1_795_230_910_000), (NEW, 1_795_240_910_000)] {
        let presentation = begin(&store, "studio-a", id, Duration::from_secs(60));
        write(&presentation, 1..=5);
        presentation.end(ended);
    }
    store.shutdown(DEADLINE).await;
}

const OLD: &str = "20261121T010000.000Z";
const NEW: &str = "20261121T020000.000Z";

/// A day of a ladder is two hundred thousand files: live is not to wait for any of them.
#[tokio::test]
async fn what_is_live_does_not_wait_for_files_to_be_removed() {
    let folder = folder_in_memory();
    two_recordings(folder.path()).await;
    let max_bytes = Some(1);
    let archive = config::Archive { max_bytes, ..keep_all() };
    let (disk, store, registry) = ShakyDisk::open_holding(folder.path(), &archive, Some(OLD));
    let emptied = async || {
        let infos = store.presentations(Some("studio-a")).await.unwrap();
        infos.iter().all(|info| info.id != OLD).then_some(())
    };
    until(DEADLINE, "it to be no recording any more", emptied).await;
    assert_eq!(fetch(&store, "studio-a", OLD, 0, Some(1)).await, None, "what is being removed is not served");
    live_is_protected(&store, &registry);
    assert!(folder.path().join("archive/studio-a").join(OLD).exists(), "the disk hangs");
    disk.let_go();
    let gone = || !folder.path().join("archive/studio-a").join(OLD).exists();
    assert!(poll(DEADLINE, || gone().then_some(())).is_some());
}

#[tokio::test]
async fn what_is_live_does_not_wait_for_old_recordings_to_be_looked_at() {
    let folder = folder_in_memory();
    two_recordings(folder.path()).await;
    let (disk, store, registry) = ShakyDisk::open_holding(folder.path(), &keep_all(), Some(OLD));
    // The look begins once nobody wants anything, and then hangs.
    until(DEADLINE, "the look to hang", async || disk.is_holding().then_some(())).await;
    live_is_protected(&store, &registry);
}

fn live_is_protected(store: &appliance::store::Store, registry: &prometheus::Registry) {
    let presentation = begin(store, "studio-b", "20261121T040000.000Z", Duration::from_secs(60));
    write(&presentation, 1..=5);
    assert_eq!(metric(registry, "rungd_store_listed_unprotected_total"), 0.0);
    assert_eq!(store.archive_health().unwrap().degraded, None);
}

/// The power fails while a recording is being removed: the next look goes on with it.
#[tokio::test]
async fn a_removal_that_was_cut_short_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    two_recordings(folder.path()).await;
    let rows = rusqlite::Connection::open(folder.path().join("catalogue.sqlite")).unwrap();
    let emptied = "UPDATE presentations SET bytes = 0, end_millis = 0 WHERE name = ?1";
    assert_eq!(rows.execute(emptied, [OLD]).unwrap(), 1);
    std::fs::remove_dir_all(folder.path().join("archive/studio-a").join(OLD).join("360p")).unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let left =
        || rows.query_row("SELECT count(*) FROM presentations", [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(poll(DEADLINE, || (left() == 1).then_some(())).is_some(), "{} are left", left());
    assert!(!folder.path().join("archive/studio-a").join(OLD).exists());
    let segments = rows.query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(segments, 10);
    let infos = store.presentations(None).await.unwrap();
    assert_eq!(infos.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), [NEW]);
}

/// It stands first in every look, and what comes after it has to go all the same: recordings, and the past of what is live.
#[tokio::test]
async fn a_recording_that_cannot_be_deleted_keeps_nothing_else() {
    let folder = folder_in_memory();
    two_recordings(folder.path()).await;
    let disk = ShakyDisk::new(folder.path());
    disk.keep_undeletable(Some(OLD));
    let archive = config::Archive { max_bytes: Some(1), ..keep_all() };
    let (store, registry) = disk.store(folder.path(), &archive);
    let kept = |id: &str| folder.path().join("archive/studio-a").join(id);
    let expired = || metric(&registry, "rungd_store_archive_presentations_expired_total");
    soon("the other to go", || !kept(NEW).exists());
    soon("that to be told", || store.archive_health().unwrap().degraded.is_some_and(|why| why.contains(OLD)));
    assert_eq!(expired(), 1.0);
    assert!(store.presentations(None).await.unwrap().is_empty(), "nor is it a recording any more");

    let live = begin(&store, "studio-b", "20261121T040000.000Z", Duration::from_secs(10));
    write(&live, 1..=20);
    // What is too much is looked for after each beginning.
    let other = begin(&store, "studio-c", "20261121T040000.000Z", Duration::from_secs(10));
    write(&other, [1]);
    let track = folder.path().join("archive/studio-b/20261121T040000.000Z/360p");
    soon("what is live to be shortened", || std::fs::read_dir(&track).unwrap().count() == 8 + 1);

    disk.keep_undeletable(None);
    let last = begin(&store, "studio-d", "20261121T040000.000Z", Duration::from_secs(10));
    write(&last, [1]);
    soon("it to go once it can", || !kept(OLD).exists() && expired() == 2.0);
    soon("all to be well", || store.archive_health().unwrap().degraded.is_none());
}

/// They are out of its list first, so nobody looks for them again.
#[tokio::test]
async fn a_segment_that_cannot_be_deleted_keeps_none_after_it() {
    let folder = folder_in_memory();
    let disk = ShakyDisk::new(folder.path());
    let id = "20261121T030000.000Z";
    disk.keep_undeletable(Some(id));
    let archive = config::Archive { max_bytes: Some(1), ..keep_all() };
    let (store, _registry) = disk.store(folder.path(), &archive);
    let stuck = begin(&store, "studio-a", id, Duration::from_secs(10));
    let live = begin(&store, "studio-b", "20261121T040000.000Z", Duration::from_secs(10));
    write(&stuck, 1..=20);
    write(&live, 1..=20);
    let other = begin(&store, "studio-c", "20261121T040000.000Z", Duration::from_secs(10));
    write(&other, [1]);
    let track = folder.path().join("archive/studio-b/20261121T040000.000Z/360p");
    soon("the other to be shortened", || std::fs::read_dir(&track).unwrap().count() == 8 + 1);
    soon("its own list to be", || {
        let rows = rusqlite::Connection::open(folder.path().join("catalogue.sqlite")).unwrap();
        let left =
            "SELECT count(*) FROM segments s JOIN presentations p ON p.id = s.presentation WHERE p.name = ?1";
        rows.query_row(left, [id], |row| row.get::<_, i64>(0)).unwrap() == 16
    });
}
