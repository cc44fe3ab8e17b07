//! Drives the real `rungd` with real publishers and players, and looks at what it puts out. A dev-dependency: nothing
//! that is shipped may depend on it.
//!
//! - [`rungd`]: starts the daemon on free ports in a folder of its own, and stops it.
//! - [`publisher`]: ffmpeg and GStreamer as studio encoders; [`timed`]: one that knows when it sent each picture;
//!   [`raw_rtmp`]: the few RTMP bytes to be impolite with.
//! - [`relay`]: the line between an encoder and the daemon, which can be cut.
//! - [`http`]: a viewer's requests; [`mpd`]: what the manifest says; [`boxes`]: what the segments say, read by other
//!   code than wrote them; [`media_check`]: what ffmpeg makes of them.
//! - [`small_disk`]: a disk that can be filled.
//! - [`asked`]: what whoever runs the tests asks of them.
//! - [`sims`]: simulated devices; [`rates`]: what their rate controls are to do.
//! - [`browser`]: players in headless Chromium.
//! - [`process`]: children that end with the test, and whose logs are shown where it fails; [`again`]: a test in a
//!   process of its own; [`wait`]: conditions with deadlines.
//!
//! Everything here panics with a sentence where a test could not go on: that is how a test fails.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod again;
pub mod asked;
pub mod boxes;
pub mod browser;
pub mod http;
pub mod media_check;
pub mod mpd;
pub mod process;
pub mod publisher;
pub mod rates;
pub mod raw_rtmp;
pub mod relay;
pub mod rungd;
pub mod sims;
pub mod small_disk;
pub mod timed;
pub mod wait;

pub use mpd::Manifest;
pub use process::Process;
pub use publisher::{Ffmpeg, Gstreamer};
pub use relay::Relay;
pub use rungd::{FeedSetup, Rungd, Setup};
pub use sims::Simulation;
pub use small_disk::SmallDisk;
pub use wait::{Stopwatch, wait_until};
