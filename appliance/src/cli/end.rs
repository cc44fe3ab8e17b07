//! `rungd end`: ends the programme of a feed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::{Request, StatusCode, header};
use serde::Deserialize;

use super::CliError;
use super::status::{self, StatusError};
use crate::config::AdminToken;
use crate::config::file::{self, DEFAULT_PATH};
use crate::config::runtime::RuntimeFileError;

/// Longest time for the whole request: the daemon puts out what is left first.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The feed whose programme is to end
    #[arg(value_name = "FEED")]
    feed: String,
    /// The configuration that the appliance runs with, which says where its state is
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Why a programme was not ended.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The running daemon could not be asked.
    #[error(transparent)]
    Ask(#[from] StatusError),
    /// The daemon's token cannot be read.
    #[error("only the user whom rungd runs as, and root, may end a programme")]
    Token(#[source] RuntimeFileError),
    /// The daemon says no.
    #[error("rungd says: {0}")]
    Refused(String),
    /// The feed's name could not stand in a request.
    #[error("\"{0}\" cannot be the name of a feed")]
    Name(String),
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    presentation: Option<String>,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    error: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let feed = &arguments.feed;
    if crate::store::FeedName::new(feed).is_err() {
        return Err(EndError::Name(feed.clone()).into());
    }
    let state_dir = file::state_dir(&arguments.config)?;
    let daemon = status::running(&state_dir)?;
    let token = AdminToken::read(&state_dir).map_err(EndError::Token)?;
    let authority = status::reachable(&daemon)?.to_string();
    let request = Request::post(format!("/api/v1/feeds/{feed}/end"))
        .header(header::AUTHORIZATION, token.authorization());
    let (status, body) = status::ask(&authority, request, TIMEOUT)?;
    let content = |source| StatusError::Content { address: authority.clone(), source };
    let answer: Answer = serde_json::from_slice(&body).map_err(content)?;
    let text = said(feed, status, answer)?;
    io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

/// The daemon's answer in words.
fn said(feed: &str, status: StatusCode, answer: Answer) -> Result<String, EndError> {
    match (status, answer.presentation) {
        (StatusCode::OK, Some(id)) if answer.archived => {
            Ok(format!("the programme of {feed} has ended: /replay/{feed}/{id}/manifest.mpd\n"))
        }
        (StatusCode::OK, Some(_)) => {
            Ok(format!("the programme of {feed} has ended; there is no recording of it\n"))
        }
        (StatusCode::OK, None) => {
            Ok(format!("the programme of {feed} has ended before anybody could see it\n"))
        }
        (StatusCode::ACCEPTED, _) => Ok(format!("the programme of {feed} is ending\n")),
        _ => Err(EndError::Refused(answer.error.unwrap_or_else(|| status.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_where_there_is_one() {
        let said =
            |answer: &str| said("studio-a", StatusCode::OK, serde_json::from_str(answer).unwrap()).unwrap();
        let kept =
            said(r#"{"feed":"studio-a","presentation":"20261121T031500.000Z","ended":true,"archived":true}"#);
        assert!(kept.contains(" /replay/studio-a/20261121T031500.000Z/manifest.mpd"), "{kept}");
        let gone = said(
            r#"{"feed":"studio-a","presentation":"20261121T031500.000Z","ended":true,"archived":false}"#,
        );
        assert!(gone.contains("no recording") && !gone.contains("/replay/"), "{gone}");
    }
}
