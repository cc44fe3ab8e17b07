//! A source that is being looked at: its units are held until its tracks and its rate are known.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::probe::{ProbeConfig, Refusal, Source, SourceProbe, Verdict as Probed};
use media::{AudioParams, FrameRate, Track, VideoParams};

use crate::clock::Now;
use crate::config::{self, InputRule, RuleAction};
use crate::feed::source::Input;

/// Most bytes held: ten seconds of 24 Mbit/s.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;
/// Most units held: ten seconds of 240 pictures and 94 audio frames a second are a third of it.
const MAX_HELD_UNITS: usize = 10_000;
/// How long a group of pictures is still held when the next one has begun: by then a source on air that had fallen silent
/// before that has been replaced.
const GROUP_PATIENCE: Duration = Duration::from_secs(1);
/// Longest look at a source. One that has shown no key frame by then would keep its viewers waiting for ever.
const MAX_LOOK: Duration = Duration::from_secs(20);

/// A unit that waits for the verdict.
#[derive(Debug)]
pub(super) struct Held {
    /// When it came.
    pub(super) at: Now,
    /// What it is.
    pub(super) input: Input,
}

/// What is thought of a source.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Go on.
    NeedMore,
    /// It can go on air: [`Probing::take`].
    Ready,
    /// It cannot, for this reason.
    Refuse(Refused),
}

/// Why a source cannot go on air.
#[derive(Debug)]
pub(super) struct Refused {
    /// The rule of the configuration that it breaks, if it is one of those.
    pub(super) rule: Option<config::InputRule>,
    /// The sentence for the encoder.
    pub(super) text: String,
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self { rule: None, text }
    }
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        let rule = match refusal {
            Refusal::TooLarge { .. } => Some(InputRule::Size),
            Refusal::TooFast { .. } => Some(InputRule::FrameRate),
            Refusal::TooManyChannels { .. } => Some(InputRule::Channels),
            Refusal::TooSmall(_)
            | Refusal::ChannelConfiguration(_)
            | Refusal::Codec { .. }
            | Refusal::Silent { .. } => None,
        };
        Self { rule, text: refusal.to_string() }
    }
}

/// Bounds of the probe where its rule refuses nobody: what is coded at all is under them.
const NO_BOUND: (u32, u32, u8) = (8192, media::frame_rate::MAX_FRAMES_PER_SECOND, 8);

/// A source that can go on air.
#[derive(Debug)]
pub(super) struct Ready {
    /// What it is.
    pub(super) source: Source,
    /// When presentation time zero is: when its first unit came.
    pub(super) zero: Now,
    /// Its first units; the first of them stands at presentation time zero.
    pub(super) held: Vec<Held>,
    /// What its sound is by its record, where no sound has come yet.
    pub(super) announced: Option<AudioParams>,
}

/// A source that is being looked at.
#[derive(Debug)]
pub(super) struct Probing {
    probe: SourceProbe,
    held: Vec<Held>,
    held_bytes: usize,
    /// Whether a picture that decoding can start with is held.
    has_key: bool,
    /// Where the key frame is, and when it came, that the held units of one that waits to go on air are to begin with soon.
    next_group: Option<(usize, Instant)>,
    /// Whether any unit came.
    has_media: bool,
    /// The last video configuration record.
    configuration: Option<Bytes>,
    /// The last record of sound.
    announced: Option<AudioParams>,
    since: Option<Instant>,
    /// What it is, once that is known.
    found: Option<Source>,
}

impl Probing {
    /// For a presentation whose grid has the rate `grid`, if it has begun: then the source's need not be measured.
    pub(super) fn new(config: &config::Feed, limits: &config::SourceLimits, grid: Option<FrameRate>) -> Self {
        let refuses = |rule| limits.actions.of(rule) == RuleAction::Refuse;
        let (side, rate, channels) = NO_BOUND;
        let (max_width, max_height) = match refuses(InputRule::Size) {
            true => (limits.max_width, limits.max_height),
            false => (side, side),
        };
        let probe = SourceProbe::new(ProbeConfig {
            max_width,
            max_height,
            max_frame_rate: if refuses(InputRule::FrameRate) { limits.max_frame_rate } else { rate },
            max_channels: if refuses(InputRule::Channels) { limits.max_channels } else { channels },
            frame_rate: grid.or(config.frame_rate),
            ..ProbeConfig::default()
        });
        Self {
            probe,
            held: Vec::new(),
            held_bytes: 0,
            has_key: false,
            next_group: None,
            has_media: false,
            configuration: None,
            announced: None,
            since: None,
            found: None,
        }
    }

    pub(super) fn input(&mut self, now: Now, input: Input) -> Verdict {
        let elapsed = self.elapsed(now);
        match &input {
            Input::Hints(hints) => self.probe.hints(elapsed, *hints),
            Input::VideoConfiguration { codec, record } => match VideoParams::parse(*codec, record.clone()) {
                Ok(params) => {
                    if self.configuration.as_ref().is_some_and(|last| last != record) {
                        self.forget_pictures();
                    }
                    self.configuration = Some(record.clone());
                    self.probe.video(elapsed, params);
                }
                Err(fault) => return unreadable(codec.name(), &fault),
            },
            Input::AudioConfiguration(record) => match AudioParams::parse(record.clone()) {
                Ok(params) => {
                    self.announced = Some(params.clone());
                    self.probe.audio(elapsed, params);
                }
                Err(fault) => return unreadable("AAC", &fault),
            },
            Input::Unsupported { track, codec } => self.probe.unsupported(*track, codec),
            Input::Video { stamp, .. } => self.probe.unit(elapsed, Track::Video, *stamp),
            Input::Audio { stamp, .. } => self.probe.unit(elapsed, Track::Audio, *stamp),
        }
        self.hold(now, input);
        self.tick(now)
    }

