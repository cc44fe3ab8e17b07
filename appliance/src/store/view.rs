//! A presentation as viewers see it: its window, its segments, and waiting for the one about to exist.

mod keeping;
mod waiting;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use media::{MediaTime, SegmentNumber};
use packager::cmaf::Chunk;
use packager::window::{Latency, LiveEdge, Window, WindowTrack};
use tokio::sync::watch;

use super::archive::{Job, Key};
use super::catalogue::{PresentationRecord, TrackRecord};
use super::live::{Change, LiveWindow, Past};
use super::name::{FeedName, PresentationId, TrackName};
use super::segment::{Segment, SegmentChunk};
use crate::clock;

pub(super) use self::keeping::Keeping;
pub use self::waiting::Absent;

/// Where Date comes from for players that cannot trust the device's clock: `UTCTiming`.
pub(super) const TIME_URL: &str = "/time";

/// Counts what readers may wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that came, and segments begun anew, over all tracks.
    pub chunks: u64,
    /// Segments opened, over all tracks.
    pub opened: u64,
    /// Changes of what a manifest would say, chunks apart.
    pub version: u64,
    /// Whether nothing more will be listed.
    pub ended: bool,
    /// Whether it has ended and everything of it that could be is in the archive.
    pub settled: bool,
    /// Whether the daemon stops and leaves it to the next one: nothing more comes from this one.
    pub left: bool,
}

/// The segment of a track that follows on its list.
#[derive(Debug, Clone)]
pub struct OpenSegment {
    /// Its number.
    pub number: SegmentNumber,
    /// The chunks that are there, in order.
    pub chunks: Vec<SegmentChunk>,
    /// Whether it is whole, and listed once its other tracks and the archive are ready.
    pub whole: bool,
    /// Where its bytes are.
    pub segment: Arc<Segment>,
}

/// A presentation in memory. Cheap to share.
pub struct PresentationView {
    pub(super) record: PresentationRecord,
    pub(super) names: Vec<TrackName>,
    inits: Vec<Bytes>,
    live: Mutex<LiveWindow>,
    progress: watch::Sender<Progress>,
    keeping: Keeping,
    this: Weak<Self>,
}

impl fmt::Debug for PresentationView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (feed, id) = (self.feed(), self.id());
        f.debug_struct("PresentationView").field("feed", feed).field("id", id).finish_non_exhaustive()
    }
}

impl PresentationView {
    pub(super) fn new(
        record: PresentationRecord,
        names: Vec<TrackName>,
        inits: Vec<Bytes>,
        keeping: Keeping,
        now_unix_millis: u64,
    ) -> Arc<Self> {
        let timescales = record.tracks.iter().map(|track| track.timescale);
        let reach = keeping.reach(&record);
        let live = LiveWindow::new(timescales, reach, record.cadence.segment_duration(), now_unix_millis);
        Arc::new_cyclic(|this| Self {
            record,
            names,
            inits,
            live: Mutex::new(live),
            progress: watch::Sender::default(),
            keeping,
            this: this.clone(),
        })
    }

    /// Lists what an earlier run left; before it has readers.
    pub(super) fn take_up(&self, past: Vec<Past>) {
        let due = self.due();
        self.lock().take_up(past, due);
        self.progress.send_modify(|progress| progress.version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, LiveWindow> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose it is.
    #[must_use]
    pub fn feed(&self) -> &FeedName {
        &self.record.feed
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &PresentationId {
        &self.record.id
    }

    /// Whether more segments will come.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.progress.borrow().ended
    }

    /// Whether it has ended and everything of it that could be is in the archive.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.progress.borrow().settled
    }

    /// Whether it is kept on disk: not without an archive, nor as long as that cannot be used.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.archive().is_some()
    }

    /// Grows with every change of what a manifest would say; in low latency that is every chunk.
    #[must_use]
    pub fn version(&self) -> u64 {
        let progress = self.progress.borrow();
        match self.record.target_latency {
            Some(_) => progress.version.wrapping_add(progress.chunks),
            None => progress.version,
        }
    }

