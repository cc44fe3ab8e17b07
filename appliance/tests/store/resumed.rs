//! What is found at the start: torn files are dropped, what was open is gone on with.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use appliance::store::StoreError;
use appliance::store::archive::backend::Part;
use media::{MediaTime, SegmentNumber};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::programme::{
    TRACKS, begin, begin_with_memory, fetch, keep_all, numbers, open, push, segment, soon, write,
    write_and_archive,
};
use crate::shaky_disk::ShakyDisk;

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);

/// What is on disk while a presentation of so many segments goes on, as after a power cut.
async fn cut_off(segments: u64) -> TempDir {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _registry) = open(&keep_all(), before.path());
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
    write(&presentation, 1..=segments);
    // A slow disk would have them listed without.
    soon("the archive to have all", || presentation.view().waiting_for_archive() == 0);
    push(&presentation, 0, segments + 1, 0);
    let copied = Command::new("cp").arg("-a").arg(before.path().join(".")).arg(after.path()).status();
    assert!(copied.unwrap().success());
    store.shutdown(DEADLINE).await;
    after
}

fn file(state_dir: &Path, track: usize, number: u64) -> PathBuf {
    state_dir.join("archive/studio-a").join(ID).join(TRACKS[track]).join(format!("{number:08}.m4s"))
}

fn flip(path: &Path, at: u64) {
    let before = fs::read(path).unwrap();
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[before[usize::try_from(at).unwrap()] ^ 0x20]).unwrap();
}

#[tokio::test]
async fn what_was_open_is_gone_on_with() {
    let folder = cut_off(10).await;
    let (store, _registry) = open(&keep_all(), folder.path());
    let interrupted = store.interrupted("studio-a").unwrap();
    assert_eq!(interrupted.resume, b"how to go on");
    assert_eq!(interrupted.next_segment, SegmentNumber(11));
    assert_eq!(interrupted.last_end, MediaTime::from_millis(20_000));
    assert_eq!((interrupted.window, interrupted.title.as_str()), (DEADLINE * 3, "Programme of studio-a"));
    let tracks: Vec<_> = interrupted.tracks.iter().map(|it| (it.track.name.as_str(), it.end)).collect();
    assert_eq!(tracks, TRACKS.map(|name| (name, MediaTime::from_millis(20_000))));
    assert_eq!(interrupted.tracks[1].track.init, "init of audio");
    assert_eq!(interrupted.tracks[1].track.timescale.get(), 48_000);
    assert_eq!(interrupted.last_end_unix_millis(), 1_795_230_920_000);
    assert_eq!(store.all_interrupted().len(), 1);

    // Before anybody has decided, viewers see it as it was.
    let view = store.live("studio-a").unwrap();
    assert!(view.is_live());
    assert_eq!(view.listed(), Some((SegmentNumber(1), SegmentNumber(10))));
    assert!(view.window("").live);
    assert_eq!(fetch(&store, "studio-a", ID, 1, Some(10)).await, Some(segment(1, 10)));
    assert_eq!(fetch(&store, "studio-a", ID, 1, None).await.as_deref(), Some(b"init of audio".as_slice()));
    let asked = tokio::spawn({
        let view = view.clone();
        async move { view.segment(0, SegmentNumber(11)).await }
    });
    tokio::task::yield_now().await;

    let presentation = store.resume(interrupted.clone()).unwrap();
    assert!(matches!(store.resume(interrupted), Err(StoreError::NotInterrupted { .. })));
    assert!(store.interrupted("studio-a").is_none());
    write(&presentation, 11..=15);
    assert!(asked.await.unwrap().is_ok(), "who asked for the next one while nobody had decided gets it");
    assert_eq!(view.listed(), Some((SegmentNumber(1), SegmentNumber(15))));
    presentation.end(1_795_230_930_000);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", ID).await, (1..=15).collect::<Vec<_>>());
}

