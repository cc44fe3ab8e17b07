//! What is shown of a presentation: its source and its rungs.

use std::time::Duration;

use media::Rung;
use media::ladder::RungRate;
use worker_protocol::Report;

use crate::feed::presentation::Facts;
use crate::feed::status::{RungStatus, SourceStatus};

pub(super) fn source_status(facts: &Facts, report: &Report) -> SourceStatus {
    let (video, audio) = (facts.source.video.as_ref(), facts.source.audio.as_ref());
    let size = report.source_size.or(video.map(|video| video.size));
    SourceStatus {
        video_codec: video.map(|video| video.codec.name().to_owned()),
        width: size.map_or(0, |size| size.width),
        height: size.map_or(0, |size| size.height),
        frame_rate: facts.source.frame_rate.to_string(),
        deinterlacing: report.deinterlacing,
        audio_codec: audio.map(|_| "AAC".to_owned()),
        sample_rate: audio.map_or(0, |audio| audio.sample_rate),
        channels: audio.map_or(0, |audio| audio.channels),
        sound_converted: facts.sound_converted,
        sound_decode_errors: facts.sound_decode_errors,
        bit_rate: facts.source_bit_rate,
        key_frame_interval_millis: u64::try_from(facts.key_frame_interval.as_millis()).unwrap_or(u64::MAX),
        decode_errors: report.decode_errors,
        frames_repeated: report.frames_repeated,
        pictures_dropped: report.pictures_dropped,
        timestamp_jumps: facts.timestamp_jumps,
        silence_frames: facts.silence_frames,
        pictures_per_second: facts.pictures_per_second,
        jitter_micros: u64::try_from(facts.jitter.as_micros()).unwrap_or(u64::MAX),
        drift_ppm: facts.drift_ppm,
    }
}

pub(super) fn rung_statuses(facts: &Facts, report: &Report) -> Vec<RungStatus> {
    let rung = |(index, rung): (usize, &Rung)| {
        let told = report.rungs.get(index).cloned().unwrap_or_default();
        let rate = match rung.rate {
            RungRate::Full => facts.frame_rate,
            RungRate::Half => facts.frame_rate.half(),
        };
        RungStatus {
            name: rung.name.clone(),
            width: rung.size.width,
            height: rung.size.height,
            frame_rate: rate.to_string(),
            bit_rate: rung.bit_rate,
            measured_bit_rate: facts.rung_bit_rates.get(index).copied().unwrap_or_default(),
            real_time_ratio: real_time_ratio(told.frames_in, told.busy_micros, rate.as_f64()),
            queue_depth: told.queue_depth,
            latency_millis: told.latencies_micros.iter().max().map_or(0, |longest| u64::from(longest / 1000)),
            frames_in: told.frames_in,
            frames_repeated: told.frames_repeated,
            pictures_out: told.pictures_out,
        }
    };
    facts.rungs.iter().enumerate().map(rung).collect()
}

/// Frames the encoder could do a second over frames it must do.
fn real_time_ratio(frames: u64, busy_micros: u64, frames_per_second: f64) -> Option<f64> {
    let busy = Duration::from_micros(busy_micros).as_secs_f64();
    let frames = u32::try_from(frames).ok().filter(|frames| *frames > 0)?;
    (busy > 0.0).then(|| f64::from(frames) / busy / frames_per_second)
}
