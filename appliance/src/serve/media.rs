//! Manifests and segments, live and as replays.

mod fault;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use media::SegmentNumber;
use packager::hls::{self, Readiness, Reload, Skip};
use packager::window::Latency;
use tokio::sync::Semaphore;
use tokio::time;

use self::fault::Fault;
use super::Metrics;
use super::body;
use super::conditions::{RangeAnswer, not_modified, range};
use super::disk::{self, Disk};
use super::documents::{Document, DocumentError, Documents, Key, media_base};
use super::path::{Manifest, MediaPath, Wanted};
use crate::store::{
    Absent, FeedName, Media, PresentationId, PresentationView, Progress, Segment, Store, TrackName,
};

/// For what a URL will always mean: segment numbers restart with each presentation, so only URLs that name the
/// presentation get this (RFC 8246 for `immutable`).
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For what will be different soon: not found yet, or no longer.
const SHORT: &str = "public, max-age=1";
/// For a body that ends where the connection does: cut short it looks like a whole one (RFC 9112, 6.3).
const NOT_AT_ALL: HeaderValue = HeaderValue::from_static("no-store");
/// For a path that is none of ours.
const NO_SUCH_NAME: &str = "there is nothing of that name";
/// For a track that is none.
const NO_SUCH_RUNG: &str = "there is no such rung";
/// For a presentation that is none.
const NO_SUCH_RECORDING: &str = "there is no such recording";
/// For a segment or a part of one.
const NO_SUCH_SEGMENT: &str = "this segment is not there: not yet, or no longer";

/// What the media routes share.
#[derive(Clone)]
pub(super) struct MediaState {
    store: Store,
    documents: Arc<Documents>,
    /// Places for requests that are not answered at once.
    waiting: Arc<Semaphore>,
    disk: Disk,
    metrics: Metrics,
}

impl MediaState {
    pub(super) fn new(store: Store, max_waiting: usize, metrics: Metrics) -> Self {
        let waiting = Arc::new(Semaphore::new(max_waiting.min(Semaphore::MAX_PERMITS)));
        Self { store, documents: Arc::default(), waiting, disk: Disk::new(disk::ARCHIVE_PLACES), metrics }
    }

    async fn live_manifest(
        &self,
        view: &Arc<PresentationView>,
        manifest: Manifest,
        reload: Reload,
    ) -> Result<Arc<Document>, Fault> {
        if let Manifest::Playlist(track) = &manifest
            && reload.msn.is_some()
        {
            let limit = hls::held_back(view.segment_duration());
            let ready = time::timeout(limit, self.wait_for(view, track, reload)).await;
            ready.unwrap_or(Err(Fault::NotInTime))?;
        } else if view.listed().is_none() && view.is_live() && !view.wait_until_playable().await {
            return Err(Fault::NotFound("there is nothing to play yet"));
        }
        let (feed, presentation) = (view.feed().clone(), view.id().clone());
        let delta = reload.skip == Skip::Yes && matches!(manifest, Manifest::Playlist(_));
        let key = Key { replay: false, feed, presentation, manifest, delta };
        if view.is_live() {
            let (version, window) = self.documents.window(view);
            return Ok(self.documents.document(&key, version, &window)?);
        }
        let version = view.version();
        if let Some(document) = self.documents.cached(&key, version) {
            return Ok(document);
        }
        // A playlist keeps its window and gets an end: its media sequence may not go back to the first segment under those
        // who read it again (RFC 8216, 6.2.2). All of it is the replay's. An MPD may list more than it did.
        let whole = view.is_settled() && !matches!(key.manifest, Manifest::Playlist(_));
        let window = match whole {
            true => {
                let (store, view) = (self.store.clone(), view.clone());
                let read = async move { store.live_window(&view, &media_base(&view)).await };
                self.disk.read(read).await?
            }
            false => view.window(&media_base(view)),
        };
        Ok(self.documents.document(&key, version, &window)?)
    }

