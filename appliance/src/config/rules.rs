//! What is done about a source that breaks a rule of its input.

use super::quantity::choice;
use super::tree::Section;

/// A rule that sources are held to. What the appliance could not transcode at all is no rule, and always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputRule {
    /// `max_width` and `max_height`.
    Size,
    /// `max_frame_rate`.
    FrameRate,
    /// `max_bit_rate`.
    BitRate,
    /// `max_key_frame_interval`.
    KeyFrameInterval,
    /// `max_timestamp_faults`.
    Timestamps,
    /// `max_channels`.
    Channels,
}

impl InputRule {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Size,
        Self::FrameRate,
        Self::BitRate,
        Self::KeyFrameInterval,
        Self::Timestamps,
        Self::Channels,
    ];

    /// As the configuration, logs and metrics call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::FrameRate => "frame_rate",
            Self::BitRate => "bit_rate",
            Self::KeyFrameInterval => "key_frame_interval",
            Self::Timestamps => "timestamps",
            Self::Channels => "channels",
        }
    }

    /// What is done where the file says nothing. What eats other feeds' processor time is refused; what only makes this
    /// feed worse is told.
    const fn default_action(self) -> RuleAction {
        match self {
            Self::Size | Self::FrameRate | Self::BitRate | Self::Channels => RuleAction::Refuse,
            Self::KeyFrameInterval | Self::Timestamps => RuleAction::Warn,
        }
    }
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// It is counted.
    Accept,
    /// It is counted and told, at most once a minute.
    Warn,
    /// It is counted, and the publish is ended with a sentence for the encoder.
    Refuse,
}

const ACTIONS: [(&str, RuleAction); 3] =
    [("accept", RuleAction::Accept), ("warn", RuleAction::Warn), ("refuse", RuleAction::Refuse)];

impl RuleAction {
    /// As the configuration and metrics call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// What is done about each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleActions([RuleAction; InputRule::ALL.len()]);

impl Default for RuleActions {
    fn default() -> Self {
        Self(InputRule::ALL.map(InputRule::default_action))
    }
}

impl RuleActions {
    /// What is done about `rule`.
    #[must_use]
    pub fn of(&self, rule: InputRule) -> RuleAction {
        InputRule::ALL
            .iter()
            .zip(self.0)
            .find_map(|(other, action)| (*other == rule).then_some(action))
            .unwrap_or(RuleAction::Refuse)
    }

    /// The same, but for one rule.
    #[must_use]
    pub fn with(self, rule: InputRule, action: RuleAction) -> Self {
        let mut actions = self;
        for (other, place) in InputRule::ALL.iter().zip(&mut actions.0) {
            if *other == rule {
                *place = action;
            }
        }
        actions
    }

    /// The table that names an action for each rule.
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let actions = InputRule::ALL
            .map(|rule| section.get(rule.label(), choice(&ACTIONS)).unwrap_or(rule.default_action()));
        section.finish();
        Self(actions)
    }
}
