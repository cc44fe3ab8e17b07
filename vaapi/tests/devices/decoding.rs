//! What comes out of decoders.

use std::collections::BTreeSet;

use vaapi::decode::DecodeError;
use vaapi::{Codec, Decoded, Decoder, DecoderConfig, Device};

use crate::annex_b;
use crate::pictures::{Stream, joined};
use crate::{ARC, on_devices, on_simulated, run_simulated};

fn open(device: &Device, stream: &Stream) -> Decoder {
    let config = DecoderConfig { codec: stream.codec, configuration: &stream.record };
    Decoder::open(device, &config).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)))
}

fn take(decoder: &mut Decoder, pictures: &mut Vec<Decoded>) {
    while let Some(decoded) = decoder.receive().unwrap_or_else(|e| panic!("{}", annex_b::chain(&e))) {
        pictures.push(decoded);
    }
}

/// Decodes units, tagged by their number.
fn decode(decoder: &mut Decoder, units: &[Vec<Vec<u8>>]) -> Vec<Decoded> {
    let mut pictures = Vec::new();
    for (tag, unit) in (0..).zip(units) {
        decoder.send(&annex_b::sample(unit), tag).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
        take(decoder, &mut pictures);
    }
    decoder.finish();
    take(decoder, &mut pictures);
    pictures
}

/// Decodes a stream, and compares every sample with what ffmpeg makes of it in software.
fn assert_same(device: &Device, stream: &Stream, what: &str) {
    let mut decoder = open(device, stream);
    let pictures = decode(&mut decoder, &stream.units);
    let wanted = stream.decoded();
    let bytes = wanted.len() / stream.units.len();
    assert_eq!(pictures.len(), stream.units.len(), "{what}");
    for (number, (picture, wanted)) in pictures.iter().zip(wanted.chunks_exact(bytes)).enumerate() {
        let found = joined(&picture.frame.samples().unwrap());
        assert!(found == wanted, "{what}: picture {number} of {} differs", pictures.len());
    }
    let tags: BTreeSet<_> = pictures.iter().map(|picture| picture.tag).collect();
    assert_eq!((tags.len(), decoder.errors()), (pictures.len(), 0), "{what}");
}

#[test]
fn h264_is_what_software_makes_of_it() {
    on_devices("decoding::h264_is_what_software_makes_of_it", |device| {
        for parameters in [
            "bframes=0:ref=1",
            "bframes=5:ref=6:weightp=2:weightb=1:keyint=20:open-gop=1:b-pyramid=normal:b-adapt=0",
            "bframes=16:ref=16:b-adapt=0:b-pyramid=strict:direct=temporal:keyint=250",
            "slices=4:bframes=2:cabac=0:8x8dct=0",
            "cqm=jvt:bframes=2:intra-refresh=1:keyint=15",
        ] {
            assert_same(
                device,
                &Stream::natural(Codec::H264, "426x240", "yuv420p", 40, parameters),
                parameters,
            );
        }
    });
}

#[test]
fn hevc_is_what_software_makes_of_it() {
    on_devices("decoding::hevc_is_what_software_makes_of_it", |device| {
        for (pixels, parameters) in [
            ("yuv420p", "bframes=0:wpp=1:ctu=16"),
            ("yuv420p", "bframes=4:ref=4:b-pyramid=1:keyint=20:open-gop=1:weightp=1:weightb=1"),
            ("yuv420p", "slices=2:scaling-list=default:amp=1:rect=1:tskip=1"),
            ("yuv420p10le", "bframes=3:keyint=15"),
        ] {
            assert_same(device, &Stream::natural(Codec::Hevc, "426x240", pixels, 30, parameters), parameters);
        }
    });
}

#[test]
fn the_size_may_change_in_the_middle() {
    on_devices("decoding::the_size_may_change_in_the_middle", |device| {
        for codec in Codec::ALL {
            let first = Stream::natural(codec, "426x240", "yuv420p", 10, "bframes=3");
            let second = Stream::natural(codec, "640x360", "yuv420p", 10, "bframes=3");
            let mut decoder = open(device, &first);
            let pictures = decode(&mut decoder, &[first.units.clone(), second.units.clone()].concat());
            let (before, after) = pictures.split_at(10);
            let all = |list: &[Decoded]| -> Vec<u8> {
                list.iter().flat_map(|picture| joined(&picture.frame.samples().unwrap())).collect()
            };
            assert!(all(before) == first.decoded(), "{codec:?} before");
            assert!(all(after) == second.decoded(), "{codec:?} behind");
            assert_eq!(decoder.errors(), 0);
        }
    });
}

