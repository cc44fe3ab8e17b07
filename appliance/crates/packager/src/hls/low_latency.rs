//! Media playlists of low latency (draft-pantos-hls-rfc8216bis, which RFC 8216bis stands for here): parts, hints,
//! delta updates.
//!
//! A track's playlist goes as far as the track itself: it need not wait for other tracks to have a segment whole.

use std::fmt::{self, Write as _};
use std::time::Duration;

use media::{MediaTime, SegmentNumber, Timescale};

use super::{HlsError, Skip, quoted, seconds, target_duration};
use crate::wall_clock::rfc3339;
use crate::window::{Latency, OpenSegment, Part, Window, WindowTrack, WindowTrackKind};

/// `EXT-X-SKIP` asks for it (RFC 8216bis, 8).
const VERSION: u8 = 9;
/// RFC 8216bis, 4.4.3.8: at least six target durations.
const SKIP_BOUNDARY_TARGETS: u64 = 6;
/// Likewise: at least three target durations.
const HOLD_BACK_TARGETS: u64 = 3;
/// Likewise: should be at least three part targets.
const PART_HOLD_BACK_PARTS: u32 = 3;
/// RFC 8216bis, 6.2.2: parts should go once they are further from the end, in target durations.
const PARTS_WITHIN_TARGETS: u64 = 3;
/// Samples of the AAC frames there are (ISO/IEC 14496-3, `frameLengthFlag`), in the track's timescale.
const AAC_FRAMES: [u64; 2] = [960, 1024];

/// A segment as a playlist lists it.
pub(super) struct Listed<'a> {
    pub(super) number: SegmentNumber,
    start: MediaTime,
    duration: MediaTime,
    /// Empty where they are no longer known.
    pub(super) parts: &'a [Part],
}

impl Listed<'_> {
    fn end(&self) -> MediaTime {
        self.start.plus(self.duration)
    }
}

/// What the playlist of a track lists.
pub(super) struct Listing<'a> {
    /// Consecutive, oldest first.
    pub(super) whole: Vec<Listed<'a>>,
    /// Follows on them.
    pub(super) open: Option<&'a OpenSegment>,
}

impl<'a> Listing<'a> {
    /// The window's segments and, where they follow on those, the track's own newest.
    pub(super) fn of(track: &'a WindowTrack) -> Result<Self, HlsError> {
        let mut whole: Vec<Listed<'a>> = Vec::with_capacity(track.segments.len() + 2);
        let mut parts = track.edge.whole().peekable();
        for listed in &track.segments {
            let found = listed.number;
            if let Some(expected) = whole.last().map(|last| last.number.next())
                && found != expected
            {
                return Err(HlsError::NotConsecutive { track: track.name.clone(), found, expected });
            }
            while parts.next_if(|known| known.number < found).is_some() {}
            let known = parts.next_if(|known| known.number == found);
            whole.push(Listed {
                number: found,
                start: listed.start,
                duration: listed.duration,
                parts: known.map_or(&[], |known| &known.parts),
            });
        }
        let follows =
            |last: Option<&Listed<'_>>, number| last.is_none_or(|last| last.number.next() == number);
        for known in parts {
            if follows(whole.last(), known.number) {
                whole.push(Listed {
                    number: known.number,
                    start: known.start,
                    duration: known.duration(),
                    parts: &known.parts,
                });
            }
        }
        let open = track.edge.open().filter(|open| follows(whole.last(), open.number));
        Ok(Self { whole, open })
    }

    fn first(&self) -> Option<(SegmentNumber, MediaTime)> {
        let whole = self.whole.first().map(|first| (first.number, first.start));
        whole.or(self.open.map(|open| (open.number, open.start)))
    }

    /// Where the last whole segment ends, and where what is listed does.
    fn ends(&self) -> Option<(MediaTime, MediaTime)> {
        let whole = self.whole.last().map(Listed::end);
        let open = self.open.map(|open| open.start.plus(open.duration()));
        let end = open.or(whole)?;
        Some((whole.unwrap_or(end), end))
    }

    /// Segment and index of the newest part; the index lacks where it is not known.
    fn last_part(&self) -> Option<(SegmentNumber, Option<usize>)> {
        let of = |number, parts: &[Part]| (number, parts.len().checked_sub(1));
        let open = self.open.filter(|open| !open.parts.is_empty()).map(|open| of(open.number, &open.parts));
        open.or_else(|| self.whole.last().map(|last| of(last.number, last.parts)))
    }

    /// Segment and index of the part that comes next; none where what comes next has no parts.
    fn next_part(&self, window: &Window, track: &WindowTrack) -> Option<(SegmentNumber, usize)> {
        let next = match self.open {
            // Its last part is there, only that nobody has said so yet. An audio segment never ends before its share.
            Some(open) if open.start.plus(open.duration()) >= window.nominal_end(open.number) => {
                Some((open.number.next(), 0))
            }
            Some(open) => Some((open.number, open.parts.len())),
            None => self.whole.last().map(|last| (last.number.next(), 0)),
        };
        next.filter(|(number, _)| track.edge.has_parts(*number))
    }
}

