//! Pictures in, H.264 access units out: x264 through libavcodec.

mod record;

use std::collections::VecDeque;

use ffmpeg_next::frame::side_data;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, log, picture};

use crate::device::Device;
use crate::error::LibraryError;
use crate::ffi;
use crate::frame::{Frame, Size};

/// Key frames only where asked for (no scene-cut or interval ones), closed GOPs, a constant rate, NAL units with
/// 4-byte lengths as ISO/IEC 14496-15 has them.
const X264: &str = "annexb=0:force-cfr=1:keyint=infinite:min-keyint=1:scenecut=0:open-gop=0:nal-hrd=none";

/// What x264's tune `zerolatency` sets beside slices for threads; a rung may have another tune.
const LOW_LATENCY: &str = ":bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0";

/// Pictures that each preset looks ahead (x264 `common/base.c`, build 164).
const PRESET_LOOKAHEAD: [(&str, u32); 10] = [
    ("ultrafast", 0),
    ("superfast", 0),
    ("veryfast", 10),
    ("faster", 20),
    ("fast", 30),
    ("medium", 40),
    ("slow", 50),
    ("slower", 60),
    ("veryslow", 60),
    ("placebo", 60),
];

/// NAL unit type of supplemental information (Rec. ITU-T H.264, table 7-1).
const NAL_SEI: u8 = 6;
/// Payload type of unregistered user data, where x264 writes its settings (Rec. ITU-T H.264, D.1.1).
const SEI_USER_DATA_UNREGISTERED: u8 = 5;

/// Most pictures x264 may hold: its longest lookahead (250), B-frames and threads, with room.
const MAX_INSIDE: usize = 512;

/// An encoder that cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// libavcodec is built without x264.
    #[error("libavcodec is built without libx264")]
    Missing,
    /// A value is over what libavcodec takes.
    #[error("{what} of {value} is over the bound of {}", i32::MAX)]
    Value {
        /// Which value.
        what: &'static str,
        /// What it is.
        value: u32,
    },
    /// x264 refuses the settings; it has written why to stderr.
    #[error("x264 does not open for {size}, preset {preset}, profile {profile}")]
    Open {
        /// Picture size.
        size: Size,
        /// Preset.
        preset: String,
        /// Profile.
        profile: String,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// The global headers are not as asked for.
    #[error("parameter sets of x264")]
    Record(#[from] record::RecordError),
    /// A picture of another size.
    #[error("picture of {got} given to an encoder of {size}")]
    FrameSize {
        /// Size of the picture.
        got: Size,
        /// Size of the encoder.
        size: Size,
    },
    /// Encoding fails.
    #[error("encoding a picture of {size}")]
    Encode {
        /// Picture size.
        size: Size,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// A coded picture that no picture given belongs to.
    #[error("x264 put out a picture with the time {0:?}, which none was given")]
    Unknown(Option<i64>),
}

/// The bit rate of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateControl {
    /// Mean, in bits per second.
    pub bit_rate: u32,
    /// Highest over the VBV buffer, in bits per second.
    pub max_bit_rate: u32,
    /// VBV buffer, in bits.
    pub buffer_bits: u32,
}

/// What an encoder is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Picture size; even.
    pub size: Size,
    /// Frames a second, as a ratio.
    pub frame_rate: (u32, u32),
    /// Bit rate.
    pub rate: RateControl,
    /// x264 preset.
    pub preset: String,
    /// x264 tune.
    pub tune: Option<String>,
    /// H.264 profile.
    pub profile: String,
    /// Threads of the encoder. Each above 1 encodes a picture of its own, which costs latency and memory, or with
    /// `low_latency` a slice of the same picture, which costs bits.
    pub threads: usize,
    /// Whether each picture is to come out as soon as it is coded: without look-ahead and B-frames.
    pub low_latency: bool,
    /// Whether closed captions are passed on; of no use where pictures are left out.
    pub captions: bool,
}

/// What a picture is to be coded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An IDR picture, with which a segment can begin.
    Idr,
    /// Whatever the encoder thinks best, though no key frame.
    Any,
    /// Likewise, and it was given before: what it carries beside samples (captions) is not to be repeated.
    Repeated,
    /// A repeated picture that is to be an IDR picture.
    RepeatedIdr,
}

