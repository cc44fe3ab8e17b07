//! What ends a session: which rule was broken, and at which byte of the connection.

use crate::amf::AmfError;
use crate::chunk::ChunkError;
use crate::command::CommandError;
use crate::flv::FlvError;
use crate::handshake::HandshakeError;

/// A broken rule and where it was broken. The session takes no more input after one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the connection: {rule}")]
pub struct SessionError {
    /// Bytes from the start of the connection (handshake included, TLS records not) to the chunk or message at fault.
    pub offset: u64,
    /// The rule.
    pub rule: Rule,
}

impl SessionError {
    pub(crate) fn new(offset: u64, rule: impl Into<Rule>) -> Self {
        Self { offset, rule: rule.into() }
    }
}

/// A rule of one of the layers, from the wire up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Of the handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Of the chunk stream.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Of AMF0.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// Of the commands.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Of the media messages.
    #[error(transparent)]
    Flv(#[from] FlvError),
}

impl Rule {
    /// The layer the rule belongs to, for counting: one of `handshake`, `chunk`, `amf`, `command`, `flv`.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Chunk(_) => "chunk",
            Self::Amf(_) => "amf",
            Self::Command(_) => "command",
            Self::Flv(_) => "flv",
        }
    }
}
