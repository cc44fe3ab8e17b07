//! A simulated `libnvidia-encode.so.1`.
//!
//! Behind NVENC's interface, H.264, HEVC and AV1 are coded by x264, x265 and libaom. Every call is held to the rules of
//! nvEncodeAPI.h and of the programming guide: version words, order, ownership, what is registered, mapped and locked.
//! What breaks them is an error, and a violation in the state.
//!
//! A picture is coded while it is submitted; it takes the engine's time until its output can be locked. Structures are
//! read at the offsets of the headers 12.1, which those of 11.1 to 13.1 share in all fields that are used here.

mod aom;
mod buffer;
mod caps;
mod coder;
mod encoder;
mod ffi;
mod flat;
mod guid;
mod list;
mod nal;
mod picture;
mod preset;
mod settings;
mod status;
mod version;
mod x265;
