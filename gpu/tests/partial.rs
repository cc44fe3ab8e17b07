//! A libcuda that is not whole is an error with a sentence: `cudarc` would panic over the first function that it misses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;

use gpu::{Device, DeviceError};

/// Set for a process that finds such a library.
const INNER: &str = "GPU_TESTS_PARTIAL";

/// What is left of an installation that was broken off, or a stub: enough to begin with.
const STUB: &str = "int cuDriverGetVersion(int *version) { *version = 12020; return 0; }\n\
                    int cuInit(unsigned flags) { return (int)flags; }\n\
                    int cuDeviceGetCount(int *count) { *count = 1; return 0; }\n";

#[test]
fn a_partial_library_is_a_sentence() {
    if std::env::var_os(INNER).is_some() {
        for error in [Device::list().unwrap_err(), Device::open(0).unwrap_err()] {
            assert!(matches!(error, DeviceError::Incomplete { .. }), "{error:?}");
            let said = "libcuda.so.1 lacks cuCtxGetCurrent: it is no NVIDIA driver's, or of one far too old";
            assert!(error.to_string().starts_with(said), "{error}");
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("stub.c");
    std::fs::write(&source, STUB).unwrap();
    // Both names that a loader may be asked for.
    for library in ["libcuda.so", "libcuda.so.1"] {
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(folder.path().join(library))
            .arg(&source)
            .output()
            .expect("a C compiler is installed (make deps)");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_partial_library_is_a_sentence", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder.path())
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
