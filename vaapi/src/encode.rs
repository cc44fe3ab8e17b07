//! Pictures in, H.264 or HEVC access units out.
//!
//! IDR pictures stand where they are asked for and nowhere else; all others refer to the one before them, so that each
//! comes out as soon as it is coded and groups of pictures are closed. Parameter sets are written here where the driver
//! takes them, so that the configuration record is known before the first picture; otherwise the driver is made to code
//! one picture when the encoder is opened, and its own are taken.

mod amend;
mod bits;
mod buffers;
mod config;
mod error;
#[cfg(test)]
pub(crate) mod fuzz;
mod h264;
mod hevc;
mod level;
mod rate;
mod stream;
mod syntax;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::caps::{EncodeCaps, EntryPoint, RateMode};
use crate::device::{Codec, Device};
use crate::error::{CallError, Status};
use crate::ffi::{CodedBuffer, Config, Context, Format, Surface, va};
use crate::frame::{Frame, Size};
pub use config::{EncoderConfig, RateControl};
pub use error::EncodeError;
use rate::QpControl;
use syntax::{Step, Syntax};

/// What a picture is to be coded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An IDR picture, with which a segment can begin.
    Idr,
    /// Whatever the encoder thinks best, though no key frame.
    Any,
}

/// One coded picture: NAL units with 4-byte lengths, without parameter sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// What [`Encoder::send`] was given for it.
    pub tag: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// The NAL units.
    pub data: Vec<u8>,
}

/// Pictures in the driver at once where latency is no matter: one is coded while the next is scaled.
const PIPELINED: usize = 2;
/// Reconstructed pictures: the one being coded, its reference, and one that the driver may not be done with.
const RECONSTRUCTED: usize = 3;
/// A picture in the driver.
struct Inside {
    tag: u64,
    idr: bool,
    /// What it is made of stays until it is coded.
    frame: Frame,
    coded: CodedBuffer,
}

/// Encodes one rung.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Encoder {
    config: EncoderConfig,
    configuration: Vec<u8>,
    sets: Vec<Vec<u8>>,
    rate_mode: RateMode,
    entry_point: EntryPoint,
    quality_level: Option<u32>,
    packed_sequence: bool,
    packed_slice: bool,
    /// The parameter sets are those that the driver writes.
    drivers_sets: bool,
    syntax: Syntax,
    /// Buffers and pictures are dropped before the context that they are of.
    inside: VecDeque<Inside>,
    spare: Vec<CodedBuffer>,
    reconstructed: Vec<Arc<Surface>>,
    context: Context,
    control: Option<QpControl>,
    /// The driver is to be told of the rate.
    rate_changed: bool,
    since_idr: u32,
    idr_number: u16,
    sent: usize,
    finished: bool,
}

