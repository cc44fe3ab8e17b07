//! A server with a store behind it, and the plainest of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance::config::{self, AdminToken};
use appliance::devices::Devices;
use appliance::feed::status::{FeedState, FeedStatus};
use appliance::feed::{End, Ended};
use appliance::serve::{self, Check, Control, Limits, Readiness, ServeState};
use appliance::store::Store;
use prometheus::Registry;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use worker_protocol::Inventory;

/// Nothing in these tests takes this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) address: SocketAddr,
    pub(crate) token: AdminToken,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) folder: TempDir,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) running: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::new(100), None).await
    }

    /// So many requests may wait at once.
    pub(crate) async fn with_places(max_waiting: usize) -> Self {
        Self::with_all(Limits::new(100), None, max_waiting).await
    }

    pub(crate) async fn with(limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::with_all(limits, tls, 100).await
    }

    /// With an archive that keeps so much.
    pub(crate) async fn keeping(archive: config::Archive) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::assemble(Limits::new(100), None, 100, (folder, archive), |_| ()).await
    }

    /// With what a store left in a folder.
    pub(crate) async fn on(folder: TempDir) -> Self {
        Self::with_folder(Limits::new(100), None, 100, folder).await
    }

    async fn with_all(limits: Limits, tls: Option<Arc<ServerConfig>>, max_waiting: usize) -> Self {
        Self::with_folder(limits, tls, max_waiting, tempfile::tempdir().unwrap()).await
    }

    /// Told of other things than usual.
    pub(crate) async fn told(change: impl FnOnce(&mut ServeState)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::assemble(Limits::new(100), None, 100, (folder, keep_all()), change).await
    }

    async fn with_folder(
        limits: Limits,
        tls: Option<Arc<ServerConfig>>,
        max_waiting: usize,
        folder: TempDir,
    ) -> Self {
        Self::assemble(limits, tls, max_waiting, (folder, keep_all()), |_| ()).await
    }

    async fn assemble(
        limits: Limits,
        tls: Option<Arc<ServerConfig>>,
        max_waiting: usize,
        (folder, archive): (TempDir, config::Archive),
        change: impl FnOnce(&mut ServeState),
    ) -> Self {
        let registry = Registry::new();
        let store = Store::open(&archive, folder.path(), &registry).unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let metrics = serve::Metrics::register(&registry).unwrap();
        let control = control();
        let mut state = ServeState {
            store: store.clone(),
            devices: Devices::known(Inventory::default()),
            feeds: Arc::new(|| vec![feed("studio-a")]),
            control: control.clone(),
            registry: registry.clone(),
            readiness: Arc::new({
                let ready = ready.clone();
                move || {
                    let ready = ready.load(Ordering::SeqCst);
                    let check =
                        Check { name: "draining".to_owned(), ok: ready, detail: "said so".to_owned() };
                    Readiness { ready, checks: vec![check] }
                }
            }),
            allow_origin: "*".to_owned(),
            max_waiting,
            metrics: metrics.clone(),
        };
        change(&mut state);
        let listeners = serve::bind(&["127.0.0.1:0".parse().unwrap()], tls).await.unwrap();
        let address = listeners.addresses()[0];
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(serve::run(listeners, serve::router(state), limits, metrics, stopping));
        Self { store, registry, address, token: control.token, ready, folder, stop, running }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[]).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(&head(method, path, fields)).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        Answer::parse(&bytes)
    }
}

/// An archive that keeps everything.
pub(crate) fn keep_all() -> config::Archive {
    config::Archive { enabled: true, max_age: None, max_bytes: None }
}

/// Where studio-a is on air, studio-i is not, and nothing else is there.
pub(crate) fn control() -> Control {
    Control {
        token: AdminToken::draw().unwrap(),
        end: Arc::new(|feed| {
            Box::pin(async move {
                match feed.as_str() {
                    "studio-a" => End::Ended(Some(Ended {
                        presentation: "20261121T031500.000Z".to_owned(),
                        archived: true,
                    })),
                    "studio-i" => End::Idle,
                    _ => End::NoFeed,
                }
            })
        }),
    }
}

/// A request as bytes; the path is not looked at.
pub(crate) fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n").into_bytes()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    /// As it came: of a chunked answer the chunks.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let text = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, fields, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn feed(name: &str) -> FeedStatus {
    FeedStatus {
        name: name.to_owned(),
        title: "Studio A".to_owned(),
        state: FeedState::Idle,
        presentation: None,
        dash_url: format!("/live/{name}/manifest.mpd"),
        hls_url: format!("/live/{name}/master.m3u8"),
        publisher: None,
        source: None,
        rungs: Vec::new(),
        worker: None,
        problem: None,
    }
}
