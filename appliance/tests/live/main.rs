//! The real daemon and worker with real publishers and players: one behaviour a file.
//!
//! All in one binary, so that few tests run side by side (as many as there are cores) and real-time feeds do not starve
//! each other. The binaries under test are those that `cargo build --workspace --bins` made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod audio_layouts;
mod av_sync;
mod backup;
mod browsers;
mod continuity;
mod daemon_death;
mod demo;
mod devices;
mod encoder_cut;
mod frame_rates;
mod frozen_disk;
mod full_disk;
mod graceful_stop;
mod hanging_disk;
mod hls;
mod hostile_ingest;
mod http_serving;
mod ladder_output;
mod low_latency;
mod metrics_and_api;
mod operator_end;
mod other_sound;
mod output;
mod picture_formats;
mod publish_codecs;
mod publish_ffmpeg;
mod publish_gstreamer;
mod refusals;
mod reload;
mod replay;
mod ten_feeds;
mod worker_death;
