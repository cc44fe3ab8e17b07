//! What a device is, what it can do and how fast: for the pages of results on real devices.
//!
//!     cargo run --release -p gpu --example measure -- [ORDINAL] [FILE.h264 ...]
//!
//! Files are byte streams with access unit delimiters: `ffmpeg … -c:v libx264 -x264-params aud=1 -f h264 FILE.h264`.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with two digits")]

use std::error::Error;
use std::time::{Duration, Instant};

use gpu::encode::{Preset, Profile, Tuning};
use gpu::frame::{Colour, Format, Size};
use gpu::nvml::Nvml;
use gpu::scale::whole::{self, Picture};
use gpu::{
    Codec, Decoder, DecoderConfig, Device, Encoder, EncoderConfig, Frame, FrameKind, RateControl, Scaler,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let ordinal = arguments.next_if(|text| text.parse::<u32>().is_ok());
    let ordinal = ordinal.map_or(Ok(0), |text| text.parse())?;
    let started = Instant::now();
    let device = Device::open(ordinal)?;
    println!("{:?}, opened in {:.0?}", device.info(), started.elapsed());
    match Nvml::open() {
        Ok(nvml) => {
            println!("driver {:?}: {:?}", nvml.driver_version(), nvml.sample(&device.info().uuid));
        }
        Err(error) => println!("no NVML: {error}"),
    }
    let caps = device.caps();
    println!("decodes: {:#?}\nencodes: {:#?}", caps.decode, caps.encode);
    scale(&device)?;
    for file in arguments {
        decode(&device, &file)?;
    }
    for caps in caps.encode.unwrap_or_default() {
        encode(&device, caps.codec)?;
    }
    Ok(())
}

const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// A picture of no meaning, with much detail.
fn picture(size: Size, format: Format, colour: Colour) -> Picture {
    let mut state = 1u32;
    let length = usize::try_from(size.width * size.height).unwrap_or(0);
    let mut plane = |samples: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u16::try_from(state >> 16).unwrap_or(0)
        };
        match format {
            Format::Nv12 => (0..samples).map(|_| u8::try_from(next() >> 8).unwrap_or(0)).collect(),
            Format::P016 => (0..samples).flat_map(|_| (next() & 0xffc0).to_ne_bytes()).collect(),
        }
    };
    let planes = [plane(length), plane(length / 2)];
    Picture { size, format, colour, aspect: (1, 1), planes }
}

/// Every kind of scaling: against the reference, and how fast.
fn scale(device: &Device) -> Result<(), Box<dyn Error>> {
    let mut scaler = Scaler::new(device);
    let (uhd, hd) = (size(3840, 2160), size(1920, 1080));
    let wide = Colour { matrix: 9, full_range: false };
    for (from, format, colour, to) in [
        (hd, Format::Nv12, Colour::TARGET, size(1280, 720)),
        (hd, Format::Nv12, Colour::TARGET, size(426, 240)),
        (uhd, Format::Nv12, Colour::TARGET, hd),
        (uhd, Format::P016, wide, hd),
        (size(1280, 720), Format::Nv12, Colour::TARGET, hd),
    ] {
        let picture = picture(from, format, colour);
        let [luma, chroma] = &picture.planes;
        let frame = Frame::from_decoded_planes(device, from, format, colour, (1, 1), [luma, chroma])?;
        let same = scaler.scale(&frame, to)?.to_decoded_planes()? == whole::scale(&picture, to)?;
        let count = 500u32;
        let started = Instant::now();
        let mut last = None;
        for _ in 0..count {
            last = Some(scaler.scale(&frame, to)?);
        }
        // Reading waits for all before it.
        let Some(last) = last else { continue };
        last.to_planes()?;
        let each = started.elapsed() / count;
        let bytes = picture.planes.iter().map(Vec::len).sum::<usize>()
            + usize::try_from(to.width * to.height).unwrap_or(0) / 2 * 3;
        println!(
            "scale {from} {format:?} to {to}: {each:.1?} a picture, {:.1} GB/s of pictures, as the reference: {same}",
            bytes as f64 / each.as_secs_f64() / 1e9
        );
    }
    Ok(())
}

/// Access units with lengths of 4 bytes.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([stream.len()]);
    for (start, end) in starts.iter().zip(ends) {
        let unit = stream.get(*start..end).unwrap_or_default();
        if unit.first().is_some_and(|header| header & 0x1f == 9) {
            units.push(Vec::new());
        }
        if let Some(picture) = units.last_mut() {
            picture.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(0).to_be_bytes());
            picture.extend_from_slice(unit);
        }
    }
    units
}

fn decode(device: &Device, file: &str) -> Result<(), Box<dyn Error>> {
    let units = access_units(&std::fs::read(file)?);
    for low_latency in [false, true] {
        let config = DecoderConfig { codec: Codec::H264, configuration: None, low_latency };
        let mut decoder = Decoder::open(device, &config)?;
        let started = Instant::now();
        let (mut shown, mut longest) = (0u32, Duration::ZERO);
        for (unit, tag) in units.iter().zip(0..) {
            let sent = Instant::now();
            decoder.send(unit, tag)?;
            longest = longest.max(sent.elapsed());
            while decoder.receive()?.is_some() {
                shown += 1;
            }
        }
        decoder.finish();
        while decoder.receive()?.is_some() {
            shown += 1;
        }
        println!(
            "decode {file}, low latency {low_latency}: {shown} of {} pictures, {:.0} a second, longest send {longest:.1?}, \
             {} errors",
            units.len(),
            f64::from(shown) / started.elapsed().as_secs_f64(),
            decoder.errors()
        );
    }
    Ok(())
}

fn encode(device: &Device, codec: Codec) -> Result<(), Box<dyn Error>> {
    for preset in Preset::ALL {
        let config = EncoderConfig {
            codec,
            size: size(1920, 1080),
            frame_rate: (60, 1),
            rate: RateControl { bit_rate: 6_000_000, max_bit_rate: 6_000_000, buffer_bits: 6_000_000 },
            preset,
            tuning: Tuning::HighQuality,
            profile: Profile::High,
            b_frames: 2,
            lookahead: 0,
            low_latency: false,
            captions: false,
            patience: Duration::from_secs(5),
        };
        let opening = Instant::now();
        let mut encoder = Encoder::open(device, &config)?;
        let opened = opening.elapsed();
        let picture = picture(config.size, Format::Nv12, Colour::TARGET);
        let [luma, chroma] = &picture.planes;
        let (target, format) = (Colour::TARGET, Format::Nv12);
        let frame = Frame::from_decoded_planes(device, config.size, format, target, (1, 1), [luma, chroma])?;
        let started = Instant::now();
        let (mut pictures, mut bytes) = (0u32, 0);
        for tag in 0..600 {
            encoder.send(&frame, tag, FrameKind::Any)?;
            while let Some(coded) = encoder.receive()? {
                (pictures, bytes) = (pictures + 1, bytes + coded.data.len());
            }
        }
        encoder.finish();
        while let Some(coded) = encoder.receive()? {
            (pictures, bytes) = (pictures + 1, bytes + coded.data.len());
        }
        println!(
            "encode {codec} {}: opened in {opened:.0?}, {:.0} pictures of 1080p a second, {} bytes a picture",
            preset.name(),
            f64::from(pictures) / started.elapsed().as_secs_f64(),
            bytes / usize::try_from(pictures.max(1))?
        );
    }
    Ok(())
}
