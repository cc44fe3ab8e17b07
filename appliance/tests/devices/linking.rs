//! Programs that were built on a machine without a GPU start on every machine, and those with one as well: nothing of a
//! driver is linked.

use std::path::Path;
use std::process::Command;

use test_support::asked::skipped;
use test_support::rungd::binary;

use crate::printed;

/// What drivers bring, by the beginning of their names.
const DRIVERS: [&str; 6] = ["libcuda", "libnvcuvid", "libnvidia", "libnvrtc", "libva", "libdrm"];

fn assert_none(text: &str) {
    for library in DRIVERS {
        assert!(!text.contains(library), "{library} in\n{text}");
    }
}

/// All that a program needs to start, by whichever way (ld.so(8)).
fn needed(program: &Path) -> String {
    let needed = printed(Command::new("ldd").arg(program));
    assert!(needed.contains("libc.so.6"), "{needed}");
    needed
}

#[test]
fn the_daemon_needs_neither_driver_nor_codec() {
    let needed = needed(&binary("rungd"));
    assert_none(&needed);
    for library in ["libav", "libx264"] {
        assert!(!needed.contains(library), "{needed}");
    }
}

/// FFmpeg's libraries are in the worker: those of Debian need libva, and a hundred and fifty more.
#[test]
fn the_worker_needs_no_driver_by_any_way() {
    let needed = needed(&binary("rungd-worker"));
    if needed.contains("libavcodec") {
        return skipped("the worker is linked with the system's FFmpeg; appliance/scripts/libav.sh says why");
    }
    assert_none(&needed);
    let needed: Vec<_> = needed.lines().collect();
    assert!(needed.len() < 20, "{needed:#?}");
}
