//! What is looked up in libcuda was looked for before.

use gpu::{Codec, Device, Encoder, Frame, FrameKind, Scaler};
use test_support::Simulation;
use test_support::again::{again, passes};

use crate::encoding::config;
use crate::pictures::size;
use crate::{INNER, SOUND};

/// Has the loader write down what is looked up (ld.so(8)).
const LOADER: [(&str, &str); 1] = [("LD_DEBUG", "symbols")];

fn use_the_device() {
    let device = Device::open(0).unwrap();
    device.memory().unwrap();
    let frame = Frame::black(&device, size(320, 180)).unwrap();
    let scaled = Scaler::new(&device).scale(&frame, size(160, 90)).unwrap();
    let mut encoder = Encoder::open(&device, &config(Codec::H264, size(160, 90), 100_000)).unwrap();
    encoder.send(&scaled, 1, FrameKind::Idr).unwrap();
    scaled.to_planes().unwrap();
}

#[test]
fn every_function_of_the_driver_is_looked_for_first() {
    if std::env::var_os(INNER).is_some() {
        use_the_device();
        return;
    }
    let simulation = Simulation::new("nvidia", &format!("pictures = \"flat\"\n{SOUND}"));
    let folder = tempfile::tempdir().unwrap();
    let mut command = again("symbols::every_function_of_the_driver_is_looked_for_first");
    command.envs(simulation.environment()).env("LD_DEBUG_OUTPUT", folder.path().join("lookups"));
    let (passed, said) = passes(command.envs(LOADER).env(INNER, "1"));
    assert!(passed, "{said}");
    let lookups: String = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("lookups"))
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect();
    let functions = include_str!("../../src/ffi/cuda.rs");
    let mut seen = 0;
    let is_ours = |name: &&str| {
        name.strip_prefix("cu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let names = lookups.lines().filter_map(|line| line.split_once("symbol=")?.1.split(';').next());
    for name in names.filter(is_ours) {
        assert!(functions.contains(&format!("    \"{name}\",\n")), "{name} is not in FUNCTIONS");
        seen += 1;
    }
    assert!(seen > 25, "{seen} lookups:\n{}", lookups.len());
}
