//! Coded pictures that a decoder shows itself with: one key frame of 256x256 in each format and depth. `assets/probe`
//! says how they were made.

use media::VideoCodec;

/// A coded picture.
pub(super) struct Picture {
    pub(super) codec: VideoCodec,
    /// Bits of a sample.
    pub(super) bit_depth: u8,
    /// Its `avcC`, `hvcC` or `av1C` record.
    pub(super) record: &'static [u8],
    /// Length-prefixed NAL units, or a temporal unit of OBUs.
    pub(super) unit: &'static [u8],
}

macro_rules! picture {
    ($codec:ident, $bit_depth:literal, $name:literal) => {
        Picture {
            codec: VideoCodec::$codec,
            bit_depth: $bit_depth,
            record: include_bytes!(concat!("../../assets/probe/", $name, ".record")),
            unit: include_bytes!(concat!("../../assets/probe/", $name, ".unit")),
        }
    };
}

/// All of them, those of fewer bits first.
const ALL: [Picture; 6] = [
    picture!(H264, 8, "h264"),
    picture!(H264, 10, "h264-10"),
    picture!(Hevc, 8, "hevc"),
    picture!(Hevc, 10, "hevc-10"),
    picture!(Av1, 8, "av1"),
    picture!(Av1, 10, "av1-10"),
];

/// The picture of that format and depth.
pub(super) fn of(codec: VideoCodec, bit_depth: u8) -> Option<&'static Picture> {
    ALL.iter().find(|picture| picture.codec == codec && picture.bit_depth == bit_depth)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use software::{Codec, Decoder, DecoderConfig, Device};

    use super::*;

    #[test]
    fn each_is_what_it_is_called() {
        let device = Device::open();
        for picture in &ALL {
            let codec = match picture.codec {
                VideoCodec::H264 => Codec::H264,
                VideoCodec::Hevc => Codec::Hevc,
                VideoCodec::Av1 => Codec::Av1,
            };
            let config =
                DecoderConfig { codec, configuration: Some(picture.record), threads: 1, low_latency: true };
            let mut decoder = Decoder::open(&device, &config).unwrap();
            decoder.send(picture.unit, 7).unwrap();
            decoder.finish();
            let decoded = decoder.receive().unwrap().unwrap();
            assert_eq!((decoded.tag, decoder.errors()), (7, 0));
            let size = decoded.frame.size();
            assert_eq!((size.width, size.height), (256, 256));
            assert_eq!(of(picture.codec, picture.bit_depth).unwrap().unit, picture.unit);
        }
    }
}
