//! MPEG-DASH (ISO/IEC 23009-1): the MPD of a window.
//!
//! Segments are addressed by `$Number$` and timed by a `SegmentTimeline`, so that every time in the MPD is the exact
//! `tfdt` of its segment, also for sound, whose segments differ in length. Nothing is listed before it is whole. Low
//! latency lists nothing and gives a rule instead (`dash/low_latency.rs`).

use std::time::Duration;

use media::{FrameRate, MediaTime, SegmentNumber, Size};

use crate::wall_clock::rfc3339;
use crate::window::{Window, WindowTrack, WindowTrackKind};

mod low_latency;
mod schema;

use low_latency::LowLatency;
use schema::{
    AdaptationSet, Descriptor, Mpd, Period, ProgramInformation, Representation, Run, SegmentTemplate,
    SegmentTimeline, Text,
};

/// What the presentation promises: live addressing (ISO/IEC 23009-1, 8.4) over CMAF tracks (8.12).
const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";
/// How many segments a player should stay behind the live edge: one that is being fetched, one that is being announced,
/// and one to spare.
const DELAY_SEGMENTS: u32 = 3;
/// Who would begin this near to the presentation's beginning begins there: see [`presentation_delay`].
const NEAR_BEGINNING: Duration = Duration::from_secs(1);