/// The media playlist of a track while more comes.
pub(super) fn media(window: &Window, track: &WindowTrack, skip: Skip) -> Result<String, HlsError> {
    let listing = Listing::of(track)?;
    let nothing = || HlsError::NothingListed { track: track.name.clone() };
    let (first, first_start) = listing.first().ok_or_else(nothing)?;
    let (whole_end, end) = listing.ends().ok_or_else(nothing)?;
    let folder = format!("../{}{}", window.media_base, track.name);
    let target = target_duration(window, track);
    let skip_boundary = Duration::from_secs(target.saturating_mul(SKIP_BOUNDARY_TARGETS));
    // 6.2.5.1: what is further from the end of the last segment than the boundary, here as a whole.
    let behind = |segment: &&Listed<'_>| whole_end.minus(segment.end()).to_duration() > skip_boundary;
    let skipped = match skip {
        Skip::Yes => listing.whole.iter().take_while(behind).count(),
        Skip::No => 0,
    };
    let start = listing.whole.get(skipped).map_or(first_start, |segment| segment.start);

    let mut out = String::with_capacity(1024 + 64 * listing.whole.len());
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}")?;
    server_control(&mut out, window, target, skip_boundary)?;
    writeln!(out, "#EXT-X-PART-INF:PART-TARGET={}", decimal(part_target(window, track)))?;
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}")?;
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
    }
    // Also in a delta update, for players that do not take it over from the playlist that they had.
    writeln!(out, "#EXT-X-MAP:URI={}", quoted(&format!("{folder}/init.mp4")))?;
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", rfc3339(wall_millis(window, start)))?;
    let shown = Duration::from_secs(target.saturating_mul(PARTS_WITHIN_TARGETS));
    for segment in listing.whole.iter().skip(skipped) {
        if end.minus(segment.end()).to_duration() <= shown {
            parts(&mut out, &folder, segment.number, segment.parts)?;
        }
        writeln!(out, "#EXTINF:{},\n{folder}/{}.m4s", seconds(segment.duration), segment.number)?;
    }
    if let Some(open) = listing.open {
        parts(&mut out, &folder, open.number, &open.parts)?;
    }
    if let Some((number, index)) = listing.next_part(window, track) {
        let uri = quoted(&format!("{folder}/{number}.{index}.m4s"));
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI={uri}")?;
    }
    for other in window.tracks.iter().filter(|other| other.name != track.name) {
        report(&mut out, other)?;
    }
    Ok(out)
}

/// `EXT-X-SERVER-CONTROL` (4.4.3.8), which all playlists of a presentation have alike (6.2.4).
fn server_control(
    out: &mut String,
    window: &Window,
    target: u64,
    skip_boundary: Duration,
) -> Result<(), fmt::Error> {
    let longest = window.tracks.iter().map(|track| part_target(window, track)).max().unwrap_or_default();
    let least = longest.saturating_mul(PART_HOLD_BACK_PARTS);
    // Counted from the end of the playlist, which is behind what comes in by the chunk being written.
    let part_hold_back = match window.latency {
        Latency::Low { chunk_duration, target_latency } => {
            target_latency.saturating_sub(chunk_duration).max(least)
        }
        Latency::Standard => least,
    };
    let hold_back = Duration::from_secs(target.saturating_mul(HOLD_BACK_TARGETS));
    write!(out, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}", decimal(skip_boundary))?;
    writeln!(out, ",HOLD-BACK={},PART-HOLD-BACK={}", decimal(hold_back), decimal(part_hold_back))
}

/// `EXT-X-PART` (4.4.4.9) of each part.
fn parts(out: &mut String, folder: &str, number: SegmentNumber, parts: &[Part]) -> Result<(), fmt::Error> {
    for (index, part) in parts.iter().enumerate() {
        let uri = quoted(&format!("{folder}/{number}.{index}.m4s"));
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        writeln!(out, "#EXT-X-PART:DURATION={},URI={uri}{independent}", seconds(part.duration))?;
    }
    Ok(())
}

/// `EXT-X-RENDITION-REPORT` (4.4.5.4): how far another track is.
fn report(out: &mut String, track: &WindowTrack) -> Result<(), HlsError> {
    let Some((number, index)) = Listing::of(track)?.last_part() else { return Ok(()) };
    let uri = quoted(&format!("../{}/index.m3u8", track.name));
    write!(out, "#EXT-X-RENDITION-REPORT:URI={uri},LAST-MSN={number}")?;
    if let Some(index) = index {
        write!(out, ",LAST-PART={index}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// No part may be longer, and none but the last of a segment shorter than 85% of it (4.4.4.9); nor may it change.
pub(super) fn part_target(window: &Window, track: &WindowTrack) -> Duration {
    let Latency::Low { chunk_duration, .. } = window.latency else { return window.segment_duration };
    let whole = |length: Duration, ticks: u64, scale: u32| {
        let unit = u128::from(ticks) * 1_000_000_000;
        let units = (length.as_nanos() * u128::from(scale)).div_ceil(unit);
        let nanos = (units * unit).div_ceil(u128::from(scale).max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    match track.kind {
        // Whole pictures: a half-rate rung's longest chunk may be half a picture longer. They stand on ticks, rounded down.
        WindowTrackKind::Video { frame_rate, .. } => {
            let (n, d) = (u128::from(frame_rate.numerator()), u128::from(frame_rate.denominator()));
            let pictures = (chunk_duration.as_nanos() * n).div_ceil(d * 1_000_000_000).max(1);
            let scale = u128::from(Timescale::VIDEO.get());
            let ticks = (pictures * d * scale).div_ceil(n);
            let nanos = (ticks * 1_000_000_000).div_ceil(scale);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        }
        WindowTrackKind::Audio { .. } => {
            let frames = AAC_FRAMES.map(|samples| whole(chunk_duration, samples, track.timescale.get()));
            frames.into_iter().max().unwrap_or(chunk_duration)
        }
    }
}

fn wall_millis(window: &Window, time: MediaTime) -> u64 {
    window.availability_start_unix_millis.saturating_add_signed(time.ticks_at(Timescale::MILLIS))
}

/// Seconds with as many decimals as are needed, of six, rounded up: a bound that stays one.
fn decimal(duration: Duration) -> String {
    let micros = duration.as_nanos().div_ceil(1000);
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
