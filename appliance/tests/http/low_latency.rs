//! The live edge: chunks as they are written, playlists that are held back until they have what was asked for.

use std::time::Duration;

use appliance::clock;
use appliance::store::{NewPresentation, NewTrack, Presentation, Store};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};
use packager::cmaf::Chunk;
use packager::window::WindowTrackKind;
use test_support::Stopwatch;
use test_support::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::programme::{self, metric, soon};
use crate::server::{Answer, DEADLINE, Server, head};

const ID: &str = "20261121T031500.000Z";
/// Two a segment of one second.
const CHUNK: Duration = Duration::from_millis(500);
const TRACKS: [&str; 2] = ["360p", "audio"];
/// Six target durations: as long as anybody asks for what is near the live edge.
const KEPT: &str = "public, max-age=6";

/// Time zero, in milliseconds since 1970.
const START: u64 = 1_795_230_900_000;

fn begin(store: &Store) -> Presentation {
    begin_at(store, START)
}

fn begin_at(store: &Store, availability_start_unix_millis: u64) -> Presentation {
    let track = |name: &str, kind| NewTrack {
        name: name.to_owned(),
        kind,
        codecs: "avc1.64001e".to_owned(),
        timescale: Timescale::VIDEO,
        init: Bytes::from(format!("init of {name}")),
        nominal_bit_rate: 1000,
    };
    let size = Size { width: 640, height: 360 };
    let new = NewPresentation {
        feed: "studio-a".to_owned(),
        title: "Low".to_owned(),
        id: ID.to_owned(),
        availability_start_unix_millis,
        cadence: Cadence::new(FrameRate::new(20, 1).unwrap(), 2 * CHUNK, CHUNK),
        window: Duration::from_secs(20),
        memory: Duration::from_secs(20),
        target_latency: Some(Duration::from_millis(1800)),
        resume: Vec::new(),
        tracks: vec![
            track(
                TRACKS[0],
                WindowTrackKind::Video { size, frame_rate: FrameRate::new(20, 1).unwrap(), captions: false },
            ),
            track(TRACKS[1], WindowTrackKind::Audio { sample_rate: 48_000, channels: 2 }),
        ],
    };
    store.begin(new).unwrap()
}

fn bytes_of(track: usize, number: u64, part: i64) -> Vec<u8> {
    format!("part {part} of segment {number} of {}; ", TRACKS[track]).into_bytes()
}

fn at(number: u64, part: i64) -> MediaTime {
    MediaTime::new((i64::try_from(number).unwrap() - 1) * 90_000 + part * 45_000, Timescale::VIDEO)
}

fn push(presentation: &Presentation, track: usize, number: u64, part: i64) {
    let payload = Bytes::from(bytes_of(track, number, part));
    let chunk = Chunk {
        bytes: u64::try_from(payload.len()).unwrap(),
        // As the packager has it: the boxes, and each sample by itself.
        parts: vec![payload.slice(..4), payload.slice(4..)],
        start: at(number, part),
        duration: MediaTime::new(45_000, Timescale::VIDEO),
        independent: part == 0,
    };
    presentation.push(track, SegmentNumber(number), chunk);
    if part == 1 {
        let duration = MediaTime::new(90_000, Timescale::VIDEO);
        presentation.complete(track, SegmentNumber(number), at(number, 0), duration);
    }
}

/// Both parts of both tracks, and their being listed.
fn write(presentation: &Presentation, number: u64) {
    for part in 0..2 {
        (0..2).for_each(|track| push(presentation, track, number, part));
    }
    soon("the segment to be listed", || {
        presentation.view().listed().is_some_and(|(_, last)| last.0 == number)
    });
}

fn path(file: &str) -> String {
    format!("/live/studio-a/{ID}/360p/{file}")
}

fn playlist(query: &str) -> String {
    format!("/live/studio-a/360p/index.m3u8{query}")
}

/// A request that is on its way, and waits once the server says so.
async fn waiting(server: &Server, path: &str, so_many: f64) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(&head("GET", path, &[])).await.unwrap();
    wait_for_places(server, so_many).await;
    stream
}

async fn wait_for_places(server: &Server, taken: f64) {
    let wait = async || (metric(&server.registry, "rungd_http_waiting_requests") == taken).then_some(());
    until(DEADLINE, &format!("{taken} to wait"), wait).await;
}

async fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    Answer::parse(&bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_answers_once_it_is_written_and_parts_are_the_segment() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    push(&presentation, 0, 2, 0);
    let here = server.get(&path("2.0.m4s")).await;
    assert_eq!((here.status, here.body.as_slice()), (200, bytes_of(0, 2, 0).as_slice()));
    assert_eq!(here.field("content-length"), Some(here.body.len().to_string().as_str()));
    assert_eq!(here.field("content-type"), Some("video/mp4"));
    assert_eq!(here.field("cache-control"), Some(KEPT));
    // The one that playlists hint at.
    let hinted = waiting(&server, &path("2.1.m4s"), 1.0).await;
    push(&presentation, 0, 2, 1);
    let hinted = answer(hinted).await;
    assert_eq!((hinted.status, hinted.body.as_slice()), (200, bytes_of(0, 2, 1).as_slice()));
    let next = waiting(&server, &path("3.0.m4s"), 1.0).await;
    push(&presentation, 0, 3, 0);
    assert_eq!(answer(next).await.body, bytes_of(0, 3, 0));
    push(&presentation, 1, 2, 0);
    push(&presentation, 1, 2, 1);
    let whole = server.get(&path("2.m4s")).await;
    assert_eq!(whole.body, [here.body, hinted.body].concat());
    let cut = server.request("GET", &path("2.1.m4s"), &[("Range", "bytes=2-5")]).await;
    assert_eq!((cut.status, cut.body.as_slice()), (206, &bytes_of(0, 2, 1)[2..6]));
    // What will not be, or not soon, is told at once: nobody is kept waiting, however busy other tests keep the machine.
    let mut quickest = DEADLINE;
    for _ in 0..5 {
        let since = Stopwatch::start();
        for none in ["1.2.m4s", "2.2.m4s", "3.2.m4s", "4.1.m4s", "5.0.m4s", "3.4294967295.m4s"] {
            assert_eq!(server.get(&path(none)).await.status, 404, "{none}");
        }
        assert_eq!(server.get(&format!("/replay/studio-a/{ID}/360p/9.0.m4s")).await.status, 404);
        quickest = quickest.min(since.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_comes_over_http2_before_the_next_one_is_there() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    let stream = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = Request::get(format!("http://test{}", path("2.m4s"))).body(Body::empty()).unwrap();
    let responding = tokio::spawn(sender.send_request(request));
    wait_for_places(&server, 1.0).await;
    push(&presentation, 0, 2, 0);
    let response = tokio::time::timeout(DEADLINE, responding).await.unwrap().unwrap().unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("content-length")), (200, None));
    let mut body = Body::new(response.into_body());
    let mut got = Vec::new();
    for part in 0..2 {
        let wanted: Vec<u8> = (0..=part).flat_map(|part| bytes_of(0, 2, part)).collect();
        while got.len() < wanted.len() {
            let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
            let frame = tokio::time::timeout(DEADLINE, frame).await.unwrap().unwrap().unwrap();
            got.extend_from_slice(frame.data_ref().unwrap());
        }
        assert_eq!(got, wanted);
        push(&presentation, 0, 2, 1);
    }
    driven.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_held_back_until_it_has_what_was_asked_for() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    push(&presentation, 0, 2, 0);
    let at_once = server.get(&playlist("")).await;
    assert!(at_once.text().contains("CAN-BLOCK-RELOAD=YES"), "{}", at_once.text());
    assert!(at_once.text().contains("360p/2.0.m4s\"") && at_once.text().contains("PRELOAD-HINT"));
    assert_eq!(at_once.field("cache-control"), Some("public, max-age=1"));
    for there in ["?_HLS_msn=1", "?_HLS_msn=2&_HLS_part=0", "?_HLS_msn=1&_HLS_part=2&other=7"] {
        let there = server.get(&playlist(there)).await;
        assert_eq!((there.status, there.text()), (200, at_once.text()));
        assert_eq!(there.field("cache-control"), Some("public, max-age=6"));
    }
    let part = waiting(&server, &playlist("?_HLS_msn=2&_HLS_part=1"), 1.0).await;
    let segment = waiting(&server, &playlist("?_HLS_msn=2"), 2.0).await;
    let next = waiting(&server, &playlist("?_HLS_msn=3&_HLS_part=0"), 3.0).await;
    // The other track's chunks are none of theirs.
    push(&presentation, 1, 2, 0);
    wait_for_places(&server, 3.0).await;
    push(&presentation, 0, 2, 1);
    push(&presentation, 1, 2, 1);
    assert!(answer(part).await.text().contains("360p/2.1.m4s\""));
    assert!(answer(segment).await.text().contains("360p/2.m4s\n"));
    wait_for_places(&server, 1.0).await;
    push(&presentation, 0, 3, 0);
    assert!(answer(next).await.text().contains("360p/3.0.m4s\""));
    // The end is news for all who wait.
    let ended = waiting(&server, &playlist("?_HLS_msn=4"), 1.0).await;
    presentation.end(1_795_230_910_000);
    assert!(answer(ended).await.text().contains("#EXT-X-ENDLIST"));
    let after = server.get(&playlist("?_HLS_msn=99&_HLS_part=3")).await;
    assert!(after.text().contains("#EXT-X-ENDLIST"), "{}", after.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_leaves_out_what_is_old() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    (1..=12).for_each(|number| write(&presentation, number));
    let whole = server.get(&playlist("")).await;
    assert!(whole.text().contains("CAN-SKIP-UNTIL=6") && whole.text().contains("/1.m4s"), "{}", whole.text());
    for skip in ["?_HLS_skip=YES", "?_HLS_msn=12&_HLS_skip=v2"] {
        let delta = server.get(&playlist(skip)).await;
        let text = delta.text();
        assert!(text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n") && !text.contains("/5.m4s"), "{text}");
        assert!(text.contains("/6.m4s"), "{text}");
    }
    assert_eq!(server.get(&playlist("?_HLS_skip=maybe")).await.text(), whole.text());
    assert_eq!(server.get(&playlist("")).await.text(), whole.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn directives_that_make_no_sense_are_told_at_once() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    let since = Stopwatch::start();
    let many = format!("?_HLS_msn=1{}", "&_HLS_msn=1".repeat(2000));
    for query in [
        "?_HLS_msn=4",
        "?_HLS_msn=2&_HLS_part=99",
        "?_HLS_msn=18446744073709551615",
        "?_HLS_msn=18446744073709551615&_HLS_part=4294967295",
        "?_HLS_msn=18446744073709551616",
        "?_HLS_msn=-1",
        "?_HLS_msn=+1",
        "?_HLS_msn=1.0",
        "?_HLS_msn=",
        "?_HLS_msn",
        "?_HLS_msn=%31",
        "?_HLS_msn=1&_HLS_msn=1",
        "?_HLS_part=0",
        "?_HLS_msn=2&_HLS_part=-0",
        "?_HLS_msn=2&_HLS_part=4294967296",
        "?_HLS_skip=YES&_HLS_skip=YES",
        &many,
    ] {
        let answer = server.get(&playlist(query)).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(
            answer.text().contains("_HLS_") || answer.text().contains("too far ahead"),
            "{}",
            answer.text()
        );
        assert!(answer.body.len() < 200);
    }
    assert_eq!(server.get("/live/studio-a/480p/index.m3u8?_HLS_msn=2").await.status, 404);
    for ignored in ["?", "?&&=&", "?_HLS_other=x", "?a=b&_hls_msn=x"] {
        assert_eq!(server.get(&playlist(ignored)).await.status, 200, "{ignored}");
    }
    // No other manifest has directives, and standard latency offers none.
    assert_eq!(server.get("/live/studio-a/manifest.mpd?_HLS_msn=x").await.status, 200);
    let standard = programme::begin(&server.store, "studio-b", ID, Duration::from_secs(20));
    programme::write(&standard, [1]);
    assert_eq!(server.get("/live/studio-b/360p/index.m3u8?_HLS_msn=99").await.status, 200);
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_in_time_is_503_and_no_viewer_waits_for_ever() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    let since = Stopwatch::start();
    let held = waiting(&server, &playlist("?_HLS_msn=2&_HLS_part=0"), 1.0).await;
    let part = waiting(&server, &path("2.0.m4s"), 2.0).await;
    let segment = waiting(&server, &path("2.m4s"), 3.0).await;
    let answers = tokio::join!(answer(held), answer(part), answer(segment));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")), "{}", answer.text());
    }
    // Three target durations of one second.
    let waited = since.elapsed();
    assert!(waited > Duration::from_millis(2900) && waited < Duration::from_secs(5), "{waited:?}");
    wait_for_places(&server, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_to_wait_in_are_bounded_and_free_when_a_viewer_goes() {
    let server = Server::with_places(3).await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    let ahead = playlist("?_HLS_msn=2&_HLS_part=0");
    let first = waiting(&server, &ahead, 1.0).await;
    let second = waiting(&server, &path("2.0.m4s"), 2.0).await;
    let third = waiting(&server, &path("2.m4s"), 3.0).await;
    let refused = server.get(&ahead).await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("2")));
    assert_eq!(metric(&server.registry, "rungd_http_waiting_refused_total"), 1.0);
    // Who need not wait is served all the same.
    assert_eq!(server.get(&path("1.m4s")).await.status, 200);
    assert_eq!(server.get(&playlist("")).await.status, 200);
    drop(first);
    wait_for_places(&server, 2.0).await;
    let fourth = waiting(&server, &ahead, 3.0).await;
    push(&presentation, 0, 2, 0);
    assert_eq!(answer(fourth).await.status, 200);
    assert_eq!(answer(second).await.body, bytes_of(0, 2, 0));
    wait_for_places(&server, 0.0).await;
    // A body that is being written takes no place, and ends with its viewer too.
    drop(third);
    soon("the request to be over", || metric(&server.registry, "rungd_http_in_flight") == 0.0);
    // A reset over HTTP/2 leaves the connection, not the place.
    let stream = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = Request::get(format!("http://test{}", path("2.1.m4s"))).body(Body::empty()).unwrap();
    let responding = tokio::spawn(sender.send_request(request));
    wait_for_places(&server, 1.0).await;
    responding.abort();
    wait_for_places(&server, 0.0).await;
    driven.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_can_begin_with_the_first_chunk_of_every_track() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    let mpd = waiting(&server, "/live/studio-a/manifest.mpd", 1.0).await;
    let index = waiting(&server, &playlist(""), 2.0).await;
    push(&presentation, 0, 1, 0);
    wait_for_places(&server, 2.0).await;
    push(&presentation, 1, 1, 0);
    let (mpd, index) = tokio::join!(answer(mpd), answer(index));
    for wanted in [
        "availabilityTimeOffset=\"0.5",
        "availabilityTimeComplete=\"false\"",
        "<ServiceDescription",
        "<Latency referenceId=\"0\" target=\"1800\"",
        "<ProducerReferenceTime",
        "duration=\"90000\"",
    ] {
        assert!(mpd.text().contains(wanted), "{wanted}: {}", mpd.text());
    }
    assert!(index.text().contains("360p/1.0.m4s\""), "{}", index.text());
}

/// The next daemon will have what is due: whoever waits for it is told so, and the stop waits for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_what_is_due_when_the_daemon_stops_is_to_come_again() {
    let server = Server::start().await;
    let presentation = begin_at(&server.store, clock::unix_millis() - 8_500);
    (1..=3).for_each(|number| write(&presentation, number));
    push(&presentation, 0, 4, 0);
    let playlist = waiting(&server, &playlist("?_HLS_msn=4"), 1.0).await;
    let part = waiting(&server, &path("4.1.m4s"), 2.0).await;
    let next = waiting(&server, &path("5.m4s"), 3.0).await;
    // By the clock the ninth is being written now, and the worker or the daemon was away.
    let due = waiting(&server, &path("8.m4s"), 4.0).await;
    let short = waiting(&server, "/live/studio-a/audio/8.m4s", 5.0).await;
    presentation.suspend();
    // The next daemon has its segment, and not it; 404 would be the end of hls.js.
    assert_eq!(server.get(&path("4.1.m4s")).await.status, 503);
    wait_for_places(&server, 4.0).await;
    let since = Stopwatch::start();
    server.store.shutdown(DEADLINE).await;
    for waited in [playlist, next, due, short] {
        let answer = answer(waited).await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")), "{}", answer.text());
        assert_eq!(answer.text(), "the appliance is stopping");
    }
    assert_eq!(server.get(&path("8.m4s")).await.status, 503);
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(answer(part).await.status, 503);
    // What was whole is there as ever, and what is not due is nothing.
    assert_eq!(server.get(&path("3.m4s")).await.status, 200);
    assert_eq!(server.get(&path("99.m4s")).await.status, 404);
}

/// What a feed was to send meanwhile is due, and will not come: the end was far behind the clock.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_when_a_programme_ended_is_nothing_and_no_fault() {
    let server = Server::start().await;
    let presentation = begin_at(&server.store, clock::unix_millis() - 30_500);
    (1..=3).for_each(|number| write(&presentation, number));
    presentation.end(START);
    for file in ["4.m4s", "20.m4s", "31.m4s"] {
        assert_eq!(server.get(&path(file)).await.status, 204, "{file}");
        assert_eq!(server.get(&format!("/live/studio-a/360p/{file}")).await.status, 204, "{file}");
    }
    assert_eq!(server.get(&path("60.m4s")).await.status, 404);
}

