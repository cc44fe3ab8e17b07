//! Pictures to encode, and streams to decode that no engine of ours has made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::conformance::{Codec, Coded, Picture};
use crate::natural_clip;
use crate::pictures::FFMPEG;
use crate::simulation::run;

/// Cuts raw video into pictures.
fn cut(bytes: &[u8], depth: u8, width: u32, height: u32) -> Vec<Picture> {
    let sample_bytes = usize::from(depth.div_ceil(8));
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

/// A coded stream, as it comes out of a container.
pub struct Stream {
    /// The format.
    pub codec: Codec,
    /// The `avcC`, `hvcC` or `av1C` record.
    pub configuration: Vec<u8>,
    /// NAL units of each picture, with their lengths; or a temporal unit of OBUs.
    pub units: Vec<Vec<u8>>,
    /// Bits of a sample, and luma's width and height.
    shape: (u8, u32, u32),
    fixtures: Fixtures,
    /// The bare stream, among the fixtures.
    name: String,
}

/// What ffmpeg makes for tests, in a folder: each thing once, for all processes that are given the folder.
#[derive(Debug, Clone)]
pub struct Fixtures {
    folder: PathBuf,
}

impl Fixtures {
    /// Those in `folder`, which there is.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A file that `make` makes at the path it is given, where it is not there yet.
    fn file(&self, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let path = self.folder.join(name);
        if !path.exists() {
            // Whole or not at all: a process that fails leaves no half of it.
            let beside = self.folder.join(format!("part-{name}"));
            make(&beside);
            fs::rename(&beside, &path).expect("the folder can be written");
        }
        path
    }

    fn natural_file(&self, depth: u8, width: u32, height: u32, count: usize) -> PathBuf {
        self.file(&format!("natural-{depth}-{width}x{height}-{count}.yuv"), |path| {
            let mut command = Command::new(FFMPEG);
            command.args(["-v", "error", "-y", "-i"]).arg(natural_clip());
            command.args(["-an", "-frames:v", &count.to_string()]);
            command.args(["-vf", &format!("scale={width}:{height}:flags=bicubic")]);
            run(command.args(["-pix_fmt", pixel_format(depth), "-f", "rawvideo"]).arg(path));
        })
    }

    /// The natural clip's pictures, scaled, of 8 or 10 bits.
    #[must_use]
    pub fn natural(&self, depth: u8, width: u32, height: u32, count: usize) -> Vec<Picture> {
        let bytes = fs::read(self.natural_file(depth, width, height, count)).expect("ffmpeg wrote it");
        cut(&bytes, depth, width, height)
    }

    /// Natural pictures, coded with x264, x265 or SVT-AV1, with B-frames and the colours of BT.709.
    ///
    /// # Panics
    /// Where ffmpeg fails.
    #[must_use]
    pub fn stream(&self, codec: Codec, depth: u8, width: u32, height: u32, count: usize) -> Stream {
        let name = format!("stream-{depth}-{width}x{height}-{count}.{}", codec.ending());
        let file = self.file(&name, |path| {
            let mut command = Command::new(FFMPEG);
            command.args([
                "-v",
                "error",
                "-y",
                "-f",
                "rawvideo",
                "-pix_fmt",
                pixel_format(depth),
                "-r",
                "25",
            ]);
            command.args(["-s", &format!("{width}x{height}"), "-i"]);
            command.arg(self.natural_file(depth, width, height, count));
            for option in ["-color_primaries", "-color_trc", "-colorspace"] {
                command.args([option, "bt709"]);
            }
            command.args(["-color_range", "tv"]);
            match codec {
                Codec::H264 => {
                    let parameters = "aud=1:bframes=3:ref=4:weightp=2:keyint=8:crf=20";
                    command.args(["-c:v", "libx264", "-x264-params", parameters])
                }
                Codec::Hevc => {
                    let parameters = "log-level=error:aud=1:bframes=4:keyint=8:crf=22";
                    command.args(["-c:v", "libx265", "-preset", "veryfast", "-x265-params", parameters])
                }
                Codec::Av1 => {
                    // What it says of itself it says at every level.
                    command.env("SVT_LOG", "1");
                    command.args(["-c:v", "libsvtav1", "-preset", "10", "-crf", "22", "-g", "8"])
                }
            };
            run(command.args(["-f", codec.ending()]).arg(path));
        });
        let bytes = fs::read(&file).expect("ffmpeg wrote it");
        let (configuration, units) = match codec {
            Codec::Av1 => (av1_record(depth), temporal_units(&bytes)),
            _ => split(codec, depth, &bytes),
        };
        assert_eq!(units.len(), count, "{codec:?}: a unit is a picture");
        Stream { codec, configuration, units, shape: (depth, width, height), fixtures: self.clone(), name }
    }
}

const fn pixel_format(depth: u8) -> &'static str {
    if depth == 8 { "yuv420p" } else { "yuv420p10le" }
}

