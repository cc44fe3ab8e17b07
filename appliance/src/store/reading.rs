//! What viewers and the API ask of presentations in the archive, and of memory and archive as one. What blocks goes to
//! threads of its own.

use std::sync::Arc;

use bytes::Bytes;
use media::SegmentNumber;
use packager::window::Window;
use tokio::task;

use super::info::PresentationInfo;
use super::name::{FeedName, PresentationId, TrackName};
use super::replay::{Replay, Stored};
use super::segment::Segment;
use super::view::PresentationView;
use super::{Store, StoreError, unpoisoned};

/// Where a media object was found.
pub enum Media {
    /// An initialization segment in memory.
    Init(Bytes),
    /// A segment in memory, whole or being written.
    Segment(Arc<Segment>),
    /// An object in the archive.
    Stored(Stored),
}

impl Store {
    /// Every presentation of one feed, or of all: what is in memory and what is archived, newest first. None for a
    /// name that cannot be a feed's.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn presentations(&self, feed: Option<&str>) -> Result<Vec<PresentationInfo>, StoreError> {
        let feed = match feed.map(FeedName::new).transpose() {
            Ok(feed) => feed,
            Err(_) => return Ok(Vec::new()),
        };
        let archived = match self.shared.replays() {
            Some(replays) => {
                let feed = feed.clone();
                task::spawn_blocking(move || replays.list(feed.as_ref())).await??
            }
            None => Vec::new(),
        };
        let mut infos: Vec<PresentationInfo> = archived
            .iter()
            .filter(|listed| !listed.duration().is_zero())
            .map(PresentationInfo::of_listed)
            .collect();
        for view in
            self.current().values().filter(|view| feed.as_ref().is_none_or(|feed| view.feed() == feed))
        {
            let id = view.id().as_str();
            match infos.iter_mut().find(|info| info.feed == view.feed().as_str() && info.id == id) {
                Some(info) => info.live = view.is_live(),
                None => infos.push(PresentationInfo::of_view(view)),
            }
        }
        infos.sort_by(|a, b| {
            (b.availability_start_unix_millis, &b.id).cmp(&(a.availability_start_unix_millis, &a.id))
        });
        Ok(infos)
    }

    /// Whether a segment of a feed's presentation may be kept, or without a number anything of it, as far as memory knows: of
    /// what there never was, and of what had to make room, no disk need be asked.
    #[must_use]
    pub fn may_keep(&self, feed: &FeedName, id: &PresentationId, number: Option<SegmentNumber>) -> bool {
        let key = (feed.clone(), id.clone());
        let known = unpoisoned(&self.shared.taken).contains(&key);
        known && !self.shared.archive.get().is_some_and(|open| open.archive.is_gone(&key, number))
    }

    /// Whether there is to be an archive and it cannot be used yet: nobody knows what it keeps.
    #[must_use]
    pub fn awaits_archive(&self) -> bool {
        self.shared.archive.get().is_none() && unpoisoned(&self.shared.trouble).is_some()
    }

    /// A presentation in the archive.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn replay(&self, feed: &FeedName, id: &PresentationId) -> Result<Option<Replay>, StoreError> {
        let Some(replays) = self.shared.replays() else { return Ok(None) };
        let (feed, id) = (feed.clone(), id.clone());
        Ok(task::spawn_blocking(move || replays.find(&feed, &id)).await??)
    }

    /// What a manifest of a replay is written from.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn replay_window(
        &self,
        replay: &Replay,
        media_base: &str,
    ) -> Result<Option<Window>, StoreError> {
        self.stretch(replay, media_base, false).await
    }

    async fn stretch(
        &self,
        replay: &Replay,
        media_base: &str,
        newest: bool,
    ) -> Result<Option<Window>, StoreError> {
        let Some(replays) = self.shared.replays() else { return Ok(None) };
        let (replay, media_base) = (replay.clone(), media_base.to_owned());
        Ok(Some(task::spawn_blocking(move || replays.window(&replay, &media_base, newest)).await??))
    }

    /// What a manifest at a feed's live URL is written from: its window, and once the presentation has ended and is
    /// archived, all of it from the last hole on, if that reaches back at least as far.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub async fn live_window(&self, view: &PresentationView, media_base: &str) -> Result<Window, StoreError> {
        if view.is_settled()
            && let Some(replay) = self.replay(view.feed(), view.id()).await?
            && let Some(window) = self.stretch(&replay, media_base, true).await?
            && reaches_as_far(&window, view.listed())
        {
            // Who watches it end goes on with the addressing that there was.
            return Ok(Window { latency: view.latency(), ..window });
        }
        Ok(view.window(media_base))
    }

    /// A segment of a presentation in the archive, or its track's initialization segment where `number` is none. The
    /// second value is whether it is sound. For what is in memory see [`PresentationView::media`].
    ///
    /// # Errors
    ///
    /// Where the archive cannot be read.
    pub async fn archived(
        &self,
        feed: &FeedName,
        id: &PresentationId,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<Option<(Media, bool)>, StoreError> {
        let Some(replays) = self.shared.replays() else { return Ok(None) };
        let (feed, id, track) = (feed.clone(), id.clone(), track.clone());
        task::spawn_blocking(move || {
            let Some(replay) = replays.find(&feed, &id)? else { return Ok(None) };
            let audio = replay.track(&track).is_some_and(|index| replay.is_audio(index));
            let stored = match number {
                Some(number) => replays.segment(&replay, &track, number)?,
                None => replays.init(&replay, &track).map_err(|source| StoreError::Read { source })?,
            };
            Ok(stored.map(|stored| (Media::Stored(stored), audio)))
        })
        .await?
    }
}

/// Whether a window lists what was listed, on every track.
fn reaches_as_far(window: &Window, listed: Option<(SegmentNumber, SegmentNumber)>) -> bool {
    window.tracks.iter().all(|track| {
        let (first, last) = (track.segments.first(), track.segments.last());
        match (first, last, listed) {
            (Some(first), Some(last), Some(listed)) => first.number <= listed.0 && last.number >= listed.1,
            (first, _, None) => first.is_some(),
            (_, _, Some(_)) => false,
        }
    })
}
