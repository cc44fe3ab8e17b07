//! What the outside may know of presentations.

use std::time::Duration;

use serde::Serialize;

use super::catalogue::Listed;
use super::view::PresentationView;

/// What the outside may know of a presentation: an entry of `/api/v1/presentations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresentationInfo {
    /// Whose it is.
    pub feed: String,
    /// Its id.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Whether more is coming.
    pub live: bool,
    /// Whether it can be had from the archive.
    pub archived: bool,
    /// Wall time of its beginning, in milliseconds since 1970.
    pub availability_start_unix_millis: u64,
    /// Wall time of its end, likewise.
    pub ended_unix_millis: Option<u64>,
    /// How long what is archived lasts; of what is in memory only where nothing is archived.
    pub duration_millis: u64,
    /// Its size, likewise.
    pub bytes: u64,
    /// Path of its DASH manifest.
    pub dash_url: String,
    /// Path of its HLS master playlist.
    pub hls_url: String,
    /// The names of its tracks.
    pub tracks: Vec<String>,
}

impl PresentationInfo {
    pub(super) fn of_listed(listed: &Listed) -> Self {
        let (feed, id) = (listed.record.feed.to_string(), listed.record.id.to_string());
        Self {
            title: listed.record.title.clone(),
            live: false,
            archived: true,
            availability_start_unix_millis: listed.record.availability_start_unix_millis,
            ended_unix_millis: listed.ended_unix_millis,
            duration_millis: u64::try_from(listed.duration().as_millis()).unwrap_or(u64::MAX),
            bytes: listed.bytes,
            dash_url: format!("/replay/{feed}/{id}/manifest.mpd"),
            hls_url: format!("/replay/{feed}/{id}/master.m3u8"),
            tracks: listed.record.tracks.iter().map(|track| track.name.clone()).collect(),
            feed,
            id,
        }
    }

    pub(super) fn of_view(view: &PresentationView) -> Self {
        let feed = view.feed().to_string();
        let window = view.window("");
        let length = window.tracks.first().map_or(Duration::ZERO, |track| {
            track.segments.iter().map(|segment| segment.duration.to_duration()).sum()
        });
        Self {
            id: view.id().to_string(),
            title: window.title,
            live: view.is_live(),
            archived: false,
            availability_start_unix_millis: window.availability_start_unix_millis,
            ended_unix_millis: (!view.is_live()).then_some(window.published_unix_millis),
            duration_millis: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            bytes: view.memory_bytes(),
            dash_url: format!("/live/{feed}/manifest.mpd"),
            hls_url: format!("/live/{feed}/master.m3u8"),
            tracks: view.names.iter().map(ToString::to_string).collect(),
            feed,
        }
    }
}
