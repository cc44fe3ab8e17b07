//! Audio messages (type 8).

use std::borrow::Cow;

use bytes::Bytes;

use super::enhanced::{default_track, modifiers};
use super::{Cursor, FlvError, Parsed, four_cc_name};

/// Audio coding formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodecId {
    /// AAC: `SoundFormat` 10, or FourCC `mp4a`.
    Aac,
}

/// What an audio message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioKind {
    /// An `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    Configuration(Bytes),
    /// A raw AAC frame.
    Frame(Bytes),
}

/// An audio message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTag {
    /// Milliseconds, modulo 2^32, on the encoder's clock.
    pub timestamp_millis: u32,
    /// Nanoseconds to add to the time, 0 to 999 999 (Enhanced RTMP v2, `TimestampOffsetNano`).
    pub nanos: u32,
    /// The coding format.
    pub codec: AudioCodecId,
    /// What it carries.
    pub kind: AudioKind,
    /// Whether the message had further tracks, which are dropped.
    pub other_tracks: bool,
}

// SoundFormat.
const ENHANCED: u8 = 9;
const AAC: u8 = 10;

// AACPacketType.
const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;

// AudioPacketType.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

/// Reads an audio message with the time of its message header.
///
/// # Errors
/// Where the tag is cut short or has values that are not defined.
pub fn parse(timestamp_millis: u32, payload: &Bytes) -> Result<Parsed<AudioTag>, FlvError> {
    if payload.is_empty() {
        return Ok(Parsed::Nothing);
    }
    let mut cursor = Cursor::new(payload.clone());
    let first = cursor.byte("tag header")?;
    let tag = AudioTag {
        timestamp_millis,
        nanos: 0,
        codec: AudioCodecId::Aac,
        kind: AudioKind::Frame(Bytes::new()),
        other_tracks: false,
    };
    match first >> 4 {
        ENHANCED => enhanced(first & 0x0F, tag, &mut cursor),
        AAC if cursor.left() == 0 => Ok(Parsed::Nothing),
        AAC => match cursor.byte("aac packet type")? {
            AAC_SEQUENCE_HEADER => configuration(tag, &mut cursor),
            AAC_RAW => Ok(frame(tag, &mut cursor)),
            value => Err(FlvError::Undefined { what: "aac packet type", value }),
        },
        other => Ok(Parsed::Unsupported(classic_name(other))),
    }
}

fn enhanced(packet_type: u8, mut tag: AudioTag, cursor: &mut Cursor) -> Result<Parsed<AudioTag>, FlvError> {
    let (mut packet_type, nanos) = modifiers(cursor, packet_type)?;
    tag.nanos = nanos;
    let mut track = None;
    let four_cc = if packet_type == MULTITRACK {
        let Some(found) = default_track(cursor, MULTITRACK)? else { return Ok(Parsed::OtherTrack) };
        packet_type = found.packet_type;
        tag.other_tracks = found.others;
        track = Some(found.body);
        found.four_cc
    } else {
        cursor.array("fourcc")?
    };
    let cursor = track.as_mut().unwrap_or(cursor);
    if &four_cc != b"mp4a" {
        return Ok(Parsed::Unsupported(enhanced_name(four_cc)));
    }
    match packet_type {
        SEQUENCE_START => configuration(tag, cursor),
        CODED_FRAMES => Ok(frame(tag, cursor)),
        // AAC says itself what its channels are.
        SEQUENCE_END | MULTICHANNEL_CONFIG => Ok(Parsed::Nothing),
        value => Err(FlvError::Undefined { what: "audio packet type", value }),
    }
}

fn configuration(tag: AudioTag, cursor: &mut Cursor) -> Result<Parsed<AudioTag>, FlvError> {
    let config = cursor.rest();
    if config.is_empty() {
        return Err(FlvError::EmptyConfiguration { what: "aac sequence header" });
    }
    Ok(Parsed::Tag(AudioTag { kind: AudioKind::Configuration(config), ..tag }))
}

fn frame(tag: AudioTag, cursor: &mut Cursor) -> Parsed<AudioTag> {
    let payload = cursor.rest();
    if payload.is_empty() {
        return Parsed::Nothing;
    }
    Parsed::Tag(AudioTag { kind: AudioKind::Frame(payload), ..tag })
}

/// `SoundFormat` (FLV 10.1, E.4.2.1).
fn classic_name(format: u8) -> Cow<'static, str> {
    match format {
        0 | 3 => "uncompressed PCM".into(),
        1 => "ADPCM".into(),
        2 | 14 => "MP3".into(),
        4..=6 => "Nellymoser".into(),
        7 => "G.711 A-law".into(),
        8 => "G.711 mu-law".into(),
        11 => "Speex".into(),
        other => format!("audio codec {other}").into(),
    }
}

/// `AudioFourCc` (Enhanced RTMP v2).
fn enhanced_name(four_cc: [u8; 4]) -> Cow<'static, str> {
    match &four_cc {
        b"ac-3" => "AC-3".into(),
        b"ec-3" => "E-AC-3".into(),
        b"Opus" => "Opus".into(),
        b".mp3" => "MP3".into(),
        b"fLaC" => "FLAC".into(),
        _ => format!("audio codec {}", four_cc_name(four_cc)).into(),
    }
}
