//! The file's own shape: its sections, their defaults and bounds. The annotated sample is the reference for people.
//!
//! The file given is read first, then every `conf.d/*.toml` beside it in the order of their names. A later file's
//! tables are joined with those before, its other values take their place; so a feed can live in a file of its own, and
//! an installed file can be adjusted without being edited. Relative paths are relative to the file they stand in.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::{ConfigFaults, Fault};
use super::quantity::{
    address, bit_rate, boolean, bytes_or_unlimited, duration, duration_or_unlimited, integer, string, word,
};
use super::tree::{Section, Source, Walk};
use super::{Archive, Config, Http, Ingest, Log, LogFormat, RuleActions, SourceLimits, TlsFiles, Worker};
use super::{devices, feeds, ladders};

/// Where the configuration lies where nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/rungd/rungd.toml";
/// Where state lies where nothing else is said (FHS 3.0, 5.8).
const DEFAULT_STATE_DIR: &str = "/var/lib/rungd";
/// Addresses of one listener.
const MAX_ADDRESSES: usize = 16;
/// Largest file read: 64 feeds with long ladders are under 200 kB.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most files in `conf.d`.
const MAX_FILES: usize = 256;
/// Below the state folder; the store makes it.
const ARCHIVE_FOLDER: &str = "archive";
const WORKER_PROGRAM: &str = "rungd-worker";
/// Any of the execute bits.
const EXECUTABLE: u32 = 0o111;

/// Longest wait for the state folder's disk to say what is there: of one that hangs nothing more is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is asked of the archive's folder.
pub(super) enum ArchiveFolder<'a> {
    MustBeWritable,
    /// It is warned of where it is not.
    ShouldBeWritable,
    /// That of this one is in use already, and is not tried.
    InUseBy(&'a Config),
}

impl Config {
    /// Reads and checks the configuration at `path` with its `conf.d`, and the files it points to. Blocks on the disk.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn load(path: &Path) -> Result<Self, ConfigFaults> {
        Self::load_over(path, &ArchiveFolder::MustBeWritable)
    }

    /// As [`Self::load`], for a daemon that is to come on air: a disk that filled up or turned read-only under a sound
    /// configuration is warned of, since live goes on without an archive.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_to_serve(path: &Path) -> Result<Self, ConfigFaults> {
        Self::load_over(path, &ArchiveFolder::ShouldBeWritable)
    }

    pub(super) fn load_over(path: &Path, folder: &ArchiveFolder<'_>) -> Result<Self, ConfigFaults> {
        let (sources, mut faults) = sources(path);
        if sources.is_empty() {
            return Err(ConfigFaults { faults });
        }
        let config = read(&sources, folder);
        if faults.is_empty() {
            return config;
        }
        faults.extend(config.err().into_iter().flat_map(|error| error.faults));
        Err(ConfigFaults { faults })
    }
}

/// Where the configuration at `path` has state kept, whatever else is wrong with it: what asks a running daemon must
/// work while the file is being edited, and for users who may not read its certificates. Blocks on the disk.
///
/// # Errors
/// Where the file cannot be read, or has a fault in this one key.
pub fn state_dir(path: &Path) -> Result<PathBuf, ConfigFaults> {
    let (sources, faults) = sources(path);
    if sources.is_empty() {
        return Err(ConfigFaults { faults });
    }
    let walk = Walk::new(&sources);
    let mut top = walk.top();
    let (state_dir, _) = read_state_dir(&mut top);
    match top.sound(&["state_dir"]) {
        true => Ok(state_dir),
        false => walk.faults().map(|()| state_dir),
    }
}

/// With whether its disk answers.
fn read_state_dir(top: &mut Section<'_>) -> (PathBuf, bool) {
    let state_dir = top.path("state_dir").unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));
    let asked = state_dir.clone();
    let no_folder = answer(ANSWER_WITHIN, move || asked.exists() && !asked.is_dir());
    if no_folder == Some(true) {
        top.fault("state_dir", "is there already, and no folder");
    }
    (state_dir, no_folder.is_some())
}

/// What a disk says to `ask`; none where it does not answer `within` that time. The thread that asked stays with it then.
fn answer<T: Send + 'static>(within: Duration, ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (said, heard) = mpsc::channel();
    let asks = thread::Builder::new().name("disk-answers".to_owned());
    // Nobody may be left to hear it.
    asks.spawn(move || drop(said.send(ask()))).ok()?;
    heard.recv_timeout(within).ok()
}

