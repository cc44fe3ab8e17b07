//! Pictures in, H.264 or HEVC access units out.
//!
//! IDR pictures stand where they are asked for and nowhere else; all others refer to the one before them, so that each
//! comes out as soon as it is coded and groups of pictures are closed. Parameter sets are written here where the driver
//! takes them, so that the configuration record is known before the first picture; otherwise the driver is made to code
//! one picture when the encoder is opened, and its own are taken.

mod amend;
mod bits;
#[cfg(test)]
pub(crate) mod fuzz;
mod h264;
mod hevc;
mod level;
mod rate;
mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::caps::{EncodeCaps, EntryPoint, RateMode};
use crate::device::{Codec, Device};
use crate::error::{CallError, Status};
use crate::ffi::{Buffer, CodedBuffer, Config, Context, Format, Surface, va};
use crate::frame::{Frame, FrameError, Size};
use bits::{BitWriter, escaped};
use rate::QpControl;

/// An encoder that cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The device encodes no such pictures.
    #[error("this device encodes no {}", .0.name())]
    Unsupported(Codec),
    /// The picture size is not one the device takes.
    #[error("pictures of {size} cannot be encoded: sides are even, at least 16 and at most {most}")]
    Size {
        /// What was asked for.
        size: Size,
        /// What the device takes.
        most: Size,
    },
    /// A profile that does not exist, or that the device does not have.
    #[error("profile {profile:?} of {} is not one that this device encodes", codec.name())]
    Profile {
        /// The coding format.
        codec: Codec,
        /// What was asked for.
        profile: String,
    },
    /// The rate of frames is not one.
    #[error("frame rate {0}/{1} is none")]
    FrameRate(u32, u32),
    /// No rate control of the driver will do.
    #[error("the driver has none of the rate controls CBR, VBR, QVBR and CQP for {}", .0.name())]
    RateControl(Codec),
    /// The driver refuses the encoder.
    #[error("no {} encoder for {size} through {}", codec.name(), entry_point.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Picture size.
        size: Size,
        /// Which way through the hardware.
        entry_point: EntryPoint,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// A picture of another size or form.
    #[error("picture of {got} with {bit_depth} bits given to an encoder of {size} with 8")]
    FrameSize {
        /// Size of the picture.
        got: Size,
        /// Bits of a sample.
        bit_depth: u8,
        /// Size of the encoder.
        size: Size,
    },
    /// Encoding fails.
    #[error("encoding a picture of {size}")]
    Encode {
        /// Picture size.
        size: Size,
        /// What the driver says.
        #[source]
        source: CallError,
    },
    /// The device did not give a picture in time.
    #[error("the encoder gave nothing for {} ms", patience.as_millis())]
    Stuck {
        /// How long it was waited for.
        patience: Duration,
    },
    /// A picture to find the driver's parameter sets with cannot be made.
    #[error("a first picture")]
    FirstPicture(#[from] FrameError),
    /// What the driver put out is not what was asked for.
    #[error("the driver put out {what}")]
    Output {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The bit rate of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateControl {
    /// Mean, in bits per second.
    pub bit_rate: u32,
    /// Highest over the VBV buffer, in bits per second. The same as the mean asks for a constant rate.
    pub max_bit_rate: u32,
    /// VBV buffer, in bits.
    pub buffer_bits: u32,
}

/// What an encoder is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderConfig {
    /// The coding format.
    pub codec: Codec,
    /// Picture size; even.
    pub size: Size,
    /// Frames a second, as a ratio.
    pub frame_rate: (u32, u32),
    /// Bit rate.
    pub rate: RateControl,
    /// Profile: `baseline`, `main` or `high` for H.264, `main` for HEVC.
    pub profile: String,
    /// Which way through the hardware, where there is a choice.
    pub entry_point: EntryPoint,
    /// Quality from 0, the fastest, to 100, the best: mapped onto the driver's levels.
    pub quality: u8,
    /// Whether each picture is to come out as soon as it is coded, rather than to keep the device busy.
    pub low_latency: bool,
    /// Longest time for one picture: beyond it the device hangs, and what it was given is left as it is, in this process
    /// and for all that was made on the device.
    pub patience: Duration,
}

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
/// Smallest side that drivers take.
const MIN_SIDE: u32 = 16;

/// One picture to be coded.
struct Step {
    idr: bool,
    /// `idr_pic_id`, which differs between IDR pictures in a row.
    idr_number: u16,
    /// Pictures since the last IDR picture, which has 0.
    since_idr: u32,
    /// Slice quantiser; where the driver controls the rate, a beginning.
    qp: u8,
    reconstructed: va::VASurfaceID,
    reference: Option<va::VASurfaceID>,
    coded_buffer: va::VABufferID,
}

/// The codec's own part.
enum Syntax {
    H264(h264::Syntax),
    Hevc(hevc::Syntax),
}

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
        check_size(config.size, caps)?;
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
            quality_level: quality_level(config.quality, caps.quality_levels),
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

    /// What the driver is told of a picture, in the order that it wants it.
    fn buffers(&self, step: &Step) -> Result<Vec<Buffer>, CallError> {
        let context = &self.context;
        let mut buffers = Vec::new();
        if step.idr {
            buffers.push(self.syntax.sequence(context, self.idr_period())?);
        }
        if step.idr || self.rate_changed {
            self.push_misc(&mut buffers)?;
        }
        if step.idr && self.packed_sequence {
            let mut headers = Vec::new();
            for set in self.syntax.parameter_sets() {
                headers.extend_from_slice(&[0, 0, 0, 1]);
                headers.extend_from_slice(&set);
            }
            let bits = headers.len() * 8;
            push_header(context, va::VAEncPackedHeaderSequence, &headers, bits, &mut buffers)?;
        }
        buffers.push(self.syntax.picture(context, step)?);
        if self.packed_slice {
            let (header, bits) = self.syntax.slice_header(step);
            // Escaped here and not by the driver, as parameter sets are; the bits grow by whole bytes.
            let escaped = escaped(&header);
            let added = (escaped.len() - header.len()) * 8;
            let with_start = [&[0, 0, 0, 1][..], &escaped].concat();
            push_header(context, va::VAEncPackedHeaderSlice, &with_start, bits + added + 32, &mut buffers)?;
        }
        buffers.push(self.syntax.slice(context, step)?);
        Ok(buffers)
    }

    fn push_misc(&self, buffers: &mut Vec<Buffer>) -> Result<(), CallError> {
        let context = &self.context;
        if self.rate_mode != RateMode::Cqp {
            let (control, buffer) = rate::parameters(self.rate_mode, self.config.rate);
            buffers.push(Buffer::misc(context, control)?);
            buffers.push(Buffer::misc(context, buffer)?);
        }
        let (frames, seconds) = self.config.frame_rate;
        // Two halves of a word: the lower one divided by the upper one.
        let framerate = match (u16::try_from(frames), u16::try_from(seconds)) {
            (Ok(frames), Ok(seconds)) => u32::from(seconds) << 16 | u32::from(frames),
            _ => (frames / seconds.max(1)).clamp(1, 1000) | 1 << 16,
        };
        buffers.push(Buffer::misc(
            context,
            va::VAEncMiscParameterFrameRate { framerate, ..Default::default() },
        )?);
        if let Some(quality_level) = self.quality_level {
            let parameter = va::VAEncMiscParameterBufferQualityLevel { quality_level, ..Default::default() };
            buffers.push(Buffer::misc(context, parameter)?);
        }
        Ok(())
    }

    /// Where drivers expect the next IDR picture, for their rate control: about where segments end.
    fn idr_period(&self) -> u32 {
        let (frames, seconds) = self.config.frame_rate;
        (frames.saturating_mul(2) / seconds.max(1)).clamp(1, 1000)
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

impl Syntax {
    fn parameter_sets(&self) -> Vec<Vec<u8>> {
        match self {
            Self::H264(syntax) => syntax.parameter_sets(),
            Self::Hevc(syntax) => syntax.parameter_sets(),
        }
    }

    fn slice_header(&self, step: &Step) -> (Vec<u8>, usize) {
        match self {
            Self::H264(syntax) => syntax.slice_header(step),
            Self::Hevc(syntax) => syntax.slice_header(step),
        }
    }

    fn sequence(&self, context: &Context, idr_period: u32) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.sequence(idr_period)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.sequence(idr_period)),
        }
    }

    fn picture(&self, context: &Context, step: &Step) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.picture(step)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.picture(step)),
        }
    }

    fn slice(&self, context: &Context, step: &Step) -> Result<Buffer, CallError> {
        match self {
            Self::H264(syntax) => Buffer::parameter(context, &syntax.slice(step)),
            Self::Hevc(syntax) => Buffer::parameter(context, &syntax.slice(step)),
        }
    }
}

