//! The chunk stream, reading side (RTMP 1.0, section 5.3).
//!
//! Messages of different chunk streams may interleave, so each chunk stream has its own header memory and its own
//! buffer. Protocol control messages 1 and 2, which concern the chunk stream itself (5.4.1, 5.4.2), are obeyed here
//! and not handed on.
//!
//! Where real encoders stray from the letter, this follows what they mean:
//! - a continuation chunk of a message with an extended time stamp repeats it (5.3.1.3), but some peers leave it out:
//!   the four bytes are taken for it only if they equal it, and a peer that left it out once is held to do so;
//! - a chunk stream may open with a chunk of type 1 (librtmp's first ping does), though 5.3.1.2.1 wants type 0;
//! - a message may go on with a chunk of type 0 to 2, if length and type stay the same, though 5.3.1.2.4 wants type 3.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use crate::{Limits, SessionError};

/// Chunk size until the peer sets another (5.4.1).
const INITIAL_CHUNK_BYTES: u32 = 128;
/// The time stamp field's value that says "see the extended field" (5.3.1.3).
const EXTENDED: u32 = 0x00FF_FFFF;
/// A basic header of three bytes, a message header of eleven, an extended time stamp of four.
const MAX_HEADER_BYTES: usize = 18;
/// A type 3 chunk that begins a message after one of type 0 repeats its absolute time stamp as a delta (5.3.1.2.4).
/// librtmp means "the same time" by it. No two messages are so far apart as this, so a longer "delta" is librtmp's.
const LONGEST_REPEATED_DELTA_MILLIS: u32 = 10_000;

const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;

/// A chunk stream that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Nothing to base the header on (5.3.1.2).
    #[error("chunk of type {format} opens chunk stream {chunk_stream}, which has no header to go by yet")]
    UnknownChunkStream {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The chunk's type: 2 or 3.
        format: u8,
    },
    /// One chunk stream too many.
    #[error("chunk stream {chunk_stream} would be one more than the bound of {bound}")]
    TooManyChunkStreams {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The bound.
        bound: usize,
    },
    /// A message longer than its kind may be.
    #[error("message of type {message_type} and {bytes} bytes is over the bound of {bound}")]
    MessageTooLong {
        /// The message's type id.
        message_type: u8,
        /// The length its header claims.
        bytes: u32,
        /// The bound.
        bound: u32,
    },
    /// A new message where the last has not ended.
    #[error(
        "message of {bytes} bytes begins on chunk stream {chunk_stream} where {missing} bytes of the last are missing"
    )]
    Unfinished {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The new message's length.
        bytes: u32,
        /// Bytes that the last message lacks.
        missing: u32,
    },
    /// Too much begun and not ended.
    #[error("unfinished messages come to {bytes} bytes, over the bound of {bound}")]
    TooMuchBuffered {
        /// Their lengths together.
        bytes: usize,
        /// The bound.
        bound: usize,
    },
    /// Set Chunk Size with a value that is none (5.4.1).
    #[error("chunk size {bytes} is outside 1 to {bound}")]
    ChunkSize {
        /// The value.
        bytes: u32,
        /// The bound.
        bound: u32,
    },
    /// A control message shorter than its fields (5.4).
    #[error("control message of type {message_type} has {bytes} bytes and needs {needed}")]
    ShortControl {
        /// The message's type id.
        message_type: u8,
        /// Bytes it has.
        bytes: usize,
        /// Bytes it needs.
        needed: usize,
    },
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message type id (5.4, 7.1).
    pub type_id: u8,
    /// Milliseconds, modulo 2^32, on the sender's clock.
    pub timestamp_millis: u32,
    /// The message stream id.
    pub message_stream: u32,
    /// The byte of the connection at which its first chunk begins.
    pub offset: u64,
    /// Its payload, in memory of its own.
    pub payload: Bytes,
}

