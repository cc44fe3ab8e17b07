//! A source that is being looked at: its units are held until its tracks and its rate are known.

use std::time::{Duration, Instant};

use media::probe::{ProbeConfig, Source, SourceProbe, Verdict as Probed};
use media::{AudioParams, Track, VideoParams};

use crate::clock::Now;
use crate::config;
use crate::feed::source::Input;

/// Most bytes held: ten seconds of 24 Mbit/s.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;
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
    /// It can go on air.
    Ready(Box<Ready>),
    /// It cannot, for this reason.
    Refuse(String),
}

/// A source that can go on air.
#[derive(Debug)]
pub(super) struct Ready {
    /// What it is.
    pub(super) source: Source,
    /// When presentation time zero is: when its first unit came.
    pub(super) zero: Now,
    /// Its first units; the first of them stands at presentation time zero.
    pub(super) held: Vec<Held>,
}

/// A source that is being looked at.
#[derive(Debug)]
pub(super) struct Probing {
    probe: SourceProbe,
    held: Vec<Held>,
    held_bytes: usize,
    since: Option<Instant>,
}

impl Probing {
    pub(super) fn new(config: &config::Feed, limits: &config::SourceLimits) -> Self {
        let probe = SourceProbe::new(ProbeConfig {
            max_width: limits.max_width,
            max_height: limits.max_height,
            max_frame_rate: limits.max_frame_rate,
            max_channels: limits.max_channels,
            frame_rate: config.frame_rate,
            ..ProbeConfig::default()
        });
        Self { probe, held: Vec::new(), held_bytes: 0, since: None }
    }

    pub(super) fn input(&mut self, now: Now, input: Input) -> Verdict {
        let elapsed = self.elapsed(now);
        match &input {
            Input::Hints(hints) => self.probe.hints(elapsed, *hints),
            Input::VideoConfiguration { codec, record } => match VideoParams::parse(*codec, record.clone()) {
                Ok(params) => self.probe.video(elapsed, params),
                Err(fault) => return unreadable(codec.name(), &fault),
            },
            Input::AudioConfiguration(record) => match AudioParams::parse(record.clone()) {
                Ok(params) => self.probe.audio(elapsed, params),
                Err(fault) => return unreadable("AAC", &fault),
            },
            Input::Unsupported { track, codec } => self.probe.unsupported(*track, codec),
            Input::Video { stamp, .. } => self.probe.unit(elapsed, Track::Video, *stamp),
            Input::Audio { stamp, .. } => self.probe.unit(elapsed, Track::Audio, *stamp),
        }
        if let Input::Video { payload, .. } | Input::Audio { payload, .. } = &input {
            self.held_bytes = self.held_bytes.saturating_add(payload.len());
            self.held.push(Held { at: now, input });
        }
        self.tick(now)
    }

    fn elapsed(&mut self, now: Now) -> Duration {
        now.instant.saturating_duration_since(*self.since.get_or_insert(now.instant))
    }

    pub(super) fn tick(&mut self, now: Now) -> Verdict {
        let elapsed = self.elapsed(now);
        match self.probe.verdict(elapsed) {
            Probed::Refuse(refusal) => Verdict::Refuse(refusal.to_string()),
            Probed::Ready(source) => self.ready(now, source),
            Probed::NeedMore => self.bounded(elapsed),
        }
    }

    /// Goes on looking, unless that has become too much.
    fn bounded(&self, elapsed: Duration) -> Verdict {
        let (what, bound) = if elapsed > MAX_LOOK {
            ("no key frame came", format!("{} s", MAX_LOOK.as_secs()))
        } else if self.held_bytes > MAX_HELD_BYTES {
            ("no key frame came", format!("{MAX_HELD_BYTES} bytes"))
        } else {
            return Verdict::NeedMore;
        };
        Verdict::Refuse(format!("{what} within {bound}; set the encoder's key frame interval to 2 s"))
    }

    /// The first key frame (the first sound, where there is no picture) opens the presentation; pictures before it
    /// cannot be decoded, and sound before it would be heard before there is anything to see.
    fn ready(&mut self, now: Now, source: Source) -> Verdict {
        let mut held = std::mem::take(&mut self.held);
        let first = held.iter().position(|held| match &held.input {
            Input::Video { key, .. } => *key,
            Input::Audio { .. } => source.video.is_none(),
            _ => false,
        });
        let Some(first) = first else {
            self.held = held;
            let elapsed = self.elapsed(now);
            return self.bounded(elapsed);
        };
        held.drain(..first);
        let zero = held.first().map_or(now, |held| held.at);
        Verdict::Ready(Box::new(Ready { source, zero, held }))
    }

    pub(super) fn why_never_started(&self) -> String {
        match self.held.is_empty() {
            true => "the encoder went away before it sent any media".to_owned(),
            false => "the encoder went away before its stream could be made out".to_owned(),
        }
    }
}

fn unreadable(codec: &str, fault: &dyn std::error::Error) -> Verdict {
    Verdict::Refuse(format!("the {codec} configuration record cannot be read: {fault}"))
}
