//! One suite for all engines: what each is asked for here, every one of them must do.
//!
//! - [`Engine`]: what the suite wants of one; [`software`], [`vaapi`] and [`nvidia`] have it so.
//! - [`stream`]: natural pictures, and coded streams that no engine here has made.
//!
//! What a device is known to fail is in [`known_failure`], with a reason.

mod coders;
mod fault;
pub mod nvidia;
pub mod software;
pub mod stream;
pub mod vaapi;

use std::error::Error;
use std::time::Duration;

pub use fault::Fault;

/// An engine's error, with what is below it.
pub type Failure = Box<dyn Error>;

/// A video format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    H264,
    /// HEVC.
    Hevc,
    /// AV1.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Av1];

    /// Every format with every number of bits that a sample may have.
    pub fn with_depths() -> impl Iterator<Item = (Self, u8)> {
        Self::ALL.into_iter().flat_map(|codec| [(codec, 8), (codec, 10)])
    }

    /// ffmpeg's name for the bare stream, which is also the file's ending.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Av1 => "obu",
        }
    }
}

/// A picture in memory: 4:2:0, luma, then both chroma, rows without padding; 10 bits in two bytes, the lower first.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Of luma.
    pub width: u32,
    /// Of luma.
    pub height: u32,
    /// The samples.
    pub planes: [Vec<u8>; 3],
}

impl Picture {
    /// Bits of a sample: 8 or 10.
    #[must_use]
    pub fn depth(&self) -> u8 {
        if self.planes[0].len() > (self.width * self.height) as usize { 10 } else { 8 }
    }
}

/// What an encoder is to do: 25 frames a second, a constant rate, each picture out as soon as it is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// The format.
    pub codec: Codec,
    /// Of luma.
    pub width: u32,
    /// Of luma.
    pub height: u32,
    /// Bits a second.
    pub bit_rate: u32,
}

/// How long a device may take for a picture, in milliseconds, where a check says so; else 20 s.
pub const PATIENCE: &str = "HWTESTS_PATIENCE_MS";

fn patience() -> Duration {
    let said = std::env::var(PATIENCE).ok().and_then(|text| text.parse().ok());
    Duration::from_millis(said.unwrap_or(20_000))
}

/// Frames a second of every job.
pub const FRAME_RATE: u32 = 25;

/// A coded picture.
pub struct Coded {
    /// An IDR picture, or a key frame.
    pub key: bool,
    /// NAL units, each after its length in four bytes; or OBUs.
    pub data: Vec<u8>,
}

/// What the suite wants of an engine's encoder. After each `send` and after `finish`, `receive` until `None`.
pub trait Encode {
    /// The `avcC`, `hvcC` or `av1C` record.
    fn configuration(&self) -> Vec<u8>;
    /// Takes a picture, as an IDR where `idr` says so and never otherwise.
    ///
    /// # Errors
    /// The engine's own.
    fn send(&mut self, picture: &Picture, idr: bool) -> Result<(), Failure>;
    /// The next coded picture.
    ///
    /// # Errors
    /// The engine's own.
    fn receive(&mut self) -> Result<Option<Coded>, Failure>;
    /// No more will be sent.
    fn finish(&mut self);
    /// Another rate from the next picture on.
    ///
    /// # Errors
    /// The engine's own.
    fn set_bit_rate(&mut self, bit_rate: u32) -> Result<(), Failure>;
}

/// What the suite wants of an engine's decoder. After each `send` and after `finish`, `receive` until `None`.
pub trait Decode {
    /// Takes the NAL units of a picture, each after its length in four bytes; or its OBUs.
    ///
    /// # Errors
    /// The engine's own.
    fn send(&mut self, unit: &[u8]) -> Result<(), Failure>;
    /// The next picture in the order of display, as it was coded: neither scaled nor converted.
    ///
    /// # Errors
    /// The engine's own.
    fn receive(&mut self) -> Result<Option<Picture>, Failure>;
    /// No more will be sent.
    fn finish(&mut self);
}

/// What the suite wants of an engine.
pub trait Engine {
    /// What the device calls itself.
    fn name(&self) -> String;
    /// Formats that it encodes, 8 bits.
    fn encodes(&self) -> Vec<Codec>;
    /// Formats that it decodes, and with how many bits.
    fn decodes(&self) -> Vec<(Codec, u8)>;
    /// # Errors
    /// The engine's own.
    fn encoder(&self, job: Job) -> Result<Box<dyn Encode>, Failure>;
    /// # Errors
    /// The engine's own.
    fn decoder(&self, codec: Codec, configuration: &[u8]) -> Result<Box<dyn Decode>, Failure>;
    /// The picture in another size, and 8 bits.
    ///
    /// # Errors
    /// The engine's own.
    fn scale(&self, picture: &Picture, width: u32, height: u32) -> Result<Picture, Failure>;
}

/// All that an encoder makes of pictures; `idr` says where an IDR is to be.
///
/// # Errors
/// The engine's own.
pub fn encode_all(
    encoder: &mut dyn Encode,
    pictures: &[Picture],
    idr: impl Fn(usize) -> bool,
) -> Result<Vec<Coded>, Failure> {
    let mut coded = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        encoder.send(picture, idr(index))?;
        while let Some(next) = encoder.receive()? {
            coded.push(next);
        }
    }
    encoder.finish();
    while let Some(next) = encoder.receive()? {
        coded.push(next);
    }
    Ok(coded)
}

/// All that a decoder makes of units.
///
/// # Errors
/// The engine's own.
pub fn decode_all(decoder: &mut dyn Decode, units: &[Vec<u8>]) -> Result<Vec<Picture>, Failure> {
    let mut pictures = Vec::new();
    for unit in units {
        decoder.send(unit)?;
        while let Some(next) = decoder.receive()? {
            pictures.push(next);
        }
    }
    decoder.finish();
    while let Some(next) = decoder.receive()? {
        pictures.push(next);
    }
    Ok(pictures)
}

/// The sentences of an error and of all below it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// Checks that devices are known to fail: a part of the device's name, the check, and why.
const KNOWN_FAILURES: &[(&str, &str, &str)] = &[(
    "radeonsi",
    "colours_and_range_are_told",
    "Mesa takes no packed headers, and libva's sequence parameters have no word for colours: the driver's SPS says nothing \
     of them, which players take for BT.709 from 720 lines up",
)];

/// Why a device is known to fail a check.
#[must_use]
pub fn known_failure(device: &str, check: &str) -> Option<&'static str> {
    KNOWN_FAILURES
        .iter()
        .find(|(name, of, _)| device.contains(name) && *of == check)
        .map(|(.., reason)| *reason)
}