/// The file and its `conf.d`, with what could not be read. Nothing without the file itself.
fn sources(path: &Path) -> (Vec<Source>, Vec<Fault>) {
    let mut faults = Vec::new();
    let fault = |file: &Path, rule: String| Fault {
        file: file.to_owned(),
        line: None,
        key: String::new(),
        value: None,
        rule,
    };
    let mut sources = Vec::new();
    match read_bounded(path) {
        Ok(text) => sources.push(Source { file: path.to_owned(), text }),
        Err(rule) => return (sources, vec![fault(path, rule)]),
    }
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (sources, faults),
        Err(error) => {
            faults.push(fault(&folder, format!("cannot be read: {error}")));
            return (sources, faults);
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|file| {
            let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && file.extension().is_some_and(|extension| extension == "toml")
        })
        .take(MAX_FILES + 1)
        .collect();
    if files.len() > MAX_FILES {
        faults.push(fault(&folder, format!("holds more than {MAX_FILES} files")));
        return (sources, faults);
    }
    files.sort();
    for file in files {
        match read_bounded(&file) {
            Ok(text) => sources.push(Source { file, text }),
            Err(rule) => faults.push(fault(&file, rule)),
        }
    }
    (sources, faults)
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(format!("is longer than {MAX_FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

/// The configuration in `sources`, the first of which is the main file.
fn read(sources: &[Source], folder: &ArchiveFolder<'_>) -> Result<Config, ConfigFaults> {
    let walk = Walk::new(sources);
    let mut top = walk.top();
    let (state_dir, answers) = read_state_dir(&mut top);
    let log = log(top.section("log"));
    let mut ingest_section = top.section("ingest");
    let mut http_section = top.section("http");
    let ingest = ingest(&mut ingest_section);
    let http = http(&mut http_section);
    one_listener_a_port(&ingest, &mut ingest_section, &http, &mut http_section);
    ingest_section.finish();
    http_section.finish();
    let worker = worker(top.section("worker"));
    let devices = devices::read(top.section("devices"));
    let archive = archive(top.section("archive"));
    let in_use = matches!(folder, ArchiveFolder::InUseBy(running) if running.archive.enabled && running.state_dir == state_dir);
    if archive.enabled
        && !in_use
        && top.sound(&["state_dir"])
        && let Err(rule) = can_be_written(&state_dir, answers)
    {
        let rule = format!("cannot hold the archive: {rule}");
        match folder {
            ArchiveFolder::ShouldBeWritable => top.warn("state_dir", rule),
            ArchiveFolder::MustBeWritable | ArchiveFolder::InUseBy(_) => top.fault("state_dir", rule),
        }
    }
    let ladders = ladders::read_all(&mut top);
    let feeds = feeds::read_all(&mut top, &ladders, archive.enabled);
    top.finish();
    walk.faults()?;
    Ok(Config { state_dir, log, ingest, http, worker, devices, archive, feeds, warnings: walk.warnings() })
}

fn log(mut section: Section<'_>) -> Log {
    let format = section.get("format", word(&["text", "json"]));
    let level = section.get("level", |value| {
        let level = string(value, "a level")?;
        match tracing_subscriber::EnvFilter::try_new(level) {
            Ok(_) if !level.is_empty() => Ok(level.to_owned()),
            _ => Err("is neither error, warn, info, debug, trace nor such with parts, as \"info,appliance::ingest=debug\"".into()),
        }
    });
    section.finish();
    Log {
        format: if format.as_deref() == Some("json") { LogFormat::Json } else { LogFormat::Text },
        level: level.unwrap_or_else(|| "info".to_owned()),
    }
}

fn ingest(section: &mut Section<'_>) -> Ingest {
    let allow_plain = section.get("allow_plain_rtmp", boolean).unwrap_or(false);
    let rtmp = section.list("rtmp", 0..=MAX_ADDRESSES, "addresses", address);
    let rtmp = rtmp.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], 1935))]);
    if let Some(index) = rtmp.iter().position(|address| !address.ip().is_loopback() && !allow_plain) {
        section.fault_item(
            "rtmp",
            index,
            "is not loopback: stream keys and programme would cross the network in the clear; use rtmps, or say \
             allow_plain_rtmp = true",
        );
    }
    let rtmps = section.list("rtmps", 0..=MAX_ADDRESSES, "addresses", address).unwrap_or_default();
    let tls = tls(section);
    if !rtmps.is_empty() && !section.has("tls_certificate") && !section.has("tls_key") {
        section.fault("rtmps", "needs tls_certificate and tls_key");
    }
    let application = section.get("application", |value| {
        let name = string(value, "a name")?;
        let charset = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match charset && (1..=64).contains(&name.len()) {
            true => Ok(name.to_owned()),
            false => Err("is not 1 to 64 of a-z A-Z 0-9 - _".into()),
        }
    });
    Ingest {
        rtmp,
        rtmps,
        tls,
        application: application.unwrap_or_else(|| "live".to_owned()),
        max_connections: section.get("max_connections", integer(1..=10_000)).unwrap_or(256),
        handshake_timeout: seconds(section, "handshake_timeout", 1, 60, 10),
        publish_timeout: seconds(section, "publish_timeout", 1, 60, 10),
        idle_timeout: seconds(section, "idle_timeout", 2, 300, 20),
        refusals_per_minute: section.get("refusals_per_minute", integer(1..=10_000)).unwrap_or(30),
        limits: source_limits(section.section("limits")),
    }
}

