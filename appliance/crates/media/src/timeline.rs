//! Source time stamps to presentation time.
//!
//! A source's stamps are a promise that encoders break: they wrap after 2^32 ms, jump, run backwards, stand still, or
//! come with another clock after a cable is pulled. The timeline maps them by one offset for video and audio alike, so
//! that their relation is kept, and changes the offset where the stamps stop making sense:
//!
//! - a step of more than [`TimelineConfig::max_step`] that wall time explains (the source froze) stays a gap;
//! - one that wall time does not explain is a jump: the track goes on where it was due. The other track goes on under
//!   the old offset until it jumps too, and then follows to the new one. So a jump is bridged once and the relation of
//!   the tracks is what the source's new stamps say, whichever track jumps first;
//! - smaller backward steps are held at the last time until the source has caught up;
//! - equal stamps are spaced by the nominal duration;
//! - a source that stays late is moved to now;
//! - a source whose clock is a little fast or slow is moved by a few milliseconds now and then, both tracks alike, so that
//!   it stays as far ahead of wall time as it was. Whoever counts frames behind the timeline sees its pictures and its
//!   sound wander off the count, and drops or repeats one of each when it is worth one.
//!
//! Calling contract:
//! 1. The first unit placed stands at presentation time zero: let it be the first key frame (the first audio frame where
//!    there is no video). For a publisher that takes over or returns, [`Timeline::set_nominal`] with its frame lengths,
//!    then [`Timeline::rejoin`] with what it has sent so far.
//! 2. [`Timeline::place`] for each unit, in the order of arrival, with the time it arrived at; behind a `rejoin` at
//!    first for those that it was given. But for that, `now` never decreases.
//! 3. [`Timeline::filled_to`] whenever frames were put out for a source that was silent.
//! 4. After [`TimelineEvent::Lead`], stop reading from the source until wall time has caught up.

mod config;
mod drift;
mod report;

use std::time::Duration;

use crate::{Cadence, MediaTime, Timescale};
pub use config::TimelineConfig;
use drift::{Drift, WINDOW_NANOS};
pub use report::{Cause, Placed, TimelineCounters, TimelineEvent};

/// The tracks of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl Track {
    const fn other(self) -> Self {
        match self {
            Self::Video => Self::Audio,
            Self::Audio => Self::Video,
        }
    }
}

/// A time stamp as it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceStamp {
    /// Decoding time in milliseconds, wrapping at 2^32 (RTMP 1.0, 5.3.1).
    pub millis: u32,
    /// Nanoseconds to add (Enhanced RTMP, `TimestampOffsetNano`), below a million.
    pub nanos: u32,
    /// Presentation time less decoding time, in milliseconds (FLV, `CompositionTime`).
    pub composition_millis: i32,
}

/// A unit that a publisher sent before it went on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it came, since the presentation's start.
    pub at: Duration,
    /// Of which track it is.
    pub track: Track,
    /// Its stamp.
    pub stamp: SourceStamp,
}

/// How long a track may take to follow the other's jump: interleaving is rarely over a second apart.
const FOLLOW_NANOS: i128 = 10_000_000_000;
/// The remembered lead shrinks by one part in this of wall time: a burst at the start is forgotten in a minute.
const LEAD_DECAY: i128 = 20;
/// Silence of the video after which drift is read from the audio.
const VIDEO_SILENCE_NANOS: i128 = 30_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The last unit of a track. Times in nanoseconds of presentation or wall time.
#[derive(Debug, Clone, Copy)]
struct Last {
    source: i128,
    placed: i128,
    arrived: i128,
}

#[derive(Debug, Clone, Default)]
struct TrackState {
    /// The last stamp, and the same counted on through wraps.
    unwrapped: Option<(u32, i128)>,
    /// Presentation time less source time.
    offset: i128,
    /// The other track's offset, since it jumped; until when it may be followed.
    pending: Option<(i128, i128)>,
    last: Option<Last>,
    /// The last dts given out.
    last_dts_ticks: Option<i64>,
    /// How much earlier than its stamp a unit is decoded, because composition offsets were negative.
    early: i128,
    late_since: Option<i128>,
}

