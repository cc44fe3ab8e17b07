//! Sample aspect ratios as H.264 and HEVC write them.

use super::ParamsError;
use super::bits::BitReader;

/// Table E-1 of ITU-T H.264 and of H.265; index 0 is "unspecified".
const SAMPLE_ASPECT_RATIOS: [(u32, u32); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];
/// `Extended_SAR` of the same table.
const EXTENDED_SAR: u8 = 255;
/// Ratios beyond this are taken for unspecified: no camera has one, and they would leave no picture.
const MAX_SAMPLE_ASPECT: u32 = 8;

/// `aspect_ratio_idc` and what follows it; `(1, 1)` for what is unspecified, reserved or absurd.
pub(super) fn read(r: &mut BitReader<'_>) -> Result<(u32, u32), ParamsError> {
    let idc = r.byte(8, "aspect_ratio_idc")?;
    let (width, height) = match idc {
        EXTENDED_SAR => (r.bits(16, "sar_width")?, r.bits(16, "sar_height")?),
        _ => SAMPLE_ASPECT_RATIOS.get(usize::from(idc)).copied().unwrap_or((1, 1)),
    };
    let absurd = width == 0
        || height == 0
        || width > height.saturating_mul(MAX_SAMPLE_ASPECT)
        || height > width.saturating_mul(MAX_SAMPLE_ASPECT);
    Ok(if absurd { (1, 1) } else { (width, height) })
}
