//! Commands and data messages, once their AMF0 is read (RTMP 1.0, 7.1.1, 7.1.2, 7.2).

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use rml_amf0::Amf0Value;

use crate::Limits;
use crate::amf::{self, AmfError};
use crate::chunk::Message;

/// A command that may not come here, or lacks what it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A command message begins with its name (7.1.1).
    #[error("command message does not begin with a name")]
    NoName,
    /// `connect` comes first (7.2.1.1).
    #[error("command {name:?} before connect")]
    BeforeConnect {
        /// The command, shortened.
        name: String,
    },
    /// `connect` comes once.
    #[error("second connect on one connection")]
    SecondConnect,
    /// `connect` says where to (7.2.1.1).
    #[error("connect names no application")]
    NoApplication,
    /// `publish` says what (7.2.2.6).
    #[error("publish names no stream")]
    NoStreamName,
    /// More streams than a publisher needs.
    #[error("createStream beyond the bound of {bound} streams")]
    TooManyStreams {
        /// The bound.
        bound: u32,
    },
    /// Input went on although a decision was awaited.
    #[error("{bytes} bytes came while connect or publish was being decided, over the bound of {bound}")]
    TooMuchHeld {
        /// Bytes held.
        bytes: usize,
        /// The bound.
        bound: usize,
    },
    /// So many small messages at once that what they cause piles up.
    #[error("{count} events and answers wait to be taken, over the bound of {bound}")]
    TooMuchQueued {
        /// Events and answers.
        count: usize,
        /// The bound.
        bound: usize,
    },
    /// An answer that cannot be written.
    #[error("answer could not be written")]
    Answer,
    /// A control message shorter than its fields (5.4, 7.1.7).
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

/// Longest text of a peer's choosing that is kept, in characters.
const TEXT_CHARACTERS: usize = 256;

/// The secret that a publisher shows. Its bytes are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(Bytes);

impl StreamKey {
    /// The key in a stream name: what stands before the query, without slashes around it.
    #[must_use]
    pub fn from_stream_name(name: &str) -> Self {
        let path = name.split('?').next().unwrap_or_default();
        Self(Bytes::copy_from_slice(path.trim_matches('/').as_bytes()))
    }

    /// The key itself. Compare in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(redacted)")
    }
}

/// What `connect` says (RTMP 1.0, 7.2.1.1; Enhanced RTMP v2, "Enhancing NetConnection connect Command").
///
/// Some people put their key into the server's address, so `Debug` shows no text in which it could stand.
#[derive(Clone, PartialEq)]
pub struct ConnectRequest {
    /// The application, without query and without slashes around it.
    pub app: String,
    /// The address the peer believes to publish to, shortened. May hold a secret: do not log it.
    pub tc_url: String,
    /// The encoder's name for itself, shortened: `FMLE/3.0 (compatible; FMSc/1.0)` and the like.
    pub flash_ver: String,
    /// Whether the peer obeys [`crate::ServerSession::request_reconnect`].
    pub can_reconnect: bool,
    /// Whether the peer speaks Enhanced RTMP.
    pub enhanced: bool,
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash_ver, can_reconnect, enhanced, .. } = self;
        f.debug_struct("ConnectRequest")
            .field("flash_ver", flash_ver)
            .field("can_reconnect", can_reconnect)
            .field("enhanced", enhanced)
            .finish_non_exhaustive()
    }
}

impl ConnectRequest {
    pub(crate) fn from_object(object: &Properties) -> Result<Self, CommandError> {
        let app = object.text("app").ok_or(CommandError::NoApplication)?;
        let app = shorten(app.split('?').next().unwrap_or_default().trim_matches('/'));
        // CapsExMask.Reconnect.
        let can_reconnect = object.number("capsEx").is_some_and(|caps| caps >= 1.0 && caps % 2.0 >= 1.0);
        let enhanced = ["capsEx", "fourCcList", "videoFourCcInfoMap"].iter().any(|name| object.has(name));
        Ok(Self {
            app,
            tc_url: object.text("tcUrl").map(shorten).unwrap_or_default(),
            flash_ver: object.text("flashVer").map(shorten).unwrap_or_default(),
            can_reconnect,
            enhanced,
        })
    }
}

/// What `onMetaData` says (FLV 10.1, E.5; Enhanced RTMP v2, "Enhancing onMetaData"). All of it is hearsay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// The video coding format: a FourCC, a number, or the encoder's own word.
    pub video_codec: Option<String>,
    /// The audio coding format, likewise.
    pub audio_codec: Option<String>,
    /// Video bit rate, in kilobits per second.
    pub video_kilobits: Option<f64>,
    /// Audio bit rate, in kilobits per second.
    pub audio_kilobits: Option<f64>,
    /// Audio samples a second.
    pub audio_sample_rate: Option<u32>,
    /// Audio channels.
    pub audio_channels: Option<u32>,
    /// Whether there is video: as declared (`hasVideo`), else whether anything is said of it; `None` where nothing is
    /// said of either.
    pub has_video: Option<bool>,
    /// Whether there is audio, likewise.
    pub has_audio: Option<bool>,
    /// The encoder's name, shortened.
    pub encoder: Option<String>,
}

