//! Programs that were built on a machine without a GPU start on every machine, and those with one as well: nothing of a
//! driver is linked.

use std::path::Path;
use std::process::Command;

use test_support::rungd::binary;

use crate::printed;

/// What drivers bring, by the beginning of their names.
const DRIVERS: [&str; 6] = ["libcuda", "libnvcuvid", "libnvidia", "libnvrtc", "libva", "libdrm"];

fn assert_none(text: &str) {
    for library in DRIVERS {
        assert!(!text.contains(library), "{library} in\n{text}");
    }
}

/// The libraries that a program itself asks for (`DT_NEEDED`, elf(5)).
fn needed(program: &Path) -> String {
    let dynamic = printed(Command::new("readelf").args(["--dynamic", "--wide"]).arg(program));
    let needed: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.iter().any(|line| line.contains("libc.so.6")), "{dynamic}");
    needed.join("\n")
}

#[test]
fn no_library_of_a_driver_is_linked() {
    assert_none(&needed(&binary("rungd")));
    assert_none(&needed(&binary("rungd-worker")));
}

/// What its libraries ask for in turn; of the worker, Debian's libavutil asks for libva.
#[test]
fn the_daemon_needs_no_driver_by_any_way() {
    let all = printed(Command::new("ldd").arg(binary("rungd")));
    assert!(all.contains("libc.so.6"), "{all}");
    assert_none(&all);
    for library in ["libav", "libx264"] {
        assert!(!all.contains(library), "{all}");
    }
}