impl Stream {
    /// What ffmpeg decodes from it.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn decoded(&self) -> Vec<Picture> {
        let (depth, width, height) = self.shape;
        let file = self.fixtures.file(&format!("{}.yuv", self.name), |path| {
            let mut command = Command::new(FFMPEG);
            command.args(["-v", "error", "-y", "-i"]).arg(self.fixtures.folder.join(&self.name));
            command.args(["-fps_mode", "passthrough", "-pix_fmt", pixel_format(depth)]);
            run(command.args(["-f", "rawvideo"]).arg(path));
        });
        cut(&fs::read(file).expect("ffmpeg wrote it"), depth, width, height)
    }

    /// Its units, the first of them with the parameter sets before it, as where a stream changes in the middle.
    #[must_use]
    pub fn units_with_parameter_sets(&self) -> Vec<Vec<u8>> {
        let mut units = self.units.clone();
        // AV1's sequence header stands in the stream as it is.
        if let Some(first) = units.first_mut()
            && self.codec != Codec::Av1
        {
            let sets = parameter_sets(self.codec, &self.configuration);
            let sets: Vec<u8> = sets.iter().flat_map(|set| with_length(set)).collect();
            first.splice(..0, sets);
        }
        units
    }
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
        Codec::Av1 => panic!("AV1 has no NAL units"),
    }
}

/// Temporal units by their delimiters, which containers leave out (AV1 specification, 5.3 and 7.5).
fn temporal_units(stream: &[u8]) -> Vec<Vec<u8>> {
    const OBU_TEMPORAL_DELIMITER: u8 = 2;
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let header = stream[at];
        let (mut size, mut next) = (0_usize, at + 1);
        // leb128, 4.10.5: seven bits a byte, the lowest first. The header has no extension, and says that there is a size.
        for shift in (0..).step_by(7) {
            size |= usize::from(stream[next] & 0x7f) << shift;
            next += 1;
            if stream[next - 1] & 0x80 == 0 {
                break;
            }
        }
        if header >> 3 & 15 == OBU_TEMPORAL_DELIMITER {
            units.push(Vec::new());
        } else {
            units.last_mut().expect("a delimiter first").extend_from_slice(&stream[at..next + size]);
        }
        at = next + size;
    }
    units
}

/// `av1C` (AV1-ISOBMFF, 2.3.3) of main profile, 4:2:0, level 4.0, without the sequence header, which stands in the stream.
fn av1_record(depth: u8) -> Vec<u8> {
    vec![0x81, 8, if depth == 10 { 0x4c } else { 0x0c }, 0]
}

/// Record and units of a stream whose pictures each begin with an access unit delimiter.
fn split(codec: Codec, depth: u8, stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (delimiter, sets): (u8, &[u8]) = match codec {
        Codec::H264 => (9, &[7, 8]),
        Codec::Hevc => (35, &[32, 33, 34]),
        Codec::Av1 => panic!("AV1 has temporal units"),
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
            // High and High 10 say more: 4:2:0, the bits of both, no extension.
            if matches!(sps[1], 100 | 110) {
                record.extend([0xfd, 0xf8 | (depth - 8), 0xf8 | (depth - 8), 0]);
            }
            record
        }
        Codec::Av1 => panic!("AV1 has a record of its own"),
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
        // Its sequence header stands in the stream.
        Codec::Av1 => {}
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
        if codec == Codec::Av1 {
            // A temporal delimiter, which coded pictures come without.
            bytes.extend([0x12, 0]);
            bytes.extend_from_slice(&picture.data);
            continue;
        }
        let mut rest = &picture.data[..];
        while !rest.is_empty() {
            let (length, after) = rest.split_at(4);
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            let (unit, after) = after.split_at(length);
            bytes.extend([0, 0, 0, 1].into_iter().chain(unit.iter().copied()));
            rest = after;
        }
    }
    fs::write(file, bytes).expect("the file can be written");
}
