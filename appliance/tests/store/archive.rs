use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use appliance::store::{Store, StoreError};
use media::SegmentNumber;
use prometheus::Registry;
use test_support::wait::poll;

use crate::programme::{
    TRACKS, begin, fetch, keep_all, numbers, open, push, segment, write, write_and_archive,
};

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);

fn file(state_dir: &Path, feed: &str, track: usize, name: &str) -> std::path::PathBuf {
    state_dir.join("archive").join(feed).join(ID).join(TRACKS[track]).join(name)
}

#[tokio::test]
async fn a_recording_has_everything_and_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        let presentation = begin(&store, "studio-a", ID, Duration::from_secs(4));
        write_and_archive(&store, &presentation, 1..=20);
        let view = store.live("studio-a").unwrap();
        presentation.end(1_795_230_940_000);
        assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
        // The live URL now has all of it, in place, though memory holds only the end.
        let window = store.live_window(&view, "x/").await.unwrap();
        assert!(!window.live);
        assert_eq!((window.tracks[0].segments.len(), window.media_base.as_str()), (20, "x/"));
        assert_eq!(fetch(&store, "studio-a", ID, 0, Some(1)).await, Some(segment(0, 1)), "from the disk");
        assert_eq!(fetch(&store, "studio-a", ID, 0, Some(20)).await, Some(segment(0, 20)), "from memory");
        store.shutdown(DEADLINE).await;
    }
    assert_eq!(fs::read(file(folder.path(), "studio-a", 1, "00000007.m4s")).unwrap(), segment(1, 7));
    assert_eq!(fs::read(file(folder.path(), "studio-a", 0, "init.mp4")).unwrap(), b"init of 360p");

    let (store, _registry) = open(&keep_all(), folder.path());
    let infos = store.presentations(None).await.unwrap();
    assert_eq!(infos.len(), 1);
    let info = &infos[0];
    assert_eq!((info.id.as_str(), info.live, info.archived), (ID, false, true));
    assert_eq!((info.duration_millis, info.ended_unix_millis), (40_000, Some(1_795_230_940_000)));
    assert_eq!(numbers(&store, "studio-a", ID).await, (1..=20).collect::<Vec<_>>());
    for number in [1, 13, 20] {
        assert_eq!(fetch(&store, "studio-a", ID, 1, Some(number)).await, Some(segment(1, number)));
    }
    assert_eq!(fetch(&store, "studio-a", ID, 1, None).await.as_deref(), Some(b"init of audio".as_slice()));
    for odd in [0, 21, u64::MAX] {
        assert_eq!(fetch(&store, "studio-a", ID, 1, Some(odd)).await, None, "{odd}");
    }
    assert!(store.begin(of_the_same_id()).is_err(), "an id that is on disk is taken");
}

fn of_the_same_id() -> appliance::store::NewPresentation {
    appliance::store::NewPresentation {
        feed: "studio-a".to_owned(),
        title: String::new(),
        id: ID.to_owned(),
        availability_start_unix_millis: 0,
        cadence: media::Cadence::new(media::FrameRate::PAL, Duration::from_secs(2), Duration::from_secs(1)),
        window: Duration::from_secs(4),
        memory: Duration::from_secs(4),
        target_latency: None,
        resume: Vec::new(),
        tracks: vec![appliance::store::NewTrack {
            name: "a".to_owned(),
            kind: packager::window::WindowTrackKind::Audio { sample_rate: 48_000, channels: 2 },
            codecs: String::new(),
            timescale: media::Timescale::VIDEO,
            init: bytes::Bytes::new(),
            nominal_bit_rate: 1,
        }],
    }
}