/// Maps the stamps of one source. See the module's contract.
#[derive(Debug, Clone)]
pub struct Timeline {
    config: TimelineConfig,
    /// The anchor's stamp, which a track's first stamp is unwrapped against.
    reference: Option<(u32, i128)>,
    video: TrackState,
    audio: TrackState,
    /// Highest lead of late, in nanoseconds; what wall time explains is measured from it.
    high_lead: i128,
    seen: i128,
    filled: Option<i128>,
    /// One for each track. Interleaving puts the tracks at different leads.
    drift: [Drift; 2],
    /// What drift corrections come to, in nanoseconds.
    corrected: i128,
    /// What is still to be corrected.
    to_correct: i128,
    counters: TimelineCounters,
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 4)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn nanos_of(time: MediaTime) -> i128 {
    i128::from(time.ticks()) * 1_000_000_000 / i128::from(time.scale().get())
}

/// 90 kHz ticks, to the nearest.
fn ticks(nanos: i128) -> i64 {
    let ticks = (nanos.saturating_mul(9) + 50_000).div_euclid(100_000);
    i64::try_from(ticks).unwrap_or(if nanos < 0 { i64::MIN / 2 } else { i64::MAX / 2 })
}

fn time(ticks: i64) -> MediaTime {
    MediaTime::new(ticks, Timescale::VIDEO)
}

