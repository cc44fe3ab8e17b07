//! What is put into the store of a presentation.

use packager::segmenter::Packaged;
use packager::track::{TrackMedia, TrackSpec};
use packager::window::WindowTrackKind;

use crate::feed::presentation::OpeningTrack;
use crate::store::{self, NewTrack};

pub(super) fn keep(recording: &store::Presentation, track: usize, package: Packaged) {
    match package {
        Packaged::Chunk { segment, chunk } => recording.push(track, segment, chunk),
        Packaged::SegmentEnd { segment, start, duration } => {
            recording.complete(track, segment, start, duration)
        }
    }
}

pub(super) fn new_track(track: &OpeningTrack) -> Result<NewTrack, Box<dyn std::error::Error + Send + Sync>> {
    Ok(NewTrack {
        name: track.name.clone(),
        kind: window_kind(&track.spec, track.captions),
        codecs: track.spec.codecs_string()?,
        timescale: track.spec.timescale,
        init: packager::cmaf::init_segment(&track.spec)?,
        nominal_bit_rate: track.nominal_bit_rate,
    })
}

fn window_kind(spec: &TrackSpec, captions: bool) -> WindowTrackKind {
    match &spec.media {
        TrackMedia::Video { size, frame_rate, .. } => {
            WindowTrackKind::Video { size: *size, frame_rate: *frame_rate, captions }
        }
        TrackMedia::Audio(params) => {
            WindowTrackKind::Audio { sample_rate: params.sample_rate, channels: params.channels }
        }
    }
}
