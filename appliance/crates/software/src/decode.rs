//! Coded units in, progressive pictures out.

use ffmpeg_next::{Dictionary, Packet, codec, decoder, frame};

use crate::deinterlace::{DeinterlaceError, Deinterlacer};
use crate::device::{Codec, Device};
use crate::error::LibraryError;
use crate::ffi;
use crate::frame::Frame;

/// Largest picture that is decoded, in samples: 8192x4608, over every level of broadcast use. It bounds what a hostile
/// parameter set can make the decoder allocate.
const MAX_PIXELS: &str = "37748736";

/// Most errors that are read off the decoder between two pictures.
const MAX_ERRORS_A_CALL: u32 = 64;

/// A decoder that cannot be opened or go on. Damaged pictures are no error; they are concealed and counted.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The configuration record is not one.
    #[error("{} configuration record of {bytes} bytes starts with {first:?}, not with a whole record of version 1", codec.name())]
    Record {
        /// The coding format.
        codec: Codec,
        /// Its length.
        bytes: usize,
        /// Its first byte.
        first: Option<u8>,
    },
    /// No decoder for the format is built in.
    #[error("libavcodec has no decoder for {}", .0.name())]
    Missing(Codec),
    /// The decoder refuses the configuration record.
    #[error("{} decoder does not open with the source's configuration record", codec.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// The decoder has no memory left.
    #[error("decoding a unit of {bytes} bytes")]
    Decode {
        /// Length of the unit.
        bytes: usize,
        /// What libavcodec says.
        #[source]
        source: LibraryError,
    },
    /// Deinterlacing fails.
    #[error("deinterlacing a picture")]
    Deinterlace(#[from] DeinterlaceError),
}

/// What a decoder is opened with.
#[derive(Debug, Clone, Copy)]
pub struct DecoderConfig<'a> {
    /// The coding format.
    pub codec: Codec,
    /// The `avcC`, `hvcC` or `av1C` record; none only for finding out whether the format can be decoded at all.
    pub configuration: Option<&'a [u8]>,
    /// Pictures decoded at once; every one above 1 delays the output by one picture.
    pub threads: usize,
    /// Whether pictures are to come out as early as the format allows.
    pub low_latency: bool,
}

/// A picture with the tag of the unit it was coded in.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The picture.
    pub frame: Frame,
    /// What [`Decoder::send`] was given for it.
    pub tag: i64,
    /// Whether it went through the deinterlacer.
    pub deinterlaced: bool,
}

/// Decodes one stream.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Decoder {
    inner: decoder::Opened,
    deinterlacer: Deinterlacer,
    errors: u64,
    finished: bool,
}

impl Decoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// Where the format is not built in, or the record is not one that the decoder takes.
    pub fn open(_device: &Device, config: &DecoderConfig<'_>) -> Result<Self, DecodeError> {
        let codec = config.codec;
        let found = decoder::find(codec.id()).ok_or(DecodeError::Missing(codec))?;
        let failed = |source| DecodeError::Open { codec, source };
        let mut context = codec::Context::new_with_codec(found);
        if let Some(record) = config.configuration {
            check_record(codec, record)?;
            ffi::set_extradata(&mut context, record).map_err(failed)?;
        }
        // H.264 and HEVC decoders hold back what the stream's reordering asks for, and no more; told to hurry, they would
        // put out pictures in the wrong order. AV1's keeps its threads busy instead, unless it is told.
        if config.low_latency && codec == Codec::Av1 {
            context.set_flags(codec::Flags::LOW_DELAY);
        }
        context.set_threading(codec::threading::Config {
            kind: codec::threading::Type::Frame,
            count: config.threads.max(1),
            ..codec::threading::Config::default()
        });
        let mut decoder = context.decoder();
        // While opening, an error in the record is an error; afterwards errors are concealed.
        decoder.check(decoder::Check::EXPLODE);
        let options = Dictionary::from_iter([("max_pixels", MAX_PIXELS)]);
        let mut inner = decoder.open_as_with(found, options).map_err(|e| failed(e.into()))?;
        inner.check(decoder::Check::empty());
        Ok(Self { inner, deinterlacer: Deinterlacer::default(), errors: 0, finished: false })
    }

    /// Takes one coded unit: length-prefixed NAL units, or a temporal unit of OBUs. `tag` comes out with its picture.
    ///
    /// # Errors
    /// Where there is no memory. A damaged unit is counted in [`Self::errors`].
    pub fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        // An empty packet would mean the end of the stream to libavcodec.
        if unit.is_empty() {
            self.errors += 1;
            return Ok(());
        }
        let mut packet = Packet::copy(unit);
        packet.set_pts(Some(tag));
        match self.inner.send_packet(&packet).map_err(LibraryError::from) {
            Ok(()) => Ok(()),
            Err(source) if source.is_out_of_memory() => {
                Err(DecodeError::Decode { bytes: unit.len(), source })
            }
            Err(_) => {
                self.errors += 1;
                Ok(())
            }
        }
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        // Fails only where it was called before.
        let _ = self.inner.send_eof();
        self.finished = true;
    }

    /// The next picture in the order of showing; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where there is no memory, or the deinterlacer fails.
    pub fn receive(&mut self) -> Result<Option<Decoded>, DecodeError> {
        loop {
            if let Some(decoded) = self.deinterlacer.pull()? {
                return Ok(Some(decoded));
            }
            match self.receive_coded()? {
                Some(video) => self.deinterlacer.push(video)?,
                None if self.finished => {
                    self.deinterlacer.finish()?;
                    return Ok(self.deinterlacer.pull()?);
                }
                None => return Ok(None),
            }
        }
    }

    fn receive_coded(&mut self) -> Result<Option<frame::Video>, DecodeError> {
        for _ in 0..MAX_ERRORS_A_CALL {
            let mut video = frame::Video::empty();
            match self.inner.receive_frame(&mut video) {
                Ok(()) => {
                    if video.is_corrupt() || video.has_decode_errors() {
                        self.errors += 1;
                    }
                    return Ok(Some(video));
                }
                Err(error) if LibraryError::is_nothing(error) => return Ok(None),
                Err(error) => {
                    let source = LibraryError::from(error);
                    if source.is_out_of_memory() {
                        return Err(DecodeError::Decode { bytes: 0, source });
                    }
                    self.errors += 1;
                }
            }
        }
        Ok(None)
    }

    /// Damaged units and pictures so far.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// Whether pictures are being deinterlaced now.
    #[must_use]
    pub fn is_deinterlacing(&self) -> bool {
        self.deinterlacer.is_active()
    }
}

/// Refuses what cannot be a record before libavcodec, which takes Annex B in its place, reads it.
fn check_record(codec: Codec, record: &[u8]) -> Result<(), DecodeError> {
    // Fixed parts of ISO/IEC 14496-15, 5.3.3.1.2 and 8.3.3.1.2, and of AV1-ISOBMFF 2.3.3 (marker and version 1).
    let (first, least) = match codec {
        Codec::H264 => (1, 7),
        Codec::Hevc => (1, 23),
        Codec::Av1 => (0x81, 4),
    };
    if record.len() < least || record.first() != Some(&first) {
        return Err(DecodeError::Record { codec, bytes: record.len(), first: record.first().copied() });
    }
    Ok(())
}
