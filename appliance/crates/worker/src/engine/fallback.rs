//! What the CPU does for a device: decoding what it has no decoder for, and reading still pictures.
//!
//! A contribution feed may be H.264 of 4:2:2 with 10 bits, or AV1 on a device that is older than the format: it is
//! decoded by libavcodec then, converted there, and uploaded, so that the device still scales and encodes.

use media::{Latency, Size, VideoCodec};
use software::Scaler;

use super::software::SoftwareEngine;
use super::{Decode, Decoded, Engine, EngineError, Planes};

/// Puts samples into a device's memory.
pub(crate) type Upload<F> = Box<dyn FnMut(&Planes) -> Result<F, EngineError>>;

/// A picture of libavcodec's in the form that encoders take, as samples.
fn planes(scaler: &mut Scaler, frame: &software::Frame, size: Size) -> Result<Planes, EngineError> {
    let to = software::Size { width: size.width, height: size.height };
    let scaled = scaler.scale(frame, to).map_err(|e| EngineError::Scale(e.into()))?;
    let samples = scaled.planes().ok_or_else(|| EngineError::Scale("a picture without samples".into()))?;
    Ok(Planes { size, samples })
}

/// The picture's own size in square pixels, even.
fn square(frame: &software::Frame) -> Size {
    let own = Size { width: frame.size().width, height: frame.size().height };
    let square = own.in_square_pixels(frame.sample_aspect_ratio());
    Size { width: square.width.next_multiple_of(2), height: square.height.next_multiple_of(2) }
}

/// The samples of a PNG or JPEG file, which may be anything; `at_most` is what will be asked of it.
pub(crate) fn still(file: &[u8], at_most: Size) -> Result<Planes, EngineError> {
    let most = software::Size { width: at_most.width, height: at_most.height };
    let frame = software::still::decode(file, most).map_err(|e| EngineError::Still(e.into()))?;
    planes(&mut Scaler::default(), &frame, square(&frame))
}

/// libavcodec's pictures, uploaded.
pub(crate) struct Uploading<F> {
    decoder: software::Decoder,
    scaler: Scaler,
    upload: Upload<F>,
}

impl<F> Uploading<F> {
    /// A decoder as [`Engine::decoder`] has it.
    pub(crate) fn open(
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
        upload: Upload<F>,
    ) -> Result<Self, EngineError> {
        let decoder = SoftwareEngine::open().decoder(codec, configuration, load, latency)?;
        Ok(Self { decoder, scaler: Scaler::default(), upload })
    }
}

impl<F> Decode for Uploading<F> {
    type Frame = F;

    fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), EngineError> {
        Decode::send(&mut self.decoder, unit, tag)
    }

    fn receive(&mut self) -> Result<Option<Decoded<F>>, EngineError> {
        let Some(decoded) = Decode::receive(&mut self.decoder)? else { return Ok(None) };
        let planes = planes(&mut self.scaler, &decoded.frame, square(&decoded.frame))?;
        let frame = (self.upload)(&planes)?;
        Ok(Some(Decoded { frame, tag: decoded.tag, deinterlaced: decoded.deinterlaced }))
    }

    fn finish(&mut self) {
        Decode::finish(&mut self.decoder);
    }

    fn errors(&self) -> u64 {
        Decode::errors(&self.decoder)
    }
}

/// Opens the stand-in for a decoder that turns out not to take its stream.
type StandIn<F> = Box<dyn FnOnce() -> Result<Uploading<F>, EngineError>>;

/// A device's decoder as the adapter sees it: what fails, and whether that is because the device does not do it.
pub(crate) trait DeviceDecode: Decode {
    /// The device's own error.
    type Error;
    /// [`Decode::send`] with the device's own error.
    fn send_unit(&mut self, unit: &[u8], tag: i64) -> Result<(), Self::Error>;
    /// Whether the CPU could decode what the device would not.
    fn is_unsupported(error: &Self::Error) -> bool;
    /// The error as engines tell it.
    fn into_engine_error(error: Self::Error) -> EngineError;
}

/// The device's decoder, or the CPU's where the device has none for the stream.
pub(crate) enum Decoder<D: DeviceDecode> {
    /// On the device. The stand-in takes over where the first parameter sets say more than the record did.
    Device(Box<D>, Option<StandIn<D::Frame>>),
    /// On the CPU.
    Uploading(Box<Uploading<D::Frame>>),
}

impl<D: DeviceDecode> Decoder<D> {
    /// What `opened` is, or the stand-in where the device does not do it.
    pub(crate) fn of(
        opened: Result<D, D::Error>,
        stand_in: impl FnOnce() -> Result<Uploading<D::Frame>, EngineError> + 'static,
    ) -> Result<Self, EngineError> {
        match opened {
            Ok(decoder) => Ok(Self::Device(Box::new(decoder), Some(Box::new(stand_in)))),
            Err(error) if D::is_unsupported(&error) => Ok(Self::Uploading(Box::new(stand_in()?))),
            Err(error) => Err(D::into_engine_error(error)),
        }
    }
}

impl<D: DeviceDecode> Decode for Decoder<D> {
    type Frame = D::Frame;

    fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), EngineError> {
        let (decoder, stand_in) = match self {
            Self::Device(decoder, stand_in) => (decoder, stand_in),
            Self::Uploading(decoder) => return decoder.send(unit, tag),
        };
        match decoder.send_unit(unit, tag) {
            Ok(()) => Ok(()),
            Err(error) if D::is_unsupported(&error) => {
                let Some(stand_in) = stand_in.take() else { return Err(D::into_engine_error(error)) };
                let mut uploading = stand_in()?;
                uploading.send(unit, tag)?;
                *self = Self::Uploading(Box::new(uploading));
                Ok(())
            }
            Err(error) => Err(D::into_engine_error(error)),
        }
    }

    fn receive(&mut self) -> Result<Option<Decoded<D::Frame>>, EngineError> {
        match self {
            Self::Device(decoder, _) => decoder.receive(),
            Self::Uploading(decoder) => decoder.receive(),
        }
    }

    fn finish(&mut self) {
        match self {
            Self::Device(decoder, _) => decoder.finish(),
            Self::Uploading(decoder) => decoder.finish(),
        }
    }

    fn errors(&self) -> u64 {
        match self {
            Self::Device(decoder, _) => decoder.errors(),
            Self::Uploading(decoder) => decoder.errors(),
        }
    }
}
