//! RTMP and FLV, sans-IO: bytes in, events and bytes out.
//!
//! [`ServerSession`] is one publisher's connection. Feed it what the socket (or TLS) gives, take events and answers
//! out, send the answers. It has no clock, no socket and no task; deadlines, sockets and the decision whom to let in
//! are its caller's.
//!
//! ```text
//! bytes ─▶ handshake ─▶ chunk ─▶ message ─▶ command (amf) ─▶ session ─▶ Event
//!                                       └─▶ flv ───────────────┘  └───▶ bytes (outbound)
//! ```
//!
//! Standards: Adobe's RTMP 1.0 (2012), AMF 0 (2007), Video File Format 10.1 (2010), and Enhanced RTMP v2 (Veovera,
//! 2024). `rml_rtmp` does the handshake's packets and writes chunks and messages; reading is done here, since its
//! chunk reader keeps one buffer for all chunk streams and its AMF0 reader recurses as deep as the peer likes.
//!
//! Everything a peer can make us hold is bounded by [`Limits`], and every rule it can break is a variant of [`Rule`],
//! told with its byte offset in [`SessionError`].
#![forbid(unsafe_code)]

pub mod amf;
pub mod chunk;
pub mod command;
pub mod error;
pub mod event;
pub mod flv;
pub mod fuzz;
pub mod handshake;
pub mod limits;
pub mod session;

mod aggregate;
mod outbound;

pub use command::{ConnectRequest, Metadata, StreamKey};
pub use error::{Rule, SessionError};
pub use event::{Event, MediaKind, PublishEnd, Warning};
pub use flv::{AudioCodecId, AudioKind, AudioTag, FrameType, VideoCodecId, VideoKind, VideoTag};
pub use limits::Limits;
pub use session::{RefusalCode, ServerSession, Stage};

// Message type ids (RTMP 1.0, 5.4 and 7.1).
const ACKNOWLEDGEMENT: u8 = 3;
const USER_CONTROL: u8 = 4;
const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
const SET_PEER_BANDWIDTH: u8 = 6;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const DATA_AMF3: u8 = 15;
const COMMAND_AMF3: u8 = 17;
const DATA: u8 = 18;
const COMMAND: u8 = 20;
const AGGREGATE: u8 = 22;
