//! Flat pictures: streams that decode, at next to no cost of the driver's.

use std::process::Command;

use hwtests::pictures::{FFMPEG, key_frames};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};
use sim_state::Counter;

#[test]
fn flat_pictures_make_a_sound_stream_for_little() {
    for (codec, name) in [("h264_vaapi", "coded.h264"), ("hevc_vaapi", "coded.h265")] {
        let simulation = Simulation::new("pictures = \"flat\"\n[[device]]\nmodel = \"intel\"\n");
        let file = simulation.file(name);
        let mut command = simulation.va(FFMPEG);
        command.args(["-v", "error", "-vaapi_device", "/dev/null", "-hwaccel", "vaapi"]);
        command.args(["-hwaccel_output_format", "vaapi", "-i"]).arg(natural_clip());
        command.args([
            "-an",
            "-frames:v",
            "60",
            "-vf",
            "scale_vaapi=640:360",
            "-c:v",
            codec,
            "-low_power",
            "1",
        ]);
        run(command.args(["-rc_mode", "CBR", "-b:v", "1M", "-g", "25", "-bf", "0"]).arg(&file));
        let keys: Vec<usize> =
            key_frames(&file).iter().enumerate().filter(|(_, key)| **key).map(|(number, _)| number).collect();
        assert_eq!((keys, key_frames(&file).len()), (vec![0, 25, 50], 60), "{codec}");
        let mut decode = Command::new(FFMPEG);
        decode.args(["-v", "error", "-xerror", "-i"]).arg(&file).args(["-f", "null", "-"]);
        assert!(run(&mut decode).stderr.is_empty(), "{codec}");
        simulation.assert_clean();
        let driver_ms = simulation.state().counted(0, Counter::DriverCpuNs) / 1_000_000;
        assert!(driver_ms < 400, "{codec}: {driver_ms} ms of the driver's for 60 pictures");
    }
}
