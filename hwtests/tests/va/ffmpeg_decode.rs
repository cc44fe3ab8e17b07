//! Debian's ffmpeg decodes on the simulated VA-API device, byte for byte as in software.

use std::path::Path;
use std::process::Command;

use hwtests::pictures::{FFMPEG, checksums, checksums_of};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};

/// Codes natural pictures with an encoder of software, in every way that decoders find hard.
fn code(file: &Path, frames: u32, options: &[&str]) {
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(natural_clip()).args(["-an", "-frames:v", &frames.to_string()]);
    run(command.args(options).arg(file));
}

/// Decodes in both ways, and compares.
fn assert_same(simulation: &Simulation, file: &Path, format: &str) {
    let mut command = simulation.va(FFMPEG);
    command.args(["-v", "error", "-vaapi_device", "/dev/null", "-hwaccel", "vaapi"]);
    command.args(["-hwaccel_output_format", "vaapi", "-i"]).arg(file);
    command.args(["-an", "-vf", &format!("hwdownload,format={format}")]);
    let (on_device, in_software) = (checksums_of(&mut command), checksums(file, format));
    let first = on_device.iter().zip(&in_software).position(|(a, b)| a != b);
    assert_eq!(on_device.len(), in_software.len());
    assert_eq!(first, None, "the first picture that differs, of {}", in_software.len());
    let report = simulation.report();
    assert_eq!(report.devices[0].counters["DecodeOpens"], 1, "the device was used: {report:#?}");
    simulation.assert_clean();
}

fn check(format: &str, frames: u32, options: &[&str]) {
    let simulation = Simulation::of("intel", "");
    let file = simulation.file("coded.mkv");
    code(&file, frames, options);
    assert_same(&simulation, &file, format);
}

#[test]
fn the_natural_clip() {
    let simulation = Simulation::of("intel", "");
    assert_same(&simulation, &natural_clip(), "nv12");
}

#[test]
fn h264_with_b_pyramids_and_weights() {
    let parameters = "bframes=5:ref=6:weightp=2:weightb=1:keyint=30:open-gop=1:b-pyramid=normal";
    check(
        "nv12",
        60,
        &["-vf", "scale=640:360,fade=out:10:40", "-c:v", "libx264", "-x264-params", parameters],
    );
}

#[test]
fn h264_of_odd_size_in_slices_and_without_cabac() {
    let parameters = "slices=3:cabac=0:8x8dct=0";
    check(
        "nv12",
        30,
        &["-s", "626x354", "-c:v", "libx264", "-preset", "veryfast", "-x264-params", parameters],
    );
}

#[test]
fn h264_interlaced_with_scaling_matrices() {
    let parameters = "tff=1:bframes=3:cqm=jvt";
    let filter = "scale=640:352,tinterlace=interleave_top,setfield=tff";
    check(
        "nv12",
        20,
        &["-vf", filter, "-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", parameters],
    );
}

#[test]
fn hevc_with_b_frames_and_weights() {
    let parameters = "log-level=error:bframes=4:ref=4:weightp=1:weightb=1:keyint=20:open-gop=1";
    check(
        "nv12",
        50,
        &["-vf", "scale=640:360,fade=out:10:30", "-c:v", "libx265", "-x265-params", parameters],
    );
}

#[test]
fn hevc_of_odd_size_in_slices_with_scaling_lists_and_wavefronts() {
    let parameters = "log-level=error:scaling-list=default:wpp=1:slices=2:amp=1:rect=1:ctu=16";
    check("nv12", 20, &["-s", "626x354", "-c:v", "libx265", "-x265-params", parameters]);
}

#[test]
fn hevc_of_10_bits() {
    let parameters = "log-level=error:keyint=10";
    check(
        "p010le",
        25,
        &["-s", "640x360", "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", parameters],
    );
}
