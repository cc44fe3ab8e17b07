//! What is sent to the peer: `rml_rtmp`'s messages and chunk writer, and the shapes of our answers.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use rml_rtmp::chunk_io::{ChunkSerializer, Packet};
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::rml_amf0::Amf0Value;
use rml_rtmp::time::RtmpTimestamp;

use crate::command::CommandError;

/// Bytes we let the peer send between acknowledgements, and it us; what Adobe's server says.
pub(crate) const WINDOW_BYTES: u32 = 2_500_000;
/// Chunk size of our answers: each is one chunk, since none is longer.
const CHUNK_BYTES: u32 = 8192;
/// Longest text in an answer, in characters. At four bytes a character and two such texts at most it keeps an answer
/// within a chunk.
const TEXT_CHARACTERS: usize = 800;

/// Coding formats announced to peers that speak Enhanced RTMP.
const VIDEO_FOUR_CCS: [&str; 3] = ["avc1", "hvc1", "av01"];
const AUDIO_FOUR_CCS: [&str; 1] = ["mp4a"];
/// `FourCcInfoMask.CanDecode`.
const CAN_DECODE: f64 = 1.0;
/// `CapsExMask`: Reconnect, Multitrack, `ModEx`, `TimestampNanoOffset`.
const CAPS_EX: f64 = 15.0;