fn check_size(size: Size, caps: &EncodeCaps) -> Result<(), EncodeError> {
    // Drivers that do not say take at least this; they answer for themselves.
    let most = caps.max_size.unwrap_or(Size { width: 8192, height: 8192 });
    let fits = size.is_even()
        && size.width >= MIN_SIDE
        && size.height >= MIN_SIDE
        && size.width <= most.width
        && size.height <= most.height;
    if fits { Ok(()) } else { Err(EncodeError::Size { size, most }) }
}

/// Room for a coded picture: as much as its samples, and headers. A picture at the lowest quantiser of noise has a little
/// less.
fn coded_bytes(size: Size) -> u32 {
    u32::try_from(size.samples() * 3 / 2).unwrap_or(u32::MAX).saturating_add(1 << 16)
}

/// The driver's level of a quality from 0 to 100: 1 is its best.
fn quality_level(quality: u8, levels: u32) -> Option<u32> {
    let worse = u64::from(100 - quality.min(100)) * u64::from(levels.checked_sub(1)?);
    let level = 1 + worse.div_ceil(100);
    (levels > 1).then_some(u32::try_from(level).unwrap_or(1))
}

fn push_header(
    context: &Context,
    kind: va::VAEncPackedHeaderType,
    data: &[u8],
    bits: usize,
    buffers: &mut Vec<Buffer>,
) -> Result<(), CallError> {
    let parameter = va::VAEncPackedHeaderParameterBuffer {
        type_: kind,
        bit_length: u32::try_from(bits).unwrap_or(0),
        has_emulation_bytes: 1,
        ..Default::default()
    };
    buffers.push(Buffer::parameter(context, &parameter)?);
    buffers.push(Buffer::packed_header(context, data)?);
    Ok(())
}

/// The part of video usability information that says BT.709 in limited range, the same in both standards.
fn video_signal_type(w: &mut BitWriter) {
    w.flag(true); // video_signal_type_present_flag
    w.bits(3, 5); // video_format: unspecified
    w.flag(false); // video_full_range_flag
    w.flag(true); // colour_description_present_flag
    w.bits(8, 1); // colour_primaries
    w.bits(8, 1); // transfer_characteristics
    w.bits(8, 1); // matrix_coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_spread_over_the_drivers_levels() {
        assert_eq!(
            (quality_level(100, 7), quality_level(0, 7), quality_level(50, 7)),
            (Some(1), Some(7), Some(4))
        );
        assert_eq!((quality_level(50, 0), quality_level(50, 1)), (None, None));
    }
}