fn source_limits(mut section: Section<'_>) -> SourceLimits {
    let key_frames = duration(Duration::from_millis(500)..=Duration::from_secs(60));
    let limits = SourceLimits {
        max_width: section.get("max_width", integer(64..=8192)).unwrap_or(4096),
        max_height: section.get("max_height", integer(64..=8192)).unwrap_or(2304),
        max_frame_rate: section
            .get("max_frame_rate", integer(1..=media::frame_rate::MAX_FRAMES_PER_SECOND))
            .unwrap_or(60),
        max_bit_rate: section.get("max_bit_rate", bit_rate(100_000..=1_000_000_000)).unwrap_or(60_000_000),
        max_key_frame_interval: section
            .get("max_key_frame_interval", key_frames)
            .unwrap_or(Duration::from_secs(10)),
        max_timestamp_faults: section.get("max_timestamp_faults", integer(1..=100_000)).unwrap_or(30),
        max_channels: section.get("max_channels", integer(1..=8)).unwrap_or(6),
        actions: RuleActions::read(section.section("actions")),
    };
    section.finish();
    limits
}

fn http(section: &mut Section<'_>) -> Http {
    let listen = section.list("listen", 1..=MAX_ADDRESSES, "addresses", address);
    let tls = tls(section);
    let max_connections = section.get("max_connections", integer(1..=1_000_000)).unwrap_or(10_000);
    let allow_origin = section.get("allow_origin", |value| {
        let origin = string(value, "an origin")?;
        let host =
            origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
        let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        match origin == "*" || (plain && !host.is_empty()) {
            true => Ok(origin.to_owned()),
            false => {
                Err("is neither \"*\" nor one origin without a path, such as \"https://tv.example\"".into())
            }
        }
    });
    Http {
        listen: listen.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], 8080))]),
        tls,
        max_connections,
        allow_origin: allow_origin.unwrap_or_else(|| "*".to_owned()),
    }
}

fn worker(mut section: Section<'_>) -> Worker {
    let given = section.path("program");
    let beside = || std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(WORKER_PROGRAM)));
    let program = given.or_else(beside).unwrap_or_else(|| PathBuf::from(WORKER_PROGRAM));
    if section.sound(&["program"]) {
        let rule = match fs::metadata(&program) {
            Err(error) => Some(format!("cannot be run: {}: {error}", program.display())),
            Ok(found) if !found.is_file() => Some(format!("cannot be run: {} is no file", program.display())),
            Ok(found) if found.permissions().mode() & EXECUTABLE == 0 => {
                Some(format!("cannot be run: {} is not executable", program.display()))
            }
            Ok(_) => None,
        };
        if let Some(rule) = rule {
            section.fault("program", rule);
        }
    }
    let worker = Worker {
        program,
        start_timeout: seconds(&mut section, "start_timeout", 1, 120, 10),
        // Three segments of the default length are 6 s, and players hold about as much: what is left of it after a
        // hang is for the new worker to start and to be fed the group of pictures kept.
        hang_timeout: seconds(&mut section, "hang_timeout", 1, 300, 4),
        finish_timeout: seconds(&mut section, "finish_timeout", 1, 300, 10),
        environment: devices::environment(&mut section),
    };
    section.finish();
    worker
}

fn archive(mut section: Section<'_>) -> Archive {
    let ages = Duration::from_secs(60)..=Duration::from_secs(3660 * 86_400);
    let archive = Archive {
        enabled: section.get("enabled", boolean).unwrap_or(true),
        max_age: section
            .get("max_age", duration_or_unlimited(ages))
            .unwrap_or(Some(Duration::from_secs(7 * 86_400))),
        max_bytes: section.get("max_bytes", bytes_or_unlimited(100_000_000)).unwrap_or(Some(100_000_000_000)),
    };
    section.finish();
    archive
}

