//! What a source is, from its metadata, its configuration records and its first units.
//!
//! A viewer waits for this, so it ends as soon as it can: half a second where what the source declares of its frame
//! rate is borne out by what it sends, a second where it must be measured or where the other track is waited for.
//!
//! Calling contract: tell the probe what comes, in the order it comes, and ask for the [`SourceProbe::verdict`] after
//! each, and at least every 100 ms. Hold the units back until it is ready. After [`Verdict::Ready`] or
//! [`Verdict::Refuse`] it is of no more use.

mod rate;

use std::time::Duration;

use crate::ladder::MIN_SIDE;
use crate::timeline::{SourceStamp, Track};
use crate::{AudioParams, FrameRate, Size, VideoParams};
use rate::RateMeter;

/// What a source may be, and how long it may take to show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeConfig {
    /// Largest picture, in pixels across.
    pub max_width: u32,
    /// Largest picture, in pixels down.
    pub max_height: u32,
    /// Highest frame rate, in frames per second.
    pub max_frame_rate: u32,
    /// Most audio channels.
    pub max_channels: u8,
    /// The grid's frame rate, where it is not to be the source's: nothing is measured then.
    pub frame_rate: Option<FrameRate>,
    /// Whether there is use for pictures. Where a publisher returns to a presentation without, they are not waited for.
    pub wants_video: bool,
    /// Whether there is use for sound, likewise.
    pub wants_audio: bool,
    /// Media to measure a frame rate over that nothing declares, and to wait for the other track.
    pub patience: Duration,
    /// Wall time from the first unit or record to a verdict, whatever comes.
    pub give_up: Duration,
}

impl Default for ProbeConfig {
    /// 2160p60 with 8 channels; a second of patience, ten to give up.
    fn default() -> Self {
        Self {
            max_width: 3840,
            max_height: 2160,
            max_frame_rate: 60,
            max_channels: 8,
            frame_rate: None,
            wants_video: true,
            wants_audio: true,
            patience: Duration::from_secs(1),
            give_up: Duration::from_secs(10),
        }
    }
}

/// What a source says of itself in `onMetaData`; nothing of it is believed without evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hints {
    /// `framerate`.
    pub frame_rate: Option<f64>,
    /// Whether `videocodecid` is there; none where there is no metadata.
    pub has_video: Option<bool>,
    /// Whether `audiocodecid` is there; none where there is no metadata.
    pub has_audio: Option<bool>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its pictures, if it has any.
    pub video: Option<VideoParams>,
    /// Its sound, if it has any.
    pub audio: Option<AudioParams>,
    /// The rate of the grid; of [`FrameRate::PAL`] for sound alone.
    pub frame_rate: FrameRate,
}

/// What is known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too little.
    NeedMore,
    /// Everything.
    Ready(Source),
    /// It cannot be transcoded.
    Refuse(Refusal),
}

/// Why a source is refused: a sentence for the operator, with value and bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The picture is too large.
    #[error("picture of {found} is over the bound of {most}")]
    TooLarge {
        /// Its size.
        found: Size,
        /// The largest.
        most: Size,
    },
    /// The picture is too small.
    #[error("picture of {0} is under the bound of {MIN_SIDE}x{MIN_SIDE}")]
    TooSmall(Size),
    /// There are too many pictures a second.
    #[error("{found} frames per second are over the bound of {most}")]
    TooFast {
        /// The rate, to a hundredth.
        found: String,
        /// The highest.
        most: u32,
    },
    /// There are too many channels.
    #[error("{found} audio channels are over the bound of {most}")]
    TooManyChannels {
        /// How many there are.
        found: u8,
        /// The most.
        most: u8,
    },
    /// The channels are laid out in a way that no silence can be written for.
    #[error("audio with channelConfiguration {0} is not supported; supported: 1 to 7, 11, 12 and 14")]
    ChannelConfiguration(u8),
    /// The coding format is not supported.
    #[error("{track} codec {codec} is not supported; supported: {supported}")]
    Codec {
        /// `video` or `audio`.
        track: &'static str,
        /// What it calls itself.
        codec: String,
        /// What there is instead.
        supported: &'static str,
    },
    /// Units come without a configuration record, or a record without units, or nothing comes at all.
    #[error("no {missing} within {seconds} s")]
    Silent {
        /// What is missing.
        missing: &'static str,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
}

