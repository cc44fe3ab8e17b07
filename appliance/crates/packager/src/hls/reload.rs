//! Delivery Directives (RFC 8216bis, 6.2.5): what a player asks for with `_HLS_msn`, `_HLS_part` and `_HLS_skip`, and
//! whether it can be answered yet.

use std::time::Duration;

use media::SegmentNumber;

use super::low_latency::part_target;
use super::{HlsError, target_duration_of};
use crate::window::{Latency, OpenSegment, Window, WindowTrack};

/// RFC 8216bis, 6.2.5.2: how many segments past the last whole one a player may ask for.
const SEGMENTS_AHEAD: u64 = 2;
/// Likewise, the Advance Part Limit: so much time in parts, or so many parts where they are of a second and more.
const PARTS_AHEAD: u64 = 3;
/// Likewise: for how many target durations an answer is held back.
const HELD_TARGETS: u32 = 3;
/// How long the answer to a blocking reload may be kept, in target durations: its address names what it has, and nobody
/// asks for that again once it is so old (Apple, Enabling Low-Latency HTTP Live Streaming).
const KEPT_TARGETS: u32 = 6;

/// Whether a player takes a Playlist Delta Update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Skip {
    /// The whole playlist.
    #[default]
    No,
    /// Without what it has seen: `_HLS_skip=YES`, or `v2`, which is the same without date ranges.
    Yes,
}

/// What a player asks for with the address of a media playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reload {
    /// `_HLS_msn`: not before this segment is listed.
    pub msn: Option<SegmentNumber>,
    /// `_HLS_part`: or, with this, that part of it. Never alone.
    pub part: Option<u32>,
    /// `_HLS_skip`.
    pub skip: Skip,
}

/// Directives that make no sense: status 400, with this as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// Not a decimal integer (RFC 8216bis, 4.2), or over what it may be.
    #[error("{directive} is not a decimal integer of at most {most}")]
    NotANumber {
        /// Which one.
        directive: &'static str,
        /// The greatest that is taken.
        most: u64,
    },
    /// Given more than once.
    #[error("{directive} stands more than once in the query")]
    Repeated {
        /// Which one.
        directive: &'static str,
    },
    /// RFC 8216bis, 6.2.5.2.
    #[error("_HLS_part stands without _HLS_msn")]
    PartAlone,
    /// RFC 8216bis, 6.2.5.2: too far in the future.
    #[error("segment {msn}, part {} is too far ahead: the playlist ends with segment {last}", part.unwrap_or_default())]
    TooFarAhead {
        /// The segment asked for.
        msn: SegmentNumber,
        /// The part asked for.
        part: Option<u32>,
        /// The last one that is whole.
        last: SegmentNumber,
    },
}

/// Whether a playlist can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It has what was asked for.
    Ready,
    /// It will have: hold the answer back, and give up with status 503 after three target durations (6.2.5.2).
    Wait,
    /// It will not have it soon.
    Refused(ReloadError),
}

impl Reload {
    /// Reads the query of a playlist's address, without its question mark. What is not a directive is passed over, as
    /// is an unknown value of `_HLS_skip`: a whole playlist is a right answer to that.
    ///
    /// # Errors
    /// Where a directive stands twice, is not a number, or makes no sense.
    pub fn parse(query: &str) -> Result<Self, ReloadError> {
        let (mut msn, mut part, mut skip) = (None, None, None);
        for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match name {
                "_HLS_msn" => set(&mut msn, "_HLS_msn", number("_HLS_msn", value, u64::MAX)?)?,
                "_HLS_part" => set(&mut part, "_HLS_part", number("_HLS_part", value, u32::MAX.into())?)?,
                "_HLS_skip" => {
                    let wanted = if matches!(value, "YES" | "v2") { Skip::Yes } else { Skip::No };
                    set(&mut skip, "_HLS_skip", wanted)?;
                }
                _ => {}
            }
        }
        if part.is_some() && msn.is_none() {
            return Err(ReloadError::PartAlone);
        }
        Ok(Self {
            msn: msn.map(SegmentNumber),
            part: part.and_then(|part| u32::try_from(part).ok()),
            skip: skip.unwrap_or_default(),
        })
    }
}

fn set<T>(slot: &mut Option<T>, directive: &'static str, value: T) -> Result<(), ReloadError> {
    match slot.replace(value) {
        Some(_) => Err(ReloadError::Repeated { directive }),
        None => Ok(()),
    }
}

