//! NVIDIA's engines: NVDEC, CUDA, and NVENC where the device has it.
//!
//! [`Cuda`] is what both engines share: decoding, scaling, uploads. [`NvidiaEngine`] encodes on the device;
//! [`NvidiaDecodeEngine`] downloads each rung's pictures and encodes them with x264, for the devices of data centres that
//! have no NVENC (A100, H100, H200).

use bytes::Bytes;
use gpu::decode::DecodeError;
use gpu::encode::{Preset, Profile, Tuning};
use gpu::{Codec, DecoderConfig, Device, EncoderConfig, FrameKind, RateControl, Scaler};
use media::{FrameRate, Latency, Rung, Size, VideoCodec};

use super::fallback::{self, DeviceDecode, Uploading};
use super::software::SoftwareEngine;
use super::{Coded, Decode, Decoded, Encode, Engine, EngineError, Planes, Wish};
use crate::probe;

/// x264's presets as NVENC's: about as many pictures a second in relation to each other.
const PRESETS: [(&str, Preset); 9] = [
    ("ultrafast", Preset::P1),
    ("superfast", Preset::P2),
    ("veryfast", Preset::P3),
    ("faster", Preset::P4),
    ("fast", Preset::P4),
    ("medium", Preset::P5),
    ("slow", Preset::P6),
    ("slower", Preset::P7),
    ("veryslow", Preset::P7),
];
/// B-frames between two others, with standard latency: what x264's presets have at least once they have any.
const B_FRAMES: u32 = 2;

/// What both engines share.
struct Cuda {
    device: Device,
    scaler: Scaler,
}

fn size_to(size: Size) -> gpu::Size {
    gpu::Size { width: size.width, height: size.height }
}

const fn codec_to(codec: VideoCodec) -> Codec {
    match codec {
        VideoCodec::H264 => Codec::H264,
        VideoCodec::Hevc => Codec::Hevc,
        VideoCodec::Av1 => Codec::Av1,
    }
}

fn upload(device: &Device, planes: &Planes) -> Result<gpu::Frame, EngineError> {
    let [y, blue, red] = &planes.samples;
    gpu::Frame::from_planes(device, size_to(planes.size), [y, blue, red])
        .map_err(|e| EngineError::Scale(e.into()))
}

impl Cuda {
    fn open(address: &str) -> Result<Self, EngineError> {
        let device = probe::nvidia::open(address).map_err(|e| EngineError::OpenDevice(e.into()))?;
        let scaler = Scaler::new(&device);
        Ok(Self { device, scaler })
    }

