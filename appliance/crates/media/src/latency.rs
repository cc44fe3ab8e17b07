//! How far behind the source viewers play, which is decided with the presentation.

use serde::{Deserialize, Serialize};

/// How far behind the source viewers play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Latency {
    /// By whole segments, with the encoder's look-ahead and B-frames: the best picture for its bits.
    #[default]
    Standard,
    /// By chunks, as LL-DASH and LL-HLS, encoded without look-ahead and B-frames.
    Low,
}