impl Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// Where the device does not encode such pictures, or its driver refuses.
    pub fn open(device: &Device, config: &EncoderConfig) -> Result<Self, EncodeError> {
        let codec = config.codec;
        let caps = device.caps().encoder(codec, 8, config.entry_point);
        let caps = caps.ok_or(EncodeError::Unsupported(codec))?;
        config::check_size(config.size, caps)?;
        let (frames, seconds) = config.frame_rate;
        if frames == 0 || seconds == 0 {
            return Err(EncodeError::FrameRate(frames, seconds));
        }
        let rate_mode = rate::mode(config.rate, &caps.rate_modes).ok_or(EncodeError::RateControl(codec))?;
        let mut encoder = Self::with(device, config, caps, rate_mode)?;
        encoder.sets = match encoder.packed_sequence {
            true => encoder.syntax.parameter_sets(),
            false => {
                let sets = amend::amended(codec, encoder.drivers_parameter_sets(device)?, config.size)?;
                // The stream proper begins with a context that has coded nothing.
                encoder = Self::with(device, config, caps, rate_mode)?;
                encoder.drivers_sets = true;
                sets
            }
        };
        let record = match codec {
            Codec::H264 => h264::Syntax::record(&encoder.sets),
            Codec::Hevc => hevc::Syntax::record(&encoder.sets),
        };
        encoder.configuration = record.ok_or(EncodeError::Output { what: "no usable parameter sets" })?;
        Ok(encoder)
    }

    fn with(
        device: &Device,
        config: &EncoderConfig,
        caps: &EncodeCaps,
        rate_mode: RateMode,
    ) -> Result<Self, EncodeError> {
        let EncoderConfig { codec, size, .. } = *config;
        let (syntax, profile) = match codec {
            Codec::H264 => {
                let syntax = h264::Syntax::new(config)?;
                let profile = syntax.va_profile();
                (Syntax::H264(syntax), profile)
            }
            Codec::Hevc => {
                let syntax = hevc::Syntax::new(config, caps, rate_mode != RateMode::Cqp)?;
                (Syntax::Hevc(syntax), va::VAProfileHEVCMain)
            }
        };
        if !caps.profiles.contains(&profile) {
            return Err(EncodeError::Profile { codec, profile: config.profile.clone() });
        }
        let failed = |source| EncodeError::Open { codec, size, entry_point: caps.entry_point, source };
        let headers = caps.packed_headers;
        let packed = [
            (headers.sequence, va::VA_ENC_PACKED_HEADER_SEQUENCE),
            // A slice header of ours refers to parameter sets of ours.
            (headers.sequence && headers.slice, va::VA_ENC_PACKED_HEADER_SLICE),
        ];
        let packed = packed.iter().filter(|(has, _)| *has).fold(0, |mask, (_, bit)| mask | bit);
        let mut attributes = vec![
            (va::VAConfigAttribRTFormat, Format::Nv12.rt_format()),
            (va::VAConfigAttribRateControl, rate_mode.bit()),
        ];
        if packed != 0 {
            attributes.push((va::VAConfigAttribEncPackedHeaders, packed));
        }
        let display = device.display();
        let id = caps.entry_point.id();
        let driver = Config::new(display, profile, id, &attributes).map_err(failed)?;
        let coded = Size { width: size.width.next_multiple_of(16), height: size.height.next_multiple_of(16) };
        let surface = |_| Surface::new(display, coded, Format::Nv12).map(Arc::new);
        let reconstructed = (0..RECONSTRUCTED).map(surface).collect::<Result<Vec<_>, _>>();
        let reconstructed = reconstructed.map_err(failed)?;
        let context = Context::new(driver, size, reconstructed.clone()).map_err(failed)?;
        let control = (rate_mode == RateMode::Cqp)
            .then(|| QpControl::new(config.rate, config.frame_rate, size.samples()));
        Ok(Self {
            config: config.clone(),
            configuration: Vec::new(),
            sets: Vec::new(),
            rate_mode,
            entry_point: caps.entry_point,
            quality_level: config::quality_level(config.quality, caps.quality_levels),
            packed_sequence: headers.sequence,
            packed_slice: headers.sequence && headers.slice,
            drivers_sets: false,
            syntax,
            inside: VecDeque::new(),
            spare: Vec::new(),
            reconstructed,
            context,
            control,
            rate_changed: false,
            since_idr: 0,
            idr_number: 0,
            sent: 0,
            finished: false,
        })
    }

    /// Has the driver code one picture, for the parameter sets that it writes itself.
    fn drivers_parameter_sets(&mut self, device: &Device) -> Result<Vec<Vec<u8>>, EncodeError> {
        let frame = Frame::black(device, self.config.size)?;
        self.submit(&frame, 0, true)?;
        match self.inside.pop_front() {
            Some(inside) => Ok(self.read(&inside)?.sets),
            None => Ok(Vec::new()),
        }
    }

    /// The `AVCDecoderConfigurationRecord` or `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15) of all that it puts
    /// out: a function of the configuration and the device.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// What it was opened with, and the bit rate it has now.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The rate control in use.
    #[must_use]
    pub const fn rate_mode(&self) -> RateMode {
        self.rate_mode
    }

    /// The way through the hardware in use.
    #[must_use]
    pub const fn entry_point(&self) -> EntryPoint {
        self.entry_point
    }

    /// Encodes the next picture of the constant rate. `tag` comes out with it; any value will do.
    ///
    /// # Errors
    /// Where the picture's size is not the encoder's, or the device fails.
    pub fn send(&mut self, frame: &Frame, tag: u64, kind: FrameKind) -> Result<(), EncodeError> {
        let picture = &frame.0;
        let size = self.config.size;
        let ready = picture.size == size
            && (picture.left, picture.top) == (0, 0)
            && picture.surface.format() == Format::Nv12;
        if !ready {
            let bit_depth = frame.bit_depth();
            return Err(EncodeError::FrameSize { got: frame.size(), bit_depth, size });
        }
        // The first picture has none to refer to.
        self.submit(frame, tag, kind == FrameKind::Idr || self.sent == 0)
    }

    fn submit(&mut self, frame: &Frame, tag: u64, idr: bool) -> Result<(), EncodeError> {
        let size = self.config.size;
        let failed = |source| EncodeError::Encode { size, source };
        let coded = match self.spare.pop() {
            Some(coded) => coded,
            None => CodedBuffer::new(&self.context, coded_bytes(size)).map_err(failed)?,
        };
        self.since_idr = if idr { 0 } else { self.since_idr.wrapping_add(1) };
        self.idr_number = if idr { (self.idr_number + 1) % 16 } else { self.idr_number };
        let surface = |at: usize| self.reconstructed.get(at % RECONSTRUCTED).map(|surface| surface.id());
        let missing = CallError { call: "vaCreateSurfaces", status: Status::InvalidSurface };
        let step = Step {
            idr,
            idr_number: self.idr_number,
            since_idr: self.since_idr,
            qp: self.control.as_ref().map_or(26, |control| control.next(idr)),
            reconstructed: surface(self.sent).ok_or(failed(missing))?,
            reference: if idr { None } else { surface(self.sent + RECONSTRUCTED - 1) },
            coded_buffer: coded.id(),
        };
        let buffers = self.buffers(&step).map_err(failed)?;
        self.context.submit(&frame.0.surface, buffers).map_err(failed)?;
        self.sent += 1;
        self.rate_changed = false;
        self.inside.push_back(Inside { tag, idr, frame: frame.clone(), coded });
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next coded picture in decoding order; `None` while there is none, or, after [`Self::finish`], any more. Waits
    /// for the device where it has more than enough to do already, or where latency matters.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn receive(&mut self) -> Result<Option<Coded>, EncodeError> {
        let hold = if self.config.low_latency || self.finished { 0 } else { PIPELINED };
        let due = self.inside.len() > hold
            || self.inside.front().is_some_and(|inside| inside.frame.0.surface.is_ready());
        let Some(inside) = (if due { self.inside.pop_front() } else { None }) else { return Ok(None) };
        let parsed = self.read(&inside)?;
        let Inside { tag, idr, coded, .. } = inside;
        self.spare.push(coded);
        if !parsed.slices {
            return Err(EncodeError::Output { what: "a picture without a slice" });
        }
        if idr && !parsed.key {
            return Err(EncodeError::Output { what: "another picture where an IDR picture was asked for" });
        }
        // What stays in the driver's own sets is what it began with, not what was made of them.
        let set_is_known = |set: &Vec<u8>| self.sets.contains(set);
        if !self.drivers_sets && !parsed.sets.iter().all(set_is_known) {
            return Err(EncodeError::Output { what: "other parameter sets than before" });
        }
        Ok(Some(Coded { tag, key: parsed.key, data: parsed.data }))
    }

    /// Waits for a picture to be coded.
    fn read(&mut self, inside: &Inside) -> Result<stream::Parsed, EncodeError> {
        let size = self.config.size;
        let failed = |source| EncodeError::Encode { size, source };
        let patience = self.config.patience;
        if !inside.frame.0.surface.sync_within(patience).map_err(failed)? {
            self.context.display().abandon();
            // The device may still read them: they are not to be given to anybody else.
            for frame in std::iter::once(inside).chain(&self.inside).map(|inside| inside.frame.clone()) {
                std::mem::forget(frame);
            }
            return Err(EncodeError::Stuck { patience });
        }
        let most = usize::try_from(coded_bytes(size)).unwrap_or(usize::MAX);
        let coded = inside.coded.read(most).map_err(failed)?;
        let overflow = va::VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK | va::VA_CODED_BUF_STATUS_BAD_BITSTREAM;
        if coded.status & overflow != 0 {
            return Err(EncodeError::Output { what: "a picture that it says is cut short or bad" });
        }
        if let Some(control) = &mut self.control {
            control.coded(coded.data.len());
        }
        Ok(stream::parse(self.config.codec, &coded.data))
    }

    /// Changes the bit rate from the next picture on. The parameter sets stay.
    ///
    /// # Errors
    /// None now; the driver answers with the next picture.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<(), EncodeError> {
        self.config.rate = rate;
        if let Some(control) = &mut self.control {
            control.set_rate(rate);
        }
        self.rate_changed = true;
        Ok(())
    }
}

/// Room for a coded picture: as much as its samples, and headers. A picture at the lowest quantiser of noise has a little
/// less.
fn coded_bytes(size: Size) -> u32 {
    u32::try_from(size.samples() * 3 / 2).unwrap_or(u32::MAX).saturating_add(1 << 16)
}
