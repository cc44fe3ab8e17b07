//! Pictures in the device's memory in, access units out: NVENC.

mod access_unit;
mod config;
mod inputs;
mod locker;
mod record;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::caps::EncodeCaps;
use crate::captions;
use crate::device::{self, Codec, Device};
use crate::error::{CudaError, NvencError};
use crate::ffi::nvenc::{Cap, MAX_LOOKAHEAD, Output, Session, Settings};
use crate::frame::{Format, Frame, Size};
use inputs::Inputs;
use locker::{Done, Locker, Waiting};

pub use crate::ffi::nvenc::LoadError;
pub use config::{EncoderConfig, Preset, Profile, RateControl, Tuning};
pub use record::RecordError;

/// Outputs beyond what reordering and looking ahead hold back: pictures that are encoded at once.
const PIPELINE: u32 = 4;
/// Pictures that a driver may hold back before it is taken not to code at all: the longest look-ahead, B-frames and as
/// many again.
const MAX_HELD: usize = 80;
/// Times that a busy encoder is asked again, and how long it is left alone in between ("a few milliseconds",
/// nvEncodeAPI.h, `NV_ENC_ERR_ENCODER_BUSY`).
const BUSY_RETRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// How a picture is to be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// As the encoder sees fit, but not as an IDR picture.
    Any,
    /// As an IDR picture (a key frame, in AV1).
    Idr,
    /// As `Any`; it was given before, so that its captions have been put out.
    Repeated,
    /// As `Idr`, likewise.
    RepeatedIdr,
}

/// One coded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// What [`Encoder::send`] was given for it.
    pub tag: u64,
    /// Whether it is an IDR picture.
    pub key: bool,
    /// NAL units with lengths of 4 bytes, without parameter sets and delimiters; a temporal unit of OBUs for AV1.
    pub data: Vec<u8>,
}

/// An encoder that cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The library cannot be used.
    #[error("no encoding on this machine")]
    Load(#[from] LoadError),
    /// The device has no encoder.
    #[error("the device has no video encoder; it can only decode")]
    NoEncoder,
    /// The driver's limit of sessions is reached, or there is no memory for one more.
    #[error("no further encode session: the driver's limit is reached ({source})")]
    SessionCap {
        /// What the driver says.
        source: NvencError,
    },
    /// No session opens.
    #[error("no encode session opens")]
    Session(#[source] NvencError),
    /// The device has no encoder for the format.
    #[error("the device has no encoder for {0}")]
    Missing(Codec),
    /// A size that the device does not encode.
    #[error("the device encodes {codec} from {min} to {max}, not {size}")]
    Size {
        /// The coding format.
        codec: Codec,
        /// The size asked for.
        size: Size,
        /// Smallest.
        min: Size,
        /// Largest.
        max: Size,
    },
    /// The settings are refused.
    #[error("{codec} encoder does not open for {size}, preset {}", preset.name())]
    Open {
        /// The coding format.
        codec: Codec,
        /// Picture size.
        size: Size,
        /// Preset.
        preset: Preset,
        /// What the driver says.
        #[source]
        source: NvencError,
    },
    /// The parameter sets are not as they should be.
    #[error("parameter sets")]
    Record(#[from] RecordError),
    /// The thread that waits for coded pictures cannot be started.
    #[error("no thread to wait for coded pictures")]
    Thread(#[source] std::io::Error),
    /// A picture of another device, or of 16-bit samples.
    #[error("a picture that the encoder cannot read: of another device, or not 8-bit")]
    Foreign,
    /// The device did not give a picture in time.
    #[error("the encoder gave nothing for {} ms", patience.as_millis())]
    Stuck {
        /// How long it was waited for.
        patience: Duration,
    },
    /// A coded picture that no picture given belongs to.
    #[error("the encoder put out a picture with the time {0}, which none was given")]
    Unknown(u64),
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
        /// What the driver says.
        #[source]
        source: NvencError,
    },
    /// The device fails.
    #[error("a picture for the encoder")]
    Device(#[source] CudaError),
}

impl EncodeError {
    /// Whether the device, or this session on it, is gone.
    #[must_use]
    pub const fn is_device_lost(&self) -> bool {
        match self {
            Self::Session(source) | Self::Open { source, .. } | Self::Encode { source, .. } => {
                source.is_device_lost()
            }
            Self::Device(source) => source.is_device_lost(),
            Self::Stuck { .. } => true,
            _ => false,
        }
    }

    /// What a session that does not open means.
    const fn of_opening(source: NvencError) -> Self {
        match source {
            NvencError::NoEncodeDevice | NvencError::UnsupportedDevice => Self::NoEncoder,
            NvencError::OutOfMemory | NvencError::IncompatibleClientKey => Self::SessionCap { source },
            source => Self::Session(source),
        }
    }
}

/// A picture that the encoder has.
struct Inside {
    timestamp: u64,
    tag: u64,
    /// Not to be written again until it is encoded.
    frame: Frame,
    /// Whether the frame's captions come out with it.
    captions: bool,
}

/// Encodes one rung.
///
/// The calling contract: after each [`Self::send`], and after [`Self::finish`], call [`Self::receive`] until it gives
/// `None`. After [`Self::finish`] nothing more is sent.
pub struct Encoder {
    device: Device,
    config: EncoderConfig,
    configuration: Vec<u8>,
    settings: Settings,
    session: Arc<Session>,
    locker: Locker,
    inputs: Inputs,
    /// In the order given.
    inside: Vec<Inside>,
    /// Outputs that nobody uses.
    free: Vec<Output>,
    /// Outputs of pictures that the encoder keeps until more come.
    held: VecDeque<Output>,
    ready: VecDeque<Coded>,
    next_timestamp: u64,
    finished: bool,
    /// The driver does not answer any more: nothing is to be asked of it, not even to let go.
    stuck: bool,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} {})", self.config.codec, self.config.size)
    }
}

