//! Samples of any rate and layout to those of one track.

use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ChannelLayout, Dictionary};

use super::decode::{Samples, Shape};
use super::{SoundError, SoundFormat};
use crate::error::LibraryError;
use crate::ffi;

/// Room for what a resampler puts out beside what its delay and its input come to.
const ROOM: usize = 64;
/// Longest tail of a resampler, in samples: its filter is far shorter.
const MAX_TAIL: u64 = 1 << 16;

/// Converts samples.
///
/// Levels are those that browsers mix with (Web Audio API, 4.3 "Up-mixing and Down-mixing"): mono is as loud on two
/// speakers as on one, surround channels go into two at -3 dB each, and what becomes mono is the mean. What two or more
/// channels come to beyond full scale is cut off there.
pub struct Remixer {
    to: SoundFormat,
    layout: ChannelLayout,
    inner: Option<Inner>,
}

/// libswresample, set up for samples of one shape.
struct Inner {
    shape: Shape,
    context: resampling::Context,
    /// What it puts out; fewer planes than the track has where one stands for all.
    layout: ChannelLayout,
}

impl Remixer {
    /// One that puts out samples of `to`.
    ///
    /// # Errors
    /// Where that is a layout that is not made.
    pub fn new(to: SoundFormat) -> Result<Self, SoundError> {
        Ok(Self { to, layout: to.layout()?, inner: None })
    }

    /// Converts samples, and puts what comes of them behind what `planes` hold, one plane a channel. The first sample
    /// that comes out stands where the first that went in does; the last ones stay within until more come.
    ///
    /// # Errors
    /// Where libswresample refuses, or there is no memory.
    pub fn convert(&mut self, samples: &Samples, planes: &mut [Vec<f32>]) -> Result<(), SoundError> {
        let shape = samples.shape;
        let same = |inner: &Inner| inner.shape.rate == shape.rate && inner.shape.layout == shape.layout;
        if !self.inner.as_ref().is_some_and(same) {
            self.flush(planes)?;
            self.inner = Some(self.open(shape)?);
        }
        let Some(inner) = &mut self.inner else { return Ok(()) };
        inner.shape = shape;
        let failed = |source| remix_error(shape, source);
        let grown = shape.samples.saturating_mul(widen(self.to.sample_rate)) / widen(shape.rate).max(1);
        let capacity = grown.saturating_add(inner.delay()).saturating_add(ROOM);
        let mut out =
            ffi::allocate_sound(capacity, inner.layout).ok_or_else(|| failed(LibraryError::OUT_OF_MEMORY))?;
        inner.context.run(&samples.frame, &mut out).map_err(|error| failed(error.into()))?;
        append(&out, planes);
        Ok(())
    }

    /// Samples, at the rate that comes out, that are still within.
    #[must_use]
    pub fn delay(&self) -> usize {
        self.inner.as_ref().map_or(0, Inner::delay)
    }

    /// Nothing more comes that belongs to what came: puts out what is within.
    ///
    /// # Errors
    /// Where libswresample refuses, or there is no memory.
    pub fn flush(&mut self, planes: &mut [Vec<f32>]) -> Result<(), SoundError> {
        let Some(mut inner) = self.inner.take() else { return Ok(()) };
        let tail = inner.delay();
        if tail == 0 {
            return Ok(());
        }
        let failed = |source| remix_error(inner.shape, source);
        let mut out = ffi::allocate_sound(tail.saturating_add(ROOM), inner.layout)
            .ok_or_else(|| failed(LibraryError::OUT_OF_MEMORY))?;
        inner.context.flush(&mut out).map_err(|error| failed(error.into()))?;
        append(&out, planes);
        Ok(())
    }

    fn open(&self, shape: Shape) -> Result<Inner, SoundError> {
        // It would put mono on two speakers at -3 dB each.
        let one_for_all = shape.layout == ChannelLayout::MONO && self.layout == ChannelLayout::STEREO;
        let layout = if one_for_all { ChannelLayout::MONO } else { self.layout };
        // Without it two channels add up in one; with it levels are lowered, which is right for a mean alone.
        let mean = [("rematrix_maxval", "1")];
        let options = if layout == ChannelLayout::MONO { &mean[..] } else { &[] };
        let planar = Sample::F32(sample::Type::Planar);
        let context = resampling::Context::get_with(
            planar,
            shape.layout,
            shape.rate,
            planar,
            layout,
            self.to.sample_rate,
            options.iter().copied().collect::<Dictionary<'_>>(),
        )
        .map_err(|error| remix_error(shape, error.into()))?;
        Ok(Inner { shape, context, layout })
    }
}

impl Inner {
    fn delay(&self) -> usize {
        let delay = self.context.delay().map_or(0, |delay| delay.output);
        usize::try_from(u64::try_from(delay).unwrap_or(0).min(MAX_TAIL)).unwrap_or(0)
    }
}

fn remix_error(shape: Shape, source: LibraryError) -> SoundError {
    let channels = u16::try_from(shape.layout.channels()).unwrap_or(u16::MAX);
    SoundError::Remix { rate: shape.rate, channels, source }
}

fn widen(rate: u32) -> usize {
    usize::try_from(rate).unwrap_or(usize::MAX)
}

/// A damaged stream can decode to anything, and an encoder refuses what is no number.
fn append(out: &ffmpeg_next::frame::Audio, planes: &mut [Vec<f32>]) {
    let sound = |sample: &f32| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
    let last = out.planes().saturating_sub(1);
    if out.samples() == 0 || out.planes() == 0 {
        return;
    }
    for (index, plane) in planes.iter_mut().enumerate() {
        plane.extend(out.plane::<f32>(index.min(last)).iter().map(sound));
    }
}
