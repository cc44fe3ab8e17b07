//! What the libraries on this machine can do, found by opening it.

use crate::device::{Codec, Device};
use crate::encode::{Encoder, EncoderConfig, RateControl};
use crate::frame::Size;
use crate::{Decoder, DecoderConfig};

/// The codecs that opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Formats that can be decoded.
    pub decode: Vec<Codec>,
    /// Formats that can be encoded.
    pub encode: Vec<Codec>,
}

impl Caps {
    pub(crate) fn of(device: &Device) -> Self {
        let opens = |codec: &Codec| {
            Decoder::open(
                device,
                &DecoderConfig { codec: *codec, configuration: None, threads: 1, low_latency: false },
            )
            .is_ok()
        };
        let encoder = Encoder::open(
            device,
            &EncoderConfig {
                size: Size { width: 320, height: 180 },
                frame_rate: (25, 1),
                rate: RateControl { bit_rate: 300_000, max_bit_rate: 330_000, buffer_bits: 600_000 },
                preset: "veryfast".to_owned(),
                tune: None,
                profile: "high".to_owned(),
                threads: 1,
                low_latency: false,
                captions: false,
            },
        );
        Self {
            decode: Codec::ALL.iter().copied().filter(opens).collect(),
            encode: encoder.is_ok().then_some(Codec::H264).into_iter().collect(),
        }
    }
}
