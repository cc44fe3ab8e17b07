//! A disk that hangs, and what is read from a disk at all.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use appliance::config;
use nix::sys::stat::Mode;
use test_support::{Stopwatch, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::programme::{begin_with_memory, segment, write_and_archive};
use crate::server::{DEADLINE, Server, head, keep_all};

const ID: &str = "20261121T031500.123Z";
/// More than read at once.
const VIEWERS: usize = 80;

/// A file on a disk that hangs: who opens a pipe waits for its other end.
struct Hanging(PathBuf);

impl Hanging {
    fn at(path: PathBuf) -> Self {
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        Self(path)
    }

    fn answer(&self) {
        // Both ends at once, which waits for nobody (fifo(7)).
        drop(OpenOptions::new().read(true).write(true).open(&self.0));
    }
}

/// The runtime of a test that fails would wait for its readers.
impl Drop for Hanging {
    fn drop(&mut self) {
        self.answer();
    }
}

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
    // All before the window has to make room.
    let server = Server::keeping(config::Archive { max_bytes: Some(1), ..keep_all() }).await;
    let (window, memory) = (Duration::from_secs(20), Duration::from_secs(6));
    let presentation = begin_with_memory(&server.store, "studio-a", ID, window, memory);
    write_and_archive(&server.store, &presentation, 1..=20);
    // What is too much is looked for after each beginning.
    let _other = begin_with_memory(&server.store, "studio-b", ID, window, memory);
    let gone = |number| !file(&server, "audio", number).exists();
    wait_until(DEADLINE, "what is before the window to go", || gone(7).then_some(()));
    assert!(!gone(8), "the ten of the window, and three that were just in it");
    let hanging = Hanging::at(file(&server, "360p", 9));
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let mut viewer = server.connect().await;
        let request = head("GET", &format!("/live/studio-a/{ID}/360p/9.m4s"), &[]);
        viewer.write_all(&request).await.unwrap();
        viewers.push(viewer);
    }
    let on_disk = format!("/live/studio-a/{ID}/360p/10.m4s");
    let since = Stopwatch::start();
    let refused = loop {
        let answer = server.get(&on_disk).await;
        if answer.status == 503 {
            break answer;
        }
        assert!(since.elapsed() < DEADLINE, "reads are not bounded: {}", answer.status);
    };
    assert_eq!(refused.field("retry-after"), Some("2"));
    // The quickest of several, as other tests may keep the machine busy.
    let mut quickest = DEADLINE;
    for _ in 0..2 {
        let since = Stopwatch::start();
        assert_eq!(server.get(&on_disk).await.status, 503);
        quickest = quickest.min(since.elapsed());
    }
    assert!(quickest < Duration::from_secs(3), "{quickest:?} for a place that there is not");
    let mut quickest = DEADLINE;
    for _ in 0..5 {
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
        // And of what there is no longer, and not yet.
        for path in ["live", "replay"] {
            for number in [0, 1, 7, 22, 99] {
                let answer = server.get(&format!("/{path}/studio-a/{ID}/audio/{number}.m4s")).await;
                assert_eq!(answer.status, 404, "{path}, segment {number}");
            }
        }
        quickest = quickest.min(since.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "memory was waited for: {quickest:?}");
    // Nobody waits for ever for the rest of what has begun.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, viewers.swap_remove(0).read_to_end(&mut rest)).await;
    ended.unwrap().unwrap();
    assert!(!rest.ends_with(&segment(0, 9)));
    hanging.answer();
    let since = Stopwatch::start();
    while server.get(&on_disk).await.status != 200 {
        assert!(since.elapsed() < DEADLINE, "places are not given back");
    }
}
