//! Video messages (type 9).

use std::borrow::Cow;

use bytes::Bytes;

use super::enhanced::{default_track, modifiers};
use super::{Cursor, FlvError, Parsed, four_cc_name};

/// Video coding formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodecId {
    /// H.264: `CodecID` 7, or FourCC `avc1`.
    Avc,
    /// HEVC: FourCC `hvc1`, or `CodecID` 12, which no specification knows and many hardware encoders send.
    Hevc,
    /// AV1: FourCC `av01`.
    Av1,
}

/// The kind of picture, as the tag claims (FLV 10.1, E.4.3.1, `FrameType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Decoding can start here.
    Key,
    /// It cannot.
    Inter,
    /// It cannot, and no other picture needs this one.
    Disposable,
}

/// What a video message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoKind {
    /// The body of `avcC`, `hvcC` or `av1C`.
    Configuration(Bytes),
    /// Length-prefixed NAL units, or the OBUs of a temporal unit.
    Picture(Bytes),
    /// The sequence ends; another may follow with a configuration of its own.
    End,
}

/// A video message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTag {
    /// Decoding time in milliseconds, modulo 2^32, on the encoder's clock.
    pub timestamp_millis: u32,
    /// Nanoseconds to add to the time, 0 to 999 999 (Enhanced RTMP v2, `TimestampOffsetNano`).
    pub nanos: u32,
    /// Presentation time less decoding time, in milliseconds; zero for anything but pictures.
    pub composition_millis: i32,
    /// The coding format.
    pub codec: VideoCodecId,
    /// The kind of picture; of no meaning for configurations and ends.
    pub frame: FrameType,
    /// What it carries.
    pub kind: VideoKind,
    /// Whether the message had further tracks, which are dropped.
    pub other_tracks: bool,
}

/// The bit that switches to the enhanced header (Enhanced RTMP v2, `isExVideoHeader`).
const ENHANCED: u8 = 0x80;

// FrameType.
const KEY: u8 = 1;
const INTER: u8 = 2;
const DISPOSABLE: u8 = 3;
const GENERATED_KEY: u8 = 4;
const COMMAND: u8 = 5;

// CodecID.
const AVC: u8 = 7;
const UNOFFICIAL_HEVC: u8 = 12;

// AVCPacketType.
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_NAL_UNITS: u8 = 1;
const AVC_END: u8 = 2;

// VideoPacketType.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2_TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;

/// Reads a video message with the time of its message header.
///
/// # Errors
/// Where the tag is cut short or has values that are not defined.
pub fn parse(timestamp_millis: u32, payload: &Bytes) -> Result<Parsed<VideoTag>, FlvError> {
    if payload.is_empty() {
        return Ok(Parsed::Nothing);
    }
    let mut cursor = Cursor::new(payload.clone());
    let first = cursor.byte("tag header")?;
    let tag = VideoTag {
        timestamp_millis,
        nanos: 0,
        composition_millis: 0,
        codec: VideoCodecId::Avc,
        frame: FrameType::Inter,
        kind: VideoKind::End,
        other_tracks: false,
    };
    match first & ENHANCED {
        0 => classic(first, tag, &mut cursor),
        _ => enhanced(first, tag, &mut cursor),
    }
}

fn frame_type(value: u8) -> Result<FrameType, FlvError> {
    match value {
        KEY | GENERATED_KEY => Ok(FrameType::Key),
        INTER => Ok(FrameType::Inter),
        DISPOSABLE => Ok(FrameType::Disposable),
        _ => Err(FlvError::Undefined { what: "video frame type", value }),
    }
}