/// How close a declared rate must be to the measured one, as a share of it.
const AGREEMENT: f64 = 0.03;
/// Deltas between pictures that bear out a declared rate.
const DELTAS_TO_AGREE: usize = 6;
/// Longest name of a codec that is repeated to the operator, in characters.
const MAX_CODEC_NAME: usize = 32;

/// Finds out what a source is. See the module's contract.
#[derive(Debug, Clone)]
pub struct SourceProbe {
    config: ProbeConfig,
    hints: Hints,
    video: Option<VideoParams>,
    audio: Option<AudioParams>,
    refusal: Option<Refusal>,
    began: Option<Duration>,
    pictures: RateMeter,
    audio_stamps: Option<(u32, u32)>,
}

impl SourceProbe {
    /// A probe that has seen nothing.
    #[must_use]
    pub fn new(config: ProbeConfig) -> Self {
        Self {
            config,
            hints: Hints::default(),
            video: None,
            audio: None,
            refusal: None,
            began: None,
            pictures: RateMeter::default(),
            audio_stamps: None,
        }
    }

    /// Metadata came.
    pub fn hints(&mut self, now: Duration, hints: Hints) {
        self.began.get_or_insert(now);
        self.hints = hints;
    }

    /// A video configuration record came; the last one holds.
    pub fn video(&mut self, now: Duration, params: VideoParams) {
        self.began.get_or_insert(now);
        let (size, most) =
            (params.size, Size { width: self.config.max_width, height: self.config.max_height });
        if size.width > most.width || size.height > most.height {
            self.refuse(Refusal::TooLarge { found: size, most });
        } else if size.width < MIN_SIDE || size.height < MIN_SIDE {
            self.refuse(Refusal::TooSmall(size));
        }
        self.video = Some(params);
    }

    /// An audio configuration record came; the last one holds.
    pub fn audio(&mut self, now: Duration, params: AudioParams) {
        self.began.get_or_insert(now);
        if params.channels > self.config.max_channels {
            self.refuse(Refusal::TooManyChannels { found: params.channels, most: self.config.max_channels });
        } else if !matches!(params.channel_configuration, 1..=7 | 11 | 12 | 14) {
            self.refuse(Refusal::ChannelConfiguration(params.channel_configuration));
        }
        self.audio = Some(params);
    }

    /// Media came whose coding format, which calls itself `codec`, is none of ours.
    pub fn unsupported(&mut self, track: Track, codec: &str) {
        let shown = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let codec: String = codec.chars().filter(shown).take(MAX_CODEC_NAME).collect();
        self.refuse(match track {
            Track::Video => Refusal::Codec { track: "video", codec, supported: "H.264, HEVC and AV1" },
            Track::Audio => Refusal::Codec { track: "audio", codec, supported: "AAC" },
        });
    }

    /// A coded picture or audio frame came.
    pub fn unit(&mut self, now: Duration, track: Track, stamp: SourceStamp) {
        self.began.get_or_insert(now);
        match track {
            Track::Video => self.pictures.picture(stamp),
            Track::Audio => {
                let first = self.audio_stamps.map_or(stamp.millis, |(first, _)| first);
                self.audio_stamps = Some((first, stamp.millis));
            }
        }
    }

