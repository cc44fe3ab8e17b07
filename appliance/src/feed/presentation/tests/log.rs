//! What a presentation asked for, held against the promises that players rely on.

use std::collections::BTreeMap;

use bytes::Bytes;
use media::{Cadence, MediaTime, SegmentNumber, Timescale};
use packager::segmenter::Packaged;
use packager::track::TrackMedia;

use crate::config;
use crate::feed::presentation::{Action, Note, Opening};

/// One track, as it was kept.
#[derive(Debug, Default)]
struct Track {
    /// Whole segments: start, end, and how many chunks.
    whole: BTreeMap<u64, (MediaTime, MediaTime)>,
    /// The segment that chunks came for last, unless it is whole.
    open: Option<(SegmentNumber, MediaTime)>,
    /// Where the next chunk has to begin.
    next: Option<MediaTime>,
    /// What was kept, dropped segments included.
    samples: Vec<Bytes>,
}

/// What was asked for. Every action is checked as it comes.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) opening: Option<Opening>,
    pub(super) dismissed: Vec<String>,
    pub(super) warnings: Vec<&'static str>,
    pub(super) closed: bool,
    pub(super) quarantines: usize,
    /// How often a worker's queue was to take what was held of a source.
    pub(super) caught_up: usize,
    /// Open segments that were dropped, chunks and all.
    pub(super) dropped: usize,
    /// What a later daemon would find.
    pub(super) note: Option<Note>,
    tracks: Vec<Track>,
}

impl Log {
    pub(super) fn note(&mut self, action: &Action) {
        assert!(!self.closed, "{action:?} came behind Close");
        match action {
            Action::Begin(opening) => {
                assert!(self.opening.is_none(), "a second Begin");
                self.tracks.resize_with(opening.tracks.len(), Track::default);
                self.note = Some(opening.note.clone());
            }
            Action::Keep(track, package) => {
                assert!(self.opening.is_some(), "{package:?} came before Begin");
                self.keep(*track, package);
            }
            Action::Dismiss(_, reason) => {
                assert!(
                    self.dismissed.is_empty(),
                    "dismissed for {:?} already, now {reason}",
                    self.dismissed
                );
                self.dismissed.push(reason.clone());
            }
            Action::Restart(track, segment) => self.restart(*track, *segment),
            Action::Quarantine(_) => self.quarantines += 1,
            Action::Warn { rule, .. } => self.warnings.push(rule),
            Action::Rule { rule, action, .. } => match action {
                config::RuleAction::Warn => self.warnings.push(rule.label()),
                config::RuleAction::Accept | config::RuleAction::Refuse => {}
            },
            Action::Note(note) => self.note = note.as_deref().cloned(),
            Action::Close => self.closed = true,
            Action::CatchUp => self.caught_up += 1,
            Action::StartWorker(_)
            | Action::ToWorker(..)
            | Action::StartSound(..)
            | Action::ToSound(..)
            | Action::StopSound(_) => {}
        }
    }

    /// The daemon dies: what is not whole on every track is gone.
    pub(super) fn cut_off(&mut self) {
        let listed = self.listed();
        for track in &mut self.tracks {
            track.whole.split_off(&(listed + 1));
            track.open = None;
            track.next = Some(track.whole.values().next_back().map_or(MediaTime::ZERO, |(_, end)| *end));
        }
    }

    /// Only what no viewer has been told of is made again.
    fn restart(&mut self, track: usize, segment: SegmentNumber) {
        let state = &mut self.tracks[track];
        assert!(!state.whole.contains_key(&segment.0), "track {track}: whole segment {segment} is restarted");
        if let Some((open, start)) = state.open.take() {
            assert_eq!(open, segment, "track {track}: the segment that is restarted");
            self.dropped += 1;
            state.next = Some(start);
        }
    }

