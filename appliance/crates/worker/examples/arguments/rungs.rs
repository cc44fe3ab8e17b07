//! Rungs as the tools for measuring take them.

use media::Rung;

use crate::client;

/// A rung as `WIDTHxHEIGHT:BITS_PER_SECOND[:PRESET]`.
pub(crate) fn rung_of(text: &str) -> Rung {
    let mut parts = text.split(':');
    let (width, height) = parts.next().and_then(|size| size.split_once('x')).expect("a size");
    let number = |text: &str| text.parse().expect("a number");
    let bit_rate = number(parts.next().expect("a bit rate"));
    let mut rung = client::rung(height, number(width), number(height), bit_rate);
    if let Some(preset) = parts.next() {
        rung.preset = preset.to_owned();
    }
    rung
}
