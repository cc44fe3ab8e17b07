//! The real daemon, on free ports, in a folder of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::http;
use crate::mpd::Manifest;
use crate::process::Process;
use crate::wait::{poll, wait_until};

/// Longest time from its start to listening, and from SIGTERM to its end.
const START_DEADLINE: Duration = Duration::from_secs(20);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Longest time from a publisher's start to listed segments. Far over the figure that the product must reach, which a
/// test of its own measures: a busy machine is no fault.
const LIVE_DEADLINE: Duration = Duration::from_secs(40);
/// From a worker's death to another one.
const WORKER_DEADLINE: Duration = Duration::from_secs(20);

/// How a daemon is to be set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    feeds: Vec<FeedSetup>,
    ingest: Vec<String>,
    other: Vec<String>,
    /// Of HTTP, RTMP and RTMPS; free ones where none.
    ports: Option<[u16; 3]>,
}

/// How one feed is to be set up. Small pictures and short segments, so that many fit on two cores.
#[derive(Debug, Clone)]
pub struct FeedSetup {
    name: String,
    rungs: Vec<String>,
    lines: Vec<String>,
}

impl FeedSetup {
    /// A feed with two rungs, 320x180 and 160x90, and segments of about 1 s, whose presentations end with their publisher,
    /// who keeps others out.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rungs: Vec::new(), lines: Vec::new() }
            .line("segment = \"1s\"")
            .line("chunk = \"500ms\"")
            .line("grace = \"0s\"")
            .line("takeover = \"never\"")
    }

    /// Adds a rung; without any there are two.
    #[must_use]
    pub fn rung(mut self, name: &str, size: &str, bit_rate: &str) -> Self {
        self.rungs.push(format!("{{ name = \"{name}\", size = \"{size}\", bit_rate = \"{bit_rate}\" }}"));
        self
    }

    /// Adds a line, in place of one for the same key.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        let key = |l: &str| l.split('=').next().unwrap_or_default().trim().to_owned();
        self.lines.retain(|other| key(other) != key(line));
        self.lines.push(line.to_owned());
        self
    }

    fn toml(&self) -> String {
        let default_rungs =
            || Self::new("").rung("180p", "320x180", "200k").rung("90p", "160x90", "60k").rungs;
        let rungs = if self.rungs.is_empty() { default_rungs() } else { self.rungs.clone() };
        let hash = key_hash(&stream_key(&self.name));
        let (name, rungs, lines) = (&self.name, rungs.join(",\n  "), self.lines.join("\n"));
        format!(
            "\n[ladder.for-{name}]\npreset = \"veryfast\"\nrungs = [\n  {rungs}\n]\n\n[feed.{name}]\nkeys = \
             [\"{hash}\"]\nladder = \"for-{name}\"\n{lines}\n"
        )
    }
}

/// The stream key of a test's feed.
#[must_use]
pub fn stream_key(feed: &str) -> String {
    format!("secret-of-{feed}-0123456789")
}

