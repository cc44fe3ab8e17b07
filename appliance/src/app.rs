//! Puts the parts together, and takes them apart in order.
//!
//! ```text
//! start: registry ─ store ─ feeds ─ bind ingest and HTTP ─ state file ─ ready
//! stop:  ingest takes no more ─ feeds put out what is left ─ archive written ─ HTTP closed ─ state file gone
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::{self, JoinHandle};
use tracing::{error, info, warn};

use crate::config::runtime::RuntimeFileError;
use crate::config::{AdminToken, Config, ConfigFaults, RuntimeFile};
use crate::devices::{self, Devices};
use crate::feed::{self, Feeds};
use crate::ingest;
use crate::pace::MediaThread;
use crate::serve::{self, Check, Readiness};
use crate::store::{Store, StoreError};
use crate::supervisor;
use crate::telemetry::chain;
use crate::tls::{Certificate, TlsError};
use crate::{clock, config, telemetry};

/// How long the archive may take to write what waits, when the daemon stops.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries to write the state files.
const STATE_FILES_AGAIN: Duration = Duration::from_secs(2);
/// How long a start, or a stop, waits for the state files; a sound disk takes milliseconds, one that hangs for ever.
const STATE_FILES_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop may take before it is said to hang.
const STOP_WARNING: Duration = Duration::from_secs(15);

