//! Both ffmpegs encode on the simulated NVENC, natural pictures at over 35 dB.

use std::path::PathBuf;

use hwtests::pictures::{FFMPEG, key_frames, present_day_ffmpeg, psnr, stream_fact};
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};

/// A group of pictures of 25, and some of the next.
const FRAMES: usize = 32;

/// Encodes, with filters and options, and checks what came out.
fn encode(simulation: &Simulation, ffmpeg: &str, codec: &str, filters: &str, options: &[&str]) -> PathBuf {
    let file = simulation.file("coded.mkv");
    let mut command = simulation.nvidia(ffmpeg);
    command.args(["-v", "error", "-i"]).arg(natural_clip());
    command.args([
        "-an",
        "-frames:v",
        &FRAMES.to_string(),
        "-vf",
        filters,
        "-c:v",
        codec,
        "-b:v",
        "2M",
        "-g",
        "25",
    ]);
    run(command.args(options).arg("-y").arg(&file));
    assert_eq!(key_frames(&file).len(), FRAMES);
    let decibels = psnr(&file, &natural_clip());
    assert!(decibels > 35.0, "{codec} {filters} {options:?}: {decibels} dB");
    simulation.assert_clean();
    file
}

const HOST: &str = "scale=640:360,format=yuv420p";
const DEVICE: &str = "scale=640:360,format=nv12,hwupload_cuda";

#[test]
fn debians_ffmpeg_encodes_h264_from_host_and_from_device_frames() {
    let simulation = Simulation::of("l4", "");
    encode(&simulation, FFMPEG, "h264_nvenc", HOST, &["-bf", "0"]);
    encode(&simulation, FFMPEG, "h264_nvenc", DEVICE, &["-bf", "0"]);
}

#[test]
fn both_ffmpegs_get_b_frames_where_they_ask_for_them() {
    let simulation = Simulation::of("l4", "");
    for ffmpeg in [FFMPEG.to_owned(), present_day_ffmpeg()] {
        for codec in ["h264_nvenc", "hevc_nvenc"] {
            let file = encode(&simulation, &ffmpeg, codec, DEVICE, &["-bf", "2"]);
            assert_ne!(stream_fact(&file, "has_b_frames"), "0", "{ffmpeg} {codec}");
            let file = encode(&simulation, &ffmpeg, codec, HOST, &["-bf", "0"]);
            assert_eq!(stream_fact(&file, "has_b_frames"), "0", "{ffmpeg} {codec}");
        }
    }
}

#[test]
fn the_present_day_ffmpeg_encodes_every_coding_and_ten_bits() {
    let simulation = Simulation::of("l4", "");
    let ffmpeg = present_day_ffmpeg();
    encode(&simulation, &ffmpeg, "av1_nvenc", HOST, &[]);
    let file = encode(&simulation, &ffmpeg, "hevc_nvenc", "scale=640:360,format=p010", &[]);
    assert_eq!(stream_fact(&file, "profile"), "Main 10");
}

#[test]
fn key_frames_stand_where_they_are_forced() {
    let simulation = Simulation::of("l4", "");
    let options = ["-bf", "0", "-forced-idr", "1", "-force_key_frames", "0.4,1.2", "-g", "250"];
    for codec in ["h264_nvenc", "hevc_nvenc"] {
        let file = encode(&simulation, FFMPEG, codec, HOST, &options);
        let keys: Vec<usize> =
            key_frames(&file).iter().enumerate().filter(|(_, key)| **key).map(|(number, _)| number).collect();
        assert_eq!(keys, [0, 10, 30], "{codec}");
    }
}

#[test]
fn colours_and_range_are_told() {
    let simulation = Simulation::of("l4", "");
    let tags =
        ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"];
    for codec in ["h264_nvenc", "hevc_nvenc"] {
        let file = encode(&simulation, FFMPEG, codec, HOST, &tags);
        for (fact, value) in [
            ("color_space", "bt709"),
            ("color_primaries", "bt709"),
            ("color_transfer", "bt709"),
            ("color_range", "tv"),
        ] {
            assert_eq!(stream_fact(&file, fact), value, "{codec} {fact}");
        }
    }
}