/// The hash of a stream key as the configuration has it, by other code than the daemon's.
#[must_use]
pub fn key_hash(key: &str) -> String {
    let hash = Sha256::new().chain_update(b"rungd stream key v1\0").chain_update(key).finalize();
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Setup {
    /// One feed of the given name, as [`FeedSetup::new`] makes it.
    #[must_use]
    pub fn one_feed(name: &str) -> Self {
        Self::default().feed(FeedSetup::new(name))
    }

    /// Adds a feed.
    #[must_use]
    pub fn feed(mut self, feed: FeedSetup) -> Self {
        self.feeds.push(feed);
        self
    }

    /// Adds a line to `[ingest]`.
    #[must_use]
    pub fn ingest(mut self, line: &str) -> Self {
        self.ingest.push(line.to_owned());
        self
    }

    /// Adds a section, as it stands in the file.
    #[must_use]
    pub fn section(mut self, text: &str) -> Self {
        self.other.push(text.to_owned());
        self
    }

    /// Keeps to the same ports over restarts, as an appliance does: viewers and encoders come back by themselves.
    ///
    /// # Panics
    /// Where the system has no free ones.
    #[must_use]
    pub fn on_fixed_ports(mut self) -> Self {
        let mut held = Vec::new();
        // Below those that the system gives to outgoing connections (ip_local_port_range), which could be in the way of a
        // restart; spread by the process, and by the test within it, so that tests side by side do not try the same.
        static TESTS: AtomicU16 = AtomicU16::new(0);
        let spread = std::process::id() + 100 * u32::from(TESTS.fetch_add(1, Ordering::Relaxed));
        let first = 10_000 + u16::try_from(spread % 20_000).unwrap();
        for port in (first..32_000).chain(10_000..first) {
            if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
                held.push((listener, port));
            }
            if let [http, rtmp, rtmps] = held.as_slice() {
                self.ports = Some([http.1, rtmp.1, rtmps.1]);
                return self;
            }
        }
        panic!("no three free ports")
    }

    /// Starts the daemon.
    ///
    /// # Panics
    /// Where it does not listen within a deadline.
    #[must_use]
    pub fn start(&self) -> Rungd {
        let folder = tempfile::Builder::new().prefix("rungd-test-").tempdir().unwrap();
        make_certificate(folder.path());
        self.start_in(folder)
    }

    fn start_in(&self, folder: TempDir) -> Rungd {
        let config = folder.path().join("rungd.toml");
        let feeds: String = self.feeds.iter().map(FeedSetup::toml).collect();
        let [http, rtmp, rtmps] = self.ports.unwrap_or_default();
        let text = format!(
            "state_dir = \"state\"\n\n[ingest]\nrtmp = [\"127.0.0.1:{rtmp}\"]\nrtmps = [\"127.0.0.1:{rtmps}\"]\n\
             tls_certificate = \"certificate.pem\"\ntls_key = \"key.pem\"\napplication = \"live\"\n{}\n\n\
             [http]\nlisten = [\"127.0.0.1:{http}\"]\n\n{}\n{feeds}",
            self.ingest.join("\n"),
            self.other.join("\n"),
        );
        std::fs::write(&config, &text).unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir_all(&state).unwrap();
        let mut command = Command::new(binary("rungd"));
        command.arg("serve").arg("--config").arg(&config).env("RUST_BACKTRACE", "1");
        let mut process = Process::start("rungd", &mut command, &folder.path().join("rungd.log"));
        let runtime_file = state.join("rungd.json");
        let pid = u64::from(process.pid());
        let written = || -> Option<Value> {
            let written: Value = serde_json::from_slice(&std::fs::read(&runtime_file).ok()?).ok()?;
            (written["pid"].as_u64() == Some(pid)).then_some(written)
        };
        // On a full disk it says so, and is where it always is.
        let unwritten = |process: &Process| {
            let [http, rtmp, rtmps] = self.ports?.map(|port| [format!("127.0.0.1:{port}")]);
            let said = process.log().contains("the state files cannot be written");
            said.then(|| serde_json::json!({ "http": http, "rtmp": rtmp, "rtmps": rtmps }))
        };
        let addresses = poll(START_DEADLINE, || {
            assert!(
                process.is_running(),
                "rungd ended at its start; configuration:\n{text}\n{}",
                process.log()
            );
            written().or_else(|| unwritten(&process))
        });
        let Some(addresses) = addresses else {
            panic!("rungd did not listen within {START_DEADLINE:?}:\n{}", process.log());
        };
        let address = |kind: &str| -> SocketAddr {
            let text =
                addresses[kind][0].as_str().unwrap_or_else(|| panic!("no {kind} address in {addresses}"));
            text.parse().unwrap()
        };
        Rungd {
            http: address("http"),
            rtmp: address("rtmp"),
            rtmps: address("rtmps"),
            setup: self.clone(),
            process,
            folder,
        }
    }
}

/// A running daemon; it ends with the test.
#[derive(Debug)]
pub struct Rungd {
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it takes plain RTMP.
    pub rtmp: SocketAddr,
    /// Where it takes RTMPS.
    pub rtmps: SocketAddr,
    setup: Setup,
    // Before the folder, so that it has ended when its files go.
    process: Process,
    folder: TempDir,
}

impl Rungd {
    /// The URL of `path`, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Where a feed is published over plain RTMP, its key at the end.
    #[must_use]
    pub fn rtmp_url(&self, feed: &str) -> String {
        format!("rtmp://{}/live/{}", self.rtmp, stream_key(feed))
    }

    /// Where a feed is published over RTMPS, its key at the end.
    #[must_use]
    pub fn rtmps_url(&self, feed: &str) -> String {
        format!("rtmps://{}/live/{}", self.rtmps, stream_key(feed))
    }

    /// The DASH manifest of a feed.
    #[must_use]
    pub fn mpd_url(&self, feed: &str) -> String {
        self.url(&format!("/live/{feed}/manifest.mpd"))
    }

