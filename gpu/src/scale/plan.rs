//! Where a picture goes in its target, and what its colours need: arithmetic without a device.

use crate::frame::{Colour, Size};
use crate::scale::taps::ONE;

/// A picture whose shape is off the target's by less than this many thousandths is stretched, not given bars.
/// 854x480 for 16:9 is off by 0.4.
const STRETCH_THOUSANDTHS: u64 = 15;

/// Where a picture stands within its target; the rest is black. All even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Columns of bar on its left.
    pub left: u32,
    /// Rows of bar above it.
    pub top: u32,
    /// Its size there.
    pub inner: Size,
}

/// The largest even size of the source's shape within `to`, in its middle. `aspect` is that of the source's samples.
#[must_use]
pub fn place(from: Size, aspect: (u32, u32), to: Size) -> Place {
    let inner = fitted(from, aspect, to);
    let even_half = |whole: u32, part: u32| (whole - part) / 4 * 2;
    Place { left: even_half(to.width, inner.width), top: even_half(to.height, inner.height), inner }
}

fn fitted(from: Size, aspect: (u32, u32), to: Size) -> Size {
    // Shapes as width over height, cross-multiplied: every factor is under 2^32.
    let source_width = u128::from(from.width) * u128::from(aspect.0);
    let source_height = u128::from(from.height) * u128::from(aspect.1);
    let (target_width, target_height) = (u128::from(to.width), u128::from(to.height));
    let (wide, tall) = (source_width * target_height, source_height * target_width);
    // Under 2^106 each.
    if wide.abs_diff(tall) * 1000 <= u128::from(STRETCH_THOUSANDTHS) * wide.max(tall) {
        return to;
    }
    let even = |length: u128, bound: u32| {
        let nearest = u32::try_from(length.div_ceil(2)).unwrap_or(u32::MAX).saturating_mul(2);
        nearest.clamp(2, bound.max(2))
    };
    if wide > tall {
        Size { width: to.width, height: even(target_width * source_height / source_width.max(1), to.height) }
    } else {
        Size { width: even(target_height * source_width / source_height.max(1), to.width), height: to.height }
    }
}

/// The colour that samples of a picture are read with: what the stream says, or what the size was made in.
#[must_use]
pub fn read_as(colour: Colour, size: Size) -> Colour {
    let matrix = match colour.matrix {
        // BT.709, FCC, BT.470 BG, SMPTE 170M, SMPTE 240M, BT.2020.
        known @ (1 | 4 | 5 | 6 | 7 | 9) => known,
        // Constant luminance is read as if it were not.
        10 => 9,
        // As every broadcast chain has it (ITU-R BT.601 up to 576 lines).
        _ if size.height < 720 && size.width < 1280 => 6,
        _ => 1,
    };
    Colour { matrix, ..colour }
}

/// What makes [`Colour::TARGET`] of samples: each target sample is a weighted sum, in 14 fractional bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// The source's code of black, a sample of 14 bits.
    pub black: i32,
    /// What luma weighs in luma.
    pub y_of_y: i32,
    /// The blue difference in luma.
    pub y_of_cb: i32,
    /// The red difference in luma.
    pub y_of_cr: i32,
    /// The blue difference in the blue one.
    pub cb_of_cb: i32,
    /// Red in blue.
    pub cb_of_cr: i32,
    /// Blue in red.
    pub cr_of_cb: i32,
    /// Red in red.
    pub cr_of_cr: i32,
}

/// What a picture of this colour needs; none where it has the target's already. See [`read_as`].
#[must_use]
pub fn conversion(from: Colour) -> Option<Conversion> {
    if from == Colour::TARGET {
        return None;
    }
    // Weights of red and blue in luma (Rec. ITU-T H.273, table 4).
    let (source_red, source_blue) = match from.matrix {
        4 => (0.30, 0.11),
        5 | 6 => (0.299, 0.114),
        7 => (0.212, 0.087),
        9 => (0.2627, 0.0593),
        _ => TARGET_WEIGHTS,
    };
    let (red, blue) = TARGET_WEIGHTS;
    let source_green = 1.0 - source_red - source_blue;
    let green = 1.0 - red - blue;
    // Red, green and blue of the source's differences, luma left out: it weighs 1 in each.
    let (red_of_cr, blue_of_cb) = (2.0 * (1.0 - source_red), 2.0 * (1.0 - source_blue));
    let green_of_cr = -source_red * red_of_cr / source_green;
    let green_of_cb = -source_blue * blue_of_cb / source_green;
    let y_of_cb = green * green_of_cb + blue * blue_of_cb;
    let y_of_cr = red * red_of_cr + green * green_of_cr;
    // What a step of luma and of a difference is worth in the target's steps.
    let (luma, difference) = if from.full_range { (219.0 / 255.0, 224.0 / 255.0) } else { (1.0, 1.0) };
    // A difference of 1 is 224 steps of chroma, and 219 of luma.
    let mixed = difference * 219.0 / 224.0;
    let (per_blue, per_red) = (2.0 * (1.0 - blue), 2.0 * (1.0 - red));
    Some(Conversion {
        black: if from.full_range { 0 } else { 16 << 6 },
        y_of_y: weight(luma),
        y_of_cb: weight(mixed * y_of_cb),
        y_of_cr: weight(mixed * y_of_cr),
        cb_of_cb: weight(difference * (blue_of_cb - y_of_cb) / per_blue),
        cb_of_cr: weight(difference * -y_of_cr / per_blue),
        cr_of_cb: weight(difference * -y_of_cb / per_red),
        cr_of_cr: weight(difference * (red_of_cr - y_of_cr) / per_red),
    })
}