fn classic(first: u8, tag: VideoTag, cursor: &mut Cursor) -> Result<Parsed<VideoTag>, FlvError> {
    let frame = first >> 4;
    if frame == COMMAND {
        return Ok(Parsed::Nothing);
    }
    let codec = match first & 0x0F {
        AVC => VideoCodecId::Avc,
        UNOFFICIAL_HEVC => VideoCodecId::Hevc,
        other => return Ok(Parsed::Unsupported(classic_name(other))),
    };
    let packet_type = cursor.byte("avc packet type")?;
    if packet_type == AVC_END {
        return Ok(Parsed::Tag(VideoTag { codec, ..tag }));
    }
    let composition_millis = cursor.signed_24("composition time")?;
    match packet_type {
        AVC_SEQUENCE_HEADER => configuration(VideoTag { codec, ..tag }, cursor),
        AVC_NAL_UNITS => picture(VideoTag { codec, composition_millis, ..tag }, frame, cursor),
        value => Err(FlvError::Undefined { what: "avc packet type", value }),
    }
}

fn enhanced(first: u8, mut tag: VideoTag, cursor: &mut Cursor) -> Result<Parsed<VideoTag>, FlvError> {
    let frame = (first >> 4) & 0x07;
    let (mut packet_type, nanos) = modifiers(cursor, first & 0x0F)?;
    tag.nanos = nanos;
    if packet_type == METADATA || frame == COMMAND {
        return Ok(Parsed::Nothing);
    }
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
    tag.codec = match &four_cc {
        b"avc1" => VideoCodecId::Avc,
        b"hvc1" => VideoCodecId::Hevc,
        b"av01" => VideoCodecId::Av1,
        _ => return Ok(Parsed::Unsupported(enhanced_name(four_cc))),
    };
    match packet_type {
        SEQUENCE_START => configuration(tag, cursor),
        CODED_FRAMES => {
            // AV1 has no composition time: it is shown in the order in which it is decoded.
            if tag.codec != VideoCodecId::Av1 {
                tag.composition_millis = cursor.signed_24("composition time")?;
            }
            picture(tag, frame, cursor)
        }
        CODED_FRAMES_X => picture(tag, frame, cursor),
        SEQUENCE_END => Ok(Parsed::Tag(tag)),
        METADATA => Ok(Parsed::Nothing),
        MPEG2_TS_SEQUENCE_START => Ok(Parsed::Unsupported("AV1 with an MPEG-2 TS video descriptor".into())),
        value => Err(FlvError::Undefined { what: "video packet type", value }),
    }
}

fn configuration(tag: VideoTag, cursor: &mut Cursor) -> Result<Parsed<VideoTag>, FlvError> {
    let record = cursor.rest();
    if record.is_empty() {
        return Err(FlvError::EmptyConfiguration { what: "video sequence header" });
    }
    Ok(Parsed::Tag(VideoTag { kind: VideoKind::Configuration(record), frame: FrameType::Key, ..tag }))
}

fn picture(tag: VideoTag, frame: u8, cursor: &mut Cursor) -> Result<Parsed<VideoTag>, FlvError> {
    let frame = frame_type(frame)?;
    let payload = cursor.rest();
    if payload.is_empty() {
        // Some encoders keep a connection busy so.
        return Ok(Parsed::Nothing);
    }
    Ok(Parsed::Tag(VideoTag { kind: VideoKind::Picture(payload), frame, ..tag }))
}

/// `CodecID` (FLV 10.1, E.4.3.1).
fn classic_name(id: u8) -> Cow<'static, str> {
    match id {
        2 => "Sorenson H.263".into(),
        3 => "Screen video".into(),
        4 => "On2 VP6".into(),
        5 => "On2 VP6 with alpha".into(),
        6 => "Screen video version 2".into(),
        other => format!("video codec {other}").into(),
    }
}

/// `VideoFourCc` (Enhanced RTMP v2).
fn enhanced_name(four_cc: [u8; 4]) -> Cow<'static, str> {
    match &four_cc {
        b"vp08" => "VP8".into(),
        b"vp09" => "VP9".into(),
        b"vvc1" => "VVC".into(),
        _ => format!("video codec {}", four_cc_name(four_cc)).into(),
    }
}
