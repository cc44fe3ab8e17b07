//! One publisher's connection: the state machine over handshake, chunks, commands and media.

use std::collections::VecDeque;

use bytes::Bytes;
use rml_amf0::Amf0Value;

use crate::aggregate::Parts;
use crate::chunk::{ChunkReader, Message};
use crate::command::{self, Command, CommandError, ConnectRequest, Metadata, StreamKey};
use crate::event::{Event, MediaKind, PublishEnd, Warning};
use crate::flv::{self, FlvError, Parsed};
use crate::handshake::{HANDSHAKE_BYTES, Handshake};
use crate::outbound::{Outbound, WINDOW_BYTES};
use crate::{Limits, SessionError};

/// Acknowledgements are sent no more often than this, whatever window the peer asks for.
const LEAST_WINDOW_BYTES: u32 = 16 * 1024;
/// Warnings of one connection; unknown message types alone would make 200.
const WARNINGS: usize = 8;

// UserControl event types (RTMP 1.0, 7.1.7).
const PING_REQUEST: u16 = 6;

/// Where a connection stands; deadlines differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The handshake is not done.
    Handshake,
    /// `connect` has not come, or not been decided.
    Connecting,
    /// Connected, and `publish` has not come, or not been decided.
    Connected,
    /// Media may come.
    Publishing,
    /// Send what [`ServerSession::poll_output`] gives, then close the socket. Input is dropped.
    Closing,
}

/// The code of a refusal, which encoders show or go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// `NetStream.Publish.BadName`: wrong key, or the feed is taken. OBS then says so instead of trying again.
    BadName,
    /// `NetStream.Publish.Denied`: the peer may not publish.
    Denied,
    /// `NetStream.Publish.Rejected`: the feed cannot be taken, for want of capacity or for what it carries.
    Rejected,
    /// `NetStream.Failed`: something is wrong on this side.
    Failed,
}

impl RefusalCode {
    /// As it stands in `onStatus`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Denied => "NetStream.Publish.Denied",
            Self::Rejected => "NetStream.Publish.Rejected",
            Self::Failed => "NetStream.Failed",
        }
    }
}

/// The state, with what belongs to it.
enum State {
    Handshake(Box<Handshake>),
    AwaitConnect,
    ConnectPending { transaction: f64, app: String },
    Connected,
    PublishPending { message_stream: u32 },
    Publishing { message_stream: u32 },
    Closing,
}

/// One publisher's connection.
///
/// After each [`Self::input`], take every event and every piece of output. Answer [`Event::Connect`] and
/// [`Event::Publish`] by accepting or refusing; until then input is held back, and [`Self::wants_input`] is false.
///
/// Give at most some 64 KiB at a time: what one call causes is queued.
pub struct ServerSession {
    limits: Limits,
    state: State,
    reader: ChunkReader,
    outbound: Outbound,
    events: VecDeque<Event>,
    /// Input that came while a decision was awaited.
    held: Vec<u8>,
    error: Option<SessionError>,
    app: String,
    message_streams: u32,
    /// Bytes received, for acknowledgements: modulo 2^32 (5.4.3).
    received: u32,
    acknowledged: u32,
    window: u32,
    warned: Vec<Warning>,
    /// Kinds of media told as unsupported.
    unsupported: Vec<MediaKind>,
}

