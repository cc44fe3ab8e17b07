//! libavcodec and x264.

use software::{Decoder, DecoderConfig, Device, Encoder, EncoderConfig, Frame, Scaler, Size};

use super::coders::coders;
use super::{Codec, Decode, Encode, Engine, FRAME_RATE, Failure, Job, Picture};

/// The CPU.
pub struct Software(Device);

impl Software {
    /// It is always there.
    #[must_use]
    pub fn open() -> Self {
        Self(Device::open())
    }
}

fn frame(_: &Device, picture: &Picture) -> Result<Frame, Failure> {
    let [y, u, v] = &picture.planes;
    let size = Size { width: picture.width, height: picture.height };
    Frame::from_planes(size, [y, u, v])?.ok_or_else(|| "planes of another size".into())
}

fn picture(frame: &Frame) -> Result<Picture, Failure> {
    let planes = frame.planes().ok_or("a picture of another format")?;
    Ok(Picture { width: frame.size().width, height: frame.size().height, planes })
}

fn format(codec: Codec) -> software::Codec {
    match codec {
        Codec::H264 => software::Codec::H264,
        Codec::Hevc => software::Codec::Hevc,
        Codec::Av1 => software::Codec::Av1,
    }
}

coders!(software, frame, picture);

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
        let encoder = Encoder::open(&self.0, &config)?;
        Ok(Box::new(Coder { device: self.0, encoder, tag: 0 }))
    }

    fn decoder(&self, codec: Codec, configuration: &[u8]) -> Result<Box<dyn Decode>, Failure> {
        let configuration = Some(configuration);
        let config = DecoderConfig { codec: format(codec), configuration, threads: 1, low_latency: false };
        Ok(Box::new(Decoder::open(&self.0, &config)?))
    }

    fn scale(&self, from: &Picture, width: u32, height: u32) -> Result<Picture, Failure> {
        picture(&Scaler::default().scale(&frame(&self.0, from)?, Size { width, height })?)
    }
}
