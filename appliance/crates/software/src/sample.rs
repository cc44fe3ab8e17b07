//! Short streams of formats that nothing here encodes for viewers: what decoders are measured with.

use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, format, log, picture};

use crate::device::Codec;
use crate::error::LibraryError;
use crate::ffi;
use crate::frame::{Frame, Size};

/// NAL unit types (Rec. ITU-T H.265, table 7-1).
const NAL_VPS: u8 = 32;
const NAL_PPS: u8 = 34;
/// OBU type (AV1 specification, 6.2.2).
const OBU_TEMPORAL_DELIMITER: u8 = 2;

/// libavcodec's encoders, by how soon they are done, and the options that make them so. Key frames only at the beginning.
const HEVC: [(&str, &[(&str, &str)]); 1] = [(
    "libx265",
    &[
        ("preset", "ultrafast"),
        ("x265-params", "log-level=none:repeat-headers=0:keyint=-1:scenecut=0:bframes=2"),
    ],
)];
/// SVT-AV1 says much of itself on standard error.
const AV1: [(&str, &[(&str, &str)]); 2] =
    [("libaom-av1", &[("usage", "realtime"), ("cpu-used", "8")]), ("libsvtav1", &[("preset", "12")])];

/// A stream that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// There is no encoder for the format.
    #[error("libavcodec is built without an encoder for {0:?} that makes samples")]
    Missing(Codec),
    /// No pictures.
    #[error("a sample of no pictures")]
    Empty,
    /// The encoder refuses.
    #[error("{encoder} does not encode {size}")]
    Encode {
        /// libavcodec's name for it.
        encoder: &'static str,
        /// Size of the pictures.
        size: Size,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// Its parameter sets are not as they should be.
    #[error("parameter sets of {0}")]
    ParameterSets(&'static str),
}

/// A coded stream that begins with its only key frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The `hvcC` or `av1C` record.
    pub configuration: Vec<u8>,
    /// Pictures in the order of decoding: length-prefixed NAL units, or temporal units of OBUs.
    pub units: Vec<Vec<u8>>,
}

