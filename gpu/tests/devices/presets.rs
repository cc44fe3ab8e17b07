//! Every preset and every tuning, for every format.

use gpu::encode::{Preset, Tuning};
use gpu::{Codec, Device, Encoder, Frame, FrameKind};

use crate::encoding::{codecs, config};
use crate::pictures::{decoded_by_ffmpeg, drawn, psnr, size};
use crate::{Seen, run_simulated};

/// Tunings, with the driver's numbers for them.
const TUNINGS: [(Tuning, u32); 3] =
    [(Tuning::HighQuality, 1), (Tuning::LowLatency, 2), (Tuning::UltraLowLatency, 3)];

/// Pictures of each; enough for what reorders to put something out before the end.
const COUNT: usize = 6;

/// Codes some pictures, and looks at them where they are to be looked at.
fn code(device: &Device, codec: Codec, preset: Preset, tuning: Tuning, look: bool) {
    let size = size(256, 144);
    let mut config = config(codec, size, 1_500_000);
    (config.preset, config.tuning) = (preset, tuning);
    config.b_frames = if tuning == Tuning::HighQuality { 2 } else { 0 };
    let what = format!("{codec} {preset:?} {tuning:?}");
    let mut encoder =
        Encoder::open(device, &config).unwrap_or_else(|error| panic!("{what}: {error}: {error:?}"));
    let mut coded = Vec::new();
    for number in 0..COUNT {
        let [luma, blue, red] = drawn(size, number);
        let frame = Frame::from_planes(device, size, [&luma, &blue, &red]).unwrap();
        let kind = if number == 0 { FrameKind::Idr } else { FrameKind::Any };
        encoder.send(&frame, number as u64, kind).unwrap();
        coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    }
    encoder.finish();
    coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
    let keys: Vec<u64> = coded.iter().filter(|picture| picture.key).map(|picture| picture.tag).collect();
    assert_eq!((coded.len(), keys), (COUNT, vec![0]), "{what}");
    if look {
        let shown = decoded_by_ffmpeg(codec, encoder.configuration(), &coded, size);
        assert_eq!(shown.len(), COUNT, "{what}");
        for (number, picture) in shown.iter().enumerate() {
            let quality = psnr(picture, &drawn(size, number).concat());
            assert!(quality > 30.0, "{what} picture {number}: {quality:.1} dB");
        }
    }
}

#[test]
fn every_preset_and_tuning_opens_and_codes() {
    let plan = "trace = true\n[[device]]\nmodel = \"l4\"\n";
    let seen = run_simulated("presets::every_preset_and_tuning_opens_and_codes", plan, || {
        let device = Device::open(0).unwrap();
        assert_eq!(codecs(&device), Codec::ALL);
        for codec in Codec::ALL {
            for preset in Preset::ALL {
                for (tuning, number) in TUNINGS {
                    // A look is dear: one for each preset, another tuning each time.
                    let look = preset as u32 % 3 == number % 3;
                    code(&device, codec, preset, tuning, look);
                }
            }
        }
    });
    let Some(Seen { report, said, .. }) = seen else { return };
    assert_eq!(report["violations"], 0, "{}", report["sentences"]);
    // What the driver was asked for.
    let mut asked =
        said.lines().filter_map(|line| Some(line[line.find("NVENC initialises")?..].trim().to_owned()));
    for codec in ["H264", "Hevc", "Av1"] {
        for preset in 1..=7 {
            for tuning in 1..=3 {
                let wanted = format!("NVENC initialises {codec}, preset P{preset}, tuning {tuning}");
                assert_eq!(asked.next(), Some(wanted));
            }
        }
    }
    assert_eq!(asked.next(), None);
}
