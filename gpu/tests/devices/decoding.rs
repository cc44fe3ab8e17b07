//! What comes out of decoders, against what ffmpeg's software decodes.

use gpu::decode::DecodeError;
use gpu::frame::Format;
use gpu::{Codec, Decoded, Decoder, DecoderConfig, Device, Encoder, FrameKind, Scaler};

use crate::encoding::config;
use crate::on_devices;
use crate::pictures::{ffmpeg, psnr, size};

/// A stream with the record and units that a container would have.
pub(crate) struct Stream {
    pub(crate) codec: Codec,
    pub(crate) record: Vec<u8>,
    pub(crate) units: Vec<Vec<u8>>,
    /// Annex B, or OBUs.
    pub(crate) raw: Vec<u8>,
}

/// Encodes ffmpeg's test pictures. `source` is a filter's arguments.
pub(crate) fn stream(codec: Codec, source: &str, arguments: &[&str]) -> Stream {
    let (encoder, format): (&[&str], _) = match codec {
        Codec::H264 => (&["-c:v", "libx264", "-x264-params", "aud=1:keyint=12"], "h264"),
        Codec::Hevc => (&["-c:v", "libx265", "-x265-params", "log-level=none:aud=1:keyint=12"], "hevc"),
        Codec::Av1 => (
            &[
                "-c:v",
                "libaom-av1",
                "-usage",
                "realtime",
                "-cpu-used",
                "8",
                "-g",
                "12",
                "-lag-in-frames",
                "0",
            ],
            "obu",
        ),
    };
    let all = [&["-f", "lavfi", "-i", source][..], encoder, arguments, &["-f", format, "-"]].concat();
    let raw = ffmpeg(&all, Vec::new());
    let units = match codec {
        Codec::Av1 => temporal_units(&raw),
        _ => access_units(codec, &raw),
    };
    let record = record(codec, &raw);
    Stream { codec, record, units, raw }
}

pub(crate) fn nal_units(raw: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        raw.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([raw.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let unit = &raw[*start..end];
            &unit[..unit.iter().rposition(|byte| *byte != 0).unwrap() + 1]
        })
        .collect()
}

pub(crate) fn nal_type(codec: Codec, unit: &[u8]) -> u8 {
    if codec == Codec::H264 { unit[0] & 0x1f } else { unit[0] >> 1 & 0x3f }
}

/// Pictures by their delimiters, with lengths of 4 bytes, without parameter sets.
fn access_units(codec: Codec, raw: &[u8]) -> Vec<Vec<u8>> {
    let (delimiter, sets): (u8, &[u8]) =
        if codec == Codec::H264 { (9, &[7, 8]) } else { (35, &[32, 33, 34]) };
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in nal_units(raw) {
        let kind = nal_type(codec, unit);
        if kind == delimiter {
            units.push(Vec::new());
        } else if !sets.contains(&kind) {
            let picture = units.last_mut().unwrap();
            picture.extend_from_slice(&(unit.len() as u32).to_be_bytes());
            picture.extend_from_slice(unit);
        }
    }
    units
}

/// Temporal units by their delimiters, which containers leave out.
fn temporal_units(raw: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let header = raw[at];
        let (mut size, mut shift, mut next) = (0usize, 0, at + 1);
        loop {
            size |= usize::from(raw[next] & 0x7f) << shift;
            shift += 7;
            next += 1;
            if raw[next - 1] & 0x80 == 0 {
                break;
            }
        }
        if header >> 3 & 15 == 2 {
            units.push(Vec::new());
        } else {
            units.last_mut().unwrap().extend_from_slice(&raw[at..next + size]);
        }
        at = next + size;
    }
    units
}

