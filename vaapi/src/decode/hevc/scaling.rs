//! Scaling lists of HEVC (ITU-T H.265, 7.3.4, 7.4.5).

use super::super::bits::{BitReader, SyntaxError};

/// `ScalingList` in the order of coefficients, by `sizeId` and `matrixId`; of 32x32 there are matrices 0 and 3, here 0
/// and 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScalingListData {
    lists: [[Vec<u8>; 6]; 4],
    /// `scaling_list_dc_coef_minus8 + 8` of 16x16 and 32x32.
    dc: [[u8; 6]; 2],
}

/// Table 7-6.
const DEFAULT_INTRA: [u8; 64] = [
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 17, 16, 17, 16, 17, 18, 17, 18, 18, 17, 18, 21, 19, 20, 21, 20,
    19, 21, 24, 22, 22, 24, 24, 22, 22, 24, 25, 25, 27, 30, 27, 25, 25, 29, 31, 35, 35, 31, 29, 36, 41, 44,
    41, 36, 47, 54, 54, 47, 65, 70, 65, 88, 88, 115,
];
const DEFAULT_INTER: [u8; 64] = [
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 18, 20, 20, 20, 20, 20,
    20, 20, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 28, 28, 28, 28, 28, 28, 33, 33, 33,
    33, 33, 41, 41, 41, 41, 54, 54, 54, 71, 71, 91,
];

fn default(size: usize, matrix: usize) -> Vec<u8> {
    match (size, matrix < 3) {
        (0, _) => vec![16; 16],
        (_, true) => DEFAULT_INTRA.to_vec(),
        (_, false) => DEFAULT_INTER.to_vec(),
    }
}

impl Default for ScalingListData {
    fn default() -> Self {
        let of_size = |size| std::array::from_fn(|matrix| default(size, matrix));
        Self { lists: std::array::from_fn(of_size), dc: [[16; 6]; 2] }
    }
}

impl ScalingListData {
    /// `scaling_list_data`
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, SyntaxError> {
        let mut data = Self::default();
        for size in 0..4usize {
            let step = if size == 3 { 3 } else { 1 };
            for matrix in (0..6usize).step_by(step) {
                if r.flag("scaling_list_pred_mode_flag")? {
                    data.read_list(r, size, matrix)?;
                } else {
                    let most = u32::try_from(matrix / step).unwrap_or(0);
                    let delta = r.ue_up_to(most, "up to matrixId", "scaling_list_pred_matrix_id_delta")?;
                    let delta = usize::try_from(delta).unwrap_or(0) * step;
                    data.predict(size, matrix, delta);
                }
            }
        }
        Ok(data)
    }

    fn predict(&mut self, size: usize, matrix: usize, delta: usize) {
        let list = match delta {
            0 => default(size, matrix),
            delta => self.lists[size][matrix - delta].clone(),
        };
        self.lists[size][matrix] = list;
        if let Some(dc) = size.checked_sub(2).and_then(|at| self.dc.get_mut(at)) {
            dc[matrix] = if delta == 0 { 16 } else { dc[matrix - delta] };
        }
    }

    fn read_list(&mut self, r: &mut BitReader<'_>, size: usize, matrix: usize) -> Result<(), SyntaxError> {
        let mut next = 8i64;
        if let Some(dc) = size.checked_sub(2).and_then(|at| self.dc.get_mut(at)) {
            let minus8 = r.se("scaling_list_dc_coef_minus8")?;
            let value = u8::try_from(minus8 + 8).ok().filter(|value| *value > 0);
            dc[matrix] = value.ok_or(r.value("scaling_list_dc_coef_minus8", minus8, "-7 to 247"))?;
            next = minus8 + 8;
        }
        for value in &mut self.lists[size][matrix] {
            next = (next + r.se("scaling_list_delta_coef")?).rem_euclid(256);
            *value = u8::try_from(next).unwrap_or(16);
        }
        Ok(())
    }

    /// A list in raster order; `N` is 16 for 4x4, 64 otherwise.
    pub(super) fn raster<const N: usize>(&self, size: usize, matrix: usize) -> [u8; N] {
        let mut out = [16; N];
        let side = if N == 16 { 4 } else { 8 };
        for (value, (x, y)) in self.lists[size][matrix].iter().zip(diagonal(side)) {
            if let Some(place) = out.get_mut(y * side + x) {
                *place = *value;
            }
        }
        out
    }

    /// The first coefficient of 16x16 (size 2) and 32x32 (size 3).
    pub(super) fn dc(&self, size: usize, matrix: usize) -> u8 {
        size.checked_sub(2).and_then(|at| self.dc.get(at)).map_or(16, |dc| dc[matrix])
    }
}

/// The up-right diagonal scan (6.5.3).
fn diagonal(side: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..2 * side - 1).flat_map(move |sum| {
        // From the lower left to the upper right.
        (0..=sum).map(move |x| (x, sum - x)).filter(move |(x, y)| *x < side && *y < side)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diagonal_goes_up_and_right() {
        let scan: Vec<_> = diagonal(4).collect();
        assert_eq!(scan[..6], [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]);
        assert_eq!(scan.len(), 16);
    }

    #[test]
    fn defaults_are_flat_for_the_smallest_and_rise_for_others() {
        let data = ScalingListData::default();
        assert_eq!(data.raster::<16>(0, 5), [16; 16]);
        let list = data.raster::<64>(1, 0);
        assert_eq!((list[0], list[63], list[7], list[56]), (16, 115, 24, 24));
        assert_eq!(data.dc(3, 0), 16);
    }
}