/// Puts messages together from chunks.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_bytes: u32,
    streams: HashMap<u32, ChunkStream>,
    /// Lengths of all unfinished messages. Buffers are made at their messages' lengths, so this is what they hold.
    buffered: usize,
    /// The next byte's position in the connection.
    offset: u64,
    /// The position at which the chunk being read begins.
    chunk_offset: u64,
    header: [u8; MAX_HEADER_BYTES],
    header_length: usize,
    /// The chunk whose payload is being read, if a header is complete.
    body: Option<Body>,
    leaves_out_extended: bool,
    /// At most four bytes that are to be read again; empty but for once in a connection.
    replay: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Body {
    chunk_stream: u32,
    left: u32,
}

#[derive(Debug, Default)]
struct ChunkStream {
    timestamp: u32,
    /// What a type 3 chunk that begins a message adds.
    delta: u32,
    delta_is_absolute: bool,
    extended: Option<u32>,
    length: u32,
    type_id: u8,
    message_stream: u32,
    offset: u64,
    partial: BytesMut,
    unfinished: bool,
}

impl ChunkStream {
    fn missing(&self) -> u32 {
        self.length.saturating_sub(u32::try_from(self.partial.len()).unwrap_or(u32::MAX))
    }
}

/// The fields of a complete chunk header.
#[derive(Debug, Clone, Copy)]
struct Header {
    format: u8,
    chunk_stream: u32,
    /// The time stamp or the delta: the extended one if there is one.
    time: u32,
    extended: Option<u32>,
    length: u32,
    type_id: u8,
    message_stream: u32,
    /// Bytes at the end of what was read that turned out to be payload.
    surplus: usize,
}

impl ChunkReader {
    /// A reader for what follows the first `offset` bytes of a connection.
    #[must_use]
    pub fn new(limits: Limits, offset: u64) -> Self {
        Self {
            limits,
            chunk_bytes: INITIAL_CHUNK_BYTES,
            streams: HashMap::new(),
            buffered: 0,
            offset,
            chunk_offset: offset,
            header: [0; MAX_HEADER_BYTES],
            header_length: 0,
            body: None,
            leaves_out_extended: false,
            replay: Vec::new(),
        }
    }