/// What of a segment is sent while it is written is no whole segment, and nobody can take it for one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_is_not_kept_for_a_whole_one() {
    let server = Server::start().await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    push(&presentation, 0, 2, 0);
    let old = head("GET", &path("2.m4s"), &[]);
    let old = String::from_utf8(old).unwrap().replace("HTTP/1.1", "HTTP/1.0").into_bytes();
    let mut streams = Vec::new();
    for request in [head("GET", &path("2.m4s"), &[]), old] {
        let mut stream = server.connect().await;
        stream.write_all(&request).await.unwrap();
        streams.push(stream);
    }
    let mut http2 = {
        let stream = TokioIo::new(server.connect().await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://test{}", path("2.m4s"))).body(Body::empty()).unwrap();
        Body::new(sender.send_request(request).await.unwrap().into_body())
    };
    soon("all to be read", || metric(&server.registry, "rungd_http_in_flight") == 3.0);
    // A worker died before any chunk was told of, or the daemon stops.
    assert!(presentation.restart(0, SegmentNumber(2)));
    let mut answers = Vec::new();
    for mut stream in streams {
        let mut bytes = Vec::new();
        // It may end with a reset.
        drop(tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap());
        answers.push(Answer::parse(&bytes));
    }
    let [chunked, closed] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(chunked.field("transfer-encoding"), Some("chunked"));
    assert!(!chunked.body.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&chunked.body));
    assert_eq!((chunked.field("cache-control"), chunked.field("etag")), (Some(KEPT), None));
    // Nothing but the end of the connection ends this one.
    assert_eq!((closed.field("transfer-encoding"), closed.field("content-length")), (None, None));
    assert_eq!((closed.field("cache-control"), closed.field("etag")), (Some("no-store"), None));
    loop {
        let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut http2).poll_frame(context));
        match tokio::time::timeout(DEADLINE, frame).await.unwrap() {
            Some(Ok(_)) => {}
            // The stream is reset.
            Some(Err(_)) => break,
            None => panic!("it ended as a whole one"),
        }
    }
    // Made anew, and as long as the archive does not have all of it: not for ever.
    (0..2).for_each(|part| push(&presentation, 0, 2, part));
    let whole = server.get(&path("2.m4s")).await;
    assert_eq!(whole.body, [bytes_of(0, 2, 0), bytes_of(0, 2, 1)].concat());
    assert_eq!(whole.field("cache-control"), Some(KEPT));
    (0..2).for_each(|part| push(&presentation, 1, 2, part));
    soon("the segment to be kept", || !presentation.view().is_fleeting(SegmentNumber(2)));
    let kept = server.get(&path("2.m4s")).await;
    assert_eq!(kept.field("cache-control"), Some("public, max-age=31536000, immutable"));
    // The next one made anew could be as long.
    assert_eq!(whole.field("etag"), None);
    assert!(kept.field("etag").is_some());
}

