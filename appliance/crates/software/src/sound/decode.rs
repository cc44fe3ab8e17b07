//! Raw AAC frames in, samples out.

use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Packet, codec, decoder, frame};

use super::SoundError;
use crate::device::Device;
use crate::error::LibraryError;
use crate::ffi;

/// Longest raw frame: 6144 bits for each of 48 channels (ISO/IEC 14496-3, 4.5.3.1). Longer ones are damage.
const MAX_FRAME_BYTES: usize = 6144 / 8 * 48;
/// Most samples of one frame: 1024, doubled by spectral band replication, with room.
const MAX_FRAME_SAMPLES: usize = 8192;
/// Highest rate of samples: the highest there is, doubled likewise.
const MAX_SAMPLE_RATE: u32 = 192_000;
/// Most channels of a decoded frame.
const MAX_CHANNELS: u16 = 16;
/// Samples of a frame before the first one has been decoded.
const USUAL_SAMPLES: usize = 1024;

const PLANAR: Sample = Sample::F32(sample::Type::Planar);

/// What one frame was decoded to.
pub struct Samples {
    pub(super) frame: frame::Audio,
    pub(super) shape: Shape,
}

/// What samples are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rate: u32,
    pub(super) layout: ChannelLayout,
    pub(super) samples: usize,
}

impl Samples {
    /// Samples a second.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.shape.rate
    }

    /// Samples of each channel.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.shape.samples
    }

    /// How many channels.
    #[must_use]
    pub fn channels(&self) -> u16 {
        self.frame.channels()
    }
}

/// Decodes one stream.
pub struct SoundDecoder {
    inner: decoder::Audio,
    /// Of the last frame.
    shape: Shape,
    errors: u64,
}

impl SoundDecoder {
    /// Opens a decoder for a stream with this `AudioSpecificConfig`, which says `rate`: libavcodec tells no more than the
    /// layout before a frame has been decoded.
    ///
    /// # Errors
    /// Where the decoder is not built in, or refuses the record.
    pub fn open(_device: &Device, configuration: &[u8], rate: u32) -> Result<Self, SoundError> {
        let found = decoder::find(codec::Id::AAC).ok_or(SoundError::Missing("decoder"))?;
        let failed = |source| SoundError::OpenDecoder { bytes: configuration.len(), source };
        let mut context = codec::Context::new_with_codec(found);
        ffi::set_extradata(&mut context, configuration).map_err(failed)?;
        let mut decoder = context.decoder();
        // As with pictures: an error in the record is an error, those behind it are concealed.
        decoder.check(decoder::Check::EXPLODE);
        let inner = decoder.open_as(found).and_then(decoder::Opened::audio).map_err(|e| failed(e.into()))?;
        let mut this = Self {
            shape: Shape { rate, layout: inner.channel_layout(), samples: USUAL_SAMPLES },
            inner,
            errors: 0,
        };
        this.inner.check(decoder::Check::empty());
        if rate == 0 || this.shape.layout.is_empty() {
            return Err(failed(ffmpeg_next::Error::InvalidData.into()));
        }
        Ok(this)
    }

    /// Decodes one frame. A damaged one is silence, as long as the frame before it was, and is counted in
    /// [`Self::errors`].
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn decode(&mut self, coded: &[u8]) -> Result<Samples, SoundError> {
        let failed = |source| SoundError::Decode { bytes: coded.len(), source };
        if let Some(samples) = self.try_decode(coded).map_err(failed)? {
            self.shape = samples.shape;
            return Ok(samples);
        }
        self.errors += 1;
        let mut frame = ffi::allocate_sound(self.shape.samples, self.shape.layout)
            .ok_or_else(|| failed(LibraryError::OUT_OF_MEMORY))?;
        frame.set_rate(self.shape.rate);
        for plane in 0..frame.planes() {
            frame.plane_mut::<f32>(plane).fill(0.0);
        }
        Ok(Samples { frame, shape: self.shape })
    }

    /// None where the frame is damaged.
    fn try_decode(&mut self, coded: &[u8]) -> Result<Option<Samples>, LibraryError> {
        // An empty packet would mean the end of the stream to libavcodec.
        if coded.is_empty() || coded.len() > MAX_FRAME_BYTES {
            return Ok(None);
        }
        let sent = self.inner.send_packet(&Packet::copy(coded));
        let mut decoded = None;
        loop {
            let mut frame = frame::Audio::empty();
            match self.inner.receive_frame(&mut frame) {
                Ok(()) => decoded = decoded.or_else(|| usable(frame)),
                Err(error) if LibraryError::is_nothing(error) => break,
                Err(error) => return damage(error.into()),
            }
        }
        match sent {
            Ok(()) => Ok(decoded),
            Err(error) => damage(error.into()),
        }
    }

    /// Damaged frames so far.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }
}

fn damage(error: LibraryError) -> Result<Option<Samples>, LibraryError> {
    if error.is_out_of_memory() { Err(error) } else { Ok(None) }
}

/// The frame, where it is what an AAC decoder can put out.
fn usable(mut frame: frame::Audio) -> Option<Samples> {
    let channels = frame.channels();
    let usable = frame.format() == PLANAR
        && (1..=MAX_FRAME_SAMPLES).contains(&frame.samples())
        && (1..=MAX_SAMPLE_RATE).contains(&frame.rate())
        && (1..=MAX_CHANNELS).contains(&channels);
    if !usable {
        return None;
    }
    if frame.channel_layout().is_empty() {
        frame.set_channel_layout(ChannelLayout::default(i32::from(channels)));
    }
    let shape = Shape { rate: frame.rate(), layout: frame.channel_layout(), samples: frame.samples() };
    Some(Samples { frame, shape })
}