/// Why the daemon could not start, or stopped unasked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The registry of metrics has a name twice: a fault of ours.
    #[error("cannot register metrics")]
    Metrics(#[source] prometheus::Error),
    /// The process's own metrics.
    #[error("cannot set up telemetry")]
    Telemetry(#[source] telemetry::TelemetryError),
    /// The store.
    #[error("cannot open the store in {}", state_dir.display())]
    Store {
        /// The state folder.
        state_dir: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A certificate.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
    /// An address of publishers.
    #[error("cannot take in feeds")]
    Ingest(#[source] ingest::BindError),
    /// An address of viewers.
    #[error("cannot serve")]
    Http(#[source] serve::ServeError),
    /// The token of what operators may change.
    #[error("cannot draw a token")]
    Token(#[source] RuntimeFileError),
    /// The thread that media passes through.
    #[error("cannot start the thread for media")]
    MediaThread(#[source] std::io::Error),
    /// Signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the daemon until it is told to stop by SIGTERM or SIGINT. SIGHUP reads the configuration and the certificates
/// again.
///
/// # Errors
/// Where a part cannot start.
pub async fn serve(config: Config, config_path: PathBuf) -> Result<(), AppError> {
    let mut signals = Signals::new().map_err(AppError::Signals)?;
    let daemon = Daemon::start(config, config_path).await?;
    let daemon = daemon.run(&mut signals).await;
    daemon.stop().await;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Wish {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

struct Daemon {
    config: Config,
    config_path: PathBuf,
    store: Store,
    devices: Devices,
    feeds: Feeds,
    /// Ends with the daemon.
    _media: MediaThread,
    certificates: Vec<Arc<Certificate>>,
    stop_ingest: watch::Sender<bool>,
    stop_http: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    ingest: JoinHandle<()>,
    http: JoinHandle<()>,
    /// What still tries to write them.
    state_files: Option<JoinHandle<()>>,
}

/// What commands find the daemon by.
struct StateFiles {
    token: AdminToken,
    runtime: RuntimeFile,
    state_dir: PathBuf,
}

impl StateFiles {
    fn write(&self) -> Result<(), RuntimeFileError> {
        self.token.write(&self.state_dir)?;
        self.runtime.write(&self.state_dir)
    }

    /// Writes them; what still tries to, where they are not written soon. On a disk that is full, read-only or hangs live
    /// comes back all the same; only "rungd status" and "end" wait for it.
    async fn write_soon(self) -> Option<JoinHandle<()>> {
        let (said, written) = oneshot::channel();
        let writing = tokio::spawn(Arc::new(self).write_at_last(said));
        match tokio::time::timeout(STATE_FILES_WITHIN, written).await {
            Ok(Ok(Ok(()))) => return None,
            Ok(Ok(Err(fault))) => {
                warn!(error = %chain(&fault), "the state files cannot be written; they are tried again");
            }
            Ok(Err(_)) | Err(_) => {
                warn!(after = ?STATE_FILES_WITHIN, "the state files cannot be written yet: the disk does not answer");
            }
        }
        Some(writing)
    }

    /// Says how the first try went; of those after it, what became of them and each new reason why they fail.
    async fn write_at_last(self: Arc<Self>, said: oneshot::Sender<Result<(), RuntimeFileError>>) {
        let (mut said, mut told) = (Some(said), None);
        loop {
            let files = self.clone();
            let Ok(result) = task::spawn_blocking(move || files.write()).await else { return };
            let problem = result.as_ref().err().map(|fault| chain(fault));
            let heard = said.take().is_some_and(|said| said.send(result).is_ok());
            match &problem {
                // It took no longer than a start waits.
                _ if heard => {}
                None => info!("the state files are written"),
                Some(error) if told != problem => warn!(error, "the state files still cannot be written"),
                Some(_) => {}
            }
            if problem.is_none() {
                return;
            }
            told = problem;
            tokio::time::sleep(STATE_FILES_AGAIN).await;
        }
    }

    /// So that nobody looks for a daemon that has stopped.
    async fn remove(state_dir: PathBuf) {
        let remove = move || [AdminToken::remove(&state_dir), RuntimeFile::remove(&state_dir)];
        match tokio::time::timeout(STATE_FILES_WITHIN, task::spawn_blocking(remove)).await {
            Ok(Ok(removed)) => {
                for fault in removed.into_iter().filter_map(Result::err) {
                    warn!(error = %chain(&fault), "a state file stays behind");
                }
            }
            Ok(Err(_)) | Err(_) => warn!("the state files stay behind: the disk does not answer"),
        }
    }
}

impl Daemon {
    async fn start(config: Config, config_path: PathBuf) -> Result<Self, AppError> {
        warn_of(&config);
        let registry = telemetry::registry().map_err(AppError::Telemetry)?;
        let store = Store::open(&config.archive, &config.state_dir, &registry)
            .map_err(|source| AppError::Store { state_dir: config.state_dir.clone(), source })?;

        // What an earlier run left on air its feed goes on with; without one it becomes a recording.
        for left in store.all_interrupted() {
            if !config.feeds.iter().any(|feed| feed.name == left.feed.as_str()) {
                store.close_interrupted(left.feed.as_str(), left.last_end_unix_millis());
            }
        }

        // Drivers take their time, and hung ones more: listening does not wait for them.
        let devices = Devices::look(
            config.worker.clone(),
            config.devices.clone(),
            devices::Metrics::register(&registry).map_err(AppError::Metrics)?,
        );
        let mut certificates = Vec::new();
        let rtmps = tls(config.ingest.tls.as_ref(), &[], &mut certificates)?;
        let https = tls(config.http.tls.as_ref(), serve::listener::ALPN, &mut certificates)?;
        let publishers = ingest::Listeners::bind(&config.ingest).await.map_err(AppError::Ingest)?;
        let viewers = serve::bind(&config.http.listen, https).await.map_err(AppError::Http)?;

        let token = AdminToken::draw().map_err(AppError::Token)?;
        let runtime = RuntimeFile {
            pid: std::process::id(),
            started_unix_millis: clock::unix_millis(),
            http: viewers.addresses(),
            http_tls: config.http.tls.is_some(),
            rtmp: publishers.rtmp_addresses(),
            rtmps: publishers.rtmps_addresses(),
            application: config.ingest.application.clone(),
        };

        let media = MediaThread::start().map_err(AppError::MediaThread)?;
        let parts = feed::task::Parts {
            media: media.handle().clone(),
            store: store.clone(),
            worker: config.worker.clone(),
            devices: devices.clone(),
            limits: config.ingest.limits.clone(),
            metrics: feed::metrics::Metrics::register(&registry).map_err(AppError::Metrics)?,
            worker_metrics: supervisor::metrics::Metrics::register(&registry).map_err(AppError::Metrics)?,
        };
        let feeds = Feeds::start(&config.feeds, parts);

        let (stop_ingest, ingest_stopping) = watch::channel(false);
        let ingest_metrics = ingest::metrics::Metrics::register(&registry).map_err(AppError::Metrics)?;
        let ingest = tokio::spawn(ingest::run(
            publishers,
            rtmps,
            config.ingest.clone(),
            feeds.clone(),
            ingest_metrics,
            ingest_stopping,
        ));

        let (stop_http, http_stopping) = watch::channel(false);
        let (stopping, told_to_stop) = watch::channel(false);
        let serve_metrics = serve::Metrics::register(&registry).map_err(AppError::Metrics)?;
        let state = serve::ServeState {
            store: store.clone(),
            devices: devices.clone(),
            feeds: Arc::new({
                let feeds = feeds.clone();
                move || feeds.snapshot()
            }),
            control: serve::Control {
                token: token.clone(),
                end: Arc::new({
                    let feeds = feeds.clone();
                    move |feed| {
                        let feeds = feeds.clone();
                        Box::pin(async move { feeds.end(&feed).await })
                    }
                }),
            },
            readiness: Arc::new({
                let store = store.clone();
                move || readiness(*told_to_stop.borrow(), &store)
            }),
            allow_origin: config.http.allow_origin.clone(),
            max_waiting: config.http.max_connections.saturating_mul(serve::WAITING_PER_CONNECTION),
            metrics: serve_metrics.clone(),
            registry,
        };
        let limits = serve::Limits::new(config.http.max_connections);
        let http =
            tokio::spawn(serve::run(viewers, serve::router(state), limits, serve_metrics, http_stopping));

        let files = StateFiles { token, runtime, state_dir: config.state_dir.clone() };
        let pid = files.runtime.pid;
        let state_files = files.write_soon().await;
        info!(pid, feeds = config.feeds.len(), "rungd is ready");
        Ok(Self {
            config,
            config_path,
            store,
            devices,
            feeds,
            _media: media,
            certificates,
            stop_ingest,
            stop_http,
            stopping,
            ingest,
            http,
            state_files,
        })
    }

    async fn run(mut self, signals: &mut Signals) -> Self {
        loop {
            match signals.next().await {
                Wish::Stop => return self,
                Wish::Reload => self.reload(),
            }
        }
    }

    /// All or nothing: a file with faults changes nothing.
    fn reload(&mut self) {
        self.devices.look_again();
        for certificate in &self.certificates {
            match certificate.reload() {
                Ok(()) => info!(path = %certificate.path().display(), "certificate reloaded"),
                Err(fault) => {
                    warn!(error = %chain(&fault), "certificate not reloaded; the one in force stays")
                }
            }
        }
        match config::reload(&self.config_path, &self.config) {
            Ok((new, change)) => {
                warn_of(&new);
                self.feeds.apply(&new.feeds);
                info!(?change, "configuration reloaded");
                self.config.feeds = new.feeds;
            }
            Err(ConfigFaults { faults }) => {
                for fault in &faults {
                    error!(%fault, "fault in the configuration");
                }
                error!(faults = faults.len(), "configuration not reloaded; the one in force stays");
            }
        }
    }

    async fn stop(self) {
        info!("stopping");
        let orderly = async {
            self.stopping.send_replace(true);
            self.feeds.stop().await;
            self.stop_ingest.send_replace(true);
            finished("ingest", self.ingest).await;
            self.store.shutdown(ARCHIVE_TIMEOUT).await;
            self.stop_http.send_replace(true);
            finished("serving", self.http).await;
        };
        tokio::pin!(orderly);
        if tokio::time::timeout(STOP_WARNING, &mut orderly).await.is_err() {
            warn!(after = ?STOP_WARNING, "stopping takes long; waiting for what is left to be written");
            orderly.await;
        }
        if let Some(writing) = &self.state_files {
            writing.abort();
        }
        StateFiles::remove(self.config.state_dir).await;
        info!("stopped");
    }
}

/// Tells what is odd in a configuration that is good all the same.
fn warn_of(config: &Config) {
    for warning in &config.warnings {
        warn!(%warning, "odd in the configuration");
    }
}

fn readiness(stopping: bool, store: &Store) -> Readiness {
    let mut checks = vec![Check {
        name: "draining".to_owned(),
        ok: !stopping,
        detail: if stopping { "the appliance is shutting down" } else { "takes feeds" }.to_owned(),
    }];
    if let Some(health) = store.archive_health() {
        let ok = health.degraded.is_none();
        let detail = health.degraded.unwrap_or_else(|| "segments are written".to_owned());
        checks.push(Check { name: "archive".to_owned(), ok, detail });
    }
    // A degraded archive is told, but live goes on, and a balancer that took the box out would end it.
    Readiness { ready: !stopping, checks }
}

async fn finished(part: &str, task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        error!(part, %fault, "a part failed");
    }
}

fn tls(
    files: Option<&config::TlsFiles>,
    alpn: &[&[u8]],
    certificates: &mut Vec<Arc<Certificate>>,
) -> Result<Option<Arc<rustls::ServerConfig>>, AppError> {
    let Some(files) = files else { return Ok(None) };
    let certificate = Certificate::open(files).map_err(AppError::Tls)?;
    let config = certificate.server_config(alpn).map_err(AppError::Tls)?;
    certificates.push(certificate);
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Mutex, PoisonError};
    use std::{fs, path::Path};

    use test_support::wait::until;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn state_files(state_dir: &Path) -> StateFiles {
        let runtime = RuntimeFile {
            pid: 7,
            started_unix_millis: 0,
            http: Vec::new(),
            http_tls: false,
            rtmp: Vec::new(),
            rtmps: Vec::new(),
            application: String::new(),
        };
        StateFiles { token: AdminToken::draw().unwrap(), runtime, state_dir: state_dir.to_owned() }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn count(&self, part: &str) -> usize {
            let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            String::from_utf8(lines).unwrap().lines().filter(|line| line.contains(part)).count()
        }
    }

    /// Nothing but them needs the folder where there is no archive.
    #[tokio::test]
    async fn state_files_make_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("not/there");
        assert!(state_files(&state_dir).write_soon().await.is_none());
        assert_eq!(RuntimeFile::read(&state_dir).unwrap().pid, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn state_files_that_cannot_be_written_tell_each_reason_once_and_are_at_last() {
        let lines = Lines::default();
        let writer = lines.clone();
        let _guard = tracing::subscriber::set_default(
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
        );
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        fs::write(&state_dir, b"no folder").unwrap();
        let writing = state_files(&state_dir).write_soon().await.expect("it is tried again");
        assert_eq!(lines.count("cannot be written; they are tried again"), 1);

        // Another reason, which stays for another try at least.
        fs::remove_file(&state_dir).unwrap();
        let in_the_way = state_dir.join(crate::config::runtime::TOKEN_FILE_NAME);
        fs::create_dir_all(&in_the_way).unwrap();
        let told = "the state files still cannot be written";
        until(DEADLINE, "that to be told", async || (lines.count(told) > 0).then_some(())).await;
        let tried = fs::metadata(&state_dir).unwrap().modified().unwrap();
        let again = async || (fs::metadata(&state_dir).unwrap().modified().unwrap() > tried).then_some(());
        until(DEADLINE, "another try", again).await;
        fs::remove_dir(&in_the_way).unwrap();
        tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap();
        assert_eq!(RuntimeFile::read(&state_dir).unwrap().pid, 7);
        assert_eq!((lines.count(told), lines.count("the state files are written")), (1, 1));
    }
}