    /// What is known by now.
    #[must_use]
    pub fn verdict(&self, now: Duration) -> Verdict {
        if let Some(refusal) = &self.refusal {
            return Verdict::Refuse(refusal.clone());
        }
        let waited = self.began.map_or(Duration::ZERO, |began| now.saturating_sub(began));
        let given_up = waited >= self.config.give_up;
        let patient = self.media().max(waited / 2) < self.config.patience;
        let has_video = self.video.is_some() && self.pictures.count() > 0;
        let has_audio = self.audio.is_some() && self.audio_stamps.is_some();
        // A record, or units, announce a track; then it is waited for as long as for anything.
        let awaited = |there: bool, announced: bool, hint: Option<bool>| {
            !there && if announced { !given_up } else { hint != Some(false) && patient }
        };
        let ProbeConfig { wants_video, wants_audio, .. } = self.config;
        let video_announced = wants_video && (self.video.is_some() || self.pictures.count() > 0);
        let audio_announced = self.audio.is_some() || self.audio_stamps.is_some();
        if wants_video && awaited(has_video, video_announced, self.hints.has_video)
            || wants_audio && awaited(has_audio, audio_announced && !has_video, self.hints.has_audio)
        {
            return Verdict::NeedMore;
        }
        if !has_video && !has_audio {
            return match given_up {
                true => Verdict::Refuse(self.silent()),
                false => Verdict::NeedMore,
            };
        }
        if !has_video {
            if video_announced {
                return Verdict::Refuse(self.silent());
            }
            let frame_rate = self.config.frame_rate.unwrap_or(FrameRate::PAL);
            return Verdict::Ready(Source { video: None, audio: self.audio.clone(), frame_rate });
        }
        let found = match self.frame_rate(patient) {
            Ok(Some(rate)) => rate,
            Ok(None) => return Verdict::NeedMore,
            Err(refusal) => return Verdict::Refuse(refusal),
        };
        let frame_rate = self.config.frame_rate.unwrap_or(found);
        let audio = self.audio.clone().filter(|_| has_audio);
        Verdict::Ready(Source { video: self.video.clone(), audio, frame_rate })
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    fn silent(&self) -> Refusal {
        let missing = match (&self.video, self.pictures.count(), &self.audio, self.audio_stamps) {
            (Some(_), 0, ..) => "pictures",
            (None, 1.., ..) => "video configuration record",
            (_, _, Some(_), None) => "audio frames",
            (_, _, None, Some(_)) => "audio configuration record",
            _ => "media",
        };
        Refusal::Silent { missing, seconds: self.config.give_up.as_secs() }
    }

    /// How much media has come, by its stamps.
    fn media(&self) -> Duration {
        let audio = self.audio_stamps.map_or(0, |(first, last)| last.wrapping_sub(first));
        // Stamps that run backwards are no measure.
        let audio = if audio < u32::MAX / 2 { audio } else { 0 };
        self.pictures.span().max(Duration::from_millis(u64::from(audio)))
    }

    /// The source's rate, once it is sure or there is no more time to become so.
    fn frame_rate(&self, patient: bool) -> Result<Option<FrameRate>, Refusal> {
        let measured = self.pictures.frames_per_second();
        let declared = self.video.as_ref().and_then(|video| video.frame_rate);
        let hinted = self.hints.frame_rate.and_then(FrameRate::declared);
        let enough = self.pictures.count() > DELTAS_TO_AGREE;
        let rate = match measured {
            _ if self.config.frame_rate.is_some() => return Ok(self.config.frame_rate),
            Some(measured) if enough => match agreeing(measured, declared, hinted) {
                Some(rate) => Some(rate),
                None if patient => None,
                None => FrameRate::snap(measured),
            },
            _ if patient => None,
            // A slide show, or stamps that stand still: what is declared is all there is.
            _ => declared
                .or(hinted)
                .map(FrameRate::as_f64)
                .or(measured)
                .and_then(FrameRate::snap)
                .or(Some(FrameRate::PAL)),
        };
        let too_fast = |rate: f64| rate > f64::from(self.config.max_frame_rate) * (1.0 + AGREEMENT);
        match (rate, measured) {
            (Some(rate), _) if too_fast(rate.as_f64()) => Err(self.too_fast(rate.as_f64())),
            (None, Some(measured)) if !patient && too_fast(measured) => Err(self.too_fast(measured)),
            (None, _) if !patient => Ok(Some(FrameRate::PAL)),
            (rate, _) => Ok(rate),
        }
    }

    fn too_fast(&self, rate: f64) -> Refusal {
        Refusal::TooFast { found: format!("{rate:.2}"), most: self.config.max_frame_rate }
    }
}

/// The declared rate that the measured one bears out. Timing information counts fields or frames as its writer
/// understood it, so its double and its half are heard too.
fn agreeing(measured: f64, declared: Option<FrameRate>, hinted: Option<FrameRate>) -> Option<FrameRate> {
    [1.0, 2.0, 0.5].into_iter().find_map(|factor| {
        [declared, hinted].into_iter().flatten().find_map(|rate| {
            let rate = rate.as_f64() * factor;
            let agrees = (rate / measured - 1.0).abs() <= AGREEMENT;
            // Rates that are neither standard nor whole make segments of odd lengths; their pictures are picked.
            if agrees { FrameRate::snap(rate) } else { None }
        })
    })
}

#[cfg(test)]
mod tests;
