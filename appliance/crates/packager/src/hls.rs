//! HLS (RFC 8216): master and media playlists over the same CMAF segments.
//!
//! The master playlist stands beside the MPD; a track's media playlist stands in the folder of the track's name below
//! it, so that the segments are at `../{media_base}{name}/` from there. In low latency the parts of
//! segment 7 are `7.0.m4s`, `7.1.m4s` and so on, beside `7.m4s`.

use std::fmt::{self, Write as _};
use std::time::Duration;

use media::{MediaTime, SegmentNumber, Timescale};

use crate::wall_clock::rfc3339;
use crate::window::{Latency, Window, WindowTrack, WindowTrackKind};

mod low_latency;
mod reload;

pub use reload::{Readiness, Reload, ReloadError, Skip, held_back, kept_for, readiness};

/// 6 is enough for `EXT-X-MAP` (RFC 8216, 7); 7 is what players expect of fragmented MP4.
const VERSION: u8 = 7;
/// The longest AAC frame: 1024 samples at 8 kHz. An audio segment may be that much longer than nominal.
const LONGEST_AUDIO_FRAME: Duration = Duration::from_millis(128);
/// The group that all variants take their sound from.
const AUDIO_GROUP: &str = "audio";
/// The group of closed captions.
const CAPTIONS_GROUP: &str = "captions";

/// A window that cannot be written as a playlist.
#[derive(Debug, thiserror::Error)]
pub enum HlsError {
    /// There is nothing to play.
    #[error("presentation has no tracks")]
    NoTracks,
    /// The track does not exist.
    #[error("track {index} does not exist, there are {tracks}")]
    NoSuchTrack {
        /// What was asked for.
        index: usize,
        /// How many there are.
        tracks: usize,
    },
    /// There is nothing to begin with.
    #[error("track {track} lists no segments")]
    NothingListed {
        /// Its name.
        track: String,
    },
    /// Numbers follow from `EXT-X-MEDIA-SEQUENCE`.
    #[error("track {track} lists segment {found} where {expected} should be")]
    NotConsecutive {
        /// Its name.
        track: String,
        /// What stands there.
        found: SegmentNumber,
        /// What should.
        expected: SegmentNumber,
    },
    /// The text buffer failed.
    #[error("playlist cannot be written")]
    Write(#[from] fmt::Error),
}

/// The master playlist: a variant for each rung, with the sound as a group of its own; for sound alone, a variant each.
///
/// # Errors
/// Where there is no track.
pub fn master(window: &Window) -> Result<String, HlsError> {
    if window.tracks.is_empty() {
        return Err(HlsError::NoTracks);
    }
    let is_sound = |track: &&WindowTrack| matches!(track.kind, WindowTrackKind::Audio { .. });
    let (sound, pictures): (Vec<_>, Vec<_>) = window.tracks.iter().partition(is_sound);
    let mut out = String::new();
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS")?;
    if pictures.is_empty() {
        for track in sound {
            variant(&mut out, track, &[], false)?;
        }
        return Ok(out);
    }
    for (index, track) in sound.iter().enumerate() {
        let WindowTrackKind::Audio { channels, .. } = track.kind else { continue };
        let default = if index == 0 { "YES" } else { "NO" };
        let uri = quoted(&format!("{}/index.m3u8", track.name));
        write!(out, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME={}", quoted(&track.name))?;
        writeln!(out, ",DEFAULT={default},AUTOSELECT=YES,CHANNELS=\"{channels}\",URI={uri}")?;
    }
    let captions = pictures.iter().any(|track| track.kind.has_captions());
    if captions {
        // 4.4.6.1. Rungs of half the rate, which have none, stand in the group too: a variant without the attribute beside
        // ones with it would be a variant of which nothing is known.
        write!(out, "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"{CAPTIONS_GROUP}\",NAME=\"CC1\"")?;
        writeln!(out, ",DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=\"CC1\"")?;
    }
    for track in pictures {
        variant(&mut out, track, &sound, captions)?;
    }
    Ok(out)
}

/// `EXT-X-STREAM-INF`: rates and codecs are those of the track together with the most demanding sound (4.3.4.2).
fn variant(
    out: &mut String,
    track: &WindowTrack,
    sound: &[&WindowTrack],
    captions: bool,
) -> Result<(), HlsError> {
    let beside = sound.iter().max_by_key(|audio| peak(audio));
    let peak_rate = peak(track).saturating_add(beside.map_or(0, |audio| peak(audio)));
    let mean_rate = mean(track).saturating_add(beside.map_or(0, |audio| mean(audio)));
    let mut codecs = vec![track.codecs.as_str()];
    for audio in sound {
        if !codecs.contains(&audio.codecs.as_str()) {
            codecs.push(&audio.codecs);
        }
    }
    write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak_rate},AVERAGE-BANDWIDTH={mean_rate}")?;
    write!(out, ",CODECS={}", quoted(&codecs.join(",")))?;
    if let WindowTrackKind::Video { size, frame_rate, .. } = track.kind {
        write!(out, ",RESOLUTION={size},FRAME-RATE={:.3}", frame_rate.as_f64())?;
    }
    if beside.is_some() {
        write!(out, ",AUDIO=\"{AUDIO_GROUP}\"")?;
    }
    if captions {
        write!(out, ",CLOSED-CAPTIONS=\"{CAPTIONS_GROUP}\"")?;
    }
    writeln!(out, "\n{}/index.m3u8", track.name)?;
    Ok(())
}

/// The media playlist of a track of [`Window::tracks`], which stands at `{name}/index.m3u8` beside the master playlist.
///
/// # Errors
/// Where there is no such track, or it lists nothing, or its segments do not follow on each other.
pub fn media(window: &Window, track: usize) -> Result<String, HlsError> {
    media_update(window, track, Skip::No)
}

/// As [`media()`], where asked for as a Playlist Delta Update, which only low latency offers and what has ended does not.
///
/// # Errors
/// Likewise.
pub fn media_update(window: &Window, track: usize, skip: Skip) -> Result<String, HlsError> {
    let no_such = HlsError::NoSuchTrack { index: track, tracks: window.tracks.len() };
    let track = window.tracks.get(track).ok_or(no_such)?;
    if window.live && matches!(window.latency, Latency::Low { .. }) {
        return low_latency::media(window, track, skip);
    }
    let nothing = || HlsError::NothingListed { track: track.name.clone() };
    let first = track.segments.first().ok_or_else(nothing)?;
    let folder = format!("../{}{}", window.media_base, track.name);
    let wall_millis = first.start.ticks_at(Timescale::MILLIS);
    let wall = window.availability_start_unix_millis.saturating_add_signed(wall_millis);

    let mut out = String::with_capacity(256 + 48 * track.segments.len());
    writeln!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}",
        target_duration(window, track)
    )?;
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.number)?;
    // No EXT-X-PLAYLIST-TYPE: what has ended was live at the same URL, and may not gain one (6.2.1). The end says as much.
    writeln!(out, "#EXT-X-MAP:URI={}", quoted(&format!("{folder}/init.mp4")))?;
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", rfc3339(wall))?;
    let mut expected = first.number;
    for listed in &track.segments {
        let found = listed.number;
        if found != expected {
            return Err(HlsError::NotConsecutive { track: track.name.clone(), found, expected });
        }
        expected = found.next();
        writeln!(out, "#EXTINF:{},\n{folder}/{found}.m4s", seconds(listed.duration))?;
    }
    if !window.live {
        writeln!(out, "#EXT-X-ENDLIST")?;
    }
    Ok(out)
}

