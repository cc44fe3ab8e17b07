//! What is missing on a machine is a sentence, and the rest goes on.

use std::process::Command;

use tempfile::TempDir;
use test_support::rungd::binary;

use crate::{configuration, devices, printed};

/// A configuration whose workers find something in place of these libraries that is none.
fn without(libraries: &[&str], more: &str) -> (TempDir, String) {
    let hidden = tempfile::Builder::new().prefix("rungd-hidden-").tempdir().unwrap();
    for library in libraries {
        std::fs::write(hidden.path().join(library), "no library\n").unwrap();
    }
    let sections =
        format!("[worker]\nenvironment = {{ LD_LIBRARY_PATH = \"{}\" }}\n{more}", hidden.path().display());
    let (_folder, config) = configuration(&sections);
    (hidden, devices(&config, &[]))
}

fn line<'a>(table: &'a str, first: &str) -> &'a str {
    table.lines().find(|line| line.starts_with(first)).unwrap_or_else(|| panic!("no {first} in\n{table}"))
}

#[test]
fn without_a_driver_of_nvidia_the_rest_is_there() {
    let (_hidden, table) = without(&["libcuda.so", "libcuda.so.1"], "");
    line(&table, "software");
    let said = line(&table, "nvidia");
    assert_eq!(
        said,
        "nvidia: libcuda.so.1 cannot be loaded: no NVIDIA driver is installed here, or it is not visible to this process"
    );
}

#[test]
fn a_node_that_is_not_there_is_told_of() {
    let (_hidden, table) = without(&[], "[devices]\nrender_nodes = [\"/nonexistent/renderD128\"]\n");
    line(&table, "software");
    let said = line(&table, "vaapi");
    assert!(
        said.contains("there is no render node /nonexistent/renderD128: the kernel has no driver"),
        "{said}"
    );
}

#[test]
fn without_libva_the_rest_is_there() {
    let (_hidden, table) = without(&["libva.so.2"], "[devices]\nrender_nodes = [\"/dev/null\"]\n");
    line(&table, "software");
    let said = line(&table, "vaapi");
    assert!(
        said.contains("(/dev/null) cannot be used: libva is needed: libva.so.2 does not load: install libva"),
        "{said}"
    );
}

/// Without x264 no worker starts. The daemon does, and says so.
#[test]
fn a_worker_that_cannot_start_is_told_of() {
    let needed = printed(Command::new("ldd").arg(binary("rungd-worker")));
    let x264 = needed.split_whitespace().find(|word| word.starts_with("libx264.so.")).expect("it encodes");
    let (_hidden, table) = without(&[x264], "");
    assert!(table.starts_with("no device can be used\n"), "{table}");
    for engine in ["software", "nvidia", "vaapi"] {
        let said = line(&table, engine);
        assert!(said.contains(&format!("rungd-worker probe --engine={engine}")), "{said}");
        assert!(said.contains("error while loading shared libraries") && said.contains(x264), "{said}");
    }
}
