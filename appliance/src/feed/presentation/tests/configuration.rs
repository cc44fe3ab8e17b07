//! The feed that is tested, as a configuration file says it.

use std::sync::OnceLock;

use crate::config;

/// What a configuration file makes of a feed with three rungs, one of them at half the rate.
const CONFIGURATION: &str = r#"
state_dir = "state"

[worker]
program = "/bin/true"

[ingest]
rtmp = ["127.0.0.1:0"]
rtmps = []

[feed.studio-a]
keys = ["sha256:e38e0619bdb707887ef0edcfd6d698192d6cbb11cf24175198d757ed2efc044b"]
grace = "0s"
ladder = [
    { name = "1080p", size = "1920x1080", bit_rate = "5M" },
    { name = "720p", size = "1280x720", bit_rate = "3M" },
    { name = "360p", size = "640x360", bit_rate = "1M", frame_rate = "half" },
]
"#;

fn configuration() -> &'static config::Config {
    static READ: OnceLock<config::Config> = OnceLock::new();
    READ.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rungd.toml");
        std::fs::write(&path, CONFIGURATION).unwrap();
        config::Config::load(&path).unwrap()
    })
}

pub(super) fn limits() -> config::SourceLimits {
    configuration().ingest.limits.clone()
}

pub(super) fn feed() -> config::Feed {
    configuration().feeds[0].clone()
}