/// One coded picture: length-prefixed NAL units without parameter sets.
pub struct Coded {
    /// What [`Encoder::send`] was given for it.
    pub tag: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// The NAL units.
    pub data: CodedData,
}

/// The bytes of a coded picture, as libavcodec allocated them.
pub struct CodedData {
    packet: Packet,
    skip: usize,
}

impl AsRef<[u8]> for CodedData {
    fn as_ref(&self) -> &[u8] {
        self.packet.data().and_then(|data| data.get(self.skip..)).unwrap_or_default()
    }
}

/// Encodes one rung.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Encoder {
    inner: encoder::video::Encoder,
    config: EncoderConfig,
    configuration: Vec<u8>,
    next_pts: i64,
    /// Time stamps and tags of the pictures within, in the order given.
    inside: VecDeque<(i64, u64)>,
    first_out: bool,
}

impl Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// Where x264 refuses the settings.
    pub fn open(_device: &Device, config: &EncoderConfig) -> Result<Self, EncodeError> {
        let found = encoder::find_by_name("libx264").ok_or(EncodeError::Missing)?;
        let int = |what, value: u32| i32::try_from(value).map_err(|_| EncodeError::Value { what, value });
        let failed = |source: LibraryError| EncodeError::Open {
            size: config.size,
            preset: config.preset.clone(),
            profile: config.profile.clone(),
            source,
        };
        let (n, d) = (int("frame rate", config.frame_rate.0)?, int("frame rate", config.frame_rate.1)?);
        int("width", config.size.width)?;
        int("height", config.size.height)?;

        let mut context = codec::Context::new_with_codec(found);
        context.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
        context.set_time_base(Rational::new(d, n));
        context.set_frame_rate(Some(Rational::new(n, d)));
        context.set_threading(codec::threading::Config {
            kind: if config.low_latency {
                codec::threading::Type::Slice
            } else {
                codec::threading::Type::Frame
            },
            count: config.threads.max(1),
            ..codec::threading::Config::default()
        });
        let mut video = context.encoder().video().map_err(|e| failed(e.into()))?;
        video.set_width(config.size.width);
        video.set_height(config.size.height);
        video.set_format(ffmpeg_next::format::Pixel::YUV420P);
        video.set_aspect_ratio(Rational::new(1, 1));
        video.set_color_range(color::Range::MPEG);
        video.set_colorspace(color::Space::BT709);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        set_rate(&mut video, config.rate)?;

        let mut parameters = X264.to_owned();
        if config.low_latency {
            parameters.push_str(LOW_LATENCY);
        }
        if let Some(pictures) = lookahead(config) {
            parameters.push_str(&format!(":rc-lookahead={pictures}"));
        }
        let mut options = Dictionary::from_iter([
            ("preset", config.preset.as_str()),
            ("profile", config.profile.as_str()),
            ("forced-idr", "1"),
            ("a53cc", if config.captions { "1" } else { "0" }),
            ("x264-params", parameters.as_str()),
        ]);
        if let Some(tune) = &config.tune {
            options.set("tune", tune);
        }
        // What x264 finds wrong with a setting is only in its log; no stranger can cause it.
        log::set_level(log::Level::Error);
        let opened = video.open_as_with(found, options);
        log::set_level(log::Level::Fatal);
        let inner = opened.map_err(|e| failed(e.into()))?;
        let configuration = record::avcc(&ffi::extradata(&inner))?;
        let inside = VecDeque::new();
        Ok(Self { inner, config: config.clone(), configuration, next_pts: 0, inside, first_out: true })
    }

    /// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1) of all that it puts out.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// What it was opened with, and the bit rate it has now.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Encodes the next picture of the constant rate. `tag` comes out with it; any value will do.
    ///
    /// # Errors
    /// Where the picture's size is not the encoder's, or x264 fails.
    pub fn send(&mut self, frame: &Frame, tag: u64, kind: FrameKind) -> Result<(), EncodeError> {
        let size = self.config.size;
        if frame.size() != size {
            return Err(EncodeError::FrameSize { got: frame.size(), size });
        }
        let failed = |source| EncodeError::Encode { size, source };
        if self.inside.len() >= MAX_INSIDE {
            return Err(failed(LibraryError::OUT_OF_MEMORY));
        }
        let mut reference = ffi::new_reference(&frame.0).ok_or(failed(LibraryError::OUT_OF_MEMORY))?;
        reference.set_pts(Some(self.next_pts));
        // A decoded picture says what it was coded as; x264 would obey.
        reference.set_kind(match kind {
            FrameKind::Idr | FrameKind::RepeatedIdr => picture::Type::I,
            FrameKind::Any | FrameKind::Repeated => picture::Type::None,
        });
        if matches!(kind, FrameKind::Repeated | FrameKind::RepeatedIdr) {
            reference.remove_side_data(side_data::Type::A53CC);
        }
        self.inner.send_frame(&reference).map_err(|e| failed(e.into()))?;
        self.inside.push_back((self.next_pts, tag));
        self.next_pts += 1;
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        // Fails only where it was called before.
        let _ = self.inner.send_eof();
    }

    /// The next coded picture in decoding order; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where x264 fails.
    pub fn receive(&mut self) -> Result<Option<Coded>, EncodeError> {
        let mut packet = Packet::empty();
        match self.inner.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(error) if LibraryError::is_nothing(error) => return Ok(None),
            Err(error) => return Err(EncodeError::Encode { size: self.config.size, source: error.into() }),
        }
        let pts = packet.pts();
        let at = self.inside.iter().position(|(given, _)| Some(*given) == pts);
        let (_, tag) = at.and_then(|at| self.inside.remove(at)).ok_or(EncodeError::Unknown(pts))?;
        let mut data = CodedData { packet, skip: 0 };
        if std::mem::take(&mut self.first_out) {
            data.skip = settings_bytes(data.as_ref());
        }
        Ok(Some(Coded { tag, key: data.packet.is_key(), data }))
    }

    /// Changes the bit rate from the next picture on. The parameter sets stay.
    ///
    /// # Errors
    /// Where a value is over what libavcodec takes.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<(), EncodeError> {
        set_rate(&mut self.inner, rate)?;
        self.config.rate = rate;
        Ok(())
    }
}

