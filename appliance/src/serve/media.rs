//! Manifests and segments, live and as replays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use media::SegmentNumber;
use packager::window::Window;
use packager::{dash, hls};
use sha2::{Digest, Sha256};
use tracing::{Level, debug};

use super::body;
use super::conditions::{RangeAnswer, not_modified, range};
use super::path::{Manifest, MediaPath, Wanted};
use crate::log_limited;
use crate::store::{FeedName, Media, PresentationId, PresentationView, Store, StoreError, TrackName};

/// For what a URL will always mean: segment numbers restart with each presentation, so only URLs that name the
/// presentation get this (RFC 8246 for `immutable`).
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For what will be different soon: not found yet, or no longer.
const SHORT: &str = "public, max-age=1";
/// For a path that is none of ours.
const NO_SUCH_NAME: &str = "there is nothing of that name";
/// Manifests kept as text, over all presentations, in bytes. Those of ten live feeds take some 100 kB; the playlist of
/// one track over a day takes 3 MB.
const MAX_CACHED_BYTES: usize = 16 << 20;

/// What went wrong, as a viewer is told.
enum Fault {
    NotFound(&'static str),
    Store(StoreError),
    Manifest(Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::Store(error) => {
                // Any viewer may make a broken disk fail again.
                let source = error_source(&error);
                log_limited!(Level::ERROR, %error, source, "media request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "the archive cannot be read")
            }
            Self::Manifest(error) => {
                debug!(%error, "manifest cannot be written");
                (StatusCode::NOT_FOUND, "there is nothing to play yet")
            }
        };
        (status, [(header::CACHE_CONTROL, SHORT), (header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
            .into_response()
    }
}

fn error_source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// A manifest as text.
struct Document {
    body: Bytes,
    etag: HeaderValue,
    content_type: &'static str,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    replay: bool,
    feed: FeedName,
    presentation: PresentationId,
    manifest: Manifest,
}

/// Manifests as text, with the version of the presentation that each was written of.
#[derive(Default)]
struct Documents {
    by_key: BTreeMap<Key, (u64, Arc<Document>)>,
    bytes: usize,
}

impl Documents {
    fn get(&self, key: &Key, version: u64) -> Option<Arc<Document>> {
        self.by_key.get(key).filter(|(of, _)| *of == version).map(|(_, document)| document.clone())
    }

    fn insert(&mut self, key: Key, version: u64, document: Arc<Document>) {
        self.bytes += document.body.len();
        if let Some((_, old)) = self.by_key.insert(key, (version, document)) {
            self.bytes -= old.body.len();
        }
        // Each is written again when it is asked for; which one goes does not matter.
        while self.bytes > MAX_CACHED_BYTES
            && let Some((_, (_, old))) = self.by_key.pop_first()
        {
            self.bytes -= old.body.len();
        }
    }
}

/// What the media routes share.
#[derive(Clone)]
pub(super) struct MediaState {
    store: Store,
    documents: Arc<Mutex<Documents>>,
}

impl MediaState {
    pub(super) fn new(store: Store) -> Self {
        Self { store, documents: Arc::default() }
    }

    fn cached(&self, key: &Key, version: u64) -> Option<Arc<Document>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).get(key, version)
    }

    fn keep(&self, key: Key, version: u64, document: &Arc<Document>) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.insert(key, version, document.clone());
    }

    async fn live_manifest(
        &self,
        view: &PresentationView,
        manifest: Manifest,
    ) -> Result<Arc<Document>, Fault> {
        if view.listed().is_none() && view.is_live() && !view.wait_until_listed().await {
            return Err(Fault::NotFound("there is nothing to play yet"));
        }
        let key = Key { replay: false, feed: view.feed().clone(), presentation: view.id().clone(), manifest };
        // The version is read before what it is the version of: at worst the next request writes it once more.
        let version = view.version();
        if let Some(document) = self.cached(&key, version) {
            return Ok(document);
        }
        let window = self.store.live_window(view, &format!("{}/", view.id())).await?;
        let document = Arc::new(write(&key.manifest, &window)?);
        self.keep(key, version, &document);
        Ok(document)
    }

    async fn replay_manifest(
        &self,
        feed: FeedName,
        presentation: PresentationId,
        manifest: Manifest,
    ) -> Result<(Arc<Document>, bool), Fault> {
        let found = self.store.replay(&feed, &presentation).await?;
        let replay = found.ok_or(Fault::NotFound("there is no such recording"))?;
        let key = Key { replay: true, feed, presentation, manifest };
        if let Some(document) = self.cached(&key, replay.version()) {
            return Ok((document, replay.is_ended()));
        }
        let window = self.store.replay_window(&replay, "").await?;
        let window = window.ok_or(Fault::NotFound("there is no archive"))?;
        let document = Arc::new(write(&key.manifest, &window)?);
        self.keep(key, replay.version(), &document);
        Ok((document, replay.is_ended()))
    }
}

fn write(manifest: &Manifest, window: &Window) -> Result<Document, Fault> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| Fault::Manifest(error);
    let (text, content_type) = match manifest {
        Manifest::Mpd => (dash::mpd(window).map_err(|error| fault(error.into()))?, "application/dash+xml"),
        Manifest::Master => {
            (hls::master(window).map_err(|error| fault(error.into()))?, "application/vnd.apple.mpegurl")
        }
        Manifest::Playlist(name) => {
            let track = window.tracks.iter().position(|track| track.name == name.as_str());
            let track = track.ok_or(Fault::NotFound("there is no such rung"))?;
            (hls::media(window, track).map_err(|error| fault(error.into()))?, "application/vnd.apple.mpegurl")
        }
    };
    let digest = Sha256::digest(text.as_bytes());
    let digest: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let etag = HeaderValue::try_from(format!("\"{digest}\"")).map_err(|error| fault(error.into()))?;
    Ok(Document { body: text.into(), etag, content_type })
}

