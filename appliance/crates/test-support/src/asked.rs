//! What whoever runs the tests asks of them, in the environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// `full` asks for the long forms of the tests that have two: `make test-faults`.
const FORM: &str = "RUNGD_FAULTS";
/// Set, a test that cannot be run on this machine is a failure.
const NO_SKIPS: &str = "RUNGD_NO_SKIPS";

/// A folder for pictures of what is shown, where a person can look at them.
const SCREENSHOTS: &str = "RUNGD_SCREENSHOTS";

/// Where screenshots go, whose names begin with `name`: to `folder`, unless another one is asked for.
#[must_use]
pub fn screenshots(folder: &Path, name: &str) -> String {
    let folder = std::env::var_os(SCREENSHOTS).map_or(folder.to_owned(), PathBuf::from);
    folder.join(name).display().to_string()
}

/// Whether the long form of a test is asked for.
#[must_use]
pub fn long_form() -> bool {
    std::env::var(FORM).is_ok_and(|form| form == "full")
}

/// Tells on the standard error, whatever becomes of the test, that it shows nothing on this machine, and why. The summary of
/// `make test` repeats it.
///
/// # Panics
/// Where nothing may be skipped.
pub fn skipped(why: &str) {
    // Not by a macro, whose output tests keep to themselves.
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
    assert!(std::env::var_os(NO_SKIPS).is_none(), "{NO_SKIPS} is set, and here {why}");
}
