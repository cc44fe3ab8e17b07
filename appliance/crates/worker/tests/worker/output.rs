//! Judges what a worker puts out.

use std::path::{Path, PathBuf};
use std::process::Command;

use media::{Rung, ladder::RungRate};
use worker_protocol::{Job, RungJob};

use crate::client::{Outcome, RungOutput};

/// Every rung of `job` has every grid frame below `frames` once, key frames exactly on the grid, whole closed GOPs,
/// and only NAL units that belong there; and ffmpeg decodes it without a word.
pub(crate) fn check(folder: &Path, job: &Job, outcome: &Outcome, frames: u64) {
    assert_eq!(outcome.rungs.len(), job.rungs.len());
    for (RungJob { rung, first_frame }, output) in job.rungs.iter().zip(&outcome.rungs) {
        check_rung(folder, job, rung, output, &[*first_frame], frames);
    }
    for (rung, report) in outcome.rungs.iter().zip(&outcome.last_report().rungs) {
        let pictures = u64::try_from(rung.pictures.len()).unwrap();
        assert_eq!((report.frames_in, report.pictures_out, report.queue_depth), (pictures, pictures, 0));
        let bytes: usize = rung.pictures.iter().map(|p| p.payload.len()).sum();
        assert_eq!(report.bytes_out, u64::try_from(bytes).unwrap());
        assert!(report.busy_micros > 0);
    }
}

/// `output` has every grid frame of `rung` from the first of `begins` on. At each of these an encoder began.
pub(crate) fn check_rung(
    folder: &Path,
    job: &Job,
    rung: &Rung,
    output: &RungOutput,
    begins: &[u64],
    frames: u64,
) {
    let name = &rung.name;
    assert_eq!(output.size, Some(rung.size));
    let step = if rung.rate == RungRate::Half { 2 } else { 1 };
    let mut shown: Vec<u64> = output.pictures.iter().map(|p| p.frame).collect();
    // A GOP's pictures stay together: in decoding order no picture of an earlier segment comes after a later one.
    let segments: Vec<_> = shown.iter().map(|frame| job.cadence.segment_of(*frame)).collect();
    assert!(segments.is_sorted(), "{name}: {shown:?}");
    shown.sort_unstable();
    let wanted: Vec<u64> = (begins[0]..frames).filter(|frame| frame % step == 0).collect();
    assert_eq!(shown, wanted, "{name}");
    for picture in &output.pictures {
        let key = job.cadence.begins_segment(picture.frame) || begins.contains(&picture.frame);
        assert_eq!(picture.key, key, "{name}: frame {}", picture.frame);
        let types: Vec<u8> = nal_units(&picture.payload).iter().map(|nal| nal[0] & 0x1f).collect();
        let slice = if picture.key { 5 } else { 1 };
        assert!(!types.is_empty() && types.iter().all(|t| *t == slice), "{name}: NAL unit types {types:?}");
    }
    let path = annex_b(folder, name, output);
    let decoded = Command::new("ffmpeg")
        .args(["-v", "warning", "-nostdin", "-xerror", "-i"])
        .arg(&path)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&decoded.stderr);
    // A raw stream has no time stamps, which ffmpeg warns of.
    let said: Vec<_> = said.lines().filter(|l| !l.contains("Timestamps are unset")).collect();
    assert!(decoded.status.success() && said.is_empty(), "{name}: {said:?}");

    // What the parameter sets say is the same whatever the source was.
    let rate = job.cadence.frame_rate();
    let rate = if rung.rate == RungRate::Half { rate.half() } else { rate };
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-of", "default=nokey=1:noprint_wrappers=1", "-show_entries"])
        .arg("stream=profile,width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,r_frame_rate")
        .arg(&path)
        .output()
        .expect("ffprobe runs");
    let said = String::from_utf8_lossy(&probed.stdout);
    let (width, height) = (rung.size.width.to_string(), rung.size.height.to_string());
    let rate = format!("{}/{}", rate.numerator(), rate.denominator());
    let wanted = ["High", &width, &height, "1:1", "yuv420p", "tv", "bt709", &rate];
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted, "{name}");
}

/// Splits length-prefixed NAL units.
pub(crate) fn nal_units(mut payload: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, rest)) = payload.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        units.push(unit);
        payload = rest;
    }
    assert!(payload.is_empty(), "{} bytes behind the last unit", payload.len());
    units
}

/// Writes a rung with start codes, parameter sets from its configuration record first.
pub(crate) fn annex_b(folder: &Path, name: &str, output: &RungOutput) -> PathBuf {
    let record = &output.configuration;
    assert_eq!((record[0], record[4], record[5]), (1, 0xff, 0xe1), "{record:?}");
    let sps_end = 8 + usize::from(u16::from_be_bytes([record[6], record[7]]));
    assert_eq!(record[sps_end], 1);
    let pps = sps_end + 3;
    let pps_end = pps + usize::from(u16::from_be_bytes([record[sps_end + 1], record[sps_end + 2]]));
    let mut bytes = Vec::new();
    let sets = [&record[8..sps_end], &record[pps..pps_end]];
    for unit in sets.into_iter().chain(output.pictures.iter().flat_map(|p| nal_units(&p.payload))) {
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        bytes.extend_from_slice(unit);
    }
    let path = folder.join(format!("{name}.h264"));
    std::fs::write(&path, bytes).expect("writable");
    path
}

/// Decodes a file with ffmpeg to 8-bit 4:2:0 pictures through the filters `filters`.
pub(crate) fn pictures(path: &Path, filters: &str, width: usize, height: usize) -> Vec<Vec<u8>> {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-vf", filters, "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let size = width * height * 3 / 2;
    assert_eq!(decoded.stdout.len() % size, 0, "pictures of {width}x{height}");
    decoded.stdout.chunks_exact(size).map(<[u8]>::to_vec).collect()
}

/// Peak signal-to-noise ratio of all samples, in decibels.
pub(crate) fn psnr(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len());
    let squares: u64 = left.iter().zip(right).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    #[expect(clippy::cast_precision_loss, reason = "well below 2^52")]
    let mean = squares as f64 / left.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

/// The lowest PSNR of a rung's pictures against `reference`, which is made from the source by ffmpeg.
pub(crate) fn worst_psnr(folder: &Path, rung: &Rung, output: &RungOutput, reference: &[Vec<u8>]) -> f64 {
    let (width, height) = (rung.size.width, rung.size.height);
    let (w, h) = (usize::try_from(width).unwrap(), usize::try_from(height).unwrap());
    let ours = pictures(&annex_b(folder, &rung.name, output), "null", w, h);
    assert_eq!(ours.len(), reference.len());
    ours.iter().zip(reference).map(|(a, b)| psnr(a, b)).fold(f64::INFINITY, f64::min)
}
