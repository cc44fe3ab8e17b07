//! What a presentation has noted beside its segments, so that a later daemon can go on with it.

use std::time::Duration;

use media::{FrameRate, Ladder, Latency, Rung, Size, VideoCodec};
use packager::track::{TrackMedia, TrackSpec};
use serde::{Deserialize, Serialize};
use worker_protocol::DeviceId;

use crate::config;

/// Raised with every change that another release would misread.
const VERSION: u32 = 1;

/// A note that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// There is none: the presentation was being ended, or was begun by a release that left none.
    #[error("it left no note of how to go on")]
    Absent,
    /// It is of another release.
    #[error("its note is of form {found}, this release reads {VERSION}")]
    Version {
        /// The form.
        found: u32,
    },
    /// It is not what any release writes.
    #[error("its note cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// See the module. What the store knows of a presentation by itself is not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// What the encoders were set by.
    pub(super) settings: Settings,
    /// The rungs, with what their init segments say.
    pub(super) rungs: Vec<NotedRung>,
    /// The `AudioSpecificConfig`; none without sound.
    pub(super) audio: Option<Vec<u8>>,
    /// Wall time since when there is no source, in milliseconds since 1970; none while there is one.
    pub(super) silent_since_unix_millis: Option<u64>,
    /// What encoded it: another device's parameter sets are others. None in notes of releases that did not say.
    #[serde(default)]
    device: Option<String>,
}

/// A rung as it was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::feed) struct NotedRung {
    pub(super) rung: Rung,
    pub(super) codec: VideoCodec,
    pub(super) size: Size,
    /// The configuration record.
    pub(super) configuration: Vec<u8>,
}

impl NotedRung {
    /// None where the track is no video.
    pub(super) fn of(rung: &Rung, spec: &TrackSpec) -> Option<Self> {
        let TrackMedia::Video { codec, configuration, size, .. } = &spec.media else { return None };
        Some(Self { rung: rung.clone(), codec: *codec, size: *size, configuration: configuration.to_vec() })
    }
}

/// What of a feed's configuration decides how its segments are made: with any of it changed, what comes later would not
/// fit what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    ladder: Ladder,
    frame_rate: Option<FrameRate>,
    segment: Duration,
    chunk: Duration,
    latency: Latency,
}

impl Settings {
    /// Those of a feed.
    #[must_use]
    pub fn of(config: &config::Feed) -> Self {
        Self {
            ladder: config.ladder.clone(),
            frame_rate: config.frame_rate,
            segment: config.segment_duration,
            chunk: config.chunk_duration,
            latency: config.latency,
        }
    }
}

impl Note {
    /// As things stand.
    pub(in crate::feed) const fn new(
        settings: Settings,
        rungs: Vec<NotedRung>,
        audio: Option<Vec<u8>>,
        silent_since_unix_millis: Option<u64>,
    ) -> Self {
        Self { version: VERSION, settings, rungs, audio, silent_since_unix_millis, device: None }
    }

    /// With the device that encodes it.
    #[must_use]
    pub fn on_device(self, device: Option<&DeviceId>) -> Self {
        Self { device: device.map(DeviceId::to_string), ..self }
    }

    /// The device that encoded it, where that is known.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device.as_deref()?.parse().ok()
    }

    /// As it is kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Its maps have strings for keys, so this cannot fail; and without a note a programme ends, no more.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it was kept.
    ///
    /// # Errors
    /// Where it is not of this release's form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoteError> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        if bytes.is_empty() {
            return Err(NoteError::Absent);
        }
        let form: Form = serde_json::from_slice(bytes).map_err(NoteError::Unreadable)?;
        if form.version != VERSION {
            return Err(NoteError::Version { found: form.version });
        }
        serde_json::from_slice(bytes).map_err(NoteError::Unreadable)
    }

    /// What the encoders were set by.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The names of its tracks, in the order of [`super::Opening::tracks`].
    pub fn track_names(&self) -> impl Iterator<Item = &str> {
        let rungs = self.rungs.iter().map(|noted| noted.rung.name.as_str());
        rungs.chain(self.audio.is_some().then_some(super::AUDIO_TRACK))
    }

    /// How long there had been no source at this wall time, in milliseconds since 1970.
    #[must_use]
    pub fn silent_at(&self, unix_millis: u64) -> Duration {
        self.silent_since_unix_millis
            .map_or(Duration::ZERO, |since| Duration::from_millis(unix_millis.saturating_sub(since)))
    }
}
