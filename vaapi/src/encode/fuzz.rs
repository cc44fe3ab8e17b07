//! Parameter sets for tests of those who read them.

use super::*;
use crate::caps::PackedHeaders;

fn config(codec: Codec, profile: &str) -> EncoderConfig {
    EncoderConfig {
        codec,
        size: Size { width: 1280, height: 720 },
        frame_rate: (25, 1),
        rate: RateControl { bit_rate: 3_000_000, max_bit_rate: 4_000_000, buffer_bits: 4_000_000 },
        profile: profile.to_owned(),
        entry_point: EntryPoint::Full,
        quality: 50,
        low_latency: false,
        patience: std::time::Duration::from_secs(1),
    }
}

pub(crate) fn h264_parameter_sets() -> Vec<Vec<u8>> {
    let config = EncoderConfig { size: Size { width: 1920, height: 1080 }, ..config(Codec::H264, "high") };
    h264::Syntax::new(&config).expect("a profile there is").parameter_sets()
}

pub(crate) fn hevc_parameter_sets() -> Vec<Vec<u8>> {
    let caps = EncodeCaps {
        codec: Codec::Hevc,
        bit_depth: 8,
        entry_point: EntryPoint::Full,
        rate_modes: vec![RateMode::Vbr],
        packed_headers: PackedHeaders::default(),
        max_size: None,
        quality_levels: 0,
        max_references: (1, 0),
        profiles: vec![va::VAProfileHEVCMain],
        hevc_features: None,
        hevc_block_sizes: None,
        hevc_prediction: None,
    };
    let syntax = hevc::Syntax::new(&config(Codec::Hevc, "main"), &caps, true);
    syntax.expect("a profile there is").parameter_sets()
}
