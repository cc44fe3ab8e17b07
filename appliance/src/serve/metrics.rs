//! What serving counts.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::clock;
use crate::telemetry::Register;

/// Upper bounds of the time to the head of an answer, in seconds: from one out of memory, over one out of the archive,
/// to one that waited for the next segment.
const LATENCY_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The metrics of serving. Labels come from closed lists.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    bytes: IntCounterVec,
    in_flight: IntGaugeVec,
    latency: HistogramVec,
    connections: IntGauge,
    accepted: IntCounter,
    pub(super) refused: IntCounter,
    pub(super) tls_failures: IntCounter,
    pub(super) stalled: IntCounter,
    waiting: IntGauge,
    pub(super) turned_away: IntCounter,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    ///
    /// Where they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let route = &["route"][..];
        Ok(Self {
            requests: register.counters(
                "rungd_http_requests_total",
                "Requests answered, by route and class of status.",
                &["route", "status"],
            )?,
            bytes: register.counters("rungd_http_response_bytes_total", "Bytes of bodies sent.", route)?,
            in_flight: register.gauges(
                "rungd_http_in_flight",
                "Requests whose answer is not sent to its end.",
                route,
            )?,
            latency: register.histograms(
                "rungd_http_response_seconds",
                "From a request's head to its answer's head; includes waiting for a segment about to exist.",
                route,
                &LATENCY_BUCKETS,
            )?,
            connections: register.gauge("rungd_http_connections", "Connections open.")?,
            accepted: register.counter("rungd_http_connections_total", "Connections accepted.")?,
            refused: register
                .counter("rungd_http_connections_refused_total", "Connections closed at once: too many.")?,
            tls_failures: register.counter("rungd_http_tls_failures_total", "TLS handshakes that failed.")?,
            stalled: register.counter(
                "rungd_http_connections_stalled_total",
                "Connections closed because the peer sent no request or read nothing for too long.",
            )?,
            waiting: register.gauge(
                "rungd_http_waiting_requests",
                "Media requests that wait for a chunk, a segment or a disk.",
            )?,
            turned_away: register.counter(
                "rungd_http_waiting_refused_total",
                "Media requests answered with 503 because too many wait already.",
            )?,
        })
    }

    /// Counts a connection, while it lasts too.
    pub(super) fn connection(&self) -> Held {
        self.accepted.inc();
        Held::new(&self.connections)
    }

    /// Counts a request that waits, until this is dropped.
    pub(super) fn wait(&self) -> Held {
        Held::new(&self.waiting)
    }
}

/// The closed list of routes.
fn route(path: &str) -> &'static str {
    let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
    if path.starts_with("/live/") || path.starts_with("/replay/") {
        match last.rsplit_once('.').map(|(_, extension)| extension) {
            Some("mpd") => "dash",
            Some("m3u8") => "hls",
            Some("mp4") => "init",
            Some("m4s") => "segment",
            _ => "other",
        }
    } else if path.starts_with("/api/") {
        "api"
    } else if path == "/" || path.starts_with("/assets/") {
        "page"
    } else if matches!(path, "/metrics" | "/healthz" | "/readyz" | "/time") {
        "operation"
    } else {
        "other"
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Counts a request and its answer.
pub(super) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = route(request.uri().path());
    let began = clock::now();
    let flight = Held::new(&metrics.in_flight.with_label_values(&[route]));
    let response = next.run(request).await;
    let seconds = clock::now().saturating_duration_since(began).as_secs_f64();
    metrics.latency.with_label_values(&[route]).observe(seconds);
    metrics.requests.with_label_values(&[route, class(response.status().as_u16())]).inc();
    let bytes = metrics.bytes.with_label_values(&[route]);
    response.map(|body| Body::new(Counted { body, bytes, _flight: flight }))
}

/// Something that is counted in a gauge while it lasts: a request from its head to the end of its answer's body, or its
/// waiting, or a connection.
pub(super) struct Held {
    gauge: IntGauge,
}

impl Held {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// A body that counts what of it is sent.
struct Counted {
    body: Body,
    bytes: IntCounter,
    _flight: Held,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
