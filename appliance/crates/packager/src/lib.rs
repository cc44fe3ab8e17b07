//! CMAF, MPEG-DASH and HLS, sans-IO: access units in, segments and manifests out.
//!
//! The way of a picture: a [`segmenter`] takes coded pictures or audio frames on the presentation's timeline, gathers
//! them into CMAF chunks ([`cmaf`]) and says when a segment is whole; a store keeps them; a [`window::Window`] says
//! what is listed, and [`dash`] and [`hls`] write it down.
#![forbid(unsafe_code)]

pub mod window;
