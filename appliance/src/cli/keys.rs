//! `rungd keys`: makes a stream key, or hashes one that someone chose.

use std::io::{self, Read, Write};

use clap::{Args, Subcommand};

use super::CliError;
use crate::config::StreamKey;
use crate::config::key::{MAX_KEY_BYTES, StreamKeyError};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<KeysCommand>,
    /// The feed that the key is for
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Hash the key that standard input gives (never the command line, which other users can see)
    Hash {
        /// The feed that the key is for: a key equal to its name is refused
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let text = match arguments.command {
        Some(KeysCommand::Hash { feed }) => format!("{}\n", chosen(feed.as_deref())?.hash()),
        None => settings(&StreamKey::generate()?, arguments.feed.as_deref()),
    };
    io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

/// The key on standard input, without the line's end that a terminal or `echo` puts behind it.
fn chosen(feed: Option<&str>) -> Result<StreamKey, CliError> {
    let bound = u64::try_from(MAX_KEY_BYTES).unwrap_or(u64::MAX).saturating_add(3);
    let mut bytes = Vec::new();
    io::stdin().take(bound).read_to_end(&mut bytes).map_err(CliError::Stream)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| StreamKeyError::Character { at: error.utf8_error().valid_up_to() })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(StreamKey::parse(line.strip_suffix('\r').unwrap_or(line), feed)?)
}

/// What the operator needs to let an encoder in: the only time the key is shown.
fn settings(key: &StreamKey, feed: Option<&str>) -> String {
    let name = feed.unwrap_or("NAME");
    format!(
        "Stream key, shown this once:\n\n    {}\n\n\
         In the configuration, in [feed.{name}]:\n\n    keys = [\"{}\"]\n\n\
         Then: systemctl reload rungd\n\n\
         In OBS, under Settings, Stream (HOST is the name that the certificate of [ingest] is for):\n\n    \
         Service     Custom…\n    \
         Server      rtmps://HOST:1936/live\n    \
         Stream Key  the key above\n",
        key.reveal(),
        key.hash(),
    )
}
