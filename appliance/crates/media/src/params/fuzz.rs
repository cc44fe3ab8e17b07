//! Bodies of fuzz targets, compiled with everything else and swept by a test. Each states its property on top.

use bytes::Bytes;

use super::nal::NalUnits;
use super::{AudioParams, MAX_CODED_SIDE, VideoParams};
use crate::VideoCodec;

/// Any bytes as any video configuration record: no panic, and what is accepted is within its bounds.
pub fn video_record(data: &[u8]) {
    for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1] {
        let Ok(params) = VideoParams::parse(codec, Bytes::copy_from_slice(data)) else { continue };
        // Two fields make a frame, so interlaced H.264 may be twice as high.
        assert!((1..=MAX_CODED_SIDE).contains(&params.size.width));
        assert!((1..=2 * MAX_CODED_SIDE).contains(&params.size.height));
        assert!((8..=16).contains(&params.bit_depth));
        assert!(params.sample_aspect_ratio.0 > 0 && params.sample_aspect_ratio.1 > 0);
        assert!(params.display_size().width > 0 && params.display_size().height > 0);
        assert!(matches!(params.length_bytes(), 1 | 2 | 4));
    }
}

/// Any bytes as an `AudioSpecificConfig`: no panic, and what is accepted can be counted by.
pub fn audio_record(data: &[u8]) {
    let Ok(params) = AudioParams::parse(Bytes::copy_from_slice(data)) else { return };
    assert!((7_350..=96_000).contains(&params.sample_rate));
    assert!(params.channels > 0);
    assert!(matches!(params.samples_per_frame, 960 | 1024));
}

/// Any bytes as an access unit: no panic, and the NAL units lie within it.
pub fn access_unit(params: &VideoParams, data: &[u8]) {
    let _ = params.inspect(data);
    let _ = params.has_captions(data);
    for length_bytes in [1, 2, 4] {
        let units: Result<Vec<&[u8]>, _> = NalUnits::new(data, length_bytes).collect();
        let Ok(units) = units else { continue };
        assert!(units.iter().map(|nal| nal.len()).sum::<usize>() <= data.len());
    }
}
