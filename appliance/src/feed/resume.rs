//! Whether a presentation that an earlier daemon left is gone on with, and how fast the time between is filled.

use std::time::{Duration, Instant};

use media::MediaTime;

use super::presentation::{Continuation, Note, NoteError, Settings};
use crate::config;
use crate::store::Interrupted;

/// Why a presentation is not gone on with, but becomes a recording.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its grace time is over.
    #[error("nothing was put out for {} s, and the grace time is {} s", away.as_secs(), grace.as_secs())]
    TooLate {
        /// How long ago its last segment ended.
        away: Duration,
        /// The grace time.
        grace: Duration,
    },
    /// Its last segment was cut short, so nothing can follow it.
    #[error("it was being ended: segment {last} stops at {end}, where the next would begin at {next}")]
    Ended {
        /// The last segment.
        last: u64,
        /// Where it ends.
        end: MediaTime,
        /// Where it would have to.
        next: MediaTime,
    },
    /// There is no note that can be used.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The configuration has changed.
    #[error("the feed's ladder, frame rate, segment, chunk or latency is another one now")]
    Settings,
    /// The catalogue and the note do not agree.
    #[error("it has the tracks {kept}, its note speaks of {noted}")]
    Tracks {
        /// What the catalogue has.
        kept: String,
        /// What the note has.
        noted: String,
    },
}

/// Where and how to go on with `left`, at this wall time in milliseconds since 1970; and how long it had no source by then.
/// Time in which no daemon ran is nobody's silence.
///
/// # Errors
/// Why not.
pub fn decide(
    config: &config::Feed,
    left: &Interrupted,
    now_unix_millis: u64,
) -> Result<(Continuation, Duration), Refused> {
    let end_unix_millis = left.last_end_unix_millis();
    let away = Duration::from_millis(now_unix_millis.saturating_sub(end_unix_millis));
    if config.grace.is_zero() || away > config.grace {
        return Err(Refused::TooLate { away, grace: config.grace });
    }
    let next = left.cadence.segment_start(left.next_segment);
    if left.last_end != next {
        return Err(Refused::Ended { last: left.next_segment.0.saturating_sub(1), end: left.last_end, next });
    }
    let note = Note::from_bytes(&left.resume)?;
    if *note.settings() != Settings::of(config) {
        return Err(Refused::Settings);
    }
    let kept = left.tracks.iter().map(|track| track.track.name.as_str()).collect::<Vec<_>>().join(", ");
    let noted = note.track_names().collect::<Vec<_>>().join(", ");
    if kept != noted {
        return Err(Refused::Tracks { kept, noted });
    }
    let silent = note.silent_at(end_unix_millis);
    let continuation = Continuation {
        note,
        availability_start_unix_millis: left.availability_start_unix_millis,
        cadence: left.cadence,
        next_segment: left.next_segment,
    };
    Ok((continuation, silent))
}

/// Segments that may wait for the archive while a gap is filled: enough to keep it busy, and few enough that each is on
/// disk before it would be listed without.
const MAX_WAITING: usize = 4;
/// How long the archive may keep nothing before the gap is filled regardless: live does not wait for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fills a gap no faster than the archive takes it, so that nothing of it leaves memory before it is on disk.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waiting: usize,
    /// When the archive last took something, or had room.
    moved: Option<Instant>,
}

impl Pace {
    /// How many segments may be filled in now, when so many wait for the archive.
    pub(super) fn room(&mut self, now: Instant, waiting: usize) -> u64 {
        let moved = *self.moved.get_or_insert(now);
        if waiting < self.waiting || waiting < MAX_WAITING {
            self.moved = Some(now);
        }
        let room = MAX_WAITING.saturating_sub(waiting);
        let stuck = room == 0 && now.saturating_duration_since(moved) > PATIENCE;
        self.waiting = waiting.saturating_add(room).saturating_add(usize::from(stuck));
        u64::try_from(room).unwrap_or(0) + u64::from(stuck)
    }
}

#[cfg(test)]
mod tests;
