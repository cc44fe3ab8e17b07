//! NVDEC, CUDA and NVENC.

use gpu::caps::NoDecode;
use gpu::encode::{EncodeError, Preset, Profile, Tuning};
use gpu::frame::Format;
use gpu::{Decoder, DecoderConfig, Device, Encoder, EncoderConfig, Frame, Scaler, Size};

use super::coders::coders;
use super::{Codec, Decode, Encode, Engine, FRAME_RATE, Failure, Job, Picture, chain, patience};

/// An open device.
pub struct Nvidia(Device);

impl Nvidia {
    /// Opens a device by its number.
    ///
    /// # Errors
    /// The engine's own.
    pub fn open(ordinal: u32) -> Result<Self, Failure> {
        Ok(Self(Device::open(ordinal)?))
    }
}

fn frame(device: &Device, picture: &Picture) -> Result<Frame, Failure> {
    let [y, u, v] = &picture.planes;
    Ok(Frame::from_planes(device, Size { width: picture.width, height: picture.height }, [y, u, v])?)
}

fn picture(frame: &Frame) -> Result<Picture, Failure> {
    let size = frame.size();
    let planes = match frame.format() {
        Format::Nv12 => frame.to_planes()?,
        Format::P016 => {
            // 10 bits in the high end of 16.
            let lower = |bytes: &[u8]| (u16::from_ne_bytes([bytes[0], bytes[1]]) >> 6).to_le_bytes();
            let [luma, chroma] = frame.to_decoded_planes()?;
            let of = |skip: usize| chroma.chunks_exact(4).flat_map(|pair| lower(&pair[skip..])).collect();
            [luma.chunks_exact(2).flat_map(lower).collect(), of(0), of(2)]
        }
    };
    Ok(Picture { width: size.width, height: size.height, planes })
}

fn format(codec: Codec) -> gpu::Codec {
    match codec {
        Codec::H264 => gpu::Codec::H264,
        Codec::Hevc => gpu::Codec::Hevc,
        Codec::Av1 => gpu::Codec::Av1,
    }
}

coders!(gpu, frame, picture);

impl Engine for Nvidia {
    fn name(&self) -> String {
        self.0.info().name.clone()
    }

    fn encodes(&self) -> Vec<Codec> {
        let caps = match self.0.caps().encode {
            Ok(caps) => caps,
            // Not all NVIDIA GPUs have an encoder. Whatever else keeps a session from opening is no answer.
            Err(EncodeError::NoEncoder) => Vec::new(),
            Err(error) => panic!("{} does not say what it encodes: {}", self.name(), chain(&error)),
        };
        Codec::ALL.into_iter().filter(|codec| caps.iter().any(|own| own.codec == format(*codec))).collect()
    }

    fn decodes(&self) -> Vec<(Codec, u8)> {
        let caps = match self.0.caps().decode {
            Ok(caps) => caps,
            Err(NoDecode::Engine) => Vec::new(),
            Err(error) => panic!("{} does not say what it decodes: {}", self.name(), chain(&error)),
        };
        let has = |(codec, depth): &(Codec, u8)| {
            caps.iter().any(|own| (own.codec, own.depth) == (format(*codec), *depth))
        };
        Codec::with_depths().filter(has).collect()
    }

    fn encoder(&self, job: Job) -> Result<Box<dyn Encode>, Failure> {
        let config = EncoderConfig {
            codec: format(job.codec),
            size: Size { width: job.width, height: job.height },
            frame_rate: (FRAME_RATE, 1),
            rate: rate(job.bit_rate),
            preset: Preset::P4,
            tuning: Tuning::LowLatency,
            profile: if job.codec == Codec::H264 { Profile::High } else { Profile::Main },
            b_frames: 0,
            lookahead: 0,
            low_latency: true,
            captions: false,
            patience: patience(),
        };
        let encoder = Encoder::open(&self.0, &config)?;
        Ok(Box::new(Coder { device: self.0.clone(), encoder, tag: 0 }))
    }

    fn decoder(&self, codec: Codec, configuration: &[u8]) -> Result<Box<dyn Decode>, Failure> {
        let config =
            DecoderConfig { codec: format(codec), configuration: Some(configuration), low_latency: false };
        Ok(Box::new(Decoder::open(&self.0, &config)?))
    }

    fn scale(&self, from: &Picture, width: u32, height: u32) -> Result<Picture, Failure> {
        let mut scaler = Scaler::new(&self.0);
        picture(&scaler.scale(&frame(&self.0, from)?, Size { width, height })?)
    }
}
