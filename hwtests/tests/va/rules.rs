//! What a client does wrong is told to it with the right status, and noted with a sentence.

use hwtests::Simulation;

use crate::client::client;

/// VA_STATUS_ERROR_ of va.h.
const OPERATION_FAILED: i32 = 1;
const INVALID_SURFACE: i32 = 6;
const INVALID_BUFFER: i32 = 7;
const UNSUPPORTED_BUFFERTYPE: i32 = 15;
const INVALID_PARAMETER: i32 = 18;

#[test]
fn each_broken_rule_has_its_status_and_its_sentence() {
    for (scenario, call, status, sentence) in [
        ("end-before-begin", "vaEndPicture", OPERATION_FAILED, "before vaBeginPicture"),
        ("begin-twice", "vaBeginPicture", OPERATION_FAILED, "has a picture open"),
        ("empty-input", "vaBeginPicture", INVALID_SURFACE, "nothing was ever put in it"),
        ("wrong-size", "vaCreateBuffer", INVALID_PARAMETER, "has 8 bytes an element"),
        ("wrong-type", "vaCreateBuffer", UNSUPPORTED_BUFFERTYPE, "VAIQMatrixBuffer (type 1)"),
        ("after-destruction", "vaSyncSurface", INVALID_SURFACE, "is used after its destruction"),
        ("map-twice", "vaMapBuffer", OPERATION_FAILED, "is mapped twice"),
        ("map-twice", "vaUnmapBuffer", OPERATION_FAILED, "was not mapped"),
        (
            "no-picture-parameters",
            "vaEndPicture",
            INVALID_PARAMETER,
            "without VAEncPictureParameterBufferH264",
        ),
        ("no-slice", "vaEndPicture", INVALID_PARAMETER, "without VAEncSliceParameterBufferH264"),
        ("no-idr-first", "vaEndPicture", INVALID_PARAMETER, "without VAEncSequenceParameterBufferH264, ever"),
        ("wrong-frame-num", "vaEndPicture", INVALID_PARAMETER, "frame_num 2, and 1 comes next"),
        ("reference-never-coded", "vaEndPicture", INVALID_PARAMETER, "holds no reconstructed picture"),
        ("reference-overwritten", "vaEndPicture", INVALID_PARAMETER, "holds no reconstructed picture"),
        ("coded-buffer-of-another-context", "vaEndPicture", INVALID_BUFFER, "made for another context"),
        ("decode-target-of-another-context", "vaBeginPicture", INVALID_SURFACE, "target of another context"),
        (
            "decode-target-of-another-context",
            "vaEndPicture",
            INVALID_PARAMETER,
            "without VAPictureParameterBufferH264",
        ),
        ("region-outside", "vaEndPicture", INVALID_PARAMETER, "is not within the surface"),
    ] {
        let simulation = Simulation::of("amd", "");
        let said = client(&simulation, &[scenario]);
        assert!(said.contains(&format!("{call} {status}\n")), "{scenario}: {said}");
        let sentences = simulation.report().sentences;
        assert!(sentences.iter().any(|noted| noted.contains(sentence)), "{scenario}: {sentences:#?}");
    }
}

#[test]
fn what_is_left_at_the_end_is_noted() {
    let simulation = Simulation::of("amd", "");
    client(&simulation, &["leak"]);
    let sentences = simulation.report().sentences;
    for kind in ["1 context(s)", "1 config(s)", "4 surface(s)", "1 buffer(s)"] {
        assert!(sentences.iter().any(|noted| noted.contains(kind)), "{kind}: {sentences:#?}");
    }
}

#[test]
fn a_client_that_does_right_leaves_no_note() {
    let simulation = Simulation::of("amd", "");
    let said = client(&simulation, &["encode", "20"]);
    assert!(said.contains("frames 20 "), "{said}");
    simulation.assert_clean();
}
