//! The configuration: one TOML file, validated whole.
//!
//! [`Config`] is what the rest of the daemon sees: every value checked and in its own unit. The file's own shape, its
//! defaults and its faults are in [`file`]; how a changed file is taken over while running in [`change`].

pub mod change;
mod devices;
pub mod fault;
mod feeds;
pub mod file;
pub mod key;
mod ladders;
pub(crate) mod quantity;
pub mod rules;
pub mod runtime;
mod tree;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use media::{FrameRate, Ladder};
use worker_protocol::{DeviceId, EngineKind};

pub use change::{ConfigChange, FeedChange, reload};
pub use fault::{ConfigFaults, Fault};
pub use key::{KeyHash, StreamKey};
pub use media::Latency;
pub use rules::{InputRule, RuleAction, RuleActions};
pub use runtime::{AdminToken, RuntimeFile};

/// A validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the archive, the catalogue and other state are kept.
    pub state_dir: PathBuf,
    /// What is logged, and how.
    pub log: Log,
    /// How feeds come in.
    pub ingest: Ingest,
    /// How viewers and operators are served.
    pub http: Http,
    /// How workers are run.
    pub worker: Worker,
    /// What they may run on.
    pub devices: Devices,
    /// What is kept on disk.
    pub archive: Archive,
    /// The feeds, by name in order.
    pub feeds: Vec<Feed>,
    /// What is not as the operator will have meant it, but does not keep the rest from running.
    pub warnings: Vec<Fault>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The shape of a line.
    pub format: LogFormat,
    /// What is let through, in the words of `tracing_subscriber::EnvFilter`: `info`, `info,appliance::ingest=debug`.
    pub level: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and the journal.
    Text,
    /// One JSON object a line.
    Json,
}

/// How feeds come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingest {
    /// Addresses of plain RTMP. Other than loopback only where the file says so expressly.
    pub rtmp: Vec<SocketAddr>,
    /// Addresses of RTMPS.
    pub rtmps: Vec<SocketAddr>,
    /// Certificate and key of RTMPS; present where `rtmps` is not empty.
    pub tls: Option<TlsFiles>,
    /// The RTMP application that feeds are published to: `live`.
    pub application: String,
    /// Connections at once, over all addresses.
    pub max_connections: usize,
    /// From accept to the end of the TLS and RTMP handshakes.
    pub handshake_timeout: Duration,
    /// From the handshake's end to `publish`.
    pub publish_timeout: Duration,
    /// Longest silence of a publisher before its connection is closed.
    pub idle_timeout: Duration,
    /// Refused publishes from one address in a minute before it is refused unheard.
    pub refusals_per_minute: u32,
    /// What a source may be.
    pub limits: SourceLimits,
}

/// What a source may be, and what is done where it is not.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceLimits {
    /// Largest picture, in pixels across.
    pub max_width: u32,
    /// Largest picture, in pixels down.
    pub max_height: u32,
    /// Highest frame rate, in frames per second.
    pub max_frame_rate: u32,
    /// Highest bit rate over 10 s, in bits per second.
    pub max_bit_rate: u64,
    /// Longest distance between key frames.
    pub max_key_frame_interval: Duration,
    /// Most time stamps in a minute that jump, run backward or stand still.
    pub max_timestamp_faults: u32,
    /// Most audio channels.
    pub max_channels: u8,
    /// What is done beyond each.
    pub actions: RuleActions,
}

/// How viewers and operators are served.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Addresses of HTTP.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; with them the addresses speak HTTPS.
    pub tls: Option<TlsFiles>,
    /// Connections at once.
    pub max_connections: usize,
    /// `Access-Control-Allow-Origin`.
    pub allow_origin: String,
}

/// A certificate chain and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How workers are run.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// The `rungd-worker` binary; by default the one beside `rungd`.
    pub program: PathBuf,
    /// Longest time from its start to `Hello`, and from `Start` to its first answer.
    pub start_timeout: Duration,
    /// Longest time without output while it is fed. Short of what players hold in advance, so that a hang is repaired
    /// before a viewer sees it.
    pub hang_timeout: Duration,
    /// Longest time for putting out what is left when a feed ends.
    pub finish_timeout: Duration,
    /// The whole environment of workers: what drivers read from theirs, such as `LIBVA_DRIVER_NAME`.
    pub environment: BTreeMap<String, String>,
}

/// What workers may run on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    /// The render nodes that VA-API is looked for on; all of the machine's where there are none here.
    pub render_nodes: Vec<PathBuf>,
    /// Whether a device that calls itself simulated is used like a real one.
    pub allow_simulated: bool,
}

/// The device that a feed is transcoded on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeviceWish {
    /// The least busy of those with an encoder of their own, the CPU where there are none.
    #[default]
    Auto,
    /// The least busy one of this engine.
    Engine(EngineKind),
    /// This one.
    Device(DeviceId),
}

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// Whether anything is.
    pub enabled: bool,
    /// How long ended presentations are kept; for ever where none.
    pub max_age: Option<Duration>,
    /// How many bytes are kept over all feeds; without bound where none.
    pub max_bytes: Option<u64>,
}

/// One feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// Its public name, which stands in URLs: `a-z 0-9 -`, at most 64 characters.
    pub name: String,
    /// What people call it; the name where the file says nothing.
    pub title: String,
    /// SHA-256 over the domain prefix and the stream key; see `rungd keys`. Who publishes with one is the primary.
    pub key_hashes: Vec<KeyHash>,
    /// Likewise for backups, which are on air while no primary is. None of them is a key of any feed.
    pub backup_key_hashes: Vec<KeyHash>,
    /// What a publisher may do whose feed is on air with the same key.
    pub takeover: Takeover,
    /// When a primary that comes back takes the air from the backup.
    pub backup_return: BackupReturn,
    /// The renditions.
    pub ladder: Ladder,
    /// The grid's frame rate, where it is not to be the source's.
    pub frame_rate: Option<FrameRate>,
    /// Segment length aimed at.
    pub segment_duration: Duration,
    /// Chunk length aimed at.
    pub chunk_duration: Duration,
    /// How far back viewers may seek while live.
    pub window: Duration,
    /// How much of `window` is kept in memory, at most all of it; what is older is read from the archive. All of it
    /// where there is no archive.
    pub memory: Duration,
    /// How far behind the source viewers play.
    pub latency: Latency,
    /// From a picture's coming in to its being shown, as viewers' players are told with low latency.
    pub target_latency: Duration,
    /// How long a presentation goes on with a slate once its input has stopped, before it ends.
    pub grace: Duration,
    /// The operator's picture for the slate, read anew for each presentation: PNG or JPEG of up to 16 MB when the
    /// configuration was read. The built-in card where none, or where the file holds no picture.
    pub slate: Option<PathBuf>,
    /// What it is transcoded on.
    pub device: DeviceWish,
}

/// What a publisher may do whose feed is on air with the same key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Take the air at once: an encoder that comes back need not wait for its old connection to be given up.
    #[default]
    SameKey,
    /// Be refused while the other is connected.
    Never,
}

/// When a primary that comes back takes the air from the backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackupReturn {
    /// With its first key frame.
    #[default]
    AtOnce,
    /// Once the backup has stopped, so that an encoder that comes and goes does not take the programme with it.
    WhenBackupEnds,
}
