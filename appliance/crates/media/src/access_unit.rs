//! One coded picture or audio frame with its times.

use bytes::Bytes;

use crate::MediaTime;

/// One coded picture or audio frame. What clock and timeline the times are on is said by who hands it over: the
/// source's own (ingest) or the presentation's (after [`crate::timeline`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// When it is decoded.
    pub dts: MediaTime,
    /// When it is shown. At or after `dts`.
    pub pts: MediaTime,
    /// Whether decoding can start here. Always true for audio.
    pub key: bool,
    /// The coded bytes: length-prefixed NAL units (H.264, HEVC), a temporal unit of OBUs (AV1), a raw AAC frame.
    pub payload: Bytes,
}
