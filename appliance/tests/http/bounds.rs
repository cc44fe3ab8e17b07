use std::time::Duration;

use appliance::serve::Limits;
use bytes::Bytes;
use media::{MediaTime, SegmentNumber};
use packager::cmaf::Chunk;
use test_support::wait::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::programme::{begin, complete, metric, push, write};
use crate::server::{DEADLINE, Server, head};

const ID: &str = "20261121T031500.000Z";

fn short() -> Limits {
    let soon = Duration::from_millis(300);
    Limits { max_connections: 100, head_timeout: soon, stall_timeout: soon, drain_timeout: soon }
}

#[tokio::test]
async fn slow_and_silent_connections_are_closed() {
    let server = Server::with(short(), None).await;
    for bytes in ["", "PRI * HT", "GET /time HTTP/1.1\r\nHost:"] {
        let mut stream = server.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{bytes:?} is not closed");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bytes:?}");
    }
    // A connection that is kept alive and not used, too.
    let mut stream = server.connect().await;
    stream.write_all(b"GET /time HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is closed").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_stops_reading_is_closed_and_holds_nothing() {
    let server = Server::with(short(), None).await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(4));
    // Far more than the socket's buffers take.
    let part = Bytes::from(vec![7; 1 << 20]);
    let chunk = Chunk {
        parts: vec![part; 64],
        start: MediaTime::ZERO,
        duration: MediaTime::from_millis(2000),
        independent: true,
        bytes: 64 << 20,
    };
    presentation.push(0, SegmentNumber(1), chunk);
    complete(&presentation, 0, 1);
    push(&presentation, 1, 1, 0);
    complete(&presentation, 1, 1);
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", &format!("/live/studio-a/{ID}/360p/1.m4s"), &[])).await.unwrap();
    let stalled = || (metric(&server.registry, "rungd_http_connections_stalled_total") >= 1.0).then_some(());
    let waited = tokio::task::block_in_place(|| poll(DEADLINE, stalled));
    assert!(waited.is_some(), "it is closed");
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() < 64 << 20);
    // Out of the window, its bytes go, whoever is still reading.
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", &format!("/live/studio-a/{ID}/360p/1.m4s"), &[])).await.unwrap();
    stream.read_exact(&mut [0; 16]).await.unwrap();
    write(&presentation, 2..=20);
    assert!(server.store.live("studio-a").unwrap().memory_bytes() < 10_000);
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = Server::with(Limits { max_connections: 2, ..Limits::new(2) }, None).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /time HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    let mut refused = server.connect().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, refused.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(metric(&server.registry, "rungd_http_connections_refused_total"), 1.0);
    held.pop();
    let free = || metric(&server.registry, "rungd_http_connections") < 2.0;
    while !free() {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.get("/time").await.status, 200);
}

#[tokio::test]
async fn odd_requests_end_with_4xx() {
    let server = Server::start().await;
    let many = "X-Field: a\r\n".repeat(200);
    let long = format!("X-Field: {}\r\n", "a".repeat(300_000));
    for (request, statuses) in [
        ("GET\r\n\r\n".to_owned(), &[400][..]),
        ("GET /time HTTP/9.9\r\n\r\n".to_owned(), &[400, 505]),
        ("GET /live/a\0b/manifest.mpd HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), &[400]),
        (format!("GET /time HTTP/1.1\r\nHost: a\r\n{many}\r\n"), &[431]),
        (format!("GET /time HTTP/1.1\r\nHost: a\r\n{long}\r\n"), &[431]),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)), &[414, 431]),
    ] {
        let mut stream = server.connect().await;
        // It may be answered, and closed, before all of it is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
        let status: u16 = String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or("0").parse().unwrap();
        assert!(statuses.contains(&status), "{status} for {:?}", &request[..request.len().min(60)]);
    }
}

#[tokio::test]
async fn stopping_lets_a_request_finish() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(20));
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", &format!("/live/studio-a/{ID}/360p/1.m4s"), &[])).await.unwrap();
    push(&presentation, 0, 1, 0);
    let mut bytes = Vec::new();
    while !bytes.windows(10).any(|ten| ten == b"first half") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    server.stop.send_replace(true);
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    push(&presentation, 0, 1, 1);
    complete(&presentation, 0, 1);
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.ends_with(b"\r\n0\r\n\r\n"));
    tokio::time::timeout(DEADLINE, server.running).await.unwrap().unwrap();
}
