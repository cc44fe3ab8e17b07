//! The simulated VA-API driver, under independent clients: vainfo, Debian's ffmpeg, and one that does wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod faults;
mod ffmpeg_decode;
mod ffmpeg_encode;
mod flat;
mod rules;
mod vainfo;