impl Metadata {
    /// The metadata in a data message, if it is any: `["@setDataFrame", "onMetaData", {…}]` or `["onMetaData", {…}]`.
    pub(crate) fn from_values(values: Vec<Amf0Value>) -> Option<Self> {
        let mut values = values.into_iter().peekable();
        values.next_if_eq(&Amf0Value::Utf8String("@setDataFrame".to_owned()));
        values.next_if_eq(&Amf0Value::Utf8String("onMetaData".to_owned()))?;
        let object = Properties(values.next()?.get_object_properties()?);
        let stereo = object.boolean("stereo").map(|stereo| if stereo { 2 } else { 1 });
        let mut metadata = Self {
            width: object.whole("width"),
            height: object.whole("height"),
            frame_rate: object.number("framerate").or_else(|| object.number("videoframerate")),
            video_codec: object.codec("videocodecid"),
            audio_codec: object.codec("audiocodecid"),
            video_kilobits: object.number("videodatarate"),
            audio_kilobits: object.number("audiodatarate"),
            audio_sample_rate: object.whole("audiosamplerate"),
            audio_channels: object.whole("audiochannels").or(stereo),
            has_video: None,
            has_audio: None,
            encoder: object.text("encoder").map(shorten),
        };
        let video = metadata.video_codec.is_some() || metadata.width.is_some();
        let audio = metadata.audio_codec.is_some() || metadata.audio_sample_rate.is_some();
        let said = |said: bool| (video || audio).then_some(said);
        metadata.has_video = object.boolean("hasVideo").or_else(|| said(video));
        metadata.has_audio = object.boolean("hasAudio").or_else(|| said(audio));
        Some(metadata)
    }
}

/// A command's name, transaction and arguments; the first argument is the command object (7.1.1).
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: String,
    /// Zero where no answer is wanted.
    pub(crate) transaction: f64,
    arguments: Vec<Amf0Value>,
}

impl Command {
    pub(crate) fn from_values(values: Vec<Amf0Value>) -> Result<Self, CommandError> {
        let mut values = values.into_iter();
        let name = values.next().and_then(Amf0Value::get_string).ok_or(CommandError::NoName)?;
        let transaction = values.next().and_then(Amf0Value::get_number).unwrap_or(0.0);
        Ok(Self { name, transaction, arguments: values.collect() })
    }

    /// The command object; empty where it is null.
    pub(crate) fn object(&self) -> Properties {
        match self.arguments.first() {
            Some(Amf0Value::Object(properties)) => Properties(properties.clone()),
            _ => Properties(HashMap::new()),
        }
    }

    /// The argument at `index` behind the command object, if it is a string.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        match self.arguments.get(index + 1) {
            Some(Amf0Value::Utf8String(text)) => Some(text),
            _ => None,
        }
    }
}

/// The values of a command or data message. Those marked AMF3 (types 15 and 17) are AMF0 behind one byte that says so.
pub(crate) fn values(message: &Message, limits: &Limits) -> Result<Vec<Amf0Value>, AmfError> {
    let data = match (message.type_id, message.payload.as_ref()) {
        (crate::DATA_AMF3 | crate::COMMAND_AMF3, [0, rest @ ..]) => rest,
        (_, payload) => payload,
    };
    amf::decode(data, limits)
}

/// An AMF0 object by name.
pub(crate) struct Properties(HashMap<String, Amf0Value>);

impl Properties {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Amf0Value::Utf8String(text)) => Some(text),
            _ => None,
        }
    }

    /// A finite number.
    fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name) {
            Some(Amf0Value::Number(number)) => Some(*number).filter(|number| number.is_finite()),
            _ => None,
        }
    }

    /// A number from 1 to 2^32 - 1, rounded.
    fn whole(&self, name: &str) -> Option<u32> {
        let number = self.number(name)?.round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within u32, checked here"
        )]
        (1.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Amf0Value::Boolean(value)) => Some(*value),
            _ => None,
        }
    }

    /// A coding format, as text: a number of four printable characters is a FourCC.
    fn codec(&self, name: &str) -> Option<String> {
        if let Some(text) = self.text(name) {
            return Some(shorten(text)).filter(|text| !text.is_empty());
        }
        let number = self.whole(name)?;
        let four_cc = number.to_be_bytes();
        Some(if number > u32::from(u8::MAX) { crate::flv::four_cc_name(four_cc) } else { number.to_string() })
    }
}

/// The first characters of a peer's text, without control characters.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_CHARACTERS).collect()
}
