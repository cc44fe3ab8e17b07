//! The messages.

use media::{AudioParams, Cadence, Latency, Rung, Size, VideoCodec};
use serde::{Deserialize, Serialize};

/// Raised with every change that an older peer would misread.
pub const VERSION: u16 = 4;

/// What a worker is to do: one feed on one device, with the rungs placed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The feed's public name, for the worker's log lines.
    pub feed: String,
    /// What people call the feed: it stands on the built-in slate.
    pub title: String,
    /// The presentation's grid.
    pub cadence: Cadence,
    /// How the encoders are set: without look-ahead and B-frames for [`Latency::Low`].
    pub latency: Latency,
    /// Whether the payload is the operator's picture for the slate, a PNG or JPEG file as it is. The built-in card
    /// where there is none, or where it cannot be decoded.
    pub slate: bool,
    /// The rungs. Indexes into this list name them in all later messages.
    pub rungs: Vec<RungJob>,
}

/// One rung of a [`Job`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungJob {
    /// The rung, resolved: its size is exact and even.
    pub rung: Rung,
    /// The first grid frame that is put out for it (for a half-rate rung the first even one from there on), as an IDR
    /// picture: where a worker that died left off, which need not be where a segment begins. Earlier ones are left out.
    pub first_frame: u64,
}

/// What a worker for sound is to do: convert what a source sends to what a track is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundJob {
    /// The feed's public name, for the worker's log lines.
    pub feed: String,
    /// The mean of what is to come out, in bits per second.
    pub bit_rate: u32,
}

impl SoundJob {
    /// Whether frames can be made for such a track: AAC-LC of 1024 samples, in a layout that needs no program config
    /// element and that libavcodec encodes.
    #[must_use]
    pub fn fits(track: &AudioParams) -> bool {
        track.is_aac_lc() && track.samples_per_frame == 1024 && (1..=6).contains(&track.channel_configuration)
    }
}

/// From the daemon to a worker. One for pictures takes `Start` and what follows it up to `FillTo`, one for sound
/// `StartSound` and what follows that; both take `Finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First message. A worker of another version exits with a reason.
    Hello {
        /// [`VERSION`] of the sender.
        version: u16,
    },
    /// What to do. Once. The payload is the slate's picture where [`Job::slate`] says so, else empty.
    Start(Job),
    /// The source's configuration record is the payload (`avcC`, `hvcC`, `av1C`): before the first `Video`, and
    /// whenever it changes; it holds for the units behind it.
    VideoConfiguration {
        /// The coding format.
        codec: VideoCodec,
    },
    /// One coded source picture, which is the payload: length-prefixed NAL units, or a temporal unit of OBUs.
    Video {
        /// When it is decoded, in 90 kHz ticks of presentation time. May be negative or late; never decreases but where
        /// another source begins, of which the first units may be long past: they are decoded, and not shown.
        dts_ticks: i64,
        /// When it is shown, likewise. Need not be on the grid.
        pts_ticks: i64,
        /// Whether decoding can start here.
        key: bool,
    },
    /// The source is silent: put out every grid frame before `frame`. Those before `slate_from` repeat the last picture
    /// (a black one where there was none), those from there on show the slate. Source pictures that come for any of
    /// them later are too late and are dropped; one that comes for a later frame is shown again.
    FillTo {
        /// The first frame that is still open.
        frame: u64,
        /// The first frame that shows the slate; none does where it is not before `frame`.
        slate_from: u64,
    },
    /// The source has ended: put out what is left in decoder and encoders, then `Finished`.
    Finish,
    /// What to do. Once. The payload is the track's `AudioSpecificConfig`: what comes out decodes under it.
    StartSound(SoundJob),
    /// The source's `AudioSpecificConfig` is the payload: before the first `Sound`, and whenever it changes; it holds for
    /// the frames behind it.
    SoundConfiguration,
    /// One raw AAC frame of the source, which is the payload.
    Sound {
        /// When it is heard, in 90 kHz ticks of presentation time.
        pts_ticks: i64,
    },
}

