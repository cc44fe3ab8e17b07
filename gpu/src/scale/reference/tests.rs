#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]

use super::super::taps::{Siting, Taps};
use super::*;
use proptest::prelude::*;

/// The kernels' text put into Rust as literally as can be: an element at a time, from its indexes.
mod literal {
    use super::*;

    pub(super) fn h8(src: &[u8], taps: &Taps, a: &Resample, x: usize, y: usize) -> i16 {
        let channels = a.channels as usize;
        let (at, channel) = (x / channels, x % channels);
        let mut sum = 0i32;
        for tap in 0..a.taps as usize {
            let from = y * a.src_pitch as usize + (taps.starts[at] as usize + tap) * channels + channel;
            sum += i32::from(taps.weights[tap * a.width as usize + at]) * (i32::from(src[from]) << 6);
        }
        ((sum + 8192) >> 14).clamp(-32768, 32767) as i16
    }

    pub(super) fn v8(src: &[i16], taps: &Taps, a: &Resample, x: usize, y: usize) -> u8 {
        let mut sum = 0i32;
        for tap in 0..a.taps as usize {
            let row = taps.starts[y] as usize + tap;
            sum += i32::from(taps.weights[tap * a.height as usize + y])
                * i32::from(src[row * (a.src_pitch / 2) as usize + x]);
        }
        ((((sum + 8192) >> 14) + 32) >> 6).clamp(0, 255) as u8
    }

    pub(super) fn luma(luma: &[i16], chroma: &[i16], a: &ConvertLuma, x: usize, y: usize) -> u8 {
        let (width, height) = (a.width as usize, a.height as usize);
        let near = y / 2;
        let far = if y % 2 == 1 { near + 1 } else { near.saturating_sub(1) }.min(height / 2 - 1);
        let left = x / 2;
        let right = if x % 2 == 1 { left + 1 } else { left }.min(width / 2 - 1);
        let c = |row: usize, pair: usize, k: usize| {
            i32::from(chroma[row * (a.chroma_pitch / 2) as usize + 2 * pair + k])
        };
        let d =
            |k| (3 * (c(near, left, k) + c(near, right, k)) + c(far, left, k) + c(far, right, k) + 4) >> 3;
        let sum = a.of_y * (i32::from(luma[y * (a.luma_pitch / 2) as usize + x]) - a.black)
            + a.of_cb * (d(0) - 8192)
            + a.of_cr * (d(1) - 8192);
        (16 + ((sum + (1 << 19)) >> 20)).clamp(0, 255) as u8
    }
}

fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn rows_at_once_are_elements_one_by_one(
        from in (2u32..70, 2u32..40), to in (1u32..70, 1u32..40), channels in 1u32..=2, pad in 0u32..9, seed in any::<u32>(),
    ) {
        let across = Taps::new(from.0, to.0, Siting::Left).unwrap();
        let down = Taps::new(from.1, to.1, Siting::Centre).unwrap();
        let src_pitch = from.0 * channels + pad;
        let src = noise(seed, (src_pitch * from.1) as usize);
        let h = Resample {
            src_pitch, dst_pitch: (to.0 * channels + pad) * 2, width: to.0, height: from.1, channels, taps: across.count,
        };
        let mut between = vec![7i16; (h.dst_pitch / 2 * from.1) as usize];
        let table = Table { weights: &across.weights, starts: &across.starts };
        resample_h8(&src, &mut between, table, &h).unwrap();
        for y in 0..from.1 as usize {
            for x in 0..(to.0 * channels) as usize {
                let want = literal::h8(&src, &across, &h, x, y);
                prop_assert_eq!(between[y * (h.dst_pitch / 2) as usize + x], want);
            }
        }
        // The same from 16 bits, where the low bits are beyond the code.
        let wide: Vec<u16> = src.iter().map(|s| u16::from(*s) << 8 | 3).collect();
        let mut again = vec![7i16; between.len()];
        resample_h16(&wide, &mut again, table, &Resample { src_pitch: src_pitch * 2, ..h }).unwrap();
        prop_assert_eq!(&again, &between);

        let v = Resample { src_pitch: h.dst_pitch, dst_pitch: to.0 * channels, height: to.1, taps: down.count, ..h };
        let mut out = vec![0u8; (v.dst_pitch * to.1) as usize];
        let table = Table { weights: &down.weights, starts: &down.starts };
        resample_v8(&between, &mut out, table, &v).unwrap();
        for y in 0..to.1 as usize {
            for x in 0..(to.0 * channels) as usize {
                prop_assert_eq!(out[y * v.dst_pitch as usize + x], literal::v8(&between, &down, &v, x, y));
            }
        }
    }

    #[test]
    fn luma_takes_the_chroma_around_it(width in 1u32..20, height in 1u32..20, seed in any::<u32>()) {
        let (width, height) = (width * 2, height * 2);
        let codes = |seed, length| noise(seed, length).iter().map(|s| i16::from(*s) << 6).collect::<Vec<_>>();
        let luma = codes(seed, (width * height) as usize);
        let chroma = codes(!seed, (width * height / 2) as usize);
        let args = ConvertLuma {
            luma_pitch: width * 2, chroma_pitch: width * 2, dst_pitch: width, width, height,
            black: 1024, of_y: 16384, of_cb: -1937, of_cr: -3484,
        };
        let mut out = vec![0u8; (width * height) as usize];
        convert_luma(&luma, &chroma, &mut out, &args).unwrap();
        for y in 0..height as usize {
            for x in 0..width as usize {
                let want = literal::luma(&luma, &chroma, &args, x, y);
                prop_assert_eq!(out[y * width as usize + x], want, "{},{}", x, y);
            }
        }
    }
}

#[test]
fn memory_that_is_too_short_is_an_error() {
    let taps = Taps::new(8, 4, Siting::Centre).unwrap();
    let table = Table { weights: &taps.weights, starts: &taps.starts };
    let args = Resample { src_pitch: 8, dst_pitch: 8, width: 4, height: 2, channels: 1, taps: taps.count };
    let mut out = [0i16; 8];
    assert_eq!(resample_h8(&[0; 16], &mut out, table, &args), Ok(()));
    let short = resample_h8(&[0; 15], &mut out, table, &args);
    assert_eq!(short, Err(OutOfBounds { what: "src", element: 15, length: 15 }));
    let short = resample_h8(&[0; 16], &mut out[..7], table, &args);
    assert_eq!(short, Err(OutOfBounds { what: "dst", element: 7, length: 7 }));
    let table = Table { weights: &taps.weights[1..], starts: &taps.starts };
    assert_eq!(resample_h8(&[0; 16], &mut out, table, &args).unwrap_err().what, "weights");
    let huge =
        Resample { src_pitch: u32::MAX, dst_pitch: u32::MAX, width: u32::MAX, height: u32::MAX, ..args };
    assert!(resample_v16(&[0; 16], &mut out, table, &huge).is_err());
}

#[test]
fn a_flat_picture_stays_flat_through_all_kernels() {
    let taps = Taps::new(32, 20, Siting::Centre).unwrap();
    let table = Table { weights: &taps.weights, starts: &taps.starts };
    let across =
        Resample { src_pitch: 32, dst_pitch: 40, width: 20, height: 32, channels: 1, taps: taps.count };
    let mut between = vec![0i16; 20 * 32];
    resample_h8(&[77; 32 * 32], &mut between, table, &across).unwrap();
    assert!(between.iter().all(|code| *code == 77 << 6));
    let down = Resample { src_pitch: 40, dst_pitch: 20, height: 20, ..across };
    let mut out = vec![0u8; 400];
    resample_v8(&between, &mut out, table, &down).unwrap();
    assert!(out.iter().all(|sample| *sample == 77));
}
