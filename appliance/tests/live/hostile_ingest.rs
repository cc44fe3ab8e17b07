//! What is not RTMP, or half of it, is closed by its deadline, and a feed on air does not notice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use test_support::raw_rtmp::RawRtmp;
use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Stopwatch, wait_until};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Deadline and what a busy machine may add.
const CLOSED_WITHIN: Duration = Duration::from_secs(8);

/// Sends `bytes` and waits for the other side to close. Gives how long that took.
fn until_closed(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    let since = Stopwatch::start();
    stream.set_read_timeout(Some(CLOSED_WITHIN)).unwrap();
    // A server that closes early may reset while this is being sent.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4096];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("{address} did not close within {CLOSED_WITHIN:?} after {} bytes", bytes.len())
            }
            Err(_) => break,
        }
    }
    since.elapsed()
}

#[test]
fn strangers_are_closed_and_a_feed_on_air_goes_on() {
    let mut rungd = Setup::one_feed("studio-a")
        .ingest("handshake_timeout = \"2s\"")
        .ingest("publish_timeout = \"2s\"")
        .ingest("idle_timeout = \"3s\"")
        .start();
    let mut publisher = Ffmpeg::new().publish(&rungd.rtmps_url("studio-a"), rungd.folder());
    let before = rungd.wait_for_segments("studio-a", 1);

    let mut c0c1 = vec![3];
    c0c1.extend_from_slice(&[0; 1536]);
    let mut half = c0c1.clone();
    half.truncate(700);
    let garbage: Vec<u8> = (0..5000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let cases: [(&str, SocketAddr, &[u8]); 8] = [
        ("nothing, to RTMP", rungd.rtmp, b""),
        ("nothing, to RTMPS", rungd.rtmps, b""),
        ("garbage instead of TLS", rungd.rtmps, &garbage),
        ("plain RTMP on the RTMPS port", rungd.rtmps, &c0c1),
        ("HTTP on the RTMP port", rungd.rtmp, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a TLS record header alone", rungd.rtmps, &[0x16, 3, 1, 0x40, 0]),
        ("half a handshake", rungd.rtmp, &half),
        ("a handshake without its end", rungd.rtmp, &c0c1),
    ];
    std::thread::scope(|scope| {
        for (what, address, bytes) in &cases {
            scope.spawn(move || {
                let took = until_closed(*address, bytes);
                assert!(took < HANDSHAKE_TIMEOUT + Duration::from_secs(4), "{what}: closed after {took:?}");
            });
        }
    });

    let after = rungd.wait_for_segments("studio-a", before.fewest_segments() + 3);
    assert_eq!(before.availability_start, after.availability_start);
    crate::output::check(&rungd, &after);
    assert!(publisher.is_running(), "{}", publisher.log());
}

#[test]
fn bytes_that_come_slowly_do_not_stretch_the_deadline() {
    let rungd = Setup::one_feed("studio-a").ingest("handshake_timeout = \"2s\"").start();
    let mut stream = TcpStream::connect(rungd.rtmp).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.write_all(&[3]).unwrap();
    // A byte about every 100 ms: always progress, never a handshake.
    wait_until(CLOSED_WITHIN, "the slow connection to be closed", || match stream.read(&mut [0; 64]) {
        Ok(0) => Some(()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            stream.write_all(&[0]).is_err().then_some(())
        }
        Ok(_) => None,
        Err(_) => Some(()),
    });
}

/// Says `more` for ever, if there is something to say, and gives how long it was let since before it came.
fn until_given_up(come: impl FnOnce() -> RawRtmp, more: &[u8]) -> Duration {
    let since = Stopwatch::start();
    let mut client = come();
    let stream = client.stream();
    stream.set_write_timeout(Some(CLOSED_WITHIN)).unwrap();
    // Without a pause, so that there is always something to be read.
    while !more.is_empty() && stream.write_all(more).is_ok() {
        assert!(since.elapsed() < CLOSED_WITHIN, "who talks for ever is heard for ever");
    }
    if more.is_empty() {
        let _ = client.commands_to_the_end();
    }
    since.elapsed()
}

/// Who never comes to the point is closed at a deadline, whether it is silent or has always something to say.
#[test]
fn past_the_handshake_there_are_deadlines_too() {
    let rungd = Setup::one_feed("studio-a")
        .ingest("publish_timeout = \"2s\"")
        .ingest("idle_timeout = \"2s\"")
        .start();
    // Type 0 header, chunk stream 2, length 4, type 3: Acknowledgement.
    let acknowledgement = [2, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 1];
    let many: Vec<u8> = acknowledgement.repeat(2000);
    let connected = || {
        let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
        client.call_connect("live", &[]).unwrap();
        let _ = client.commands_until("NetConnection.Connect.Success");
        client
    };
    let published = || {
        let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
        client.publish("live", &test_support::rungd::stream_key("studio-a")).unwrap();
        let _ = client.commands_until("NetStream.Publish.Start");
        client
    };
    let in_time = |what: &str, took: Duration| {
        let bounds = Duration::from_millis(1500)..Duration::from_secs(6);
        assert!(bounds.contains(&took), "{what}: closed after {took:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| in_time("connected, then silent", until_given_up(connected, &[])));
        scope.spawn(|| in_time("connected, and talks for ever", until_given_up(connected, &many)));
        scope.spawn(|| {
            in_time("never connected, and silent", {
                until_given_up(|| RawRtmp::connect(rungd.rtmp).unwrap(), &[])
            })
        });
        scope.spawn(|| in_time("published, then silent", until_given_up(published, &[])));
    });
    in_time("published, and says everything but media for ever", until_given_up(published, &many));
    wait_until(CLOSED_WITHIN, "five deadlines to be counted", || {
        let ended = rungd.metric("rungd_ingest_ends_total", &["reason=\"deadline\""])?;
        (ended > 4.5).then_some(())
    });
    // It is counted first, and told then.
    wait_until(CLOSED_WITHIN, "each deadline to be told", || {
        let log = rungd.log();
        let told = |sentence: &str| log.matches(sentence).count();
        ((told("no publish within 2s"), told("no media within 2s")) == (3, 2)).then_some(())
    });
}

/// A crowd that sends garbage is counted one by one, and told of in a few lines.
#[test]
fn garbage_from_many_makes_few_lines() {
    const KNOCKS: u32 = 30;
    let rungd = Setup::one_feed("studio-a").start();
    for address in [rungd.rtmp, rungd.rtmps] {
        for _ in 0..KNOCKS {
            let _ = until_closed(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
    }
    for reason in ["protocol", "tls"] {
        let label = format!("reason=\"{reason}\"");
        let ended = || rungd.metric("rungd_ingest_ends_total", &[&label]).unwrap_or(0.0);
        wait_until(CLOSED_WITHIN, reason, || (ended() > f64::from(KNOCKS) - 0.5).then_some(()));
    }
    // Ten of each kind in a minute; a minute may end between.
    let log = rungd.log();
    let told = log.lines().filter(|line| line.contains("connection closed")).count();
    assert!((20..=40).contains(&told), "{told} lines:\n{log}");
    assert_eq!(
        log.lines().filter(|line| line.contains("peer=") && !line.contains("session=")).count(),
        0,
        "{log}"
    );
}

fn until_logged(rungd: &Rungd, text: &str) {
    wait_until(CLOSED_WITHIN, text, || rungd.log().contains(text).then_some(()));
}

/// Past the handshake, bytes that break a rule end the session; the log says where and which.
#[test]
fn broken_bytes_end_their_session_alone() {
    let mut rungd = Setup::one_feed("studio-a").feed(FeedSetup::new("studio-b")).start();
    let mut publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio-a"), rungd.folder());
    let before = rungd.wait_for_segments("studio-a", 1);
    // Type 0 header, chunk stream 2, length 4, type 1: Set Chunk Size.
    let set_chunk_size = |size: u32| {
        let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("chunk size 0", set_chunk_size(0), "chunk size 0 is outside 1 to 16777215"),
        (
            "chunk size with its first bit set",
            set_chunk_size(0x8000_0000),
            "chunk size 2147483648 is outside 1 to 16777215",
        ),
        // Type 0 header, chunk stream 4, video, length 16 777 215.
        (
            "a message of 16 MB",
            vec![4, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0],
            "message of type 9 and 16777215 bytes is over the bound of 65536",
        ),
        // Type 3 on a chunk stream that never had a header.
        (
            "a chunk stream out of nothing",
            vec![0xc7, 1, 2, 3],
            "chunk of type 3 opens chunk stream 7, which has no header to go by yet",
        ),
        (
            "an AMF0 string longer than its message",
            vec![3, 0, 0, 0, 0, 0, 5, 20, 0, 0, 0, 0, 2, 0xff, 0xff, b'a', b'b'],
            "amf0 string at byte 3 of the message needs 65535 bytes, 2 left",
        ),
    ];
    for (what, bytes, told) in &cases {
        let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
        let _ = client.stream().write_all(bytes);
        let since = Stopwatch::start();
        client.commands_to_the_end();
        assert!(since.elapsed() < Duration::from_secs(12), "{what}: closed after {:?}", since.elapsed());
        // Both parts of the handshake stand before the first chunk (RTMP 1.0, 5.2).
        until_logged(&rungd, &format!("byte 3073 of the connection: {told}"));
    }
    let mut client = RawRtmp::connect(rungd.rtmp).unwrap();
    client.publish("live", &test_support::rungd::stream_key("studio-b")).unwrap();
    let _ = client.commands_until("NetStream.Publish.Start");
    // A key frame of H.264 whose tag ends there.
    client.media(9, 0, &[0x17]).unwrap();
    let said = client.commands_to_the_end().join("\n");
    let rule = "of the connection: avc packet type at byte 1 of the tag needs 1 bytes, 0 left";
    assert!(said.contains(rule), "{said}");
    until_logged(&rungd, rule);
    let after = rungd.wait_for_segments("studio-a", before.fewest_segments() + 2);
    assert_eq!(before.availability_start, after.availability_start);
    assert!(publisher.is_running(), "{}", publisher.log());
}
