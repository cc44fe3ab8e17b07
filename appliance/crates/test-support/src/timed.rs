//! A publisher that knows when it sent each picture.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::raw_rtmp::RawRtmp;
use crate::wait::Stopwatch;

/// FLV tag types, which are RTMP message types too (Adobe FLV 10.1, E.4.1).
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
/// Of the file's header, with the first back pointer.
const FLV_HEADER_BYTES: usize = 13;
/// `AVCPacketType` of coded pictures; 0 is the record.
const CODED: u8 = 1;

/// One message to send.
#[derive(Debug, Clone)]
struct Tag {
    kind: u8,
    millis: u32,
    body: Vec<u8>,
}

/// A programme in a file, to be published in real time.
#[derive(Debug, Clone)]
pub struct Programme {
    tags: Vec<Tag>,
}

impl Programme {
    /// 640x360 at 30 fps in H.264 without B-frames, a key frame every 2 s, and stereo AAC, so long.
    ///
    /// # Panics
    /// Where ffmpeg fails.
    #[must_use]
    pub fn make(folder: &Path, length: Duration) -> Self {
        let file = folder.join("programme.flv");
        let output = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-v", "error"])
            .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"])
            .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"])
            .args(["-g", "60", "-b:v", "1M", "-c:a", "aac", "-ac", "2", "-b:a", "64k"])
            .args(["-t", &length.as_secs_f64().to_string(), "-f", "flv"])
            .arg(&file)
            .output()
            .expect("ffmpeg runs; make deps installs it");
        assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
        Self { tags: tags(&std::fs::read(file).unwrap()) }
    }

    /// Publishes it in real time. Times are those of `clock`.
    ///
    /// # Panics
    /// Where the server does not take it.
    #[must_use]
    pub fn publish(self, server: SocketAddr, application: &str, key: &str, clock: Stopwatch) -> Published {
        let mut connection = RawRtmp::connect(server).unwrap();
        connection.publish(application, key).unwrap();
        while !connection.receive().unwrap().expect("an answer").text().contains("Publish.Start") {}
        connection.set_chunk_size().unwrap();
        let sent: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let noted = sent.clone();
        let sending = thread::spawn(move || {
            let begun = clock.elapsed();
            for Tag { kind, millis, body } in self.tags {
                let due = begun + Duration::from_millis(millis.into());
                clock.reach(due);
                if kind == VIDEO && body.get(1) == Some(&CODED) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(clock.elapsed());
                }
                // The test has ended, and the server with it.
                if connection.media(kind, millis, &body).is_err() {
                    return;
                }
            }
        });
        Published { sent, sending }
    }
}

/// A programme that is being published.
#[derive(Debug)]
pub struct Published {
    sent: Arc<Mutex<Vec<Duration>>>,
    sending: JoinHandle<()>,
}

impl Published {
    /// When picture `index` was sent.
    ///
    /// # Panics
    /// Where it was not yet.
    #[must_use]
    pub fn sent(&self, index: usize) -> Duration {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)[index]
    }

    /// Whether it has not come to its end.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        !self.sending.is_finished()
    }
}

fn tags(file: &[u8]) -> Vec<Tag> {
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
    let mut rest = &file[FLV_HEADER_BYTES..];
    let mut tags = Vec::new();
    while rest.len() > 11 {
        let length = usize::try_from(number(&rest[1..4])).unwrap();
        let (kind, millis) = (rest[0], u32::from(rest[7]) << 24 | number(&rest[4..7]));
        if matches!(kind, AUDIO | VIDEO) {
            tags.push(Tag { kind, millis, body: rest[11..11 + length].to_vec() });
        }
        rest = &rest[11 + length + 4..];
    }
    tags
}