/// What takes the device's memory or engines is done by one thread of a process at a time.
fn alone(step: &Mutex<()>) -> MutexGuard<'_, ()> {
    step.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a session; one after another on a device.
fn open_session(device: &Device) -> Result<Session, EncodeError> {
    let nvenc = device::nvenc()?;
    let _alone = alone(&device.0.opening);
    Session::open(nvenc, device.context()).map_err(EncodeError::of_opening)
}

/// What the device encodes, asked in a session of its own.
pub(crate) fn caps(device: &Device) -> Result<Vec<EncodeCaps>, EncodeError> {
    let session = open_session(device)?;
    let codecs = session.codecs().map_err(EncodeError::Session)?;
    if codecs.is_empty() {
        return Err(EncodeError::NoEncoder);
    }
    Ok(codecs.into_iter().map(|codec| codec_caps(&session, codec)).collect())
}

fn codec_caps(session: &Session, codec: Codec) -> EncodeCaps {
    let ask = |cap| session.cap(codec, cap);
    let number = |cap| ask(cap).unwrap_or(0);
    let size = |width, height| Size { width: number(width), height: number(height) };
    EncodeCaps {
        codec,
        min: size(Cap::WidthMin, Cap::HeightMin),
        max: size(Cap::WidthMax, Cap::HeightMax),
        max_b_frames: number(Cap::MaxBFrames),
        b_references: number(Cap::BFrameReferences) > 0,
        ten_bit: number(Cap::TenBit) > 0,
        dynamic_bit_rate: number(Cap::DynamicBitRate) > 0,
        custom_vbv: number(Cap::CustomVbv) > 0,
        lookahead: number(Cap::Lookahead) > 0,
        max_macroblocks_per_second: ask(Cap::MacroblocksPerSecond).filter(|rate| *rate > 0),
        engines: ask(Cap::Engines).filter(|engines| *engines > 0),
    }
}

