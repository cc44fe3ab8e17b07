//! The kernels on the CPU, bit for bit: what a GPU's results are checked against, and what a simulated one runs.
//!
//! Slices are the memory from a kernel's pointer to the end of its allocation; what would lie outside is an error, where
//! a GPU would report an illegal address. Pitches are in bytes, and whole numbers of elements.

use std::ops::Range;

/// A kernel that would reach outside of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("element {element} of {what}, which has {length}")]
pub struct OutOfBounds {
    /// Which argument.
    pub what: &'static str,
    /// Which element was wanted; `u64::MAX` where its number does not fit.
    pub element: u64,
    /// How many there are.
    pub length: usize,
}

/// The scalar arguments of the resampling kernels, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resample {
    /// Pitch of the source.
    pub src_pitch: u32,
    /// Pitch of the target.
    pub dst_pitch: u32,
    /// Samples across of one channel of the target.
    pub width: u32,
    /// Rows of the target.
    pub height: u32,
    /// 1 for luma, 2 for interleaved chroma.
    pub channels: u32,
    /// Taps of the table.
    pub taps: u32,
}

/// The scalar arguments of `convert_luma`, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertLuma {
    /// Pitch of the luma.
    pub luma_pitch: u32,
    /// Pitch of the chroma.
    pub chroma_pitch: u32,
    /// Pitch of the target.
    pub dst_pitch: u32,
    /// Samples across; even.
    pub width: u32,
    /// Rows; even.
    pub height: u32,
    /// The code of black in the source.
    pub black: i32,
    /// What luma weighs, in 14 fractional bits.
    pub of_y: i32,
    /// What the blue difference weighs.
    pub of_cb: i32,
    /// What the red difference weighs.
    pub of_cr: i32,
}

/// The scalar arguments of `convert_chroma`, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertChroma {
    /// Pitch of the source.
    pub chroma_pitch: u32,
    /// Pitch of the target.
    pub dst_pitch: u32,
    /// Pairs across.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What the source's blue difference weighs in the target's, in 14 fractional bits.
    pub cb_of_cb: i32,
    /// Red in blue.
    pub cb_of_cr: i32,
    /// Blue in red.
    pub cr_of_cb: i32,
    /// Red in red.
    pub cr_of_cr: i32,
}

/// Memory by rows.
struct Plane<'a, T> {
    what: &'static str,
    /// Elements from one row to the next.
    pitch: u64,
    memory: &'a [T],
}

impl<'a, T> Plane<'a, T> {
    fn new(what: &'static str, pitch_bytes: u32, memory: &'a [T]) -> Self {
        Self { what, pitch: elements::<T>(pitch_bytes), memory }
    }

    /// The first `length` elements of a row.
    fn row(&self, y: u32, length: u64) -> Result<&'a [T], OutOfBounds> {
        let range = span(self.pitch, y, length);
        let found = range.clone().and_then(|range| self.memory.get(range));
        found.ok_or_else(|| outside(self.what, range, self.memory.len()))
    }
}

/// As [`Plane`], to be written.
struct PlaneMut<'a, T> {
    pitch: u64,
    memory: &'a mut [T],
}

impl<'a, T> PlaneMut<'a, T> {
    fn new(pitch_bytes: u32, memory: &'a mut [T]) -> Self {
        Self { pitch: elements::<T>(pitch_bytes), memory }
    }

    fn row(&mut self, y: u32, length: u64) -> Result<&mut [T], OutOfBounds> {
        let (range, size) = (span(self.pitch, y, length), self.memory.len());
        let found = range.clone().and_then(|range| self.memory.get_mut(range));
        found.ok_or_else(|| outside("dst", range, size))
    }
}

fn elements<T>(bytes: u32) -> u64 {
    u64::from(bytes) / u64::try_from(size_of::<T>()).unwrap_or(1).max(1)
}

fn span(pitch: u64, y: u32, length: u64) -> Option<Range<usize>> {
    let start = pitch.checked_mul(u64::from(y))?;
    Some(usize::try_from(start).ok()?..usize::try_from(start.checked_add(length)?).ok()?)
}

fn outside(what: &'static str, range: Option<Range<usize>>, length: usize) -> OutOfBounds {
    let last = range.and_then(|range| u64::try_from(range.end.checked_sub(1)?).ok());
    OutOfBounds { what, element: last.unwrap_or(u64::MAX), length }
}