    fn decoder(
        &self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<fallback::Decoder<gpu::Decoder>, EngineError> {
        let (device, record) = (self.device.clone(), configuration.to_vec());
        let stand_in = move || {
            let upload = Box::new(move |planes: &Planes| upload(&device, planes));
            Uploading::open(codec, &record, load, latency, upload)
        };
        let config = DecoderConfig {
            codec: codec_to(codec),
            configuration: Some(configuration),
            low_latency: latency == Latency::Low,
        };
        fallback::Decoder::of(gpu::Decoder::open(&self.device, &config), stand_in)
    }

    fn scale(&mut self, frame: &gpu::Frame, to: Size) -> Result<gpu::Frame, EngineError> {
        self.scaler.scale(frame, size_to(to)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn black(&self, size: Size) -> Result<gpu::Frame, EngineError> {
        gpu::Frame::black(&self.device, size_to(size)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn still(&self, file: &[u8], at_most: Size) -> Result<gpu::Frame, EngineError> {
        upload(&self.device, &fallback::still(file, at_most)?)
    }
}

fn size_of(frame: &gpu::Frame) -> Size {
    let size = frame.size();
    Size { width: size.width, height: size.height }
}

/// Decodes, scales and encodes on the device.
pub(crate) struct NvidiaEngine(Cuda);

impl NvidiaEngine {
    /// An engine on the device at the PCI address.
    pub(crate) fn open(address: &str) -> Result<Self, EngineError> {
        Cuda::open(address).map(Self)
    }
}

impl Engine for NvidiaEngine {
    type Frame = gpu::Frame;
    type Decoder = fallback::Decoder<gpu::Decoder>;
    type Encoder = gpu::Encoder;

    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError> {
        self.0.decoder(codec, configuration, load, latency)
    }

    fn encoder(
        &mut self,
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        _all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        let low = latency == Latency::Low;
        let profile = Profile::from_name(&rung.profile).unwrap_or(Profile::High);
        let config = EncoderConfig {
            codec: codec_to(codec),
            size: size_to(rung.size),
            frame_rate: (frame_rate.numerator(), frame_rate.denominator()),
            rate: RateControl {
                bit_rate: rung.bit_rate,
                max_bit_rate: rung.max_bit_rate,
                buffer_bits: rung.buffer_bits,
            },
            preset: PRESETS
                .iter()
                .find(|(name, _)| *name == rung.preset)
                .map_or(Preset::P7, |(_, preset)| *preset),
            tuning: if low { Tuning::LowLatency } else { Tuning::HighQuality },
            profile,
            b_frames: if low || profile == Profile::Baseline { 0 } else { B_FRAMES },
            lookahead: 0,
            low_latency: low,
            // Half of the captions would be gibberish.
            captions: rung.rate == media::ladder::RungRate::Full,
            patience: super::PATIENCE,
        };
        gpu::Encoder::open(&self.0.device, &config)
            .map_err(|e| EngineError::OpenEncoder { rung: rung.name.clone(), source: e.into() })
    }

    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError> {
        self.0.scale(frame, to)
    }

    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError> {
        self.0.black(size)
    }

    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError> {
        upload(&self.0.device, planes)
    }

    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError> {
        self.0.still(file, at_most)
    }

    fn size(frame: &Self::Frame) -> Size {
        size_of(frame)
    }
}

/// Decodes and scales on the device, and encodes with x264.
pub(crate) struct NvidiaDecodeEngine {
    cuda: Cuda,
    software: SoftwareEngine,
}

impl NvidiaDecodeEngine {
    /// An engine on the device at the PCI address.
    pub(crate) fn open(address: &str) -> Result<Self, EngineError> {
        Ok(Self { cuda: Cuda::open(address)?, software: SoftwareEngine::open() })
    }
}

impl Engine for NvidiaDecodeEngine {
    type Frame = gpu::Frame;
    type Decoder = fallback::Decoder<gpu::Decoder>;
    type Encoder = Downloading;

    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError> {
        self.cuda.decoder(codec, configuration, load, latency)
    }

    fn encoder(
        &mut self,
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        self.software.encoder(codec, rung, frame_rate, all, latency).map(Downloading)
    }

    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError> {
        self.cuda.scale(frame, to)
    }

    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError> {
        self.cuda.black(size)
    }

    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError> {
        upload(&self.cuda.device, planes)
    }

    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError> {
        self.cuda.still(file, at_most)
    }

    fn size(frame: &Self::Frame) -> Size {
        size_of(frame)
    }
}

/// x264, of pictures on a device: the one copy that this engine makes, on the rung's own thread.
pub(crate) struct Downloading(software::Encoder);

impl Encode for Downloading {
    type Frame = gpu::Frame;

    fn configuration(&self) -> Bytes {
        Encode::configuration(&self.0)
    }

    fn send(&mut self, frame: &Self::Frame, tag: u64, wish: Wish) -> Result<(), EngineError> {
        let [y, blue, red] = frame.to_planes().map_err(|e| EngineError::Encode(e.into()))?;
        let size = software::Size { width: frame.size().width, height: frame.size().height };
        let frame = software::Frame::from_planes(size, [&y, &blue, &red]);
        let frame = frame.map_err(|e| EngineError::Encode(e.into()))?;
        let frame = frame.ok_or_else(|| EngineError::Encode("planes of another size".into()))?;
        Encode::send(&mut self.0, &frame, tag, wish)
    }

    fn receive(&mut self) -> Result<Option<Coded>, EngineError> {
        Encode::receive(&mut self.0)
    }

    fn finish(&mut self) {
        Encode::finish(&mut self.0);
    }
}

impl DeviceDecode for gpu::Decoder {
    type Error = DecodeError;

    fn send_unit(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        Self::send(self, unit, tag)
    }

    fn is_unsupported(error: &DecodeError) -> bool {
        matches!(
            error,
            DecodeError::None(_)
                | DecodeError::Missing(_)
                | DecodeError::Format { .. }
                | DecodeError::Size { .. }
        )
    }

    fn into_engine_error(error: DecodeError) -> EngineError {
        match error {
            DecodeError::Record { .. } | DecodeError::Parser { .. } | DecodeError::Open { .. } => {
                EngineError::OpenDecoder(error.into())
            }
            _ => EngineError::Decode(error.into()),
        }
    }
}

impl Decode for gpu::Decoder {
    type Frame = gpu::Frame;

    fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), EngineError> {
        Self::send(self, unit, tag).map_err(Self::into_engine_error)
    }

    fn receive(&mut self) -> Result<Option<Decoded<Self::Frame>>, EngineError> {
        let decoded = Self::receive(self).map_err(Self::into_engine_error)?;
        Ok(decoded.map(|d| Decoded { frame: d.frame, tag: d.tag, deinterlaced: d.deinterlaced }))
    }

    fn finish(&mut self) {
        Self::finish(self);
    }

    fn errors(&self) -> u64 {
        Self::errors(self)
    }
}

impl Encode for gpu::Encoder {
    type Frame = gpu::Frame;
    const CAPTIONS: bool = true;

    fn configuration(&self) -> Bytes {
        Bytes::copy_from_slice(Self::configuration(self))
    }

    fn send(&mut self, frame: &Self::Frame, tag: u64, wish: Wish) -> Result<(), EngineError> {
        let kind = match (wish.idr, wish.repeated) {
            (true, false) => FrameKind::Idr,
            (true, true) => FrameKind::RepeatedIdr,
            (false, false) => FrameKind::Any,
            (false, true) => FrameKind::Repeated,
        };
        Self::send(self, frame, tag, kind).map_err(|e| EngineError::Encode(e.into()))
    }

    fn receive(&mut self) -> Result<Option<Coded>, EngineError> {
        let coded = Self::receive(self).map_err(|e| EngineError::Encode(e.into()))?;
        Ok(coded.map(|c| Coded { tag: c.tag, key: c.key, payload: c.data.into() }))
    }

    fn finish(&mut self) {
        Self::finish(self);
    }
}
