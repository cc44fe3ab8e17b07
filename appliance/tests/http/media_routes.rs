use std::time::Duration;

use test_support::{Stopwatch, wait::poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::programme::{begin, complete, folder_in_memory, push, segment, soon, write, write_and_archive};
use crate::server::{DEADLINE, Server, head};

const ID: &str = "20261121T031500.000Z";

#[tokio::test]
async fn manifests_point_at_segments_that_answer() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(20));
    write(&presentation, 1..=3);

    let mpd = server.get("/live/studio-a/manifest.mpd").await;
    assert_eq!(mpd.status, 200, "{mpd:?}");
    assert_eq!(mpd.field("content-type"), Some("application/dash+xml"));
    assert_eq!(mpd.field("cache-control"), Some("public, max-age=1"));
    assert_eq!(mpd.field("access-control-allow-origin"), Some("*"));
    assert_eq!(mpd.field("x-content-type-options"), Some("nosniff"));
    assert!(mpd.text().contains(ID) && mpd.text().contains("type=\"dynamic\""), "{}", mpd.text());
    let etag = mpd.field("etag").unwrap().to_owned();
    let again = server.request("GET", "/live/studio-a/manifest.mpd", &[("If-None-Match", &etag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));

    let master = server.get("/live/studio-a/master.m3u8").await;
    assert_eq!(master.field("content-type"), Some("application/vnd.apple.mpegurl"));
    assert!(master.text().contains("360p/index.m3u8"), "{}", master.text());
    let playlist = server.get("/live/studio-a/360p/index.m3u8").await;
    assert!(playlist.text().contains(&format!("../{ID}/360p/3.m4s")), "{}", playlist.text());
    assert_eq!(server.get("/live/studio-a/480p/index.m3u8").await.status, 404);

    let (view, version) = (presentation.view(), presentation.view().version());
    write(&presentation, [4]);
    soon("viewers to be told", || view.version() > version);
    let newer = server.request("GET", "/live/studio-a/manifest.mpd", &[("If-None-Match", &etag)]).await;
    assert_eq!(newer.status, 200);
    assert!(server.get("/live/studio-a/360p/index.m3u8").await.text().contains("360p/4.m4s"));

    for (path, immutable) in
        [(format!("/live/studio-a/{ID}/360p"), true), ("/live/studio-a/360p".to_owned(), false)]
    {
        let answer = server.get(&format!("{path}/3.m4s")).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, segment(0, 3).as_slice()));
        assert_eq!(answer.field("content-length"), Some(segment(0, 3).len().to_string().as_str()));
        assert_eq!(answer.field("content-type"), Some("video/mp4"));
        assert_eq!(answer.field("cache-control").unwrap().contains("immutable"), immutable);
        let init = server.get(&format!("{path}/init.mp4")).await;
        assert_eq!((init.status, init.text()), (200, "init of 360p"));
    }
    assert_eq!(server.get("/live/studio-a/audio/1.m4s").await.field("content-type"), Some("audio/mp4"));
    let head = server.request("HEAD", "/live/studio-a/360p/3.m4s", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), Some(segment(0, 3).len().to_string().as_str()));
}

#[tokio::test]
async fn the_first_manifest_is_waited_for() {
    let server = Server::start().await;
    assert_eq!(server.get("/live/studio-a/manifest.mpd").await.status, 404);
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(20));
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", "/live/studio-a/manifest.mpd", &[])).await.unwrap();
    write(&presentation, [1]);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn the_segment_being_written_is_sent_as_it_comes() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(20));
    write(&presentation, [1]);
    let mut stream = server.connect().await;
    stream
        .write_all(&head("GET", &format!("/live/studio-a/{ID}/360p/2.m4s"), &[("Range", "bytes=0-3")]))
        .await
        .unwrap();
    push(&presentation, 0, 2, 0);
    let mut bytes = Vec::new();
    while !bytes.windows(10).any(|ten| ten == b"first half") {
        assert_ne!(tokio::time::timeout(DEADLINE, stream.read_buf(&mut bytes)).await.unwrap().unwrap(), 0);
    }
    let begun = String::from_utf8(bytes.clone()).unwrap().to_ascii_lowercase();
    assert!(begun.starts_with("http/1.1 200") && begun.contains("transfer-encoding: chunked"), "{begun}");
    assert!(!begun.contains("second half"));
    push(&presentation, 0, 2, 1);
    complete(&presentation, 0, 2);
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.ends_with(b"\r\n0\r\n\r\n"), "the last chunk says that it is all");
    // One that ends unfinished is cut off, so that no cache keeps it.
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", &format!("/live/studio-a/{ID}/360p/3.m4s"), &[])).await.unwrap();
    push(&presentation, 0, 3, 0);
    let mut bytes = Vec::new();
    while !bytes.windows(10).any(|ten| ten == b"first half") {
        assert_ne!(tokio::time::timeout(DEADLINE, stream.read_buf(&mut bytes)).await.unwrap().unwrap(), 0);
    }
    presentation.end(1_795_230_910_000);
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(!bytes.ends_with(b"\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn ranges_are_cut_from_memory_and_from_disk() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(2));
    write_and_archive(&server.store, &presentation, 1..=10);
    presentation.end(1_795_230_920_000);
    let view = server.store.live("studio-a").unwrap();
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    for number in [1, 10] {
        let whole = segment(0, number);
        let length = whole.len();
        let path = format!("/live/studio-a/{ID}/360p/{number}.m4s");
        for (range, wanted) in [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=10-39".to_owned(), 10..40),
            ("bytes=-5".to_owned(), length - 5..length),
            (format!("bytes={}-", length - 1), length - 1..length),
            ("bytes=3-999999".to_owned(), 3..length),
        ] {
            let part = server.request("GET", &path, &[("Range", &range)]).await;
            assert_eq!((part.status, part.body.as_slice()), (206, &whole[wanted.clone()]), "{range}");
            let content_range = format!("bytes {}-{}/{length}", wanted.start, wanted.end - 1);
            assert_eq!(part.field("content-range"), Some(content_range.as_str()));
        }
        let beyond = server.request("GET", &path, &[("Range", "bytes=100000-")]).await;
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.field("content-range"), Some(format!("bytes */{length}").as_str()));
        for whole_anyway in ["bytes=0-1,4-5", "lines=1-2", "bytes=9-1"] {
            let answer = server.request("GET", &path, &[("Range", whole_anyway)]).await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, whole.as_slice()), "{whole_anyway}");
        }
    }
}