    /// How far behind real time viewers are meant to be.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let target = self.record.target_latency;
        target.map_or(Latency::Standard, |target| Latency::low(&self.record.cadence, target))
    }

    /// The parts at the live edge of a track, as a low-latency manifest shows them.
    #[must_use]
    pub fn edge(&self, track: usize) -> LiveEdge {
        self.lock().edge(track)
    }

    /// Changes with every chunk that comes, with every segment that is listed, and at the end. Each receiver sees the
    /// newest state; see [`watch::Receiver::wait_for`].
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The segment of a track that follows on its list: being written, or whole and about to be listed. None before
    /// its first chunk.
    #[must_use]
    pub fn open_segment(&self, track: usize) -> Option<OpenSegment> {
        let segment = self.lock().open(track)?;
        let whole = segment.whole_bytes().is_some();
        Some(OpenSegment { number: segment.number(), chunks: segment.chunks(), whole, segment })
    }

    /// How far back viewers may seek while it is live: less as long as an archive that is to be there cannot be used.
    #[must_use]
    pub fn time_shift(&self) -> Duration {
        self.keeping.time_shift(&self.record)
    }

    /// Nominal segment length.
    #[must_use]
    pub fn segment_duration(&self) -> Duration {
        self.record.cadence.segment_duration().to_duration()
    }

    /// First and last segment listed; none before the first is whole.
    #[must_use]
    pub fn listed(&self) -> Option<(SegmentNumber, SegmentNumber)> {
        self.lock().range()
    }

    /// Numbers that are whole on every track and that the archive does not have yet; none without an archive.
    #[must_use]
    pub fn waiting_for_archive(&self) -> usize {
        self.lock().unkept()
    }

    /// Media bytes held in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// The track of this name.
    #[must_use]
    pub fn track(&self, name: &TrackName) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// Whether a track is sound.
    #[must_use]
    pub fn is_audio(&self, track: usize) -> bool {
        self.record.tracks.get(track).is_some_and(TrackRecord::is_audio)
    }

    /// The initialization segment of a track.
    #[must_use]
    pub fn init(&self, track: usize) -> Option<Bytes> {
        self.inits.get(track).cloned()
    }

    /// What a manifest is written from: the whole window, also what of it is in the archive and not in memory.
    #[must_use]
    pub fn window(&self, media_base: &str) -> Window {
        let live = self.lock();
        let tracks = self.record.tracks.iter().enumerate();
        Window {
            title: self.record.title.clone(),
            availability_start_unix_millis: self.record.availability_start_unix_millis,
            published_unix_millis: live.published_unix_millis(),
            live: !live.ended(),
            segment_duration: self.segment_duration(),
            latency: self.latency(),
            time_shift: self.time_shift(),
            time_url: TIME_URL.to_owned(),
            origin: MediaTime::ZERO,
            media_base: media_base.to_owned(),
            tracks: tracks
                .map(|(index, track)| WindowTrack {
                    edge: match self.record.target_latency {
                        Some(_) => live.edge(index),
                        None => LiveEdge::default(),
                    },
                    ..track.window(live.listed(index), &live.rates(index))
                })
                .collect(),
        }
    }

    /// See [`super::Presentation::push`].
    pub(super) fn push(&self, track: usize, number: SegmentNumber, chunk: Chunk) {
        let change = {
            let mut live = self.lock();
            let change = live.push(track, number, chunk);
            // Late, the gauges do not change, which may be the next presentation's by now.
            if !change.late {
                self.show(&live);
            }
            change
        };
        if change.late {
            return self.late();
        }
        self.progress.send_modify(|progress| {
            progress.chunks += 1;
            progress.opened += u64::from(change.opened);
        });
    }

    /// See [`super::Presentation::restart`].
    pub(super) fn restart(&self, track: usize, number: SegmentNumber) -> bool {
        let restarted = {
            let mut live = self.lock();
            let restarted = live.restart(track, number);
            if restarted {
                self.show(&live);
            }
            restarted
        };
        if restarted {
            self.progress.send_modify(|progress| progress.chunks += 1);
        }
        restarted
    }

    /// Drops what is not whole, and tells its readers. The next daemon makes it anew.
    pub(super) fn discard_open(&self) {
        self.lock().lose_parts();
        for track in 0..self.names.len() {
            self.restart(track, SegmentNumber::FIRST);
        }
    }

    /// See [`super::Presentation::complete`].
    pub(super) fn complete(&self, track: usize, number: SegmentNumber, times: (MediaTime, MediaTime)) {
        let (mut change, next, archive) = {
            let mut live = self.lock();
            let change = live.complete(track, number, times, clock::both());
            self.count(&change);
            if !change.late {
                self.show(&live);
            }
            // Under the lock, since an archive that comes a moment later is told of it by `take_in`.
            (change, live.next_advance(), self.keeping.archive())
        };
        if change.late {
            return self.late();
        }
        if let Some(segment) = change.completed.take() {
            self.keeping.metrics.segments_completed.with_label_values(&[self.feed().as_str()]).inc();
            if let (Some((archive, listing)), Some(name)) = (archive, self.names.get(track)) {
                archive.submit(&self.key(), Job::Segment { track, name: name.clone(), segment });
                if let Some(next) = next {
                    listing.look_at(self.this.clone(), next);
                }
            }
        }
        self.tell(&change);
    }

    /// The archive has a number on every track.
    pub(super) fn kept(&self, number: SegmentNumber) {
        let change = {
            let mut live = self.lock();
            let change = live.kept(number, clock::both());
            self.count(&change);
            change
        };
        self.tell(&change);
        self.keeping.note_what_is_held(&self.key(), number);
    }

    /// Lists what has waited for the archive long enough.
    pub(super) fn list_what_is_due(&self) {
        let (change, next) = {
            let mut live = self.lock();
            let change = live.advance(clock::both());
            self.count(&change);
            (change, live.next_advance())
        };
        if let (Some((_, listing)), Some(next)) = (self.keeping.archive(), next) {
            listing.look_at(self.this.clone(), next);
        }
        self.tell(&change);
    }

    /// Under the lock, for what is listed without protection to be counted before anybody sees it.
    fn count(&self, change: &Change) {
        if change.unprotected > 0 {
            let counter = &self.keeping.metrics.listed_unprotected;
            counter.with_label_values(&[self.feed().as_str()]).inc_by(change.unprotected);
        }
    }

    /// Tells readers, and the archive, of what became of the list.
    fn tell(&self, change: &Change) {
        let ended = {
            let live = self.lock();
            if let Some((archive, _)) = self.keeping.archive() {
                // Under the lock, for the last one to tell to be the last one to have looked.
                archive.set_unprotected(&self.key(), live.is_unprotected());
            }
            if change.listed {
                self.show(&live);
            }
            live.ended()
        };
        self.progress.send_if_modified(|progress| {
            let ends = ended && !progress.ended;
            progress.ended |= ended;
            progress.version += u64::from(change.listed || ends);
            change.listed || ends
        });
    }

    /// No more comes. False if that was said before. It has ended once nothing waits to be listed.
    pub(super) fn close(&self, now_unix_millis: u64) -> bool {
        {
            let mut live = self.lock();
            if live.closed() {
                return false;
            }
            live.close(now_unix_millis, self.due());
            self.show(&live);
        }
        self.progress.send_modify(|progress| progress.opened += 1);
        self.tell(&Change::default());
        true
    }

    /// The daemon stops, and the next one goes on with this. Who waits is told, and holds the stop up no longer.
    pub(super) fn leave(&self) {
        self.progress.send_modify(|progress| progress.left = true);
    }

    /// Everything that could be is in the archive.
    pub(super) fn settle(&self) {
        self.progress.send_modify(|progress| {
            progress.settled = true;
            progress.version += 1;
        });
    }

    /// Another presentation has taken its place.
    pub(super) fn release(&self) {
        self.lock().release();
        self.tell(&Change::default());
    }

    fn late(&self) {
        self.keeping.metrics.late_chunks.with_label_values(&[self.feed().as_str()]).inc();
    }

    pub(super) fn key(&self) -> Key {
        (self.record.feed.clone(), self.record.id.clone())
    }

    /// Under the lock, for the last one to show to be the last one to have looked.
    fn show(&self, live: &LiveWindow) {
        let (feed, metrics) = (self.record.feed.as_str(), &self.keeping.metrics);
        metrics.memory_bytes.with_label_values(&[feed]).set(i64::try_from(live.bytes()).unwrap_or(i64::MAX));
        let segments = i64::try_from(live.segments()).unwrap_or(i64::MAX);
        metrics.memory_segments.with_label_values(&[feed]).set(segments);
    }
}

impl TrackRecord {
    pub(super) fn is_audio(&self) -> bool {
        matches!(self.kind, super::catalogue::KindRecord::Audio { .. })
    }

    pub(super) fn window(
        &self,
        segments: Vec<packager::window::WindowSegment>,
        rates: &super::live::BitRates,
    ) -> WindowTrack {
        WindowTrack {
            name: self.name.clone(),
            codecs: self.codecs.clone(),
            peak_bit_rate: rates.peak(self.nominal_bit_rate),
            mean_bit_rate: rates.mean(self.nominal_bit_rate),
            timescale: self.timescale,
            kind: (&self.kind).into(),
            segments,
            edge: LiveEdge::default(),
        }
    }
}