/// RFC 8216, 4.3.3.1: no `EXTINF`, rounded to the nearest second, may be over it, and it must not change; so it is
/// made from the nominal length, with room for an audio frame, and not from what happens to be listed.
fn target_duration(window: &Window, track: &WindowTrack) -> u64 {
    let listed = track.segments.iter().map(|segment| rounded(segment.duration.to_duration()));
    listed.chain([target_duration_of(window.segment_duration).as_secs()]).max().unwrap_or(1)
}

/// The target duration of segments of this nominal length.
pub(crate) fn target_duration_of(segment_duration: Duration) -> Duration {
    Duration::from_secs(rounded(segment_duration.saturating_add(LONGEST_AUDIO_FRAME)).max(1))
}

fn rounded(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_millis() >= 500))
}

/// Seconds with six decimals.
fn seconds(duration: MediaTime) -> String {
    let duration = duration.to_duration();
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

fn peak(track: &WindowTrack) -> u64 {
    track.peak_bit_rate.max(1)
}

fn mean(track: &WindowTrack) -> u64 {
    track.mean_bit_rate.clamp(1, peak(track))
}

/// A quoted string, which cannot hold quotes or line ends (RFC 8216, 4.2).
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '"' && !c.is_control()).collect();
    format!("\"{text}\"")
}
#[cfg(test)]
mod tests;