/// Answers, in chunks, waiting to be taken.
pub(crate) struct Outbound {
    chunks: ChunkSerializer,
    queue: VecDeque<Bytes>,
    failed: bool,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self { chunks: ChunkSerializer::new(), queue: VecDeque::new(), failed: false }
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        self.queue.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Complains if an answer could not be written: then the chunk stream to the peer has a hole.
    pub(crate) fn check(&self) -> Result<(), CommandError> {
        if self.failed { Err(CommandError::Answer) } else { Ok(()) }
    }

    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.queue.push_back(Bytes::from(bytes));
        }
    }

    fn packet(&mut self, packet: Option<Packet>) {
        match packet {
            Some(packet) => self.bytes(packet.bytes),
            None => self.failed = true,
        }
    }

    /// Every message goes out with a full header and time zero: a few bytes more, and nothing for a client to get wrong.
    fn message(&mut self, message: RtmpMessage, message_stream: u32) {
        let payload = message.into_message_payload(RtmpTimestamp::new(0), message_stream).ok();
        let packet = payload.and_then(|payload| {
            // The writer would give every chunk of a longer message a full header too, which begins it anew.
            let one_chunk = payload.data.len() <= usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
            self.chunks.serialize(&payload, one_chunk, false).ok()
        });
        self.packet(packet);
    }

    fn command(
        &mut self,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        more: Vec<Amf0Value>,
        message_stream: u32,
    ) {
        let message = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id: transaction,
            command_object: object,
            additional_arguments: more,
        };
        self.message(message, message_stream);
    }

    /// What goes before the answer to `connect` (7.2.1.1): windows and chunk size.
    pub(crate) fn opening(&mut self) {
        self.message(RtmpMessage::WindowAcknowledgement { size: WINDOW_BYTES }, 0);
        let limit_type = PeerBandwidthLimitType::Dynamic;
        self.message(RtmpMessage::SetPeerBandwidth { size: WINDOW_BYTES, limit_type }, 0);
        let packet = self.chunks.set_max_chunk_size(CHUNK_BYTES, RtmpTimestamp::new(0)).ok();
        self.packet(packet);
    }

    /// The answer to `connect` (7.2.1.1), with what we know of Enhanced RTMP.
    pub(crate) fn connected(&mut self, transaction: f64) {
        let map = |names: &[&str]| object(names.iter().map(|name| (*name, Amf0Value::Number(CAN_DECODE))));
        let list = VIDEO_FOUR_CCS.iter().chain(&AUDIO_FOUR_CCS).map(|name| text(name)).collect();
        let enhanced = [
            ("capsEx", Amf0Value::Number(CAPS_EX)),
            ("fourCcList", Amf0Value::StrictArray(list)),
            ("videoFourCcInfoMap", map(&VIDEO_FOUR_CCS)),
            ("audioFourCcInfoMap", map(&AUDIO_FOUR_CCS)),
        ];
        // The version and capabilities that encoders have met for fifteen years.
        let properties = [("fmsVer", text("FMS/3,5,7,7009")), ("capabilities", Amf0Value::Number(31.0))];
        let properties = object(properties.into_iter().chain(enhanced));
        let info = [
            ("level", text("status")),
            ("code", text("NetConnection.Connect.Success")),
            ("description", text("Connection succeeded.")),
            ("objectEncoding", Amf0Value::Number(0.0)),
        ];
        self.command("_result", transaction, properties, vec![object(info)], 0);
    }

    /// A command succeeded, with what it gives.
    pub(crate) fn result(&mut self, transaction: f64, value: Amf0Value) {
        self.command("_result", transaction, Amf0Value::Null, vec![value], 0);
    }

    /// A command failed (7.2.1.1, 7.2.1.2).
    pub(crate) fn error(&mut self, transaction: f64, code: &str, description: &str) {
        self.command("_error", transaction, Amf0Value::Null, vec![info("error", code, description)], 0);
    }

    /// `onStatus` (7.2.2), of a message stream or, with stream 0, of the connection.
    pub(crate) fn status(&mut self, message_stream: u32, level: &str, code: &str, description: &str) {
        self.command("onStatus", 0.0, Amf0Value::Null, vec![info(level, code, description)], message_stream);
    }

    /// `onFCPublish` and `onFCUnpublish`, which Flash Media Live Encoder and its likes wait for.
    pub(crate) fn fc_status(&mut self, name: &str, code: &str, description: &str) {
        self.command(name, 0.0, Amf0Value::Null, vec![info("status", code, description)], 0);
    }

    /// Enhanced RTMP v2, "Reconnect Request".
    pub(crate) fn reconnect_request(&mut self, tc_url: Option<&str>, description: &str) {
        let mut properties = properties("status", "NetConnection.Connect.ReconnectRequest", description);
        properties.extend(tc_url.map(|url| ("tcUrl", text(url))));
        self.command("onStatus", 0.0, Amf0Value::Null, vec![object(properties)], 0);
    }

    pub(crate) fn stream_begin(&mut self, message_stream: u32) {
        self.user_control(UserControlEventType::StreamBegin, Some(message_stream), None);
    }

    pub(crate) fn ping_request(&mut self, millis: u32) {
        self.user_control(UserControlEventType::PingRequest, None, Some(millis));
    }

    pub(crate) fn ping_response(&mut self, millis: u32) {
        self.user_control(UserControlEventType::PingResponse, None, Some(millis));
    }

    fn user_control(
        &mut self,
        event_type: UserControlEventType,
        stream_id: Option<u32>,
        millis: Option<u32>,
    ) {
        let timestamp = millis.map(RtmpTimestamp::new);
        self.message(RtmpMessage::UserControl { event_type, stream_id, buffer_length: None, timestamp }, 0);
    }

    pub(crate) fn acknowledgement(&mut self, sequence_number: u32) {
        self.message(RtmpMessage::Acknowledgement { sequence_number }, 0);
    }

    pub(crate) fn window(&mut self) {
        self.message(RtmpMessage::WindowAcknowledgement { size: WINDOW_BYTES }, 0);
    }
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.chars().take(TEXT_CHARACTERS).collect())
}

fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Amf0Value)>) -> Amf0Value {
    Amf0Value::Object(
        properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>(),
    )
}

fn properties(level: &str, code: &str, description: &str) -> Vec<(&'static str, Amf0Value)> {
    vec![("level", text(level)), ("code", text(code)), ("description", text(description))]
}

fn info(level: &str, code: &str, description: &str) -> Amf0Value {
    object(properties(level, code, description))
}
