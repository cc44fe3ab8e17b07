//! A quick look at a picture, for how much there is to code.

/// Samples along a side of a block.
const SIDE: usize = 8;
/// Samples from block to block: a quarter of the picture is looked at.
const STRIDE: usize = 16;
/// What is left of a sample of even grey: never nothing, since even that takes bits.
const LEAST: f64 = 0.05;

/// Blocks of a picture's luma.
#[derive(Debug, Clone)]
pub struct Glance {
    blocks: Vec<[u8; SIDE * SIDE]>,
}

impl Glance {
    /// Looks at a picture whose sample in column x and row y is `sample(x, y)`, in 8 bits.
    pub fn of(width: usize, height: usize, sample: impl Fn(usize, usize) -> u8) -> Self {
        let mut blocks = Vec::with_capacity((width / STRIDE + 1) * (height / STRIDE + 1));
        for top in (0..height.saturating_sub(SIDE - 1)).step_by(STRIDE) {
            for left in (0..width.saturating_sub(SIDE - 1)).step_by(STRIDE) {
                let mut block = [0; SIDE * SIDE];
                for (row, samples) in block.chunks_exact_mut(SIDE).enumerate() {
                    for (column, to) in samples.iter_mut().enumerate() {
                        *to = sample(left + column, top + row);
                    }
                }
                blocks.push(block);
            }
        }
        Self { blocks }
    }

    /// What is left of a sample, in the mean, when each block is predicted from the picture before, or from its own mean,
    /// left or upper samples, whichever is best.
    pub(super) fn left(&self, previous: Option<&Self>) -> f64 {
        let previous = previous.filter(|previous| previous.blocks.len() == self.blocks.len());
        let mut sum = 0;
        for (at, block) in self.blocks.iter().enumerate() {
            let within = [level(block), apart(block, 1), apart(block, SIDE)].into_iter().min().unwrap_or(0);
            sum += previous.map_or(within, |previous| within.min(between(block, &previous.blocks[at])));
        }
        let samples = u32::try_from(self.blocks.len() * SIDE * SIDE).unwrap_or(u32::MAX);
        LEAST + f64::from(sum) / f64::from(samples.max(1))
    }
}

/// Sum of differences from the mean.
fn level(block: &[u8; SIDE * SIDE]) -> u32 {
    let sum: u32 = block.iter().map(|sample| u32::from(*sample)).sum();
    let mean = u8::try_from(sum / 64).unwrap_or(u8::MAX);
    block.iter().map(|sample| u32::from(sample.abs_diff(mean))).sum()
}

/// Sum of differences of samples that lie so far apart.
fn apart(block: &[u8; SIDE * SIDE], by: usize) -> u32 {
    block.iter().zip(&block[by..]).map(|(one, other)| u32::from(one.abs_diff(*other))).sum()
}

/// Sum of differences between two blocks.
fn between(block: &[u8; SIDE * SIDE], other: &[u8; SIDE * SIDE]) -> u32 {
    block.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other))).sum()
}
