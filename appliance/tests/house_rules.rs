//! House rules that a machine can hold: the shape of files, the changelog, links in documents, licences.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A Rust file is rarely over 600 lines, and never over this.
const MAX_RUST_LINES: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Files of the repository by extension, what is built or fetched excepted.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !["target", "node_modules", ".git"].contains(&name) {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no *.{extension} was found below {}", root().display());
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn modules_are_named_files_of_bounded_length() {
    let mut faults = Vec::new();
    for path in files("rs") {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["mod", "utils", "util", "common", "helpers", "manager", "misc"].contains(&stem) {
            faults.push(format!("{}: call a module by what it is about", shown(&path)));
        }
        let lines = read(&path).lines().count();
        // What bindgen writes is nobody's reading matter.
        if lines > MAX_RUST_LINES && !stem.starts_with("bindings") {
            faults.push(format!("{}: {lines} lines, at most {MAX_RUST_LINES}", shown(&path)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A test waits for a condition with a deadline, or lets something last; both are in `test_support::wait`.
#[test]
fn no_test_sleeps_for_luck() {
    let mut faults = Vec::new();
    for path in files("rs") {
        let name = shown(&path);
        let tests = name.contains("/tests/") || name.ends_with("tests.rs");
        let lines = read(&path);
        let inner = lines.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
        for (at, line) in lines.lines().enumerate().filter(|(at, _)| tests || *at > inner) {
            // Its own words are in quotes.
            if line.contains("sleep(") && !line.contains("\"sleep(") {
                faults.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "use test_support::wait:\n{}", faults.join("\n"));
}

#[test]
fn the_top_level_holds_what_the_architecture_lists() {
    let allowed: BTreeSet<&str> = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "appliance",
        "benches",
        "clippy.toml",
        "deny.toml",
        "firmware-config",
        "gpu",
        "hwtests",
        "rustfmt.toml",
        "systemd",
        "target",
        "vaapi",
    ]
    .into();
    let strangers: Vec<_> = std::fs::read_dir(root())
        .expect("the root is readable")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && !allowed.contains(name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "nothing else stands at the top: {strangers:?}");
}

#[test]
fn the_changelog_keeps_its_form() {
    let text = read(&root().join("CHANGELOG.md"));
    let mut faults = Vec::new();
    let (mut versions, mut section) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(heading) = line.strip_prefix("## ") {
            let released = |h: &str| {
                let mut parts = h.splitn(2, " - ");
                let version =
                    parts.next().is_some_and(|v| v.starts_with('[') && v.ends_with(']') && v.contains('.'));
                let date = parts.next().is_some_and(|d| d.len() == 10 && d.split('-').count() == 3);
                version && date
            };
            if heading != "[Unreleased]" && !released(heading) {
                faults.push(format!(
                    "line {number}: \"## [x.y.z] - yyyy-mm-dd\" or \"## [Unreleased]\", not \"{line}\""
                ));
            }
            versions.push(heading.to_owned());
            section = None;
        } else if let Some(heading) = line.strip_prefix("### ") {
            if !["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"].contains(&heading) {
                faults.push(format!("line {number}: \"{heading}\" is not a kind of change"));
            }
            section = Some(heading.to_owned());
        } else if line.starts_with("- ") && section.is_none() {
            faults.push(format!("line {number}: an entry outside a kind of change"));
        }
    }
    if versions.first().map(String::as_str) != Some("[Unreleased]") {
        faults.push("the first version is [Unreleased]".into());
    }
    let current = format!("[{}]", env!("CARGO_PKG_VERSION"));
    let released = versions.len() > 1;
    if released && !versions.iter().any(|v| v.starts_with(&current)) {
        faults.push(format!("version {current} of Cargo.toml has no heading"));
    }
    assert!(faults.is_empty(), "CHANGELOG.md:\n{}", faults.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for path in files("md") {
        let text = read(&path);
        let mut in_code = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap_or_default();
                if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                    continue;
                }
                let folder = path.parent().expect("a file lies in a folder");
                if !folder.join(file).exists() {
                    faults.push(format!("{}:{}: {file} is not there", shown(&path), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_readme_names_the_two_commands_and_they_are_there() {
    let readme = read(&root().join("README.md"));
    let makefile = read(&root().join("Makefile"));
    for target in ["demo", "test", "bench-main"] {
        assert!(readme.contains(&format!("make {target}")), "README.md does not mention make {target}");
        assert!(makefile.lines().any(|l| l.starts_with(&format!("{target}:"))), "Makefile has no {target}");
    }
    // What the README says of CI and what CI does must not drift apart.
    let ci = read(&root().join(".ci/run"));
    let commands: Vec<_> = ci.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()).collect();
    assert_eq!(commands, ["set -eu", "cd \"$(dirname \"$0\")/..\"", "exec make test"]);
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// What cargo-deny holds under `bans` and `sources`, where it is not installed. Of several versions of a crate it only
/// warns.
#[test]
fn dependencies_are_from_the_registry_and_none_is_banned() {
    let deny: toml::Table = read(&root().join("deny.toml")).parse().expect("deny.toml is TOML");
    let banned: BTreeSet<&str> = deny["bans"]["deny"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|ban| ban["crate"].as_str())
        .collect();
    assert!(banned.contains("openssl-sys"), "{banned:?}");
    assert_eq!(deny["bans"]["wildcards"].as_str(), Some("deny"));
    for unknown in ["unknown-registry", "unknown-git"] {
        assert_eq!(deny["sources"][unknown].as_str(), Some("deny"), "{unknown}");
    }
    let lock: toml::Table = read(&root().join("Cargo.lock")).parse().expect("Cargo.lock is TOML");
    let mut faults = Vec::new();
    for package in lock["package"].as_array().expect("a list") {
        let name = package["name"].as_str().expect("a name");
        if banned.contains(name) {
            faults.push(format!("{name} is banned"));
        }
        // Packages of the workspace have no source.
        let source = package.get("source").and_then(|source| source.as_str());
        if let Some(source) = source.filter(|s| *s != "registry+https://github.com/rust-lang/crates.io-index")
        {
            faults.push(format!("{name} is from {source}"));
        }
    }
    let metadata = metadata();
    let ours = metadata["packages"].as_array().expect("a list").iter().filter(|p| p["source"].is_null());
    for package in ours {
        for dependency in package["dependencies"].as_array().expect("a list") {
            if dependency["req"] == "*" && dependency["path"].is_null() {
                faults.push(format!("{} takes any version of {}", package["name"], dependency["name"]));
            }
        }
    }
    assert!(faults.is_empty(), "dependencies against deny.toml:\n{}", faults.join("\n"));
}

/// Names as the code registers them: the only strings of this form outside tests.
#[test]
fn every_metric_is_documented() {
    let names = |text: &str, quote: char| -> BTreeSet<String> {
        let is_name = |word: &&str| {
            word.strip_prefix("rungd_").is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            })
        };
        text.split(quote).filter(is_name).map(str::to_owned).collect()
    };
    let sources = files("rs").into_iter().filter(|path| path.starts_with(root().join("appliance/src")));
    let in_code: BTreeSet<String> = sources
        .filter(|path| !path.ends_with("tests.rs"))
        .flat_map(|path| names(read(&path).split("#[cfg(test)]").next().unwrap_or_default(), '"'))
        .collect();
    assert!(in_code.len() > 50, "{in_code:#?}");
    let documented = names(&read(&root().join("appliance/docs/metrics.md")), '`');
    let missing: Vec<_> = in_code.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&in_code).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not in docs/metrics.md: {missing:?}; only there: {gone:?}"
    );
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let deny: toml::Table = read(&root().join("deny.toml")).parse().expect("deny.toml is TOML");
    let allowed: BTreeSet<&str> =
        deny["licenses"]["allow"].as_array().expect("a list").iter().filter_map(|l| l.as_str()).collect();
    let metadata = metadata();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().expect("a list") {
        let licence = package["license"].as_str().unwrap_or("none");
        if !permits(&licence.replace('/', " OR "), &allowed) {
            faults.push(format!("{} {}: {licence}", package["name"], package["version"]));
        }
    }
    assert!(faults.is_empty(), "licences that deny.toml does not allow:\n{}", faults.join("\n"));
}

/// Whether an SPDX expression can be met with allowed licences alone. `OR` binds weaker than `AND`, `AND` weaker than
/// `WITH` (SPDX 2.3, annex D.4); parentheses nest.
fn permits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let split = |separator: &str| -> Vec<String> {
        let (mut parts, mut depth, mut current) = (Vec::new(), 0_i32, String::new());
        for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
            depth += match word {
                "(" => 1,
                ")" => -1,
                _ => 0,
            };
            if depth == 0 && word == separator {
                parts.push(std::mem::take(&mut current));
            } else {
                current.push_str(if current.is_empty() { "" } else { " " });
                current.push_str(word);
            }
        }
        parts.push(current);
        parts
    };
    let alternatives = split("OR");
    if alternatives.len() > 1 {
        return alternatives.iter().any(|part| permits(part, allowed));
    }
    let together = split("AND");
    if together.len() > 1 {
        return together.iter().all(|part| permits(part, allowed));
    }
    let alone = expression.trim();
    match alone.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => permits(inner, allowed),
        None => allowed.contains(alone),
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_has_them() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for good in
        ["MIT", "GPL-2.0 OR MIT", "MIT AND ISC", "(GPL-2.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in ["GPL-2.0", "MIT AND GPL-2.0", "(MIT OR ISC) AND GPL-2.0", "none"] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}