const TARGET_WEIGHTS: (f64, f64) = (0.2126, 0.0722);

#[expect(clippy::cast_possible_truncation, reason = "weights are under 2")]
fn weight(exact: f64) -> i32 {
    (exact * f64::from(ONE)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn keeps_the_shape_of_the_picture() {
        let fit = |from: (u32, u32), aspect, to: (u32, u32)| {
            let s = fitted(size(from.0, from.1), aspect, size(to.0, to.1));
            (s.width, s.height)
        };
        assert_eq!(fit((1920, 1080), (1, 1), (854, 480)), (854, 480));
        assert_eq!(fit((1920, 1080), (1, 1), (426, 240)), (426, 240));
        assert_eq!(fit((640, 480), (1, 1), (1280, 720)), (960, 720));
        assert_eq!(fit((720, 576), (64, 45), (1024, 576)), (1024, 576));
        assert_eq!(fit((720, 1280), (1, 1), (640, 360)), (202, 360));
        assert_eq!(fit((16, 4000), (1, 1), (640, 360)), (2, 360));
        assert_eq!(fit((2, 2), (u32::MAX, 1), (640, 360)), (640, 2));
        assert_eq!(
            place(size(640, 480), (1, 1), size(1280, 720)),
            Place { left: 160, top: 0, inner: size(960, 720) }
        );
    }

    #[test]
    fn unmarked_pictures_are_read_by_their_size() {
        let read =
            |matrix, width, height| read_as(Colour { matrix, full_range: false }, size(width, height)).matrix;
        assert_eq!(
            [read(2, 720, 576), read(2, 1280, 720), read(0, 640, 360), read(8, 1920, 1080)],
            [6, 1, 6, 1]
        );
        assert_eq!([read(1, 640, 360), read(10, 3840, 2160), read(5, 1920, 1080)], [1, 9, 5]);
    }

    /// Red, green and blue from 0 to 1 as 8-bit samples.
    fn coded(rgb: [f64; 3], (red, blue): (f64, f64), full: bool) -> [f64; 3] {
        let y = red * rgb[0] + (1.0 - red - blue) * rgb[1] + blue * rgb[2];
        let cb = (rgb[2] - y) / (2.0 * (1.0 - blue));
        let cr = (rgb[0] - y) / (2.0 * (1.0 - red));
        if full {
            [255.0 * y, 128.0 + 255.0 * cb, 128.0 + 255.0 * cr]
        } else {
            [16.0 + 219.0 * y, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr]
        }
    }

    #[test]
    fn colours_come_out_as_the_definitions_have_them() {
        let kinds = [(1, TARGET_WEIGHTS), (6, (0.299, 0.114)), (7, (0.212, 0.087)), (9, (0.2627, 0.0593))];
        for (matrix, weights) in kinds {
            for full_range in [false, true] {
                let Some(c) = conversion(Colour { matrix, full_range }) else {
                    assert_eq!((matrix, full_range), (1, false));
                    continue;
                };
                for rgb in
                    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.9, 0.4], [1.0; 3], [0.0; 3]]
                {
                    let [y, cb, cr] = coded(rgb, weights, full_range).map(|s| s * 64.0);
                    let want = coded(rgb, TARGET_WEIGHTS, false);
                    let (y, cb, cr) = (y - f64::from(c.black), cb - 8192.0, cr - 8192.0);
                    let sum = |a: i32, b: i32, c: i32, d: f64, e: f64, f: f64| {
                        (f64::from(a) * d + f64::from(b) * e + f64::from(c) * f) / f64::from(1 << 20)
                    };
                    let got = [
                        16.0 + sum(c.y_of_y, c.y_of_cb, c.y_of_cr, y, cb, cr),
                        128.0 + sum(c.cb_of_cb, c.cb_of_cr, 0, cb, cr, 0.0),
                        128.0 + sum(c.cr_of_cb, c.cr_of_cr, 0, cb, cr, 0.0),
                    ];
                    for (got, want) in got.iter().zip(want) {
                        assert!(
                            (got - want).abs() < 0.05,
                            "{matrix} {full_range} {rgb:?}: {got} is not {want}"
                        );
                    }
                }
            }
        }
    }
}
