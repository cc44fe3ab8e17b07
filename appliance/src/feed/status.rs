//! What the outside may know of a feed: the body of `/api/v1/feeds` and the source of the page.

use serde::Serialize;

/// Where a feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedState {
    /// Nobody publishes.
    Idle,
    /// A publisher is accepted; its media is being looked at, or the worker is starting.
    Starting,
    /// On air.
    Live,
    /// On air without a source: viewers see the last picture, then the slate.
    Slate,
    /// The programme is over; what is left is being put out.
    Ending,
}

/// One feed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeedStatus {
    /// Its public name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Where it stands.
    pub state: FeedState,
    /// The presentation on the live URL: on air, or the last one.
    pub presentation: Option<String>,
    /// Path of the DASH manifest.
    pub dash_url: String,
    /// Path of the HLS master playlist.
    pub hls_url: String,
    /// Who publishes.
    pub publisher: Option<PublisherStatus>,
    /// What comes in.
    pub source: Option<SourceStatus>,
    /// What goes out.
    pub rungs: Vec<RungStatus>,
    /// The worker that encodes it.
    pub worker: Option<WorkerStatus>,
    /// What went wrong last, in a sentence; none once the feed is live again.
    pub problem: Option<String>,
}

/// Who publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublisherStatus {
    /// Remote address and port.
    pub address: String,
    /// The connection's number, by which the log's lines name it; they begin anew with the daemon.
    pub session: u64,
    /// Whether over TLS.
    pub tls: bool,
    /// What the encoder calls itself (`flashVer`), cut to 64 printable characters.
    pub encoder: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_millis: u64,
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceStatus {
    /// `H.264`, `HEVC`, `AV1`; none without video.
    pub video_codec: Option<String>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The grid's rate, as `25` or `30000/1001`.
    pub frame_rate: String,
    /// Whether pictures are being deinterlaced.
    pub deinterlacing: bool,
    /// `AAC`; none without audio.
    pub audio_codec: Option<String>,
    /// Samples a second.
    pub sample_rate: u32,
    /// Speakers.
    pub channels: u8,
    /// Whether its sound is being converted to what the programme's is.
    pub sound_converted: bool,
    /// Damaged frames of sound that was converted, silenced.
    pub sound_decode_errors: u64,
    /// Video and audio over the last seconds, in bits per second.
    pub bit_rate: u64,
    /// Distance of the last two key frames, in milliseconds.
    pub key_frame_interval_millis: u64,
    /// Decoder errors, concealed.
    pub decode_errors: u64,
    /// Grid frames that repeat the one before them.
    pub frames_repeated: u64,
    /// Source pictures dropped.
    pub pictures_dropped: u64,
    /// Jumps of the source's time stamps that were bridged.
    pub timestamp_jumps: u64,
    /// Silent audio frames put in where the source left holes.
    pub silence_frames: u64,
    /// Pictures that came over the last seconds, a second; none while that is not known.
    pub pictures_per_second: Option<f64>,
    /// How irregularly its pictures (sound, where there are none) arrive (RFC 3550, 6.4.1), in microseconds.
    pub jitter_micros: u64,
    /// How fast its clock runs against ours, in parts per million; none until it is known, which takes a minute.
    pub drift_ppm: Option<f64>,
}

/// One rung going out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RungStatus {
    /// Its name.
    pub name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames a second, as `25` or `30000/1001`.
    pub frame_rate: String,
    /// Configured mean, in bits per second.
    pub bit_rate: u32,
    /// Over the last seconds, in bits per second.
    pub measured_bit_rate: u64,
    /// Frames the encoder could do a second over frames it must; under 1 it falls behind. None before it is known.
    pub real_time_ratio: Option<f64>,
    /// Frames waiting for the encoder.
    pub queue_depth: u32,
    /// Longest time in the encoder over the last second, in milliseconds.
    pub latency_millis: u64,
    /// Frames given to the encoder.
    pub frames_in: u64,
    /// Those of them that repeat the one before.
    pub frames_repeated: u64,
    /// Coded pictures put out.
    pub pictures_out: u64,
}

/// The worker that encodes a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// Its process.
    pub pid: u32,
    /// What it is built of.
    pub build: String,
    /// What it runs on, as `rungd devices` names it.
    pub device: String,
}
