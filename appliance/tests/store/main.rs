//! The store over real files: what is kept, what is found again, and what happens when the disk fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod archive;
mod degraded;
mod full_disk;
mod hanging_disk;
mod killed;
mod late_archive;
mod listing;
mod live;
mod power_cut;
mod programme;
mod resumed;
mod retention;
mod shaky_disk;
