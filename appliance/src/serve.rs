//! HTTP: media, manifests, the page, the API, health and metrics.
//!
//! | path | what |
//! | --- | --- |
//! | `/live/{feed}/manifest.mpd`, `master.m3u8`, `{rung}/index.m3u8` | manifests of what is on air |
//! | `/live/{feed}/{rung}/init.mp4`, `{number}.m4s` | its segments; briefly cached |
//! | `/live/{feed}/{presentation}/{rung}/init.mp4`, `{number}.m4s` | the same, cached for ever: what manifests name |
//! | `…/{number}.{part}.m4s` | a chunk of a segment near the live edge, counted from zero |
//! | `/replay/{feed}/{presentation}/…` | recordings |
//! | `POST /api/v1/feeds/{feed}/end` | ends a programme; for who has the token of [`Control`] |
//! | `/time`, `/metrics`, `/healthz`, `/readyz`, `/api/v1/feeds`, `/api/v1/devices`, `/api/v1/presentations` | operation |
//! | `/`, `/assets/…` | the operator's page |
//!
//! [`router`] is what is served, [`listener`] how: sockets, TLS, HTTP/1.1 and HTTP/2, deadlines, bounds.

mod api;
mod body;
mod conditions;
mod disk;
mod documents;
pub mod listener;
mod media;
mod metrics;
mod page;
mod path;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tracing::warn;

pub use self::api::{Check, Readiness};
pub use self::listener::{Limits, Listeners, ServeError, bind, run};
pub use self::metrics::Metrics;

use self::disk::Disk;
use self::media::MediaState;
use crate::config::AdminToken;
use crate::devices::Devices;
use crate::feed::End;
use crate::feed::status::FeedStatus;
use crate::store::Store;

/// What players on other sites may read of an answer (Fetch, CORS-safelisted response headers are allowed anyway).
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Accept-Ranges, Content-Encoding, Content-Length, Content-Range, Date, ETag");
/// What they may send.
const ALLOWED: HeaderValue =
    HeaderValue::from_static("Range, If-Range, If-None-Match, Cache-Control, Content-Type");
/// What can be done with media.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// How long a browser need not ask again, in seconds; browsers themselves bound it at a day.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Seconds after which it is worth asking again where there was no place, or nothing in time: about a segment's length.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Requests of one connection that may wait at once, on average over all: a low-latency player waits for a playlist and
/// for a part, of pictures and of sound. What bounds waiting as a whole is this times the connections.
pub const WAITING_PER_CONNECTION: usize = 4;

/// What is served from.
#[derive(Clone)]
pub struct ServeState {
    /// Segments and manifests.
    pub store: Store,
    /// Where each feed stands.
    pub feeds: Arc<dyn Fn() -> Vec<FeedStatus> + Send + Sync>,
    /// What feeds are transcoded on.
    pub devices: Devices,
    /// What operators may change.
    pub control: Control,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// What `/readyz` says.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// `Access-Control-Allow-Origin` of media and `/time`; none where empty.
    pub allow_origin: String,
    /// Media requests that may wait at once, for a chunk or a disk; further ones are told to come again.
    pub max_waiting: usize,
    /// What serving counts.
    pub metrics: Metrics,
}

/// What operators may change, by a token that only they can read: viewers ask at the same addresses.
#[derive(Clone)]
pub struct Control {
    /// What they have to show.
    pub token: AdminToken,
    /// Ends the programme of a feed.
    pub end: Arc<dyn Fn(String) -> BoxFuture<'static, End> + Send + Sync>,
}

/// Everything that is served.
pub fn router(state: ServeState) -> Router {
    let media = MediaState::new(state.store.clone(), state.max_waiting, state.metrics.clone());
    let origin = match HeaderValue::from_str(&state.allow_origin) {
        Ok(origin) => Some(origin).filter(|origin| !origin.is_empty()),
        Err(error) => {
            warn!(%error, "allow_origin cannot stand in a header and is left out");
            None
        }
    };
    let metrics = state.metrics.clone();
    let shared = Router::new()
        .route("/live/{*path}", get(media::live))
        .route("/replay/{*path}", get(media::replay))
        .with_state(media)
        .route("/time", get(api::time))
        .layer(from_fn_with_state(origin, cross_origin));
    // Apart from viewers' reads, of which neither may take the other's places.
    let catalogue = Disk::new(disk::CATALOGUE_PLACES);
    let recordings = Router::new()
        .route("/api/v1/presentations", get(api::presentations))
        .with_state((state.store.clone(), catalogue));
    Router::new()
        .route("/", get(page::index))
        .route("/assets/{*path}", get(page::asset))
        .route("/favicon.ico", get(page::favicon))
        .route("/metrics", get(api::metrics))
        .route("/healthz", get(api::healthz))
        .route("/readyz", get(api::readyz))
        .route("/api/v1/feeds", get(api::feeds))
        .route("/api/v1/feeds/{name}", get(api::feed))
        .route("/api/v1/devices", get(api::devices))
        .route("/api/v1/feeds/{name}/end", post(api::end))
        .route("/api", any(api::nothing))
        .route("/api/{*path}", any(api::nothing))
        .with_state(state)
        .merge(recordings)
        .merge(shared)
        .fallback(nothing)
        .layer(from_fn(no_sniffing))
        .layer(from_fn_with_state(metrics, metrics::count))
}

async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing of that name\n").into_response()
}

/// Lets players on other sites read media. Answers preflights itself.
async fn cross_origin(State(origin): State<Option<HeaderValue>>, request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = match preflight {
        true => (StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response(),
        false => next.run(request).await,
    };
    let Some(origin) = origin else { return response };
    let fields = response.headers_mut();
    if origin != "*" {
        fields.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    match preflight {
        true => {
            fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
            fields.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        }
        false => {
            fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
    response
}

/// What is sent is what it says it is (Fetch, `X-Content-Type-Options`).
async fn no_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
