//! Streams from software encoders, and how far pictures are apart.

use std::path::Path;
use std::process::Command;

use vaapi::{Codec, Samples, Size};

use crate::annex_b;

/// Debian's: its libva is the system's, and it has x264 and x265.
const FFMPEG: &str = "/usr/bin/ffmpeg";

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    // What is preloaded for the simulated device is nothing to it.
    let mut command = Command::new(FFMPEG);
    command.env_remove("LD_PRELOAD").args(["-v", "error", "-nostdin"]).args(arguments);
    let output = command.output().expect("ffmpeg is installed (make deps)");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn clip() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../appliance/tests/media/bbb-720p25-5s.mp4").to_owned()
}

/// A coded stream with its access units.
pub(crate) struct Stream {
    pub(crate) codec: Codec,
    bytes: Vec<u8>,
    pub(crate) units: Vec<Vec<Vec<u8>>>,
    pub(crate) record: Vec<u8>,
}

impl Stream {
    /// Natural pictures, coded with these parameters of x264 or x265.
    pub(crate) fn natural(codec: Codec, size: &str, pixels: &str, frames: u32, parameters: &str) -> Self {
        Self::filtered("null", codec, size, pixels, frames, parameters)
    }

    /// As [`Self::natural`], of pictures that go through a filter of ffmpeg's before.
    pub(crate) fn filtered(
        filter: &str,
        codec: Codec,
        size: &str,
        pixels: &str,
        frames: u32,
        parameters: &str,
    ) -> Self {
        let (encoder, option, marks) = match codec {
            Codec::H264 => ("libx264", "-x264-params", "h264_metadata=aud=insert"),
            Codec::Hevc => ("libx265", "-x265-params", "hevc_metadata=aud=insert"),
        };
        let parameters = match codec {
            Codec::H264 => parameters.to_owned(),
            Codec::Hevc => format!("log-level=error:{parameters}"),
        };
        let format = if codec == Codec::H264 { "h264" } else { "hevc" };
        let bytes = ffmpeg(&[
            "-i",
            &clip(),
            "-an",
            "-frames:v",
            &frames.to_string(),
            "-vf",
            filter,
            "-s",
            size,
            "-pix_fmt",
            pixels,
            "-c:v",
            encoder,
            "-preset",
            "veryfast",
            option,
            &parameters,
            "-bsf:v",
            marks,
            "-f",
            format,
            "-",
        ]);
        Self::of(codec, bytes)
    }

    fn of(codec: Codec, bytes: Vec<u8>) -> Self {
        let units = annex_b::units(&bytes, codec);
        let record = annex_b::record(&units, codec);
        Self { codec, bytes, units, record }
    }

    /// What an encoder under test put out.
    pub(crate) fn coded(codec: Codec, record: &[u8], samples: &[Vec<u8>]) -> Self {
        let mut bytes = Vec::new();
        let mut put = |nal: &[u8]| bytes.extend([&[0, 0, 0, 1], nal].concat());
        annex_b::sets(record, codec).iter().for_each(|set| put(set));
        samples.iter().flat_map(|sample| annex_b::split(sample)).for_each(put);
        Self { codec, bytes, units: Vec::new(), record: record.to_vec() }
    }

    /// The pictures as ffmpeg decodes them.
    pub(crate) fn decoded(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = self.write(folder.path());
        ffmpeg(&["-i", &file, "-fps_mode", "passthrough", "-f", "rawvideo", "-"])
    }

    /// What ffprobe says of it.
    pub(crate) fn facts(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = self.write(folder.path());
        let mut command = Command::new("/usr/bin/ffprobe");
        command.env_remove("LD_PRELOAD").args(["-v", "error", "-show_streams", &file]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn write(&self, folder: &Path) -> String {
        let file = folder.join(if self.codec == Codec::H264 { "a.h264" } else { "a.hevc" });
        std::fs::write(&file, &self.bytes).unwrap();
        file.display().to_string()
    }
}

/// Natural pictures of 4:2:0, 8 bits, one behind the other.
pub(crate) fn natural(size: Size, frames: u32) -> Vec<Vec<u8>> {
    let shown = size.to_string();
    let bytes = ffmpeg(&[
        "-i",
        &clip(),
        "-an",
        "-frames:v",
        &frames.to_string(),
        "-s",
        &shown,
        "-pix_fmt",
        "yuv420p",
        "-f",
        "rawvideo",
        "-",
    ]);
    bytes.chunks_exact(picture_bytes(size)).map(<[u8]>::to_vec).collect()
}

pub(crate) fn picture_bytes(size: Size) -> usize {
    usize::try_from(size.samples()).unwrap() * 3 / 2
}

/// The planes of a picture.
pub(crate) fn planes(picture: &[u8], size: Size) -> [&[u8]; 3] {
    let luma = usize::try_from(size.samples()).unwrap();
    [&picture[..luma], &picture[luma..luma * 5 / 4], &picture[luma * 5 / 4..]]
}

pub(crate) fn joined(samples: &Samples) -> Vec<u8> {
    samples.planes.concat()
}

/// PSNR in dB, over all samples.
pub(crate) fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many samples");
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let (squares, count) = (u32::try_from(squares / 1024).unwrap(), u32::try_from(a.len()).unwrap());
    10.0 * (255.0f64.powi(2) * f64::from(count) / (f64::from(squares.max(1)) * 1024.0)).log10()
}
