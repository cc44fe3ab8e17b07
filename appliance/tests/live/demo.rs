//! The script of `make demo` with another configuration than its own.

use std::process::Command;

use sha2::{Digest, Sha256};
use test_support::rungd::binary;

/// The key that the script publishes with.
const KEY: &str = "demo-key-not-secret";

#[test]
fn the_demo_plays_another_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let hash = Sha256::new().chain_update(b"rungd stream key v1\0").chain_update(KEY).finalize();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let config = folder.path().join("other.toml");
    let text = format!(
        "state_dir = \"state\"\n[ingest]\nrtmp = [\"127.0.0.1:0\"]\nrtmps = []\napplication = \"studio\"\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n[ladder.small]\npreset = \"ultrafast\"\n\
         rungs = [{{ name = \"90p\", size = \"160x90\", bit_rate = \"60k\" }}]\n\
         [feed.demo]\nkeys = [\"sha256:{hash}\"]\nladder = \"small\"\nlatency = \"low\"\nsegment = \"2s\"\n"
    );
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/demo.sh");
    let output = Command::new("bash")
        .arg(script)
        .env("DEMO_PROGRAM", binary("rungd"))
        .env("DEMO_FOLDER", folder.path().join("demo"))
        .env("DEMO_CONFIG", &config)
        .env("DEMO_SECONDS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("It plays."), "{said}");
    let server = said.lines().find(|line| line.trim_start().starts_with("Server ")).unwrap();
    assert!(server.contains("rtmp://127.0.0.1:") && server.ends_with("/studio"), "{said}");
}