impl Timeline {
    /// A timeline without a source.
    #[must_use]
    pub fn new(config: TimelineConfig) -> Self {
        Self {
            config,
            reference: None,
            video: TrackState::default(),
            audio: TrackState::default(),
            high_lead: 0,
            seen: 0,
            filled: None,
            drift: [Drift::default(), Drift::default()],
            corrected: 0,
            to_correct: 0,
            counters: TimelineCounters::default(),
        }
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> TimelineCounters {
        self.counters
    }

    /// How fast the source's clock runs against the wall's, in parts per million; none for the first minute, for a minute
    /// after jumps, and for as long as the network does not let it be told.
    #[must_use]
    pub fn drift_ppm(&self) -> Option<f64> {
        let [video, audio] = &self.drift;
        video.ppm().or_else(|| audio.ppm())
    }

    /// How far ahead of wall time the source's least delayed units are placed (negative: behind); none until it is known,
    /// about a minute into the first publish session. It is what drift correction holds through all that comes after,
    /// publishers that return included: a presentation has one latency.
    #[cfg(test)]
    fn steady_lead(&self) -> Option<MediaTime> {
        let [video, audio] = &self.drift;
        video.steady().or_else(|| audio.steady()).map(|nanos| time(ticks(nanos)))
    }

    /// The source's frames have other lengths from now on: a publisher returned with other settings.
    pub const fn set_nominal(&mut self, video_frame: Duration, audio_frame: Duration) {
        self.config.video_frame = video_frame;
        self.config.audio_frame = audio_frame;
    }

    /// Begins the session of a publisher that takes over or returns. `held` is what it has sent so far, in the order of
    /// arrival, from a key frame on (from the first audio frame where there is no video); it is placed by
    /// [`Self::place`] then like everything else. Does nothing where there is nothing in it.
    ///
    /// Latency is what it was: the unit of `held` that was least delayed stands as far ahead of wall time as such units of
    /// the sessions before, to the nearest grid time. What stands before times that are out is there for a decoder to
    /// begin with, and no more; a group of pictures is up to ten seconds long, and with a source that stood by all of it
    /// may be past.
    ///
    /// Nothing of the session before may be placed any more.
    pub fn rejoin(&mut self, held: &[Arrival], cadence: &Cadence) {
        let Some(first) = held.first() else { return };
        let judge = match held.iter().any(|unit| unit.track == Track::Video) {
            true => Track::Video,
            false => Track::Audio,
        };
        // As it would be if the first unit were shown when it came.
        let came = MediaTime::from_duration(first.at, Timescale::VIDEO);
        let mut trial = self.clone();
        trial.filled = None;
        trial.anchor(first.at, first.stamp, came);
        let mut newest = came;
        for unit in held {
            let placed = trial.place(unit.at, unit.track, unit.stamp);
            newest = if unit.track == judge { placed.pts } else { newest };
        }
        let corrected = self.corrected;
        let to_hold = self.drift_mut(judge).held(corrected);
        let corrected_in_trial = trial.corrected;
        let lead = trial.drift_mut(judge).recent(corrected_in_trial);
        let moved = to_hold.zip(lead).map_or(0, |(to_hold, lead)| to_hold - lead);
        let newest = newest.plus(time(ticks(moved)));
        let on_grid = cadence.time_of(cadence.nearest_frame(newest)).minus(newest);
        self.anchor(first.at, first.stamp, came.plus(time(ticks(moved))).plus(on_grid));
    }

    /// Begins a session: the unit stamped `stamp` is shown at `at`. The unit itself is placed like any other; others are
    /// placed before it where they are stamped so.
    fn anchor(&mut self, now: Duration, stamp: SourceStamp, at: MediaTime) {
        let source = i128::from(stamp.millis) * NANOS_PER_MILLI + i128::from(stamp.nanos);
        let offset = nanos_of(at) - source - self.composition(stamp);
        self.reference = Some((stamp.millis, i128::from(stamp.millis)));
        for track in [&mut self.video, &mut self.audio] {
            *track = TrackState { offset, ..TrackState::default() };
        }
        self.seen = nanos(now);
        self.high_lead = nanos_of(at) - self.seen;
        self.drift_jumped();
    }

    /// Everything before `to` was put out without the source; units for times before it are too late.
    pub fn filled_to(&mut self, to: MediaTime) {
        self.filled = self.filled.max(Some(nanos_of(to)));
    }

    /// Where a unit stands. `now` is the time since the presentation's start on a clock that never goes back.
    pub fn place(&mut self, now: Duration, track: Track, stamp: SourceStamp) -> Placed {
        if self.reference.is_none() {
            self.anchor(now, stamp, MediaTime::ZERO);
        }
        let now = nanos(now).max(self.seen);
        let composition = self.composition(stamp);
        let source = self.unwrap(track, stamp);
        self.high_lead -= (now - self.seen) / LEAD_DECAY;
        self.slew(now - self.seen);
        self.seen = now;

        let (placed, mut event) = match self.track(track).last {
            None => self.first(track, source, now),
            Some(last) => self.next(track, last, source, now),
        };
        let mut placed = placed;
        if let Some((to, moved)) = self.lateness(track, placed, source, now) {
            placed = to;
            event = Some(moved);
        }
        let lead = placed - now;
        if lead > nanos(self.config.max_lead) {
            self.counters.leading += 1;
            event = event.or(Some(TimelineEvent::Lead(duration(lead))));
        }
        if let Some(filled) = self.filled.filter(|&filled| placed + composition < filled) {
            self.counters.too_late += 1;
            event = event.or(Some(TimelineEvent::TooLate(duration(filled - placed - composition))));
        }
        self.high_lead = self.high_lead.max(lead);
        let placed = self.finish(track, Last { source, placed, arrived: now }, composition, event);
        self.correct_drift(track, now, lead);
        placed
    }

    /// Decides by how much to move both tracks over the next seconds, so that the source stays as far ahead of wall time as it was.
    fn correct_drift(&mut self, track: Track, now: i128, lead: i128) {
        let corrected = self.corrected;
        if !self.drift_mut(track).observe(now, lead, corrected) {
            return;
        }
        // One of the tracks is the judge, or they would pull at each other.
        let video_lives = self.video.last.is_some_and(|last| now - last.arrived <= VIDEO_SILENCE_NANOS);
        if track == Track::Audio && video_lives {
            return;
        }
        let max_ppm = self.config.max_drift_ppm;
        let Some(by) = self.drift_mut(track).correction(now, corrected, max_ppm) else { return };
        self.to_correct = by;
        self.counters.drift_corrections += 1;
    }

    /// Moves both tracks by what `passed` nanoseconds of wall time let be corrected: no step is seen or heard, and the
    /// tracks never differ by one.
    fn slew(&mut self, passed: i128) {
        if self.to_correct == 0 {
            return;
        }
        let most = passed.min(WINDOW_NANOS) * drift::slew_rate(self.config.max_drift_ppm) / 1_000_000_000;
        let by = self.to_correct.clamp(-most, most);
        self.to_correct -= by;
        self.corrected += by;
        for track in [Track::Video, Track::Audio] {
            self.move_track(track, by);
        }
    }

    const fn drift_mut(&mut self, track: Track) -> &mut Drift {
        let [video, audio] = &mut self.drift;
        match track {
            Track::Video => video,
            Track::Audio => audio,
        }
    }

    fn drift_jumped(&mut self) {
        self.drift.iter_mut().for_each(Drift::jumped);
        self.to_correct = 0;
    }

    const fn track(&self, track: Track) -> &TrackState {
        match track {
            Track::Video => &self.video,
            Track::Audio => &self.audio,
        }
    }

    const fn track_mut(&mut self, track: Track) -> &mut TrackState {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    fn composition(&mut self, stamp: SourceStamp) -> i128 {
        let composition = i128::from(stamp.composition_millis) * NANOS_PER_MILLI;
        if composition.abs() > nanos(self.config.max_composition) {
            self.counters.bad_composition += 1;
            return 0;
        }
        composition
    }

    /// Source time in nanoseconds, counted on through wraps: the nearest to the track's last stamp.
    fn unwrap(&mut self, track: Track, stamp: SourceStamp) -> i128 {
        let last = self
            .track(track)
            .unwrapped
            .or(self.reference)
            .unwrap_or((stamp.millis, i128::from(stamp.millis)));
        let step = stamp.millis.wrapping_sub(last.0).cast_signed();
        if step > 0 && stamp.millis < last.0 {
            self.counters.wraps += u64::from(self.track(track).unwrapped.is_some() && step < 60_000);
        }
        let millis = last.1 + i128::from(step);
        self.track_mut(track).unwrapped = Some((stamp.millis, millis));
        millis * NANOS_PER_MILLI + i128::from(stamp.nanos.min(999_999))
    }

    /// A track's first unit under this anchor.
    fn first(&mut self, track: Track, source: i128, now: i128) -> (i128, Option<TimelineEvent>) {
        let mapped = source + self.track(track).offset;
        let Some(other) = self.track(track.other()).last else { return (mapped, None) };
        // Where the stamps are so far apart the tracks cannot be of one clock, and arriving together is what is left.
        let near = 2 * nanos(self.config.max_step);
        let apart = |mapped: i128| (mapped - other.placed).abs();
        let other_offset = self.track(track.other()).offset;
        if apart(mapped) > near && apart(source + other_offset) <= near {
            self.track_mut(track).offset = other_offset;
            return (source + other_offset, Some(TimelineEvent::Followed));
        }
        if apart(mapped) <= near || (mapped - now).abs() <= near {
            return (mapped, None);
        }
        self.counters.jumps += 1;
        self.track_mut(track).offset = other.placed - source;
        let off_by_millis = millis(mapped - other.placed);
        (other.placed, Some(TimelineEvent::Reanchored { cause: Cause::Apart, off_by_millis }))
    }

    fn next(&mut self, track: Track, last: Last, source: i128, now: i128) -> (i128, Option<TimelineEvent>) {
        let due = self.due(track, last, now);
        if source == last.source {
            self.counters.stood_still += 1;
            return (last.placed + self.nominal(track), Some(TimelineEvent::StoodStill));
        }
        let mapped = source + self.track(track).offset;
        let max_step = nanos(self.config.max_step);
        if let Some(followed) = self.follow(track, source, due, now) {
            return (followed.max(last.placed), Some(TimelineEvent::Followed));
        }
        let step = mapped - last.placed;
        let cause = match step {
            step if step > max_step && self.is_explained(track, mapped, now) => {
                self.counters.gaps += 1;
                return (mapped, Some(TimelineEvent::Gap(duration(step))));
            }
            step if step > max_step => Cause::Forward,
            step if step < -max_step => Cause::Backward,
            step if step < 0 => {
                self.counters.backward += 1;
                return (last.placed, Some(TimelineEvent::Backward(duration(-step))));
            }
            _ => return (mapped, None),
        };
        let offset = due - source;
        self.track_mut(track).offset = offset;
        self.track_mut(track.other()).pending = Some((offset, now + FOLLOW_NANOS));
        self.counters.jumps += 1;
        self.drift_jumped();
        (due, Some(TimelineEvent::Reanchored { cause, off_by_millis: millis(mapped - due) }))
    }

    /// When the track's next unit is due: a nominal duration behind the last, or as much later as it was silent.
    fn due(&self, track: Track, last: Last, now: i128) -> i128 {
        let silent = now - last.arrived;
        match silent > nanos(self.config.max_step) {
            true => (last.placed + silent).max(self.filled.unwrap_or(i128::MIN)),
            false => last.placed + self.nominal(track),
        }
    }

    /// The time under the offset that the other track jumped to, where that fits better than the own.
    fn follow(&mut self, track: Track, source: i128, due: i128, now: i128) -> Option<i128> {
        let state = self.track_mut(track);
        let (offset, until) = state.pending?;
        if now > until {
            state.pending = None;
            return None;
        }
        let away = |offset: i128| (source + offset - due).abs();
        if away(offset) >= away(state.offset) {
            return None;
        }
        let placed = source + offset;
        if away(offset) > nanos(self.config.max_step) {
            return None;
        }
        let state = self.track_mut(track);
        state.offset = offset;
        state.pending = None;
        Some(placed)
    }

    /// Whether a forward step leads to where wall time is, or to where the other track has gone likewise.
    fn is_explained(&self, track: Track, mapped: i128, now: i128) -> bool {
        let max_step = nanos(self.config.max_step);
        let other = self.track(track.other());
        let beside_the_other = other.offset == self.track(track).offset
            && other.last.is_some_and(|other| {
                (mapped - other.placed).abs() <= max_step && now - other.arrived <= max_step
            });
        mapped - now <= self.high_lead + max_step || beside_the_other
    }

    fn nominal(&self, track: Track) -> i128 {
        nanos(match track {
            Track::Video => self.config.video_frame,
            Track::Audio => self.config.audio_frame,
        })
    }

    /// Where the unit goes instead if its track has been late for too long.
    fn lateness(
        &mut self,
        track: Track,
        placed: i128,
        source: i128,
        now: i128,
    ) -> Option<(i128, TimelineEvent)> {
        // What came before its time was filled is not late, but was held for a decoder.
        let late = now - placed > nanos(self.config.max_lateness)
            || self.filled.is_some_and(|filled| placed < filled && now >= filled);
        let state = self.track_mut(track);
        if !late {
            state.late_since = None;
            return None;
        }
        let since = *state.late_since.get_or_insert(now);
        let floor = state.last.map_or(i128::MIN, |last| last.placed);
        if now - since <= nanos(self.config.lateness_patience) {
            return None;
        }
        let to = now.max(floor + self.nominal(track)).max(self.filled.unwrap_or(i128::MIN));
        let by = to - (source + self.track(track).offset);
        // Both tracks are moved, so that they stay together, unless that would put the other far ahead.
        let other_lead = self.track(track.other()).last.map_or(i128::MIN, |other| other.placed + by - now);
        match other_lead <= nanos(self.config.max_lead) {
            true => self.shift_tracks(by, &[Track::Video, Track::Audio]),
            false => self.shift_tracks(by, &[track]),
        }
        self.high_lead = to - now;
        self.drift_jumped();
        self.counters.lateness_jumps += 1;
        Some((to, TimelineEvent::Reanchored { cause: Cause::Late, off_by_millis: millis(placed - to) }))
    }

    fn shift_tracks(&mut self, by: i128, tracks: &[Track]) {
        for &track in tracks {
            self.move_track(track, by);
            self.track_mut(track).late_since = None;
        }
    }

    fn move_track(&mut self, track: Track, by: i128) {
        let seen = self.seen;
        let state = self.track_mut(track);
        state.offset += by;
        state.pending = state.pending.map(|(offset, until)| (offset + by, until));
        // The next unit is `by` later than the stamps say, which is no jump. What a silent track has been moved by counts
        // as silence no more.
        let moved =
            |last: Last| Last { placed: last.placed + by, arrived: (last.arrived + by).min(seen), ..last };
        state.last = state.last.map(moved);
    }

    fn finish(
        &mut self,
        track: Track,
        last: Last,
        composition: i128,
        event: Option<TimelineEvent>,
    ) -> Placed {
        let state = self.track_mut(track);
        state.last = Some(last);
        state.early = state.early.max(-composition);
        let after_last = state.last_dts_ticks.map_or(i64::MIN, |ticks| ticks.saturating_add(1));
        let dts = ticks(last.placed - state.early).max(after_last);
        state.last_dts_ticks = Some(dts);
        let pts = ticks(last.placed + composition).max(dts);
        Placed { dts: time(dts), pts: time(pts), event }
    }
}

fn millis(nanos: i128) -> i64 {
    i64::try_from(nanos / NANOS_PER_MILLI).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
