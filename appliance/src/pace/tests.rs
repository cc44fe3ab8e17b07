use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn pair() -> (Paced<UnixStream>, Paced<UnixStream>) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (Paced::new(a), Paced::new(b))
}

#[tokio::test]
async fn what_is_written_is_read_and_the_end_is_seen() {
    let (mut ours, mut theirs) = pair();
    let talk = async {
        theirs.write_all(b"one").await.unwrap();
        let mut got = [0; 16];
        assert_eq!(ours.read(&mut got).await.unwrap(), 3);
        let mut rest = Vec::new();
        {
            let mut reading = pin!(ours.read_to_end(&mut rest));
            // The reader waits for its next look.
            assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await.is_pending());
            theirs.write_all(b"more").await.unwrap();
            theirs.shutdown().await.unwrap();
            reading.await.unwrap();
        }
        assert_eq!(rest, b"more");
    };
    timeout(DEADLINE, talk).await.unwrap();
}

/// 16 MB each way through paced sockets.
async fn pass_both_ways() -> Duration {
    let (ours, theirs) = pair();
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|i| i.to_le_bytes()[1] ^ i.to_le_bytes()[2]).collect();
    let since = clock::now();
    let talk = |end: Paced<UnixStream>, bytes: Vec<u8>| async move {
        let (mut reader, mut writer) = tokio::io::split(end);
        let mut got = vec![0; bytes.len()];
        let (read, written) = tokio::join!(reader.read_exact(&mut got), writer.write_all(&bytes));
        read.unwrap();
        written.unwrap();
        assert!(got == bytes);
    };
    timeout(DEADLINE, async { tokio::join!(talk(ours, bytes.clone()), talk(theirs, bytes)) }).await.unwrap();
    clock::now().saturating_duration_since(since)
}

#[tokio::test]
async fn more_than_the_kernel_buffers_passes_both_ways_at_speed() {
    // At a buffer's 200 kB each 25 ms this would be 2 s at the least. On a machine that is busy with other things one
    // try says little, so the promptest of some counts.
    let mut promptest = Duration::MAX;
    for _ in 0..5 {
        promptest = promptest.min(pass_both_ways().await);
        if promptest < Duration::from_millis(1500) {
            return;
        }
    }
    panic!("16 MB each way took {promptest:?}");
}

#[tokio::test]
async fn a_connection_goes_on_where_it_was_when_it_is_paced() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut connection = Connection::Awaited(listener.accept().await.unwrap().0);
    let talk = async {
        let mut got = [0; 4];
        client.write_all(b"abcdefgh").await.unwrap();
        connection.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"abcd");
        connection.pace().unwrap();
        connection.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"efgh");
        connection.write_all(b"answer").await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        drop(client);
        assert_eq!(connection.read(&mut got).await.unwrap(), 0);
    };
    timeout(DEADLINE, talk).await.unwrap();
}
