//! A whole picture scaled on the CPU by the kernels' twins, step by step as [`crate::Scaler`] has a device do it: what a
//! device's result is compared with.

use super::plan::{self, Place};
use super::reference::{self, ConvertChroma, ConvertLuma, OutOfBounds, Resample, Table};
use super::taps::{Siting, Taps};
use crate::frame::{Colour, Format, Size};

/// A picture on the host: luma, and chroma interleaved, rows without padding; 16-bit samples in native byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its size; even.
    pub size: Size,
    /// How its samples lie.
    pub format: Format,
    /// How they are to be read.
    pub colour: Colour,
    /// Its sample aspect ratio.
    pub aspect: (u32, u32),
    /// Its samples.
    pub planes: [Vec<u8>; 2],
}

/// A picture that cannot be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WholeError {
    /// A size that 4:2:0 does not have.
    #[error("size {0} is not even, or of no picture")]
    Size(Size),
    /// Planes are shorter than the size says.
    #[error("a plane is too short")]
    Short(#[from] OutOfBounds),
}

/// Codes of a plane between kernels, as many rows and columns as `to` has.
struct Codes {
    samples: Vec<i16>,
    pitch: u32,
}

/// What [`crate::Scaler::scale`] gives for the picture: luma and chroma of `to`, rows without padding.
///
/// # Errors
/// Where a size is not even, or the planes are not as large as the picture's size.
pub fn scale(picture: &Picture, to: Size) -> Result<[Vec<u8>; 2], WholeError> {
    let from = picture.size;
    for size in [from, to] {
        if !size.is_even() || size.width > 65536 || size.height > 65536 {
            return Err(WholeError::Size(size));
        }
    }
    let place = plan::place(from, picture.aspect, to);
    let colour = plan::read_as(picture.colour, from);
    let ready = from == to && place.inner == to && colour == Colour::TARGET && picture.format == Format::Nv12;
    if ready {
        return Ok(picture.planes.clone());
    }
    let area = usize::try_from(u64::from(to.width) * u64::from(to.height)).unwrap_or(usize::MAX);
    let mut target = [vec![16; area], vec![128; area / 2]];
    let conversion = plan::conversion(colour);
    let mut codes = Vec::new();
    for (plane, samples) in picture.planes.iter().enumerate() {
        let across = resample_across(picture, plane, samples, place)?;
        let out = &mut target[plane];
        match &conversion {
            None => resample_down(&across, from, plane, place, to, |src, table, args| {
                reference::resample_v8(
                    src,
                    out.get_mut(start(plane, place, to)..).unwrap_or_default(),
                    table,
                    args,
                )
            })?,
            Some(_) => {
                let (width, height) = (place.inner.width, rows(plane, place.inner));
                let mut scaled = vec![0; usize::try_from(u64::from(width) * u64::from(height)).unwrap_or(0)];
                resample_down(&across, from, plane, place, to, |src, table, args| {
                    let args = Resample { dst_pitch: width * 2, ..*args };
                    reference::resample_v16(src, &mut scaled, table, &args)
                })?;
                codes.push(Codes { samples: scaled, pitch: width * 2 });
            }
        }
    }
    if let (Some(c), [luma, chroma]) = (conversion, codes.as_slice()) {
        let [luma_out, chroma_out] = &mut target;
        let args = ConvertLuma {
            luma_pitch: luma.pitch,
            chroma_pitch: chroma.pitch,
            dst_pitch: to.width,
            width: place.inner.width,
            height: place.inner.height,
            black: c.black,
            of_y: c.y_of_y,
            of_cb: c.y_of_cb,
            of_cr: c.y_of_cr,
        };
        let out = luma_out.get_mut(start(0, place, to)..).unwrap_or_default();
        reference::convert_luma(&luma.samples, &chroma.samples, out, &args)?;
        let args = ConvertChroma {
            chroma_pitch: chroma.pitch,
            dst_pitch: to.width,
            width: place.inner.width / 2,
            height: place.inner.height / 2,
            cb_of_cb: c.cb_of_cb,
            cb_of_cr: c.cb_of_cr,
            cr_of_cb: c.cr_of_cb,
            cr_of_cr: c.cr_of_cr,
        };
        let out = chroma_out.get_mut(start(1, place, to)..).unwrap_or_default();
        reference::convert_chroma(&chroma.samples, out, &args)?;
    }
    Ok(target)
}

/// Rows of a plane.
const fn rows(plane: usize, size: Size) -> u32 {
    if plane == 0 { size.height } else { size.height / 2 }
}

/// Where a picture begins in a plane of its target.
fn start(plane: usize, place: Place, to: Size) -> usize {
    let row = if plane == 0 { place.top } else { place.top / 2 };
    usize::try_from(u64::from(row) * u64::from(to.width) + u64::from(place.left)).unwrap_or(usize::MAX)
}