    /// Changes the bounds for messages that begin from here on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The position in the connection of the next byte to be read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Lengths of all messages begun and not ended, in bytes.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Takes bytes off the front of `input` until a message is whole or none are left.
    ///
    /// # Errors
    /// Where the chunk stream breaks a rule or a bound; nothing more can be read then.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, SessionError> {
        loop {
            // Payload that was taken for an extended time stamp goes before what came after it.
            if !self.replay.is_empty() {
                let bytes = std::mem::take(&mut self.replay);
                let mut left = bytes.as_slice();
                let message = self.read_next(&mut left)?;
                self.replay = left.to_vec();
                if message.is_some() {
                    return Ok(message);
                }
                continue;
            }
            let message = self.read_next(input)?;
            if message.is_some() || self.replay.is_empty() {
                return Ok(message);
            }
        }
    }

    /// As [`Self::read`], but returns early where bytes are to be read again.
    fn read_next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(body) = self.body {
                if input.is_empty() && body.left > 0 {
                    return Ok(None);
                }
                if let Some(message) = self.read_body(body, input)? {
                    return Ok(Some(message));
                }
                continue;
            }
            let Some(header) = self.read_header(input)? else { return Ok(None) };
            self.begin_chunk(&header)?;
            let surplus = self.header.get(self.header_length - header.surplus..self.header_length);
            self.replay = surplus.unwrap_or_default().to_vec();
            self.header_length = 0;
            if !self.replay.is_empty() {
                self.offset -= u64::try_from(self.replay.len()).unwrap_or(0);
                return Ok(None);
            }
        }
    }

    /// Collects a header, or `None` while it is not complete.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, SessionError> {
        loop {
            let collected = self.header.get(..self.header_length).unwrap_or_default();
            let needed = self.header_needs(collected)?;
            if collected.len() >= needed {
                return Ok(Some(self.parse_header()));
            }
            if input.is_empty() {
                return Ok(None);
            }
            if self.header_length == 0 {
                self.chunk_offset = self.offset;
            }
            let (taken, rest) = input.split_at(input.len().min(needed - self.header_length));
            *input = rest;
            let end = self.header_length + taken.len();
            if let Some(place) = self.header.get_mut(self.header_length..end) {
                place.copy_from_slice(taken);
            }
            self.header_length = end;
            self.offset += u64::try_from(taken.len()).unwrap_or(0);
        }
    }

    /// How long the header is, as far as the bytes there are say (5.3.1).
    fn header_needs(&self, collected: &[u8]) -> Result<usize, SessionError> {
        let Some((&first, _)) = collected.split_first() else { return Ok(1) };
        let basic = basic_header_bytes(first);
        let format = first >> 6;
        let fixed = basic + message_header_bytes(format);
        if collected.len() < fixed {
            return Ok(if collected.len() < basic { basic } else { fixed });
        }
        let extended = if format == 3 {
            let known = self.streams.get(&chunk_stream_id(collected));
            !self.leaves_out_extended && known.is_some_and(|stream| stream.extended.is_some())
        } else {
            big_endian_24(collected, basic) == EXTENDED
        };
        Ok(if extended { fixed + 4 } else { fixed })
    }

    fn parse_header(&mut self) -> Header {
        let bytes = self.header.get(..self.header_length).unwrap_or_default();
        let first = bytes.first().copied().unwrap_or_default();
        let (format, basic) = (first >> 6, basic_header_bytes(first));
        let chunk_stream = chunk_stream_id(bytes);
        let fixed = basic + message_header_bytes(format);
        let trailing =
            bytes.get(fixed..fixed + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let last = self.streams.get(&chunk_stream);
        let mut header = Header {
            format,
            chunk_stream,
            time: 0,
            extended: trailing,
            length: last.map_or(0, |last| last.length),
            type_id: last.map_or(0, |last| last.type_id),
            message_stream: last.map_or(0, |last| last.message_stream),
            surplus: 0,
        };
        if format == 3 {
            let repeats =
                |value| last.is_some_and(|last| last.extended == Some(value) || last.timestamp == value);
            if let Some(value) = trailing
                && !repeats(value)
            {
                self.leaves_out_extended = true;
                header.surplus = 4;
            }
            header.extended = last.and_then(|last| last.extended);
            return header;
        }
        header.time = trailing.unwrap_or(big_endian_24(bytes, basic));
        if format < 2 {
            header.length = big_endian_24(bytes, basic + 3);
            header.type_id = bytes.get(basic + 6).copied().unwrap_or_default();
        }
        if format == 0 {
            let id = bytes.get(basic + 7..basic + 11).and_then(|bytes| bytes.try_into().ok());
            header.message_stream = id.map_or(0, u32::from_le_bytes);
        }
        header
    }

    fn begin_chunk(&mut self, header: &Header) -> Result<(), SessionError> {
        let offset = self.chunk_offset;
        let fail = |rule: ChunkError| Err(SessionError::new(offset, rule));
        let &Header { format, chunk_stream, .. } = header;
        if !self.streams.contains_key(&chunk_stream) {
            if format > 1 {
                return fail(ChunkError::UnknownChunkStream { chunk_stream, format });
            }
            if self.streams.len() >= self.limits.chunk_streams {
                let bound = self.limits.chunk_streams;
                return fail(ChunkError::TooManyChunkStreams { chunk_stream, bound });
            }
        }
        let bound = self.message_bound(header.type_id);
        let stream = self.streams.entry(chunk_stream).or_default();
        if stream.unfinished {
            if format < 3 && (header.length, header.type_id) != (stream.length, stream.type_id) {
                let missing = stream.missing();
                return fail(ChunkError::Unfinished { chunk_stream, bytes: header.length, missing });
            }
        } else {
            if header.length > bound {
                let &Header { length: bytes, type_id: message_type, .. } = header;
                return fail(ChunkError::MessageTooLong { message_type, bytes, bound });
            }
            let buffered = self.buffered + usize::try_from(header.length).unwrap_or(usize::MAX);
            if buffered > self.limits.buffered_bytes {
                return fail(ChunkError::TooMuchBuffered {
                    bytes: buffered,
                    bound: self.limits.buffered_bytes,
                });
            }
            self.buffered = buffered;
            stream.begin_message(header, offset);
        }
        let left = stream.missing().min(self.chunk_bytes);
        self.body = Some(Body { chunk_stream, left });
        Ok(())
    }

    fn message_bound(&self, type_id: u8) -> u32 {
        match type_id {
            crate::AUDIO | crate::VIDEO | crate::AGGREGATE => self.limits.media_message_bytes,
            _ => self.limits.command_message_bytes,
        }
    }

    /// Takes payload; the message, if this is its end and it is not for the chunk stream itself.
    fn read_body(&mut self, body: Body, input: &mut &[u8]) -> Result<Option<Message>, SessionError> {
        let Some(stream) = self.streams.get_mut(&body.chunk_stream) else {
            self.body = None;
            return Ok(None);
        };
        let left = usize::try_from(body.left).unwrap_or(usize::MAX);
        let (taken, rest) = input.split_at(input.len().min(left));
        *input = rest;
        self.offset += u64::try_from(taken.len()).unwrap_or(0);
        stream.partial.extend_from_slice(taken);
        let left = left - taken.len();
        self.body = (left > 0).then_some(Body { left: u32::try_from(left).unwrap_or(u32::MAX), ..body });
        if left > 0 || stream.missing() > 0 {
            return Ok(None);
        }
        stream.unfinished = false;
        let payload = std::mem::take(&mut stream.partial).freeze();
        let message = Message {
            type_id: stream.type_id,
            timestamp_millis: stream.timestamp,
            message_stream: stream.message_stream,
            offset: stream.offset,
            payload,
        };
        self.buffered -= message.payload.len();
        self.obey(message)
    }

    /// Obeys the messages that concern the chunk stream; hands on the others.
    fn obey(&mut self, message: Message) -> Result<Option<Message>, SessionError> {
        let fail = |rule: ChunkError| Err(SessionError::new(message.offset, rule));
        if !matches!(message.type_id, SET_CHUNK_SIZE | ABORT) {
            return Ok(Some(message));
        }
        let Some(value) =
            message.payload.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        else {
            let (message_type, bytes) = (message.type_id, message.payload.len());
            return fail(ChunkError::ShortControl { message_type, bytes, needed: 4 });
        };
        if message.type_id == SET_CHUNK_SIZE {
            let bound = self.limits.chunk_bytes;
            if value == 0 || value > bound {
                return fail(ChunkError::ChunkSize { bytes: value, bound });
            }
            self.chunk_bytes = value;
        } else if let Some(stream) = self.streams.get_mut(&value)
            && stream.unfinished
        {
            self.buffered -= usize::try_from(stream.length).unwrap_or(0);
            stream.partial = BytesMut::new();
            stream.unfinished = false;
        }
        Ok(None)
    }
}

