//! Rungs, and what becomes of them for a given source.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FrameRate;

/// Smallest side of a rung or a source, in pixels: one H.264 macroblock.
pub const MIN_SIDE: u32 = 16;
/// A rung that is larger than its source is left out where another has at least this share of the source's pixels:
/// the next rung down is as good as the source then.
const AS_GOOD_AS_THE_SOURCE_PERCENT: u64 = 80;
/// Grids up to this rate, in frames per second, are not halved: what is left would be a slide show.
const SLOWEST_HALVED_GRID: u32 = 15;

/// Width and height of a picture in square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl Size {
    /// Pixels in a picture.
    #[must_use]
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Luma samples a second of pictures of this size.
    #[must_use]
    pub fn samples_per_second(self, rate: FrameRate) -> u64 {
        self.area().saturating_mul(u64::from(rate.numerator())) / u64::from(rate.denominator())
    }

    /// This many samples of the aspect ratio `sar`, as square pixels: wider where samples are wide, higher where they
    /// are narrow, so that nothing is thrown away. A ratio with a zero counts as `(1, 1)`.
    #[must_use]
    pub fn in_square_pixels(self, sar: (u32, u32)) -> Self {
        let stretch = |side: u32, by: u32, over: u32| {
            let (by, over) = (u64::from(by), u64::from(over));
            u32::try_from((u64::from(side) * by + over / 2) / over).unwrap_or(u32::MAX)
        };
        match sar {
            (0, _) | (_, 0) => self,
            (w, h) if w >= h => Self { width: stretch(self.width, w, h), ..self },
            (w, h) => Self { height: stretch(self.height, h, w), ..self },
        }
    }

    /// The largest even size of this aspect ratio inside `room`, at least [`MIN_SIDE`] each way.
    fn fit_in(self, room: Self) -> Self {
        let (width, height) = (u64::from(self.width.max(1)), u64::from(self.height.max(1)));
        let (room_width, room_height) = (u64::from(room.width), u64::from(room.height));
        let (fit_width, fit_height) = match room_width * height <= room_height * width {
            true => (2 * room_width, 2 * room_width * height / width),
            false => (2 * room_height * width / height, 2 * room_height),
        };
        // From halves of a pixel to the nearest even number that is still inside.
        let even = |halves: u64, most: u32| {
            let nearest = u32::try_from((halves + 2) / 4).unwrap_or(u32::MAX / 2).saturating_mul(2);
            nearest.min(most / 2 * 2).max(MIN_SIDE)
        };
        Self { width: even(fit_width, room.width), height: even(fit_height, room.height) }
    }
}

/// A picture rate in relation to the presentation's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RungRate {
    /// Every grid frame.
    #[default]
    Full,
    /// Every second grid frame; boundaries are shared, since segments hold an even number of frames.
    Half,
}

/// One rung of a ladder: as configured, or as resolved for a source (then `size` is exact).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The rung's name, which stands in URLs: `a-z 0-9 - _`, at most 32 characters.
    pub name: String,
    /// The box the picture is fitted in, keeping its aspect ratio.
    pub size: Size,
    /// Whether it has all of the grid's frames or half.
    pub rate: RungRate,
    /// Mean video bit rate, in bits per second.
    pub bit_rate: u32,
    /// Highest bit rate over the VBV buffer, in bits per second.
    pub max_bit_rate: u32,
    /// VBV buffer, in bits.
    pub buffer_bits: u32,
    /// Encoder preset, in the engine's own words (`veryfast`).
    pub preset: String,
    /// Encoder tune, if any (`film`, `zerolatency`).
    pub tune: Option<String>,
    /// H.264 profile (`baseline`, `main`, `high`).
    pub profile: String,
    /// Whether this rung may be larger than its source.
    pub upscale: bool,
}

impl Rung {
    /// Its pictures a second on a grid of `grid`.
    #[must_use]
    pub fn frame_rate(&self, grid: FrameRate) -> FrameRate {
        match self.rate {
            RungRate::Full => grid,
            RungRate::Half => grid.half(),
        }
    }

    /// Luma samples a second on a grid of `grid`: what it asks of an encoder.
    #[must_use]
    pub fn samples_per_second(&self, grid: FrameRate) -> u64 {
        self.size.samples_per_second(self.frame_rate(grid))
    }
}

/// The list of renditions of a feed, in the order configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ladder {
    /// The rungs.
    pub rungs: Vec<Rung>,
}

/// A source that no ladder can be made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// There is nothing to resolve.
    #[error("ladder has no rungs")]
    Empty,
    /// The source is smaller than any picture that is encoded.
    #[error("source of {0} is under the bound of {MIN_SIDE}x{MIN_SIDE}")]
    SourceTooSmall(Size),
}

