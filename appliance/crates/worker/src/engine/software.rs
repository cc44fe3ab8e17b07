//! The CPU as an engine.

use bytes::Bytes;
use media::{FrameRate, Latency, Rung, Size, VideoCodec};
use software::{Codec, DecoderConfig, Device, EncoderConfig, FrameKind, RateControl, Scaler};

use super::{Coded, Decode, Decoded, Encode, Engine, EngineError, Planes, Wish};

/// Luma samples a second that one thread decodes with room to spare: 1080p60 and a little.
const DECODE_THREAD_LOAD: u64 = 140_000_000;
/// Most threads of a decoder; each above one holds a picture back.
const MAX_DECODE_THREADS: usize = 4;

/// Luma samples a second, in millions, that one thread encodes with room to spare, by preset: half of what a core of an
/// EPYC server did with natural pictures at 1080p. Unknown presets count as the slowest.
const ENCODE_THREAD_MEGASAMPLES: [(&str, u64); 9] = [
    ("ultrafast", 140),
    ("superfast", 65),
    ("veryfast", 45),
    ("faster", 27),
    ("fast", 21),
    ("medium", 19),
    ("slow", 13),
    ("slower", 7),
    ("veryslow", 4),
];

/// libavcodec and x264.
pub(crate) struct SoftwareEngine {
    device: Device,
    scaler: Scaler,
}

impl SoftwareEngine {
    /// An engine on the CPU.
    pub(crate) fn open() -> Self {
        Self { device: Device::open(), scaler: Scaler::default() }
    }
}

fn size_from(size: software::Size) -> Size {
    Size { width: size.width, height: size.height }
}

fn size_to(size: Size) -> software::Size {
    software::Size { width: size.width, height: size.height }
}

/// Threads for a load, from one to `most`.
fn threads(load: u64, of_one: u64, most: usize) -> usize {
    usize::try_from(load.div_ceil(of_one.max(1))).unwrap_or(usize::MAX).clamp(1, most.max(1))
}

impl Engine for SoftwareEngine {
    type Frame = software::Frame;
    type Decoder = software::Decoder;
    type Encoder = software::Encoder;

    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError> {
        let codec = match codec {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::Hevc => Codec::Hevc,
            VideoCodec::Av1 => Codec::Av1,
        };
        let threads = threads(load, DECODE_THREAD_LOAD, self.device.cores().min(MAX_DECODE_THREADS));
        let config = DecoderConfig {
            codec,
            configuration: Some(configuration),
            threads,
            low_latency: latency == Latency::Low,
        };
        software::Decoder::open(&self.device, &config).map_err(|e| EngineError::OpenDecoder(e.into()))
    }

    fn encoder(
        &mut self,
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        if codec != VideoCodec::H264 {
            let source = format!("x264 codes no {}", codec.name()).into();
            return Err(EngineError::OpenEncoder { rung: rung.name.clone(), source });
        }
        let of_one = ENCODE_THREAD_MEGASAMPLES.iter().find(|(preset, _)| *preset == rung.preset);
        let of_one = of_one.map_or(4, |(_, mega)| *mega) * 1_000_000;
        let load = rung.size.samples_per_second(frame_rate);
        // Rungs encode side by side: more threads than a rung's share of the cores would find none to run on, and each
        // costs memory and a picture of latency.
        let cores = u64::try_from(self.device.cores()).unwrap_or(1);
        let share = usize::try_from(cores.saturating_mul(load) / all.max(1)).unwrap_or(1);
        let config = EncoderConfig {
            size: size_to(rung.size),
            frame_rate: (frame_rate.numerator(), frame_rate.denominator()),
            rate: RateControl {
                bit_rate: rung.bit_rate,
                max_bit_rate: rung.max_bit_rate,
                buffer_bits: rung.buffer_bits,
            },
            preset: rung.preset.clone(),
            tune: rung.tune.clone(),
            profile: rung.profile.clone(),
            threads: threads(load, of_one, share),
            low_latency: latency == Latency::Low,
            // Half of the captions would be gibberish.
            captions: rung.rate == media::ladder::RungRate::Full,
        };
        software::Encoder::open(&self.device, &config)
            .map_err(|e| EngineError::OpenEncoder { rung: rung.name.clone(), source: e.into() })
    }

    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError> {
        self.scaler.scale(frame, size_to(to)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError> {
        software::Frame::black(size_to(size)).map_err(|e| EngineError::Scale(e.into()))
    }

    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError> {
        let [y, blue, red] = &planes.samples;
        let frame = software::Frame::from_planes(size_to(planes.size), [y, blue, red]);
        let frame = frame.map_err(|e| EngineError::Scale(e.into()))?;
        frame.ok_or_else(|| EngineError::Scale(format!("planes of another size than {}", planes.size).into()))
    }

    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError> {
        software::still::decode(file, size_to(at_most)).map_err(|e| EngineError::Still(e.into()))
    }

    fn size(frame: &Self::Frame) -> Size {
        size_from(frame.size())
    }
}

impl Decode for software::Decoder {
    type Frame = software::Frame;

    fn send(&mut self, unit: &[u8], tag: i64) -> Result<(), EngineError> {
        Self::send(self, unit, tag).map_err(|e| EngineError::Decode(e.into()))
    }

    fn receive(&mut self) -> Result<Option<Decoded<Self::Frame>>, EngineError> {
        let decoded = Self::receive(self).map_err(|e| EngineError::Decode(e.into()))?;
        Ok(decoded.map(|d| Decoded { frame: d.frame, tag: d.tag, deinterlaced: d.deinterlaced }))
    }

    fn finish(&mut self) {
        Self::finish(self);
    }

    fn errors(&self) -> u64 {
        Self::errors(self)
    }
}

impl Encode for software::Encoder {
    type Frame = software::Frame;
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
        Ok(coded.map(|c| Coded { tag: c.tag, key: c.key, payload: Bytes::from_owner(c.data) }))
    }

    fn finish(&mut self) {
        Self::finish(self);
    }
}
