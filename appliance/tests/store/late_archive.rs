//! An archive that can be used only after something has come on air: that is kept from where memory has it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use appliance::store::{FeedName, Presentation, PresentationId, Store};
use media::{MediaTime, SegmentNumber};
use prometheus::Registry;
use rusqlite::Connection;
use tempfile::TempDir;
use test_support::{Stopwatch, wait_until};

use crate::programme::{
    TRACKS, begin, begin_with_memory, complete, fetch, folder_in_memory, keep_all, numbers, open, push,
    segment, soon, write, write_only,
};

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);
/// Ten segments.
const MEMORY: Duration = Duration::from_secs(20);

/// A store whose archive cannot be opened: a folder stands where a file is to be, for root too.
fn obstructed(state_dir: &Path) -> (Store, Registry) {
    let lock = state_dir.join("catalogue.lock");
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    open(&keep_all(), state_dir)
}

fn mend(state_dir: &Path) {
    fs::remove_dir(state_dir.join("catalogue.lock")).unwrap();
}

fn kept(presentation: &Presentation) {
    let view = presentation.view();
    wait_until(DEADLINE, "all of it to be kept", || {
        (view.is_archived() && view.waiting_for_archive() == 0).then_some(())
    });
}

/// What the next daemon finds, were this one killed now.
fn killed(state_dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(state_dir.join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

#[tokio::test]
async fn what_is_on_air_is_kept_from_where_memory_has_it() {
    let folder = folder_in_memory();
    let (store, _registry) = obstructed(folder.path());
    let presentation = begin_with_memory(&store, "studio-a", ID, HOUR, MEMORY);
    presentation.note_resume(b"how to go on by now".to_vec());
    write(&presentation, 1..=60);
    let view = presentation.view().clone();
    assert_eq!(view.listed(), Some((SegmentNumber(51), SegmentNumber(60))));
    assert_eq!(view.time_shift(), MEMORY);
    let version = view.version();
    mend(folder.path());
    kept(&presentation);

    // Viewers may seek back as far as the whole window again: it grows to that.
    assert_eq!(view.listed(), Some((SegmentNumber(51), SegmentNumber(60))));
    assert_eq!(view.time_shift(), HOUR);
    assert!(view.version() > version, "manifests are written anew");
    write(&presentation, 61..=100);
    assert_eq!(view.listed(), Some((SegmentNumber(51), SegmentNumber(100))));
    assert!(view.segment_in_memory(0, SegmentNumber(80)).is_none(), "the archive alone has it");
    for number in 51..=100 {
        for track in 0..TRACKS.len() {
            let got = fetch(&store, "studio-a", ID, track, Some(number)).await;
            assert_eq!(got, Some(segment(track, number)), "{number} of {track}");
        }
    }
    // While it is on air and afterwards, its replay begins with the first that was in memory; the list's grace too.
    kept(&presentation);
    assert_eq!(numbers(&store, "studio-a", ID).await, (48..=100).collect::<Vec<_>>());
    assert_eq!(fetch(&store, "studio-a", ID, 0, Some(47)).await, None);
    let (feed, id) = (FeedName::new("studio-a").unwrap(), PresentationId::new(ID).unwrap());
    assert!(!store.may_keep(&feed, &id, Some(SegmentNumber(47))), "nor need the disk be asked");
    let listed = store.presentations(Some("studio-a")).await.unwrap();
    assert_eq!(listed[0].duration_millis, (100 - 47) * 2000);

    // Killed, it is gone on with under the same numbers.
    let after = killed(folder.path());
    let (next, _registry) = open(&keep_all(), after.path());
    let left = next.interrupted("studio-a").expect("what was on air");
    assert_eq!((left.id.as_str(), left.availability_start_unix_millis), (ID, 1_795_230_900_000));
    assert_eq!((left.next_segment, left.last_end), (SegmentNumber(101), MediaTime::from_millis(200_000)));
    assert_eq!((left.window, left.resume.as_slice()), (HOUR, b"how to go on by now".as_slice()));
    assert!(!next.may_keep(&feed, &id, Some(SegmentNumber(47))));
    assert_eq!(next.live("studio-a").unwrap().listed(), Some((SegmentNumber(48), SegmentNumber(100))));
    let again = next.resume(left).unwrap();
    write(&again, 101..=103);
    again.end(1_795_231_106_000);
    next.shutdown(DEADLINE).await;
    assert_eq!(numbers(&next, "studio-a", ID).await, (48..=103).collect::<Vec<_>>());
    assert_eq!(fetch(&next, "studio-a", ID, 1, Some(48)).await, Some(segment(1, 48)));

    // The end of it.
    presentation.end(1_795_231_100_000);
    store.shutdown(DEADLINE).await;
    assert!(view.is_settled());
    let replay = store.replay(&feed, &id).await.unwrap().unwrap();
    let window = store.replay_window(&replay, "").await.unwrap().unwrap();
    assert_eq!((window.live, window.tracks[0].segments[0].number), (false, SegmentNumber(48)));
    assert_eq!(window.origin, window.tracks[0].segments[0].start);
}

/// Whoever has seen something of a segment may have been told that it never changes. What the next daemon made in its
/// place would be other bytes, so until the archive has all of that there is nothing to be gone on with.
#[tokio::test]
async fn how_to_go_on_is_noted_behind_all_that_was_seen() {
    let folder = folder_in_memory();
    let (store, _registry) = obstructed(folder.path());
    let presentation = begin(&store, "studio-a", ID, MEMORY);
    write(&presentation, 1..=5);
    push(&presentation, 0, 6, 0);
    mend(folder.path());
    kept(&presentation);
    let noted = || -> Vec<u8> {
        let catalogue = Connection::open(folder.path().join("catalogue.sqlite")).unwrap();
        let query =
            "SELECT p.resume FROM presentations p JOIN feeds f ON f.id = p.feed WHERE f.name = 'studio-a'";
        catalogue.query_row(query, [], |row| row.get(0)).unwrap()
    };
    presentation.note_resume(b"how to go on by now".to_vec());
    // What was to be done before is done then.
    let other = begin(&store, "studio-b", ID, MEMORY);
    write(&other, 1..=3);
    kept(&other);
    assert_eq!(noted(), b"");
    push(&presentation, 0, 6, 1);
    complete(&presentation, 0, 6);
    for half in 0..2 {
        push(&presentation, 1, 6, half);
    }
    complete(&presentation, 1, 6);
    soon("it to be noted", || noted() == b"how to go on by now");
    presentation.note_resume(b"another way".to_vec());
    soon("the next to be noted at once", || noted() == b"another way");
    drop(other);
    drop(presentation);
    store.shutdown(DEADLINE).await;
}

/// Segments are completed at the very moments at which others are handed over.
#[tokio::test]
async fn nothing_is_lost_or_written_twice_while_it_is_taken_in() {
    const FEEDS: [&str; 3] = ["studio-a", "studio-b", "studio-c"];
    let folder = folder_in_memory();
    let (store, _registry) = obstructed(folder.path());
    let writers = FEEDS.map(|feed| {
        let presentation = begin_with_memory(&store, feed, ID, HOUR, Duration::from_secs(400));
        thread::spawn(move || {
            // The last of them some time after it was taken in, no faster than the disk.
            let since = Stopwatch::start();
            let mut left = 100;
            let mut number = 0;
            while left > 0 {
                assert!(since.elapsed() < DEADLINE, "{left} of 100 are left to be written");
                number += 1;
                write_only(&presentation, number);
                let view = presentation.view();
                left -= u64::from(view.is_archived());
                soon("the disk to take it", || view.waiting_for_archive() < 150);
            }
            presentation.end(1_795_231_100_000);
            number
        })
    });
    mend(folder.path());
    let last = writers.map(|writer| writer.join().unwrap());
    store.shutdown(DEADLINE).await;
    // What was completed at that moment may have taken the place of the oldest.
    let lost = store.archive_health().unwrap().lost;
    assert!(lost <= 2 * 3, "{lost} segments are lost");
    drop(store);
    // All files are looked at.
    let (store, _registry) = open(&keep_all(), folder.path());
    for (feed, last) in FEEDS.into_iter().zip(last) {
        let kept = numbers(&store, feed, ID).await;
        assert!(kept.len() >= 290, "{feed}: {} of {last}", kept.len());
        let first = kept[0];
        assert_eq!(kept, (first..=last).collect::<Vec<_>>(), "{feed}");
        for number in kept {
            assert_eq!(fetch(&store, feed, ID, 1, Some(number)).await, Some(segment(1, number)), "{feed}");
        }
    }
    store.shutdown(DEADLINE).await;
}

/// A clock that was set back, say: the recording of that id is another programme's.
#[tokio::test]
async fn what_has_the_id_of_a_recording_is_not_mixed_with_it() {
    let folder = folder_in_memory();
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        let before = begin(&store, "studio-a", ID, MEMORY);
        write(&before, 1..=5);
        drop(before);
        store.shutdown(DEADLINE).await;
    }
    let (store, _registry) = obstructed(folder.path());
    let meanwhile = begin(&store, "studio-a", ID, MEMORY);
    let other = begin(&store, "studio-b", ID, MEMORY);
    write(&meanwhile, 1..=8);
    mend(folder.path());
    kept(&other);
    assert!(!meanwhile.view().is_archived());
    let degraded = store.archive_health().unwrap().degraded.expect("it says so");
    assert!(degraded.contains("what studio-a has on air is not kept"), "{degraded}");
    meanwhile.end(1_795_230_920_000);
    drop(other);
    store.shutdown(DEADLINE).await;
    assert_eq!(numbers(&store, "studio-a", ID).await, [1, 2, 3, 4, 5]);
}