impl Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// Where the device has no encoder, none for the format or the size, or no session more.
    pub fn open(device: &Device, config: &EncoderConfig) -> Result<Self, EncodeError> {
        let (codec, size, preset) = (config.codec, config.size, config.preset);
        let failed = |source| EncodeError::Open { codec, size, preset, source };
        let session = open_session(device)?;
        if !session.codecs().map_err(EncodeError::Session)?.contains(&codec) {
            return Err(EncodeError::Missing(codec));
        }
        let caps = codec_caps(&session, codec);
        let (min, max) = (caps.min, caps.max);
        if !size.is_even()
            || size.width < min.width
            || size.height < min.height
            || size.width > max.width
            || size.height > max.height
        {
            return Err(EncodeError::Size { codec, size, min, max });
        }
        let mut settings = Settings::new(&session, config, &caps).map_err(failed)?;
        let alone = alone(&device.0.initializing);
        session.initialize(&mut settings).map_err(|source| match source {
            // Some drivers count sessions only here.
            NvencError::OutOfMemory | NvencError::IncompatibleClientKey => EncodeError::SessionCap { source },
            source => failed(source),
        })?;
        drop(alone);
        let configuration = record::record(codec, &session.headers().map_err(failed)?)?;
        let session = Arc::new(session);
        let locker = Locker::start(&session, codec).map_err(EncodeError::Thread)?;
        let mut encoder = Self {
            device: device.clone(),
            config: config.clone(),
            configuration,
            settings,
            session,
            locker,
            inputs: Inputs::default(),
            inside: Vec::new(),
            free: Vec::new(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            next_timestamp: 0,
            finished: false,
            stuck: false,
        };
        let held_back = config.b_frames.min(caps.max_b_frames) + config.lookahead.min(MAX_LOOKAHEAD);
        for _ in 0..held_back + PIPELINE {
            encoder.free.push(encoder.session.create_output().map_err(failed)?);
        }
        Ok(encoder)
    }

    /// The `avcC`, `hvcC` or `av1C` record (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1; AV1-ISOBMFF 2.3) of all that it puts
    /// out.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// What it was opened with, and the bit rate it has now.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Encodes the next picture of the constant rate. `tag` comes out with it; any value will do. Waits until the
    /// picture is there, if it is still being made, and where the encoder has all that it takes at once.
    ///
    /// # Errors
    /// Where the picture's size is not the encoder's, or the device fails.
    pub fn send(&mut self, frame: &Frame, tag: u64, kind: FrameKind) -> Result<(), EncodeError> {
        let size = self.config.size;
        if frame.size() != size {
            return Err(EncodeError::FrameSize { got: frame.size(), size });
        }
        if frame.format() != Format::Nv12 || !frame.device().is_same(&self.device) {
            return Err(EncodeError::Foreign);
        }
        frame.storage().written.wait().map_err(EncodeError::Device)?;
        self.take_done()?;
        let output = loop {
            match self.free.pop() {
                Some(output) => break output,
                None if self.locker.inside() > 0 => self.wait_for_one()?,
                // The driver holds back more than it was asked to.
                None if self.held.len() < MAX_HELD => {
                    let created = self.session.create_output();
                    break created.map_err(|source| EncodeError::Encode { size, source })?;
                }
                None => {
                    return Err(EncodeError::Encode { size, source: NvencError::NeedMoreOutput });
                }
            }
        };
        match self.submit(frame, tag, kind, output) {
            Ok(true) => {
                self.held.push_back(output);
                self.lock_held();
            }
            Ok(false) => self.held.push_back(output),
            Err(source) => {
                self.free.push(output);
                return Err(EncodeError::Encode { size, source });
            }
        }
        Ok(())
    }

    /// Whether outputs can be locked now.
    fn submit(
        &mut self,
        frame: &Frame,
        tag: u64,
        kind: FrameKind,
        output: Output,
    ) -> Result<bool, NvencError> {
        let mapped = self.inputs.map(&self.session, frame.storage())?;
        let timestamp = self.next_timestamp;
        let layout = (self.config.size, frame.storage().layout.pitch);
        let idr = matches!(kind, FrameKind::Idr | FrameKind::RepeatedIdr);
        let repeated = matches!(kind, FrameKind::Repeated | FrameKind::RepeatedIdr);
        let captions = self.config.captions && !repeated;
        let mut tries = 0;
        let encoded = loop {
            match self.session.encode(mapped, layout, output, timestamp, idr) {
                Err(NvencError::EncoderBusy) if tries < BUSY_RETRIES => {
                    tries += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                other => break other,
            }
        };
        match encoded {
            Ok(lockable) => {
                self.next_timestamp += 1;
                self.inside.push(Inside { timestamp, tag, frame: frame.clone(), captions });
                Ok(lockable)
            }
            Err(error) => {
                // What it says changes nothing: the picture was not taken.
                let _ = self.inputs.unmap(&self.session, frame.storage());
                Err(error)
            }
        }
    }

    /// All held outputs have a picture now.
    fn lock_held(&mut self) {
        while let Some(output) = self.held.pop_front() {
            self.locker.give(output);
        }
    }

    /// Takes what is done already.
    fn take_done(&mut self) -> Result<(), EncodeError> {
        while let Some(done) = self.locker.try_take().map_err(|waiting| self.failed_wait(waiting))? {
            self.take(done)?;
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), EncodeError> {
        let done = self.locker.take(self.config.patience);
        let done = done.map_err(|waiting| self.failed_wait(waiting))?;
        self.take(done)
    }

    fn failed_wait(&mut self, waiting: Waiting) -> EncodeError {
        match waiting {
            Waiting::Stuck => {
                self.stuck = true;
                EncodeError::Stuck { patience: self.config.patience }
            }
            Waiting::Gone => EncodeError::Encode { size: self.config.size, source: NvencError::Generic },
        }
    }

    fn take(&mut self, done: Done) -> Result<(), EncodeError> {
        let size = self.config.size;
        let failed = |source| EncodeError::Encode { size, source };
        self.free.push(done.output);
        let picture = done.picture.map_err(failed)?;
        let at = self.inside.iter().position(|inside| inside.timestamp == picture.timestamp);
        let inside = at.map(|at| self.inside.remove(at)).ok_or(EncodeError::Unknown(picture.timestamp))?;
        self.inputs.unmap(&self.session, inside.frame.storage()).map_err(failed)?;
        let data = if inside.captions {
            captions::insert(self.config.codec, picture.data, inside.frame.captions())
        } else {
            picture.data
        };
        self.ready.push_back(Coded { tag: inside.tag, key: picture.key, data });
        Ok(())
    }

    /// Nothing more will be sent: [`Self::receive`] gives what is left.
    pub fn finish(&mut self) {
        if mem::replace(&mut self.finished, true) || self.stuck {
            return;
        }
        // Where it fails, what is held is lost; what is being encoded still comes.
        match self.session.end() {
            Ok(()) => self.lock_held(),
            Err(_) => self.free.extend(self.held.drain(..)),
        }
    }

    /// The next coded picture in decoding order; `None` while there is none, or, after [`Self::finish`], any more.
    ///
    /// # Errors
    /// Where the device fails, or takes longer than it was given.
    pub fn receive(&mut self) -> Result<Option<Coded>, EncodeError> {
        self.take_done()?;
        if (self.finished || self.config.low_latency) && !self.stuck {
            while self.ready.is_empty() && self.locker.inside() > 0 {
                self.wait_for_one()?;
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Changes the bit rate from the next picture on. The parameter sets stay.
    ///
    /// # Errors
    /// Where the device refuses it.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<(), EncodeError> {
        let size = self.config.size;
        self.settings.fill_rate(rate);
        let done = self.session.reconfigure(&mut self.settings);
        done.map_err(|source| EncodeError::Encode { size, source })?;
        self.config.rate = rate;
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Every output that has a picture is locked before the session goes.
        self.finish();
        while !self.stuck && self.locker.inside() > 0 {
            match self.locker.take(self.config.patience) {
                Ok(done) => self.free.push(done.output),
                Err(Waiting::Stuck) => self.stuck = true,
                Err(Waiting::Gone) => break,
            }
        }
        if self.stuck {
            // The other thread is within the driver and holds the session; memory that the device may still read must
            // not be used again.
            mem::forget(mem::take(&mut self.inputs));
            mem::forget(mem::take(&mut self.inside));
            return;
        }
        self.locker.stop();
        self.inputs.clear(&self.session);
        // What they say changes nothing: the session is destroyed next.
        for output in self.free.drain(..).chain(self.held.drain(..)) {
            let _ = self.session.destroy_output(output);
        }
    }
}
