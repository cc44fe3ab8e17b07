//! Manifests as text, each written once for all who ask for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::http::HeaderValue;
use packager::hls::Skip;
use packager::window::Window;
use packager::{dash, hls};
use sha2::{Digest, Sha256};

use super::path::Manifest;
use crate::store::{FeedName, PresentationId, PresentationView};

/// Manifests kept as text, over all presentations, in bytes. Those of ten live feeds take some 100 kB; the playlist of
/// one track over a day takes 3 MB.
const MAX_CACHED_BYTES: usize = 16 << 20;

/// Why a manifest cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// A rung that is none.
    #[error("there is no such rung")]
    NoSuchRung,
    /// The MPD.
    #[error("MPD cannot be written")]
    Dash(#[from] dash::DashError),
    /// A playlist.
    #[error("playlist cannot be written")]
    Hls(#[from] hls::HlsError),
    /// Its validator; a digest in hexadecimal, which always can.
    #[error("entity tag cannot stand in a header")]
    Tag(#[from] axum::http::header::InvalidHeaderValue),
}

/// A manifest as text.
pub(super) struct Document {
    pub(super) body: Bytes,
    pub(super) etag: HeaderValue,
    pub(super) content_type: &'static str,
}

/// Which one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) replay: bool,
    pub(super) feed: FeedName,
    pub(super) presentation: PresentationId,
    pub(super) manifest: Manifest,
    /// Whether it is a Playlist Delta Update.
    pub(super) delta: bool,
}

/// Manifests as text, with the version of the presentation that each was written of, and what those of live
/// presentations are written from.
#[derive(Default)]
pub(super) struct Documents {
    texts: Mutex<Texts>,
    /// Of each feed the last.
    windows: Mutex<BTreeMap<FeedName, Versioned>>,
}

/// What manifests are written from, at a version of a presentation.
struct Versioned {
    presentation: PresentationId,
    version: u64,
    window: Arc<Window>,
}

#[derive(Default)]
struct Texts {
    by_key: BTreeMap<Key, (u64, Arc<Document>)>,
    bytes: usize,
}

impl Documents {
    /// The text of a manifest at a version, written where nobody has yet.
    pub(super) fn document(
        &self,
        key: &Key,
        version: u64,
        window: &Window,
    ) -> Result<Arc<Document>, DocumentError> {
        if let Some(document) = self.cached(key, version) {
            return Ok(document);
        }
        let document = Arc::new(write(&key.manifest, key.delta, window)?);
        let mut texts = unpoisoned(&self.texts);
        texts.bytes += document.body.len();
        if let Some((_, old)) = texts.by_key.insert(key.clone(), (version, document.clone())) {
            texts.bytes -= old.body.len();
        }
        // Each is written again when it is asked for; which one goes does not matter.
        while texts.bytes > MAX_CACHED_BYTES
            && let Some((_, (_, old))) = texts.by_key.pop_first()
        {
            texts.bytes -= old.body.len();
        }
        Ok(document)
    }

    /// The same where it was written already.
    pub(super) fn cached(&self, key: &Key, version: u64) -> Option<Arc<Document>> {
        let texts = unpoisoned(&self.texts);
        texts.by_key.get(key).filter(|(of, _)| *of == version).map(|(_, document)| document.clone())
    }

    /// What the manifests of a live presentation are written from, with its version. Thousands may wait for the same
    /// chunk, and ask for this when it has come.
    pub(super) fn window(&self, view: &PresentationView) -> (u64, Arc<Window>) {
        // The version is read before what it is the version of: at worst the next request writes it once more.
        let version = view.version();
        let mut windows = unpoisoned(&self.windows);
        let last = windows.get(view.feed());
        if let Some(last) = last.filter(|last| last.presentation == *view.id() && last.version == version) {
            return (version, last.window.clone());
        }
        // Under the lock: the others wait for this one rather than do it too.
        let window = Arc::new(view.window(&media_base(view)));
        let versioned = Versioned { presentation: view.id().clone(), version, window: window.clone() };
        windows.insert(view.feed().clone(), versioned);
        (version, window)
    }
}

/// What stands before media paths in the manifests of a live presentation.
pub(super) fn media_base(view: &PresentationView) -> String {
    format!("{}/", view.id())
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(manifest: &Manifest, delta: bool, window: &Window) -> Result<Document, DocumentError> {
    let (text, content_type) = match manifest {
        Manifest::Mpd => (dash::mpd(window)?, "application/dash+xml"),
        Manifest::Master => (hls::master(window)?, "application/vnd.apple.mpegurl"),
        Manifest::Playlist(name) => {
            let track = window.tracks.iter().position(|track| track.name == name.as_str());
            let track = track.ok_or(DocumentError::NoSuchRung)?;
            let skip = if delta { Skip::Yes } else { Skip::No };
            (hls::media_update(window, track, skip)?, "application/vnd.apple.mpegurl")
        }
    };
    let digest = Sha256::digest(text.as_bytes());
    let digest: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let etag = HeaderValue::try_from(format!("\"{digest}\""))?;
    Ok(Document { body: text.into(), etag, content_type })
}