#[tokio::test]
async fn torn_files_are_dropped_and_never_served() {
    for (what, tear) in [
        ("cut short", (|path| fs::write(path, b"cut").unwrap()) as fn(&Path)),
        ("empty", |path| fs::write(path, b"").unwrap()),
        ("zeros", |path| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap()),
        ("a bit flipped", |path| flip(path, 7)),
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("longer", |path| fs::write(path, [fs::read(path).unwrap(), vec![0]].concat()).unwrap()),
    ] {
        // The last of one track.
        let folder = cut_off(6).await;
        tear(&file(folder.path(), 1, 6));
        let (store, _registry) = open(&keep_all(), folder.path());
        let interrupted = store.interrupted("studio-a").unwrap();
        assert_eq!(interrupted.next_segment, SegmentNumber(6), "{what}");
        for track in 0..2 {
            assert_eq!(interrupted.tracks[track].end, MediaTime::from_millis(10_000), "{what}");
            assert!(!file(folder.path(), track, 6).exists(), "{what}");
        }
        assert_eq!(store.live("studio-a").unwrap().listed().unwrap().1, SegmentNumber(5), "{what}");
        // It is written again, and then that is what is served.
        let presentation = store.resume(interrupted).unwrap();
        write(&presentation, 6..=7);
        assert_eq!(fs::read(file(folder.path(), 1, 6)).unwrap(), segment(1, 6), "{what}");
        drop(presentation);
        store.shutdown(DEADLINE).await;

        // One in the middle: what comes after it was listed and stays; the list begins after the hole.
        let folder = cut_off(6).await;
        tear(&file(folder.path(), 0, 3));
        let (store, _registry) = open(&keep_all(), folder.path());
        let interrupted = store.interrupted("studio-a").unwrap();
        assert_eq!(interrupted.next_segment, SegmentNumber(7), "{what}");
        let view = store.live("studio-a").unwrap();
        assert_eq!(view.listed(), Some((SegmentNumber(4), SegmentNumber(6))), "{what}");
        assert_eq!(fetch(&store, "studio-a", ID, 0, Some(3)).await, None, "{what}");
        assert_eq!(numbers(&store, "studio-a", ID).await, [4, 5, 6], "{what}");
        store.shutdown(DEADLINE).await;
    }
}

/// A channel that never ends: only its newest files are looked at before it is served.
#[tokio::test]
async fn the_end_of_a_long_presentation_is_put_in_order_at_once() {
    const SEGMENTS: u64 = 6000;
    let folder = cut_off(4).await;
    let catalogue = Connection::open(folder.path().join("catalogue.sqlite")).unwrap();
    for track in 0..2 {
        let timescale = [90_000, 48_000][track];
        let row = format!(
            "INSERT INTO segments SELECT 1, {track}, value, (value - 1) * 2 * {timescale}, 2 * {timescale},
                 {}, NULL FROM generate",
            segment(track, 1000).len()
        );
        let numbers = format!(
            "WITH RECURSIVE generate (value) AS (SELECT 5 UNION ALL SELECT value + 1 FROM generate
                 WHERE value < {SEGMENTS}) "
        );
        let insert = row.replacen("SELECT", &format!("{numbers} SELECT"), 1);
        catalogue.execute_batch(&insert).unwrap();
        for number in 5..=SEGMENTS + 1 {
            let bytes = segment(track, 1000);
            fs::write(file(folder.path(), track, number), bytes).unwrap();
        }
    }
    drop(catalogue);
    fs::write(file(folder.path(), 1, SEGMENTS), b"torn").unwrap();
    // Nobody would notice before it is asked for.
    fs::remove_file(file(folder.path(), 0, 9)).unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let interrupted = store.interrupted("studio-a").unwrap();
    assert_eq!(interrupted.next_segment, SegmentNumber(SEGMENTS));
    for number in [SEGMENTS, SEGMENTS + 1] {
        assert!(!file(folder.path(), 0, number).exists() && !file(folder.path(), 1, number).exists());
    }
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed(), Some((SegmentNumber(SEGMENTS - 30), SegmentNumber(SEGMENTS - 1))));
    assert!(file(folder.path(), 1, 9).exists(), "it was not looked at");
    store.close_interrupted("studio-a", interrupted.last_end_unix_millis());
    store.shutdown(DEADLINE).await;
    let (store, _registry) = open(&keep_all(), folder.path());
    soon("the rest to be looked at, now that it has ended", || !file(folder.path(), 1, 9).exists());
    soon("its list to begin after the hole", || store.archive_health().unwrap().waiting == 0);
    assert_eq!(numbers(&store, "studio-a", ID).await.first(), Some(&10));
}

