//! Publish sessions over wire bytes that are built by hand, with nothing of the code under test.

mod chunks;
mod hostile;
mod malformed;
mod media;
mod publishing;
mod wire;
