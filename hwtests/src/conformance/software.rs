//! libavcodec and x264.

use software::{
    Decoder, DecoderConfig, Device, Encoder, EncoderConfig, Frame, FrameKind, RateControl, Scaler, Size,
};

use crate::conformance::{Codec, Coded, Decode, Encode, Engine, FRAME_RATE, Failure, Job, Picture};

/// The CPU.
pub struct Software(Device);

impl Software {
    /// It is always there.
    #[must_use]
    pub fn open() -> Self {
        Self(Device::open())
    }
}

fn frame(picture: &Picture) -> Result<Frame, Failure> {
    let [y, u, v] = &picture.planes;
    let size = Size { width: picture.width, height: picture.height };
    Frame::from_planes(size, [y, u, v])?.ok_or_else(|| "planes of another size".into())
}

fn picture(frame: &Frame) -> Result<Picture, Failure> {
    let planes = frame.planes().ok_or("a picture of another format")?;
    Ok(Picture { width: frame.size().width, height: frame.size().height, planes })
}

fn rate(bit_rate: u32) -> RateControl {
    RateControl { bit_rate, max_bit_rate: bit_rate, buffer_bits: bit_rate / 2 }
}

fn format(codec: Codec) -> software::Codec {
    match codec {
        Codec::H264 => software::Codec::H264,
        Codec::Hevc => software::Codec::Hevc,
        Codec::Av1 => software::Codec::Av1,
    }
}

impl Engine for Software {
    fn name(&self) -> String {
        self.0.name()
    }

    fn encodes(&self) -> Vec<Codec> {
        vec![Codec::H264]
    }

    fn decodes(&self) -> Vec<(Codec, u8)> {
        Codec::with_depths().collect()
    }

    fn encoder(&self, job: Job) -> Result<Box<dyn Encode>, Failure> {
        let config = EncoderConfig {
            size: Size { width: job.width, height: job.height },
            frame_rate: (FRAME_RATE, 1),
            rate: rate(job.bit_rate),
            preset: "veryfast".into(),
            tune: None,
            profile: "high".into(),
            threads: 1,
            low_latency: true,
            captions: false,
        };
        Ok(Box::new(Coder(Encoder::open(&self.0, &config)?, 0)))
    }

    fn decoder(&self, codec: Codec, configuration: &[u8]) -> Result<Box<dyn Decode>, Failure> {
        let configuration = Some(configuration);
        let config = DecoderConfig { codec: format(codec), configuration, threads: 1, low_latency: false };
        Ok(Box::new(Decoder::open(&self.0, &config)?))
    }

    fn scale(&self, from: &Picture, width: u32, height: u32) -> Result<Picture, Failure> {
        picture(&Scaler::default().scale(&frame(from)?, Size { width, height })?)
    }
}

/// An encoder, and the next tag.
struct Coder(Encoder, u64);

impl Encode for Coder {
    fn configuration(&self) -> Vec<u8> {
        self.0.configuration().to_vec()
    }

    fn send(&mut self, picture: &Picture, idr: bool) -> Result<(), Failure> {
        self.1 += 1;
        let kind = if idr { FrameKind::Idr } else { FrameKind::Any };
        Ok(self.0.send(&frame(picture)?, self.1, kind)?)
    }

    fn receive(&mut self) -> Result<Option<Coded>, Failure> {
        let coded = self.0.receive()?;
        Ok(coded.map(|coded| Coded { key: coded.key, data: coded.data.as_ref().to_vec() }))
    }

    fn finish(&mut self) {
        self.0.finish();
    }

    fn set_bit_rate(&mut self, bit_rate: u32) -> Result<(), Failure> {
        Ok(self.0.set_rate(rate(bit_rate))?)
    }
}

impl Decode for Decoder {
    fn send(&mut self, unit: &[u8]) -> Result<(), Failure> {
        Ok(Decoder::send(self, unit, 0)?)
    }

    fn receive(&mut self) -> Result<Option<Picture>, Failure> {
        Decoder::receive(self)?.map(|decoded| picture(&decoded.frame)).transpose()
    }

    fn finish(&mut self) {
        Decoder::finish(self);
    }
}
