//! A presentation as viewers see it: its window, its segments, and waiting for the one about to exist.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use media::SegmentNumber;
use packager::cmaf::Chunk;
use packager::window::{Latency, LiveEdge, Window, WindowTrack};
use tokio::sync::watch;
use tokio::time;

use super::Media;
use super::archive::{Archive, Job, Key};
use super::catalogue::{PresentationRecord, TrackRecord};
use super::live::{Found, LiveWindow};
use super::metrics::Metrics;
use super::name::{FeedName, PresentationId, TrackName};
use super::segment::Segment;

/// How long a request for the next segment waits beyond one segment's length: encoding and packaging take that long
/// at most, or the feed is late and the viewer had better ask again.
const WAIT_BEYOND_SEGMENT: Duration = Duration::from_secs(1);

/// Where Date comes from for players that cannot trust the device's clock: `UTCTiming`.
pub(super) const TIME_URL: &str = "/time";

/// Counts what readers may wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Segments opened, over all tracks.
    opened: u64,
    /// Changes of what is listed.
    version: u64,
    ended: bool,
    settled: bool,
}

/// A presentation in memory. Cheap to share.
#[derive(Debug)]
pub struct PresentationView {
    pub(super) record: PresentationRecord,
    pub(super) names: Vec<TrackName>,
    inits: Vec<Bytes>,
    time_shift: Duration,
    live: Mutex<LiveWindow>,
    progress: watch::Sender<Progress>,
}

impl PresentationView {
    pub(super) fn new(
        record: PresentationRecord,
        names: Vec<TrackName>,
        inits: Vec<Bytes>,
        time_shift: Duration,
        now_unix_millis: u64,
    ) -> Self {
        let timescales = record.tracks.iter().map(|track| track.timescale);
        let live =
            LiveWindow::new(timescales, time_shift, record.cadence.segment_duration(), now_unix_millis);
        Self { record, names, inits, time_shift, live: Mutex::new(live), progress: watch::Sender::default() }
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

    /// Grows with every change of what a manifest would say.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.progress.borrow().version
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

    /// What a manifest is written from, as it is in memory.
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
            latency: Latency::Standard,
            time_shift: self.time_shift,
            time_url: TIME_URL.to_owned(),
            media_base: media_base.to_owned(),
            tracks: tracks
                .map(|(index, track)| track.window(live.listed(index), &live.rates(index)))
                .collect(),
        }
    }

    /// A segment in memory, whole or being written. Waits for the one about to exist, for one segment's length and a
    /// second; what is further ahead, or gone, is none at once.
    pub async fn segment(&self, track: usize, number: SegmentNumber) -> Option<Arc<Segment>> {
        let mut progress = self.progress.subscribe();
        let waiting = async {
            loop {
                progress.mark_unchanged();
                match self.find(track, number) {
                    Found::Here(segment) => return Some(segment),
                    Found::Not => return None,
                    Found::Soon => progress.changed().await.ok()?,
                }
            }
        };
        time::timeout(self.segment_duration() + WAIT_BEYOND_SEGMENT, waiting).await.ok().flatten()
    }

    /// A segment in memory as [`Self::segment`], or the initialization segment of its track where `number` is none;
    /// the second value is whether it is sound.
    pub async fn media(&self, track: &TrackName, number: Option<SegmentNumber>) -> Option<(Media, bool)> {
        let index = self.track(track)?;
        let found = match number {
            Some(number) => self.segment(index, number).await.map(Media::Segment),
            None => self.init(index).map(Media::Init),
        };
        Some((found?, self.is_audio(index)))
    }

    /// Waits until a segment is listed, as long as [`Self::segment`] would; false where none is by then.
    pub async fn wait_until_listed(&self) -> bool {
        let mut progress = self.progress.subscribe();
        let waiting = progress.wait_for(|progress| progress.version > 0 || progress.ended);
        let waited = time::timeout(self.segment_duration() + WAIT_BEYOND_SEGMENT, waiting).await;
        drop(waited);
        self.listed().is_some()
    }

    fn find(&self, track: usize, number: SegmentNumber) -> Found {
        self.lock().find(track, number)
    }

    /// See [`super::Presentation::push`].
    pub(super) fn push(&self, track: usize, number: SegmentNumber, chunk: Chunk, metrics: &Metrics) {
        let feed = self.record.feed.as_str();
        let (change, bytes, segments) = {
            let mut live = self.lock();
            (live.push(track, number, chunk.parts), live.bytes(), live.segments())
        };
        if change.late {
            // Nor do the gauges change, which may be the next presentation's by now.
            metrics.late_chunks.with_label_values(&[feed]).inc();
            return;
        }
        self.show(bytes, segments, metrics);
        if change.opened {
            self.progress.send_modify(|progress| progress.opened += 1);
        }
    }

    /// See [`super::Presentation::complete`].
    pub(super) fn complete(
        &self,
        track: usize,
        number: SegmentNumber,
        times: (media::MediaTime, media::MediaTime),
        now_unix_millis: u64,
        archive: Option<&Archive>,
        metrics: &Metrics,
    ) {
        let feed = self.record.feed.as_str();
        let (change, bytes, segments) = {
            let mut live = self.lock();
            let change = live.complete(track, number, times.0, times.1, now_unix_millis);
            (change, live.bytes(), live.segments())
        };
        if change.late {
            metrics.late_chunks.with_label_values(&[feed]).inc();
            return;
        }
        if let Some(segment) = change.completed {
            metrics.segments_completed.with_label_values(&[feed]).inc();
            if let (Some(archive), Some(name)) = (archive, self.names.get(track)) {
                archive.submit(&self.key(), Job::Segment { track, name: name.clone(), segment });
            }
        }
        self.show(bytes, segments, metrics);
        if change.listed {
            self.progress.send_modify(|progress| progress.version += 1);
        }
    }

    /// No more comes. False if that was said before.
    pub(super) fn end(&self, now_unix_millis: u64, metrics: &Metrics) -> bool {
        let (bytes, segments) = {
            let mut live = self.lock();
            if live.ended() {
                return false;
            }
            live.end(now_unix_millis);
            (live.bytes(), live.segments())
        };
        self.show(bytes, segments, metrics);
        self.progress.send_modify(|progress| {
            progress.ended = true;
            progress.version += 1;
        });
        true
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
    }

    pub(super) fn key(&self) -> Key {
        (self.record.feed.clone(), self.record.id.clone())
    }

    fn show(&self, bytes: u64, segments: usize, metrics: &Metrics) {
        let feed = self.record.feed.as_str();
        metrics.memory_bytes.with_label_values(&[feed]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        metrics.memory_segments.with_label_values(&[feed]).set(i64::try_from(segments).unwrap_or(i64::MAX));
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
