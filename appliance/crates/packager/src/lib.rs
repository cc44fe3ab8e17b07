//! CMAF, MPEG-DASH and HLS, sans-IO: access units in, segments and manifests out.
//!
//! The way of a picture: a [`segmenter`] takes coded pictures or audio frames on the presentation's timeline, gathers
//! them into CMAF chunks ([`cmaf`]) and says when a segment is whole; a store keeps them; a [`window::Window`] says
//! what is listed, and [`dash`] and [`hls`] write it down.
//!
//! - [`track`]: what a track is made of, and its RFC 6381 codecs string;
//! - [`cmaf`]: init segments and chunks, box by box;
//! - [`segmenter`]: which sample belongs to which chunk and segment, decided by the cadence alone;
//! - [`window`]: what is listed; [`dash`] and [`hls`]: how it is written;
//! - [`wall_clock`]: wall time as manifests spell it.
#![forbid(unsafe_code)]

pub mod cmaf;
pub mod dash;
pub mod hls;
pub mod segmenter;
pub mod track;
pub mod wall_clock;
pub mod window;

pub use cmaf::{Chunk, init_segment};
pub use segmenter::{AudioGrid, AudioSegmenter, Packaged, Picture, SegmentError, VideoSegmenter};
pub use track::{TrackMedia, TrackSpec};
pub use window::{Latency, LiveEdge, Window, WindowSegment, WindowTrack, WindowTrackKind};
