//! VA-API on a render node.

use std::path::Path;

use vaapi::{Decoder, DecoderConfig, Device, Encoder, EncoderConfig, EntryPoint, Frame, Node, Scaler, Size};

use super::coders::coders;
use super::{Codec, Decode, Encode, Engine, FRAME_RATE, Failure, Job, Picture, patience};

/// An open node.
pub struct Vaapi {
    device: Device,
    entry_point: EntryPoint,
}

impl Vaapi {
    /// Opens a node, whose encoders are used by the way that is wished, where they have both.
    ///
    /// # Errors
    /// The engine's own.
    pub fn open(node: &Path, entry_point: EntryPoint) -> Result<Self, Failure> {
        let node = Node::at(Path::new("/"), node);
        Ok(Self { device: Device::open(&node)?, entry_point })
    }
}

fn frame(device: &Device, picture: &Picture) -> Result<Frame, Failure> {
    let [y, u, v] = &picture.planes;
    Ok(Frame::from_planes(device, Size { width: picture.width, height: picture.height }, [y, u, v])?)
}

fn picture(frame: &Frame) -> Result<Picture, Failure> {
    let samples = frame.samples()?;
    Ok(Picture { width: samples.size.width, height: samples.size.height, planes: samples.planes })
}

/// AV1 is not coded over VA-API here: the worker leaves it to the CPU.
fn format(codec: Codec) -> Option<vaapi::Codec> {
    match codec {
        Codec::H264 => Some(vaapi::Codec::H264),
        Codec::Hevc => Some(vaapi::Codec::Hevc),
        Codec::Av1 => None,
    }
}

fn format_or_failure(codec: Codec) -> Result<vaapi::Codec, Failure> {
    format(codec).ok_or_else(|| "AV1 over VA-API".into())
}

coders!(vaapi, frame, picture);

impl Engine for Vaapi {
    fn name(&self) -> String {
        self.device.name().to_owned()
    }

    fn encodes(&self) -> Vec<Codec> {
        let caps = self.device.caps();
        let has = |codec: &Codec| {
            format(*codec).is_some_and(|own| caps.encoder(own, 8, self.entry_point).is_some())
        };
        Codec::ALL.into_iter().filter(has).collect()
    }

    fn decodes(&self) -> Vec<(Codec, u8)> {
        let caps = self.device.caps();
        let has = |(codec, depth): &(Codec, u8)| {
            format(*codec).is_some_and(|own| caps.decoder(own, *depth).is_some())
        };
        Codec::with_depths().filter(has).collect()
    }

    fn encoder(&self, job: Job) -> Result<Box<dyn Encode>, Failure> {
        let config = EncoderConfig {
            codec: format_or_failure(job.codec)?,
            size: Size { width: job.width, height: job.height },
            frame_rate: (FRAME_RATE, 1),
            rate: rate(job.bit_rate),
            profile: if job.codec == Codec::H264 { "high" } else { "main" }.into(),
            entry_point: self.entry_point,
            quality: 50,
            low_latency: true,
            patience: patience(),
        };
        let encoder = Encoder::open(&self.device, &config)?;
        Ok(Box::new(Coder { device: self.device.clone(), encoder, tag: 0 }))
    }

    fn decoder(&self, codec: Codec, configuration: &[u8]) -> Result<Box<dyn Decode>, Failure> {
        let config = DecoderConfig { codec: format_or_failure(codec)?, configuration };
        Ok(Box::new(Decoder::open(&self.device, &config)?))
    }

    fn scale(&self, from: &Picture, width: u32, height: u32) -> Result<Picture, Failure> {
        let mut scaler = Scaler::new(&self.device);
        picture(&scaler.scale(&frame(&self.device, from)?, Size { width, height })?)
    }
}
