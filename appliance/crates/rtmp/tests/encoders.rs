//! Real encoders publish over a real socket: ffmpeg, and GStreamer with its own RTMP client and with librtmp.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise, outside of its function too")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rtmp::{
    AudioKind, AudioTag, Event, Limits, Metadata, RefusalCode, ServerSession, StreamKey, VideoKind, VideoTag,
};

/// What one publisher told.
#[derive(Default)]
struct Told {
    keys: Vec<StreamKey>,
    metadata: Vec<Metadata>,
    video: Vec<VideoTag>,
    audio: Vec<AudioTag>,
    ends: usize,
    other: Vec<Event>,
}

impl Told {
    fn pictures(&self) -> impl Iterator<Item = &VideoTag> {
        self.video.iter().filter(|tag| matches!(tag.kind, VideoKind::Picture(_)))
    }

    fn frames(&self) -> impl Iterator<Item = &AudioTag> {
        self.audio.iter().filter(|tag| matches!(tag.kind, AudioKind::Frame(_)))
    }
}

/// Serves one connection; a key that starts with `bad` is refused.
fn serve() -> (u16, JoinHandle<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        drive(socket)
    });
    (port, server)
}

fn drive(mut socket: TcpStream) -> Told {
    let mut session = ServerSession::new(Limits::default());
    let mut told = Told::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let bytes = match socket.read(&mut buffer) {
            Ok(0) => return told,
            Ok(bytes) => bytes,
            // Encoders that leave the answers to their last words unread reset the connection; all they sent is here.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return told,
            Err(error) if session.is_closing() => panic!("the peer did not close: {error}"),
            Err(error) => panic!("{error}"),
        };
        let mut result = session.input(&buffer[..bytes]);
        while let Some(event) = session.poll_event() {
            match event {
                Event::Connect(request) if request.app == "live" => {
                    result = result.and(session.accept_connect())
                }
                Event::Connect(_) => session.refuse_connect("no application of this name"),
                Event::Publish { key, .. } if key.as_bytes().starts_with(b"bad") => {
                    session.refuse_publish(RefusalCode::BadName, "no feed has this key");
                }
                Event::Publish { key, .. } => {
                    told.keys.push(key);
                    result = result.and(session.accept_publish());
                }
                Event::Metadata(metadata) => told.metadata.push(metadata),
                Event::Video(tag) => told.video.push(tag),
                Event::Audio(tag) => told.audio.push(tag),
                Event::PublishEnded(_) => told.ends += 1,
                Event::HandshakeDone => {}
                other => told.other.push(other),
            }
        }
        while let Some(bytes) = session.poll_output() {
            // The peer may be gone after its last words.
            let _ = socket.write_all(&bytes);
        }
        result.unwrap();
        if session.is_closing() {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; these tests need ffmpeg and GStreamer"))
}

fn ffmpeg(arguments: &[&str], url: &str) -> Output {
    let sources =
        ["-hide_banner", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"];
    run("ffmpeg", &[&sources[..], arguments, &["-f", "flv", url]].concat())
}

const X264_AAC: [&str; 10] =
    ["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-c:a", "aac"];

#[test]
fn ffmpeg_publishes_classic_flv() {
    let (port, server) = serve();
    let output = ffmpeg(&X264_AAC, &format!("rtmp://127.0.0.1:{port}/live/key?token=1"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = server.join().unwrap();
    assert_eq!(told.keys[0].as_bytes(), b"key");
    assert_eq!(told.metadata[0].width, Some(320));
    assert_eq!(told.metadata[0].frame_rate, Some(25.0));
    assert_eq!((told.metadata[0].has_video, told.metadata[0].has_audio), (Some(true), Some(true)));
    assert!(matches!(&told.video[0].kind, VideoKind::Configuration(record) if record[0] == 1));
    assert_eq!(told.pictures().count(), 50);
    assert!(told.pictures().any(|tag| tag.composition_millis > 40), "pictures are reordered");
    let times: Vec<_> = told.pictures().map(|tag| tag.timestamp_millis).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 40), "{times:?}");
    // Two seconds at 44.1 kHz, 1024 samples each, and what primes the encoder.
    assert!((86..=90).contains(&told.frames().count()), "{}", told.frames().count());
    assert_eq!(told.ends, 1);
    assert_eq!(told.other, []);
}

#[test]
fn ffmpeg_is_told_why_it_is_refused() {
    for (path, sentence) in
        [("live/bad", "no feed has this key"), ("other/key", "no application of this name")]
    {
        let (port, server) = serve();
        let output = ffmpeg(&X264_AAC, &format!("rtmp://127.0.0.1:{port}/{path}"));
        assert!(!output.status.success());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(sentence), "{words}");
        assert!(server.join().unwrap().keys.is_empty());
    }
}

/// Time stamps beyond 2^24 ms, as after 4.7 hours, in every chunk.
#[test]
fn ffmpeg_publishes_with_extended_time_stamps() {
    let (port, server) = serve();
    let offset = ["-output_ts_offset", "17000"];
    let output = ffmpeg(&[&X264_AAC[..], &offset].concat(), &format!("rtmp://127.0.0.1:{port}/live/key"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = server.join().unwrap();
    assert_eq!(told.pictures().count(), 50);
    let times: Vec<_> = told.pictures().map(|tag| tag.timestamp_millis).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 40), "{times:?}");
    assert!(times[0] >= 16_990_000, "{times:?}");
}

#[test]
fn ffmpeg_publishes_video_alone_and_audio_alone() {
    for (arguments, video, audio) in [
        (&["-map", "0:v", "-c:v", "libx264"][..], true, false),
        (&["-map", "1:a", "-c:a", "aac"][..], false, true),
    ] {
        let (port, server) = serve();
        let output = ffmpeg(arguments, &format!("rtmp://127.0.0.1:{port}/live/key"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = server.join().unwrap();
        assert_eq!((told.metadata[0].has_video, told.metadata[0].has_audio), (Some(video), Some(audio)));
        assert_eq!((told.pictures().count() > 0, told.frames().count() > 0), (video, audio));
    }
}

#[test]
fn ffmpeg_with_a_coding_format_that_is_not_read() {
    let (port, server) = serve();
    let output = ffmpeg(&["-c:v", "flv1", "-c:a", "mp3"], &format!("rtmp://127.0.0.1:{port}/live/key"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: Vec<_> = server
        .join()
        .unwrap()
        .other
        .into_iter()
        .map(|event| match event {
            Event::Unsupported { name, .. } => name,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(names.contains(&"Sorenson H.263".to_owned()) && names.contains(&"MP3".to_owned()), "{names:?}");
}

fn gstreamer(sink: &str) {
    let (port, server) = serve();
    let pipeline = format!(
        "videotestsrc num-buffers=50 ! video/x-raw,width=320,height=180,framerate=25/1 ! x264enc key-int-max=25 ! \
         h264parse ! flvmux name=mux streamable=true ! {sink} location=rtmp://127.0.0.1:{port}/live/key \
         audiotestsrc num-buffers=86 ! audio/x-raw,rate=44100,channels=2 ! voaacenc ! aacparse ! mux."
    );
    let words: Vec<_> = ["-q"].into_iter().chain(pipeline.split_whitespace()).collect();
    let output = run("gst-launch-1.0", &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = server.join().unwrap();
    assert_eq!(told.keys[0].as_bytes(), b"key");
    assert!(told.video.iter().any(|tag| matches!(tag.kind, VideoKind::Configuration(_))));
    assert_eq!(told.pictures().count(), 50);
    // The source and the encoder cut frames differently, so the number is not exact.
    assert!((80..=90).contains(&told.frames().count()), "{}", told.frames().count());
    assert_eq!(told.other, []);
}

#[test]
fn gstreamer_publishes_with_its_own_client() {
    gstreamer("rtmp2sink");
}

#[test]
fn gstreamer_publishes_with_librtmp() {
    gstreamer("rtmpsink");
}
