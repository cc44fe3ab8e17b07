//! The committed PTX is what its source gives.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_ptx_is_what_clang_makes_of_the_source() {
    if Command::new("clang-14").arg("--version").output().is_err() {
        println!("skipped: clang-14 is not installed; `make deps` installs it on Debian 12");
        return;
    }
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("scale.ptx");
    let output = Command::new("bash").arg(kernels.join("generate.sh")).arg(&made).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = std::fs::read_to_string(made).unwrap();
    let committed = std::fs::read_to_string(kernels.join("scale.ptx")).unwrap();
    assert!(
        made == committed,
        "gpu/kernels/scale.ptx is not what scale.cu gives: run gpu/kernels/generate.sh"
    );
}