/// A window that cannot be written as an MPD.
#[derive(Debug, thiserror::Error)]
pub enum DashError {
    /// There is nothing to play.
    #[error("presentation has no tracks")]
    NoTracks,
    /// A `SegmentTimeline` has at least one entry.
    #[error("track {track} lists no segments")]
    NothingListed {
        /// Its name.
        track: String,
    },
    /// With `$Number$` addressing, numbers follow from the first.
    #[error("track {track} lists segment {found} where {expected} should be")]
    NotConsecutive {
        /// Its name.
        track: String,
        /// What stands there.
        found: SegmentNumber,
        /// What should.
        expected: SegmentNumber,
    },
    /// Segments begin at or after zero and last.
    #[error("track {track} lists segment {segment} at {start} for {duration}")]
    Times {
        /// Its name.
        track: String,
        /// The segment.
        segment: SegmentNumber,
        /// Where it begins.
        start: MediaTime,
        /// How long it lasts.
        duration: MediaTime,
    },
    /// The XML writer failed.
    #[error("manifest cannot be written as XML")]
    Xml(#[source] quick_xml::SeError),
}

/// The MPD of a window: `dynamic` while it is live, `static` after.
///
/// # Errors
/// Where there is no track, or one lists nothing, or its segments do not follow on each other. In low latency nothing
/// is listed, and only the first holds.
pub fn mpd(window: &Window) -> Result<String, DashError> {
    if window.tracks.is_empty() {
        return Err(DashError::NoTracks);
    }
    let segment = window.segment_duration;
    let low = LowLatency::of(window);
    let live = |text: String| window.live.then_some(text);
    let document = Mpd {
        xmlns: "urn:mpeg:dash:schema:mpd:2011",
        profiles: PROFILES,
        kind: if window.live { "dynamic" } else { "static" },
        availability_start_time: live(rfc3339(window.availability_start_unix_millis)),
        publish_time: live(rfc3339(window.published_unix_millis)),
        media_presentation_duration: (!window.live).then(|| {
            let end = end(window);
            let end = low.map_or(end, |low| low.end(end));
            xs_duration(end.saturating_sub(window.origin.to_duration()))
        }),
        minimum_update_period: live(xs_duration(low.map_or(segment, LowLatency::update_period))),
        min_buffer_time: xs_duration(low.map_or(segment, LowLatency::buffer_time)),
        time_shift_buffer_depth: live(xs_duration(window.time_shift)),
        // In low latency the service description says it (`dash/low_latency.rs`).
        suggested_presentation_delay: low
            .is_none()
            .then(|| live(xs_duration(presentation_delay(window))))
            .flatten(),
        max_segment_duration: xs_duration(longest(window)),
        program_information: ProgramInformation { title: Text { text: xml_text(&window.title) } },
        service_description: low.and_then(LowLatency::service_description),
        period: Period { id: "0", start: "PT0S", adaptation_sets: adaptation_sets(window)? },
        utc_timing: window.live.then(|| utc_timing(window)),
    };
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut serializer =
        quick_xml::se::Serializer::with_root(&mut xml, Some("MPD")).map_err(DashError::Xml)?;
    serializer.indent(' ', 1);
    serde::Serialize::serialize(&document, serializer).map_err(DashError::Xml)?;
    xml.push('\n');
    Ok(xml)
}

/// How far behind the end of what is listed a player should begin.
///
/// Who comes when that would be less than a second into the presentation begins at its beginning instead, for up to a
/// second more of delay. Shaka Player 5.2 cannot do otherwise: it tells the browser of no seekable range that is not over
/// a second long (`updateLiveSeekableRangeTimer_` in its `streaming_engine.js`), so as long as nothing is buffered, its
/// seek to where it begins is dropped (HTML, 4.8.11.9 Seeking, step 8). It then takes the playhead to stand there for
/// good (`started_` in its `video_wrapper.js`), and fetches nothing more once its buffering goal is met from there.
fn presentation_delay(window: &Window) -> Duration {
    let usual = window.segment_duration.saturating_mul(DELAY_SEGMENTS);
    let end = end(window);
    match end.abs_diff(usual) <= NEAR_BEGINNING {
        // The time that a player takes from reading this to looking where to begin goes off it.
        true => end.saturating_add(NEAR_BEGINNING),
        false => usual,
    }
}

fn utc_timing(window: &Window) -> Descriptor {
    Descriptor { scheme: "urn:mpeg:dash:utc:http-iso:2014", value: xml_text(&window.time_url) }
}

fn adaptation_sets(window: &Window) -> Result<Vec<AdaptationSet>, DashError> {
    let mut pictures = Vec::new();
    let mut sets = Vec::new();
    for track in &window.tracks {
        match track.kind {
            WindowTrackKind::Video { size, frame_rate, .. } => pictures.push((track, size, frame_rate)),
            WindowTrackKind::Audio { sample_rate, channels } => {
                sets.push(audio_set(window, track, sample_rate, channels)?);
            }
        }
    }
    if !pictures.is_empty() {
        sets.insert(0, video_set(window, &pictures)?);
    }
    for (id, set) in (0..).zip(&mut sets) {
        set.id = id;
    }
    Ok(sets)
}

fn video_set(window: &Window, rungs: &[(&WindowTrack, Size, FrameRate)]) -> Result<AdaptationSet, DashError> {
    let representations = rungs
        .iter()
        .map(|&(track, size, frame_rate)| {
            Ok(Representation {
                width: Some(size.width),
                height: Some(size.height),
                frame_rate: Some(frame_rate.to_string()),
                sar: Some("1:1"),
                ..representation(window, track)?
            })
        })
        .collect::<Result<_, DashError>>()?;
    let fastest = rungs.iter().map(|rung| rung.2).max_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
    let has_captions = |rung: &(&WindowTrack, Size, FrameRate)| rung.0.kind.has_captions();
    Ok(AdaptationSet {
        // SCTE 214-1, 7.2.1: whose language is not known.
        accessibility: rungs
            .iter()
            .any(has_captions)
            .then(|| Descriptor { scheme: "urn:scte:dash:cc:cea-608:2015", value: "CC1=und".to_owned() }),
        max_width: rungs.iter().map(|rung| rung.1.width).max(),
        max_height: rungs.iter().map(|rung| rung.1.height).max(),
        max_frame_rate: fastest.map(|rate| rate.to_string()),
        par: picture_aspect_ratio(rungs.iter().map(|rung| rung.1)),
        ..adaptation_set(window, "video", "video/mp4", representations)
    })
}

fn audio_set(
    window: &Window,
    track: &WindowTrack,
    sample_rate: u32,
    channels: u8,
) -> Result<AdaptationSet, DashError> {
    let representation = Representation {
        audio_sampling_rate: Some(sample_rate),
        audio_channel_configuration: channel_configuration(channels).map(|value| Descriptor {
            scheme: "urn:mpeg:mpegB:cicp:ChannelConfiguration",
            value: value.to_string(),
        }),
        ..representation(window, track)?
    };
    Ok(adaptation_set(window, "audio", "audio/mp4", vec![representation]))
}

fn adaptation_set(
    window: &Window,
    kind: &'static str,
    mime_type: &'static str,
    representations: Vec<Representation>,
) -> AdaptationSet {
    AdaptationSet {
        id: 0,
        content_type: kind,
        mime_type,
        lang: "und",
        segment_alignment: true,
        start_with_sap: 1,
        max_width: None,
        max_height: None,
        max_frame_rate: None,
        par: None,
        producer_reference_time: LowLatency::of(window).and_then(LowLatency::producer_reference_time),
        accessibility: None,
        role: Descriptor { scheme: "urn:mpeg:dash:role:2011", value: "main".to_owned() },
        representations,
    }
}

fn representation(window: &Window, track: &WindowTrack) -> Result<Representation, DashError> {
    Ok(Representation {
        id: xml_text(&track.name),
        bandwidth: track.peak_bit_rate.max(1),
        codecs: xml_text(&track.codecs),
        width: None,
        height: None,
        frame_rate: None,
        sar: None,
        audio_sampling_rate: None,
        audio_channel_configuration: None,
        segment_template: template(window, track)?,
    })
}

fn template(window: &Window, track: &WindowTrack) -> Result<SegmentTemplate, DashError> {
    let base = format!("{}$RepresentationID$", xml_text(&window.media_base).replace('$', "$$"));
    let (initialization, media) = (format!("{base}/init.mp4"), format!("{base}/$Number$.m4s"));
    if let Some(low) = LowLatency::of(window) {
        return Ok(low.template(track, initialization, media));
    }
    let nothing = || DashError::NothingListed { track: track.name.clone() };
    Ok(SegmentTemplate {
        timescale: track.timescale.get(),
        initialization,
        media,
        start_number: track.segments.first().ok_or_else(nothing)?.number.0,
        duration: None,
        presentation_time_offset: origin(window, track),
        availability_time_offset: None,
        availability_time_complete: None,
        timeline: Some(SegmentTimeline { runs: timeline(track)? }),
    })
}

/// What of a track's times is the Period's zero (ISO/IEC 23009-1, 5.3.9.2); none where that is the presentation's.
fn origin(window: &Window, track: &WindowTrack) -> Option<u64> {
    u64::try_from(window.origin.ticks_at(track.timescale)).ok().filter(|ticks| *ticks > 0)
}

/// Segments of the same length that follow on each other share an entry; a time stands where one does not follow.
fn timeline(track: &WindowTrack) -> Result<Vec<Run>, DashError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut following: Option<(SegmentNumber, u64)> = None;
    for listed in &track.segments {
        let number = listed.number;
        let times = || DashError::Times {
            track: track.name.clone(),
            segment: number,
            start: listed.start,
            duration: listed.duration,
        };
        let start = u64::try_from(listed.start.ticks_at(track.timescale)).map_err(|_| times())?;
        let duration = u64::try_from(listed.duration.ticks_at(track.timescale)).map_err(|_| times())?;
        if duration == 0 {
            return Err(times());
        }
        if let Some((expected, _)) = following
            && expected != number
        {
            return Err(DashError::NotConsecutive { track: track.name.clone(), found: number, expected });
        }
        let follows = following.is_some_and(|(_, end)| end == start);
        match runs.last_mut() {
            Some(run) if follows && run.duration == duration => run.repeats += 1,
            _ => runs.push(Run { start: (!follows).then_some(start), duration, repeats: 0 }),
        }
        following = Some((number.next(), start.checked_add(duration).ok_or_else(times)?));
    }
    Ok(runs)
}

