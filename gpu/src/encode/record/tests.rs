#![allow(clippy::cast_possible_truncation, reason = "lengths of parameter sets")]

use super::*;
use proptest::prelude::*;

#[test]
fn writes_both_sets_and_what_high_profile_adds() {
    let headers = [0, 0, 0, 1, 0x67, 100, 0, 31, 0xac, 0, 0, 0, 1, 0x68, 0xee];
    let want = [
        &[1, 100, 0, 31, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 31, 0xac][..],
        &[1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0],
    ];
    assert_eq!(record(Codec::H264, &headers).unwrap(), want.concat());
    let error = record(Codec::H264, &headers[..9]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "picture parameter set of the H.264 encoder is missing, too short or too long"
    );
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Parameter sets of x265 3.5, and the record that ffmpeg 5.1 writes of them:
/// `ffmpeg -f lavfi -i testsrc=size=640x360:rate=25 -frames:v 2 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709
/// -color_trc bt709 -color_range tv -c:v libx265 -f hevc a.hevc; ffmpeg -i a.hevc -c copy a.mp4`.
const HEVC: [&str; 3] = [
    "40010c01ffff01600000030090000003000003003f959809",
    "42010101600000030090000003000003003fa00502016965959a4932bc05a80808082000000300200000030321",
    "4401c172b46240",
];
const HVCC: &str = "0101600000009000000000003ff000fcfdf8f800000f03";

#[test]
fn the_record_of_hevc_is_that_of_another_writer() {
    let mut headers = Vec::new();
    for unit in HEVC {
        headers.extend_from_slice(&[0, 0, 0, 1]);
        headers.extend_from_slice(&bytes(unit));
    }
    let record = record(Codec::Hevc, &headers).unwrap();
    let fixed = bytes(HVCC);
    assert_eq!(record[..fixed.len()], fixed);
    let mut arrays = Vec::new();
    for (kind, unit) in [0xa0, 0xa1, 0xa2].into_iter().zip(HEVC) {
        let unit = bytes(unit);
        arrays.extend_from_slice(&[kind, 0, 1, 0, unit.len() as u8]);
        arrays.extend_from_slice(&unit);
    }
    assert_eq!(record[fixed.len()..], arrays);
}

/// The first bytes of a stream of libaom 3.6.0, and the record that ffmpeg 5.1 writes of it: as above with
/// `-c:v libaom-av1 -f obu`.
const AV1: &str = "12000a0e0000000cc4ff6736be4404040410";
const AV1C: &str = "81010c000a0e0000000cc4ff6736be4404040410";

#[test]
fn the_record_of_av1_is_that_of_another_writer() {
    assert_eq!(record(Codec::Av1, &bytes(AV1)).unwrap(), bytes(AV1C));
}

#[test]
fn every_field_of_a_sequence_header_is_stepped_over() {
    // Written as AV1 5.5.1 has it, with everything there that may be.
    let mut text = String::new();
    let mut put = |bits: &str| text.push_str(bits);
    put("000 0 0"); // profile 0, moving, not reduced
    put("1"); // timing info
    put(&format!("{:032b} {:032b} 1 001 01", 1, 25)); // equal intervals: uvlc of two zeros and two bits
    put("1"); // decoder model info
    put(&format!("{:05b} {:032b} {:05b} {:05b}", 3, 90000, 4, 5));
    put("1"); // initial display delay
    put("00001"); // two operating points
    put("000000000001 01101 1"); // level 13, high tier
    put("1 0101 1010 0"); // decoder model of this one: two delays of 4 bits, low delay off
    put("1 0011"); // its display delay
    put("000000000011 00100 0 0");
    put("1001 1000 1010000000 101101000"); // sizes of 10 and 9 bits
    put("1 0001 011"); // frame ids
    put("000");
    put("1111 1 11"); // tools with order hints
    put("0 1"); // screen content forced
    put("0 1"); // integer motion forced
    put("110"); // order hint bits
    put("011");
    put("1 0 1 00000001 00000001 00000001"); // 10 bits, colour, BT.709
    put("0 01"); // limited range, chroma on the left
    let bits: Vec<bool> = text.chars().filter(|c| *c != ' ').map(|c| c == '1').collect();
    let bytes: Vec<u8> =
        bits.chunks(8).map(|c| c.iter().enumerate().map(|(i, b)| u8::from(*b) << (7 - i)).sum()).collect();
    let mut reader = Bits { bytes: &bytes, at: 0 };
    let read = SequenceHeader::read(&mut reader).unwrap();
    assert_eq!(
        read,
        SequenceHeader {
            profile: 0,
            level: 13,
            tier: 1,
            high_bit_depth: true,
            twelve_bit: false,
            monochrome: false,
            subsampling: 3,
            chroma_position: 1,
        }
    );
    assert_eq!(reader.at, bits.len());
}

proptest! {
    #[test]
    fn nothing_panics(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x0a), any::<u8>()], 0..200),
    ) {
        let _ = record(codec, &bytes);
        let _ = SequenceHeader::read(&mut Bits { bytes: &bytes, at: 0 });
    }
}
