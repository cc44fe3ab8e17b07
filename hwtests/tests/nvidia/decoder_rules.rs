//! What libnvcuvid's rules forbid is found: each wrong use is an error of the vendor's, and a violation.

use std::path::PathBuf;

use hwtests::Simulation;
use hwtests::pictures::FFMPEG;
use hwtests::simulation::run;

use crate::client::decoder;

/// Pictures of the stream.
const COUNT: &str = "6";

/// A stream with delimiters, and without B-frames: what is decoded is displayed at once.
fn stream(simulation: &Simulation) -> PathBuf {
    let file = simulation.file("stream.h264");
    let mut command = std::process::Command::new(FFMPEG);
    command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", COUNT]);
    command.args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]);
    run(command.args(["-x264-params", "aud=1"]).arg(&file));
    file
}

/// What the client says first, and the violations' sentences.
fn wrong(what: &str) -> (String, Vec<String>) {
    let simulation = Simulation::of("l4", "");
    let said = decoder(&simulation, what, &stream(&simulation));
    (said.lines().next().unwrap_or_default().to_owned(), simulation.report().sentences)
}

#[test]
fn right_use_breaks_no_rule() {
    let simulation = Simulation::of("l4", "");
    assert_eq!(decoder(&simulation, "right", &stream(&simulation)), format!("pictures {COUNT}\n"));
    simulation.assert_clean();
}

#[test]
fn each_misuse_is_an_error_and_a_violation() {
    for (what, said, sentence) in [
        ("no-context", "cuvidGetDecoderCaps 201", "cuvidGetDecoderCaps is called with no context current"),
        ("no-surfaces", "cuvidCreateVideoParser 1", "is given no decode surfaces"),
        ("parser-destroyed", "cuvidParseVideoData 400", "what is no parser, or no longer"),
        ("surfaces", "cuvidCreateDecoder 1", "is asked for 99 and 1 surfaces"),
        ("format", "cuvidCreateDecoder 1", "an output format that its caps have not"),
        ("target", "cuvidCreateDecoder 1", "is given a target of (0, 240)"),
        ("too-large", "cuvidReconfigureDecoder 1", "over the (320, 240) that it was made for"),
        ("nothing-decoded", "cuvidMapVideoFrame64 1", "surface 0, in which nothing is decoded"),
        ("outside", "cuvidDecodePicture 1", "into surface 99 of"),
        ("into-mapped", "cuvidDecodePicture 1", ", which is mapped"),
        ("too-early", "cuvidMapVideoFrame64 1", "before the parser displayed it"),
        ("map-twice", "cuvidMapVideoFrame64 205", ", which is mapped"),
        ("all-mapped", "cuvidMapVideoFrame64 205", "all 1 output surfaces are mapped"),
        ("not-mapped", "cuvidUnmapVideoFrame64 1", "which is not mapped"),
        ("unmap-twice", "cuvidUnmapVideoFrame64 1", "which is not mapped"),
        ("unmapped", "cuMemcpyDtoH 1", "a picture of NVDEC's that is not mapped"),
        ("destroyed", "cuvidMapVideoFrame64 400", "what is no decoder, or no longer"),
    ] {
        let (first, sentences) = wrong(what);
        assert_eq!(first, said, "{what}: {sentences:?}");
        assert!(sentences.iter().any(|found| found.contains(sentence)), "{what}: {sentences:?}");
    }
}

#[test]
fn what_is_left_over_is_a_violation_too() {
    for (what, sentence) in [
        ("destroy-mapped", "cuvidDestroyDecoder with 1 pictures mapped"),
        ("leak-decoder", "at the end of the process: 1 decoders"),
        ("leak-parser", "at the end of the process: 1 parsers"),
    ] {
        let (_, sentences) = wrong(what);
        assert!(sentences.iter().any(|found| found.contains(sentence)), "{what}: {sentences:?}");
    }
}