/// `GET /live/…`.
pub(super) async fn live(State(state): State<MediaState>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().strip_prefix("/live/").and_then(MediaPath::live);
    answer(path, &headers, |path| state.live(path)).await
}

/// `GET /replay/…`.
pub(super) async fn replay(State(state): State<MediaState>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().strip_prefix("/replay/").and_then(MediaPath::replay);
    answer(path, &headers, |path| state.replay(path)).await
}

async fn answer<F>(
    path: Option<MediaPath>,
    headers: &HeaderMap,
    find: impl FnOnce(MediaPath) -> F,
) -> Response
where
    F: Future<Output = Result<Found, Fault>>,
{
    let Some(path) = path else { return Fault::NotFound(NO_SUCH_NAME).into_response() };
    match find(path).await {
        Ok(found) => found.answer(headers),
        Err(fault) => fault.into_response(),
    }
}

/// What is to be sent.
struct Found {
    what: What,
    content_type: &'static str,
    etag: Option<HeaderValue>,
    cache: HeaderValue,
}

enum What {
    Bytes(Bytes),
    Media(Media),
}

impl MediaState {
    async fn live(&self, path: MediaPath) -> Result<Found, Fault> {
        let MediaPath { feed, presentation, wanted } = path;
        let view = self.store.live(feed.as_str());
        let no_view = Fault::NotFound("nothing has been published to this feed since the start");
        match (presentation, wanted) {
            (_, Wanted::Manifest(manifest)) => {
                let view = view.ok_or(no_view)?;
                let document = self.live_manifest(&view, manifest).await?;
                Ok(Found::document(&document, max_age(view.segment_duration() / 2)))
            }
            (Some(presentation), wanted) => self.named(&feed, &presentation, wanted).await,
            (None, Wanted::Init(track)) => self.current(view.ok_or(no_view)?, &track, None).await,
            (None, Wanted::Segment(track, number)) => {
                self.current(view.ok_or(no_view)?, &track, Some(number)).await
            }
        }
    }

    async fn replay(&self, path: MediaPath) -> Result<Found, Fault> {
        let MediaPath { feed, presentation, wanted } = path;
        let presentation = presentation.ok_or(Fault::NotFound(NO_SUCH_NAME))?;
        match wanted {
            Wanted::Manifest(manifest) => {
                let (document, ended) = self.replay_manifest(feed, presentation, manifest).await?;
                Ok(Found::document(&document, HeaderValue::from_static(if ended { FOR_EVER } else { SHORT })))
            }
            wanted => self.named(&feed, &presentation, wanted).await,
        }
    }

