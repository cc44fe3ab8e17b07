//! From NVDEC to NVENC without the host: what the simulator counts is what a rung costs.

use hwtests::pictures::{FFMPEG, key_frames, present_day_ffmpeg, psnr};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};
use sim_state::Counter;

#[test]
fn both_ffmpegs_transcode_on_the_device_without_a_copy_to_the_host() {
    for ffmpeg in [FFMPEG.to_owned(), present_day_ffmpeg()] {
        let simulation = Simulation::of("l4", "");
        let file = simulation.file("coded.mkv");
        let mut command = simulation.nvidia(&ffmpeg);
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
        command.arg(natural_clip()).args(["-an", "-frames:v", "50", "-c:v", "h264_nvenc", "-b:v", "4M"]);
        run(command.args(["-bf", "0"]).arg(&file));
        assert_eq!(key_frames(&file).len(), 50);
        let decibels = psnr(&file, &natural_clip());
        assert!(decibels > 35.0, "{ffmpeg}: {decibels} dB");
        simulation.assert_clean();
        for counter in [Counter::HostToDeviceCopies, Counter::DeviceToHostCopies] {
            assert_eq!(simulation.state().counted(0, counter), 0, "{ffmpeg}: {counter:?}");
        }
        assert!(simulation.state().counted(0, Counter::FramesDecoded) >= 50);
        assert_eq!(simulation.state().counted(0, Counter::FramesEncoded), 50);
    }
}