/// A daemon died while segment 3 was written, of which playlists had the first part. Caches still have that.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_part_that_is_lost_never_stands_for_another() {
    let (server, left) = (Server::start().await, tempfile::tempdir().unwrap());
    // In time to come: what is due by the clock is not beyond what was written.
    let presentation = begin_at(&server.store, clock::unix_millis() + 3_600_000);
    (1..=2).for_each(|number| write(&presentation, number));
    (0..2).for_each(|track| push(&presentation, track, 3, 0));
    assert!(server.get(&playlist("")).await.text().contains("360p/3.0.m4s\""));
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([server.folder.path().join("."), left.path().to_owned()])
        .status();
    assert!(copied.unwrap().success());
    let next = Server::on(left).await;
    let lost = async |number: u64| {
        for part in 0..3 {
            let answer = next.get(&path(&format!("{number}.{part}.m4s"))).await;
            assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")), "{number}.{part}");
        }
    };
    lost(2).await;
    lost(3).await;
    let asked = waiting(&next, &playlist("?_HLS_msn=3&_HLS_part=1"), 1.0).await;
    let interrupted = next.store.interrupted("studio-a").unwrap();
    assert_eq!(interrupted.next_segment, SegmentNumber(3));
    let resumed = next.store.resume(interrupted).unwrap();
    push(&resumed, 0, 3, 0);
    lost(3).await;
    let open = next.get(&playlist("")).await;
    assert!(open.text().contains("360p/2.m4s\n"), "{}", open.text());
    for none in ["#EXT-X-PART:", "PRELOAD-HINT", "360p/3"] {
        assert!(!open.text().contains(none), "{none}: {}", open.text());
    }
    soon("what was answered to be counted so", || metric(&next.registry, "rungd_http_in_flight") == 1.0);
    // Who knows the segment by the MPD's rule has it as it is written.
    let mut written = next.connect().await;
    written.write_all(&head("GET", &path("3.m4s"), &[])).await.unwrap();
    soon("it to be read", || metric(&next.registry, "rungd_http_in_flight") == 2.0);
    push(&resumed, 0, 3, 1);
    assert!(answer(written).await.body.ends_with(b"0\r\n\r\n"));
    (0..2).for_each(|part| push(&resumed, 1, 3, part));
    let asked = answer(asked).await;
    assert!(asked.text().contains("360p/3.m4s\n"), "{}", asked.text());
    assert!(!asked.text().contains("#EXT-X-PART:"), "{}", asked.text());
    assert!(asked.text().contains("PRELOAD-HINT:TYPE=PART,URI=\"../20261121T031500.000Z/360p/4.0.m4s\""));
    lost(3).await;
    // From then on all is as ever.
    push(&resumed, 0, 4, 0);
    assert_eq!(next.get(&path("4.0.m4s")).await.body, bytes_of(0, 4, 0));
    assert!(next.get(&playlist("?_HLS_msn=4&_HLS_part=0")).await.text().contains("360p/4.0.m4s\""));
    let view = resumed.view().clone();
    resumed.end(1_795_230_910_000);
    soon("the end", || !view.is_live());
    assert_eq!(next.get(&path("3.0.m4s")).await.status, 404, "nothing comes any more");
}