/// The configuration record of the first parameter sets.
fn record(codec: Codec, raw: &[u8]) -> Vec<u8> {
    let first = |kind| {
        let unit = nal_units(raw).into_iter().find(|unit| nal_type(codec, unit) == kind).unwrap().to_vec();
        [(unit.len() as u16).to_be_bytes().to_vec(), unit].concat()
    };
    match codec {
        Codec::H264 => {
            let sps = first(7);
            [&[1, sps[3], sps[4], sps[5], 0xff, 0xe1][..], &sps, &[1], &first(8)].concat()
        }
        Codec::Hevc => {
            let mut record = vec![1; 21];
            record.extend_from_slice(&[3, 3]);
            for kind in [32, 33, 34] {
                record.extend_from_slice(&[kind, 0, 1]);
                record.extend_from_slice(&first(kind));
            }
            record
        }
        Codec::Av1 => vec![0x81, 0, 0x0c, 0],
    }
}

fn open(device: &Device, stream: &Stream, low_latency: bool) -> Decoder {
    let config = DecoderConfig { codec: stream.codec, configuration: Some(&stream.record), low_latency };
    Decoder::open(device, &config).unwrap()
}

/// Sends units with the tags from `first` on.
pub(crate) fn send(decoder: &mut Decoder, units: &[Vec<u8>], first: i64) -> Vec<Decoded> {
    let mut pictures = Vec::new();
    for (unit, tag) in units.iter().zip(first..) {
        decoder.send(unit, tag).unwrap();
        while let Some(picture) = decoder.receive().unwrap() {
            pictures.push(picture);
        }
    }
    pictures
}

pub(crate) fn finish(decoder: &mut Decoder) -> Vec<Decoded> {
    decoder.finish();
    std::iter::from_fn(|| decoder.receive().unwrap()).collect()
}

/// What ffmpeg decodes, picture by picture: planar, of 8 bits or little-endian 16.
pub(crate) fn software(stream: &Stream, pixel_format: &str, bytes: usize) -> Vec<Vec<u8>> {
    let format = match stream.codec {
        Codec::H264 => "h264",
        Codec::Hevc => "hevc",
        Codec::Av1 => "obu",
    };
    let arguments = [
        "-f",
        format,
        "-i",
        "-",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        pixel_format,
        "-",
    ];
    ffmpeg(&arguments, stream.raw.clone()).chunks(bytes).map(<[u8]>::to_vec).collect()
}

