//! Taking over a changed file while running: all of it or, with any fault, nothing.

use std::path::Path;

use super::fault::ConfigFaults;
use super::file::ArchiveFolder;
use super::{Config, Feed};

/// What differs between the running configuration and a new one, and when it comes into force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Feeds that are new; they can be published to at once.
    pub feeds_added: Vec<String>,
    /// Feeds that are gone; who publishes there is closed.
    pub feeds_removed: Vec<String>,
    /// Feeds of which something differs.
    pub feeds_changed: Vec<FeedChange>,
    /// Keys that come into force when the daemon is started again, as `http.listen`.
    pub restart: Vec<&'static str>,
}

/// What differs in one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedChange {
    /// Its name.
    pub name: String,
    /// Whether the keys or backup keys do: they count from the next publish on, and a publisher on air stays.
    pub keys: bool,
    /// Whether who takes the air from whom does (takeover, backup return): from the next publish on.
    pub precedence: bool,
    /// Whether its title does.
    pub title: bool,
    /// Whether what a presentation is made with does (ladder, rates, segment, chunk, window, memory, latency, grace,
    /// slate): from its next presentation on.
    pub presentation: bool,
}

impl ConfigChange {
    /// The difference from `old` to `new`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let names = |among: &Config, missing_in: &Config| -> Vec<String> {
            let absent = |feed: &&Feed| !missing_in.feeds.iter().any(|other| other.name == feed.name);
            among.feeds.iter().filter(absent).map(|feed| feed.name.clone()).collect()
        };
        let pairs = new
            .feeds
            .iter()
            .filter_map(|feed| Some((old.feeds.iter().find(|old| old.name == feed.name)?, feed)));
        let differing = |pairs: &[(&'static str, bool)]| {
            pairs.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
        };
        let (was, is) = (&old.ingest, &new.ingest);
        Self {
            feeds_added: names(new, old),
            feeds_removed: names(old, new),
            feeds_changed: pairs.filter_map(|(old, new)| FeedChange::between(old, new)).collect(),
            restart: differing(&[
                ("ingest.handshake_timeout", was.handshake_timeout != is.handshake_timeout),
                ("ingest.publish_timeout", was.publish_timeout != is.publish_timeout),
                ("ingest.idle_timeout", was.idle_timeout != is.idle_timeout),
                ("ingest.refusals_per_minute", was.refusals_per_minute != is.refusals_per_minute),
                ("ingest.limits", was.limits != is.limits),
                ("worker", old.worker != new.worker),
                ("devices", old.devices != new.devices),
                ("archive", old.archive != new.archive),
                ("state_dir", old.state_dir != new.state_dir),
                ("log", old.log != new.log),
                ("ingest.rtmp", was.rtmp != is.rtmp),
                ("ingest.rtmps", was.rtmps != is.rtmps),
                ("ingest.tls_certificate", was.tls != is.tls),
                ("ingest.application", was.application != is.application),
                ("ingest.max_connections", was.max_connections != is.max_connections),
                ("http", old.http != new.http),
            ]),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FeedChange {
    fn between(old: &Feed, new: &Feed) -> Option<Self> {
        let change = Self {
            name: new.name.clone(),
            keys: old.key_hashes != new.key_hashes || old.backup_key_hashes != new.backup_key_hashes,
            precedence: old.takeover != new.takeover || old.backup_return != new.backup_return,
            title: old.title != new.title,
            presentation: old.ladder != new.ladder
                || old.frame_rate != new.frame_rate
                || old.segment_duration != new.segment_duration
                || old.chunk_duration != new.chunk_duration
                || old.window != new.window
                || old.memory != new.memory
                || old.latency != new.latency
                || old.target_latency != new.target_latency
                || old.grace != new.grace
                || old.slate != new.slate
                || old.device != new.device,
        };
        (change.keys || change.precedence || change.title || change.presentation).then_some(change)
    }
}

/// Reads the configuration at `path` again and says what differs from `running`. Blocks on the disk.
///
/// The archive that is in use already is not tried again: while its disk is at fault, live goes on, and feeds can come
/// and go.
///
/// # Errors
/// All that is wrong, at once; then `running` is to stay in force untouched.
pub fn reload(path: &Path, running: &Config) -> Result<(Config, ConfigChange), ConfigFaults> {
    let config = Config::load_over(path, &ArchiveFolder::InUseBy(running))?;
    let change = ConfigChange::between(running, &config);
    Ok((config, change))
}