/// How far to look ahead where the preset's own distance is too long: three quarters of it, and half a second at most.
///
/// Presets are made for files. Each picture looked ahead at costs its time in latency, and 12 MB over a ladder of
/// 1080p to 360p. Going from 10 to 7 pictures (`veryfast`) loses 0.09 dB of SSIM with natural pictures at 720p.
fn lookahead(config: &EncoderConfig) -> Option<u32> {
    // It looks at nothing ahead.
    if config.low_latency || config.tune.as_deref().is_some_and(|tune| tune.contains("zerolatency")) {
        return None;
    }
    let (_, preset) = PRESET_LOOKAHEAD.iter().find(|(preset, _)| *preset == config.preset)?;
    let half_second = config.frame_rate.0 / config.frame_rate.1.max(1) / 2;
    (*preset > 0).then_some((preset * 3 / 4).min(half_second).max(1))
}

/// Sets the bit rate; libavcodec compares these fields with x264's before each picture.
fn set_rate(video: &mut encoder::video::Video, rate: RateControl) -> Result<(), EncodeError> {
    let over = |what, value| EncodeError::Value { what, value };
    let buffer = i32::try_from(rate.buffer_bits).map_err(|_| over("VBV buffer", rate.buffer_bits))?;
    video.set_bit_rate(usize::try_from(rate.bit_rate).map_err(|_| over("bit rate", rate.bit_rate))?);
    video.set_max_bit_rate(
        usize::try_from(rate.max_bit_rate).map_err(|_| over("bit rate", rate.max_bit_rate))?,
    );
    ffi::set_buffer_bits(video, buffer);
    Ok(())
}

/// Length of the NAL unit in which x264 names its version and settings, if the first coded picture starts with it.
fn settings_bytes(data: &[u8]) -> usize {
    match data {
        [a, b, c, d, header, SEI_USER_DATA_UNREGISTERED, ..] if header & 0x1f == NAL_SEI => {
            let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
            let whole = length.saturating_add(4);
            if whole < data.len() { whole } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
