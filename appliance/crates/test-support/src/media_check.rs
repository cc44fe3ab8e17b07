//! What ffmpeg makes of what comes out, and what is seen and heard in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mpd::Fetched;

/// Side of the square that pictures are shrunk to before their brightness is taken.
const THUMBNAIL: usize = 8;
/// Loudness from which a sample is part of a beep, of 32768.
const BEEP_LEVEL: i16 = 3000;
/// Samples of quiet before a beep counts as a new one: 100 ms at 48 kHz.
const QUIET_SAMPLES: usize = 4800;

/// What ffmpeg complains of when it decodes `input` (a file or URL) from end to end; empty where it is content.
///
/// # Panics
/// Where ffmpeg cannot be started.
#[must_use]
pub fn decode_errors(input: &str) -> String {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", input])
        .args(["-map", "0", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs; make deps installs it");
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        text.push_str(&format!("ffmpeg: {}", output.status));
    }
    text
}

/// Writes a fetched track to a file that ffmpeg plays.
///
/// # Panics
/// Where the disk refuses.
#[must_use]
pub fn save(track: &Fetched, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("{name}.mp4"));
    std::fs::write(&path, &track.bytes).unwrap();
    path
}

fn raw(input: &Path, options: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-i"])
        .arg(input)
        .args(options)
        .arg("-")
        .output()
        .expect("ffmpeg runs; make deps installs it");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Mean brightness of every picture with its presentation time in seconds, in order of presentation.
///
/// # Panics
/// Where ffmpeg puts out another number of pictures than the segments hold.
#[must_use]
pub fn brightness(track: &Fetched, file: &Path) -> Vec<(f64, u8)> {
    let filter = format!("scale={THUMBNAIL}:{THUMBNAIL}:flags=area,format=gray");
    let pictures = raw(file, &["-an", "-vf", &filter, "-fps_mode", "passthrough", "-f", "rawvideo"]);
    let mut times: Vec<i64> =
        track.segments.iter().flat_map(|(_, s)| s.samples().map(|sample| sample.pts)).collect();
    times.sort_unstable();
    assert_eq!(
        pictures.len(),
        times.len() * THUMBNAIL * THUMBNAIL,
        "as many pictures come out as samples went in"
    );
    let mean = |picture: &[u8]| {
        let sum: usize = picture.iter().map(|b| usize::from(*b)).sum();
        u8::try_from(sum / picture.len()).unwrap()
    };
    let seconds = |ticks: i64| to_f64(ticks) / f64::from(track.init.timescale);
    times.into_iter().map(seconds).zip(pictures.chunks(THUMBNAIL * THUMBNAIL).map(mean)).collect()
}

/// When the picture turns from dark to white, in seconds of presentation time.
#[must_use]
pub fn flashes(track: &Fetched, file: &Path) -> Vec<f64> {
    let pictures = brightness(track, file);
    pictures.windows(2).filter(|pair| pair[0].1 < 80 && pair[1].1 > 160).map(|pair| pair[1].0).collect()
}

/// When sound begins after silence, in seconds of presentation time.
#[must_use]
pub fn beeps(track: &Fetched, file: &Path) -> Vec<f64> {
    let rate = track.init.timescale;
    let bytes = raw(file, &["-vn", "-ac", "1", "-ar", &rate.to_string(), "-f", "s16le"]);
    let start = track.segments.first().map_or(0, |(_, segment)| segment.start());
    let mut found = Vec::new();
    // What was before the first sample is not known, so a beep there is not one that begins.
    let mut quiet = 0;
    for (index, sample) in
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).enumerate()
    {
        if sample.saturating_abs() < BEEP_LEVEL {
            quiet += 1;
        } else {
            if quiet >= QUIET_SAMPLES {
                let ticks = i64::try_from(start).unwrap() + i64::try_from(index).unwrap();
                found.push(to_f64(ticks) / f64::from(rate));
            }
            quiet = 0;
        }
    }
    found
}

/// How long after each flash its beep comes, in milliseconds; early ones are negative. Flashes without a beep within
/// half a second (at the ends of what was fetched) are left out.
#[must_use]
pub fn sound_after_picture(flashes: &[f64], beeps: &[f64]) -> Vec<f64> {
    flashes
        .iter()
        .filter_map(|flash| {
            let nearest = beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()))?;
            (nearest.abs() < 0.5).then_some(nearest * 1000.0)
        })
        .collect()
}

/// Media times of tests are far under 2^52 ticks, where this is exact.
#[expect(clippy::cast_precision_loss, reason = "media times of tests are far under 2^52 ticks")]
fn to_f64(ticks: i64) -> f64 {
    ticks as f64
}
