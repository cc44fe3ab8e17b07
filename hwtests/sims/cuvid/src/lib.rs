//! A simulated `libnvcuvid.so.1`.
//!
//! The parser decodes with libavcodec as it parses, and hands out pictures as the real one does: a sequence callback where
//! the format begins or changes, a decode callback for each access unit in decoding order with a slot that no picture in
//! use has, a display callback in output order after the display delay. The decoder keeps the pictures by slot, and maps
//! them into device memory. Access units must come whole, one a packet. Pictures that a client parsed itself (ffmpeg's
//! `-hwaccel cuda`) cannot be decoded.

mod decoder;
mod library;
mod parser;
mod slot;
mod software;
mod unsupported;