/// Codes pictures, all of one size and in the form that encoders take, over and over until there are `count`, with
/// `bit_rate` bits a second at 25 pictures a second.
///
/// # Errors
/// Where libavcodec has no encoder for the format, or that refuses.
pub fn code(codec: Codec, frames: &[Frame], count: usize, bit_rate: u32) -> Result<Sample, SampleError> {
    let first = frames.first().ok_or(SampleError::Empty)?;
    let known: &[(&'static str, &[(&str, &str)])] = match codec {
        Codec::Hevc => &HEVC,
        Codec::Av1 => &AV1,
        // It is encoded for viewers: see `Encoder`.
        Codec::H264 => &[],
    };
    let found =
        known.iter().find_map(|(name, options)| Some((*name, *options, encoder::find_by_name(name)?)));
    let (name, options, found) = found.ok_or(SampleError::Missing(codec))?;
    let size = first.size();
    let failed =
        |error: ffmpeg_next::Error| SampleError::Encode { encoder: name, size, source: error.into() };

    let mut context = codec::Context::new_with_codec(found);
    context.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
    context.set_time_base(Rational::new(1, 25));
    context.set_frame_rate(Some(Rational::new(25, 1)));
    let mut video = context.encoder().video().map_err(failed)?;
    video.set_width(size.width);
    video.set_height(size.height);
    video.set_format(format::Pixel::YUV420P);
    video.set_color_range(color::Range::MPEG);
    video.set_colorspace(color::Space::BT709);
    video.set_bit_rate(usize::try_from(bit_rate).unwrap_or(usize::MAX));
    video.set_gop(u32::try_from(count.saturating_mul(2)).unwrap_or(u32::MAX));
    log::set_level(log::Level::Error);
    let opened = video.open_as_with(found, options.iter().copied().collect::<Dictionary<'_>>());
    log::set_level(log::Level::Fatal);
    let mut inner = opened.map_err(failed)?;

    let mut units = Vec::with_capacity(count);
    for (frame, pts) in frames.iter().cycle().take(count).zip(0..) {
        let mut reference = ffi::new_reference(&frame.0).ok_or(SampleError::Encode {
            encoder: name,
            size,
            source: LibraryError::OUT_OF_MEMORY,
        })?;
        reference.set_pts(Some(pts));
        reference.set_kind(if pts == 0 { picture::Type::I } else { picture::Type::None });
        inner.send_frame(&reference).map_err(failed)?;
        take(&mut inner, codec, &mut units).map_err(failed)?;
    }
    inner.send_eof().map_err(failed)?;
    take(&mut inner, codec, &mut units).map_err(failed)?;
    let configuration = match codec {
        Codec::Hevc => hvcc(&ffi::extradata(&inner)).ok_or(SampleError::ParameterSets(name))?,
        // Of main profile, 4:2:0 with 8 bits, level 4.0; the sequence header stands in the stream (AV1-ISOBMFF, 2.3.3).
        _ => vec![0x81, 8, 0x0c, 0],
    };
    Ok(Sample { configuration, units })
}

/// Takes what is coded so far, as containers have it.
fn take(
    inner: &mut encoder::video::Encoder,
    codec: Codec,
    units: &mut Vec<Vec<u8>>,
) -> Result<(), ffmpeg_next::Error> {
    loop {
        let mut packet = Packet::empty();
        match inner.receive_packet(&mut packet) {
            Ok(()) => {
                let data = packet.data().unwrap_or_default();
                units.push(if codec == Codec::Av1 { without_delimiter(data) } else { with_lengths(data) });
            }
            Err(error) if LibraryError::is_nothing(error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// NAL units of an Annex B stream (Rec. ITU-T H.265, B.1), without the zeros around them.
fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let start = rest.windows(3).position(|window| window == [0, 0, 1])?;
        let from = rest.get(start + 3..)?;
        let end = from.windows(3).position(|window| window == [0, 0, 1]).unwrap_or(from.len());
        let (unit, behind) = from.split_at_checked(end)?;
        rest = behind;
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        unit.get(..length)
    })
}

fn with_lengths(stream: &[u8]) -> Vec<u8> {
    let mut sample = Vec::with_capacity(stream.len() + 8);
    for unit in nal_units(stream) {
        // A coded picture is far under 4 GiB.
        sample.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes());
        sample.extend_from_slice(unit);
    }
    sample
}

/// A temporal unit without the delimiter that it begins with, which is two bytes long: its header, and a size of none.
fn without_delimiter(unit: &[u8]) -> Vec<u8> {
    match unit {
        [header, 0, rest @ ..] if header >> 3 & 15 == OBU_TEMPORAL_DELIMITER => rest.to_vec(),
        _ => unit.to_vec(),
    }
}

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2) of one VPS, SPS and PPS of 4:2:0 with 8 bits.
fn hvcc(headers: &[u8]) -> Option<Vec<u8>> {
    let kind = |unit: &[u8]| unit.first().map_or(0, |header| header >> 1 & 63);
    let find = |wanted: u8| nal_units(headers).find(|unit| kind(unit) == wanted);
    // Behind the header of 2 bytes and one of sub-layers: the general part of profile_tier_level, 12 bytes
    // (7.3.2.2, 7.3.3), without emulation prevention (7.4.2).
    let mut plain = Vec::with_capacity(16);
    let mut zeros = 0;
    for &byte in find(NAL_VPS + 1)?.get(2..)? {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    let mut record = vec![1];
    record.extend_from_slice(plain.get(1..13)?);
    // No minimal segmentation, unknown parallelism, 4:2:0, 8 bits, unknown frame rate; one layer, lengths of 4 bytes;
    // three arrays.
    record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3]);
    for wanted in NAL_VPS..=NAL_PPS {
        let unit = find(wanted)?;
        record.extend_from_slice(&[0x80 | wanted, 0, 1]);
        record.extend_from_slice(&u16::try_from(unit.len()).ok()?.to_be_bytes());
        record.extend_from_slice(unit);
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, DecoderConfig, Device};

    #[test]
    fn samples_decode() {
        let size = Size { width: 320, height: 180 };
        let frames = [Frame::black(size).unwrap()];
        for codec in [Codec::Hevc, Codec::Av1] {
            let sample = code(codec, &frames, 12, 200_000).unwrap();
            assert_eq!(sample.units.len(), 12, "{codec:?}");
            let configuration = Some(&*sample.configuration);
            let config = DecoderConfig { codec, configuration, threads: 1, low_latency: false };
            let mut decoder = Decoder::open(&Device::open(), &config).unwrap();
            let mut shown = 0;
            // Twice, as what is measured is shown over and over.
            for (unit, tag) in sample.units.iter().chain(&sample.units).zip(0..) {
                decoder.send(unit, tag).unwrap();
                shown += std::iter::from_fn(|| decoder.receive().unwrap()).count();
            }
            decoder.finish();
            shown += std::iter::from_fn(|| decoder.receive().unwrap()).count();
            assert_eq!((shown, decoder.errors()), (24, 0), "{codec:?}");
        }
    }

    #[test]
    fn what_nothing_makes_is_an_error() {
        let frames = [Frame::black(Size { width: 64, height: 64 }).unwrap()];
        assert!(matches!(code(Codec::H264, &frames, 1, 1000), Err(SampleError::Missing(Codec::H264))));
        assert!(matches!(code(Codec::Hevc, &[], 1, 1000), Err(SampleError::Empty)));
    }

    #[test]
    fn units_are_cut_at_start_codes() {
        assert_eq!(with_lengths(&[0, 0, 0, 1, 7, 8, 0, 0, 1, 9]), [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]);
        assert_eq!(with_lengths(&[]), []);
        assert_eq!(without_delimiter(&[0x12, 0, 0x32, 1, 5]), [0x32, 1, 5]);
        assert!(hvcc(&[0, 0, 1, 0x40, 1]).is_none());
    }
}
