//! What a device must be able to do for the pipeline, its only user.
//!
//! Frames never leave their engine. Tags are opaque: what goes in with a unit or a frame comes out with its picture.

pub(crate) mod fallback;
pub(crate) mod nvidia;
pub(crate) mod software;
pub(crate) mod vaapi;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use media::{FrameRate, Latency, Rung, Size, VideoCodec};

/// Longest time for one picture: far over what a loaded device takes, and under the daemon's own deadline, so that the
/// worker can still say what is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// A step of an engine that fails. The source is the engine's own error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// Opening the device.
    #[error("cannot open the device")]
    OpenDevice(#[source] Box<dyn Error + Send + Sync>),
    /// Opening a decoder.
    #[error("cannot decode this source")]
    OpenDecoder(#[source] Box<dyn Error + Send + Sync>),
    /// Decoding.
    #[error("decoding failed")]
    Decode(#[source] Box<dyn Error + Send + Sync>),
    /// Making or scaling a frame.
    #[error("scaling failed")]
    Scale(#[source] Box<dyn Error + Send + Sync>),
    /// Opening an encoder.
    #[error("cannot encode rung {rung}")]
    OpenEncoder {
        /// The rung's name.
        rung: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Decoding the slate's picture.
    #[error("the slate's picture cannot be decoded")]
    Still(#[source] Box<dyn Error + Send + Sync>),
    /// Encoding.
    #[error("encoding failed")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
}

/// A device that decodes, scales and encodes.
pub(crate) trait Engine {
    /// A picture where the device has it: CPU planes, CUDA memory, a VA surface. Clones share it.
    type Frame: Clone + Send + 'static;
    /// Its decoders.
    type Decoder: Decode<Frame = Self::Frame>;
    /// Its encoders; each works on a thread of its own.
    type Encoder: Encode<Frame = Self::Frame> + Send + 'static;

    /// A decoder for a source with this configuration record. `load` is what the largest rung will ask of it, in luma
    /// samples a second; the source is seldom much more.
    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError>;

    /// An encoder for a rung at `frame_rate`, the rung's own. `all` is what all rungs together ask of the device, in
    /// luma samples a second. The configuration of what comes out is a function of the format, the rung, its rate and
    /// `latency` alone: a worker that takes over continues the same track. A rung's profile is one of H.264's; others
    /// have their Main.
    fn encoder(
        &mut self,
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError>;

    /// The frame fitted into `to`, in the form encoders take; the same frame where it has that already.
    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError>;

    /// A black frame in the form encoders take.
    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError>;

    /// A frame of these samples, in the form encoders take.
    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError>;

    /// A frame of a PNG or JPEG file, which may be anything; `at_most` is what will be asked of it.
    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError>;

    /// The size of a frame.
    fn size(frame: &Self::Frame) -> Size;
}

/// A picture that was drawn: luma, then both chroma, 8-bit 4:2:0, BT.709, limited range, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Even.
    pub(crate) size: Size,
    /// The samples.
    pub(crate) samples: [Vec<u8>; 3],
}

/// A picture with the tag of its unit.
#[derive(Debug)]
pub(crate) struct Decoded<F> {
    /// The picture, progressive.
    pub(crate) frame: F,
    /// What [`Decode::send`] was given for it.
    pub(crate) tag: i64,
    /// Whether it was interlaced.
    pub(crate) deinterlaced: bool,
}

/// Units in, pictures in the order of showing out. After each `send` and after `finish`, `receive` until `None`.
pub(crate) trait Decode {
    /// Pictures.
    type Frame;
    /// Takes one coded unit. A damaged one is concealed and counted.
    fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), EngineError>;
    /// The next picture, if there is one yet, or after `finish` still.
    fn receive(&mut self) -> Result<Option<Decoded<Self::Frame>>, EngineError>;
    /// Nothing more will be sent.
    fn finish(&mut self);
    /// Damaged units and pictures so far.
    fn errors(&self) -> u64;
}

/// One coded picture.
#[derive(Debug)]
pub(crate) struct Coded {
    /// What [`Encode::send`] was given for it.
    pub(crate) tag: u64,
    /// Whether it is an IDR picture.
    pub(crate) key: bool,
    /// Length-prefixed NAL units without parameter sets.
    pub(crate) payload: Bytes,
}

/// How a frame is to be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// As an IDR picture; never otherwise.
    pub(crate) idr: bool,
    /// The frame was given before.
    pub(crate) repeated: bool,
}

/// Frames in, coded pictures in decoding order out. After each `send` and after `finish`, `receive` until `None`.
pub(crate) trait Encode {
    /// Pictures.
    type Frame;
    /// Whether the closed captions of the source's pictures come out with them; at the full rate only, since half of
    /// them would be gibberish.
    const CAPTIONS: bool = false;
    /// The configuration record (`avcC`) of all that comes out.
    fn configuration(&self) -> Bytes;
    /// Takes the next frame of the constant rate.
    fn send(&mut self, frame: &Self::Frame, tag: u64, wish: Wish) -> Result<(), EngineError>;
    /// The next coded picture, if there is one yet, or after `finish` still.
    fn receive(&mut self) -> Result<Option<Coded>, EngineError>;
    /// Nothing more will be sent.
    fn finish(&mut self);
}
