//! What goes wrong with a request for media, as a viewer is told.

use std::error::Error;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use packager::hls::ReloadError;
use tracing::{Level, debug};

use super::{NO_SUCH_RUNG, NO_SUCH_SEGMENT, SHORT};
use crate::log_limited;
use crate::serve::RETRY_AFTER;
use crate::serve::disk::DiskError;
use crate::serve::documents::DocumentError;
use crate::store::Absent;

/// What went wrong, as a viewer is told.
pub(super) enum Fault {
    NotFound(&'static str),
    /// Directives that make no sense.
    Reload(ReloadError),
    /// What was waited for did not come.
    NotInTime,
    /// What was waited for comes from the next daemon.
    Stopping,
    /// A part that an earlier run told of.
    LostPart,
    /// Too many wait already.
    NoPlace,
    /// The archive cannot be used yet.
    NoArchive,
    Disk(DiskError),
    Manifest(DocumentError),
}

impl From<DiskError> for Fault {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<Absent> for Fault {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::Not => Self::NotFound(NO_SUCH_SEGMENT),
            Absent::Late => Self::NotInTime,
            Absent::Left => Self::Stopping,
            Absent::Lost => Self::LostPart,
        }
    }
}

impl From<ReloadError> for Fault {
    fn from(error: ReloadError) -> Self {
        Self::Reload(error)
    }
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::NoSuchRung => Self::NotFound(NO_SUCH_RUNG),
            error => Self::Manifest(error),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let (status, text) = match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text.to_owned()),
            Self::Reload(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::NotInTime => (unavailable, "what was asked for has not come in time".to_owned()),
            Self::Stopping => (unavailable, "the appliance is stopping".to_owned()),
            // Not 404, which is a fatal error to hls.js where there is one rung: by then it has read the playlist again.
            Self::LostPart => {
                (unavailable, "this part is lost: the playlist has its segment instead".to_owned())
            }
            Self::NoPlace => (unavailable, "too many requests are waiting".to_owned()),
            Self::NoArchive => (unavailable, "the archive cannot be used yet".to_owned()),
            Self::Disk(error @ (DiskError::NoPlace | DiskError::NotInTime)) => {
                log_limited!(Level::ERROR, %error, "media request failed");
                (unavailable, "the archive does not answer in time".to_owned())
            }
            Self::Disk(DiskError::Store(error)) => {
                // Any viewer may make a broken disk fail again.
                let source = error_source(&error);
                log_limited!(Level::ERROR, %error, source, "media request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "the archive cannot be read".to_owned())
            }
            Self::Manifest(error) => {
                let source = error_source(&error);
                debug!(%error, source, "manifest cannot be written");
                (StatusCode::NOT_FOUND, "there is nothing to play yet".to_owned())
            }
        };
        let mut response = (
            status,
            [(header::CACHE_CONTROL, SHORT), (header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            text,
        )
            .into_response();
        if status == unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

fn error_source(error: &dyn Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
