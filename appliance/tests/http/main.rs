//! HTTP over real sockets: what viewers, caches, operators and strangers get.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bounds;
mod disk;
mod low_latency;
mod media_routes;
mod operation;
mod page;
#[allow(dead_code, reason = "shared with the tests of the store, which use the rest of it")]
#[path = "../store/programme.rs"]
mod programme;
mod protocols;
mod server;
