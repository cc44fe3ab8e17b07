//! Rungs, and what becomes of them for a given source.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// The list of renditions of a feed, in the order configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ladder {
    /// The rungs.
    pub rungs: Vec<Rung>,
}