#[tokio::test]
async fn a_recording_plays_while_it_grows_and_after() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(4));
    write_and_archive(&server.store, &presentation, 1..=10);
    let replay = format!("/replay/studio-a/{ID}");
    let live_playlist = server.get("/live/studio-a/audio/index.m3u8").await;
    let growing = server.get(&format!("{replay}/manifest.mpd")).await;
    assert!(growing.text().contains("type=\"dynamic\""), "{}", growing.text());
    assert!(!growing.field("cache-control").unwrap().contains("immutable"));
    presentation.end(1_795_230_920_000);
    let view = server.store.live("studio-a").unwrap();
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    for path in [format!("{replay}/manifest.mpd"), "/live/studio-a/manifest.mpd".to_owned()] {
        let mpd = server.get(&path).await;
        assert!(mpd.text().contains("type=\"static\""), "{}", mpd.text());
        assert_eq!(mpd.field("cache-control").unwrap().contains("immutable"), path.starts_with("/replay"));
    }
    // Nothing but the end is new where the programme was live (RFC 8216, 6.2.1): no older segments, no type.
    let ended = server.get("/live/studio-a/audio/index.m3u8").await;
    assert_eq!(ended.text(), format!("{}#EXT-X-ENDLIST\n", live_playlist.text()));
    assert!(ended.text().contains("#EXT-X-MEDIA-SEQUENCE:9\n"), "{}", ended.text());
    let playlist = server.get(&format!("{replay}/audio/index.m3u8")).await;
    assert!(
        playlist.text().contains("#EXT-X-ENDLIST") && playlist.text().contains("/1.m4s"),
        "{}",
        playlist.text()
    );
    let answer = server.get(&format!("{replay}/audio/1.m4s")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, segment(1, 1).as_slice()));
    let etag = answer.field("etag").unwrap();
    assert_eq!(
        server.request("GET", &format!("{replay}/audio/1.m4s"), &[("If-None-Match", etag)]).await.status,
        304
    );
    assert_eq!(server.get(&format!("{replay}/audio/init.mp4")).await.text(), "init of audio");
    assert_eq!(server.get(&format!("{replay}/audio/11.m4s")).await.status, 404);
    assert_eq!(server.get(&format!("{replay}/480p/1.m4s")).await.status, 404);
}

