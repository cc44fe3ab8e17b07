//! The daemon of rungd, a live transcoding appliance: the map.
//!
//! ```text
//! RTMPS ─▶ ingest ─▶ feed ─────────▶ supervisor ═▶ rungd-worker (decode, scale, encode)
//!                     │  ▲ pictures ◀════╝  (a second one for sound that must be converted)
//!                     ▼  │
//! HTTP  ◀─ serve ◀─ store (live window in memory, archive on disk, catalogue)
//! ```
//!
//! - [`config`]: one TOML file, read whole, every fault reported at once; [`cli`]: the commands.
//! - [`app`]: puts the parts together, and takes them apart in order.
//! - [`ingest`]: sockets, TLS, deadlines; drives the sans-IO `rtmp` crate; admits publishers.
//! - [`devices`]: what this machine has to transcode on, and which of it a feed gets.
//! - [`feed`]: one task a feed: the presentation's timeline, its grid, its tracks; the state machine is pure.
//! - [`supervisor`]: spawns workers and speaks `worker-protocol` with them.
//! - [`store`]: segments: the live window in memory, the archive behind it, the catalogue.
//! - [`serve`]: HTTP: media, manifests, the page, the API, health and metrics.
//! - [`tls`]: certificates, for ingest and HTTP alike.
//! - [`telemetry`]: logs, rate limits on them, and the registry that each part's `metrics.rs` registers with.
//! - `pace`: the moments at which sockets of media are looked at; [`clock`]: the one file that reads the clock;
//!   `state_file`: how small files of the state folder are replaced.
//!
//! No codec and no driver library is linked here, and no unsafe code is allowed: hostile bytes meet safe Rust only.
#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod devices;
pub mod feed;
pub mod ingest;
mod pace;
pub mod serve;
mod state_file;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
