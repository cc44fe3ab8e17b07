//! What a source must keep to: the bounds of the configuration, held against what it is and against every unit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::probe::Source;
use media::timeline::TimelineEvent;
use media::{FrameRate, MediaTime, Size, VideoParams};

use super::arrivals::Arrivals;
use crate::config::{InputRule, RuleAction, SourceLimits};

/// Over how long the bit rate is held against its bound.
const BIT_RATE_SPAN: Duration = Duration::from_secs(10);
/// Over how long faults of time stamps are counted.
const TIMESTAMP_SPAN: Duration = Duration::from_secs(60);
/// How often a rule that stays broken is told and counted.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A rule that a source broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// One with an action in the configuration.
    Broken {
        /// Which.
        rule: InputRule,
        /// What is to be done.
        action: RuleAction,
        /// The sentence, for the encoder or the operator.
        text: String,
    },
    /// One that the operator is told of, whatever the configuration says.
    Warn {
        /// A word from a closed list, for a metric's label.
        rule: &'static str,
        /// The sentence.
        text: String,
    },
}

/// Holds a source against its bounds.
#[derive(Debug)]
pub(super) struct Watch {
    limits: SourceLimits,
    /// Bits of each second, by its number since `since`.
    seconds: VecDeque<(u64, u64)>,
    since: Option<Instant>,
    last_key: Option<MediaTime>,
    /// Of its pictures; of its sound, where there are none.
    pub(super) arrivals: Arrivals,
    key_frame_interval: Duration,
    /// When faults of time stamps came; no more than their bound and one.
    timestamp_faults: VecDeque<Instant>,
    /// When each rule was told of.
    told: Vec<(InputRule, Instant)>,
}

impl Watch {
    pub(super) fn new(limits: SourceLimits) -> Self {
        Self {
            limits,
            seconds: VecDeque::new(),
            since: None,
            last_key: None,
            arrivals: Arrivals::default(),
            key_frame_interval: Duration::ZERO,
            timestamp_faults: VecDeque::new(),
            told: Vec::new(),
        }
    }

    /// Between the last two key frames.
    pub(super) const fn key_frame_interval(&self) -> Duration {
        self.key_frame_interval
    }

    /// Another source takes the place of the one before.
    pub(super) fn anew(&mut self) {
        *self = Self::new(self.limits.clone());
    }

    /// A rule is broken: what is to be done, unless that was done a moment ago.
    fn broken(&mut self, now: Instant, rule: InputRule, text: impl FnOnce() -> String) -> Option<Finding> {
        let action = self.limits.actions.of(rule);
        let told = self.told.iter_mut().find(|(other, _)| *other == rule);
        match told {
            Some((_, at)) if now.saturating_duration_since(*at) < TELL_AGAIN => return None,
            Some((_, at)) => *at = now,
            None => self.told.push((rule, now)),
        }
        Some(Finding::Broken { rule, action, text: text() })
    }

    /// What it is, as it goes on air, with its frame rate where that was measured. What is to be refused was so before.
    pub(super) fn source(&mut self, now: Instant, source: &Source, rate: Option<FrameRate>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(video) = &source.video {
            findings.extend(self.parameters(now, video));
            let most = self.limits.max_frame_rate;
            // As the probe has it: rates are measured to some percent.
            if let Some(found) = rate.filter(|found| found.as_f64() > f64::from(most) * 1.03) {
                let text = || format!("{found} frames per second are over the bound of {most}");
                findings.extend(self.broken(now, InputRule::FrameRate, text));
            }
        }
        let most = self.limits.max_channels;
        if let Some(found) = source.audio.as_ref().map(|audio| audio.channels).filter(|found| *found > most) {
            let text = || format!("{found} audio channels are over the bound of {most}");
            findings.extend(self.broken(now, InputRule::Channels, text));
        }
        findings
    }

    /// A unit of `bytes` came.
    pub(super) fn unit(&mut self, now: Instant, bytes: usize) -> Option<Finding> {
        let since = *self.since.get_or_insert(now);
        let second = now.saturating_duration_since(since).as_secs();
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum = sum.saturating_add(bits),
            _ => self.seconds.push_back((second, bits)),
        }
        let span = BIT_RATE_SPAN.as_secs();
        while self.seconds.front().is_some_and(|(first, _)| second - first >= span) {
            self.seconds.pop_front();
        }
        let sum = self.seconds.iter().fold(0u64, |sum, (_, bits)| sum.saturating_add(*bits));
        let bound = self.limits.max_bit_rate;
        if sum <= bound.saturating_mul(span) {
            return None;
        }
        self.broken(now, InputRule::BitRate, || {
            format!(
                "{} kbit/s over {span} s are over the bound of {} kbit/s; lower the encoder's bit rate",
                sum / span / 1000,
                bound / 1000
            )
        })
    }

    /// A picture came that stands at `dts`.
    pub(super) fn picture(&mut self, now: Instant, dts: MediaTime, key: bool) -> Option<Finding> {
        self.arrivals.unit(now, dts);
        let last = *self.last_key.get_or_insert(dts);
        let interval = dts.minus(last).to_duration();
        if key {
            self.last_key = Some(dts);
            if interval > Duration::ZERO {
                self.key_frame_interval = interval;
            }
        }
        let bound = self.limits.max_key_frame_interval;
        if interval <= bound {
            return None;
        }
        self.broken(now, InputRule::KeyFrameInterval, || {
            format!(
                "no key frame for {:.1} s, the bound is {:.1} s; set the encoder's key frame interval to 2 s",
                interval.as_secs_f64(),
                bound.as_secs_f64()
            )
        })
    }

    /// What the timeline said of a unit's stamp.
    pub(super) fn stamp(&mut self, now: Instant, event: Option<TimelineEvent>) -> Option<Finding> {
        let how = match event? {
            TimelineEvent::Reanchored { .. } => "jumped",
            TimelineEvent::Backward(_) => "ran backward",
            TimelineEvent::StoodStill => "stood still",
            // A jump of one track moves the other too; pauses and lateness are the network's.
            TimelineEvent::Followed
            | TimelineEvent::Gap(_)
            | TimelineEvent::Lead(_)
            | TimelineEvent::TooLate(_) => return None,
        };
        let faults = &mut self.timestamp_faults;
        while faults.front().is_some_and(|at| now.saturating_duration_since(*at) >= TIMESTAMP_SPAN) {
            faults.pop_front();
        }
        let bound = self.limits.max_timestamp_faults;
        let most = usize::try_from(bound).unwrap_or(usize::MAX);
        faults.push_back(now);
        if faults.len() <= most {
            return None;
        }
        faults.pop_front();
        self.broken(now, InputRule::Timestamps, || {
            format!(
                "more than {bound} time stamps within {} s jumped, ran backward or stood still, which is the bound; the \
                 last one {how}; check the encoder's clock and its source",
                TIMESTAMP_SPAN.as_secs()
            )
        })
    }

    /// The source's parameters, also where they change while on air.
    pub(super) fn parameters(&mut self, now: Instant, params: &VideoParams) -> Option<Finding> {
        let (size, most) =
            (params.size, Size { width: self.limits.max_width, height: self.limits.max_height });
        let too_large = size.width > most.width || size.height > most.height;
        if !too_large {
            return None;
        }
        self.broken(now, InputRule::Size, || format!("picture of {size} is over the bound of {most}"))
    }
}

#[cfg(test)]
mod tests;