/// Whether the state folder and the archive's in it can be.
fn can_be_written(state_dir: &Path, answers: bool) -> Result<(), String> {
    let asked = state_dir.to_owned();
    let ask = move || writable(&asked).and_then(|()| writable(&asked.join(ARCHIVE_FOLDER)));
    let said = answers.then(|| answer(ANSWER_WITHIN, ask)).flatten();
    said.unwrap_or_else(|| Err(format!("its disk does not answer within {ANSWER_WITHIN:?}")))
}

/// Whether the folder at `path` can be written, or be made where it is not there yet. Makes nothing.
///
/// Asks with the rights that files are opened with (faccessat(2), `AT_EACCESS`). A file system that is mounted read-only
/// is refused to root as well (access(2), `EROFS`).
fn writable(path: &Path) -> Result<(), String> {
    let refused = |at: &Path, error: Errno| {
        Err(match at == path {
            true => format!("{} cannot be written: {}", path.display(), error.desc()),
            false => format!("{} cannot be made in {}: {}", path.display(), at.display(), error.desc()),
        })
    };
    for at in path.ancestors() {
        // The last ancestor of a relative path is empty, and stands for the current folder.
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        match fs::metadata(at) {
            Ok(found) if !found.is_dir() => return refused(at, Errno::ENOTDIR),
            Ok(_) => {
                let wish = AccessFlags::W_OK | AccessFlags::X_OK;
                return faccessat(AT_FDCWD, at, wish, AtFlags::AT_EACCESS)
                    .or_else(|error| refused(at, error));
            }
            // Below something that is no folder: that is found on the way up.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => {
                return refused(at, error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw));
            }
        }
    }
    Ok(())
}

/// A length of time in whole seconds of `least` to `most`, by default `default`.
fn seconds(section: &mut Section<'_>, key: &'static str, least: u64, most: u64, default: u64) -> Duration {
    let bounds = Duration::from_secs(least)..=Duration::from_secs(most);
    section.get(key, duration(bounds)).unwrap_or(Duration::from_secs(default))
}

/// `tls_certificate` and `tls_key` of a section, read and checked against each other.
fn tls(section: &mut Section<'_>) -> Option<TlsFiles> {
    let certificate = section.path("tls_certificate");
    let key = section.path("tls_key");
    match (section.has("tls_certificate"), section.has("tls_key")) {
        (true, false) => section.fault("tls_certificate", "needs tls_key beside it"),
        (false, true) => section.fault("tls_key", "needs tls_certificate beside it"),
        _ => {}
    }
    let files = TlsFiles { certificate: certificate?, key: key? };
    let chain = read_bounded(&files.certificate).and_then(|pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match chain {
            Ok(chain) if chain.is_empty() => Err("holds no certificate in PEM".to_owned()),
            chain => chain.map_err(|error| format!("is not PEM: {error}")),
        }
    });
    let private = read_bounded(&files.key).and_then(|pem| {
        PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("holds no private key in PEM: {error}"))
    });
    if let Err(rule) = &chain {
        section.fault("tls_certificate", rule.clone());
    }
    if let Err(rule) = &private {
        section.fault("tls_key", rule.clone());
    }
    if let (Ok(chain), Ok(private)) = (chain, private)
        && let Err(error) = server_config(chain, private)
    {
        section.fault("tls_certificate", format!("cannot be used with tls_key: {error}"));
    }
    Some(files)
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<rustls::ServerConfig, rustls::Error> {
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

/// Faults the second of two addresses that cannot both be listened on.
fn one_listener_a_port<'w>(
    ingest: &Ingest,
    ingest_at: &mut Section<'w>,
    http: &Http,
    http_at: &mut Section<'w>,
) {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    for (key, name, addresses) in [
        ("rtmp", "ingest.rtmp", &ingest.rtmp),
        ("rtmps", "ingest.rtmps", &ingest.rtmps),
        ("listen", "http.listen", &http.listen),
    ] {
        let section: &mut Section<'w> = if key == "listen" { http_at } else { ingest_at };
        let sound = section.sound(&[key]);
        for (index, address) in addresses.iter().enumerate() {
            if let Some((other, at)) = taken.iter().find(|(_, other)| overlap(*other, *address))
                && sound
            {
                section.fault_item(key, index, format!("is taken by {other}, which listens on {at}"));
            }
            taken.push((name, *address));
        }
    }
}

/// Whether two listeners would be in each other's way. `[::]` takes IPv4 as well (ipv6(7), `IPV6_V6ONLY`); port 0 is
/// any free one.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

#[cfg(test)]
mod tests;
