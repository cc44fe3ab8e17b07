//! Shows engines and simulated drivers to be what they claim.
//!
//! - [`conformance`]: one suite for all engines.
//! - [`simulation`]: a plan, and programs that find its devices.
//! - [`pictures`]: what ffmpeg makes of what came out, and how far it is from what went in.
//!
//! The simulated drivers themselves are in `sims/`; `make sims` puts them into `target/sims/`.
//!
//! Everything here panics with a sentence where a test could not go on: that is how a test fails.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod conformance;
pub mod pictures;
pub mod simulation;

use std::path::PathBuf;

pub use simulation::Simulation;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the package stands in the repository")
}

/// Natural pictures: 1280x720 at 25 frames a second, H.264.
#[must_use]
pub fn natural_clip() -> PathBuf {
    root().join("appliance/tests/media/bbb-720p25-5s.mp4")
}