#[tokio::test]
async fn a_torn_initialization_segment_leaves_nothing_to_play() {
    let folder = cut_off(3).await;
    let init = folder.path().join("archive/studio-a").join(ID).join(TRACKS[0]).join("init.mp4");
    flip(&init, 3);
    let (store, _registry) = open(&keep_all(), folder.path());
    assert!(store.interrupted("studio-a").is_none() && store.live("studio-a").is_none());
    assert!(store.presentations(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_presentation_ends_what_nobody_went_on_with() {
    let folder = cut_off(5).await;
    let (store, _registry) = open(&keep_all(), folder.path());
    let next = begin(&store, "studio-a", "20261121T041500.000Z", Duration::from_secs(60));
    assert!(store.interrupted("studio-a").is_none());
    write(&next, 1..=2);
    assert_eq!(store.live("studio-a").unwrap().id().as_str(), "20261121T041500.000Z");
    drop(next);
    store.shutdown(DEADLINE).await;
    let infos = store.presentations(None).await.unwrap();
    let old = infos.iter().find(|info| info.id == ID).unwrap();
    assert_eq!(old.ended_unix_millis, Some(1_795_230_910_000), "where its last segment ends");
    assert_eq!(numbers(&store, "studio-a", ID).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_nobody_decided_on_stays_interrupted_over_a_stop() {
    let folder = cut_off(5).await;
    for _ in 0..2 {
        let (store, _registry) = open(&keep_all(), folder.path());
        assert_eq!(store.interrupted("studio-a").unwrap().next_segment, SegmentNumber(6));
        store.shutdown(DEADLINE).await;
    }
}

/// A sector that cannot be read now says nothing of what was written to it.
#[tokio::test]
async fn what_the_disk_cannot_read_is_kept() {
    for part in [Part::Segment(SegmentNumber(6)), Part::Init] {
        let folder = cut_off(6).await;
        let disk = ShakyDisk::new(folder.path());
        disk.spoil(TRACKS[1], part);
        let (store, _registry) = disk.store(folder.path(), &keep_all());
        assert!(file(folder.path(), 1, 6).exists(), "{part:?}");
        store.shutdown(DEADLINE).await;
        drop(store);
        // The disk gives it out after all.
        let (store, _registry) = open(&keep_all(), folder.path());
        assert_eq!(fetch(&store, "studio-a", ID, 1, Some(6)).await, Some(segment(1, 6)), "{part:?}");
        assert_eq!(store.interrupted("studio-a").unwrap().next_segment, SegmentNumber(7), "{part:?}");
    }
}

#[tokio::test]
async fn the_window_goes_on_from_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let after = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let (window, memory) = (Duration::from_secs(40), Duration::from_secs(8));
    let presentation = begin_with_memory(&store, "studio-a", ID, window, memory);
    write_and_archive(&store, &presentation, 1..=50);
    presentation.note_resume(b"noted later".to_vec());
    write_and_archive(&store, &presentation, [51]);
    let rates = |store: &appliance::store::Store| {
        let window = store.live("studio-a").unwrap().window("");
        window.tracks.iter().map(|it| (it.peak_bit_rate, it.mean_bit_rate)).collect::<Vec<_>>()
    };
    soon("the archive to have all", || presentation.view().waiting_for_archive() == 0);
    let before = rates(&store);
    let copied = Command::new("cp").arg("-a").arg(folder.path().join(".")).arg(after.path()).status();
    assert!(copied.unwrap().success());

    let (store, _registry) = open(&keep_all(), after.path());
    assert_eq!(rates(&store), before, "the master playlist says the same");
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed(), Some((SegmentNumber(32), SegmentNumber(51))));
    assert_eq!(view.memory_bytes(), 0);
    let interrupted = store.interrupted("studio-a").unwrap();
    assert_eq!(interrupted.resume, b"noted later");
    let presentation = store.resume(interrupted).unwrap();
    write(&presentation, 52..=60);
    let (first, last) = view.listed().unwrap();
    assert_eq!((first, last), (SegmentNumber(41), SegmentNumber(60)));
    for number in first.0..=last.0 {
        assert_eq!(fetch(&store, "studio-a", ID, 0, Some(number)).await, Some(segment(0, number)));
    }
}

/// A catalogue as the release before wrote it.
const SCHEMA_1: &str = "
    CREATE TABLE feeds (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE presentations (
        id INTEGER PRIMARY KEY, feed INTEGER NOT NULL REFERENCES feeds (id), name TEXT NOT NULL,
        title TEXT NOT NULL, availability_start_unix_millis INTEGER NOT NULL, cadence TEXT NOT NULL,
        ended_unix_millis INTEGER, tracks TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
        end_millis INTEGER NOT NULL DEFAULT 0, UNIQUE (feed, name)
    );
    CREATE TABLE segments (
        presentation INTEGER NOT NULL REFERENCES presentations (id) ON DELETE CASCADE, track INTEGER NOT NULL,
        number INTEGER NOT NULL, start_ticks INTEGER NOT NULL, duration_ticks INTEGER NOT NULL,
        bytes INTEGER NOT NULL, PRIMARY KEY (presentation, track, number)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_catalogue_of_the_release_before_is_read() {
    let folder = cut_off(4).await;
    let path = folder.path().join("catalogue.sqlite");
    let new = Connection::open(&path).unwrap();
    let (cadence, tracks): (String, String) = new
        .query_row("SELECT cadence, tracks FROM presentations", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let old_path = folder.path().join("old.sqlite");
    let old = Connection::open(&old_path).unwrap();
    old.execute_batch(SCHEMA_1).unwrap();
    old.execute("INSERT INTO feeds VALUES (1, 'studio-a')", []).unwrap();
    // It noted no checksum of an initialization segment.
    let mut tracks: serde_json::Value = serde_json::from_str(&tracks).unwrap();
    for track in tracks.as_array_mut().unwrap() {
        track.as_object_mut().unwrap().remove("init_crc32").unwrap();
    }
    old.execute(
        "INSERT INTO presentations VALUES (1, 1, ?1, 'Old', 1795230900000, ?2, NULL, ?3, 100, 8000)",
        (ID, cadence, tracks.to_string()),
    )
    .unwrap();
    for (track, timescale) in [(0, 90_000), (1, 48_000)] {
        for number in 1..=4 {
            let bytes = segment(usize::from(track == 1), u64::try_from(number).unwrap()).len();
            let bytes = i64::try_from(bytes).unwrap();
            old.execute(
                "INSERT INTO segments VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                (track, number, (number - 1_i64) * 2 * timescale, 2 * timescale, bytes),
            )
            .unwrap();
        }
    }
    drop((new, old));
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(folder.path().join(format!("catalogue.sqlite{suffix}")));
    }
    fs::rename(&old_path, &path).unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    assert!(store.interrupted("studio-a").is_none(), "it did not note how far viewers may seek back");
    assert_eq!(numbers(&store, "studio-a", ID).await, [1, 2, 3, 4]);
    assert_eq!(fetch(&store, "studio-a", ID, 0, Some(4)).await, Some(segment(0, 4)));
    let info = &store.presentations(None).await.unwrap()[0];
    assert_eq!(info.ended_unix_millis, Some(1_795_230_908_000));
    let next = begin(&store, "studio-a", "20261121T041500.000Z", Duration::from_secs(60));
    write(&next, 1..=2);
    soon("both to be kept", || store.archive_health().unwrap().waiting == 0);
    assert_eq!(numbers(&store, "studio-a", "20261121T041500.000Z").await, [1, 2]);
}
