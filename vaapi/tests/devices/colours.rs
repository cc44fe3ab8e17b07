//! What a video processor makes of matrices and ranges, against the formulas of ITU-R BT.601, BT.709 and BT.2020.

use vaapi::frame::Colour;
use vaapi::{Codec, Decoder, DecoderConfig, Samples, Scaler, Size};

use crate::annex_b;
use crate::on_devices;
use crate::pictures::{Stream, joined, psnr};

/// What may be between a device's arithmetic and these formulas.
const LEAST_DB: f64 = 45.0;
/// What ffmpeg makes of the clip's pictures: all that is as far from grey as lies within every matrix, so that one taken for
/// another shows. The clip itself has too little colour.
const VIVID: &str = "geq=lum='64+128*X/W':cb='88+80*Y/H':cr='168-80*X/W'";

/// The parts of red and blue in luma (H.273, table 4).
fn weights(matrix: u8) -> (f64, f64) {
    match matrix {
        1 => (0.2126, 0.0722),
        5 | 6 => (0.299, 0.114),
        9 => (0.2627, 0.0593),
        other => panic!("matrix {other}"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is within the sample's bounds"
)]
fn whole(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// The sample in bits 0 to 7, and what is finer behind the point.
fn sample(samples: &Samples, plane: usize, at: usize) -> f64 {
    let bytes = &samples.planes[plane];
    match samples.bit_depth {
        8 => f64::from(bytes[at]),
        _ => f64::from(u16::from_le_bytes([bytes[at * 2], bytes[at * 2 + 1]])) / 4.0,
    }
}

/// The picture in BT.709, limited range and 8 bits.
pub(crate) fn converted(from: &Samples, colour: Colour) -> Vec<u8> {
    let (red, blue) = weights(colour.matrix);
    let (to_red, to_blue) = weights(1);
    let (black, luma_range, chroma_range) =
        if colour.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let (width, height) = (from.size.width as usize, from.size.height as usize);
    let convert = |luma: f64, x: usize, y: usize| {
        let at = y / 2 * (width / 2) + x / 2;
        let luma = (luma - black) / luma_range;
        let [cb, cr] = [1, 2].map(|plane| (sample(from, plane, at) - 128.0) / chroma_range);
        let (r, b) = (luma + 2.0 * (1.0 - red) * cr, luma + 2.0 * (1.0 - blue) * cb);
        let g = (luma - red * r - blue * b) / (1.0 - red - blue);
        let luma = to_red * r + (1.0 - to_red - to_blue) * g + to_blue * b;
        [
            16.0 + 219.0 * luma,
            128.0 + 112.0 * (b - luma) / (1.0 - to_blue),
            128.0 + 112.0 * (r - luma) / (1.0 - to_red),
        ]
        .map(whole)
    };
    let mut planes = [Vec::new(), Vec::new(), Vec::new()];
    for y in 0..height {
        for x in 0..width {
            let [luma, cb, cr] = convert(sample(from, 0, y * width + x), x, y);
            planes[0].push(luma);
            // Chroma of the new matrix is of the old one's chroma alone.
            if x % 2 == 0 && y % 2 == 0 {
                planes[1].push(cb);
                planes[2].push(cr);
            }
        }
    }
    planes.concat()
}

/// The samples in 8 bits, read as what they are not.
fn unconverted(from: &Samples) -> Vec<u8> {
    let count = |plane: usize| from.planes[plane].len() / usize::from(from.bit_depth.div_ceil(8));
    (0..3).flat_map(|plane| (0..count(plane)).map(move |at| whole(sample(from, plane, at).floor()))).collect()
}

/// Decodes a stream that says its colours, converts its pictures, and compares.
fn check(device: &vaapi::Device, codec: Codec, pixels: &str, parameters: &str, colour: Colour) {
    let parameters = &format!("bframes=0:{parameters}");
    let stream = Stream::filtered(VIVID, codec, "426x240", pixels, 2, parameters);
    let config = DecoderConfig { codec, configuration: &stream.record };
    let mut decoder = Decoder::open(device, &config).unwrap_or_else(|e| panic!("{}", annex_b::chain(&e)));
    let mut scaler = Scaler::new(device);
    let (mut found, mut wanted, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut take = |decoder: &mut Decoder| {
        while let Some(decoded) = decoder.receive().unwrap() {
            let samples = decoded.frame.samples().unwrap();
            // What a stream does not say is known from the size of its pictures.
            let said = decoded.frame.colour();
            assert!(said == colour || said.matrix == 2, "{said:?}");
            wanted.extend(converted(&samples, colour));
            others.extend(unconverted(&samples));
            let target = scaler.scale(&decoded.frame, Size { width: 426, height: 240 }).unwrap();
            assert_eq!((target.bit_depth(), target.colour()), (8, Colour::BT709));
            found.extend(joined(&target.samples().unwrap()));
        }
    };
    for (tag, unit) in (0..).zip(&stream.units) {
        decoder.send(&annex_b::sample(unit), tag).unwrap();
        take(&mut decoder);
    }
    decoder.finish();
    take(&mut decoder);
    assert_eq!(wanted.len(), 2 * 426 * 240 * 3 / 2, "two pictures");
    let (right, wrong) = (psnr(&found, &wanted), psnr(&others, &wanted));
    println!("{codec:?} {pixels} {parameters}: {right:.1} dB; {wrong:.1} dB without conversion");
    assert!(right > LEAST_DB, "{codec:?} {pixels} {parameters}: {right:.1} dB");
    assert!(
        wrong < LEAST_DB - 2.0,
        "{codec:?} {pixels} {parameters}: {wrong:.1} dB without conversion tell nothing"
    );
}

#[test]
fn matrices_and_ranges_become_those_of_encoders() {
    on_devices("colours::matrices_and_ranges_become_those_of_encoders", |device| {
        for (parameters, matrix, full_range) in [
            ("colormatrix=smpte170m", 6, false),
            ("colormatrix=smpte170m:fullrange=on", 6, true),
            ("colormatrix=bt709:fullrange=on", 1, true),
            ("colormatrix=bt2020nc", 9, false),
        ] {
            check(device, Codec::H264, "yuv420p", parameters, Colour { matrix, full_range });
        }
    });
}

#[test]
fn ten_bits_become_eight() {
    on_devices("colours::ten_bits_become_eight", |device| {
        // Colours of this size that nobody says are BT.601's.
        let unsaid = Colour { matrix: 6, full_range: false };
        check(device, Codec::Hevc, "yuv420p10le", "wpp=0", unsaid);
        let full = Colour { matrix: 1, full_range: true };
        check(device, Codec::Hevc, "yuv420p10le", "colormatrix=bt709:range=full", full);
    });
}