#[tokio::test]
async fn what_a_killed_run_left_is_put_in_order() {
    let before = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _registry) = open(&keep_all(), before.path());
        let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
        write_and_archive(&store, &presentation, 1..=5);
        push(&presentation, 0, 6, 0);
        // As after kill -9: what is on disk at this moment, and nobody is told of an end.
        let copied =
            Command::new("cp").arg("-a").arg(before.path().join(".")).arg(folder.path()).status().unwrap();
        assert!(copied.success());
    }
    // A row whose file is gone, one whose file is cut off, files without a row, a write cut off, a stranger's file.
    fs::remove_file(file(folder.path(), "studio-a", 0, "00000001.m4s")).unwrap();
    fs::write(file(folder.path(), "studio-a", 1, "00000005.m4s"), b"cut").unwrap();
    let orphans = [
        file(folder.path(), "studio-a", 0, "00000099.m4s"),
        file(folder.path(), "studio-a", 0, "00000006.m4s.tmp"),
    ];
    for orphan in &orphans {
        fs::write(orphan, b"orphan").unwrap();
    }
    let lost = folder.path().join("archive/studio-b/20200101T000000.000Z/360p");
    fs::create_dir_all(&lost).unwrap();
    fs::write(lost.join("00000001.m4s"), b"orphan").unwrap();
    let note = folder.path().join("archive/README");
    fs::write(&note, b"an operator's").unwrap();

    let (store, _registry) = open(&keep_all(), folder.path());
    let interrupted = store.interrupted("studio-a").expect("nobody said that it has ended");
    assert_eq!(
        interrupted.next_segment,
        SegmentNumber(5),
        "what is not whole on every track is written again"
    );
    assert!(store.close_interrupted("studio-a", interrupted.last_end_unix_millis()));
    assert!(!store.close_interrupted("studio-a", 0) && store.interrupted("studio-a").is_none());
    assert!(poll(DEADLINE, || store.live("studio-a")?.is_settled().then_some(())).is_some());
    assert_eq!(numbers(&store, "studio-a", ID).await, [2, 3, 4]);
    let info = &store.presentations(None).await.unwrap()[0];
    assert_eq!(info.ended_unix_millis, Some(1_795_230_900_000 + 8_000), "ended with its last segment");
    assert!(!file(folder.path(), "studio-a", 0, "00000005.m4s").exists(), "nobody listed it any more");
    assert!(orphans.iter().all(|orphan| !orphan.exists()));
    assert!(!lost.exists() && note.exists());
    assert_eq!(fetch(&store, "studio-a", ID, 0, Some(1)).await, None);
    assert_eq!(fetch(&store, "studio-a", ID, 0, Some(2)).await, Some(segment(0, 2)));
}

/// Removing one fails, for root too: a folder stands where a file's name would be, and a file where a folder's.
#[tokio::test]
async fn what_cannot_be_removed_at_the_start_keeps_no_archive_away() {
    let before = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _registry) = open(&keep_all(), before.path());
        let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
        write_and_archive(&store, &presentation, 1..=5);
        let copied =
            Command::new("cp").arg("-a").arg(before.path().join(".")).arg(folder.path()).status().unwrap();
        assert!(copied.success());
    }
    for stuck in ["00000099.m4s", "00000098.m4s.tmp"] {
        fs::create_dir(file(folder.path(), "studio-a", 0, stuck)).unwrap();
    }
    fs::write(folder.path().join("archive/studio-a/20200101T000000.000Z"), b"no folder").unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    assert_eq!(store.archive_health().unwrap().degraded, None);
    let interrupted = store.interrupted("studio-a").expect("it can be gone on with");
    let presentation = store.resume(interrupted).unwrap();
    write_and_archive(&store, &presentation, [6]);
    drop(presentation);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", ID).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_second_daemon_is_kept_away() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let second = Store::open(&keep_all(), folder.path(), &Registry::new());
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    store.shutdown(DEADLINE).await;
    assert!(Store::open(&keep_all(), folder.path(), &Registry::new()).is_ok());
}

#[tokio::test]
async fn an_archive_without_its_catalogue_is_put_aside_and_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("archive/studio-a").join(ID).join("360p");
    fs::create_dir_all(&precious).unwrap();
    fs::write(precious.join("00000001.m4s"), b"precious").unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    assert!(store.presentations(None).await.unwrap().is_empty());
    let aside: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("archive.lost-"))
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(aside[0].join("studio-a").join(ID).join("360p/00000001.m4s")).unwrap(), b"precious");
}

/// A database as SQLite begins one.
fn blank() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blank.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    fs::read(&path).unwrap()
}

