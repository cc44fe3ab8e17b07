//! Without libva, everything is an error with a sentence, and nothing was linked.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use vaapi::{Device, DeviceError, Node};

/// Set for a process that finds no libva.
const INNER: &str = "VAAPI_TESTS_WITHOUT_LIBVA";

/// The loader takes what it finds first, and a file that is no library is none.
#[test]
fn a_machine_without_libva_says_what_to_install() {
    if std::env::var_os(INNER).is_some() {
        // Any file that can be opened comes before the library.
        let error = Device::open(&Node::at(Path::new("/"), Path::new("/dev/null"))).unwrap_err();
        assert!(matches!(error, DeviceError::Library(_)), "{error:?}");
        let library = std::env::var(INNER).unwrap();
        let said = format!("{library} does not load: install libva (Debian: libva2 and libva-drm2)");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, said);
        return;
    }
    for library in ["libva.so.2", "libva-drm.so.2"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(library), "no library").unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_machine_without_libva_says_what_to_install"])
            .env("LD_LIBRARY_PATH", folder.path())
            .env(INNER, library)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

#[test]
fn libva_is_not_linked() {
    let output = Command::new("ldd").arg(std::env::current_exe().unwrap()).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("libc.so"), "{text}");
    assert!(!text.contains("libva") && !text.contains("libdrm"), "{text}");
}
