//! What a source on air must keep to: the bounds of the configuration, held against every unit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::{MediaTime, Size, VideoParams};

use crate::config::SourceLimits;

/// Over how long the bit rate is held against its bound.
const BIT_RATE_SPAN: Duration = Duration::from_secs(10);

/// A rule that a source broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// The publish ends, with this sentence for the encoder.
    Refuse(String),
    /// The operator is told, once.
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
    key_frame_interval: Duration,
    told_of_key_frames: bool,
}

impl Watch {
    pub(super) fn new(limits: SourceLimits) -> Self {
        Self {
            limits,
            seconds: VecDeque::new(),
            since: None,
            last_key: None,
            key_frame_interval: Duration::ZERO,
            told_of_key_frames: false,
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
        (sum > bound.saturating_mul(span)).then(|| {
            Finding::Refuse(format!(
                "{} kbit/s over {span} s are over the bound of {} kbit/s; lower the encoder's bit rate",
                sum / span / 1000,
                bound / 1000
            ))
        })
    }

    /// A picture came that stands at `dts`.
    pub(super) fn picture(&mut self, dts: MediaTime, key: bool) -> Option<Finding> {
        let last = *self.last_key.get_or_insert(dts);
        let interval = dts.minus(last).to_duration();
        if key {
            self.last_key = Some(dts);
            if interval > Duration::ZERO {
                self.key_frame_interval = interval;
            }
        }
        let bound = self.limits.max_key_frame_interval;
        if interval <= bound || self.told_of_key_frames {
            return None;
        }
        self.told_of_key_frames = true;
        Some(Finding::Warn {
            rule: "key_frame_interval",
            text: format!(
                "no key frame for {:.1} s, the bound is {:.1} s; set the encoder's key frame interval to 2 s",
                interval.as_secs_f64(),
                bound.as_secs_f64()
            ),
        })
    }

    /// The source's parameters changed while on air.
    pub(super) fn parameters(&self, params: &VideoParams) -> Option<Finding> {
        let (size, most) =
            (params.size, Size { width: self.limits.max_width, height: self.limits.max_height });
        let too_large = size.width > most.width || size.height > most.height;
        too_large.then(|| Finding::Refuse(format!("picture of {size} is over the bound of {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> SourceLimits {
        SourceLimits {
            max_width: 1920,
            max_height: 1080,
            max_frame_rate: 60,
            max_bit_rate: 1_000_000,
            max_key_frame_interval: Duration::from_secs(10),
            max_channels: 6,
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn a_burst_is_forgiven_and_a_flood_is_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut watch = Watch::new(limits());
        assert_eq!(watch.unit(at(0), 1_000_000), None, "8 Mbit at once are 0.8 Mbit/s over 10 s");
        assert!((1..200u64).all(|i| watch.unit(at(10_000 + i * 100), 12_000).is_none()), "0.96 Mbit/s");
        let flood = (0..100u64).find_map(|i| watch.unit(at(30_000 + i * 100), 20_000));
        assert!(matches!(flood, Some(Finding::Refuse(text)) if text.contains("bound of 1000 kbit/s")));
    }

    #[test]
    fn a_rare_key_frame_is_told_once() {
        let mut watch = Watch::new(limits());
        let at = MediaTime::from_millis;
        assert_eq!(watch.picture(at(0), true), None);
        assert_eq!(watch.picture(at(2_000), true), None);
        assert_eq!(watch.key_frame_interval(), Duration::from_secs(2));
        assert_eq!(watch.picture(at(12_000), false), None);
        assert!(matches!(
            watch.picture(at(12_040), false),
            Some(Finding::Warn { rule: "key_frame_interval", .. })
        ));
        assert_eq!(watch.picture(at(12_080), false), None);
    }
}