    /// The HLS master playlist of a feed.
    #[must_use]
    pub fn hls_url(&self, feed: &str) -> String {
        self.url(&format!("/live/{feed}/master.m3u8"))
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The manifest of a feed, once every representation lists at least `segments`.
    ///
    /// # Panics
    /// Where that is not within a deadline.
    #[must_use]
    pub fn wait_for_segments(&mut self, feed: &str, segments: usize) -> Manifest {
        let url = self.mpd_url(feed);
        let nominal = Duration::from_secs(u64::try_from(segments).unwrap() * 2);
        let found = poll(LIVE_DEADLINE + nominal, || {
            assert!(self.process.is_running(), "rungd has ended");
            Manifest::fetch(&url).filter(|manifest| manifest.fewest_segments() >= segments)
        });
        found.unwrap_or_else(|| {
            let now = http::request("GET", &url, &[]).map(|answer| answer.text());
            panic!(
                "{feed} did not list {segments} segments in {:?}; {url} says {now:?}",
                LIVE_DEADLINE + nominal
            )
        })
    }

    /// The manifest of a feed, once every representation lists `more` segments than in `before`.
    ///
    /// # Panics
    /// Where that is not within a deadline.
    #[must_use]
    pub fn wait_for_more(&self, feed: &str, before: &Manifest, more: usize) -> Manifest {
        let wanted = before.fewest_segments() + more;
        wait_until(LIVE_DEADLINE, "the programme to go on", || {
            Manifest::fetch(&self.mpd_url(feed)).filter(|now| now.fewest_segments() >= wanted)
        })
    }

    /// What `/api/v1/feeds` says of a feed.
    ///
    /// # Panics
    /// Where it does not know the feed.
    #[must_use]
    pub fn feed(&self, name: &str) -> Value {
        let answer = http::get(&self.url("/api/v1/feeds")).json();
        let list = answer.as_array().or_else(|| answer["feeds"].as_array()).expect("a list of feeds");
        list.iter()
            .find(|feed| feed["name"] == name)
            .unwrap_or_else(|| panic!("no feed {name} in {answer}"))
            .clone()
    }

    /// Waits for a feed to be in one of the given states.
    ///
    /// # Panics
    /// Where that is not within `deadline`.
    pub fn wait_for_state(&self, name: &str, deadline: Duration, states: &[&str]) -> Value {
        let what = format!("{name} to be {states:?}");
        wait_until(deadline, &what, || {
            let feed = self.feed(name);
            states.iter().any(|state| feed["state"] == *state).then_some(feed)
        })
    }

    /// The worker of a feed, where it has one.
    ///
    /// # Panics
    /// Where the daemon does not know the feed.
    #[must_use]
    pub fn worker(&self, feed: &str) -> Option<Pid> {
        self.feed(feed)["worker"]["pid"].as_i64().map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()))
    }

    /// Sends a signal to the worker of a feed, once it has one; which that was.
    ///
    /// # Panics
    /// Where it has none within a deadline, or that one has ended.
    pub fn kill_worker(&self, feed: &str, signal: Signal) -> Pid {
        let pid = wait_until(WORKER_DEADLINE, "a worker", || self.worker(feed));
        kill(pid, signal).unwrap();
        pid
    }

    /// The value of a metric; `labels` are parts that its line must have. The sum, where several lines match.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = http::get(&self.url("/metrics")).text();
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let values: Vec<f64> =
            text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks it to end, and gives its exit status.
    ///
    /// # Panics
    /// Where it does not end within a deadline.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.terminate(STOP_DEADLINE)
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it without a word, as a crash does, and waits until it is gone.
    ///
    /// # Panics
    /// Where it does not end within a deadline.
    pub fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        let _ = self.process.wait(STOP_DEADLINE);
    }

    /// Starts it again on the same state, with the same configuration; ports differ, unless
    /// [`Setup::on_fixed_ports`] said otherwise. It must have been stopped or killed.
    #[must_use]
    pub fn start_again(self) -> Self {
        let Self { setup, process, folder, .. } = self;
        drop(process);
        setup.start_in(folder)
    }
}

/// A binary of this workspace, beside the running program's own.
///
/// # Panics
/// Where it is not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    // Tests lie in target/PROFILE/deps, binaries beside rungd.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    for needed in [name, "rungd-worker"] {
        let path = folder.join(needed);
        assert!(path.is_file(), "{} is not built: cargo build --workspace --bins", path.display());
    }
    folder.join(name)
}

/// A self-signed certificate for localhost, as `make demo` makes one.
///
/// # Panics
/// Where openssl does not.
pub fn make_certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl runs; make deps installs it");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
