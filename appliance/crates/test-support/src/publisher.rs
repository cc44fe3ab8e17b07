//! Studio encoders: ffmpeg and GStreamer, as their users would call them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;

/// ffmpeg as a studio encoder: a moving picture and a tone, in real time.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    program: PathBuf,
    video_input: Option<String>,
    audio_input: Option<String>,
    video_encoder: Vec<String>,
    audio_encoder: Vec<String>,
    output: Vec<String>,
    duration: Option<Duration>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl Default for Ffmpeg {
    fn default() -> Self {
        Self {
            program: "ffmpeg".into(),
            video_input: Some("testsrc2=size=320x180:rate=15".into()),
            audio_input: Some("sine=frequency=440:beep_factor=4:sample_rate=48000".into()),
            video_encoder: words(
                "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 300k -force_key_frames expr:gte(t,n_forced*2)",
            ),
            audio_encoder: words("-c:a aac -b:a 64k -ac 2"),
            output: Vec::new(),
            duration: None,
        }
    }
}

impl Ffmpeg {
    /// 320x180 at 15 fps, H.264 without B-frames, a key frame every 2 s; stereo AAC at 48 kHz.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The present-day ffmpeg that `make deps` puts in `target`: it publishes HEVC and AV1 over RTMP, which Debian's
    /// does not.
    ///
    /// # Panics
    /// Where it is not there.
    #[must_use]
    pub fn present_day() -> Self {
        let program = present_day_program();
        Self { program, ..Self::default() }
    }

    /// Another picture: an ffmpeg filter source, such as `testsrc2=size=160x90:rate=30000/1001`.
    #[must_use]
    pub fn picture(mut self, source: &str) -> Self {
        self.video_input = Some(source.to_owned());
        self
    }

    /// Another sound: an ffmpeg filter source, such as `sine=sample_rate=44100`.
    #[must_use]
    pub fn sound(mut self, source: &str) -> Self {
        self.audio_input = Some(source.to_owned());
        self
    }

    /// No picture.
    #[must_use]
    pub fn without_picture(mut self) -> Self {
        self.video_input = None;
        self
    }

    /// No sound.
    #[must_use]
    pub fn without_sound(mut self) -> Self {
        self.audio_input = None;
        self
    }

    /// Other options for the video encoder.
    #[must_use]
    pub fn video_encoder(mut self, options: &str) -> Self {
        self.video_encoder = words(options);
        self
    }

    /// Other options for the audio encoder.
    #[must_use]
    pub fn audio_encoder(mut self, options: &str) -> Self {
        self.audio_encoder = words(options);
        self
    }

    /// Options before the URL.
    #[must_use]
    pub fn output(mut self, options: &str) -> Self {
        self.output = words(options);
        self
    }

    /// Ends by itself after this much programme.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Starts publishing; the log goes to a file in `folder`.
    ///
    /// # Panics
    /// Where ffmpeg cannot be started.
    #[must_use]
    pub fn publish(&self, url: &str, folder: &Path) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-loglevel", "info", "-nostats", "-nostdin"]);
        for source in [&self.video_input, &self.audio_input].into_iter().flatten() {
            command.args(["-re", "-f", "lavfi", "-i", source]);
        }
        if self.video_input.is_some() {
            command.args(&self.video_encoder);
        }
        if self.audio_input.is_some() {
            command.args(&self.audio_encoder);
        }
        if let Some(duration) = self.duration {
            command.args(["-t", &format!("{:.3}", duration.as_secs_f64())]);
        }
        command.args(&self.output).args(["-f", "flv", "-flvflags", "no_duration_filesize", url]);
        Process::start("ffmpeg", &mut command, &log_file(folder, "ffmpeg"))
    }
}

/// Where `make deps` puts a present-day ffmpeg.
fn present_day_program() -> PathBuf {
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("the crate lies in the workspace");
    let program = workspace.join("target/ffmpeg-present-day/ffmpeg");
    assert!(program.exists(), "{} is not there: make deps", program.display());
    program
}

/// A log file of its own for every child.
fn log_file(folder: &Path, name: &str) -> PathBuf {
    let named = |n: usize| folder.join(format!("{name}-{n}.log"));
    (0..).map(named).find(|path| !path.exists()).expect("there are names enough")
}

/// GStreamer's sinks for RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// `rtmp2sink`, GStreamer's own.
    Rtmp2,
    /// `rtmpsink`, on librtmp, as many hardware encoders.
    Librtmp,
}

/// `gst-launch-1.0` as a studio encoder: 320x180 at 15 fps, a key frame every 2 s, stereo AAC.
#[derive(Debug, Clone)]
pub struct Gstreamer {
    sink: Sink,
}

impl Gstreamer {
    /// With the given sink.
    #[must_use]
    pub fn new(sink: Sink) -> Self {
        Self { sink }
    }

    /// Starts publishing; the log goes to a file in `folder`.
    ///
    /// # Panics
    /// Where GStreamer cannot be started.
    #[must_use]
    pub fn publish(&self, url: &str, folder: &Path) -> Process {
        let sink = match self.sink {
            Sink::Rtmp2 => format!("rtmp2sink tls-validation-flags=0 location={url}"),
            // librtmp takes options behind the URL; the space between is part of one word.
            Sink::Librtmp => format!("rtmpsink location={url}"),
        };
        let pipeline = format!(
            "flvmux name=mux streamable=true ! {sink} \
             videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=30 \
             ! video/x-h264,profile=main ! h264parse ! queue ! mux. \
             audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 \
             ! avenc_aac bitrate=64000 ! aacparse ! queue ! mux."
        );
        let mut command = Command::new("gst-launch-1.0");
        command.args(["-e", "-q"]).args(words(&pipeline));
        Process::start("gst-launch-1.0", &mut command, &log_file(folder, "gstreamer"))
    }
}