    fn hold(&mut self, now: Now, input: Input) {
        self.has_media |= matches!(input, Input::Video { .. } | Input::Audio { .. });
        let bytes = match &input {
            // Nothing can be made of pictures before the first key frame.
            Input::Video { key: false, .. } if !self.has_key => return,
            Input::Video { key, payload, .. } => {
                if self.found.is_some() {
                    self.let_go(now.instant, *key);
                }
                self.has_key |= key;
                payload.len()
            }
            Input::Audio { payload, .. } => payload.len(),
            _ => return,
        };
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        self.held.push(Held { at: now, input });
    }

    /// It waits to go on air, and would do so with a key frame that came already: lets go of what came before that.
    fn let_go(&mut self, now: Instant, key: bool) {
        if let Some((index, _)) =
            self.next_group.take_if(|(_, came)| now.saturating_duration_since(*came) >= GROUP_PATIENCE)
        {
            self.held.drain(..index);
            let held = self.held.iter().map(|held| held.input.payload_bytes());
            self.held_bytes = held.fold(0, usize::saturating_add);
        }
        if key {
            self.next_group.get_or_insert((self.held.len(), now));
        }
    }

    /// The pictures so far cannot be decoded with a new configuration record.
    fn forget_pictures(&mut self) {
        self.next_group = None;
        self.held.retain(|held| !matches!(held.input, Input::Video { .. }));
        self.has_key = false;
    }

    fn elapsed(&mut self, now: Now) -> Duration {
        now.instant.saturating_duration_since(*self.since.get_or_insert(now.instant))
    }

    pub(super) fn tick(&mut self, now: Now) -> Verdict {
        let elapsed = self.elapsed(now);
        if self.found.is_none() {
            match self.probe.verdict(elapsed) {
                Probed::Refuse(refusal) => return Verdict::Refuse((&refusal).into()),
                Probed::Ready(source) => self.found = Some(source),
                Probed::NeedMore => return self.bounded(elapsed),
            }
        }
        match self.is_ready() {
            true => self.bounded_standby(),
            false => self.bounded(elapsed),
        }
    }

    /// Whether it is known what it is, and there is something to begin with.
    pub(super) fn is_ready(&self) -> bool {
        self.found.as_ref().is_some_and(|source| self.first_unit(source).is_some())
    }

    /// One that waits to go on air and sends no key frames is not kept whole.
    fn bounded_standby(&mut self) -> Verdict {
        if self.held_bytes > MAX_HELD_BYTES || self.held.len() > MAX_HELD_UNITS {
            self.held.clear();
            self.held_bytes = 0;
            self.has_key = false;
            self.next_group = None;
        }
        Verdict::Ready
    }

    /// Goes on looking, unless that has become too much.
    fn bounded(&self, elapsed: Duration) -> Verdict {
        let bound = if elapsed > MAX_LOOK {
            format!("{} s", MAX_LOOK.as_secs())
        } else if self.held_bytes > MAX_HELD_BYTES {
            format!("{MAX_HELD_BYTES} bytes")
        } else if self.held.len() > MAX_HELD_UNITS {
            format!("{MAX_HELD_UNITS} units")
        } else {
            return Verdict::NeedMore;
        };
        let text = match (self.has_key, self.configuration.is_some()) {
            (false, true) => {
                format!("no key frame came within {bound}; set the encoder's key frame interval to 2 s")
            }
            _ => format!("the stream could not be made out within {bound}"),
        };
        Verdict::Refuse(text.into())
    }

    /// The first key frame (the first sound, where there is no picture) opens the programme; pictures before it cannot
    /// be decoded, and sound before it would be heard before there is anything to see.
    fn first_unit(&self, source: &Source) -> Option<usize> {
        self.held.iter().position(|held| match &held.input {
            Input::Video { key, .. } => *key,
            Input::Audio { .. } => source.video.is_none(),
            _ => false,
        })
    }

    /// What it is, and its units from the first on; none where it is not ready.
    pub(super) fn take(&mut self, now: Now) -> Option<Ready> {
        let first = self.first_unit(self.found.as_ref()?)?;
        let source = self.found.take()?;
        let mut held = std::mem::take(&mut self.held);
        held.drain(..first);
        let zero = held.first().map_or(now, |held| held.at);
        let announced = self.announced.take().filter(|_| source.audio.is_none());
        Some(Ready { source, zero, held, announced })
    }

    pub(super) fn why_never_started(&self) -> String {
        match self.has_media {
            false => "the encoder went away before it sent any media".to_owned(),
            true => "the encoder went away before its stream could be made out".to_owned(),
        }
    }
}

fn unreadable(codec: &str, fault: &dyn std::error::Error) -> Verdict {
    Verdict::Refuse(format!("the {codec} configuration record cannot be read: {fault}").into())
}
