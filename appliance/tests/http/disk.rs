//! A disk that hangs, and what is read from a disk at all.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::stat::Mode;
use test_support::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::programme::{begin_with_memory, segment, write_and_archive};
use crate::server::{DEADLINE, Server, head};

const ID: &str = "20261121T031500.123Z";
/// More than read at once.
const VIEWERS: usize = 80;

fn file(server: &Server, track: &str, number: u64) -> PathBuf {
    let folder = server.folder.path().join("archive/studio-a").join(ID).join(track);
    folder.join(format!("{number:08}.m4s"))
}

#[tokio::test]
async fn the_short_form_of_a_url_reaches_all_of_the_window_and_no_further() {
    let server = Server::start().await;
    let (window, memory) = (Duration::from_secs(16), Duration::from_secs(6));
    let presentation = begin_with_memory(&server.store, "studio-a", ID, window, memory);
    write_and_archive(&server.store, &presentation, 1..=20);
    for (number, status) in [(20, 200), (18, 200), (14, 200), (13, 200), (12, 404), (1, 404)] {
        let answer = server.get(&format!("/live/studio-a/360p/{number}.m4s")).await;
        assert_eq!(answer.status, status, "segment {number}");
        if status == 200 {
            assert_eq!(answer.body, segment(0, number));
            assert_eq!(answer.field("cache-control"), Some("public, max-age=1"));
        }
    }
    assert_eq!(server.get(&format!("/live/studio-a/{ID}/360p/1.m4s")).await.status, 200);
}

#[tokio::test]
async fn a_disk_that_hangs_takes_so_many_readers_and_the_rest_goes_on() {
    let server = Server::start().await;
    let short = Duration::from_secs(6);
    let presentation = begin_with_memory(&server.store, "studio-a", ID, short, short);
    write_and_archive(&server.store, &presentation, 1..=20);
    // Who opens a pipe waits for a writer, as who reads from a disk that hangs waits for the disk.
    let hanging = file(&server, "360p", 1);
    std::fs::remove_file(&hanging).unwrap();
    nix::unistd::mkfifo(&hanging, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let mut viewer = server.connect().await;
        let request = head("GET", &format!("/live/studio-a/{ID}/360p/1.m4s"), &[]);
        viewer.write_all(&request).await.unwrap();
        viewers.push(viewer);
    }
    let on_disk = format!("/live/studio-a/{ID}/360p/2.m4s");
    let since = Stopwatch::start();
    let refused = loop {
        let answer = server.get(&on_disk).await;
        if answer.status == 503 {
            break answer;
        }
        assert!(since.elapsed() < DEADLINE, "reads are not bounded: {}", answer.status);
    };
    assert_eq!(refused.field("retry-after"), Some("2"));
    let since = Stopwatch::start();
    assert_eq!(server.get(&on_disk).await.status, 503);
    assert!(since.elapsed() < Duration::from_secs(3), "{:?} for a place that there is not", since.elapsed());
    let since = Stopwatch::start();
    assert_eq!(server.get("/live/studio-a/360p/20.m4s").await.status, 200);
    assert_eq!(server.get("/live/studio-a/manifest.mpd").await.status, 200);
    // Of what there never was, memory knows.
    let unknown = "20201121T031500.123Z";
    for path in ["live/studio-a", "replay/studio-a", "replay/studio-z"] {
        assert_eq!(server.get(&format!("/{path}/{unknown}/360p/1.m4s")).await.status, 404);
        assert_eq!(server.get(&format!("/{path}/{unknown}/360p/init.mp4")).await.status, 404);
    }
    assert_eq!(server.get(&format!("/replay/studio-a/{unknown}/manifest.mpd")).await.status, 404);
    assert!(since.elapsed() < Duration::from_secs(1), "memory was waited for: {:?}", since.elapsed());
    // Nobody waits for ever for the rest of what has begun.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, viewers.swap_remove(0).read_to_end(&mut rest)).await;
    ended.unwrap().unwrap();
    assert!(!rest.ends_with(&segment(0, 1)));
    // The disk answers again.
    drop(OpenOptions::new().write(true).open(&hanging).unwrap());
    let since = Stopwatch::start();
    while server.get(&on_disk).await.status != 200 {
        assert!(since.elapsed() < DEADLINE, "places are not given back");
    }
}
