//! Flat pictures: streams that decode, at next to no cost of the driver's.

use hwtests::pictures::{FFMPEG, key_frames};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};
use sim_state::Counter;

#[test]
fn flat_pictures_make_a_sound_stream_for_little() {
    let simulation = Simulation::new("pictures = \"flat\"\n[[device]]\nmodel = \"l4\"\n");
    let file = simulation.file("coded.mkv");
    let mut command = simulation.nvidia(FFMPEG);
    command.args([
        "-v",
        "error",
        "-hwaccel",
        "cuda",
        "-hwaccel_output_format",
        "cuda",
        "-c:v",
        "h264_cuvid",
        "-i",
    ]);
    command.arg(natural_clip()).args([
        "-an",
        "-frames:v",
        "100",
        "-c:v",
        "h264_nvenc",
        "-g",
        "25",
        "-bf",
        "0",
    ]);
    run(command.arg(&file));
    let keys: Vec<usize> =
        key_frames(&file).iter().enumerate().filter(|(_, key)| **key).map(|(number, _)| number).collect();
    assert_eq!((keys, key_frames(&file).len()), (vec![0, 25, 50, 75], 100));
    let mut decode = std::process::Command::new(FFMPEG);
    decode.args(["-v", "error", "-xerror", "-i"]).arg(&file).args(["-f", "null", "-"]);
    assert!(run(&mut decode).stderr.is_empty());
    simulation.assert_clean();
    let driver_ms = simulation.state().counted(0, Counter::DriverCpuNs) / 1_000_000;
    assert!(driver_ms < 400, "{driver_ms} ms of the driver's for 100 pictures of 1280x720");
}
