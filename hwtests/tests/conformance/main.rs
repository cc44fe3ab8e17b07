//! The conformance suite: every check on every engine. Software and the simulated devices are always there; real ones
//! where the machine has them, and `HWTESTS_REQUIRE=vaapi,nvidia` makes their absence a failure.
//!
//! A driver is found through the environment that a process starts with, so each check runs once more in a process of
//! its own for each simulated device.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod changes;
mod checks;
mod cycles;
mod devices;
mod faults;
mod offers;