/// Q14 back to codes, rounded.
const fn unweigh(sum: i32) -> i32 {
    sum.wrapping_add(8192) >> 14
}

/// Clamped to 16 bits.
fn code(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

/// Clamped to 8 bits.
fn sample(value: i32) -> u8 {
    u8::try_from(value).unwrap_or(if value < 0 { u8::MIN } else { u8::MAX })
}

/// The table that a resampling kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// By tap, then by sample of the target.
    pub weights: &'a [i16],
    /// By sample of the target.
    pub starts: &'a [u32],
}

impl Table<'_> {
    /// The starts and weights of `length` samples, the weights by sample, then by tap.
    fn by_sample(&self, length: u32, taps: u32) -> Result<(&[u32], Vec<i32>), OutOfBounds> {
        let starts = Plane::new("starts", 0, self.starts).row(0, u64::from(length))?;
        let count = u64::from(length).saturating_mul(u64::from(taps));
        let weights = Plane::new("weights", 0, self.weights).row(0, count)?;
        let stride = usize::try_from(length).unwrap_or(usize::MAX).max(1);
        let column = |at| weights.iter().skip(at).step_by(stride).copied().map(i32::from);
        Ok((starts, (0..starts.len()).flat_map(column).collect()))
    }
}

fn across<S: Copy>(
    src: &[S],
    dst: &mut [i16],
    table: Table<'_>,
    args: &Resample,
    to_code: impl Fn(S) -> i32,
) -> Result<(), OutOfBounds> {
    let (starts, weights) = table.by_sample(args.width, args.taps)?;
    let (src, mut dst) = (Plane::new("src", args.src_pitch, src), PlaneMut::new(args.dst_pitch, dst));
    let channels = usize::try_from(args.channels).unwrap_or(usize::MAX);
    let taps = usize::try_from(args.taps).unwrap_or(usize::MAX);
    let end = starts.iter().max().map_or(0, |start| u64::from(*start) + u64::from(args.taps));
    let mut codes = Vec::new();
    for y in 0..args.height {
        let from = src.row(y, end * u64::from(args.channels))?;
        let to = dst.row(y, u64::from(args.width) * u64::from(args.channels))?;
        for channel in 0..channels {
            codes.clear();
            codes.extend(from.iter().skip(channel).step_by(channels).map(|sample| to_code(*sample)));
            let targets = to.iter_mut().skip(channel).step_by(channels);
            for ((target, start), weights) in targets.zip(starts).zip(weights.chunks_exact(taps.max(1))) {
                let window = usize::try_from(*start).ok().and_then(|start| codes.get(start..));
                let pairs = window.unwrap_or_default().iter().zip(weights);
                *target =
                    code(unweigh(pairs.fold(0, |sum, (code, w)| sum.wrapping_add(code.wrapping_mul(*w)))));
            }
        }
    }
    Ok(())
}

fn down<D>(
    src: &[i16],
    dst: &mut [D],
    table: Table<'_>,
    args: &Resample,
    from_code: impl Fn(i32) -> D,
) -> Result<(), OutOfBounds> {
    let (starts, weights) = table.by_sample(args.height, args.taps)?;
    let (src, mut dst) = (Plane::new("src", args.src_pitch, src), PlaneMut::new(args.dst_pitch, dst));
    let length = u64::from(args.width) * u64::from(args.channels);
    let taps = usize::try_from(args.taps).unwrap_or(usize::MAX).max(1);
    let mut sums = vec![0i32; usize::try_from(length).unwrap_or(0).min(src.memory.len())];
    for ((y, start), weights) in (0..args.height).zip(starts).zip(weights.chunks_exact(taps)) {
        sums.fill(0);
        for (tap, weight) in (0..args.taps).zip(weights) {
            let row = src.row(start.saturating_add(tap), length)?;
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(weight.wrapping_mul(i32::from(*value)));
            }
        }
        for (target, sum) in dst.row(y, length)?.iter_mut().zip(&sums) {
            *target = from_code(unweigh(*sum));
        }
    }
    Ok(())
}

/// `resample_h8`: across, 8-bit samples to codes.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn resample_h8(
    src: &[u8],
    dst: &mut [i16],
    table: Table<'_>,
    args: &Resample,
) -> Result<(), OutOfBounds> {
    across(src, dst, table, args, |sample| i32::from(sample) << 6)
}