    /// By a URL that names the presentation.
    async fn named(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        wanted: Wanted,
    ) -> Result<Found, Fault> {
        let (track, number) = match wanted {
            Wanted::Init(track) => (track, None),
            Wanted::Segment(track, number) => (track, Some(number)),
            Wanted::Manifest(_) => return Err(Fault::NotFound(NO_SUCH_NAME)),
        };
        let found = self.store.media(feed, presentation, &track, number).await?;
        Found::media(found, presentation, &track, number, FOR_EVER)
    }

    /// By a URL that does not: of the presentation on air, and then out of its window only.
    async fn current(
        &self,
        view: Arc<PresentationView>,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<Found, Fault> {
        let found = match view.is_live() {
            true => view.media(track, number).await,
            false => self.store.media(view.feed(), view.id(), track, number).await?,
        };
        Found::media(found, view.id(), track, number, SHORT)
    }
}

/// A manifest may be as old as half a segment, in whole seconds, and at least one, so that a CDN can join requests.
fn max_age(half: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("public, max-age={}", half.as_secs().max(1)))
        .unwrap_or(HeaderValue::from_static(SHORT))
}

impl Found {
    fn document(document: &Document, cache: HeaderValue) -> Self {
        Self {
            what: What::Bytes(document.body.clone()),
            content_type: document.content_type,
            etag: Some(document.etag.clone()),
            cache,
        }
    }

    fn media(
        found: Option<(Media, bool)>,
        presentation: &PresentationId,
        track: &TrackName,
        number: Option<SegmentNumber>,
        cache: &'static str,
    ) -> Result<Self, Fault> {
        let (media, audio) =
            found.ok_or(Fault::NotFound("this segment is not there: not yet, or no longer"))?;
        // Written once and never changed, so its name is as strong a validator as its bytes.
        let part = number.map_or_else(|| "init".to_owned(), |number| number.to_string());
        Ok(Self {
            what: What::Media(media),
            content_type: if audio { "audio/mp4" } else { "video/mp4" },
            etag: HeaderValue::try_from(format!("\"{presentation}-{track}-{part}\"")).ok(),
            cache: HeaderValue::from_static(cache),
        })
    }

    fn answer(self, headers: &HeaderMap) -> Response {
        let Self { what, content_type, etag, cache } = self;
        let mut response = if etag.as_ref().is_some_and(|etag| not_modified(headers, etag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = match what.length() {
                Some(length) => what.part(range(headers, etag.as_ref(), length), length),
                // What is still being written has no length to count a range against: all of it, as it comes.
                None => what.body(None).into_response(),
            };
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        };
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, cache);
        fields.extend(etag.map(|etag| (header::ETAG, etag)));
        response
    }
}

impl What {
    /// In bytes; none while it is being written.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) | Self::Media(Media::Init(bytes)) => u64::try_from(bytes.len()).ok(),
            Self::Media(Media::Segment(segment)) => segment.whole_bytes(),
            Self::Media(Media::Stored(stored)) => Some(stored.bytes()),
        }
    }

    fn part(self, wanted: RangeAnswer, length: u64) -> Response {
        let (status, range) = match wanted {
            RangeAnswer::Whole => (StatusCode::OK, 0..length),
            RangeAnswer::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            RangeAnswer::Unsatisfiable => {
                let fields = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
                return (StatusCode::RANGE_NOT_SATISFIABLE, fields).into_response();
            }
        };
        let sent = range.end.saturating_sub(range.start);
        let content_range = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
        let mut response = self.body(Some(range)).into_response();
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(sent));
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT {
            fields.extend(
                HeaderValue::try_from(content_range).ok().map(|value| (header::CONTENT_RANGE, value)),
            );
        }
        response
    }

    fn body(self, range: Option<Range<u64>>) -> Body {
        match self {
            Self::Bytes(bytes) | Self::Media(Media::Init(bytes)) => {
                let range = range.unwrap_or(0..u64::MAX);
                let at = |position| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Body::from(bytes.slice(at(range.start)..at(range.end)))
            }
            Self::Media(Media::Segment(segment)) => body::segment(&segment, range),
            Self::Media(Media::Stored(stored)) => {
                let length = stored.bytes();
                body::stored(stored, range.unwrap_or(0..length))
            }
        }
    }
}
