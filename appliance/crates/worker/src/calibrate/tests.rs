//! What is measured, and what is said of what is not.

use test_support::again::{again, passes};
use test_support::sims::Simulation;

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

/// Set for a process that is to measure a simulated device.
const INNER: &str = "CALIBRATE_TESTS_INNER";
const ALL: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];

/// Measures the first device of a kind: each of these formats must have its speeds.
fn measure_first(engine: EngineKind, decodes: &[VideoCodec], encodes: &[VideoCodec]) {
    let node = (engine == EngineKind::Vaapi).then(|| "/dev/null".into());
    let inventory = probe::look(engine, node.as_slice());
    let report = inventory.devices.first().unwrap_or_else(|| panic!("{inventory:?}"));
    let (speeds, problems) = measured(&EFFORT, report).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(problems, Vec::<String>::new());
    let decodes = decodes.iter().map(|codec| (Step::Decode, *codec, ""));
    let presets = |codec| EFFORT.presets.iter().map(move |preset| (Step::Encode, codec, *preset));
    let encodes = encodes.iter().flat_map(|codec| presets(*codec));
    assert_eq!(found(&speeds), decodes.chain(encodes).collect::<Vec<_>>());
    assert!(
        speeds.iter().all(|speed| speed.megasamples_per_second > 0.0 && speed.sessions > 0),
        "{speeds:?}"
    );
}

/// As [`measure_first`], in a process that finds simulated drivers.
fn measure_simulated(test: &str, engine: EngineKind, model: &str, codecs: &[VideoCodec]) {
    if std::env::var_os(INNER).is_some() {
        return measure_first(engine, codecs, codecs);
    }
    let simulation = Simulation::new(engine.name(), &format!("[[device]]\nmodel = \"{model}\"\n"));
    let mut command = again(&format!("calibrate::tests::{test}"));
    let (passed, said) = passes(command.envs(simulation.environment()).env(INNER, "1"));
    assert!(passed, "{said}");
    simulation.assert_clean();
}

#[test]
fn every_format_that_the_cpu_codes_has_a_speed_at_every_preset() {
    measure_first(EngineKind::Software, &ALL, &[VideoCodec::H264]);
}

#[test]
fn every_format_that_a_gpu_codes_has_a_speed_at_every_preset() {
    let test = "every_format_that_a_gpu_codes_has_a_speed_at_every_preset";
    measure_simulated(test, EngineKind::Nvidia, "l4", &ALL);
}

#[test]
fn every_format_that_a_render_node_codes_has_a_speed_at_every_preset() {
    let test = "every_format_that_a_render_node_codes_has_a_speed_at_every_preset";
    measure_simulated(test, EngineKind::Vaapi, "intel", &[VideoCodec::H264, VideoCodec::Hevc]);
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
        codec: VideoCodec,
        rung: &Rung,
        frame_rate: FrameRate,
        all: u64,
        latency: Latency,
    ) -> Result<Self::Encoder, EngineError> {
        self.0.encoder(codec, rung, frame_rate, all, latency)
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
fn what_does_not_work_is_left_out_with_a_sentence() {
    let effort = Effort { presets: &["ultrafast"], ..EFFORT };
    let codecs = [VideoCodec::Hevc, VideoCodec::H264];
    let (speeds, problems) = of(&effort, &codecs, &codecs, &|| Ok(Mute(SoftwareEngine::open()))).unwrap();
    let wanted = [(Step::Decode, VideoCodec::H264, ""), (Step::Encode, VideoCodec::H264, "ultrafast")];
    assert_eq!(found(&speeds), wanted);
    let sent = u64::from(SILENT_GROUPS) * GOP;
    let sentence =
        format!("decoding {} is not measured: no picture came of {sent} units, ", VideoCodec::Hevc.name());
    let no_encoder =
        "encoding HEVC at ultrafast is not measured: cannot encode rung 1080p: x264 codes no HEVC";
    let right = matches!(&*problems, [mute, none] if mute.starts_with(&sentence) && none == no_encoder);
    assert!(right, "{problems:?}");
}
