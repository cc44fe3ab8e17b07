//! Reading what is in memory, and waiting for what is about to be.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use media::{MediaTime, SegmentNumber, Timescale};
use packager::hls;
use tokio::time;

use super::PresentationView;
use crate::clock;
use crate::store::Media;
use crate::store::live::Found;
use crate::store::name::TrackName;
use crate::store::segment::{ChunkFound, Segment};

/// How long a manifest waits for what it could begin with, beyond one segment's length: encoding and packaging take that
/// long at most, or the feed is late and the viewer had better ask again.
const WAIT_BEYOND_SEGMENT: Duration = Duration::from_secs(1);

/// How many segments past the end players ask for in low latency: by the MPD's rule the next one is due until they read
/// the MPD again, which they do every two segments.
const ASKED_PAST_END: u64 = 3;

/// Why something is not to be had from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// It is not in memory, and will not be.
    #[error("it is not in memory")]
    Not,
    /// It is due, or the next to be written, and did not come while it was waited for.
    #[error("it has not come in time")]
    Late,
    /// It is due, or the next to be written, and comes from the next daemon.
    #[error("the daemon stops")]
    Left,
    /// It is a part that an earlier run may have told of, or that this one leaves unfinished: it is never there, but its
    /// segment is, or will be.
    #[error("it is lost with the run that told of it")]
    Lost,
}

impl PresentationView {
    /// A segment that is in memory now, whole or being written; does not wait.
    #[must_use]
    pub fn segment_in_memory(&self, track: usize, number: SegmentNumber) -> Option<Arc<Segment>> {
        match self.find(track, number) {
            Found::Here(segment) => Some(segment),
            Found::Soon | Found::Not => None,
        }
    }

    /// A segment in memory, whole or being written. Waits for the one about to exist, and in low latency for what is due,
    /// as long as a playlist is held back: three target durations.
    ///
    /// # Errors
    ///
    /// Where it is not there, or did not come; what is further ahead, or gone, is so at once.
    pub async fn segment(&self, track: usize, number: SegmentNumber) -> Result<Arc<Segment>, Absent> {
        self.wait_for(|| match self.find(track, number) {
            Found::Here(segment) => Some(Ok(segment)),
            Found::Not => Some(Err(Absent::Not)),
            Found::Soon => None,
        })
        .await
    }

    /// The segment in memory of which this is a chunk (`index` counts from zero), and the bytes of it that the chunk is.
    /// Waits as [`Self::segment`] for the next one to be written.
    ///
    /// # Errors
    ///
    /// As [`Self::segment`].
    pub async fn part(
        &self,
        track: usize,
        number: SegmentNumber,
        index: u32,
    ) -> Result<(Arc<Segment>, Range<u64>), Absent> {
        // Playlists say which parts come, so nobody counts them by the clock: only the next one is waited for.
        self.wait_for(|| {
            if self.lock().lost_parts(number) {
                // Of what has ended nobody asks for parts any more.
                return Some(Err(if self.is_live() { Absent::Lost } else { Absent::Not }));
            }
            match self.lock().find(track, number, SegmentNumber(0)) {
                Found::Here(segment) => match segment.chunk(index) {
                    ChunkFound::Here(chunk) => {
                        Some(Ok((segment, chunk.offset..chunk.offset.saturating_add(chunk.bytes))))
                    }
                    ChunkFound::Next => None,
                    ChunkFound::Not => Some(Err(Absent::Not)),
                },
                Found::Soon if index == 0 => None,
                Found::Soon | Found::Not => Some(Err(Absent::Not)),
            }
        })
        .await
    }

    /// Asks `look` with every change until it has an answer.
    async fn wait_for<T>(&self, look: impl Fn() -> Option<Result<T, Absent>>) -> Result<T, Absent> {
        let mut progress = self.progress.subscribe();
        let waiting = async {
            loop {
                let left = progress.borrow_and_update().left;
                match look() {
                    Some(found) => return found,
                    None if left => return Err(Absent::Left),
                    None => progress.changed().await.map_err(|_| Absent::Left)?,
                }
            }
        };
        let waited = time::timeout(hls::held_back(self.segment_duration()), waiting).await;
        waited.unwrap_or(Err(Absent::Late))
    }

    /// A segment in memory as [`Self::segment`], or the initialization segment of its track where `number` is none;
    /// the second value is whether it is sound.
    ///
    /// # Errors
    ///
    /// As [`Self::segment`].
    pub async fn media(
        &self,
        track: &TrackName,
        number: Option<SegmentNumber>,
    ) -> Result<(Media, bool), Absent> {
        let index = self.track(track).ok_or(Absent::Not)?;
        let found = match number {
            Some(number) => Media::Segment(self.segment(index, number).await?),
            None => Media::Init(self.init(index).ok_or(Absent::Not)?),
        };
        Ok((found, self.is_audio(index)))
    }

    /// Whether a segment may yet be made anew, of other bytes: the archive does not have it, and the daemon may die.
    #[must_use]
    pub fn is_fleeting(&self, number: SegmentNumber) -> bool {
        self.lock().is_fleeting(number)
    }

    /// Whether a player can begin: a segment is listed, or in low latency every track has a chunk.
    fn is_playable(&self) -> bool {
        let live = self.lock();
        let low = self.record.target_latency.is_some();
        live.range().is_some() || low && (0..self.names.len()).all(|track| live.open(track).is_some())
    }

    /// Waits until a player can begin, for one segment's length and a second; false where none can by then. It can once a
    /// segment is listed; in low latency, once every track has a chunk.
    pub async fn wait_until_playable(&self) -> bool {
        let mut progress = self.progress.subscribe();
        let waiting = async {
            loop {
                let over = {
                    let progress = progress.borrow_and_update();
                    progress.ended || progress.left
                };
                if self.is_playable() || over || progress.changed().await.is_err() {
                    return;
                }
            }
        };
        drop(time::timeout(self.segment_duration() + WAIT_BEYOND_SEGMENT, waiting).await);
        self.is_playable()
    }

    /// Whether players that have not heard yet that a low-latency presentation has ended may ask for this segment: it
    /// lies past the end, and hardly past what was due by the clock when it ended.
    #[must_use]
    pub fn follows_end(&self, number: SegmentNumber) -> bool {
        let past = self.lock().past_end(number);
        self.record.target_latency.is_some() && past.is_some_and(|past| past <= ASKED_PAST_END)
    }

    /// Whether a segment lies behind the last one that is listed: what is not in memory of those is nowhere.
    #[must_use]
    pub fn is_beyond(&self, number: SegmentNumber) -> bool {
        self.listed().is_some_and(|(_, last)| number > last)
    }

    fn find(&self, track: usize, number: SegmentNumber) -> Found {
        self.lock().find(track, number, self.due())
    }

    /// The segment that is being written now, if all goes well. In low latency that is what viewers ask for without having
    /// been told of it; they are not to be sent away while a feed makes up for the time that a daemon or worker was away.
    pub(super) fn due(&self) -> SegmentNumber {
        let record = &self.record;
        if record.target_latency.is_none() {
            return SegmentNumber(0);
        }
        let age = clock::unix_millis().saturating_sub(record.availability_start_unix_millis);
        let elapsed = MediaTime::from_duration(Duration::from_millis(age), Timescale::VIDEO);
        record.cadence.segment_of(record.cadence.frame_at(elapsed))
    }
}