/// Until they read the MPD again, players go on asking by its rule.
#[tokio::test(flavor = "multi_thread")]
async fn segments_just_past_the_end_are_nothing_and_no_fault() {
    let server = Server::start().await;
    let presentation = begin_at(&server.store, clock::unix_millis() - 3_000);
    (1..=3).for_each(|number| write(&presentation, number));
    let asked = waiting(&server, &path("4.m4s"), 1.0).await;
    presentation.end(1_795_230_910_000);
    let asked = answer(asked).await;
    assert_eq!((asked.status, asked.body.len()), (204, 0));
    let statuses =
        [("3.m4s", 200), ("4.m4s", 204), ("6.m4s", 204), ("40.m4s", 404), ("4.0.m4s", 404), ("1.m4s", 200)];
    for (file, status) in statuses {
        assert_eq!(server.get(&path(file)).await.status, status, "{file}");
    }
    let view = server.store.live("studio-a").unwrap();
    soon("the archive to have all", || view.is_settled());
    let mpd = server.get("/live/studio-a/manifest.mpd").await;
    for wanted in ["type=\"static\"", "mediaPresentationDuration=\"PT3S\"", "duration=\"90000\""] {
        assert!(mpd.text().contains(wanted), "{wanted}: {}", mpd.text());
    }
    assert!(!mpd.text().contains("SegmentTimeline"), "who watches it end has had a rule");
}

/// Thousands wait for one chunk: it is written once, and all have it soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_waits_for_one_chunk() {
    const CROWD: u16 = 2000;
    const SOON: Duration = Duration::from_secs(2);
    let server = Server::with_places(usize::from(CROWD)).await;
    let presentation = begin(&server.store);
    write(&presentation, 1);
    let mut connections = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..CROWD / 50 {
        let stream = TokioIo::new(server.connect().await);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        connections.push(tokio::spawn(connection));
        senders.push(sender);
    }
    let mut crowd = Vec::new();
    for sender in &mut senders {
        for _ in 0..50 {
            let asked = playlist("?_HLS_msn=2&_HLS_part=0");
            let request = Request::get(format!("http://test{asked}")).body(Body::empty()).unwrap();
            let response = sender.send_request(request);
            crowd.push(tokio::spawn(async move { response.await.unwrap().status().as_u16() }));
        }
    }
    wait_for_places(&server, CROWD.into()).await;
    let since = Stopwatch::start();
    push(&presentation, 0, 2, 0);
    for one in crowd {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    connections.iter().for_each(tokio::task::JoinHandle::abort);
}