/// RFC 8216bis, 4.2: digits alone, no sign; up to 2⁶⁴-1.
fn number(directive: &'static str, value: &str, most: u64) -> Result<u64, ReloadError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = value.parse().ok().filter(|value| digits && *value <= most);
    value.ok_or(ReloadError::NotANumber { directive, most })
}

/// How long an answer is held back at most, for segments of this nominal length.
#[must_use]
pub fn held_back(segment_duration: Duration) -> Duration {
    target_duration_of(segment_duration).saturating_mul(HELD_TARGETS)
}

/// How long caches may keep the answer to a request with `_HLS_msn`, for segments of this nominal length.
#[must_use]
pub fn kept_for(segment_duration: Duration) -> Duration {
    target_duration_of(segment_duration).saturating_mul(KEPT_TARGETS)
}

/// The end of what a playlist lists, without all that stands before it: many wait for it.
struct Tail<'a> {
    /// The last whole segment, and how many parts of it are known.
    whole: Option<(SegmentNumber, usize)>,
    /// Follows on it.
    open: Option<&'a OpenSegment>,
}

impl<'a> Tail<'a> {
    /// As [`super::low_latency::Listing::of`] has it.
    fn of(track: &'a WindowTrack) -> Self {
        let parts_of = |number| {
            track.edge.whole().find(|known| known.number == number).map_or(0, |known| known.parts.len())
        };
        let mut whole = track.segments.last().map(|last| (last.number, parts_of(last.number)));
        for known in track.edge.whole() {
            if whole.is_none_or(|(last, _)| last.next() == known.number) {
                whole = Some((known.number, known.parts.len()));
            }
        }
        let open = track.edge.open();
        Self { whole, open: open.filter(|open| whole.is_none_or(|(last, _)| last.next() == open.number)) }
    }
}

/// Whether the media playlist of a track of [`Window::tracks`] has what a player asks for.
///
/// Segments and parts past the end of a segment count on in the next one. What has ended, or is not low latency, has
/// all that it will have. A segment that has no parts has any of them once it is whole: who asks for one was told of parts
/// that are lost.
///
/// # Errors
/// Where there is no such track. That nothing is listed yet is a reason to wait.
pub fn readiness(window: &Window, track: usize, reload: &Reload) -> Result<Readiness, HlsError> {
    let no_such = HlsError::NoSuchTrack { index: track, tracks: window.tracks.len() };
    let track = window.tracks.get(track).ok_or(no_such)?;
    let Some(msn) = reload.msn else { return Ok(Readiness::Ready) };
    if !window.live || window.latency == Latency::Standard {
        return Ok(Readiness::Ready);
    }
    let tail = Tail::of(track);
    let before_open = || tail.open.map(|open| SegmentNumber(open.number.0.saturating_sub(1)));
    let last = tail.whole.map(|(number, _)| number).or_else(before_open).unwrap_or(SegmentNumber(0));
    let (mut number, mut part) = (msn, reload.part);
    if number <= last {
        let there = tail.whole.is_none_or(|(_, parts)| {
            let at = part.map_or(0, |part| usize::try_from(part).unwrap_or(usize::MAX));
            number < last || part.is_none() || parts == 0 || at < parts
        });
        if there {
            return Ok(Readiness::Ready);
        }
        // Past its last part: the first one of the next.
        (number, part) = (number.next(), Some(0));
    }
    let parts = tail.open.filter(|open| open.number == number).map_or(0, |open| open.parts.len());
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    if part.is_some_and(|part| part < parts) {
        return Ok(Readiness::Ready);
    }
    let target = part_target(window, track);
    let ahead = u64::from(part.map_or(0, |part| part.saturating_add(1).saturating_sub(parts)));
    let far = match target < Duration::from_secs(1) {
        true => u128::from(ahead) * target.as_nanos() > Duration::from_secs(PARTS_AHEAD).as_nanos(),
        false => ahead > PARTS_AHEAD,
    };
    let far = far && track.edge.has_parts(number);
    if far || number.0 > last.0.saturating_add(SEGMENTS_AHEAD) {
        return Ok(Readiness::Refused(ReloadError::TooFarAhead { msn, part: reload.part, last }));
    }
    Ok(Readiness::Wait)
}
