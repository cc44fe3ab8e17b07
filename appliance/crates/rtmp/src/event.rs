//! What a session tells its owner.

use crate::command::{ConnectRequest, Metadata, StreamKey};
use crate::flv::{AudioTag, VideoTag};

/// Something that happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The handshake is done.
    HandshakeDone,
    /// The peer wants to connect to an application. Nothing more is read until
    /// [`crate::ServerSession::accept_connect`] or [`crate::ServerSession::refuse_connect`].
    Connect(ConnectRequest),
    /// The peer wants to publish. Nothing more is read until [`crate::ServerSession::accept_publish`] or
    /// [`crate::ServerSession::refuse_publish`].
    Publish {
        /// The secret it shows: the stream name without its query.
        key: StreamKey,
        /// The application it is connected to, as in [`ConnectRequest::app`].
        app: String,
        /// The publishing type: `live`, `record` or `append` (RTMP 1.0, 7.2.2.6). Shortened, and chosen by the peer.
        kind: String,
    },
    /// What the encoder says of its feed. A hint, no more.
    Metadata(Metadata),
    /// A video message.
    Video(VideoTag),
    /// An audio message.
    Audio(AudioTag),
    /// Media in a coding format that is not read. Told once for each kind of media; the messages are dropped.
    Unsupported {
        /// Video or audio.
        media: MediaKind,
        /// The name that people know the format by, or its number or FourCC. The peer may have chosen it.
        name: String,
    },
    /// The peer stopped publishing; it may begin again. The end of the connection is not told, its owner sees it.
    PublishEnded(PublishEnd),
    /// Something odd that does no harm; told once a connection for each kind.
    Warning(Warning),
}

/// Video or audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// How a peer stopped publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishEnd {
    /// `FCUnpublish`, the orderly end of encoders.
    Unpublish,
    /// `deleteStream` (RTMP 1.0, 7.2.2.3).
    DeleteStream,
    /// `closeStream`.
    CloseStream,
}

/// Something odd that does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Warning {
    /// Only the default track is read.
    #[error("video tracks other than track 0 are dropped")]
    OtherVideoTracks,
    /// Only the default track is read.
    #[error("audio tracks other than track 0 are dropped")]
    OtherAudioTracks,
    /// Media before the publish was accepted, or after it ended.
    #[error("media outside of a publish is dropped")]
    StrayMedia,
    /// A message of a type that means nothing here.
    #[error("message of type {type_id} is dropped")]
    UnknownMessage {
        /// The message type id.
        type_id: u8,
    },
}