/// From a worker to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First message.
    Hello {
        /// [`VERSION`] of the sender.
        version: u16,
        /// What it is built of, for logs: `rungd-worker 0.1.0, libavcodec 59.37.100, x264 164`.
        build: String,
    },
    /// A rung's encoder is open; its `avcC` record is the payload. Before the rung's first `Picture`.
    RungOpened {
        /// Index into [`Job::rungs`].
        rung: u8,
        /// The coding format of the rung.
        codec: VideoCodec,
        /// The exact size of its pictures.
        size: Size,
        /// Whether the source's closed captions come out with them, if it has any.
        captions: bool,
    },
    /// One coded picture, which is the payload: length-prefixed NAL units without parameter sets. In decoding order;
    /// each grid frame comes exactly once, and closed GOPs keep every segment's frames together.
    Picture {
        /// Index into [`Job::rungs`].
        rung: u8,
        /// The grid frame it shows (for a half-rate rung an even one).
        frame: u64,
        /// Whether it is an IDR picture.
        key: bool,
    },
    /// Counters, about once a second and before `Finished`.
    Report(Report),
    /// Something is not as the operator wants it, and the worker goes on without.
    Warning {
        /// One sentence for the operator.
        text: String,
    },
    /// All that there was is put out.
    Finished,
    /// The sound's encoder is open. Before the first `ConvertedSound`.
    SoundOpened,
    /// One raw AAC frame of the track, which is the payload. In order.
    ConvertedSound {
        /// Where it is heard, in samples of the track from presentation time zero.
        position: i64,
    },
    /// Counters of sound, about once a second and before `Finished`.
    SoundReport(SoundReport),
    /// The worker cannot go on, and exits.
    Failed {
        /// One sentence for the operator.
        reason: String,
    },
}

/// Running totals of a worker since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Coded source pictures taken in.
    pub units_in: u64,
    /// Source pictures decoded.
    pub pictures_decoded: u64,
    /// Errors of the decoder, concealed.
    pub decode_errors: u64,
    /// Grid frames that repeat the picture before them.
    pub frames_repeated: u64,
    /// Source pictures dropped because another stood nearer to the grid frame, or because they came too late.
    pub pictures_dropped: u64,
    /// Whether pictures are being deinterlaced.
    pub deinterlacing: bool,
    /// Size of the pictures being decoded; none before the first.
    pub source_size: Option<Size>,
    /// Per rung, in the order of [`Job::rungs`].
    pub rungs: Vec<RungReport>,
}

/// Running totals of a worker for sound since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundReport {
    /// Frames of the source taken in.
    pub frames_in: u64,
    /// Frames of the track put out.
    pub frames_out: u64,
    /// Damaged frames of the source, in whose place there is silence.
    pub decode_errors: u64,
}

/// Most latencies in one report, over all rungs: the largest one, of 16 rungs, fits into a header with them, and each rung
/// has room for those of a second.
pub const MAX_REPORTED_LATENCIES: usize = 2048;

/// Running totals of one rung.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungReport {
    /// Frames given to the encoder.
    pub frames_in: u64,
    /// Coded pictures put out.
    pub pictures_out: u64,
    /// Coded bytes put out.
    pub bytes_out: u64,
    /// Time the encoder's thread was busy, in microseconds; with `frames_in` it gives the real-time ratio.
    pub busy_micros: u64,
    /// Frames waiting for the encoder now.
    pub queue_depth: u32,
    /// Grid frames of it that repeat the picture before them.
    pub frames_repeated: u64,
    /// Of each picture coded since the last report, the time from its frame's entry, in microseconds; bounded, so that
    /// where many are coded at once, as after a worker's death, some are left out.
    pub latencies_micros: Vec<u32>,
}
