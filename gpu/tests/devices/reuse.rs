//! Streams whose pictures change their size: what comes out, and which decoders it takes.

use gpu::{Codec, Decoder, DecoderConfig, Device};

use crate::decoding::{Stream, finish, nal_type, nal_units, send, software, stream, supported};
use crate::{SOUND, Seen, run_simulated};

/// Pictures of each part.
const COUNT: usize = 10;

/// A stream's units, the first of them with its parameter sets, as where it begins in the middle of another.
fn with_sets(stream: &Stream) -> Vec<Vec<u8>> {
    let mut units = stream.units.clone();
    let sets = match stream.codec {
        Codec::H264 => 7..=8,
        Codec::Hevc => 32..=34,
        // The sequence header stands in the stream.
        Codec::Av1 => return units,
    };
    let mut first = Vec::new();
    for nal in nal_units(&stream.raw).into_iter().filter(|nal| sets.contains(&nal_type(stream.codec, nal))) {
        if !first.windows(nal.len()).any(|window| window == nal) {
            first.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            first.extend_from_slice(nal);
        }
    }
    units[0].splice(..0, first);
    units
}

/// Decodes streams of these sizes one behind the other in one decoder, and compares each picture with what software
/// makes of it.
fn decode(device: &Device, codec: Codec, sizes: &[(u32, u32)]) {
    let make = |(width, height): &(u32, u32)| {
        let source = format!("testsrc2=size={width}x{height}:rate=25");
        stream(codec, &source, &["-frames:v", "10", "-pix_fmt", "yuv420p"])
    };
    let streams: Vec<Stream> = sizes.iter().map(make).collect();
    let config = DecoderConfig { codec, configuration: Some(&streams[0].record), low_latency: false };
    let mut decoder = Decoder::open(device, &config).unwrap();
    let mut got = Vec::new();
    for (stream, first) in streams.iter().zip((0..).step_by(COUNT)) {
        got.extend(send(&mut decoder, &with_sets(stream), first));
    }
    got.extend(finish(&mut decoder));
    assert_eq!(decoder.errors(), 0, "{codec}");
    assert_eq!(got.len(), COUNT * sizes.len(), "{codec}");
    for ((pictures, stream), (width, height)) in got.chunks(COUNT).zip(&streams).zip(sizes) {
        let wanted = software(stream, "yuv420p", (width * height / 2 * 3) as usize);
        for (number, (picture, wanted)) in pictures.iter().zip(&wanted).enumerate() {
            let size = picture.frame.size();
            assert_eq!((size.width, size.height), (*width, *height), "{codec} picture {number}");
            let found = picture.frame.to_planes().unwrap().concat();
            assert!(found == *wanted, "{codec} {width}x{height}: picture {number} differs");
        }
    }
}

/// Formats that the device decodes.
fn codecs(device: &Device) -> Vec<Codec> {
    supported(device).into_iter().filter(|(_, depth)| *depth == 8).map(|(codec, _)| codec).collect()
}

#[test]
fn a_decoder_is_used_again_for_what_is_no_larger() {
    let test = "reuse::a_decoder_is_used_again_for_what_is_no_larger";
    let seen = run_simulated(test, SOUND, || {
        let device = Device::open(0).unwrap();
        assert_eq!(codecs(&device), Codec::ALL);
        for codec in codecs(&device) {
            decode(&device, codec, &[(480, 270), (256, 144), (320, 180), (480, 270)]);
        }
    });
    let Some(Seen { report, .. }) = seen else { return };
    assert_eq!(report["violations"], 0, "{}", report["sentences"]);
    assert_eq!(report["devices"][0]["counters"]["DecodeOpens"], Codec::ALL.len(), "one for each format");
}
