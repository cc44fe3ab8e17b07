//! The annotated sample is the reference: it parses as it stands, what it shows as defaults are the defaults, its
//! examples are right, and it has every key that the parser knows, and no other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use appliance::config::{Config, ConfigFaults};

const SAMPLE: &str = include_str!("../config/rungd.toml");

/// A commented line that shows a default, or an example of what has none: see the sample's head.
fn default_line(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', ':', '#']) && !rest.is_empty())
}

fn example_line(line: &str) -> Option<&str> {
    line.strip_prefix("#:")
}

/// The sample with its examples, and with its defaults, in force.
fn uncommented(examples: bool, defaults: bool) -> String {
    let active = SAMPLE.lines().map(|line| match (default_line(line), example_line(line)) {
        (Some(default), _) if defaults => default,
        (_, Some(example)) if examples => example,
        _ => line,
    });
    let lines: Vec<&str> = active.collect();
    // Where a default and an example stand for one key, the example is what counts: TOML has a key only once.
    let key = |line: &str| line.split_once(" = ").map_or(String::new(), |(key, _)| key.to_owned());
    let doubled = |at: &usize| {
        let next = lines.get(at + 1).map_or(String::new(), |next| key(next));
        !next.is_empty() && !next.starts_with(['#', '{']) && next == key(lines[*at])
    };
    let kept: Vec<&str> = (0..lines.len()).filter(|at| !doubled(at)).map(|at| lines[at]).collect();
    kept.join("\n")
}

/// Loads `text` in a folder that has what it points to.
fn load(text: &str, folder: &Path) -> Result<Config, ConfigFaults> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("fullchain.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("privkey.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("rungd-worker"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(folder.join("rungd-worker"), PermissionsExt::from_mode(0o755)).unwrap();
    let here = folder.display().to_string();
    let mut text = text
        .replace("/etc/rungd/tls", &here)
        .replace("/etc/rungd/slate.png", &format!("{here}/slate.png"))
        .replace("/usr/lib/rungd/rungd-worker", &format!("{here}/rungd-worker"));
    if !text.contains("\nprogram = ") {
        text = text.replace("[worker]\n", "[worker]\nprogram = \"rungd-worker\"\n");
    }
    // The default would only do where the test's user may write there.
    std::fs::create_dir_all(folder.join("conf.d")).unwrap();
    std::fs::write(folder.join("conf.d/state.toml"), "state_dir = \"../state\"\n").unwrap();
    std::fs::write(folder.join("slate.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let file = folder.join("rungd.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file)
}

#[test]
fn the_sample_as_installed_is_the_same_as_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let sample = load(SAMPLE, folder.path()).unwrap();
    let empty = load("[worker]\n", folder.path()).unwrap();
    assert_eq!(sample, empty);
}

#[test]
fn the_defaults_shown_are_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let examples = load(&uncommented(true, false), folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let everything = load(&uncommented(true, true), folder.path()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(examples, everything);
    assert_eq!(examples.feeds.len(), 1);
    assert_eq!(examples.feeds[0].ladder.rungs.len(), 4);
    assert_eq!(examples.ingest.rtmps.len(), 1);
    assert_eq!(examples.feeds[0].backup_key_hashes.len(), 1);
    assert_eq!(examples.feeds[0].slate, Some(folder.path().join("slate.png")));
    assert_eq!(examples.warnings, []);
}

#[test]
fn every_key_that_the_parser_knows_is_in_the_sample() {
    // A misspelt key in each table makes the parser list the keys that it knows there.
    let folder = tempfile::tempdir().unwrap();
    let probe = "x1 = 1\n[log]\nx1 = 1\n[ingest]\nx1 = 1\n[ingest.limits]\nx1 = 1\n[ingest.limits.actions]\nx1 = 1\n[http]\nx1 = 1\n[worker]\nx1 = 1\n[devices]\nx1 = 1\n\
                 [archive]\nx1 = 1\n[feed.probe]\nx1 = 1\n[ladder.probe]\nx1 = 1\n[[ladder.probe.rungs]]\nx1 = 1\n";
    let faults = load(probe, folder.path()).unwrap_err().faults;
    let known: Vec<(String, BTreeSet<String>)> = faults
        .iter()
        .filter_map(|fault| {
            let (_, keys) = fault.rule.split_once("known here: ")?;
            Some((fault.key.replace("x1", ""), keys.split(", ").map(str::to_owned).collect()))
        })
        .collect();
    assert_eq!(known.len(), 12, "a table is missing in the probe or does not refuse unknown keys: {known:?}");

    let sample: toml::Table = uncommented(true, true).parse().unwrap();
    for (table, known) in known {
        let mut at = &toml::Value::Table(sample.clone());
        for part in table.trim_end_matches('.').split('.').filter(|part| !part.is_empty()) {
            at = match part {
                "probe" => at.as_table().unwrap().values().next().unwrap(),
                "rungs[0]" => &at.as_table().unwrap()["rungs"],
                part => &at.as_table().unwrap()[part],
            };
        }
        let shown: BTreeSet<String> = match at {
            toml::Value::Array(items) => {
                items.iter().flat_map(|item| item.as_table().unwrap().keys().cloned()).collect()
            }
            at => at.as_table().unwrap().keys().cloned().collect(),
        };
        assert_eq!(shown, known, "in [{table}]");
    }
}

#[test]
fn every_key_in_the_sample_says_why() {
    let mut described = false;
    let mut keys = 0;
    for line in SAMPLE.lines() {
        let shown = default_line(line).or(example_line(line));
        match shown.and_then(|line| line.split_once(" = ")) {
            Some((key, _)) if !key.starts_with('{') => {
                keys += 1;
                assert!(described, "nothing above `{line}` says what it is for");
            }
            _ => described = if line.is_empty() { false } else { described || line.starts_with("# ") },
        }
    }
    assert!(keys > 40, "only {keys} keys were found");
}
