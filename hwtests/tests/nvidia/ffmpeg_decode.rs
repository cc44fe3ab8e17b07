//! Both ffmpegs decode on the simulated NVDEC, byte for byte as in software.

use std::path::Path;
use std::process::Command;

use hwtests::pictures::{FFMPEG, checksums, checksums_of, present_day_ffmpeg};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};

fn code(file: &Path, frames: u32, options: &[&str]) {
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(natural_clip()).args(["-an", "-frames:v", &frames.to_string()]);
    run(command.args(options).arg("-y").arg(file));
}

fn assert_same(simulation: &Simulation, ffmpeg: &str, decoder: &str, file: &Path, format: &str) {
    let mut command = simulation.nvidia(ffmpeg);
    command.args(["-v", "error", "-c:v", decoder, "-i"]).arg(file).args([
        "-an",
        "-vf",
        &format!("format={format}"),
    ]);
    let (on_device, in_software) = (checksums_of(&mut command), checksums(file, format));
    assert_eq!(on_device.len(), in_software.len(), "{ffmpeg} {decoder}");
    let first = on_device.iter().zip(&in_software).position(|(a, b)| a != b);
    assert_eq!(first, None, "{ffmpeg} {decoder}: the first picture that differs, of {}", in_software.len());
    simulation.assert_clean();
}

#[test]
fn h264_with_reordered_pictures_is_the_same_in_both_to_its_end() {
    let simulation = Simulation::of("h200", "");
    for (size, frames, options) in [
        ("640x360", 60, ["-preset", "medium", "-bf", "3"]),
        // Cropped: 1080 is no multiple of 16.
        ("1920x1080", 16, ["-preset", "veryfast", "-bf", "2"]),
    ] {
        let file = simulation.file("coded.mp4");
        code(&file, frames, &[&["-s", size, "-c:v", "libx264"], options.as_slice()].concat());
        for ffmpeg in [FFMPEG.to_owned(), present_day_ffmpeg()] {
            assert_same(&simulation, &ffmpeg, "h264_cuvid", &file, "yuv420p");
        }
    }
}

#[test]
fn hevc_and_ten_bits_and_av1_are_the_same() {
    let simulation = Simulation::of("h200", "");
    let x265 = ["-s", "640x360", "-c:v", "libx265", "-preset", "veryfast", "-x265-params", "log-level=error"];
    let aom = ["-s", "640x360", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-b:v", "1M"];
    for (decoder, format, options) in [
        ("hevc_cuvid", "yuv420p", [x265.as_slice(), &["-pix_fmt", "yuv420p"]].concat()),
        ("hevc_cuvid", "yuv420p10le", [x265.as_slice(), &["-pix_fmt", "yuv420p10le"]].concat()),
        ("av1_cuvid", "yuv420p", aom.to_vec()),
    ] {
        let file = simulation.file("coded.mkv");
        code(&file, 40, &options);
        assert_same(&simulation, &present_day_ffmpeg(), decoder, &file, format);
        if decoder == "hevc_cuvid" {
            assert_same(&simulation, FFMPEG, decoder, &file, format);
        }
    }
}

#[test]
fn a_device_decodes_only_what_it_has() {
    let simulation = Simulation::of("t4", "");
    let file = simulation.file("coded.mkv");
    code(&file, 5, &["-s", "640x360", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"]);
    let mut command = simulation.nvidia(&present_day_ffmpeg());
    command.args(["-v", "error", "-c:v", "av1_cuvid", "-i"]).arg(&file).args(["-f", "null", "-"]);
    let output = command.output().expect("ffmpeg runs");
    assert!(!output.status.success(), "a T4 has no AV1");
}