pub(crate) fn supported(device: &Device) -> Vec<(Codec, u8)> {
    match device.caps().decode {
        Ok(caps) => caps.iter().map(|caps| (caps.codec, caps.depth)).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn pictures_are_those_of_a_software_decoder() {
    on_devices("decoding::pictures_are_those_of_a_software_decoder", |device| {
        for (codec, depth) in supported(device) {
            let pixels = if depth == 8 { "yuv420p" } else { "yuv420p10le" };
            if depth == 10 && codec == Codec::H264 {
                continue;
            }
            let stream =
                stream(codec, "testsrc2=size=322x180:rate=25", &["-frames:v", "30", "-pix_fmt", pixels]);
            let per_sample = if depth == 8 { 1 } else { 2 };
            let want = software(&stream, pixels, 322 * 180 / 2 * 3 * per_sample);
            for low_latency in [false, true] {
                let mut decoder = open(device, &stream, low_latency);
                let mut got = send(&mut decoder, &stream.units, 100);
                got.extend(finish(&mut decoder));
                let tags: Vec<i64> = got.iter().map(|picture| picture.tag).collect();
                let mut sorted = tags.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (100..130).collect::<Vec<_>>(), "{codec} {depth}");
                assert_eq!(decoder.errors(), 0, "{codec} {depth}");
                for (number, (picture, want)) in got.iter().zip(&want).enumerate() {
                    let frame = &picture.frame;
                    assert_eq!((frame.size().width, frame.size().height), (322, 180));
                    assert!(!picture.deinterlaced);
                    let [luma, chroma] = frame.to_decoded_planes().unwrap();
                    let planar = match frame.format() {
                        Format::Nv12 => frame.to_planes().unwrap().concat(),
                        // The high bits hold the sample.
                        Format::P016 => {
                            let low = |samples: Vec<&[u8]>| -> Vec<u8> {
                                let shift = |s: &&[u8]| (u16::from_ne_bytes([s[0], s[1]]) >> 6).to_le_bytes();
                                samples.iter().flat_map(shift).collect()
                            };
                            let blue = low(chroma.chunks(2).step_by(2).collect());
                            let red = low(chroma.chunks(2).skip(1).step_by(2).collect());
                            [low(luma.chunks(2).collect()), blue, red].concat()
                        }
                    };
                    assert_eq!(frame.format() == Format::P016, depth == 10);
                    assert!(
                        planar == *want,
                        "{codec} {depth} picture {number}: {:.1} dB",
                        psnr(&planar, want)
                    );
                }
                assert_eq!(got.len(), want.len());
            }
        }
    });
}

#[test]
fn low_latency_holds_nothing_back_without_b_frames() {
    on_devices("decoding::low_latency_holds_nothing_back_without_b_frames", |device| {
        let source = "testsrc2=size=320x180:rate=25";
        let stream = stream(
            Codec::H264,
            source,
            &["-frames:v", "12", "-pix_fmt", "yuv420p", "-bf", "0", "-tune", "zerolatency"],
        );
        let mut decoder = open(device, &stream, true);
        for (unit, tag) in stream.units.iter().zip(0..) {
            decoder.send(unit, tag).unwrap();
            assert_eq!(decoder.receive().unwrap().map(|picture| picture.tag), Some(tag));
        }
    });
}

#[test]
fn interlaced_pictures_go_through_the_deinterlacer() {
    on_devices("decoding::interlaced_pictures_go_through_the_deinterlacer", |device| {
        let interlaced = ["-frames:v", "20", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-top", "1"];
        let stream = stream(Codec::H264, "testsrc2=size=320x192:rate=25", &interlaced);
        let mut decoder = open(device, &stream, false);
        let mut got = send(&mut decoder, &stream.units, 0);
        assert!(decoder.is_deinterlacing());
        got.extend(finish(&mut decoder));
        let deinterlaced = got.iter().filter(|picture| picture.deinterlaced).count();
        assert_eq!((got.len(), deinterlaced), (20, 20));
    });
}

#[test]
fn damage_is_counted_and_decoding_goes_on() {
    on_devices("decoding::damage_is_counted_and_decoding_goes_on", |device| {
        let stream =
            stream(Codec::H264, "testsrc2=size=320x180:rate=25", &["-frames:v", "36", "-pix_fmt", "yuv420p"]);
        let mut decoder = open(device, &stream, false);
        let mut units = stream.units.clone();
        units[2] = vec![0, 0, 9, 9, 1, 2];
        units[4].clear();
        for byte in units[6].iter_mut().skip(40).step_by(7) {
            *byte ^= 0x5a;
        }
        let mut got = send(&mut decoder, &units, 0);
        got.extend(finish(&mut decoder));
        assert!(decoder.errors() >= 2, "{}", decoder.errors());
        // All of the last group comes, and is sound.
        let last: Vec<_> = got.iter().filter(|picture| picture.tag >= 24).collect();
        assert_eq!(last.len(), 12);
        let want = software(&stream, "yuv420p", 320 * 180 / 2 * 3);
        let end = got.last().unwrap();
        assert_eq!(end.frame.to_planes().unwrap().concat(), *want.last().unwrap());
    });
}

#[test]
fn colours_and_shapes_are_those_of_the_stream() {
    on_devices("decoding::colours_and_shapes_are_those_of_the_stream", |device| {
        let tags =
            ["-frames:v", "3", "-pix_fmt", "yuv420p", "-colorspace", "smpte170m", "-color_range", "pc"];
        let stream = stream(Codec::H264, "testsrc2=size=720x576:rate=25,setsar=64/45", &tags);
        let mut decoder = open(device, &stream, false);
        let mut got = send(&mut decoder, &stream.units, 0);
        got.extend(finish(&mut decoder));
        let frame = &got[0].frame;
        assert_eq!(frame.sample_aspect_ratio(), (64, 45));
        assert!(frame.colour().full_range && matches!(frame.colour().matrix, 5 | 6), "{:?}", frame.colour());
    });
}

#[test]
fn what_cannot_be_decoded_is_refused_in_words() {
    on_devices("decoding::what_cannot_be_decoded_is_refused_in_words", |device| {
        let config = DecoderConfig {
            codec: Codec::H264,
            configuration: Some(&[0, 0, 0, 1, 0x67, 1, 2]),
            low_latency: false,
        };
        let error = Decoder::open(device, &config).err().unwrap();
        assert!(matches!(error, DecodeError::Record { .. }), "{error}");
        let pixels = ["-frames:v", "20", "-pix_fmt", "yuv422p"];
        let stream = stream(Codec::H264, "testsrc2=size=320x180:rate=25", &pixels);
        let mut decoder = open(device, &stream, false);
        let error = stream.units.iter().find_map(|unit| decoder.send(unit, 0).err());
        match error {
            Some(error) => assert_eq!(error.to_string(), "the device does not decode H.264 4:2:2 of 8 bits"),
            None => panic!("4:2:2 was taken"),
        }
    });
}

/// A unit with an SEI message of captions before its first one.
fn with_captions(unit: &[u8], number: u8) -> Vec<u8> {
    let message = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03, 0x41, 0xff, 0xfc, number, 0x80, 0xff];
    let mut sei = vec![0, 0, 0, 0, 6, 4, message.len() as u8];
    sei.extend_from_slice(&message);
    sei.push(0x80);
    let length = (sei.len() - 4) as u32;
    sei[..4].copy_from_slice(&length.to_be_bytes());
    sei.extend_from_slice(unit);
    sei
}

#[test]
fn captions_go_through_every_stage() {
    on_devices("decoding::captions_go_through_every_stage", |device| {
        let source = "testsrc2=size=320x180:rate=25";
        let stream = stream(Codec::H264, source, &["-frames:v", "12", "-pix_fmt", "yuv420p"]);
        let units: Vec<Vec<u8>> =
            stream.units.iter().zip(0..).map(|(unit, number)| with_captions(unit, number)).collect();
        let mut decoder = open(device, &stream, false);
        let mut pictures = send(&mut decoder, &units, 0);
        pictures.extend(finish(&mut decoder));
        assert_eq!(pictures.len(), 12);
        let mut scaler = Scaler::new(device);
        let scaled: Vec<_> = pictures
            .iter()
            .map(|picture| (picture.tag, scaler.scale(&picture.frame, size(256, 144)).unwrap()))
            .collect();
        for (tag, frame) in &scaled {
            assert_eq!(frame.captions().len(), 1);
            assert_eq!(i64::from(frame.captions()[0][11]), *tag);
        }
        let Ok(mut encoder) = Encoder::open(device, &config(Codec::H264, size(256, 144), 500_000)) else {
            println!("{device:?} does not encode");
            return;
        };
        let mut coded = Vec::new();
        for (tag, frame) in &scaled {
            let kind = if *tag == 5 { FrameKind::Repeated } else { FrameKind::Any };
            encoder.send(frame, *tag as u64, kind).unwrap();
            coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
        }
        encoder.finish();
        coded.extend(std::iter::from_fn(|| encoder.receive().unwrap()));
        for picture in &coded {
            let at = picture.data.windows(4).position(|window| window == b"GA94");
            let number = at.map(|at| u64::from(picture.data[at + 8]));
            assert_eq!(number, (picture.tag != 5).then_some(picture.tag), "picture {}", picture.tag);
        }
    });
}
