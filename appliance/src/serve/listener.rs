//! Sockets: TLS, HTTP/1.1 and HTTP/2, deadlines, bounds, and a graceful end.

mod guard;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use self::guard::Guarded;
use super::metrics::Metrics;
use crate::warn_limited;

/// Protocols offered by ALPN, best first (RFC 9113, 3.2; RFC 7301).
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What a request's head may take, in bytes: our own paths are under 200, and browsers send a few hundred of fields.
const MAX_HEAD: u32 = 16 * 1024;
/// What hyper may gather of an answer before it waits for the socket.
const SEND_BUFFER: usize = 128 * 1024;
/// HTTP/2 requests at once on one connection; players have a handful.
const MAX_STREAMS: u32 = 64;
/// Between two HTTP/2 pings, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pause after `accept` failed, which it does again at once where file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What may go wrong with listening.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("HTTP cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Bounds and deadlines of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all addresses; further ones are closed at once.
    pub max_connections: usize,
    /// For the TLS handshake, and again for the head of each request, idle time before it included.
    pub head_timeout: Duration,
    /// Longest time in which a peer takes none of what is sent to it.
    pub stall_timeout: Duration,
    /// How long requests in progress may take once the daemon stops.
    pub drain_timeout: Duration,
}

impl Limits {
    /// The deadlines that suit players, with a bound of connections.
    #[must_use]
    pub fn new(max_connections: usize) -> Self {
        Self {
            max_connections,
            head_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Sockets that listen.
pub struct Listeners {
    sockets: Vec<(TcpListener, SocketAddr)>,
    tls: Option<Arc<ServerConfig>>,
}

impl Listeners {
    /// Where they listen, port 0 resolved, in the order asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(_, address)| *address).collect()
    }

    /// Whether they speak TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// Listens on all of `addresses`; with `tls`, that is HTTPS (its ALPN should be [`ALPN`]).
///
/// # Errors
///
/// Where an address cannot be had.
pub async fn bind(addresses: &[SocketAddr], tls: Option<Arc<ServerConfig>>) -> Result<Listeners, ServeError> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let failed = |source| ServeError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        sockets.push((socket, bound));
    }
    Ok(Listeners { sockets, tls })
}

/// Serves until `shutdown` turns true or its sender is gone, then lets requests in progress finish.
pub async fn run(
    listeners: Listeners,
    router: Router,
    limits: Limits,
    metrics: Metrics,
    shutdown: watch::Receiver<bool>,
) {
    let Listeners { sockets, tls } = listeners;
    let server = Server {
        router,
        limits,
        metrics,
        shutdown,
        tls: tls.map(TlsAcceptor::from),
        places: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
    };
    let mut loops = JoinSet::new();
    for (socket, address) in sockets {
        loops.spawn(server.clone().accept(socket, address));
    }
    drop(server);
    while loops.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Server {
    router: Router,
    limits: Limits,
    metrics: Metrics,
    shutdown: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
}

impl Server {
    async fn accept(self, socket: TcpListener, address: SocketAddr) {
        let mut connections = JoinSet::new();
        let mut shutdown = self.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut shutdown) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn_limited!(%address, %error, "connection cannot be accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                self.metrics.refused.inc();
                warn_limited!(%address, max_connections = self.limits.max_connections, "HTTP connections are refused");
                continue;
            };
            let server = self.clone();
            connections.spawn(async move {
                let _counted = server.metrics.connection();
                server.connection(stream).await;
                drop(place);
            });
        }
        drop(socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if time::timeout(self.limits.drain_timeout, drained).await.is_err() {
            warn!(%address, connections = connections.len(), "requests in progress are cut off");
            connections.shutdown().await;
        }
    }

    async fn connection(self, stream: TcpStream) {
        // Segments are written in whole; a chunk of one must not wait for the next (RFC 896).
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY cannot be set");
        }
        let Some(tls) = self.tls.clone() else { return self.serve(stream).await };
        match time::timeout(self.limits.head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                self.metrics.tls_failures.inc();
                debug!(%error, "TLS handshake failed");
            }
            Err(_) => self.metrics.tls_failures.inc(),
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(SEND_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .max_send_buf_size(SEND_BUFFER);
        let service = TowerToHyperService::new(self.router.clone());
        // Inside TLS, so that a peer which is silent after its handshake is noticed as well.
        let guarded = Guarded::new(stream, &self.limits, self.metrics.stalled.clone());
        let connection = builder.serve_connection(TokioIo::new(guarded), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = stopped(&mut self.shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%error, "HTTP connection ended");
        }
    }
}

/// Until the daemon stops, or nobody is left who could say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}
