//! Pictures to encode, and streams to decode that no engine of ours has made.

use std::path::Path;
use std::process::Command;

use crate::conformance::{Codec, Coded, Picture};
use crate::natural_clip;
use crate::pictures::FFMPEG;
use crate::simulation::run;

/// Cuts raw video into pictures.
fn cut(bytes: &[u8], width: u32, height: u32, sample_bytes: usize) -> Vec<Picture> {
    let luma = (width * height) as usize * sample_bytes;
    let chroma = (width.div_ceil(2) * height.div_ceil(2)) as usize * sample_bytes;
    let picture = |bytes: &[u8]| Picture {
        width,
        height,
        planes: [
            bytes[..luma].to_vec(),
            bytes[luma..luma + chroma].to_vec(),
            bytes[luma + chroma..].to_vec(),
        ],
    };
    bytes.chunks_exact(luma + 2 * chroma).map(picture).collect()
}

/// The natural clip's pictures, scaled.
#[must_use]
pub fn natural(width: u32, height: u32, count: usize) -> Vec<Picture> {
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(natural_clip());
    command.args([
        "-an",
        "-frames:v",
        &count.to_string(),
        "-vf",
        &format!("scale={width}:{height}:flags=bicubic"),
    ]);
    let output = run(command.args(["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]));
    cut(&output.stdout, width, height, 1)
}

/// A coded stream, as it comes out of a container.
pub struct Stream {
    /// The `avcC` or `hvcC` record.
    pub configuration: Vec<u8>,
    /// NAL units of each picture, with their lengths.
    pub units: Vec<Vec<u8>>,
    /// What ffmpeg decodes from it.
    pub pictures: Vec<Picture>,
}

/// Codes natural pictures with x264 or x265, with B-frames, and decodes them in software.
///
/// # Panics
/// Where ffmpeg fails.
#[must_use]
pub fn independent(codec: Codec, depth: u8, width: u32, height: u32, count: usize) -> Stream {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("stream").with_extension(codec.ending());
    let format = if depth == 8 { "yuv420p" } else { "yuv420p10le" };
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(natural_clip()).args(["-an", "-frames:v", &count.to_string()]);
    command.args(["-s", &format!("{width}x{height}"), "-pix_fmt", format]);
    match codec {
        Codec::H264 => {
            command.args(["-c:v", "libx264", "-x264-params", "aud=1:bframes=3:ref=4:weightp=2:keyint=8"])
        }
        Codec::Hevc => {
            command.args(["-c:v", "libx265", "-x265-params", "log-level=error:aud=1:bframes=4:keyint=8"])
        }
    };
    run(command.arg(&file));
    let bytes = std::fs::read(&file).expect("ffmpeg wrote it");
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(&file).args(["-fps_mode", "passthrough", "-pix_fmt", format]);
    let output = run(command.args(["-f", "rawvideo", "-"]));
    let pictures = cut(&output.stdout, width, height, usize::from(depth.div_ceil(8)));
    let (configuration, units) = split(codec, depth, &bytes);
    assert_eq!((units.len(), pictures.len()), (count, count), "a unit is a picture");
    Stream { configuration, units, pictures }
}

/// The NAL units of an Annex B stream.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let codes: Vec<usize> =
        (0..stream.len().saturating_sub(2)).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let ends = codes.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let unit = &stream[start + 3..end];
        &unit[..unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]
    };
    codes.iter().zip(ends).map(unit).collect()
}

fn with_length(unit: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let length = u32::try_from(unit.len()).expect("a unit of less than 4 GiB");
    length.to_be_bytes().into_iter().chain(unit.iter().copied())
}

/// nal_unit_type.
fn unit_type(codec: Codec, unit: &[u8]) -> u8 {
    match codec {
        Codec::H264 => unit[0] & 31,
        Codec::Hevc => unit[0] >> 1 & 63,
    }
}

/// Record and units of a stream whose pictures each begin with an access unit delimiter.
fn split(codec: Codec, depth: u8, stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (delimiter, sets): (u8, &[u8]) = match codec {
        Codec::H264 => (9, &[7, 8]),
        Codec::Hevc => (35, &[32, 33, 34]),
    };
    let mut found: Vec<Vec<u8>> = vec![Vec::new(); sets.len()];
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in nal_units(stream) {
        let kind = unit_type(codec, unit);
        if let Some(place) = sets.iter().position(|&set| set == kind) {
            found[place] = unit.to_vec();
        } else if kind == delimiter {
            units.push(Vec::new());
        } else if let Some(last) = units.last_mut() {
            last.extend(with_length(unit));
        }
    }
    (record(codec, depth, &found), units)
}

/// ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1.
fn record(codec: Codec, depth: u8, sets: &[Vec<u8>]) -> Vec<u8> {
    let length = |unit: &[u8]| u16::try_from(unit.len()).expect("a small parameter set").to_be_bytes();
    match codec {
        Codec::H264 => {
            let [sps, pps] = sets else { panic!("an SPS and a PPS") };
            let mut record = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
            record.extend(length(sps).into_iter().chain(sps.iter().copied()));
            record.push(1);
            record.extend(length(pps).into_iter().chain(pps.iter().copied()));
            if sps[1] == 100 {
                record.extend([0xfd, 0xf8, 0xf8, 0]);
            }
            record
        }
        Codec::Hevc => {
            let [_, sps, _] = sets else { panic!("a VPS, an SPS and a PPS") };
            let mut record = vec![1];
            // profile_tier_level follows three bytes; its zeros bring emulation prevention.
            let mut plain = Vec::new();
            let mut zeros = 0;
            for &byte in sps {
                if zeros >= 2 && byte == 3 {
                    zeros = 0;
                    continue;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                plain.push(byte);
            }
            record.extend(&plain[3..15]);
            record.extend([0xf0, 0, 0xfc, 0xfd, 0xf8 | (depth - 8), 0xf8 | (depth - 8), 0, 0, 0x0f, 3]);
            for (set, kind) in sets.iter().zip([32, 33, 34]) {
                record.extend([0x80 | kind, 0, 1]);
                record.extend(length(set).into_iter().chain(set.iter().copied()));
            }
            record
        }
    }
}

/// The parameter sets of a record.
fn parameter_sets(codec: Codec, record: &[u8]) -> Vec<Vec<u8>> {
    let mut sets = Vec::new();
    let mut at = 0;
    let mut take = |at: &mut usize| {
        let length = usize::from(u16::from_be_bytes([record[*at], record[*at + 1]]));
        sets.push(record[*at + 2..*at + 2 + length].to_vec());
        *at += 2 + length;
    };
    match codec {
        Codec::H264 => {
            at += 6;
            for _ in 0..record[5] & 31 {
                take(&mut at);
            }
            let count = record[at];
            at += 1;
            for _ in 0..count {
                take(&mut at);
            }
        }
        Codec::Hevc => {
            at += 23;
            for _ in 0..record[22] {
                let count = u16::from_be_bytes([record[at + 1], record[at + 2]]);
                at += 3;
                for _ in 0..count {
                    take(&mut at);
                }
            }
        }
    }
    sets
}

/// Writes what an encoder made as a bare stream, which ffmpeg reads.
///
/// # Panics
/// Where a unit's lengths are wrong, or the disk refuses.
pub fn write(file: &Path, codec: Codec, configuration: &[u8], coded: &[Coded]) {
    let mut bytes = Vec::new();
    for set in parameter_sets(codec, configuration) {
        bytes.extend([0, 0, 0, 1].into_iter().chain(set));
    }
    for picture in coded {
        let mut rest = &picture.data[..];
        while !rest.is_empty() {
            let (length, after) = rest.split_at(4);
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            let (unit, after) = after.split_at(length);
            bytes.extend([0, 0, 0, 1].into_iter().chain(unit.iter().copied()));
            rest = after;
        }
    }
    std::fs::write(file, bytes).expect("the file can be written");
}