#[test]
fn interlaced_pictures_come_out_progressive() {
    on_simulated("decoding::interlaced_pictures_come_out_progressive", ARC, |device| {
        let stream = Stream::natural(Codec::H264, "426x240", "yuv420p", 20, "interlaced=1:bframes=2");
        let mut decoder = open(device, &stream);
        let pictures = decode(&mut decoder, &stream.units);
        let tags: BTreeSet<_> = pictures.iter().map(|picture| picture.tag).collect();
        assert_eq!((pictures.len(), tags.len(), decoder.errors()), (20, 20, 0));
        assert!(pictures.iter().all(|picture| picture.deinterlaced));
        // Coded like interlaced pictures, though not taken like them, and the stream says so.
        let parameters = "fake-interlaced=1:interlaced=0:pic-struct=1:bframes=2";
        assert_same(device, &Stream::natural(Codec::H264, "426x240", "yuv420p", 10, parameters), parameters);
    });
}

#[test]
fn damage_is_counted_and_no_more() {
    // The simulated driver finds fault with what is concealed; what is asked for here is that all goes on.
    run_simulated("decoding::damage_is_counted_and_no_more", ARC, || {
        let device = &crate::simulated();
        for codec in Codec::ALL {
            let stream = Stream::natural(codec, "320x180", "yuv420p", 40, "bframes=2:keyint=20");
            let mut state = 1u32;
            let mut random = |below: usize| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                usize::try_from(state >> 8).unwrap() % below.max(1)
            };
            for round in 0..6 {
                let mut units = stream.units.clone();
                for unit in units.iter_mut().skip(1) {
                    match random(4) {
                        // Bits turned around, in headers more often than not.
                        0 => {
                            let at = random(unit.len());
                            let nal = &mut unit[at];
                            let reach = if round % 2 == 0 { 24 } else { nal.len() };
                            let at = random(nal.len().min(reach));
                            nal[at] ^= 1 << random(8);
                        }
                        1 if round > 2 => unit.clear(),
                        2 if round > 3 => unit.iter_mut().for_each(|nal| nal.truncate(nal.len() / 2)),
                        _ => {}
                    }
                }
                let mut decoder = open(device, &stream);
                let pictures = decode(&mut decoder, &units);
                // Damage within the data of slices is the hardware's to conceal, which tells nobody.
                let noticeable = round != 1;
                assert!(decoder.errors() > 0 || !noticeable, "{codec:?}, round {round}: nothing was noticed");
                assert!(!pictures.is_empty(), "{codec:?}, round {round}: nothing came out");
            }
        }
    });
}

#[test]
fn what_cannot_be_decoded_is_refused_with_a_reason() {
    on_simulated("decoding::what_cannot_be_decoded_is_refused_with_a_reason", ARC, |device| {
        let refusal = |codec, configuration: &[u8]| {
            let Err(error) = Decoder::open(device, &DecoderConfig { codec, configuration }) else {
                panic!("it was taken")
            };
            error
        };
        let error = refusal(Codec::H264, &[0, 1, 2]);
        assert!(matches!(error, DecodeError::Record { .. }), "{error}");
        assert_eq!(annex_b::chain(&error), "H.264 configuration record: it has version 0, not 1");
        let high422 = Stream::natural(Codec::H264, "320x180", "yuv422p", 2, "bframes=0");
        assert_eq!(
            refusal(Codec::H264, &high422.record).to_string(),
            "H.264 with 4:2:2 chroma is not decoded here"
        );
        let high10 = Stream::natural(Codec::H264, "320x180", "yuv420p10le", 2, "bframes=0");
        let text = refusal(Codec::H264, &high10.record).to_string();
        assert_eq!(text, "H.264 with more than 8 bits a sample is not decoded here");
    });
}
