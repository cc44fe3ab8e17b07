//! What the probe opened, and what did not open.

use std::time::Duration;

use appliance::config::Config;
use appliance::devices::probe;
use test_support::Simulation;

use crate::{configuration, inventory, named, only};

#[test]
fn what_is_listed_was_opened() {
    let simulation = Simulation::new("nvidia", "[[device]]\nmodel = \"l4\"\n");
    let found = inventory(&simulation);
    let device = only(&found);
    assert!(device.simulated);
    assert_eq!(device.id.engine().name(), "nvidia");
    assert_eq!(named(&device.decode), [("H.264", 8), ("HEVC", 10), ("AV1", 10)]);
    // The hardware has 10 bits, which nothing here drives.
    assert_eq!(named(&device.encode), [("H.264", 8), ("HEVC", 8), ("AV1", 8)]);
    assert_eq!(device.problems, [""; 0]);
    assert_eq!((simulation.counter("DecodeOpens"), simulation.counter("FramesDecoded")), (5, 5));
    assert_eq!(simulation.counter("DeviceToHostCopies"), 0);
    // One is asked what there is.
    assert_eq!(simulation.counter("EncodeOpens"), 1 + 3);
    simulation.assert_clean();

    let simulation = Simulation::new("vaapi", "[[device]]\nmodel = \"intel\"\n");
    let found = inventory(&simulation);
    let device = only(&found);
    assert_eq!(named(&device.decode), [("H.264", 8), ("HEVC", 10)]);
    assert_eq!(named(&device.encode), [("H.264", 8), ("HEVC", 8)]);
    assert_eq!(device.problems, [""; 0]);
    assert_eq!(simulation.counter("FramesDecoded"), 3);
    simulation.assert_clean();
}

/// Whatever engine it is: a decoder that is refused, or gives no picture, is told of and not listed, and the rest stands.
#[test]
fn a_decoder_that_does_not_open_is_not_listed() {
    for (engine, model) in [("nvidia", "l4"), ("vaapi", "amd")] {
        let plan = format!(
            "[[device]]\nmodel = \"{model}\"\n[[device.fault]]\nkind = \"open-fails\"\nengine = \"decode\"\ntimes = 1\n"
        );
        let found = inventory(&Simulation::new(engine, &plan));
        let device = only(&found);
        let decoded: Vec<_> = named(&device.decode).into_iter().map(|(name, _)| name).collect();
        assert!(!decoded.contains(&"H.264") && decoded.contains(&"HEVC"), "{device:?}");
        assert!(named(&device.encode).contains(&("H.264", 8)), "{device:?}");
        let [problem] = &*device.problems else { panic!("{device:?}") };
        assert!(problem.starts_with("H.264 of 8 bits does not decode: "), "{problem}");
        assert!(problem.len() > 60, "{problem}");
    }
}

#[test]
fn an_encoder_that_does_not_open_is_not_listed() {
    for (engine, model, before) in [("nvidia", "l4", 1), ("vaapi", "intel", 0)] {
        let plan = format!(
            "[[device]]\nmodel = \"{model}\"\n[[device.fault]]\nkind = \"open-fails\"\nengine = \"encode\"\nafter = {before}\ntimes = 1\n"
        );
        let found = inventory(&Simulation::new(engine, &plan));
        let device = only(&found);
        assert_eq!(device.id.engine().name(), engine);
        let encoded: Vec<_> = named(&device.encode).into_iter().map(|(name, _)| name).collect();
        assert!(!encoded.contains(&"H.264") && encoded.contains(&"HEVC"), "{device:?}");
        let [problem] = &*device.problems else { panic!("{device:?}") };
        assert!(problem.starts_with("H.264 does not encode: "), "{problem}");
    }
}

/// A device at its limit has an encoder. One without is another thing, and x264 stands in for it.
#[test]
fn the_limit_of_sessions_does_not_make_a_decoder_of_a_device() {
    let capped = "[[device]]\nmodel = \"geforce\"\n[[device.fault]]\nkind = \"cap-reached\"\ntimes = 1\n";
    let simulation = Simulation::new("nvidia", capped);
    let found = inventory(&simulation);
    let device = only(&found);
    assert_eq!(device.id.engine().name(), "nvidia");
    assert_eq!(named(&device.encode), []);
    assert_eq!(named(&device.decode), [("H.264", 8), ("HEVC", 10), ("AV1", 10)]);
    let [problem] = &*device.problems else { panic!("{device:?}") };
    assert!(problem.starts_with("it encodes nothing now: no further encode session"), "{problem}");
    // The next look finds it as it is.
    assert_eq!(named(&only(&inventory(&simulation)).encode).len(), 3);

    let found = inventory(&Simulation::new("nvidia", "[[device]]\nmodel = \"h200\"\n"));
    let device = only(&found);
    assert_eq!(device.id.engine().name(), "nvidia-decode");
    assert_eq!(device.encode[0].notes, ["on the CPU"]);
}

/// A driver that hangs takes its own devices with it, and nobody else's, who have as long to answer.
fn a_hanging_driver_is_a_sentence(engine: &'static str, model: &str) {
    let plan =
        format!("[[device]]\nmodel = \"{model}\"\n[[device.fault]]\nkind = \"hangs\"\nengine = \"decode\"\n");
    let simulation = Simulation::new(engine, &plan);
    let (_folder, file) = configuration(&simulation.sections());
    let config = Config::load(&file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patience = Duration::from_secs(10);
    let found = runtime.block_on(probe::look(&config.worker, &config.devices, patience));
    let names: Vec<_> = found.devices.iter().map(|device| device.id.to_string()).collect();
    assert_eq!(names, ["software"], "{found:?}");
    let hung = found.unusable.iter().find(|missing| missing.engine.name() == engine).unwrap();
    assert!(hung.reason.starts_with("it did not answer within 10 s, so its driver hangs"), "{}", hung.reason);
}

#[test]
fn a_hanging_nvidia_driver_is_a_sentence() {
    a_hanging_driver_is_a_sentence("nvidia", "l4");
}

#[test]
fn a_hanging_vaapi_driver_is_a_sentence() {
    a_hanging_driver_is_a_sentence("vaapi", "intel");
}
