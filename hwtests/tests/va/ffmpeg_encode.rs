//! Debian's ffmpeg encodes and scales on the simulated VA-API devices.

use std::path::PathBuf;

use hwtests::pictures::{FFMPEG, key_frames, psnr, size, stream_fact};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};

/// Frames a second of the clip.
const RATE: u64 = 25;

/// Codes natural pictures; the options name the encoder.
fn encode(simulation: &Simulation, filter: &str, frames: u64, options: &[&str]) -> PathBuf {
    // Bare streams: where the driver writes all headers, ffmpeg has none to begin a container with.
    let file = simulation.file(if options.contains(&"hevc_vaapi") { "coded.h265" } else { "coded.h264" });
    let mut command = simulation.va(FFMPEG);
    command.args(["-v", "error", "-y", "-vaapi_device", "/dev/null", "-i"]).arg(natural_clip());
    command.args(["-an", "-frames:v", &frames.to_string(), "-vf", &format!("format=nv12,hwupload{filter}")]);
    run(command.args(options).args(["-bf", "0"]).arg(&file));
    simulation.assert_clean();
    assert_eq!(key_frames(&file).len() as u64, frames, "every picture comes out");
    file
}

fn bits_per_second(file: &std::path::Path, frames: u64) -> u64 {
    std::fs::metadata(file).unwrap().len() * 8 * RATE / frames
}

fn assert_near(file: &std::path::Path, frames: u64, wanted: u64) {
    let found = bits_per_second(file, frames);
    assert!(
        (wanted * 80 / 100..wanted * 120 / 100).contains(&found),
        "{found} bit/s, {wanted} were asked for"
    );
}

fn assert_quality(file: &std::path::Path) {
    let db = psnr(file, &natural_clip());
    assert!(db > 35.0, "{db} dB");
}

#[test]
fn h264_at_a_constant_rate_with_key_frames_where_they_are_forced() {
    for (model, options) in [
        ("intel", &["-low_power", "1"][..]),
        ("intel-uhd", &["-low_power", "0"]),
        ("intel-uhd", &["-low_power", "1"]),
        ("amd", &[]),
    ] {
        let simulation = Simulation::of(model, "");
        let rate = ["-c:v", "h264_vaapi", "-rc_mode", "CBR", "-b:v", "2M", "-g", "250"];
        let options = [&rate[..], &["-force_key_frames", "0.4,1.2"], options].concat();
        let file = encode(&simulation, "", 50, &options);
        let keys: Vec<usize> =
            key_frames(&file).iter().enumerate().filter(|(_, key)| **key).map(|(at, _)| at).collect();
        assert_eq!(keys, [0, 10, 30], "{model}");
        assert_near(&file, 50, 2_000_000);
        assert_quality(&file);
        assert_eq!(simulation.report().devices[0].counters["IdrFrames"], 3, "{model}");
    }
}

#[test]
fn h264_of_every_profile_without_cabac_and_at_a_constant_qp() {
    let simulation = Simulation::of("intel", "");
    for profile in ["constrained_baseline", "main", "high"] {
        let options =
            ["-c:v", "h264_vaapi", "-low_power", "1", "-rc_mode", "CQP", "-qp", "24", "-profile:v", profile];
        let file = encode(&simulation, "", 10, &options);
        assert_quality(&file);
        let found = stream_fact(&file, "profile").to_lowercase().replace(' ', "_");
        assert_eq!(found, profile);
    }
}

#[test]
fn hevc_on_every_device() {
    for (model, low_power) in [("intel", "1"), ("intel-uhd", "0"), ("amd", "0")] {
        let simulation = Simulation::of(model, "");
        let options =
            ["-c:v", "hevc_vaapi", "-low_power", low_power, "-rc_mode", "CBR", "-b:v", "1M", "-g", "25"];
        let file = encode(&simulation, ",scale_vaapi=640:360", 50, &options);
        let keys: Vec<usize> =
            key_frames(&file).iter().enumerate().filter(|(_, key)| **key).map(|(at, _)| at).collect();
        assert_eq!(keys, [0, 25], "{model}");
        assert_near(&file, 50, 1_000_000);
        assert_quality(&file);
    }
}

#[test]
fn scaled_on_the_device() {
    let simulation = Simulation::of("intel", "");
    let options =
        ["-c:v", "h264_vaapi", "-low_power", "1", "-rc_mode", "VBR", "-b:v", "1M", "-maxrate", "2M"];
    let file = encode(&simulation, ",scale_vaapi=640:360", 25, &options);
    assert_eq!(size(&file), (640, 360));
    assert_quality(&file);
    let counters = &simulation.report().devices[0].counters;
    // Filters run ahead of the encoder.
    assert!(counters["ScaleJobs"] >= 25, "{counters:?}");
}

#[test]
fn hevc_of_10_bits_from_8() {
    let simulation = Simulation::of("intel", "");
    let options =
        ["-c:v", "hevc_vaapi", "-low_power", "1", "-profile:v", "main10", "-rc_mode", "CBR", "-b:v", "2M"];
    let file = encode(&simulation, ",scale_vaapi=640:360:format=p010", 25, &options);
    assert_eq!(stream_fact(&file, "pix_fmt"), "yuv420p10le");
    assert_quality(&file);
}

#[test]
fn deinterlaced_on_the_device() {
    for mode in ["bob", "motion_adaptive"] {
        let simulation = Simulation::of("intel", "");
        let filter = format!(",deinterlace_vaapi=mode={mode}");
        let options = ["-c:v", "h264_vaapi", "-low_power", "1", "-rc_mode", "CQP", "-qp", "20"];
        encode(&simulation, &filter, 10, &options);
        assert!(simulation.report().devices[0].counters["ScaleJobs"] >= 10, "{mode}");
    }
}

#[test]
fn decoded_scaled_and_encoded_without_a_copy_through_the_host() {
    let simulation = Simulation::of("intel", "");
    let file = simulation.file("coded.mkv");
    let mut command = simulation.va(FFMPEG);
    command.args(["-v", "error", "-vaapi_device", "/dev/null", "-hwaccel", "vaapi"]);
    command.args(["-hwaccel_output_format", "vaapi", "-i"]).arg(natural_clip());
    command.args([
        "-an",
        "-frames:v",
        "50",
        "-vf",
        "scale_vaapi=640:360",
        "-c:v",
        "hevc_vaapi",
        "-low_power",
        "1",
    ]);
    run(command.args(["-rc_mode", "CBR", "-b:v", "1M", "-bf", "0"]).arg(&file));
    simulation.assert_clean();
    let counters = &simulation.report().devices[0].counters;
    for copies in ["HostToDeviceCopies", "DeviceToHostCopies"] {
        assert_eq!(counters[copies], 0, "{counters:?}");
    }
    assert_quality(&file);
}
