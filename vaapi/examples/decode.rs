//! Decodes an Annex B stream whose access units begin with delimiters, and writes the samples of its pictures.
//!
//! `decode NODE h264|hevc IN OUT`; prints how many pictures, damaged units and deinterlaced pictures there were, and the
//! tags' order. 10-bit samples are written in two bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "an example")]

#[path = "support/annex_b.rs"]
#[allow(dead_code, reason = "shared by the examples")]
mod annex_b;

use std::io::Write;
use std::path::Path;

use vaapi::{Codec, Decoder, DecoderConfig, Device, Node};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, node, codec, input, output] = arguments.as_slice() else { panic!("NODE h264|hevc IN OUT") };
    let codec = if codec == "hevc" { Codec::Hevc } else { Codec::H264 };
    let device = Device::open(&Node::at(Path::new("/"), Path::new(node)))
        .unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
    let units = annex_b::units(&std::fs::read(input).unwrap(), codec);
    let record = annex_b::record(&units, codec);
    let config = DecoderConfig { codec, configuration: &record };
    let mut decoder = Decoder::open(&device, &config).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
    let mut out = std::io::BufWriter::new(std::fs::File::create(output).unwrap());
    let (mut pictures, mut deinterlaced, mut tags) = (0, 0, Vec::new());
    let mut take = |decoder: &mut Decoder| {
        while let Some(decoded) = decoder.receive().unwrap_or_else(|e| panic!("{}", annex_b::chain(&e))) {
            pictures += 1;
            deinterlaced += u32::from(decoded.deinterlaced);
            tags.push(decoded.tag);
            for plane in decoded.frame.samples().unwrap_or_else(|e| panic!("{}", annex_b::chain(&e))).planes {
                out.write_all(&plane).unwrap();
            }
        }
    };
    for (tag, unit) in (0..).zip(&units) {
        decoder.send(&annex_b::sample(unit), tag).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
        take(&mut decoder);
    }
    decoder.finish();
    take(&mut decoder);
    let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
    println!(
        "pictures {pictures} errors {} deinterlaced {deinterlaced} units {} tags {}",
        decoder.errors(),
        units.len(),
        distinct.len()
    );
}
