//! The slate: what viewers see while the source is away. The built-in card: the feed's title on a dark ground, drawn at
//! the size of each rung, so that small rungs have letters made for them.

mod text;

use media::Size;

use crate::engine::Planes;
use text::{Font, Line};

/// The second line.
const WORDS: &str = "We will be right back";

/// Red, green and blue of Rec. ITU-R BT.709, gamma-coded, from 0 to 1.
type Colour = [f32; 3];

/// Ground at its lightest, behind the words, and at its darkest, in the corners.
const GROUND: [Colour; 2] = [[0.118, 0.161, 0.224], [0.035, 0.047, 0.075]];
const TITLE: Colour = [0.945, 0.957, 0.973];
const SECOND: Colour = [0.62, 0.68, 0.76];
const RULE: Colour = [0.28, 0.62, 0.88];

/// Shares of the picture's height.
const TITLE_HEIGHT: f32 = 0.125;
const SECOND_HEIGHT: f32 = 0.058;
/// The least the second line may be high, in samples: below, letters of this font are no longer read.
const SECOND_LEAST: f32 = 12.0;
/// Share of the picture's width that a line may take: what EBU R 95 holds safe for graphics, with room.
const WIDTH: f32 = 0.82;

/// A picture in the making: gamma-coded colours.
struct Canvas {
    width: usize,
    height: usize,
    samples: Vec<Colour>,
}

impl Canvas {
    /// Mixes a colour in; `coverage` from 0 to 1. Nothing outside.
    fn mix(&mut self, x: i32, y: i32, colour: Colour, coverage: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width {
            return;
        }
        if let Some(sample) = self.samples.get_mut(y * self.width + x) {
            for (old, new) in sample.iter_mut().zip(colour) {
                *old += (new - *old) * coverage;
            }
        }
    }
}

/// Draws the card; none where the size is of no picture.
pub(crate) fn card(title: &str, size: Size) -> Option<Planes> {
    let (width, height) = (usize::try_from(size.width).ok()?, usize::try_from(size.height).ok()?);
    let (across, down) = (float(size.width), float(size.height));
    let mut canvas = Canvas { width, height, samples: ground(size) };
    let font = Font::open()?;

    let most = across * WIDTH;
    let second = font.fit(WORDS, (down * SECOND_HEIGHT).max(SECOND_LEAST).min(down * 0.2), most);
    let title = font.fit_lines(title, (down * TITLE_HEIGHT).min(across * 0.12), most, second.height);
    // Baselines from the top of the block, which stands a little above the middle, as the eye wants it.
    let leading = 1.22;
    let title_height = title.first().map_or(0.0, |line: &Line| line.height);
    let lines = title.iter().fold(0.0, |sum, _| sum + 1.0);
    let gap = title_height.max(second.height) * 0.62;
    let rule = (down / 240.0).round().max(1.0);
    let block = font.capitals(title_height)
        + title_height * leading * (lines - 1.0f32).max(0.0)
        + gap * 2.0
        + rule
        + font.capitals(second.height);
    let mut baseline = (down - block) * 0.48 + font.capitals(title_height);
    for (index, line) in title.iter().enumerate() {
        if index > 0 {
            baseline += title_height * leading;
        }
        line.draw(across / 2.0, baseline.round(), |x, y, coverage| canvas.mix(x, y, TITLE, coverage));
    }
    let top = (baseline + gap).round();
    let half = (across * 0.045).round();
    for y in 0..whole(rule) {
        for x in whole(across / 2.0 - half)..whole(across / 2.0 + half) {
            canvas.mix(x, whole(top) + y, RULE, 1.0);
        }
    }
    let baseline = (top + rule + gap + font.capitals(second.height)).round();
    second.draw(across / 2.0, baseline, |x, y, coverage| canvas.mix(x, y, SECOND, coverage));
    Some(planes(&canvas, size))
}

/// Light from behind the words, falling off into the corners.
fn ground(size: Size) -> Vec<Colour> {
    let (across, down) = (float(size.width), float(size.height));
    let mut samples = Vec::new();
    for y in 0..size.height {
        let from_middle = (float(y) + 0.5) / down - 0.42;
        for x in 0..size.width {
            let aside = (float(x) + 0.5) / across - 0.5;
            let distance = (aside * aside * 2.2 + from_middle * from_middle * 2.6).sqrt().min(1.0);
            // Smooth at both ends, so that no edge is seen.
            let fall = distance * distance * (3.0 - 2.0 * distance);
            let [light, dark] = GROUND;
            samples.push([0, 1, 2].map(|c: usize| {
                let (from, to) = (light.get(c).copied(), dark.get(c).copied());
                from.zip(to).map_or(0.0, |(from, to)| from + (to - from) * fall)
            }));
        }
    }
    samples
}

/// To 8-bit 4:2:0 of BT.709 in limited range (Rec. ITU-R BT.709, 3.2 to 3.4 and 4.6).
fn planes(canvas: &Canvas, size: Size) -> Planes {
    let luma = |[r, g, b]: Colour| 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let rows: Vec<&[Colour]> = canvas.samples.chunks_exact(canvas.width).take(canvas.height).collect();
    let mut y = Vec::with_capacity(canvas.samples.len());
    for (line, row) in rows.iter().enumerate() {
        let dithered = row.iter().enumerate().map(|(x, c)| byte(16.0 + 219.0 * luma(*c) + dither(x, line)));
        y.extend(dithered);
    }
    let (mut blue, mut red) = (Vec::new(), Vec::new());
    for (line, pair) in rows.chunks_exact(2).enumerate() {
        let &[upper, lower] = pair else { continue };
        for (x, (above, below)) in upper.chunks_exact(2).zip(lower.chunks_exact(2)).enumerate() {
            let four = above.iter().chain(below).fold([0.0; 3], |sum, c| {
                let [r, g, b] = sum;
                [r + c[0] / 4.0, g + c[1] / 4.0, b + c[2] / 4.0]
            });
            let (luma, noise) = (luma(four), dither(x, line));
            blue.push(byte(128.0 + 224.0 * (four[2] - luma) / 1.8556 + noise));
            red.push(byte(128.0 + 224.0 * (four[0] - luma) / 1.5748 + noise));
        }
    }
    Planes { size, samples: [y, blue, red] }
}

/// Between -0.5 and 0.5, differently for each sample in an 8x8 square: a slow gradient has no steps then.
fn dither(x: usize, y: usize) -> f32 {
    // Bits of x^y and y interleaved, lowest first: the ordered matrix of Bayer.
    let (a, b) = (x ^ y, y);
    let rank = (0..3).fold(0u16, |rank, bit| {
        let pair = (a >> bit & 1) << 1 | (b >> bit & 1);
        rank << 2 | u16::try_from(pair).unwrap_or_default()
    });
    (f32::from(rank) + 0.5) / 64.0 - 0.5
}

/// Exact up to 2^24, which no side of a picture reaches.
fn float(side: u32) -> f32 {
    f32::from(u16::try_from(side).unwrap_or(u16::MAX))
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and sides of pictures are small")]
fn whole(length: f32) -> i32 {
    length.round() as i32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the value was clamped"
)]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests;
