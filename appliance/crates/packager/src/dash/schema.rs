//! The part of the MPD schema (ISO/IEC 23009-1, annex B) that is written here.
//!
//! These types are ours because `dash-mpd-core`, whose model is complete, brings regular expressions, time zones, IDNA
//! tables and derive macros along and writes namespaces that are not used; it reads our manifests back in the tests.
//! Elements stand in the order that the schema asks for.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Mpd {
    #[serde(rename = "@xmlns")]
    pub(super) xmlns: &'static str,
    #[serde(rename = "@profiles")]
    pub(super) profiles: &'static str,
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@availabilityStartTime", skip_serializing_if = "Option::is_none")]
    pub(super) availability_start_time: Option<String>,
    #[serde(rename = "@publishTime", skip_serializing_if = "Option::is_none")]
    pub(super) publish_time: Option<String>,
    #[serde(rename = "@mediaPresentationDuration", skip_serializing_if = "Option::is_none")]
    pub(super) media_presentation_duration: Option<String>,
    #[serde(rename = "@minimumUpdatePeriod", skip_serializing_if = "Option::is_none")]
    pub(super) minimum_update_period: Option<String>,
    #[serde(rename = "@minBufferTime")]
    pub(super) min_buffer_time: String,
    #[serde(rename = "@timeShiftBufferDepth", skip_serializing_if = "Option::is_none")]
    pub(super) time_shift_buffer_depth: Option<String>,
    #[serde(rename = "@suggestedPresentationDelay", skip_serializing_if = "Option::is_none")]
    pub(super) suggested_presentation_delay: Option<String>,
    #[serde(rename = "@maxSegmentDuration")]
    pub(super) max_segment_duration: String,
    #[serde(rename = "ProgramInformation")]
    pub(super) program_information: ProgramInformation,
    #[serde(rename = "ServiceDescription", skip_serializing_if = "Option::is_none")]
    pub(super) service_description: Option<ServiceDescription>,
    #[serde(rename = "Period")]
    pub(super) period: Period,
    #[serde(rename = "UTCTiming", skip_serializing_if = "Option::is_none")]
    pub(super) utc_timing: Option<Descriptor>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProgramInformation {
    #[serde(rename = "Title")]
    pub(super) title: Text,
}