/// The archive could not be used before: what had left memory by then is nowhere.
#[tokio::test]
async fn a_recording_that_begins_late_says_with_which_segment() {
    let folder = folder_in_memory();
    // A folder where a file is to be, for root too.
    let obstacle = folder.path().join("catalogue.lock");
    std::fs::create_dir(&obstacle).unwrap();
    let server = Server::on(folder).await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(4));
    write(&presentation, 1..=9);
    let replay = format!("/replay/studio-a/{ID}");
    assert_eq!(server.get(&format!("{replay}/manifest.mpd")).await.status, 503);
    std::fs::remove_dir(&obstacle).unwrap();
    let view = presentation.view().clone();
    let kept = || (view.is_archived() && view.waiting_for_archive() == 0).then_some(());
    assert!(poll(DEADLINE, kept).is_some());
    write(&presentation, [10]);
    soon("the archive to have all", || view.waiting_for_archive() == 0);

    // Two are listed at the live edge, and three of grace were in memory.
    let mpd = server.get(&format!("{replay}/manifest.mpd")).await;
    let times = "<S t=\"720000\" d=\"180000\" r=\"5\"/>";
    for expected in ["type=\"dynamic\"", "startNumber=\"5\"", times] {
        assert!(mpd.text().contains(expected), "{expected}: {}", mpd.text());
    }
    let live = server.get("/live/studio-a/audio/index.m3u8").await;
    assert!(live.text().contains("#EXT-X-MEDIA-SEQUENCE:9\n"), "{}", live.text());
    presentation.end(1_795_230_920_000);
    assert!(poll(DEADLINE, || view.is_settled().then_some(())).is_some());
    let mpd = server.get(&format!("{replay}/manifest.mpd")).await;
    for expected in ["type=\"static\"", "startNumber=\"5\"", "presentationTimeOffset=\"720000\"", "PT12S"] {
        assert!(mpd.text().contains(expected), "{expected}: {}", mpd.text());
    }
    let playlist = server.get(&format!("{replay}/audio/index.m3u8")).await;
    for expected in ["#EXT-X-MEDIA-SEQUENCE:5\n", "/10.m4s", "#EXT-X-ENDLIST"] {
        assert!(playlist.text().contains(expected), "{expected}: {}", playlist.text());
    }
    let ended = server.get("/live/studio-a/audio/index.m3u8").await;
    assert_eq!(ended.text(), format!("{}#EXT-X-ENDLIST\n", live.text()));
    assert_eq!(server.get(&format!("{replay}/audio/5.m4s")).await.body, segment(1, 5));
    assert_eq!(server.get(&format!("{replay}/audio/4.m4s")).await.status, 404);
}

#[tokio::test]
async fn odd_paths_get_404_at_once() {
    let server = Server::start().await;
    std::fs::write(server.folder.path().join("secret"), b"secret").unwrap();
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(4));
    write(&presentation, 1..=10);
    let long = "a".repeat(4000);
    for path in [
        "/live/studio-a/360p/1.m4s",
        "/live/studio-a/360p/12.m4s",
        "/live/studio-a/360p/0.m4s",
        "/live/studio-a/360p/011.m4s",
        "/live/studio-a/360p/18446744073709551615.m4s",
        "/live/studio-a/360p/18446744073709551616.m4s",
        "/live/studio-a/360p/99999999999999999999999999.m4s",
        "/live/studio-a/360p/-1.m4s",
        "/live/studio-a/360p/1.m4s%00",
        "/live/studio-a/360p/1.m4s/",
        "/live/studio-a//1.m4s",
        "/live/../secret",
        "/live/studio-a/../../secret",
        "/live/%2e%2e/%2e%2e/secret",
        "/live/studio-a/%2e%2e%2f%2e%2e%2fsecret/init.mp4",
        "/replay/studio-a/../secret",
        "/replay/studio-a/..%2f..%2fsecret/manifest.mpd",
        "/replay/studio-a/20000101T000000.000Z/manifest.mpd",
        "/replay/../../secret",
        "/assets/../secret",
        "/assets/..%2f..%2fsecret",
        "/assets/",
        "/live/",
        "/live",
        "/nothing",
        &format!("/live/{long}/manifest.mpd"),
        &format!("/live/studio-a/{long}/1.m4s"),
    ] {
        // At once: of five times, a busy machine is not the cause of all.
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let since = Stopwatch::start();
            let answer = server.get(path).await;
            quickest = quickest.min(since.elapsed());
            assert_eq!(answer.status, 404, "{path}");
            assert!(
                !answer.text().contains("secret") && answer.body.len() < 200,
                "{path}: {}",
                answer.text()
            );
        }
        assert!(quickest < Duration::from_secs(1), "{path} took {quickest:?}");
    }
}

#[tokio::test]
async fn other_sites_may_play_and_nothing_else_is_taken() {
    let server = Server::start().await;
    let preflight = [("Origin", "http://tv.example"), ("Access-Control-Request-Method", "GET")];
    let answer = server.request("OPTIONS", "/live/studio-a/manifest.mpd", &preflight).await;
    assert_eq!(answer.status, 204);
    assert!(answer.field("access-control-allow-headers").unwrap().contains("Range"));
    assert!(answer.field("access-control-allow-methods").unwrap().contains("HEAD"));
    let exposed = server.get("/live/studio-a/manifest.mpd").await;
    assert!(exposed.field("access-control-expose-headers").unwrap().contains("Date"));
    assert!(server.get("/api/v1/feeds").await.field("access-control-allow-origin").is_none());
    for path in ["/live/studio-a/manifest.mpd", "/api/v1/feeds", "/", "/time", "/metrics"] {
        let post = server.request("POST", path, &[("Content-Length", "0")]).await;
        assert_eq!(post.status, 405, "{path}");
        assert!(post.field("allow").unwrap().contains("GET"), "{path}");
    }
}
