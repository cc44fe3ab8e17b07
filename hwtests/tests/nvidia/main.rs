//! The simulated NVIDIA drivers against clients that know nothing of them: two ffmpegs, NVIDIA's own client of NVML, and
//! a small client in C that does right or wrong as it is told.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod decoder_rules;
mod faults;
mod ffmpeg_decode;
mod ffmpeg_encode;
mod ffmpeg_transcode;
mod flat;
mod rules;
mod telemetry;
