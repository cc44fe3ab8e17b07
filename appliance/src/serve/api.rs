//! What operators and machines ask: feeds, devices, presentations, health, metrics, the time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use packager::wall_clock::rfc3339;
use prometheus::{Encoder, TextEncoder};
use serde::{Deserialize, Serialize};
use tracing::Level;
use worker_protocol::{DeviceId, Inventory};

use super::disk::{Disk, DiskError};
use super::{RETRY_AFTER, ServeState};
use crate::config::runtime::TOKEN_FILE_NAME;
use crate::feed::{End, Ended};
use crate::store::{FeedName, Store};
use crate::{clock, log_limited};

/// These are about this moment.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Whether the daemon can do its work: the body of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether traffic should be sent here; with 503 where not.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `draining`; `archive`, where there is to be one.
    pub name: String,
    /// Whether it is as it should be. One that is not need not make the daemon unready.
    pub ok: bool,
    /// How it is, in a sentence.
    pub detail: String,
}

/// An error as the API words it.
#[derive(Debug, Serialize)]
struct ErrorBody {
    error: String,
}

fn fault(status: StatusCode, error: String) -> Response {
    fresh((status, Json(ErrorBody { error })))
}

fn fresh(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// `GET /api/v1/feeds`.
pub(super) async fn feeds(State(state): State<ServeState>) -> Response {
    fresh(Json((state.feeds)()))
}

/// `GET /api/v1/feeds/{name}`.
pub(super) async fn feed(
    State(state): State<ServeState>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    // Only what could be a feed's name is echoed.
    let name = name.ok().and_then(|Path(name)| FeedName::new(&name).ok());
    let Some(name) = name else {
        return fault(StatusCode::NOT_FOUND, "there is no feed of that name".to_owned());
    };
    match (state.feeds)().into_iter().find(|feed| feed.name == name.as_str()) {
        Some(feed) => fresh(Json(feed)),
        None => fault(StatusCode::NOT_FOUND, format!("there is no feed {name}")),
    }
}

/// `GET /api/v1/devices`: what was found, and what was not.
#[derive(Debug, Serialize)]
struct DevicesBody {
    /// Luma samples a second of the rungs that feeds have on each device now.
    load_samples_per_second: BTreeMap<DeviceId, u64>,
    #[serde(flatten)]
    inventory: Inventory,
}

/// `GET /api/v1/devices`.
pub(super) async fn devices(State(state): State<ServeState>) -> Response {
    match state.devices.inventory() {
        Some(inventory) => fresh(Json(DevicesBody {
            load_samples_per_second: state.devices.busy(),
            inventory: Inventory::clone(&inventory),
        })),
        None => fault(StatusCode::SERVICE_UNAVAILABLE, "devices are being looked for; ask again".to_owned()),
    }
}

/// What `POST /api/v1/feeds/{name}/end` did.
#[derive(Debug, Serialize)]
struct EndedBody {
    feed: String,
    /// Its id; none where it had not begun.
    presentation: Option<String>,
    /// Whether its manifest is static by now.
    ended: bool,
    /// Whether there is a recording of it, at `/replay/{feed}/{presentation}/`.
    archived: bool,
}

/// `POST /api/v1/feeds/{name}/end`. Only who shows the token may: a browser adds it to no request that another site makes,
/// so nobody can be tricked into this.
pub(super) async fn end(
    State(state): State<ServeState>,
    name: Result<Path<String>, PathRejection>,
    fields: HeaderMap,
) -> Response {
    let shown = fields.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    if !state.control.token.matches(shown) {
        let why = format!("this takes the token in {TOKEN_FILE_NAME} of the state folder; see \"rungd end\"");
        let mut response = fault(StatusCode::UNAUTHORIZED, why);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let name = name.ok().and_then(|Path(name)| FeedName::new(&name).ok());
    let Some(name) = name else {
        return fault(StatusCode::NOT_FOUND, "there is no feed of that name".to_owned());
    };
    let body = |ended: bool, presentation: Option<Ended>| {
        let archived = presentation.as_ref().is_some_and(|presentation| presentation.archived);
        let presentation = presentation.map(|presentation| presentation.presentation);
        Json(EndedBody { feed: name.to_string(), presentation, ended, archived })
    };
    match (state.control.end)(name.to_string()).await {
        End::NoFeed => fault(StatusCode::NOT_FOUND, format!("there is no feed {name}")),
        End::Idle => fault(StatusCode::CONFLICT, format!("nothing of feed {name} is on air")),
        End::Ended(presentation) => fresh(body(true, presentation)),
        End::Ending => fresh((StatusCode::ACCEPTED, body(false, None))),
    }
}

/// What `/api/v1/presentations` may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PresentationsQuery {
    feed: Option<String>,
}

/// `GET /api/v1/presentations`.
pub(super) async fn presentations(
    State((store, disk)): State<(Store, Disk)>,
    query: Result<Query<PresentationsQuery>, QueryRejection>,
) -> Response {
    let feed = match query {
        Ok(Query(PresentationsQuery { feed })) => feed,
        Err(_) => {
            return fault(StatusCode::BAD_REQUEST, "the only parameter is feed, the name of one".to_owned());
        }
    };
    if let Some(Err(error)) = feed.as_deref().map(FeedName::new) {
        return fault(StatusCode::BAD_REQUEST, error.to_string());
    }
    let listed = disk.read(async move { store.presentations(feed.as_deref()).await }).await;
    match listed {
        Ok(presentations) => fresh(Json(presentations)),
        Err(DiskError::Store(error)) => {
            log_limited!(Level::ERROR, %error, "presentations cannot be listed");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "the catalogue cannot be read".to_owned())
        }
        Err(error @ (DiskError::NoPlace | DiskError::NotInTime)) => {
            log_limited!(Level::ERROR, %error, "presentations cannot be listed");
            let mut response =
                fault(StatusCode::SERVICE_UNAVAILABLE, "the catalogue does not answer in time".to_owned());
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            response
        }
    }
}

/// `/api/…` that is nothing.
pub(super) async fn nothing() -> Response {
    fault(
        StatusCode::NOT_FOUND,
        "there is nothing of that name; see /api/v1/feeds and /api/v1/presentations".to_owned(),
    )
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    fresh("ok\n")
}

/// `GET /readyz`.
pub(super) async fn readyz(State(state): State<ServeState>) -> Response {
    let readiness = (state.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    fresh((status, Json(readiness)))
}

/// `GET /time`: wall time as `urn:mpeg:dash:utc:http-iso:2014` has it (ISO/IEC 23009-1, 5.8.4.11).
pub(super) async fn time() -> Response {
    fresh(rfc3339(clock::unix_millis()))
}

/// `GET /metrics`.
pub(super) async fn metrics(State(state): State<ServeState>) -> Response {
    state.store.show_health();
    let mut text = Vec::new();
    match TextEncoder::new().encode(&state.registry.gather(), &mut text) {
        Ok(()) => fresh(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)),
        Err(error) => {
            log_limited!(Level::ERROR, %error, "metrics cannot be written");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::config;

    /// Anybody may ask, and the page does every few seconds.
    #[tokio::test(start_paused = true)]
    async fn recordings_are_not_waited_for_on_a_disk_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let none = config::Archive { enabled: false, max_age: None, max_bytes: None };
        let store = Store::open(&none, folder.path(), &Registry::new()).unwrap();
        let all = || Ok(Query(PresentationsQuery { feed: None }));
        let answer = presentations(State((store.clone(), Disk::new(1))), all()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer = presentations(State((store, Disk::new(0))), all()).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers().get(header::RETRY_AFTER), Some(&RETRY_AFTER));
    }
}
