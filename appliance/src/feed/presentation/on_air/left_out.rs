//! Tracks of a source that have no place in the programme, whose tracks are those that it began with.

use media::Track;

use super::OnAir;
use crate::clock::Now;
use crate::feed::presentation::Action;
use crate::feed::presentation::watch::Finding;

/// Of which tracks of the source on air the operator was told that they are left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LeftOut {
    video: bool,
    audio: bool,
}

impl LeftOut {
    const fn of(&mut self, track: Track) -> &mut bool {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

const fn name(track: Track) -> &'static str {
    match track {
        Track::Video => "pictures",
        Track::Audio => "sound",
    }
}

impl OnAir {
    /// A source that comes back may have a track that there is none for.
    pub(super) fn tell_of_extra_tracks(&mut self, actions: &mut Vec<Action>) {
        let of_source = [
            (Track::Video, self.source.video.is_some() && self.video.is_none()),
            (Track::Audio, self.source.audio.is_some() && self.audio.is_none()),
        ];
        for (track, _) in of_source.into_iter().filter(|(_, extra)| *extra) {
            let text = format!(
                "the encoder came back with {}, which the programme has no track for; they are left out. End the \
                 programme (`rungd end {}`) to have the next one begin with both",
                name(track),
                self.feed
            );
            self.leave_out(track, "extra_track", text, actions);
        }
    }

    /// Media came of a track that the programme has none for.
    pub(super) fn tell_of_late_track(&mut self, now: Now, track: Track, actions: &mut Vec<Action>) {
        let late = now.instant.saturating_duration_since(self.since);
        let text = format!(
            "{} began {:.1} s after the source, when the programme's tracks were fixed, and are left out. Have the \
             encoder send pictures and sound within 1 s of each other, and end the programme (`rungd end {}`) to have \
             the next one begin with both",
            name(track),
            late.as_secs_f64(),
            self.feed
        );
        self.leave_out(track, "late_track", text, actions);
    }

    fn leave_out(&mut self, track: Track, rule: &'static str, text: String, actions: &mut Vec<Action>) {
        if !std::mem::replace(self.left_out.of(track), true) {
            self.heed(Finding::Warn { rule, text }, actions);
        }
    }
}
