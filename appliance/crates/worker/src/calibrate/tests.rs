//! What is measured, and what is said of what is not.

use super::*;

/// Small and short.
const EFFORT: Effort = Effort {
    size: Size { width: 320, height: 180 },
    span: Duration::from_millis(20),
    sessions: &[1, 2],
    presets: &["ultrafast", "fast"],
};

fn found(speeds: &[Speed]) -> Vec<(Step, VideoCodec, &str)> {
    speeds.iter().map(|speed| (speed.step, speed.codec, &*speed.preset)).collect()
}

#[test]
fn every_format_that_is_decoded_and_every_preset_has_a_speed() {
    let decodes = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];
    let (speeds, problems) = of(&EFFORT, &decodes, &|| Ok(SoftwareEngine::open())).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    let encodes = ["ultrafast", "fast"].map(|preset| (Step::Encode, VideoCodec::H264, preset));
    assert_eq!(found(&speeds), [&decodes.map(|codec| (Step::Decode, codec, ""))[..], &encodes].concat());
    assert!(
        speeds.iter().all(|speed| speed.megasamples_per_second > 0.0 && speed.sessions > 0),
        "{speeds:?}"
    );
}

/// The CPU, whose decoder of HEVC takes everything, and gives nothing.
struct Mute(SoftwareEngine);

impl Engine for Mute {
    type Frame = <SoftwareEngine as Engine>::Frame;
    type Decoder = <SoftwareEngine as Engine>::Decoder;
    type Encoder = <SoftwareEngine as Engine>::Encoder;

    fn decoder(
        &mut self,
        codec: VideoCodec,
        configuration: &[u8],
        load: u64,
        latency: Latency,
    ) -> Result<Self::Decoder, EngineError> {
        match codec {
            // What it is sent makes no sense as H.264.
            VideoCodec::Hevc => {
                let other = pictures::coded(VideoCodec::H264, EFFORT.size, &pictures::drawn(EFFORT.size));
                self.0.decoder(VideoCodec::H264, &other.unwrap().configuration, load, latency)
            }
            _ => self.0.decoder(codec, configuration, load, latency),
        }
    }

    fn encoder(
        &mut self,
        rung: &Rung,
        frame_rate: FrameRate,
        all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        self.0.encoder(rung, frame_rate, all, latency)
    }

    fn scale(&mut self, frame: &Self::Frame, to: Size) -> Result<Self::Frame, EngineError> {
        self.0.scale(frame, to)
    }

    fn black(&mut self, size: Size) -> Result<Self::Frame, EngineError> {
        self.0.black(size)
    }

    fn drawn(&mut self, planes: &Planes) -> Result<Self::Frame, EngineError> {
        self.0.drawn(planes)
    }

    fn still(&mut self, file: &[u8], at_most: Size) -> Result<Self::Frame, EngineError> {
        self.0.still(file, at_most)
    }

    fn size(frame: &Self::Frame) -> Size {
        SoftwareEngine::size(frame)
    }
}

#[test]
fn a_decoder_that_gives_nothing_is_left_out_with_a_sentence() {
    let effort = Effort { presets: &["ultrafast"], ..EFFORT };
    let decodes = [VideoCodec::Hevc, VideoCodec::H264];
    let (speeds, problems) = of(&effort, &decodes, &|| Ok(Mute(SoftwareEngine::open()))).unwrap();
    let wanted = [(Step::Decode, VideoCodec::H264, ""), (Step::Encode, VideoCodec::H264, "ultrafast")];
    assert_eq!(found(&speeds), wanted);
    let sent = u64::from(SILENT_GROUPS) * GOP;
    let sentence =
        format!("decoding {} is not measured: no picture came of {sent} units, ", VideoCodec::Hevc.name());
    assert!(matches!(&*problems, [problem] if problem.starts_with(&sentence)), "{problems:?}");
}