    fn keep(&mut self, track: usize, package: &Packaged) {
        let state = &mut self.tracks[track];
        match package {
            Packaged::Chunk { segment, chunk } => {
                let due = state.next.unwrap_or(MediaTime::ZERO);
                assert_eq!(chunk.start, due, "track {track}, segment {segment}: tfdt");
                state.next = Some(chunk.start.plus(chunk.duration));
                // Behind the header of its boxes, each sample is a part.
                state.samples.extend(chunk.parts.iter().skip(1).cloned());
                let number = state.whole.len() + 1;
                assert_eq!(segment.0, u64::try_from(number).unwrap(), "track {track}: segment numbers");
                state.open.get_or_insert((*segment, chunk.start));
            }
            Packaged::SegmentEnd { segment, start, duration } => {
                let open = state.open.take();
                assert_eq!(open, Some((*segment, *start)), "track {track}: the segment that ends");
                let end = start.plus(*duration);
                assert_eq!(state.next, Some(end), "track {track}, segment {segment}: its chunks' durations");
                state.whole.insert(segment.0, (*start, end));
            }
        }
    }

    pub(super) fn cadence(&self) -> Cadence {
        self.opening.as_ref().expect("a presentation that began").cadence
    }

    /// How many segments are whole on every track.
    pub(super) fn listed(&self) -> u64 {
        let shortest = self.tracks.iter().map(|track| track.whole.len()).min().unwrap_or(0);
        u64::try_from(shortest).unwrap()
    }

    /// Where a track's whole segments end.
    pub(super) fn end_of(&self, track: usize) -> MediaTime {
        self.tracks[track].whole.values().next_back().map_or(MediaTime::ZERO, |(_, end)| *end)
    }

    /// Likewise of the first track, in milliseconds.
    pub(super) fn end_millis(&self) -> i64 {
        self.end_of(0).ticks_at(Timescale::MILLIS)
    }

    /// Where a track's chunks end, in milliseconds.
    pub(super) fn chunks_end_millis(&self, track: usize) -> i64 {
        self.tracks[track].next.map_or(0, |next| next.ticks_at(Timescale::MILLIS))
    }

    /// The samples of the sound, in order; without the daemon having died, number `n` is heard at `n` frames.
    pub(super) fn sound(&self) -> &[Bytes] {
        self.tracks.last().map_or(&[], |track| &track.samples)
    }

    /// Every segment stands where the cadence has it, on every track.
    pub(super) fn check_aligned(&self) {
        let Some(opening) = &self.opening else { return };
        let cadence = opening.cadence;
        for (track, (state, spec)) in self.tracks.iter().zip(&opening.tracks).enumerate() {
            let slack = match &spec.spec.media {
                TrackMedia::Video { .. } => MediaTime::ZERO,
                TrackMedia::Audio(params) => {
                    MediaTime::new(i64::from(params.samples_per_frame), spec.spec.timescale)
                }
            };
            for (number, (start, end)) in &state.whole {
                let nominal = cadence.segment_start(SegmentNumber(*number));
                let late = start.minus(nominal);
                assert!(
                    late >= MediaTime::ZERO && (late < slack || late == MediaTime::ZERO),
                    "track {track}, segment {number} begins {late:?} late"
                );
                let next = cadence.segment_start(SegmentNumber(number + 1));
                let is_last = *number == u64::try_from(state.whole.len()).unwrap();
                let reaches = end.minus(next) >= MediaTime::ZERO;
                assert!(is_last || reaches, "track {track}, segment {number} ends {end:?} before {next:?}");
            }
        }
    }

    /// Nothing is half done, and all tracks end together: to an audio frame, or a picture of a half-rate rung.
    pub(super) fn check_even_end(&self) {
        assert!(self.closed, "not closed");
        self.check_aligned();
        let tracks = self.tracks.len();
        assert!(self.tracks.iter().all(|track| track.open.is_none()), "a segment was left open");
        let frame = self.cadence().frame_duration();
        let half_rate = MediaTime::from_duration(frame, Timescale::VIDEO).plus(MediaTime::from_millis(1));
        for track in 1..tracks {
            assert_eq!(
                self.tracks[track].whole.len(),
                self.tracks[0].whole.len(),
                "segments of track {track} and of track 0"
            );
            let apart = self.end_of(track).minus(self.end_of(0));
            let apart = if apart < MediaTime::ZERO { MediaTime::ZERO.minus(apart) } else { apart };
            assert!(apart <= half_rate, "track {track} ends {apart} from track 0, at {}", self.end_of(track));
        }
    }
}
