//! What the rules forbid is found: each wrong use of the client is an error of the vendor's, and a violation.

use hwtests::Simulation;

use crate::client::client;

/// What the client says first, and the violations' sentences.
fn wrong(what: &str) -> (String, Vec<String>) {
    let simulation = Simulation::of("l4", "");
    let said = client(&simulation, &[what, "2"]);
    (said.lines().next().unwrap_or_default().to_owned(), simulation.report().sentences)
}

#[test]
fn right_use_breaks_no_rule() {
    let simulation = Simulation::of("l4", "");
    assert!(client(&simulation, &["right", "10"]).starts_with("frames 10 "));
    simulation.assert_clean();
}

#[test]
fn each_misuse_is_an_error_and_a_violation() {
    for (what, said, sentence) in [
        ("before-init", "cuMemAlloc 3", "cuMemAlloc_v2 is called before cuInit"),
        ("no-context", "cuMemAlloc 201", "cuMemAlloc is called with no context current"),
        ("overrun", "cuMemsetD8 1", "cuMemsetD8 reaches 184321 bytes from byte 0 of an allocation of 184320"),
        ("use-after-free", "cuMemsetD8 1", "after it was freed"),
        ("bad-context", "api.nvEncOpenEncodeSessionEx 4", "is no CUDA context"),
        ("bad-version", "api.nvEncInitializeEncoder 15", "the version word of Initialize is 0x7101000b"),
        ("no-initialize", "api.nvEncCreateBitstreamBuffer 11", "before nvEncInitializeEncoder"),
        ("too-high", "api.nvEncRegisterResource 23", "of an allocation of 184320"),
        ("unmapped", "api.nvEncEncodePicture 25", "a resource that is not mapped"),
        ("lock-empty", "api.nvEncLockBitstream 9", "that nothing was coded into"),
        ("twice", "api.nvEncEncodePicture 8", "a bitstream buffer that is in use"),
    ] {
        let (first, sentences) = wrong(what);
        assert_eq!(first, said, "{what}");
        assert!(sentences.iter().any(|found| found.contains(sentence)), "{what}: {sentences:?}");
    }
}

#[test]
fn what_only_shows_later_is_a_violation_too() {
    for (what, sentence) in [
        ("double-free", "which is free already"),
        ("free-registered", "while it is registered with NVENC"),
        ("destroyed", "which is no encoder, or no longer"),
        ("leak-mapped", "nvEncDestroyEncoder with 1 mapped resources left"),
        ("leak-session", "at the end of the process: 1 encode sessions"),
        ("leak-memory", "at the end of the process: 1 allocations of device memory, 184320 bytes"),
        ("leak-context", "at the end of the process: 1 contexts"),
    ] {
        let (_, sentences) = wrong(what);
        assert!(sentences.iter().any(|found| found.contains(sentence)), "{what}: {sentences:?}");
    }
}
