//! Publish sessions over wire bytes that are built by hand, with nothing of the code under test.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise, outside of its function too")]

mod amf;
mod chunks;
mod hostile;
mod malformed;
mod media;
mod publishing;
mod wire;
