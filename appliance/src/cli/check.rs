//! `rungd check-config`: all that is wrong, or what it would run, with warnings of what is probably not meant so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use media::ladder::RungRate;

use super::CliError;
use crate::config::fault::listed;
use crate::config::quantity::written;
use crate::config::{Archive, BackupReturn, Config, Feed, Latency, Takeover};

pub(super) fn run(path: &Path) -> Result<(), CliError> {
    let config = Config::load(path)?;
    if !config.warnings.is_empty() {
        eprintln!("rungd: {}", listed("warning", &config.warnings));
    }
    let text = summary(path, &config);
    std::io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

fn summary(path: &Path, config: &Config) -> String {
    let mut out = format!("{}: no faults\n", path.display());
    let mut line = |what: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {what:<9}{value}");
    };
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    line("rtmps", &addresses(&config.ingest.rtmps));
    line("rtmp", &addresses(&config.ingest.rtmp));
    line(scheme, &addresses(&config.http.listen));
    line("worker", &config.worker.program.display().to_string());
    line("state", &config.state_dir.display().to_string());
    line("archive", &archive(&config.archive));
    let memory: u64 = config.feeds.iter().map(window_bytes).sum();
    line("memory", &format!("up to {} MB for the live windows of all feeds", memory.div_ceil(1_000_000)));
    if config.feeds.is_empty() {
        line("feeds", "none: add [feed.NAME]");
    }
    for feed in &config.feeds {
        line("feed", &describe(feed));
        for rung in &feed.ladder.rungs {
            let half = if rung.rate == RungRate::Half { ", half the frames" } else { "" };
            let tune = rung.tune.as_ref().map_or(String::new(), |tune| format!(" {tune}"));
            let rate = |bits: u32| format!("{} kbit/s", bits / 1000);
            let (mean, max) = (rate(rung.bit_rate), rate(rung.max_bit_rate));
            let name = &rung.name;
            let encoder = format!("{}{tune}, {}", rung.preset, rung.profile);
            line(
                "",
                &format!("{name:<10} {:<10} {mean}, at most {max}; {encoder}{half}", rung.size.to_string()),
            );
        }
    }
    out
}

fn describe(feed: &Feed) -> String {
    let keys = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let own = keys(feed.key_hashes.len(), "key");
    let backup = match (feed.backup_key_hashes.len(), feed.backup_return) {
        (0, _) => String::new(),
        (count, BackupReturn::AtOnce) => format!(" and {}", keys(count, "backup key")),
        (count, BackupReturn::WhenBackupEnds) => {
            format!(" and {} that keeps the air until it ends", keys(count, "backup key"))
        }
    };
    let takeover = if feed.takeover == Takeover::Never { ", no takeover" } else { "" };
    let latency = match feed.latency {
        Latency::Low => format!(", low latency of {}", written(feed.target_latency)),
        Latency::Standard => String::new(),
    };
    let rate =
        feed.frame_rate.map_or("the source's frame rate".to_owned(), |rate| format!("{rate} frames/s"));
    format!(
        "{} ({}): {own}{backup}{takeover}, {rate}, segments of {} in chunks of {}{latency}, window {} of which {} in \
         memory, slate for {}",
        feed.name,
        feed.title,
        written(feed.segment_duration),
        written(feed.chunk_duration),
        written(feed.window),
        written(feed.memory),
        written(feed.grace)
    )
}

/// What of a feed's live window is kept in memory, at most: every rung at its highest rate, and sound at 320 kbit/s.
fn window_bytes(feed: &Feed) -> u64 {
    let video: u64 = feed.ladder.rungs.iter().map(|rung| u64::from(rung.max_bit_rate)).sum();
    (video + 320_000) / 8 * feed.memory.as_secs()
}

fn archive(archive: &Archive) -> String {
    if !archive.enabled {
        return "off: no replay".to_owned();
    }
    let age = archive.max_age.map_or("for ever".to_owned(), |age| format!("for {}", written(age)));
    let bytes =
        archive.max_bytes.map_or("without bound".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
    format!("kept {age}, at most {bytes}").replace("at most without", "without")
}

fn addresses(list: &[SocketAddr]) -> String {
    match list.is_empty() {
        true => "off".to_owned(),
        false => list.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "),
    }
}
