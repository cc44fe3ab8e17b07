//! Ingest: sockets and TLS of publishers, their deadlines and bounds.
//!
//! This file accepts connections; [`connection`] drives one of them through the sans-IO `rtmp` crate; [`refusals`] keeps
//! strangers from guessing keys.

pub mod connection;
pub mod metrics;
pub mod refusals;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::clock;
use crate::config;
use crate::feed::Feeds;
use crate::ingest::connection::Who;
use crate::ingest::metrics::Metrics;
use crate::ingest::refusals::Refusals;
use crate::telemetry::{LogLimit, RateLimited};

/// Pause after a failed accept: the table of descriptors is full, and spinning would not empty it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {protocol}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// `RTMP` or `RTMPS`.
    pub protocol: &'static str,
    /// Why not.
    pub source: io::Error,
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: config::Ingest,
    pub(crate) feeds: Feeds,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Mutex<Refusals>,
    pub(crate) noise: Mutex<RateLimited<&'static str>>,
    /// How many connections there were: the next one's number.
    sessions: AtomicU64,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Whether a line of this class may be logged now: then how many were not since the last one.
    pub(crate) fn admit_line(&self, class: &'static str) -> Option<u64> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner).admit(class, clock::now())
    }

    fn is_barred(&self, peer: SocketAddr) -> bool {
        self.refusals().is_barred(peer.ip(), clock::now())
    }

    /// Counts a refused publish, against its address too.
    fn count_refusal(&self, peer: SocketAddr, label: &'static str) {
        self.metrics.refused(label);
        self.refusals().count(peer.ip(), clock::now());
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listening sockets of ingest.
#[derive(Debug)]
pub struct Listeners {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

impl Listeners {
    /// Binds every configured address.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub async fn bind(config: &config::Ingest) -> Result<Self, BindError> {
        Ok(Self {
            plain: bind_all(&config.rtmp, "RTMP").await?,
            tls: bind_all(&config.rtmps, "RTMPS").await?,
        })
    }

    /// The addresses of plain RTMP, as bound.
    #[must_use]
    pub fn rtmp_addresses(&self) -> Vec<SocketAddr> {
        self.plain.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The addresses of RTMPS, as bound.
    #[must_use]
    pub fn rtmps_addresses(&self) -> Vec<SocketAddr> {
        self.tls.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

async fn bind_all(addresses: &[SocketAddr], protocol: &'static str) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let listener =
            TcpListener::bind(address).await.map_err(|source| BindError { address, protocol, source })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Accepts publishers until `stopping` turns true, then closes what is open.
pub async fn run(
    listeners: Listeners,
    tls: Option<Arc<ServerConfig>>,
    config: config::Ingest,
    feeds: Feeds,
    metrics: Metrics,
    stopping: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(config.max_connections));
    let shared = Arc::new(Shared {
        refusals: Mutex::new(Refusals::new(config.refusals_per_minute)),
        noise: Mutex::new(RateLimited::new(LogLimit::BURST, LogLimit::PERIOD)),
        sessions: AtomicU64::new(1),
        config,
        feeds,
        metrics,
        stopping,
    });
    let plain = listeners.plain.into_iter().map(|listener| (listener, None));
    let secured = listeners.tls.into_iter().map(|listener| (listener, tls.clone()));
    let mut accepting: JoinSet<()> = plain
        .chain(secured)
        .map(|(listener, tls)| accept(listener, tls, shared.clone(), connections.clone()))
        .collect();
    while accepting.join_next().await.is_some() {}
    // Every connection holds a permit: with all of them back, all are closed.
    let all = u32::try_from(shared.config.max_connections).unwrap_or(u32::MAX);
    let _ = connections.acquire_many(all).await;
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
) {
    let mut stopping = shared.stopping.clone();
    let protocol = if tls.is_some() { "rtmps" } else { "rtmp" };
    if let Ok(address) = listener.local_addr() {
        info!(%address, protocol, "listening for publishers");
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(fault) => {
                warn!(%fault, "cannot accept a publisher");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.metrics.connections.with_label_values(&[protocol]).inc();
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            shared.metrics.refused("too_many_connections");
            if let Some(suppressed) = shared.admit_line("too_many_connections") {
                let bound = shared.config.max_connections;
                warn!(%peer, bound, suppressed, "too many connections; one is closed unheard");
            }
            continue;
        };
        let session = shared.sessions.fetch_add(1, Ordering::Relaxed);
        let who = Who { peer, session };
        tokio::spawn(serve_one(socket, who, tls.clone(), shared.clone(), permit));
    }
}

async fn serve_one(
    socket: TcpStream,
    who: Who,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    _permit: tokio::sync::OwnedSemaphorePermit,
) {
    let _ = socket.set_nodelay(true);
    let end = connection::drive(socket, who, tls, shared.clone()).await;
    let Who { peer, session } = who;
    shared.metrics.ends.with_label_values(&[end.label()]).inc();
    match end.is_expected() {
        true => debug!(session, %peer, reason = %end, "connection closed"),
        // Anybody can make these happen, so they are told at a bounded pace.
        false => {
            if let Some(suppressed) = shared.admit_line(end.label()) {
                info!(session, %peer, reason = %end, suppressed, "connection closed");
            }
        }
    }
}
