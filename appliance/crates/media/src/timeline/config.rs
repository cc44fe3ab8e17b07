//! Bounds of a timeline.

use std::time::Duration;

/// Bounds of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineConfig {
    /// Nominal time from picture to picture.
    pub video_frame: Duration,
    /// Nominal time from audio frame to audio frame.
    pub audio_frame: Duration,
    /// Longest step, either way, that is taken as it is.
    pub max_step: Duration,
    /// Longest time ahead of wall time before [`Lead`](super::TimelineEvent::Lead).
    pub max_lead: Duration,
    /// Longest time behind wall time...
    pub max_lateness: Duration,
    /// ...for this long, before the source is moved to now. Also for units that come for filled times.
    pub lateness_patience: Duration,
    /// Longest composition offset, either way; longer ones count as none.
    pub max_composition: Duration,
    /// Fastest drift of the source's clock against the wall's, either way, that is corrected, in parts per million;
    /// zero for none. Crystals are within 100 (AES11 grade 2: 10), cheap ones within 300.
    pub max_drift_ppm: u32,
}

impl Default for TimelineConfig {
    /// 25 pictures and 46.875 audio frames of 1024 samples a second; steps of 1 s, lead of 3 s, lateness of 2 s for
    /// 2 s, composition of 5 s (a closed GOP of reordered pictures is far shorter), drift of 500 ppm.
    fn default() -> Self {
        Self {
            video_frame: Duration::from_millis(40),
            audio_frame: Duration::from_nanos(21_333_333),
            max_step: Duration::from_secs(1),
            max_lead: Duration::from_secs(3),
            max_lateness: Duration::from_secs(2),
            lateness_patience: Duration::from_secs(2),
            max_composition: Duration::from_secs(5),
            max_drift_ppm: 500,
        }
    }
}