impl Ladder {
    /// The rungs for a source of `source` samples of the aspect ratio `sar` (give `(1, 1)` with a size that is in
    /// square pixels already), best first, with exact, even sizes in square pixels.
    ///
    /// - The picture is fitted inside each rung's box, keeping its aspect ratio.
    /// - A rung that would be larger than the source is made as large as the source, unless it may upscale. Of several
    ///   such rungs one stays, the one configured for the least size (of these the one with the highest bit rate),
    ///   since it was meant for pictures nearest to this source; and none where another rung has nearly the source's
    ///   size anyway.
    /// - Of rungs with the same size, rate and bit rate the first stays. Different bit rates of one size are let be.
    /// - Half-rate rungs get every frame of a `grid` that is too slow to be halved.
    ///
    /// # Errors
    /// Where there are no rungs or the source is under [`MIN_SIDE`].
    pub fn resolve(&self, source: Size, sar: (u32, u32), grid: FrameRate) -> Result<Vec<Rung>, LadderError> {
        let source = source.in_square_pixels(sar);
        if source.width < MIN_SIDE || source.height < MIN_SIDE {
            return Err(LadderError::SourceTooSmall(source));
        }
        if self.rungs.is_empty() {
            return Err(LadderError::Empty);
        }
        let slow = grid.numerator() <= SLOWEST_HALVED_GRID.saturating_mul(grid.denominator());
        let (mut fitting, mut larger) = (Vec::new(), Vec::new());
        for rung in &self.rungs {
            let size = source.fit_in(rung.size);
            let rung = Rung { size, rate: if slow { RungRate::Full } else { rung.rate }, ..rung.clone() };
            let is_larger = size.width > source.width || size.height > source.height;
            if is_larger && !rung.upscale { &mut larger } else { &mut fitting }.push(rung);
        }
        let as_good = |rung: &Rung| rung.size.area() * 100 >= source.area() * AS_GOOD_AS_THE_SOURCE_PERCENT;
        if !fitting.iter().any(as_good) {
            larger.sort_by_key(|rung| (rung.size.area(), std::cmp::Reverse(rung.bit_rate)));
            let stays = larger.into_iter().next();
            fitting.extend(stays.map(|rung| Rung { size: source.fit_in(source), ..rung }));
        }
        // Stable, so that rungs alike stay in the order configured.
        fitting.sort_by_key(|rung| {
            (
                std::cmp::Reverse(rung.size.area()),
                rung.rate == RungRate::Half,
                std::cmp::Reverse(rung.bit_rate),
            )
        });
        fitting.dedup_by_key(|rung| (rung.size, rung.rate, rung.bit_rate));
        Ok(fitting)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn rung(width: u32, height: u32, bit_rate: u32) -> Rung {
        Rung {
            name: format!("{height}p{bit_rate}"),
            size: size(width, height),
            rate: RungRate::Full,
            bit_rate,
            max_bit_rate: bit_rate,
            buffer_bits: bit_rate,
            preset: "veryfast".to_owned(),
            tune: None,
            profile: "high".to_owned(),
            upscale: false,
        }
    }

    fn usual() -> Ladder {
        Ladder {
            rungs: vec![
                rung(640, 360, 800_000),
                rung(1920, 1080, 6_000_000),
                rung(1280, 720, 3_000_000),
                rung(854, 480, 1_500_000),
            ],
        }
    }

    fn sizes(ladder: &Ladder, source: Size, sar: (u32, u32)) -> Vec<String> {
        let rungs = ladder.resolve(source, sar, FrameRate::PAL).unwrap();
        rungs.iter().map(|rung| format!("{}@{}", rung.size, rung.bit_rate / 1000)).collect()
    }

    #[test]
    fn fits_every_aspect_ratio_best_first() {
        let ladder = usual();
        assert_eq!(
            sizes(&ladder, size(1920, 1080), (1, 1)),
            ["1920x1080@6000", "1280x720@3000", "854x480@1500", "640x360@800"]
        );
        assert_eq!(
            sizes(&ladder, size(1440, 1080), (1, 1)),
            ["1440x1080@6000", "960x720@3000", "640x480@1500", "480x360@800"]
        );
        assert_eq!(
            sizes(&ladder, size(1080, 1920), (1, 1)),
            ["608x1080@6000", "406x720@3000", "270x480@1500", "202x360@800"]
        );
        // Anamorphic: 1440x1080 of 4:3 samples is 16:9; 720x576 of 16:11 is 1047x576.
        assert_eq!(sizes(&ladder, size(1440, 1080), (4, 3))[1], "1280x720@3000");
        assert_eq!(
            sizes(&ladder, size(720, 576), (16, 11)),
            ["1046x576@3000", "854x470@1500", "640x352@800"]
        );
        // Narrow samples stretch down: 720x480 of 10:11 is 720x528.
        assert_eq!(sizes(&ladder, size(720, 480), (10, 11))[0], "654x480@1500");
    }

    #[test]
    fn no_rung_is_larger_than_its_source_unless_it_may_be() {
        let ladder = usual();
        assert_eq!(sizes(&ladder, size(640, 360), (1, 1)), ["640x360@800"]);
        // The rung meant for the nearest size above gives the source's own.
        assert_eq!(
            sizes(&ladder, size(1900, 1070), (1, 1)),
            ["1900x1070@6000", "1278x720@3000", "852x480@1500", "640x360@800"]
        );
        // 854x480 is nearly what the source has, so nothing is wasted on 900x506.
        assert_eq!(sizes(&ladder, size(900, 506), (1, 1)), ["854x480@1500", "640x360@800"]);
        assert_eq!(sizes(&ladder, size(161, 91), (1, 1)), ["160x90@800"]);
        let upscaling =
            Ladder { rungs: usual().rungs.into_iter().map(|rung| Rung { upscale: true, ..rung }).collect() };
        assert_eq!(sizes(&upscaling, size(320, 180), (1, 1))[0], "1920x1080@6000");
    }

    #[test]
    fn rungs_alike_are_one_and_bit_rates_of_one_size_are_several() {
        let ladder = Ladder { rungs: vec![rung(640, 360, 1), rung(640, 480, 1), rung(640, 360, 2)] };
        assert_eq!(ladder.resolve(size(1280, 720), (1, 1), FrameRate::PAL).unwrap().len(), 2);
    }

    #[test]
    fn slow_grids_are_not_halved() {
        let ladder = Ladder { rungs: vec![Rung { rate: RungRate::Half, ..rung(640, 360, 1) }] };
        let rate =
            |fps| ladder.resolve(size(640, 360), (1, 1), FrameRate::new(fps, 1).unwrap()).unwrap()[0].rate;
        assert_eq!(rate(50), RungRate::Half);
        assert_eq!(rate(15), RungRate::Full);
    }

    #[test]
    fn says_why_not() {
        let error = usual().resolve(size(8, 8), (1, 1), FrameRate::PAL).unwrap_err();
        assert_eq!(error.to_string(), "source of 8x8 is under the bound of 16x16");
        assert_eq!(Ladder::default().resolve(size(64, 64), (1, 1), FrameRate::PAL), Err(LadderError::Empty));
    }

    proptest! {
        #[test]
        fn every_size_is_even_in_its_box_and_in_shape(
            width in 16u32..8192, height in 16u32..8192, sar_w in 0u32..100, sar_h in 0u32..100,
            boxes in prop::collection::vec((16u32..4096, 16u32..4096, 1u32..9, any::<bool>()), 1..8),
        ) {
            let ladder = Ladder {
                rungs: boxes.iter().map(|&(w, h, rate, upscale)| Rung { upscale, ..rung(w, h, rate) }).collect(),
            };
            let display = size(width, height).in_square_pixels((sar_w, sar_h));
            let rungs = ladder.resolve(size(width, height), (sar_w, sar_h), FrameRate::PAL).unwrap();
            prop_assert!(!rungs.is_empty());
            for pair in rungs.windows(2) {
                prop_assert!(pair[0].size.area() >= pair[1].size.area());
            }
            for rung in &rungs {
                let (w, h) = (rung.size.width, rung.size.height);
                prop_assert!(w % 2 == 0 && h % 2 == 0 && w >= MIN_SIDE && h >= MIN_SIDE);
                prop_assert!(rung.upscale || (w <= display.width.max(MIN_SIDE) && h <= display.height.max(MIN_SIDE)));
                let inside = |&(bw, bh, rate, up): &(u32, u32, u32, bool)| {
                    w <= bw && h <= bh && rate == rung.bit_rate && up == rung.upscale
                };
                prop_assert!(boxes.iter().any(inside));
                if w > MIN_SIDE && h > MIN_SIDE {
                    // A side is at most two pixels from where the other puts it.
                    let ideal = f64::from(w) * f64::from(display.height) / f64::from(display.width);
                    let slack = 2.0 + 2.0 * f64::from(display.height) / f64::from(display.width);
                    prop_assert!((ideal - f64::from(h)).abs() <= slack, "{display} to {}", rung.size);
                }
            }
        }
    }
}