    /// Waits until a playlist has what was asked for (RFC 8216bis, 6.2.5.2).
    async fn wait_for(
        &self,
        view: &PresentationView,
        track: &TrackName,
        reload: Reload,
    ) -> Result<(), Fault> {
        let track = view.track(track).ok_or(Fault::NotFound(NO_SUCH_RUNG))?;
        let mut progress = view.progress();
        loop {
            let Progress { ended, left, .. } = *progress.borrow_and_update();
            if ended {
                return Ok(());
            }
            let (_, window) = self.documents.window(view);
            match hls::readiness(&window, track, &reload) {
                Ok(Readiness::Ready) => return Ok(()),
                Ok(Readiness::Refused(error)) => return Err(error.into()),
                Ok(Readiness::Wait) if left => return Err(Fault::Stopping),
                Ok(Readiness::Wait) => {}
                Err(error) => return Err(DocumentError::from(error).into()),
            }
            if progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Whether a segment may be in the archive, or without a number anything of its presentation.
    fn may_keep(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        number: Option<SegmentNumber>,
    ) -> Result<bool, Fault> {
        // This first: it may be opened at any moment.
        let unknown = self.store.awaits_archive();
        match self.store.may_keep(feed, presentation, number) {
            // What is on air is taken in once there is one; a segment of it that is not in memory any more never is.
            known if unknown && (!known || number.is_none()) => Err(Fault::NoArchive),
            known => Ok(known),
        }
    }

    async fn replay_manifest(
        &self,
        feed: FeedName,
        presentation: PresentationId,
        manifest: Manifest,
    ) -> Result<(Arc<Document>, bool), Fault> {
        if !self.may_keep(&feed, &presentation, None)? {
            return Err(Fault::NotFound(NO_SUCH_RECORDING));
        }
        let found = {
            let (store, feed, presentation) = (self.store.clone(), feed.clone(), presentation.clone());
            self.disk.read(async move { store.replay(&feed, &presentation).await }).await?
        };
        let replay = found.ok_or(Fault::NotFound(NO_SUCH_RECORDING))?;
        let key = Key { replay: true, feed, presentation, manifest, delta: false };
        if let Some(document) = self.documents.cached(&key, replay.version()) {
            return Ok((document, replay.is_ended()));
        }
        let (version, ended) = (replay.version(), replay.is_ended());
        let store = self.store.clone();
        let window = self.disk.read(async move { store.replay_window(&replay, "").await }).await?;
        let window = window.ok_or(Fault::NotFound("there is no archive"))?;
        Ok((self.documents.document(&key, version, &window)?, ended))
    }
}

/// `GET /live/…`.
pub(super) async fn live(
    State(state): State<MediaState>,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(path) = uri.path().strip_prefix("/live/").and_then(MediaPath::live) else {
        return Fault::NotFound(NO_SUCH_NAME).into_response();
    };
    state.answer(version, &headers, state.live(path, uri.query().unwrap_or_default())).await
}

/// `GET /replay/…`.
pub(super) async fn replay(
    State(state): State<MediaState>,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(path) = uri.path().strip_prefix("/replay/").and_then(MediaPath::replay) else {
        return Fault::NotFound(NO_SUCH_NAME).into_response();
    };
    state.answer(version, &headers, state.replay(path)).await
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
    /// These bytes of a segment in memory.
    Part(Arc<Segment>, Range<u64>),
    /// There is none, and that is as it should be.
    Nothing,
}

impl MediaState {
    /// Answers with what is found. Who has to wait for it, for a chunk or a disk, takes one of a bounded number of
    /// places until then; hyper drops the request, and the place with it, when the viewer goes.
    async fn answer(
        &self,
        version: Version,
        headers: &HeaderMap,
        find: impl Future<Output = Result<Found, Fault>>,
    ) -> Response {
        let mut find = pin!(find);
        let found = match poll_fn(|context| Poll::Ready(find.as_mut().poll(context))).await {
            Poll::Ready(found) => found,
            Poll::Pending => match self.waiting.try_acquire() {
                Ok(_place) => {
                    let _counted = self.metrics.wait();
                    find.await
                }
                Err(_) => {
                    self.metrics.turned_away.inc();
                    Err(Fault::NoPlace)
                }
            },
        };
        match found {
            Ok(found) => found.answer(&self.disk, version, headers),
            Err(fault) => fault.into_response(),
        }
    }

    async fn live(&self, path: MediaPath, query: &str) -> Result<Found, Fault> {
        let MediaPath { feed, presentation, wanted } = path;
        let view = self.store.live(feed.as_str());
        let no_view = Fault::NotFound("nothing has been published to this feed since the start");
        match (presentation, wanted) {
            (_, Wanted::Manifest(manifest)) => {
                let view = view.ok_or(no_view)?;
                // Who offers no directives is to pass over them (RFC 8216bis, 6.2.5.1).
                let reload = match (&manifest, view.latency()) {
                    (Manifest::Playlist(_), Latency::Low { .. }) => Reload::parse(query)?,
                    _ => Reload::default(),
                };
                let document = self.live_manifest(&view, manifest, reload).await?;
                let kept_for = match reload.msn {
                    Some(_) => hls::kept_for(view.segment_duration()),
                    None => view.segment_duration() / 2,
                };
                Ok(Found::document(&document, max_age(kept_for)))
            }
            (Some(presentation), wanted) => self.named(&feed, &presentation, wanted).await,
            (None, Wanted::Part(track, number, index)) => self.part(view, &track, (number, index)).await,
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
            Wanted::Part(track, number, index) => {
                let view = self.store.live(feed.as_str()).filter(|view| view.id() == presentation);
                return self.part(view, &track, (number, index)).await;
            }
            Wanted::Manifest(_) => return Err(Fault::NotFound(NO_SUCH_NAME)),
        };
        let view = self.store.live(feed.as_str()).filter(|view| view.id() == presentation);
        let found = match in_memory(view.as_deref(), &track, number).await? {
            InMemory::Here(media, audio) => Some((media, audio)),
            InMemory::Over => return Ok(Found::nothing()),
            InMemory::Not
                if view.as_deref().zip(number).is_some_and(|(view, number)| view.is_beyond(number)) =>
            {
                None
            }
            InMemory::Not => self.archived(feed, presentation, &track, number).await?,
        };
        let fleeting = view.filter(|view| number.is_some_and(|number| view.is_fleeting(number)));
        let lasts = fleeting.is_none();
        // As long as a part: who follows the live edge has it from the cache, and what lasts is fetched once more.
        let cache = fleeting.map(|view| max_age(hls::kept_for(view.segment_duration())));
        let cache = cache.unwrap_or(HeaderValue::from_static(FOR_EVER));
        Found::media(found, presentation, (&track, number), cache, lasts)
    }

    /// A chunk by itself. Memory alone has it: playlists name parts only near the live edge. Nor need caches keep it for
    /// longer. Its name stands for these bytes alone: after a power cut its segment is made anew without parts.
    async fn part(
        &self,
        view: Option<Arc<PresentationView>>,
        track: &TrackName,
        (number, index): (SegmentNumber, u32),
    ) -> Result<Found, Fault> {
        let at = view.and_then(|view| Some((view.track(track)?, view)));
        let (at, view) = at.ok_or(Fault::NotFound(NO_SUCH_SEGMENT))?;
        let (segment, range) = view.part(at, number, index).await?;
        let audio = view.is_audio(at);
        Ok(Found {
            what: What::Part(segment, range),
            content_type: if audio { "audio/mp4" } else { "video/mp4" },
            etag: HeaderValue::try_from(format!("\"{}-{track}-{number}.{index}\"", view.id())).ok(),
            cache: max_age(hls::kept_for(view.segment_duration())),
        })
    }

    async fn archived(
        &self,
        feed: &FeedName,
        presentation: &PresentationId,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<Option<(Media, bool)>, Fault> {
        if !self.may_keep(feed, presentation, number)? {
            return Ok(None);
        }
        let (store, feed, presentation, track) =
            (self.store.clone(), feed.clone(), presentation.clone(), track.clone());
        let read = async move { store.archived(&feed, &presentation, &track, number).await };
        Ok(self.disk.read(read).await?)
    }

    /// By a URL that does not: of the presentation on air, and then out of its window only, wherever that is kept.
    async fn current(
        &self,
        view: Arc<PresentationView>,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<Found, Fault> {
        let in_window = |number| view.listed().is_some_and(|(first, last)| (first..=last).contains(&number));
        let found = match in_memory(Some(&view), track, number).await? {
            InMemory::Here(media, audio) => Some((media, audio)),
            InMemory::Over => return Ok(Found::nothing()),
            InMemory::Not if !view.is_live() || number.is_some_and(in_window) => {
                self.archived(view.feed(), view.id(), track, number).await?
            }
            InMemory::Not => None,
        };
        let lasts = number.is_none_or(|number| !view.is_fleeting(number));
        Found::media(found, view.id(), (track, number), HeaderValue::from_static(SHORT), lasts)
    }
}

/// What memory has of a segment, or of an initialization segment.
enum InMemory {
    /// It, and whether it is sound.
    Here(Media, bool),
    /// That it will never be: the presentation has ended before it.
    Over,
    /// Nothing.
    Not,
}

async fn in_memory(
    view: Option<&PresentationView>,
    track: &TrackName,
    number: Option<SegmentNumber>,
) -> Result<InMemory, Fault> {
    let Some(view) = view else { return Ok(InMemory::Not) };
    let over = |number| view.track(track).is_some() && view.follows_end(number);
    match view.media(track, number).await {
        Ok((media, audio)) => Ok(InMemory::Here(media, audio)),
        Err(Absent::Not) if number.is_some_and(over) => Ok(InMemory::Over),
        Err(Absent::Not) => Ok(InMemory::Not),
        Err(absent) => Err(absent.into()),
    }
}

/// In whole seconds, and at least one, so that a CDN can join requests. A manifest may be as old as half a segment.
fn max_age(kept_for: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("public, max-age={}", kept_for.as_secs().max(1)))
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
        (track, number): (&TrackName, Option<SegmentNumber>),
        cache: HeaderValue,
        lasts: bool,
    ) -> Result<Self, Fault> {
        let (media, audio) = found.ok_or(Fault::NotFound(NO_SUCH_SEGMENT))?;
        let what = What::Media(media);
        // What is whole and on disk is never changed, so its name and size are as strong a validator as its bytes. All else
        // has none: if the daemon dies it is made anew, perhaps as long as it was, and nobody is to take the one for the
        // other, or join them by a range (RFC 9110, 8.8.1; RFC 9111, 3.4).
        let etag = what.length().filter(|_| lasts).and_then(|bytes| {
            let part = number.map_or_else(|| "init".to_owned(), |number| number.to_string());
            HeaderValue::try_from(format!("\"{presentation}-{track}-{part}-{bytes}\"")).ok()
        });
        Ok(Self { what, content_type: if audio { "audio/mp4" } else { "video/mp4" }, etag, cache })
    }

    /// A segment past the end, as a player takes it: Shaka Player makes a 404 there a fatal error.
    fn nothing() -> Self {
        Self { what: What::Nothing, content_type: "", etag: None, cache: HeaderValue::from_static(SHORT) }
    }

    fn answer(self, disk: &Disk, version: Version, headers: &HeaderMap) -> Response {
        let Self { what, content_type, etag, mut cache } = self;
        if matches!(what, What::Nothing) {
            return (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, cache)]).into_response();
        }
        let mut response = if etag.as_ref().is_some_and(|etag| not_modified(headers, etag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = match what.length() {
                Some(length) => what.part(disk, range(headers, etag.as_ref(), length), length),
                // What is still being written has no length to count a range against: all of it, as it comes.
                None => {
                    if version < Version::HTTP_11 {
                        cache = NOT_AT_ALL;
                    }
                    what.body(disk, None).into_response()
                }
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
            Self::Part(_, range) => Some(range.end.saturating_sub(range.start)),
            Self::Nothing => Some(0),
        }
    }

    fn part(self, disk: &Disk, wanted: RangeAnswer, length: u64) -> Response {
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
        let mut response = self.body(disk, Some(range)).into_response();
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

    fn body(self, disk: &Disk, range: Option<Range<u64>>) -> Body {
        match self {
            Self::Bytes(bytes) | Self::Media(Media::Init(bytes)) => {
                let range = range.unwrap_or(0..u64::MAX);
                let at = |position| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Body::from(bytes.slice(at(range.start)..at(range.end)))
            }
            Self::Media(Media::Segment(segment)) => body::segment(&segment, range),
            Self::Nothing => Body::empty(),
            Self::Part(segment, part) => {
                let at = |position: u64| part.start.saturating_add(position).min(part.end);
                let range = range.map_or(part.clone(), |range| at(range.start)..at(range.end));
                body::segment(&segment, Some(range))
            }
            Self::Media(Media::Stored(stored)) => {
                let length = stored.bytes();
                body::stored(disk.clone(), stored, range.unwrap_or(0..length))
            }
        }
    }
}
