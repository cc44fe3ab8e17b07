//! Pictures for tests, and what other programs make of streams.

use std::io::Write;
use std::process::{Command, Stdio};

use gpu::frame::Size;
use gpu::{Codec, Coded};

pub(crate) const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// Soft shapes that move, and some noise: luma and both chroma.
pub(crate) fn drawn(size: Size, number: usize) -> [Vec<u8>; 3] {
    let (width, height) = (size.width as usize, size.height as usize);
    let t = number as f64 / 10.0;
    let mut noise = number as u32 | 1;
    let mut wave = |x: usize, y: usize, width: usize, speed: f64| {
        let (x, y) = (x as f64 / width as f64, y as f64 / width as f64);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = f64::from(noise >> 29);
        126.0 + 80.0 * ((x * 9.0 + t * speed).sin() * (y * 7.0 - t).cos()) + grain
    };
    let mut plane = |width: usize, height: usize, speed: f64| {
        let mut samples = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                samples.push(wave(x, y, width, speed).clamp(16.0, 235.0) as u8);
            }
        }
        samples
    };
    [plane(width, height, 1.0), plane(width / 2, height / 2, 0.7), plane(width / 2, height / 2, -0.4)]
}

/// Peak signal-to-noise ratio of 8-bit samples, in dB.
pub(crate) fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 / (sum / a.len() as f64).max(1e-9)).log10()
}

/// Units of 4-byte lengths to start codes.
fn annex_b(sample: &[u8]) -> Vec<u8> {
    let (mut stream, mut rest) = (Vec::new(), sample);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (unit, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
        rest = behind;
    }
    stream
}

/// Parameter sets of an `avcC` or `hvcC` record in Annex B form.
fn headers(codec: Codec, record: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut at = match codec {
        Codec::H264 => 5,
        Codec::Hevc => 22,
        Codec::Av1 => return Vec::new(),
    };
    let mut arrays = 0;
    let lists = if codec == Codec::H264 { 2 } else { record[at] };
    at += usize::from(codec == Codec::Hevc);
    while arrays < lists {
        let count = if codec == Codec::H264 {
            at += 1;
            usize::from(record[at - 1] & 0x1f)
        } else {
            at += 3;
            usize::from(record[at - 1])
        };
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(&record[at + 2..at + 2 + length]);
            at += 2 + length;
        }
        arrays += 1;
    }
    stream
}

/// What ffmpeg decodes of coded pictures: 8-bit planar 4:2:0, picture by picture, in the order of showing.
pub(crate) fn decoded_by_ffmpeg(codec: Codec, record: &[u8], coded: &[Coded], size: Size) -> Vec<Vec<u8>> {
    let mut stream = headers(codec, record);
    for picture in coded {
        if codec == Codec::Av1 {
            // A temporal delimiter before each, which samples do not have.
            stream.extend_from_slice(&[0x12, 0]);
            stream.extend_from_slice(&picture.data);
        } else {
            stream.extend_from_slice(&annex_b(&picture.data));
        }
    }
    let format = match codec {
        Codec::H264 => "h264",
        Codec::Hevc => "hevc",
        Codec::Av1 => "obu",
    };
    let raw = ffmpeg(
        &["-f", format, "-i", "-", "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"],
        stream,
    );
    let length = (size.width * size.height) as usize / 2 * 3;
    raw.chunks(length).map(<[u8]>::to_vec).collect()
}

/// Runs ffmpeg on what is written to it.
pub(crate) fn ffmpeg(arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments)
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed by `make deps`");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // It may have enough before the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments:?}");
    output.stdout
}
