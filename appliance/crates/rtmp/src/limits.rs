//! The bounds on what one connection may make us hold.

/// Bounds on one connection. All are checked before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest audio, video or aggregate message of a publish that was accepted, in bytes; until then a peer is held to
    /// [`Self::command_message_bytes`]. The default, 8 MiB, holds an intra picture of 2160p at
    /// 200 Mbit/s three times over.
    pub media_message_bytes: u32,
    /// Longest command, data, control or unknown message, in bytes. Encoders send well under 1 KiB.
    pub command_message_bytes: u32,
    /// Largest chunk size a peer may set, in bytes. The default is the one beyond which sizes mean the same, since no
    /// message is longer (RTMP 1.0, 5.4.1).
    pub chunk_bytes: u32,
    /// Chunk streams a peer may open. Encoders use three to six.
    pub chunk_streams: usize,
    /// Lengths of unfinished messages over all chunk streams, in bytes, once a publish was accepted; until then four
    /// messages of [`Self::command_message_bytes`].
    pub buffered_bytes: usize,
    /// Bytes kept while a decision on `connect` or `publish` is awaited; see [`crate::ServerSession::wants_input`].
    pub held_bytes: usize,
    /// Events and pieces of output waiting to be taken.
    pub queued: usize,
    /// Message streams that `createStream` makes on one connection.
    pub message_streams: u32,
    /// Objects within objects in AMF0.
    pub amf_depth: usize,
    /// Values in one AMF0 message, those inside objects included.
    pub amf_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            media_message_bytes: 8 * 1024 * 1024,
            command_message_bytes: 64 * 1024,
            chunk_bytes: 0x00FF_FFFF,
            chunk_streams: 64,
            buffered_bytes: 16 * 1024 * 1024,
            held_bytes: 1024 * 1024,
            queued: 16 * 1024,
            message_streams: 16,
            amf_depth: 16,
            amf_values: 1024,
        }
    }
}

impl Limits {
    /// The bounds on a peer that has not shown a key yet: nothing it has to say is long.
    pub(crate) fn for_strangers(self) -> Self {
        let media_message_bytes = self.media_message_bytes.min(self.command_message_bytes);
        let four = usize::try_from(self.command_message_bytes).unwrap_or(usize::MAX).saturating_mul(4);
        Self { media_message_bytes, buffered_bytes: self.buffered_bytes.min(four), ..self }
    }
}
