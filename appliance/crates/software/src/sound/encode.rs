//! Samples in, raw AAC-LC frames out: libavcodec's own encoder.

use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Packet, Rational, codec, encoder};

use super::{SoundError, SoundFormat};
use crate::device::Device;
use crate::error::LibraryError;
use crate::ffi;

/// Samples of each channel in a frame (ISO/IEC 14496-3, 4.5.1.1, `frameLengthFlag` 0).
pub const SAMPLES_PER_FRAME: usize = 1024;

/// One raw frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodedSound {
    /// Where the samples that a decoder puts out for it stand, in samples from the first that was given. The first frame's
    /// stand before zero: it only makes the next one decodable from its beginning.
    pub position: i64,
    /// The `raw_data_block`.
    pub data: Vec<u8>,
}

/// Encodes one stream.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct SoundEncoder {
    inner: encoder::audio::Encoder,
    configuration: Vec<u8>,
    format: SoundFormat,
    layout: ChannelLayout,
    next: i64,
}

impl SoundEncoder {
    /// Opens an encoder for this mean rate of bits a second; libavcodec lowers what the format has no room for.
    ///
    /// # Errors
    /// Where it is not built in, or refuses the settings.
    pub fn open(_device: &Device, format: SoundFormat, bit_rate: u32) -> Result<Self, SoundError> {
        let layout = format.layout()?;
        let SoundFormat { sample_rate: rate, channel_configuration } = format;
        let failed =
            |source: LibraryError| SoundError::OpenEncoder { rate, channel_configuration, bit_rate, source };
        let invalid = || failed(ffmpeg_next::Error::InvalidData.into());
        // Another library's encoder, where one is registered under the same format, has other delays.
        let found = encoder::find_by_name("aac").ok_or(SoundError::Missing("encoder"))?;
        let mut context = codec::Context::new_with_codec(found);
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let rate = i32::try_from(rate).map_err(|_| invalid())?;
        context.set_time_base(Rational::new(1, rate.max(1)));
        let mut audio = context.encoder().audio().map_err(|error| failed(error.into()))?;
        audio.set_rate(rate);
        audio.set_format(Sample::F32(sample::Type::Planar));
        audio.set_channel_layout(layout);
        audio.set_bit_rate(usize::try_from(bit_rate).map_err(|_| invalid())?);
        let inner = audio.open_as(found).map_err(|error| failed(error.into()))?;
        if usize::try_from(inner.frame_size()) != Ok(SAMPLES_PER_FRAME) {
            return Err(invalid());
        }
        let configuration = ffi::extradata(&inner);
        Ok(Self { inner, configuration, format, layout, next: 0 })
    }

    /// The `AudioSpecificConfig` of all that it puts out.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// Encodes the next [`SAMPLES_PER_FRAME`] samples: the first so many of each plane.
    ///
    /// # Errors
    /// Where planes are missing or too short, or libavcodec fails.
    pub fn send(&mut self, planes: &[Vec<f32>]) -> Result<(), SoundError> {
        let channels = self.format.channels();
        let samples = planes.iter().map(Vec::len).min().unwrap_or(0);
        let wrong = || SoundError::Planes { planes: planes.len(), samples, channels };
        if planes.len() != channels {
            return Err(wrong());
        }
        let mut frame = ffi::allocate_sound(SAMPLES_PER_FRAME, self.layout)
            .ok_or(SoundError::Encode(LibraryError::OUT_OF_MEMORY))?;
        frame.set_rate(self.format.sample_rate);
        frame.set_pts(Some(self.next));
        for (index, plane) in planes.iter().enumerate() {
            let from = plane.get(..SAMPLES_PER_FRAME).ok_or_else(wrong)?;
            frame.plane_mut::<f32>(index).copy_from_slice(from);
        }
        self.inner.send_frame(&frame).map_err(|error| SoundError::Encode(error.into()))?;
        self.next = self.next.saturating_add(i64::try_from(SAMPLES_PER_FRAME).unwrap_or(0));
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        // Fails only where it was called before.
        let _ = self.inner.send_eof();
    }

    /// The next frame; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where libavcodec fails.
    pub fn receive(&mut self) -> Result<Option<CodedSound>, SoundError> {
        let mut packet = Packet::empty();
        match self.inner.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(error) if LibraryError::is_nothing(error) => return Ok(None),
            Err(error) => return Err(SoundError::Encode(error.into())),
        }
        let invalid = || SoundError::Encode(ffmpeg_next::Error::InvalidData.into());
        let position = packet.pts().ok_or_else(invalid)?;
        let data = packet.data().ok_or_else(invalid)?.to_vec();
        Ok(Some(CodedSound { position, data }))
    }
}
