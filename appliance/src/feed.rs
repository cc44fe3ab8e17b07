//! One task a feed.

pub mod status;
