//! What a track is made of, and the codecs string that names it.

use bytes::Bytes;
use media::{AudioParams, FrameRate, Size, Timescale, VideoCodec};

/// A track: one rung's pictures, or the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSpec {
    /// What it carries.
    pub media: TrackMedia,
    /// Ticks per second of its `mdhd`: [`Timescale::VIDEO`] for pictures, the core coder's sample rate for sound.
    pub timescale: Timescale,
}

/// What a track carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackMedia {
    /// Pictures.
    Video {
        /// The coding format.
        codec: VideoCodec,
        /// The configuration record: `avcC`, `hvcC` or `av1C` body, without a box header (ISO/IEC 14496-15, 5.3.3.1
        /// and 8.3.3.1; AV1-ISOBMFF 2.3.3).
        configuration: Bytes,
        /// Picture size after cropping; square samples.
        size: Size,
        /// Frames a second of this track.
        frame_rate: FrameRate,
    },
    /// AAC; its configuration is the `AudioSpecificConfig` as it came.
    Audio(AudioParams),
}

/// A configuration record that cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// The record ends before the fields that name profile and level.
    #[error("{} configuration record has {bytes} bytes, at least {least} are needed", codec.name())]
    RecordTooShort {
        /// The coding format.
        codec: VideoCodec,
        /// Its length.
        bytes: usize,
        /// Bytes needed.
        least: usize,
    },
    /// The record is of a version that this code does not know.
    #[error("{} configuration record starts with {found:#04x}, not {wanted:#04x}", codec.name())]
    RecordVersion {
        /// The coding format.
        codec: VideoCodec,
        /// Its first byte.
        found: u8,
        /// What it should be.
        wanted: u8,
    },
}

impl TrackSpec {
    /// A rung's track, on the 90 kHz clock.
    #[must_use]
    pub const fn video(codec: VideoCodec, configuration: Bytes, size: Size, frame_rate: FrameRate) -> Self {
        Self {
            media: TrackMedia::Video { codec, configuration, size, frame_rate },
            timescale: Timescale::VIDEO,
        }
    }

    /// An AAC track, on the clock of its core coder; `None` where the sample rate is zero.
    #[must_use]
    pub fn audio(params: AudioParams) -> Option<Self> {
        let timescale = Timescale::new(params.sample_rate)?;
        Some(Self { media: TrackMedia::Audio(params), timescale })
    }

    /// The RFC 6381 codecs string, from the actual parameter sets: `avc1.64001f`, `hvc1.1.6.L93.B0`, `mp4a.40.2`.
    ///
    /// # Errors
    /// Where the configuration record is cut short or of an unknown version.
    pub fn codecs_string(&self) -> Result<String, TrackError> {
        match &self.media {
            TrackMedia::Video { codec: VideoCodec::H264, configuration, .. } => avc(configuration),
            TrackMedia::Video { codec: VideoCodec::Hevc, configuration, .. } => hevc(configuration),
            TrackMedia::Video { codec: VideoCodec::Av1, configuration, .. } => av1(configuration),
            // RFC 6381, 3.3: object type indication 0x40 (ISO/IEC 14496-3 audio), then the audio object type.
            TrackMedia::Audio(params) => Ok(format!("mp4a.40.{}", params.object_type)),
        }
    }
}

/// The first `N` bytes of a record, once its version is known to be right.
fn head<const N: usize>(codec: VideoCodec, record: &[u8], version: u8) -> Result<&[u8; N], TrackError> {
    let bytes = record.len();
    let head = record.first_chunk::<N>().ok_or(TrackError::RecordTooShort { codec, bytes, least: N })?;
    match head.first() {
        Some(&found) if found != version => Err(TrackError::RecordVersion { codec, found, wanted: version }),
        _ => Ok(head),
    }
}

/// RFC 6381, 3.3: `avc1.PPCCLL`, the three bytes after the record's version.
fn avc(record: &[u8]) -> Result<String, TrackError> {
    let [_, profile, constraints, level] = head::<4>(VideoCodec::H264, record, 1)?;
    Ok(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// ISO/IEC 14496-15, annex E.3: profile space and profile, compatibility flags in reverse bit order, tier and level,
/// then the constraint bytes up to the last that is not zero.
fn hevc(record: &[u8]) -> Result<String, TrackError> {
    let head = head::<13>(VideoCodec::Hevc, record, 1)?;
    let [_, profile, c0, c1, c2, c3, constraints @ .., level] = head;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([*c0, *c1, *c2, *c3]).reverse_bits();
    let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1f);
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        text.push_str(&format!(".{byte:X}"));
    }
    Ok(text)
}

/// AV1-ISOBMFF, section 5: `av01.P.LLT.DD`.
fn av1(record: &[u8]) -> Result<String, TrackError> {
    let [_, profile_level, flags, _] = head::<4>(VideoCodec::Av1, record, 0x81)?;
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Ok(format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 0x1f))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn video(codec: VideoCodec, record: &[u8]) -> TrackSpec {
        let size = Size { width: 640, height: 360 };
        TrackSpec::video(codec, Bytes::copy_from_slice(record), size, FrameRate::PAL)
    }

    fn audio(object_type: u8) -> TrackSpec {
        let configuration = Bytes::from_static(&[0x11, 0x90]);
        TrackSpec::audio(AudioParams {
            configuration,
            object_type,
            sample_rate: 48_000,
            channels: 2,
            channel_configuration: 2,
            samples_per_frame: 1024,
        })
        .unwrap()
    }

    #[test]
    fn names_what_the_parameter_sets_say() {
        let avc = video(VideoCodec::H264, &[1, 0x64, 0x00, 0x1f, 0xff]);
        assert_eq!(avc.codecs_string().unwrap(), "avc1.64001f");
        // The two examples of ISO/IEC 14496-15, annex E.3.
        let main = [1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(video(VideoCodec::Hevc, &main).codecs_string().unwrap(), "hvc1.1.6.L93.B0");
        let high_tier = [1, 0xe4, 0x14, 0, 0, 0, 0xb0, 0x23, 0, 0, 0, 0, 120];
        assert_eq!(video(VideoCodec::Hevc, &high_tier).codecs_string().unwrap(), "hvc1.C4.28.H120.B0.23");
        let av1 = video(VideoCodec::Av1, &[0x81, 0x04, 0x0c, 0]);
        assert_eq!(av1.codecs_string().unwrap(), "av01.0.04M.08");
        let ten_bit = video(VideoCodec::Av1, &[0x81, 0x08, 0xcc, 0]);
        assert_eq!(ten_bit.codecs_string().unwrap(), "av01.0.08H.10");
        assert_eq!(audio(2).codecs_string().unwrap(), "mp4a.40.2");
        assert_eq!(audio(5).codecs_string().unwrap(), "mp4a.40.5");
        assert_eq!(audio(29).codecs_string().unwrap(), "mp4a.40.29");
    }

    #[test]
    fn a_bad_record_is_named_with_its_bound() {
        let short = video(VideoCodec::H264, &[1, 0x64]).codecs_string().unwrap_err();
        assert_eq!(short.to_string(), "H.264 configuration record has 2 bytes, at least 4 are needed");
        let annex_b = video(VideoCodec::H264, &[0, 0, 0, 1, 0x67]).codecs_string().unwrap_err();
        assert_eq!(annex_b.to_string(), "H.264 configuration record starts with 0x00, not 0x01");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(record in proptest::collection::vec(any::<u8>(), 0..40)) {
            for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1] {
                let _ = video(codec, &record).codecs_string();
            }
        }
    }
}