impl ChunkStream {
    fn begin_message(&mut self, header: &Header, offset: u64) {
        match header.format {
            0 => {
                (self.timestamp, self.delta, self.delta_is_absolute) = (header.time, header.time, true);
            }
            1 | 2 => {
                self.timestamp = self.timestamp.wrapping_add(header.time);
                (self.delta, self.delta_is_absolute) = (header.time, false);
            }
            _ if self.delta_is_absolute && self.delta > LONGEST_REPEATED_DELTA_MILLIS => {}
            _ => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        self.extended = header.extended;
        self.length = header.length;
        self.type_id = header.type_id;
        self.message_stream = header.message_stream;
        self.offset = offset;
        self.unfinished = true;
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        self.partial = BytesMut::with_capacity(length);
    }
}

/// One, two or three, by the chunk stream id's low six bits (5.3.1.1).
const fn basic_header_bytes(first: u8) -> usize {
    match first & 0x3F {
        0 => 2,
        1 => 3,
        _ => 1,
    }
}

/// By the chunk's type (5.3.1.2).
const fn message_header_bytes(format: u8) -> usize {
    match format {
        0 => 11,
        1 => 7,
        2 => 3,
        _ => 0,
    }
}

/// The id from a basic header that is whole (5.3.1.1).
fn chunk_stream_id(bytes: &[u8]) -> u32 {
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or_default());
    match byte(0) & 0x3F {
        0 => 64 + byte(1),
        1 => 64 + byte(1) + 256 * byte(2),
        id => id,
    }
}

fn big_endian_24(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).unwrap_or_default().iter().take(3).fold(0, |value, &byte| value << 8 | u32::from(byte))
}
