//! `make bench-main`: the main job measured on this machine, against ffmpeg's own command line in the same run.
//!
//! - [`one_feed`]: 1080p30 to four rungs: processor time and memory of the worker and of ffmpeg; the daemon's share; the
//!   time from the publisher's start to a playable manifest.
//! - [`ten_feeds`]: ten small feeds at once for two minutes: missed segments, drift, the daemon's cost per feed.
//! - [`usage`]: what the kernel says of a process; [`table`]: how it is shown.
//!
//! `BENCH_SECONDS` sets the length of the source (30), `BENCH_TEN_SECONDS` that of the ten feeds (120). Figures are for
//! reading, so the exit code does not depend on them; only what cannot be measured is a failure.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot measure ends with a sentence"
)]

mod one_feed;
mod table;
mod ten_feeds;
mod usage;

use std::time::Duration;

fn seconds(variable: &str, default: u64) -> Duration {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_string());
    Duration::from_secs(
        text.parse().unwrap_or_else(|_| panic!("{variable} is a number of seconds, not \"{text}\"")),
    )
}

fn main() {
    let mut table = table::Table::default();
    one_feed::measure(seconds("BENCH_SECONDS", 30), &mut table);
    ten_feeds::measure(seconds("BENCH_TEN_SECONDS", 120), &mut table);
    println!();
    table.print();
}
