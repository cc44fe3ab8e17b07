//! What Enhanced RTMP v2 does alike for audio and video: `ModEx` before a tag's header, several tracks in one tag.

use super::{Cursor, FlvError};

/// Largest `TimestampOffsetNano`: one less than a millisecond.
pub(super) const MAX_NANOS: u32 = 999_999;

/// `ModEx`: 7 in `VideoPacketType` and in `AudioPacketType`.
const MOD_EX: u8 = 7;
/// `TimestampOffsetNano` in `VideoPacketModExType` and in `AudioPacketModExType`.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

// AvMultitrackType.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// Reads the `ModEx` packets before a tag's header, if there are any: the packet type behind them, and the sum of what
/// they say of nanoseconds. Each is at least three bytes long, so their number is bounded by the message.
pub(super) fn modifiers(cursor: &mut Cursor, mut packet_type: u8) -> Result<(u8, u32), FlvError> {
    let mut nanos = 0;
    while packet_type == MOD_EX {
        let mut size = usize::from(cursor.byte("modex size")?) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(cursor.array("modex size")?)) + 1;
        }
        let data = cursor.take(size, "modex data")?;
        let types = cursor.byte("modex type")?;
        packet_type = types & 0x0F;
        if types >> 4 == TIMESTAMP_OFFSET_NANO {
            nanos = Cursor::new(data).unsigned_24("nanosecond offset")?;
            if nanos > MAX_NANOS {
                return Err(FlvError::Nanos { nanos });
            }
        }
    }
    Ok((packet_type, nanos))
}

/// Track 0 of a multitrack tag.
pub(super) struct Track {
    /// The packet type, which all tracks of a tag share.
    pub(super) packet_type: u8,
    pub(super) four_cc: [u8; 4],
    /// The track's own bytes.
    pub(super) body: Cursor,
    /// Whether there were others.
    pub(super) others: bool,
}

/// Reads a multitrack tag from behind its packet type, `multitrack`; `None` where track 0 is not in it.
pub(super) fn default_track(cursor: &mut Cursor, multitrack: u8) -> Result<Option<Track>, FlvError> {
    let types = cursor.byte("multitrack type")?;
    let (layout, packet_type) = (types >> 4, types & 0x0F);
    if layout > MANY_TRACKS_MANY_CODECS {
        return Err(FlvError::Undefined { what: "multitrack type", value: layout });
    }
    if packet_type == multitrack {
        return Err(FlvError::Undefined {
            what: "multitrack packet type within multitrack",
            value: packet_type,
        });
    }
    let mut four_cc = [0; 4];
    if layout != MANY_TRACKS_MANY_CODECS {
        four_cc = cursor.array("fourcc")?;
    }
    let (mut found, mut others) = (None, false);
    loop {
        if layout == MANY_TRACKS_MANY_CODECS {
            four_cc = cursor.array("fourcc")?;
        }
        let track = cursor.byte("track id")?;
        let body = match layout {
            ONE_TRACK => cursor.rest(),
            MANY_TRACKS | MANY_TRACKS_MANY_CODECS => {
                let size = cursor.unsigned_24("track size")?;
                cursor.take(usize::try_from(size).unwrap_or(usize::MAX), "track")?
            }
            _ => return Err(FlvError::Undefined { what: "multitrack type", value: layout }),
        };
        if track == 0 && found.is_none() {
            found = Some((four_cc, body));
        } else {
            others = true;
        }
        if cursor.left() == 0 {
            break;
        }
    }
    Ok(found.map(|(four_cc, body)| Track { packet_type, four_cc, body: Cursor::new(body), others }))
}
