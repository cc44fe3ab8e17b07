//! Audio and video messages, which are FLV tag bodies: the classic ones (Video File Format Specification 10.1, E.4.2
//! and E.4.3) and those of Enhanced RTMP v2 ("Enhanced Audio", "Enhanced Video").
//!
//! Payloads are slices of the message. Of a multitrack message, track 0 is read, which the specification recommends
//! for the default track.

use std::borrow::Cow;

use bytes::Bytes;

pub mod audio;
pub mod video;

mod enhanced;

pub use audio::{AudioCodecId, AudioKind, AudioTag};
pub use video::{FrameType, VideoCodecId, VideoKind, VideoTag};

/// A media message that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A field runs past the end.
    #[error("{what} at byte {at} of the tag needs {needed} bytes, {left} left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it was to be read.
        at: usize,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A value that the field does not define.
    #[error("{what} {value} is not defined")]
    Undefined {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// A sequence header without a configuration record in it.
    #[error("{what} is empty")]
    EmptyConfiguration {
        /// The field.
        what: &'static str,
    },
    /// A nanosecond offset of a millisecond or more (Enhanced RTMP v2, `TimestampOffsetNano`).
    #[error("nanosecond offset {nanos} is over the bound of {}", enhanced::MAX_NANOS)]
    Nanos {
        /// The offset.
        nanos: u32,
    },
    /// An aggregate message whose parts do not add up (RTMP 1.0, 7.1.6).
    #[error("part of an aggregate message at byte {at} needs {needed} bytes, {left} left")]
    Aggregate {
        /// Where the part begins.
        at: usize,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
}

/// What a media message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A picture, a frame, a configuration.
    Tag(T),
    /// Nothing to decode: a command, colour metadata, an empty tag, silence.
    Nothing,
    /// Another track than 0.
    OtherTrack,
    /// A coding format that is recognised by name, and no more.
    Unsupported(Cow<'static, str>),
}

/// Reads a message front to back, without ever reaching past its end.
pub(crate) struct Cursor {
    data: Bytes,
    at: usize,
}

impl Cursor {
    pub(crate) fn new(data: Bytes) -> Self {
        Self { data, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.data.len() - self.at
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<Bytes, FlvError> {
        let left = self.left();
        if count > left {
            return Err(FlvError::Truncated { what, at: self.at, needed: count, left });
        }
        let bytes = self.data.slice(self.at..self.at + count);
        self.at += count;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FlvError> {
        let left = self.left();
        let bytes = self.data.get(self.at..self.at + N.min(left)).and_then(|bytes| bytes.try_into().ok());
        self.at += if bytes.is_some() { N } else { 0 };
        bytes.ok_or(FlvError::Truncated { what, at: self.at, needed: N, left })
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, FlvError> {
        self.array(what).map(|[byte]| byte)
    }

    pub(crate) fn unsigned_24(&mut self, what: &'static str) -> Result<u32, FlvError> {
        self.array(what).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// `SI24`, as composition times are.
    pub(crate) fn signed_24(&mut self, what: &'static str) -> Result<i32, FlvError> {
        self.array(what).map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        let bytes = self.data.slice(self.at..);
        self.at = self.data.len();
        bytes
    }
}

/// A FourCC as text for a refusal: printable ASCII as it is, anything else in hexadecimal.
pub(crate) fn four_cc_name(four_cc: [u8; 4]) -> String {
    match std::str::from_utf8(&four_cc) {
        Ok(text) if four_cc.iter().all(u8::is_ascii_graphic) => text.to_owned(),
        _ => format!("0x{:08x}", u32::from_be_bytes(four_cc)),
    }
}
