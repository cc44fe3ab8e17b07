//! Encodes raw 8-bit 4:2:0 pictures to an Annex B stream.
//!
//! `encode NODE h264|hevc WIDTHxHEIGHT FPS KBIT/S IN OUT [key=value ...]`, where keys are `profile`, `lp` (1: low-power
//! entry point), `max` (kbit/s), `idr` (pictures between IDR pictures), `step` (picture:kbit/s, a change of the bit
//! rate), `scale` (WIDTHxHEIGHT of the input) and `latency` (1: low). Prints one line about what was put out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "an example")]

#[path = "support/annex_b.rs"]
#[allow(dead_code, reason = "shared by the examples")]
mod annex_b;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use annex_b::chain;
use vaapi::{
    Codec, Device, Encoder, EncoderConfig, EntryPoint, Frame, FrameKind, Node, RateControl, Scaler, Size,
};

fn size(text: &str) -> Size {
    let (width, height) = text.split_once('x').expect("WIDTHxHEIGHT");
    Size { width: width.parse().unwrap(), height: height.parse().unwrap() }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, node, codec, to, fps, kilobits, input, output, options @ ..] = arguments.as_slice() else {
        panic!("NODE h264|hevc WIDTHxHEIGHT FPS KBIT/S IN OUT [key=value ...]")
    };
    let options: BTreeMap<&str, &str> =
        options.iter().map(|o| o.split_once('=').expect("key=value")).collect();
    let number = |key: &str, default: u32| options.get(key).map_or(default, |value| value.parse().unwrap());
    let codec = if codec == "hevc" { Codec::Hevc } else { Codec::H264 };
    let device =
        Device::open(&Node::at(Path::new("/"), Path::new(node))).unwrap_or_else(|e| panic!("{}", chain(&e)));
    let kilobits: u32 = kilobits.parse().unwrap();
    let rate = |kilobits: u32| {
        let max = number("max", kilobits) * 1000;
        RateControl { bit_rate: kilobits * 1000, max_bit_rate: max.max(kilobits * 1000), buffer_bits: max }
    };
    let to = size(to);
    let profile =
        options.get("profile").copied().unwrap_or(if codec == Codec::Hevc { "main" } else { "high" });
    let config = EncoderConfig {
        codec,
        size: to,
        frame_rate: (fps.parse().unwrap(), 1),
        rate: rate(kilobits),
        profile: profile.to_owned(),
        entry_point: if number("lp", 0) == 1 { EntryPoint::LowPower } else { EntryPoint::Full },
        quality: 50,
        low_latency: number("latency", 0) == 1,
        patience: std::time::Duration::from_secs(10),
    };
    let mut encoder = Encoder::open(&device, &config).unwrap_or_else(|e| panic!("{}", chain(&e)));
    let mut out = std::fs::File::create(output).unwrap();
    for set in annex_b::sets(encoder.configuration(), codec) {
        out.write_all(&[&[0, 0, 0, 1], set.as_slice()].concat()).unwrap();
    }
    let source = options.get("scale").map_or(to, |text| size(text));
    let mut scaler = Scaler::new(&device);
    let samples = usize::try_from(source.samples()).unwrap();
    let pictures = std::fs::read(input).unwrap();
    let step = options.get("step").map(|text| text.split_once(':').expect("picture:kbit/s"));
    let (mut bytes, mut keys, mut order) = (Vec::new(), Vec::new(), Vec::new());
    let mut take = |encoder: &mut Encoder| {
        while let Some(coded) = encoder.receive().unwrap_or_else(|e| panic!("{}", chain(&e))) {
            if coded.key {
                keys.push(coded.tag);
            }
            order.push(coded.tag);
            bytes.push(coded.data.len());
            for nal in annex_b::split(&coded.data) {
                out.write_all(&[&[0, 0, 0, 1], nal].concat()).unwrap();
            }
        }
    };
    for (tag, picture) in (0..).zip(pictures.chunks_exact(samples * 3 / 2)) {
        if let Some((at, kilobits)) = step
            && at.parse() == Ok(tag)
        {
            encoder.set_rate(rate(kilobits.parse().unwrap())).unwrap();
        }
        let (luma, chroma) = picture.split_at(samples);
        let (blue, red) = chroma.split_at(samples / 4);
        let frame = Frame::from_planes(&device, source, [luma, blue, red]);
        let frame = frame.unwrap_or_else(|e| panic!("{}", chain(&e)));
        let frame = scaler.scale(&frame, to).unwrap_or_else(|e| panic!("{}", chain(&e)));
        let idr = tag % u64::from(number("idr", 1000)) == 0;
        let kind = if idr { FrameKind::Idr } else { FrameKind::Any };
        encoder.send(&frame, tag, kind).unwrap_or_else(|e| panic!("{}", chain(&e)));
        take(&mut encoder);
    }
    encoder.finish();
    take(&mut encoder);
    assert!(order.is_sorted(), "tags come out in order");
    let half = bytes.len() / 2;
    let kilobits = |list: &[usize]| {
        let bits = list.iter().sum::<usize>() * 8 * fps.parse::<usize>().unwrap();
        bits / list.len().max(1) / 1000
    };
    println!(
        "pictures {} keys {keys:?} kbit/s {} first half {} second half {} mode {} through {}",
        bytes.len(),
        kilobits(&bytes),
        kilobits(&bytes[..half]),
        kilobits(&bytes[half..]),
        encoder.rate_mode().name(),
        encoder.entry_point().name(),
    );
}
