//! `rungd keys`: makes a stream key, or hashes one that someone chose.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CliError;
use crate::config::key::{MAX_KEY_BYTES, StreamKeyError};
use crate::config::{Config, Ingest, StreamKey};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<KeysCommand>,
    /// The feed that the key is for
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
    /// A configuration, for the server address in the encoder's settings
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
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
        None => {
            let config = arguments.config.as_deref().map(Config::load).transpose()?;
            let key = StreamKey::generate()?;
            settings(&key, arguments.feed.as_deref(), config.as_ref().map(|config| &config.ingest))
        }
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
fn settings(key: &StreamKey, feed: Option<&str>, ingest: Option<&Ingest>) -> String {
    let name = feed.unwrap_or("NAME");
    let (scheme, port) = match ingest {
        Some(Ingest { rtmps, .. }) if !rtmps.is_empty() => {
            ("rtmps", rtmps.first().map(|address| address.port()))
        }
        Some(Ingest { rtmp, .. }) if !rtmp.is_empty() => ("rtmp", rtmp.first().map(|address| address.port())),
        _ => ("rtmps", None),
    };
    let application = ingest.map_or("live", |ingest| ingest.application.as_str());
    format!(
        "Stream key, shown this once:\n\n    {}\n\n\
         In the configuration, in [feed.{name}]:\n\n    keys = [\"{}\"]\n\n\
         In OBS, under Settings, Stream:\n\n    \
         Service     Custom…\n    \
         Server      {scheme}://HOST:{}/{application}\n    \
         Stream Key  the key above\n\n\
         HOST is the name that this machine's certificate is for. Then: systemctl reload rungd\n",
        key.reveal(),
        key.hash(),
        port.unwrap_or(1936),
    )
}