#[derive(Debug, Serialize)]
pub(super) struct Text {
    #[serde(rename = "$text")]
    pub(super) text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ServiceDescription {
    #[serde(rename = "@id")]
    pub(super) id: u32,
    #[serde(rename = "Latency")]
    pub(super) latency: Latency,
    #[serde(rename = "PlaybackRate")]
    pub(super) playback_rate: PlaybackRate,
}

/// In milliseconds, against the `ProducerReferenceTime` of that identifier.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    #[serde(rename = "@referenceId")]
    pub(super) reference_id: u32,
    #[serde(rename = "@target")]
    pub(super) target: u64,
    #[serde(rename = "@max")]
    pub(super) max: u64,
    #[serde(rename = "@min")]
    pub(super) min: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct PlaybackRate {
    #[serde(rename = "@max")]
    pub(super) max: &'static str,
    #[serde(rename = "@min")]
    pub(super) min: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct ProducerReferenceTime {
    #[serde(rename = "@id")]
    pub(super) id: u32,
    #[serde(rename = "@inband")]
    pub(super) inband: bool,
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@wallClockTime")]
    pub(super) wall_clock_time: String,
    #[serde(rename = "@presentationTime")]
    pub(super) presentation_time: u64,
    #[serde(rename = "UTCTiming")]
    pub(super) utc_timing: Descriptor,
}

#[derive(Debug, Serialize)]
pub(super) struct Period {
    #[serde(rename = "@id")]
    pub(super) id: &'static str,
    #[serde(rename = "@start")]
    pub(super) start: &'static str,
    #[serde(rename = "AdaptationSet")]
    pub(super) adaptation_sets: Vec<AdaptationSet>,
}

#[derive(Debug, Serialize)]
pub(super) struct AdaptationSet {
    #[serde(rename = "@id")]
    pub(super) id: u32,
    #[serde(rename = "@contentType")]
    pub(super) content_type: &'static str,
    #[serde(rename = "@mimeType")]
    pub(super) mime_type: &'static str,
    #[serde(rename = "@lang")]
    pub(super) lang: &'static str,
    #[serde(rename = "@segmentAlignment")]
    pub(super) segment_alignment: bool,
    #[serde(rename = "@startWithSAP")]
    pub(super) start_with_sap: u8,
    #[serde(rename = "@maxWidth", skip_serializing_if = "Option::is_none")]
    pub(super) max_width: Option<u32>,
    #[serde(rename = "@maxHeight", skip_serializing_if = "Option::is_none")]
    pub(super) max_height: Option<u32>,
    #[serde(rename = "@maxFrameRate", skip_serializing_if = "Option::is_none")]
    pub(super) max_frame_rate: Option<String>,
    #[serde(rename = "@par", skip_serializing_if = "Option::is_none")]
    pub(super) par: Option<String>,
    #[serde(rename = "ProducerReferenceTime", skip_serializing_if = "Option::is_none")]
    pub(super) producer_reference_time: Option<ProducerReferenceTime>,
    #[serde(rename = "Accessibility", skip_serializing_if = "Option::is_none")]
    pub(super) accessibility: Option<Descriptor>,
    #[serde(rename = "Role")]
    pub(super) role: Descriptor,
    #[serde(rename = "Representation")]
    pub(super) representations: Vec<Representation>,
}

#[derive(Debug, Serialize)]
pub(super) struct Representation {
    #[serde(rename = "@id")]
    pub(super) id: String,
    #[serde(rename = "@bandwidth")]
    pub(super) bandwidth: u64,
    #[serde(rename = "@codecs")]
    pub(super) codecs: String,
    #[serde(rename = "@width", skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<u32>,
    #[serde(rename = "@height", skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<u32>,
    #[serde(rename = "@frameRate", skip_serializing_if = "Option::is_none")]
    pub(super) frame_rate: Option<String>,
    #[serde(rename = "@sar", skip_serializing_if = "Option::is_none")]
    pub(super) sar: Option<&'static str>,
    #[serde(rename = "@audioSamplingRate", skip_serializing_if = "Option::is_none")]
    pub(super) audio_sampling_rate: Option<u32>,
    #[serde(rename = "AudioChannelConfiguration", skip_serializing_if = "Option::is_none")]
    pub(super) audio_channel_configuration: Option<Descriptor>,
    #[serde(rename = "SegmentTemplate")]
    pub(super) segment_template: SegmentTemplate,
}

#[derive(Debug, Serialize)]
pub(super) struct SegmentTemplate {
    #[serde(rename = "@timescale")]
    pub(super) timescale: u32,
    #[serde(rename = "@initialization")]
    pub(super) initialization: String,
    #[serde(rename = "@media")]
    pub(super) media: String,
    #[serde(rename = "@startNumber")]
    pub(super) start_number: u64,
    /// Of every segment, where there is no timeline.
    #[serde(rename = "@duration", skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
    #[serde(rename = "@presentationTimeOffset", skip_serializing_if = "Option::is_none")]
    pub(super) presentation_time_offset: Option<u64>,
    #[serde(rename = "@availabilityTimeOffset", skip_serializing_if = "Option::is_none")]
    pub(super) availability_time_offset: Option<String>,
    #[serde(rename = "@availabilityTimeComplete", skip_serializing_if = "Option::is_none")]
    pub(super) availability_time_complete: Option<bool>,
    #[serde(rename = "SegmentTimeline", skip_serializing_if = "Option::is_none")]
    pub(super) timeline: Option<SegmentTimeline>,
}

#[derive(Debug, Serialize)]
pub(super) struct SegmentTimeline {
    #[serde(rename = "S")]
    pub(super) runs: Vec<Run>,
}

/// `S`: segments of the same length, one after the other.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Run {
    #[serde(rename = "@t", skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<u64>,
    #[serde(rename = "@d")]
    pub(super) duration: u64,
    /// How many more there are than one.
    #[serde(rename = "@r", skip_serializing_if = "is_zero")]
    pub(super) repeats: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[derive(Debug, Serialize)]
pub(super) struct Descriptor {
    #[serde(rename = "@schemeIdUri")]
    pub(super) scheme: &'static str,
    #[serde(rename = "@value")]
    pub(super) value: String,
}
