//! Violations: what a client did that the driver's rules forbid. Each is a sentence in the state file and on stderr, and
//! a test with one fails.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use serde::Serialize;

use crate::State;
use crate::layout::{MAX_VIOLATIONS, SENTENCE_BYTES};

/// What kind of rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// A call that the rules forbid: a wrong order, a wrong version word, a thing used after its end.
    Misuse,
    /// A thing left open at the end of the process.
    Leak,
}

impl State {
    /// Notes that a client of `library` broke a rule, in a sentence.
    pub fn violation(&self, library: &str, offence: Offence, sentence: &str) {
        let word = match offence {
            Offence::Misuse => "misuse",
            Offence::Leak => "leak",
        };
        let text = format!("{library}: {sentence}");
        eprintln!("simulated driver: {word}: {text}");
        let layout = self.layout();
        let number = usize::try_from(layout.violations.fetch_add(1, Relaxed)).unwrap_or(MAX_VIOLATIONS);
        let Some(slot) = layout.sentences.get(number) else { return };
        let mut end = text.len().min(SENTENCE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for (to, from) in slot.text.iter().zip(&text.as_bytes()[..end]) {
            to.store(*from, Relaxed);
        }
        slot.length.store(u32::try_from(end).unwrap_or(0), Relaxed);
        slot.offence.store(1 + u32::from(offence == Offence::Leak), Release);
    }

    /// How many violations there were, those that found no room for their sentence included.
    #[must_use]
    pub fn violation_count(&self) -> u32 {
        self.layout().violations.load(Relaxed)
    }

    /// The violations' kinds and sentences, oldest first.
    #[must_use]
    pub fn violations(&self) -> Vec<(Offence, String)> {
        let read = |slot: &crate::layout::Sentence| {
            let offence = match slot.offence.load(Acquire) {
                0 => return None,
                1 => Offence::Misuse,
                _ => Offence::Leak,
            };
            let length = usize::try_from(slot.length.load(Relaxed)).unwrap_or(0).min(SENTENCE_BYTES);
            let bytes: Vec<u8> = slot.text[..length].iter().map(|byte| byte.load(Relaxed)).collect();
            Some((offence, String::from_utf8_lossy(&bytes).into_owned()))
        };
        self.layout().sentences.iter().filter_map(read).collect()
    }
}
