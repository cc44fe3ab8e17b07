//! `rungd status`: asks the running daemon for its feeds and shows them as a table.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;

use super::CliError;
use crate::clock;
use crate::config::RuntimeFile;
use crate::config::file::{self, DEFAULT_PATH};
use crate::config::runtime::RuntimeFileError;

const FEEDS_PATH: &str = "/api/v1/feeds";
/// Longest time for the whole question: the daemon answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer: 64 feeds with 16 rungs are under 500 kB.
const MAX_ANSWER_BYTES: usize = 8 << 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration that the appliance runs with, which says where its state is
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Ask here, as http://127.0.0.1:8080, whatever the configuration says
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
    /// Print the answer as the appliance gives it
    #[arg(long)]
    json: bool,
}

/// Why the running daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No daemon says that it runs.
    #[error("rungd is not running: there is no {}", path.display())]
    NotRunning {
        /// Where it would say so.
        path: PathBuf,
    },
    /// What the daemon says of itself cannot be read.
    #[error("cannot tell where rungd is to be reached")]
    RuntimeFile(#[source] RuntimeFileError),
    /// The daemon speaks HTTPS only, to which this command is no client.
    #[error(
        "rungd serves HTTPS only, and this command speaks plain HTTP: ask https://{address}{FEEDS_PATH} with curl"
    )]
    Https {
        /// Where.
        address: String,
    },
    /// The address given is none.
    #[error("\"{url}\" is not an address such as http://127.0.0.1:8080")]
    Url {
        /// As given.
        url: String,
    },
    /// Nobody listens there.
    #[error("rungd is not running, or cannot be reached at {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// What answered does not speak HTTP, or stopped in the middle.
    #[error("no answer in HTTP from {address}")]
    Http {
        /// Where.
        address: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer broke off or is over the bound.
    #[error("the answer from {address} broke off or is over {MAX_ANSWER_BYTES} bytes")]
    Body {
        /// Where.
        address: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody listens and does not answer.
    #[error("no answer from {address} within {within:?}")]
    Timeout {
        /// Where.
        address: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// An answer, but not the one asked for.
    #[error("{address} answered {status} to {FEEDS_PATH}")]
    Refused {
        /// Where.
        address: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// An answer, but not from an appliance.
    #[error("{address} did not answer with a list of feeds")]
    Content {
        /// Where.
        address: String,
        /// Why.
        source: serde_json::Error,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let (authority, daemon) = match &arguments.url {
        Some(url) => (authority_of(url)?, None),
        None => {
            let daemon = running(&file::state_dir(&arguments.config)?)?;
            (reachable(&daemon)?.to_string(), Some(daemon))
        }
    };
    let (status, answer) = ask(&authority, Request::get(FEEDS_PATH), TIMEOUT)?;
    if status != StatusCode::OK {
        return Err(StatusError::Refused { address: authority, status }.into());
    }
    let content = |source| StatusError::Content { address: authority.clone(), source };
    let text = if arguments.json {
        let answer: Value = serde_json::from_slice(&answer).map_err(content)?;
        format!("{answer:#}\n")
    } else {
        let feeds: Feeds = serde_json::from_slice(&answer).map_err(content)?;
        let mut text = daemon.map_or(String::new(), |daemon| introduce(&daemon, clock::unix_millis()));
        text.push_str(&table(feeds.list(), io::stdout().is_terminal()));
        text
    };
    io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

pub(super) fn running(state_dir: &Path) -> Result<RuntimeFile, StatusError> {
    RuntimeFile::read(state_dir).map_err(|error| match error {
        RuntimeFileError::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
            StatusError::NotRunning { path }
        }
        error => StatusError::RuntimeFile(error),
    })
}

/// The first address of a daemon, as this machine reaches it.
pub(super) fn reachable(daemon: &RuntimeFile) -> Result<SocketAddr, StatusError> {
    let Some(mut address) = daemon.http.first().copied() else {
        return Err(StatusError::Url { url: String::new() });
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => IpAddr::V4(Ipv4Addr::LOCALHOST),
            false => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    match daemon.http_tls {
        true => Err(StatusError::Https { address: address.to_string() }),
        false => Ok(address),
    }
}

/// Host and port of a URL that the operator gave.
fn authority_of(url: &str) -> Result<String, StatusError> {
    let invalid = || StatusError::Url { url: url.to_owned() };
    let parsed: Uri = url.parse().map_err(|_| invalid())?;
    let authority = parsed.authority().map(Authority::as_str).ok_or_else(invalid)?;
    match parsed.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Err(StatusError::Https { address: authority.to_owned() }),
        Some(scheme) if *scheme == Scheme::HTTP && parsed.port().is_none() => Ok(format!("{authority}:80")),
        _ if parsed.port().is_some() => Ok(authority.to_owned()),
        _ => Err(invalid()),
    }
}

/// The answer to one request, if it comes within that time.
pub(super) fn ask(
    authority: &str,
    request: hyper::http::request::Builder,
    within: Duration,
) -> Result<(StatusCode, Bytes), CliError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let answer = runtime.block_on(async {
        match tokio::time::timeout(within, converse(authority, request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(StatusError::Timeout { address: authority.to_owned(), within }),
        }
    });
    Ok(answer?)
}

async fn converse(
    authority: &str,
    request: hyper::http::request::Builder,
) -> Result<(StatusCode, Bytes), StatusError> {
    let address = || authority.to_owned();
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|source| StatusError::Connect { address: address(), source })?;
    let http = |source| StatusError::Http { address: address(), source };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    // What the connection has to say comes out of the answer as well; this only keeps it going.
    let connection = tokio::spawn(connection);
    let request = request.header(header::HOST, authority).body(Empty::<Bytes>::new());
    let request = request.map_err(|_| StatusError::Url { url: address() })?;
    let response = sender.send_request(request).await.map_err(http)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    connection.abort();
    body.map(|body| (status, body.to_bytes()))
        .map_err(|source| StatusError::Body { address: address(), source })
}

/// The answer: a list, or an object that holds it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Feeds {
    List(Vec<FeedRow>),
    Object { feeds: Vec<FeedRow> },
}

impl Feeds {
    fn list(&self) -> &[FeedRow] {
        match self {
            Self::List(feeds) | Self::Object { feeds } => feeds,
        }
    }
}

/// Of [`FeedStatus`](crate::feed::status::FeedStatus) what the table shows. Read leniently, so that a tool of one
/// version can ask a daemon of another.
#[derive(Debug, Deserialize)]
struct FeedRow {
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    publisher: Option<PublisherRow>,
    #[serde(default)]
    source: Option<SourceRow>,
    #[serde(default)]
    rungs: Vec<RungRow>,
    #[serde(default)]
    problem: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct PublisherRow {
    address: String,
    tls: bool,
    encoder: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct SourceRow {
    video_codec: Option<String>,
    width: u32,
    height: u32,
    frame_rate: String,
    audio_codec: Option<String>,
    bit_rate: u64,
    decode_errors: u64,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct RungRow {
    name: String,
    width: u32,
    height: u32,
    frame_rate: String,
    bit_rate: u64,
    measured_bit_rate: u64,
    real_time_ratio: Option<f64>,
    queue_depth: u32,
}

fn introduce(daemon: &RuntimeFile, now_unix_millis: u64) -> String {
    let up = Duration::from_secs(now_unix_millis.saturating_sub(daemon.started_unix_millis) / 1000);
    format!("rungd, process {}, up {}\n\n", daemon.pid, crate::config::quantity::written(up))
}

/// One line a feed with its source, and one a rung below it.
fn table(feeds: &[FeedRow], colour: bool) -> String {
    if feeds.is_empty() {
        return "no feeds: add [feed.NAME] to the configuration\n".to_owned();
    }
    let mut rows =
        vec![["FEED", "STATE", "SIZE", "FRAMES/S", "KBIT/S", "OF", "REAL TIME", "QUEUE"].map(str::to_owned)];
    let mut notes: Vec<(usize, String)> = Vec::new();
    for feed in feeds {
        let source = feed.source.as_ref();
        let video = source.filter(|source| source.video_codec.is_some());
        rows.push([
            visible(&feed.name),
            visible(&feed.state),
            video.map_or(String::new(), |source| format!("{}x{}", source.width, source.height)),
            video.map_or(String::new(), |source| visible(&source.frame_rate)),
            source.map_or(String::new(), |source| (source.bit_rate / 1000).to_string()),
            String::new(),
            String::new(),
            String::new(),
        ]);
        if let Some(publisher) = &feed.publisher {
            let tls = if publisher.tls { "RTMPS" } else { "RTMP" };
            let codecs = [
                source.and_then(|s| s.video_codec.as_deref()),
                source.and_then(|s| s.audio_codec.as_deref()),
            ];
            let codecs = codecs.into_iter().flatten().collect::<Vec<_>>().join(" and ");
            let note = format!("{tls} from {}, {}, {codecs}", publisher.address, publisher.encoder);
            notes.push((rows.len(), visible(note.trim_end_matches([',', ' ']))));
        }
        if let Some(errors) = source.map(|source| source.decode_errors).filter(|errors| *errors > 0) {
            notes.push((rows.len(), format!("{errors} decoder errors, concealed")));
        }
        if let Some(problem) = &feed.problem {
            notes.push((rows.len(), format!("! {}", visible(problem))));
        }
        for rung in &feed.rungs {
            rows.push([
                format!("  {}", visible(&rung.name)),
                String::new(),
                format!("{}x{}", rung.width, rung.height),
                visible(&rung.frame_rate),
                (rung.measured_bit_rate / 1000).to_string(),
                (rung.bit_rate / 1000).to_string(),
                rung.real_time_ratio.map_or("-".to_owned(), |ratio| {
                    format!("{ratio:.2}{}", if ratio < 1.0 { " slow" } else { "" })
                }),
                rung.queue_depth.to_string(),
            ]);
        }
    }
    let mut widths = [0usize; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut notes = notes.into_iter().peekable();
    for (index, row) in rows.iter().enumerate() {
        let line: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = line.join("  ");
        let line = line.trim_end();
        // Bold for the head alone; writing to a String cannot fail.
        let _ = match index == 0 && colour {
            true => writeln!(text, "\u{1b}[1m{line}\u{1b}[0m"),
            false => writeln!(text, "{line}"),
        };
        while let Some((_, note)) = notes.next_if(|(after, _)| *after == index + 1) {
            let _ = writeln!(text, "    {note}");
        }
    }
    text
}

/// What came over the network, without what a terminal would obey.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_asked_on_loopback() {
        let daemon = |http: &str, http_tls| RuntimeFile {
            application: "live".to_owned(),
            pid: 1,
            started_unix_millis: 0,
            http: vec![http.parse().unwrap()],
            http_tls,
            rtmp: vec![],
            rtmps: vec![],
        };
        assert_eq!(reachable(&daemon("0.0.0.0:80", false)).unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(reachable(&daemon("[::]:80", false)).unwrap().to_string(), "[::1]:80");
        assert!(matches!(reachable(&daemon("192.0.2.1:443", true)), Err(StatusError::Https { .. })));
    }

    #[test]
    fn urls_as_people_give_them() {
        assert_eq!(authority_of("http://box:8080/").unwrap(), "box:8080");
        assert_eq!(authority_of("http://box").unwrap(), "box:80");
        assert_eq!(authority_of("127.0.0.1:8080").unwrap(), "127.0.0.1:8080");
        assert!(matches!(authority_of("https://box"), Err(StatusError::Https { .. })));
        assert!(matches!(authority_of("box"), Err(StatusError::Url { .. })));
    }

    #[test]
    fn nothing_from_the_network_reaches_the_terminal_as_a_command() {
        let feeds: Feeds = serde_json::from_str(r#"[{"name":"a","problem":"\u001b[2Jgone"}]"#).unwrap();
        assert!(!table(feeds.list(), false).contains('\u{1b}'));
    }
}