/// At its head, where SQLite finds it at once, or in a page that a start reads: it is put aside with its archive.
#[tokio::test]
async fn a_damaged_catalogue_is_put_aside_with_its_archive() {
    for (what, damage) in [
        (
            "no database",
            (|_| b"This is no database, but long enough to be one. ".repeat(200)) as fn(Vec<u8>) -> Vec<u8>,
        ),
        ("damaged pages", |mut bytes| {
            bytes[4096..].fill(0xa5);
            bytes
        }),
        ("empty", |_| Vec::new()),
        // Nothing that was noted was in the file itself as yet.
        ("without its log", |_| blank()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        {
            let (store, _registry) = open(&keep_all(), folder.path());
            let presentation = begin(&store, "studio-a", ID, Duration::from_secs(60));
            write(&presentation, 1..=3);
            presentation.end(1_795_230_910_000);
            store.shutdown(DEADLINE).await;
        }
        let path = folder.path().join("catalogue.sqlite");
        let database = rusqlite::Connection::open(&path).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(database);
        let before = fs::read(&path).unwrap();
        let damaged = damage(before);
        fs::write(&path, &damaged).unwrap();
        for beside in ["catalogue.sqlite-wal", "catalogue.sqlite-shm"] {
            let _ = fs::remove_file(folder.path().join(beside));
        }
        let (store, _registry) = open(&keep_all(), folder.path());
        assert_eq!(store.archive_health().unwrap().degraded, None, "{what}");
        let found = |part: &str| {
            let paths = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            paths.filter(|path| path.to_string_lossy().contains(part)).collect::<Vec<_>>()
        };
        let lost = found("archive.lost-");
        assert_eq!(lost.len(), 1, "{what}");
        assert_eq!(
            fs::read(lost[0].join("studio-a").join(ID).join("360p/00000001.m4s")).unwrap(),
            segment(0, 1)
        );
        let aside = found("catalogue.sqlite.damaged-");
        assert_eq!(
            aside.first().map(|path| fs::read(path).unwrap()),
            ["no database", "damaged pages"].contains(&what).then_some(damaged),
            "{what}"
        );
        let presentation = begin(&store, "studio-a", "20261121T051500.000Z", Duration::from_secs(60));
        write(&presentation, 1..=3);
        drop(presentation);
        store.shutdown(DEADLINE).await;
        assert_eq!(numbers(&store, "studio-a", "20261121T051500.000Z").await, [1, 2, 3], "{what}");
    }
}

#[tokio::test]
async fn two_presentations_of_a_feed_keep_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    let first = begin(&store, "studio-a", "20261121T010000.000Z", Duration::from_secs(4));
    write(&first, 1..=3);
    // The next begins before the first was ended: it ends it, and what was not written yet still is.
    let second = begin(&store, "studio-a", "20261121T020000.000Z", Duration::from_secs(4));
    write(&second, 1..=2);
    write(&first, [4]);
    second.end(1_795_230_910_000);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", "20261121T010000.000Z").await, [1, 2, 3]);
    assert_eq!(numbers(&store, "studio-a", "20261121T020000.000Z").await, [1, 2]);
    let infos = store.presentations(Some("studio-a")).await.unwrap();
    assert!(infos.iter().all(|info| !info.live && info.ended_unix_millis.is_some()), "{infos:?}");
    assert!(store.presentations(Some("studio-b")).await.unwrap().is_empty());
    assert!(store.presentations(Some("../x")).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_recordings_are_looked_at_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        let old = begin(&store, "studio-a", ID, Duration::from_secs(60));
        write(&old, 1..=5);
        old.end(1_795_230_910_000);
        let newer = begin(&store, "studio-b", ID, Duration::from_secs(60));
        write(&newer, [1]);
        newer.end(1_795_239_000_000);
        store.shutdown(DEADLINE).await;
    }
    fs::remove_file(file(folder.path(), "studio-a", 0, "00000002.m4s")).unwrap();
    let orphan = file(folder.path(), "studio-a", 1, "00000006.m4s");
    fs::write(&orphan, b"orphan").unwrap();
    let (store, _registry) = open(&keep_all(), folder.path());
    assert!(poll(DEADLINE, || (!orphan.exists()).then_some(())).is_some());
    assert_eq!(numbers(&store, "studio-a", ID).await, [3, 4, 5]);
    assert_eq!(fetch(&store, "studio-a", ID, 1, Some(2)).await, None, "its picture is gone");
    assert!(store.interrupted("studio-a").is_none() && store.live("studio-a").is_none());
}