fn resample_across(
    picture: &Picture,
    plane: usize,
    samples: &[u8],
    place: Place,
) -> Result<Codes, WholeError> {
    let (part, channels, siting) = if plane == 0 { (1, 1, Siting::Centre) } else { (2, 2, Siting::Left) };
    let from = picture.size;
    let taps = Taps::new(from.width / part, place.inner.width / part, siting);
    let taps = taps.ok_or(WholeError::Size(place.inner))?;
    let args = Resample {
        src_pitch: from.width * picture.format.bytes(),
        dst_pitch: place.inner.width * 2,
        width: taps.length,
        height: rows(plane, from),
        channels,
        taps: taps.count,
    };
    let table = Table { weights: &taps.weights, starts: &taps.starts };
    let length = u64::from(place.inner.width) * u64::from(rows(plane, from));
    let mut codes = vec![0; usize::try_from(length).unwrap_or(0)];
    match picture.format {
        Format::Nv12 => reference::resample_h8(samples, &mut codes, table, &args)?,
        Format::P016 => {
            let wide: Vec<u16> = samples.as_chunks::<2>().0.iter().map(|s| u16::from_ne_bytes(*s)).collect();
            reference::resample_h16(&wide, &mut codes, table, &args)?;
        }
    }
    Ok(Codes { samples: codes, pitch: args.dst_pitch })
}

fn resample_down(
    across: &Codes,
    from: Size,
    plane: usize,
    place: Place,
    to: Size,
    run: impl FnOnce(&[i16], Table<'_>, &Resample) -> Result<(), OutOfBounds>,
) -> Result<(), WholeError> {
    let taps = Taps::new(rows(plane, from), rows(plane, place.inner), Siting::Centre);
    let taps = taps.ok_or(WholeError::Size(place.inner))?;
    let args = Resample {
        src_pitch: across.pitch,
        dst_pitch: to.width,
        width: place.inner.width,
        height: taps.length,
        channels: 1,
        taps: taps.count,
    };
    Ok(run(&across.samples, Table { weights: &taps.weights, starts: &taps.starts }, &args)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(size: Size, format: Format, colour: Colour, [y, cb, cr]: [u8; 3]) -> Picture {
        let wide = |sample: u8| match format {
            Format::Nv12 => vec![sample],
            Format::P016 => (u16::from(sample) << 8).to_ne_bytes().to_vec(),
        };
        let area = (size.width * size.height) as usize;
        let chroma = [wide(cb), wide(cr)].concat();
        Picture {
            size,
            format,
            colour,
            aspect: (1, 1),
            planes: [wide(y).repeat(area), chroma.repeat(area / 4)],
        }
    }

    #[test]
    fn red_of_any_matrix_and_depth_is_red_of_bt709() {
        let (from, to) = (Size { width: 64, height: 48 }, Size { width: 48, height: 36 });
        let (red_601, red_2020) = ([81, 90, 240], [74, 97, 240]);
        for (matrix, samples) in [(6, red_601), (9, red_2020), (2, red_601)] {
            for format in [Format::Nv12, Format::P016] {
                let picture = flat(from, format, Colour { matrix, full_range: false }, samples);
                let [luma, chroma] = scale(&picture, to).unwrap();
                let near = |sample: u8, want: u8| sample.abs_diff(want) <= 1;
                assert!(luma.iter().all(|y| near(*y, 63)), "{matrix} {format:?} {}", luma[0]);
                let pairs = chroma.as_chunks::<2>().0;
                assert!(pairs.iter().all(|[cb, cr]| near(*cb, 102) && near(*cr, 240)), "{:?}", pairs[0]);
            }
        }
    }

    #[test]
    fn full_range_white_and_black_are_brought_in() {
        let size = Size { width: 32, height: 32 };
        for (sample, want) in [(255, 235), (0, 16)] {
            let colour = Colour { matrix: 1, full_range: true };
            let picture = flat(size, Format::Nv12, colour, [sample, 128, 128]);
            let [luma, chroma] = scale(&picture, size).unwrap();
            assert!(luma.iter().all(|y| *y == want) && chroma.iter().all(|c| *c == 128));
        }
    }

    #[test]
    fn bars_are_black_and_the_picture_is_within() {
        let (from, to) = (Size { width: 64, height: 48 }, Size { width: 128, height: 72 });
        let picture = flat(from, Format::Nv12, Colour::TARGET, [235, 100, 200]);
        let [luma, chroma] = scale(&picture, to).unwrap();
        let row = &luma[36 * 128..];
        assert_eq!(
            (row[0], row[15], row[16], row[64], row[111], row[112], row[127]),
            (16, 16, 235, 235, 235, 16, 16)
        );
        assert_eq!((&chroma[..2], &chroma[18 * 128 + 64..][..2]), (&[128, 128][..], &[100, 200][..]));
    }
}