/// `resample_h16`: across, samples in the high bits of 16 to codes.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn resample_h16(
    src: &[u16],
    dst: &mut [i16],
    table: Table<'_>,
    args: &Resample,
) -> Result<(), OutOfBounds> {
    across(src, dst, table, args, |sample| i32::from(sample) >> 2)
}

/// `resample_v8`: down, codes to 8-bit samples.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn resample_v8(
    src: &[i16],
    dst: &mut [u8],
    table: Table<'_>,
    args: &Resample,
) -> Result<(), OutOfBounds> {
    down(src, dst, table, args, |value| sample((value + 32) >> 6))
}

/// `resample_v16`: down, codes to codes.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn resample_v16(
    src: &[i16],
    dst: &mut [i16],
    table: Table<'_>,
    args: &Resample,
) -> Result<(), OutOfBounds> {
    down(src, dst, table, args, code)
}

/// `convert_luma`: luma of another matrix or range, with the chroma beside it, to 8 bits of the target's.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn convert_luma(
    luma: &[i16],
    chroma: &[i16],
    dst: &mut [u8],
    args: &ConvertLuma,
) -> Result<(), OutOfBounds> {
    let luma = Plane::new("luma", args.luma_pitch, luma);
    let chroma = Plane::new("chroma", args.chroma_pitch, chroma);
    let mut dst = PlaneMut::new(args.dst_pitch, dst);
    let (pairs, last_row) = (args.width / 2, (args.height / 2).saturating_sub(1));
    for y in 0..args.height {
        let near = y / 2;
        let far = if y % 2 == 1 { near + 1 } else { near.saturating_sub(1) }.min(last_row);
        let near = chroma.row(near, u64::from(pairs) * 2)?;
        let far = chroma.row(far, u64::from(pairs) * 2)?;
        // Three parts of the nearer row, one of the other.
        let mix = |here: i16, there: i16| 3 * i32::from(here) + i32::from(there);
        let rows = near.as_chunks::<2>().0.iter().zip(far.as_chunks::<2>().0);
        let columns: Vec<(i32, i32)> = rows.map(|(a, b)| (mix(a[0], b[0]), mix(a[1], b[1]))).collect();
        let nexts = columns.iter().skip(1).chain(columns.last());
        let levels = luma.row(y, u64::from(args.width))?.chunks_exact(2);
        let targets = dst.row(y, u64::from(args.width))?.chunks_exact_mut(2);
        for (((here, next), levels), targets) in columns.iter().zip(nexts).zip(levels).zip(targets) {
            for ((level, target), other) in levels.iter().zip(targets).zip([here, next]) {
                let cb = ((here.0 + other.0 + 4) >> 3) - 8192;
                let cr = ((here.1 + other.1 + 4) >> 3) - 8192;
                let sum = args
                    .of_y
                    .wrapping_mul(i32::from(*level).wrapping_sub(args.black))
                    .wrapping_add(args.of_cb.wrapping_mul(cb))
                    .wrapping_add(args.of_cr.wrapping_mul(cr));
                *target = sample(16 + (sum.wrapping_add(1 << 19) >> 20));
            }
        }
    }
    Ok(())
}

/// `convert_chroma`: chroma of another matrix or range to 8 bits of the target's.
///
/// # Errors
/// Where the kernel would reach outside.
pub fn convert_chroma(chroma: &[i16], dst: &mut [u8], args: &ConvertChroma) -> Result<(), OutOfBounds> {
    let chroma = Plane::new("chroma", args.chroma_pitch, chroma);
    let mut dst = PlaneMut::new(args.dst_pitch, dst);
    let length = u64::from(args.width) * 2;
    let mix = |of_cb: i32, of_cr: i32, cb: i32, cr: i32| {
        let sum = of_cb.wrapping_mul(cb).wrapping_add(of_cr.wrapping_mul(cr));
        sample(128 + (sum.wrapping_add(1 << 19) >> 20))
    };
    for y in 0..args.height {
        let from = chroma.row(y, length)?.as_chunks::<2>().0;
        let to = dst.row(y, length)?.as_chunks_mut::<2>().0;
        for ([cb, cr], target) in from.iter().zip(to) {
            let (cb, cr) = (i32::from(*cb) - 8192, i32::from(*cr) - 8192);
            *target = [mix(args.cb_of_cb, args.cb_of_cr, cb, cr), mix(args.cr_of_cb, args.cr_of_cr, cb, cr)];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
