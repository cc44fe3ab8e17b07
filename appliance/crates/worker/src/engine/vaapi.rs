//! VA-API as an engine.

use bytes::Bytes;
use media::{FrameRate, Latency, Rung, Size, VideoCodec};
use vaapi::decode::DecodeError;
use vaapi::{Codec, DecoderConfig, Device, EncoderConfig, EntryPoint, FrameKind, RateControl, Scaler};

use super::fallback::{self, DeviceDecode, Uploading};
use super::{Coded, Decode, Decoded, Encode, Engine, EngineError, Planes, Wish};
use crate::probe;

/// x264's presets as the quality of the device's own: 0 the fastest, 100 the best.
const QUALITY: [(&str, u8); 9] = [
    ("ultrafast", 0),
    ("superfast", 10),
    ("veryfast", 25),
    ("faster", 40),
    ("fast", 50),
    ("medium", 60),
    ("slow", 75),
    ("slower", 90),
    ("veryslow", 100),
];

/// A render node's engines.
pub(crate) struct VaapiEngine {
    device: Device,
    scaler: Scaler,
}

impl VaapiEngine {
    /// An engine on the device at `address`, as `probe` names it.
    pub(crate) fn open(address: &str) -> Result<Self, EngineError> {
        let device = probe::vaapi::open(address).map_err(|e| EngineError::OpenDevice(e.into()))?;
        let scaler = Scaler::new(&device);
        Ok(Self { device, scaler })
    }
}

fn size_from(size: vaapi::Size) -> Size {
    Size { width: size.width, height: size.height }
}

fn size_to(size: Size) -> vaapi::Size {
    vaapi::Size { width: size.width, height: size.height }
}

/// AV1 is coded by the CPU.
const fn codec_to(codec: VideoCodec) -> Option<Codec> {
    match codec {
        VideoCodec::H264 => Some(Codec::H264),
        VideoCodec::Hevc => Some(Codec::Hevc),
        VideoCodec::Av1 => None,
    }
}

fn upload(device: &Device, planes: &Planes) -> Result<vaapi::Frame, EngineError> {
    let [y, blue, red] = &planes.samples;
    vaapi::Frame::from_planes(device, size_to(planes.size), [y, blue, red])
        .map_err(|e| EngineError::Scale(e.into()))
}

impl Engine for VaapiEngine {
    type Frame = vaapi::Frame;
    type Decoder = fallback::Decoder<vaapi::Decoder>;
    type Encoder = vaapi::Encoder;

    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError> {
        let (device, record) = (self.device.clone(), configuration.to_vec());
        let stand_in = move || {
            let upload = Box::new(move |planes: &Planes| upload(&device, planes));
            Uploading::open(codec, &record, load, latency, upload)
        };
        let Some(own) = codec_to(codec) else {
            return Ok(fallback::Decoder::Uploading(Box::new(stand_in()?)));
        };
        let opened = vaapi::Decoder::open(&self.device, &DecoderConfig { codec: own, configuration });
        fallback::Decoder::of(opened, stand_in)
    }

    fn encoder(
        &mut self,
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        _all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        let failed = |source| EngineError::OpenEncoder { rung: rung.name.clone(), source };
        let own = codec_to(codec).ok_or_else(|| failed(format!("no {} here", codec.name()).into()))?;
        let config = EncoderConfig {
            codec: own,
            size: size_to(rung.size),
            frame_rate: (frame_rate.numerator(), frame_rate.denominator()),
            rate: RateControl {
                bit_rate: rung.bit_rate,
                max_bit_rate: rung.max_bit_rate,
                buffer_bits: rung.buffer_bits,
            },
            profile: if own == Codec::H264 { rung.profile.clone() } else { "main".to_owned() },
            entry_point: EntryPoint::LowPower,
            quality: QUALITY
                .iter()
                .find(|(preset, _)| *preset == rung.preset)
                .map_or(100, |(_, quality)| *quality),
            low_latency: latency == Latency::Low,
            patience: super::PATIENCE,
        };
        vaapi::Encoder::open(&self.device, &config).map_err(|e| failed(e.into()))
    }

    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError> {
        self.scaler.scale(frame, size_to(to)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError> {
        vaapi::Frame::black(&self.device, size_to(size)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError> {
        upload(&self.device, planes)
    }

    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError> {
        upload(&self.device, &fallback::still(file, at_most)?)
    }

    fn size(frame: &Self::Frame) -> Size {
        size_from(frame.size())
    }
}

impl DeviceDecode for vaapi::Decoder {
    type Error = DecodeError;

    fn send_unit(&mut self, unit: &[u8], tag: i64) -> Result<(), DecodeError> {
        Self::send(self, unit, tag)
    }

    fn is_unsupported(error: &DecodeError) -> bool {
        matches!(error, DecodeError::Unsupported { .. } | DecodeError::Form { .. } | DecodeError::Size { .. })
    }

    fn into_engine_error(error: DecodeError) -> EngineError {
        match error {
            DecodeError::Record { .. } | DecodeError::Open { .. } => EngineError::OpenDecoder(error.into()),
            _ => EngineError::Decode(error.into()),
        }
    }
}

impl Decode for vaapi::Decoder {
    type Frame = vaapi::Frame;

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

impl Encode for vaapi::Encoder {
    type Frame = vaapi::Frame;

    fn configuration(&self) -> Bytes {
        Bytes::copy_from_slice(Self::configuration(self))
    }

    fn send(&mut self, frame: &Self::Frame, tag: u64, wish: Wish) -> Result<(), EngineError> {
        let kind = if wish.idr { FrameKind::Idr } else { FrameKind::Any };
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