/// Where the last segment ends.
fn end(window: &Window) -> Duration {
    let last = window.tracks.iter().filter_map(|track| track.segments.last());
    last.map(|segment| segment.start.plus(segment.duration).to_duration()).max().unwrap_or_default()
}

/// The longest that a segment is or will be: an audio segment has up to one frame more than its share.
fn longest(window: &Window) -> Duration {
    let listed = window.tracks.iter().flat_map(|track| &track.segments);
    listed
        .map(|segment| segment.duration.to_duration())
        .chain([window.segment_duration])
        .max()
        .unwrap_or_default()
}

/// The shape of the pictures, where all rungs have it up to the rounding to even sizes.
fn picture_aspect_ratio(mut sizes: impl Iterator<Item = Size>) -> Option<String> {
    let first = sizes.next()?;
    let divisor = u64::from(gcd(first.width, first.height)).max(1);
    let (across, down) = (u64::from(first.width) / divisor, u64::from(first.height) / divisor);
    let shaped = |size: Size| {
        (u64::from(size.width) * down).abs_diff(u64::from(size.height) * across) <= 2 * across.max(down)
    };
    sizes.all(shaped).then(|| format!("{across}:{down}"))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `ChannelConfiguration` of ISO/IEC 23001-8 (CICP), table 8, for the layouts that AAC's own table has as well.
const fn channel_configuration(channels: u8) -> Option<u8> {
    match channels {
        1..=6 => Some(channels),
        8 => Some(7),
        _ => None,
    }
}

/// `xs:duration` in seconds, exact to the nanosecond: `PT2.002S`.
fn xs_duration(duration: Duration) -> String {
    let mut text = format!("PT{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    text.push('S');
    text
}

/// The text with what XML 1.0 (2.2) cannot carry, even escaped, replaced.
fn xml_text(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests;
