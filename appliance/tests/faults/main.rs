//! Faults at random instants, under viewers who must not notice: workers and the daemon are killed, workers hang.
//!
//! Each test has a short form, which is part of `cargo test`, and a long one: `make test-faults` (`RUNGD_FAULTS=full`).
//! The instants come from a seed that is printed where a test fails, and can be given (`RUNGD_FAULTS_SEED=...`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod chance;
mod crowd;
mod daemon_kills;
mod drift;
#[allow(dead_code, reason = "of what must hold of all that comes out, a part is looked at here")]
#[path = "../live/output.rs"]
mod output;
mod viewer;
mod worker_kills;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time: each has four feeds on air, and all of them measure.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