impl ServerSession {
    /// A session for a connection of which nothing has been read.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Handshake(Box::new(Handshake::new())),
            reader: ChunkReader::new(limits.for_strangers(), u64::try_from(HANDSHAKE_BYTES).unwrap_or(0)),
            outbound: Outbound::new(),
            events: VecDeque::new(),
            held: Vec::new(),
            error: None,
            app: String::new(),
            message_streams: 0,
            received: 0,
            acknowledged: 0,
            window: WINDOW_BYTES,
            warned: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    /// Takes what came from the peer.
    ///
    /// # Errors
    /// Where the peer breaks a rule. Events from before are still there to be taken, and output (an `onStatus` that
    /// names the rule, if the peer has connected) is to be sent; then close the socket. Every later call fails alike.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.received = self.received.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let result = self.read(bytes);
        self.acknowledge();
        result.or_else(|error| self.fail(error))
    }

    /// The next event, in the order in which things happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes to be sent.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.outbound.take()
    }

    /// False while a decision on `connect` or `publish` is awaited: leave the rest in the socket.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        !matches!(self.state, State::ConnectPending { .. } | State::PublishPending { .. })
    }

    /// Where the connection stands.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        if self.error.is_some() {
            return Stage::Closing;
        }
        match &self.state {
            State::Handshake(_) => Stage::Handshake,
            State::AwaitConnect | State::ConnectPending { .. } => Stage::Connecting,
            State::Connected | State::PublishPending { .. } => Stage::Connected,
            State::Publishing { .. } => Stage::Publishing,
            State::Closing => Stage::Closing,
        }
    }

    /// Whether the socket is to be closed once the output is sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.stage() == Stage::Closing
    }

    /// Bytes held: of unfinished messages, and of input that waits for a decision.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.reader.buffered() + self.held.len()
    }

    /// Lets the peer connect, and reads what it sent meanwhile. Nothing happens unless [`Event::Connect`] is open.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub fn accept_connect(&mut self) -> Result<(), SessionError> {
        let State::ConnectPending { transaction, app } = &mut self.state else { return Ok(()) };
        self.app = std::mem::take(app);
        let transaction = *transaction;
        self.state = State::Connected;
        self.outbound.opening();
        self.outbound.connected(transaction);
        self.resume()
    }

    /// Turns the peer away with a sentence for its operator. Nothing happens unless [`Event::Connect`] is open.
    pub fn refuse_connect(&mut self, description: &str) {
        let State::ConnectPending { transaction, .. } = self.state else { return };
        self.outbound.opening();
        self.outbound.error(transaction, "NetConnection.Connect.Rejected", description);
        self.close();
    }

    /// Lets the peer publish, and reads what it sent meanwhile. Nothing happens unless [`Event::Publish`] is open.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub fn accept_publish(&mut self) -> Result<(), SessionError> {
        let State::PublishPending { message_stream } = self.state else { return Ok(()) };
        self.state = State::Publishing { message_stream };
        self.reader.set_limits(self.limits);
        self.outbound.stream_begin(message_stream);
        let (code, description) = ("NetStream.Publish.Start", "Publishing.");
        self.outbound.fc_status("onFCPublish", code, description);
        self.outbound.status(message_stream, "status", code, description);
        self.resume()
    }

    /// Turns the publish down before it starts, with a sentence for the peer's operator. Nothing happens unless
    /// [`Event::Publish`] is open.
    pub fn refuse_publish(&mut self, code: RefusalCode, description: &str) {
        let State::PublishPending { message_stream } = self.state else { return };
        self.outbound.status(message_stream, "error", code.as_str(), description);
        self.close();
    }

    /// Ends a publish that has started, or a connection before it has, with a sentence for the peer's operator.
    pub fn end(&mut self, code: RefusalCode, description: &str) {
        match self.state {
            State::Publishing { message_stream } | State::PublishPending { message_stream } => {
                self.outbound.status(message_stream, "error", code.as_str(), description);
            }
            State::Connected => self.outbound.status(0, "error", code.as_str(), description),
            State::ConnectPending { .. } => return self.refuse_connect(description),
            State::Handshake(_) | State::AwaitConnect | State::Closing => {}
        }
        self.close();
    }

    /// Asks the peer to connect anew, elsewhere if an address is given, at its next key frame (Enhanced RTMP v2,
    /// "Reconnect Request"). Only peers that said so obey: [`ConnectRequest::can_reconnect`]. The connection goes on.
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, description: &str) {
        if matches!(self.stage(), Stage::Connected | Stage::Publishing) {
            self.outbound.reconnect_request(tc_url, description);
        }
    }

    /// Sends a ping, which the peer's library answers by itself (7.1.7). `millis` is any number.
    pub fn ping(&mut self, millis: u32) {
        if matches!(self.stage(), Stage::Connected | Stage::Publishing) {
            self.outbound.ping_request(millis);
        }
    }

    fn close(&mut self) {
        self.state = State::Closing;
        self.held = Vec::new();
    }

    /// Remembers the error, and tells the peer if it has come so far that it would understand.
    fn fail(&mut self, error: SessionError) -> Result<(), SessionError> {
        self.end(RefusalCode::Failed, &error.to_string());
        self.error = Some(error.clone());
        Err(error)
    }

    fn resume(&mut self) -> Result<(), SessionError> {
        let held = std::mem::take(&mut self.held);
        self.read(&held).or_else(|error| self.fail(error))
    }

    fn read(&mut self, mut input: &[u8]) -> Result<(), SessionError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Handshake(handshake) => {
                    let mut answer = Vec::new();
                    let position = u64::try_from(handshake.received()).unwrap_or(0);
                    let done = handshake.read(&mut input, &mut answer);
                    let done = done.map_err(|rule| SessionError::new(position, rule))?;
                    self.outbound.bytes(answer);
                    if done {
                        self.state = State::AwaitConnect;
                        self.events.push_back(Event::HandshakeDone);
                    }
                }
                State::ConnectPending { .. } | State::PublishPending { .. } => return self.hold(input),
                State::Closing => return Ok(()),
                State::AwaitConnect | State::Connected | State::Publishing { .. } => {
                    let Some(message) = self.reader.read(&mut input)? else { return Ok(()) };
                    let offset = message.offset;
                    self.message(message)?;
                    self.check_queues().map_err(|rule| SessionError::new(offset, rule))?;
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, input: &[u8]) -> Result<(), SessionError> {
        let (bytes, bound) = (self.held.len() + input.len(), self.limits.held_bytes);
        if bytes > bound {
            return Err(SessionError::new(self.reader.offset(), CommandError::TooMuchHeld { bytes, bound }));
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    fn check_queues(&self) -> Result<(), CommandError> {
        let (count, bound) = (self.events.len() + self.outbound.len(), self.limits.queued);
        if count > bound {
            return Err(CommandError::TooMuchQueued { count, bound });
        }
        self.outbound.check()
    }

    /// Acknowledges what was received, once a window of it came (5.4.3, 5.4.4).
    fn acknowledge(&mut self) {
        let handshaken = !matches!(self.state, State::Handshake(_) | State::Closing);
        if handshaken && self.received.wrapping_sub(self.acknowledged) >= self.window {
            self.acknowledged = self.received;
            self.outbound.acknowledgement(self.received);
        }
    }

    fn message(&mut self, message: Message) -> Result<(), SessionError> {
        let offset = message.offset;
        match message.type_id {
            crate::AUDIO | crate::VIDEO => self.media(message),
            crate::AGGREGATE => self.aggregate(message),
            crate::COMMAND | crate::COMMAND_AMF3 => self.command(&message),
            crate::DATA | crate::DATA_AMF3 => self.data(&message),
            crate::USER_CONTROL | crate::WINDOW_ACKNOWLEDGEMENT_SIZE | crate::SET_PEER_BANDWIDTH => {
                self.control(&message).map_err(|rule| SessionError::new(offset, rule))
            }
            crate::ACKNOWLEDGEMENT => Ok(()),
            type_id => {
                self.warn(Warning::UnknownMessage { type_id });
                Ok(())
            }
        }
    }

    fn warn(&mut self, warning: Warning) {
        if self.warned.len() < WARNINGS && !self.warned.contains(&warning) {
            self.warned.push(warning);
            self.events.push_back(Event::Warning(warning));
        }
    }

    fn control(&mut self, message: &Message) -> Result<(), CommandError> {
        let (message_type, bytes) = (message.type_id, message.payload.len());
        let short = |needed| CommandError::ShortControl { message_type, bytes, needed };
        let word = |at: usize| -> Result<u32, CommandError> {
            let field = message.payload.get(at..at + 4).and_then(|field| field.try_into().ok());
            field.map(u32::from_be_bytes).ok_or_else(|| short(at + 4))
        };
        match message_type {
            crate::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                self.window = word(0)?.clamp(LEAST_WINDOW_BYTES, u32::MAX / 2)
            }
            crate::SET_PEER_BANDWIDTH => {
                word(0)?;
                self.outbound.window();
            }
            _ => {
                let [high, low, ..] = *message.payload else { return Err(short(2)) };
                if u16::from_be_bytes([high, low]) == PING_REQUEST {
                    let millis = word(2)?;
                    self.outbound.ping_response(millis);
                }
            }
        }
        Ok(())
    }

    fn data(&mut self, message: &Message) -> Result<(), SessionError> {
        let fail = |rule| SessionError::new(message.offset, rule);
        let values = command::values(message, &self.limits).map_err(fail)?;
        if let State::Publishing { .. } = self.state
            && let Some(metadata) = Metadata::from_values(values)
        {
            self.events.push_back(Event::Metadata(metadata));
        }
        Ok(())
    }

    fn aggregate(&mut self, message: Message) -> Result<(), SessionError> {
        let offset = message.offset;
        let mut parts = Parts::new(message);
        while let Some(part) = parts.next().map_err(|rule| SessionError::new(offset, rule))? {
            match part.type_id {
                crate::AUDIO | crate::VIDEO => self.media(part)?,
                crate::DATA | crate::DATA_AMF3 => self.data(&part)?,
                type_id => self.warn(Warning::UnknownMessage { type_id }),
            }
            self.check_queues().map_err(|rule| SessionError::new(offset, rule))?;
        }
        Ok(())
    }

    fn media(&mut self, message: Message) -> Result<(), SessionError> {
        let fail = |rule: FlvError| SessionError::new(message.offset, rule);
        // The message stream is not held against the media: only one can publish, and some encoders get it wrong.
        if !matches!(self.state, State::Publishing { .. }) {
            self.warn(Warning::StrayMedia);
            return Ok(());
        }
        if message.type_id == crate::VIDEO {
            match flv::video::parse(message.timestamp_millis, &message.payload).map_err(fail)? {
                Parsed::Tag(tag) => {
                    if tag.other_tracks {
                        self.warn(Warning::OtherVideoTracks);
                    }
                    self.events.push_back(Event::Video(tag));
                }
                Parsed::Nothing => {}
                Parsed::OtherTrack => self.warn(Warning::OtherVideoTracks),
                Parsed::Unsupported(name) => self.unsupported(MediaKind::Video, name.into_owned()),
            }
        } else {
            match flv::audio::parse(message.timestamp_millis, &message.payload).map_err(fail)? {
                Parsed::Tag(tag) => {
                    if tag.other_tracks {
                        self.warn(Warning::OtherAudioTracks);
                    }
                    self.events.push_back(Event::Audio(tag));
                }
                Parsed::Nothing => {}
                Parsed::OtherTrack => self.warn(Warning::OtherAudioTracks),
                Parsed::Unsupported(name) => self.unsupported(MediaKind::Audio, name.into_owned()),
            }
        }
        Ok(())
    }

    fn unsupported(&mut self, media: MediaKind, name: String) {
        if !self.unsupported.contains(&media) {
            self.unsupported.push(media);
            self.events.push_back(Event::Unsupported { media, name });
        }
    }

    fn command(&mut self, message: &Message) -> Result<(), SessionError> {
        let offset = message.offset;
        let values =
            command::values(message, &self.limits).map_err(|rule| SessionError::new(offset, rule))?;
        let obeyed =
            Command::from_values(values).and_then(|command| self.obey(&command, message.message_stream));
        obeyed.map_err(|rule| SessionError::new(offset, rule))
    }

    fn obey(&mut self, command: &Command, message_stream: u32) -> Result<(), CommandError> {
        let name = command.name.as_str();
        if matches!(self.state, State::AwaitConnect) {
            if name != "connect" {
                return Err(CommandError::BeforeConnect { name: command::shorten(name) });
            }
            let request = ConnectRequest::from_object(&command.object())?;
            self.state = State::ConnectPending { transaction: command.transaction, app: request.app.clone() };
            self.events.push_back(Event::Connect(request));
            return Ok(());
        }
        match name {
            "connect" => return Err(CommandError::SecondConnect),
            "createStream" => {
                let bound = self.limits.message_streams;
                if self.message_streams >= bound {
                    return Err(CommandError::TooManyStreams { bound });
                }
                self.message_streams += 1;
                self.outbound.result(command.transaction, Amf0Value::Number(f64::from(self.message_streams)));
            }
            "publish" => return self.publish(command, message_stream),
            "FCUnpublish" => {
                self.unpublish(PublishEnd::Unpublish);
                let code = "NetStream.Unpublish.Success";
                self.outbound.fc_status("onFCUnpublish", code, "Publishing has stopped.");
                self.answer_nothing(command);
            }
            "deleteStream" => self.unpublish(PublishEnd::DeleteStream),
            "closeStream" => self.unpublish(PublishEnd::CloseStream),
            "play" | "play2" => {
                let description =
                    "this server takes feeds over RTMP and plays them over HTTP, as HLS and MPEG-DASH";
                self.outbound.status(message_stream, "error", "NetStream.Play.Failed", description);
                self.unpublish(PublishEnd::CloseStream);
                self.close();
            }
            // What encoders ask out of habit: "yes".
            "releaseStream" | "FCPublish" | "FCSubscribe" | "_checkbw" | "getStreamLength" => {
                self.answer_nothing(command);
            }
            // Answers to what we never asked.
            "_result" | "_error" | "onStatus" | "onBWDone" => {}
            _ if command.transaction > 0.0 => {
                let description = format!("{} is not known here", command::shorten(name));
                self.outbound.error(command.transaction, "NetConnection.Call.Failed", &description);
            }
            _ => {}
        }
        Ok(())
    }

    fn answer_nothing(&mut self, command: &Command) {
        if command.transaction > 0.0 {
            self.outbound.result(command.transaction, Amf0Value::Undefined);
        }
    }

    fn publish(&mut self, command: &Command, message_stream: u32) -> Result<(), CommandError> {
        let Some(stream_name) = command.text(0) else { return Err(CommandError::NoStreamName) };
        if let State::Publishing { .. } = self.state {
            let description = "this connection is publishing already";
            self.outbound.status(message_stream, "error", RefusalCode::BadName.as_str(), description);
            return Ok(());
        }
        self.state = State::PublishPending { message_stream };
        self.events.push_back(Event::Publish {
            key: StreamKey::from_stream_name(stream_name),
            app: self.app.clone(),
            kind: command::shorten(command.text(1).unwrap_or("live")),
        });
        Ok(())
    }

    fn unpublish(&mut self, end: PublishEnd) {
        if let State::Publishing { message_stream } = self.state {
            self.state = State::Connected;
            let code = "NetStream.Unpublish.Success";
            self.outbound.status(message_stream, "status", code, "Publishing has stopped.");
            self.events.push_back(Event::PublishEnded(end));
        }
    }
}
