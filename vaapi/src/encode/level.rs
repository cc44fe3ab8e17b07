//! The lowest level that holds a stream.

use crate::encode::{EncoderConfig, RateControl};

/// One row of ITU-T H.264, table A-1: `level_idc`, `MaxMBPS`, `MaxFS`, `MaxBR` and `MaxCPB` in thousands.
const H264: [(u8, u64, u64, u64, u64); 17] = [
    (10, 1485, 99, 64, 175),
    (11, 3000, 396, 192, 500),
    (12, 6000, 396, 384, 1000),
    (13, 11880, 396, 768, 2000),
    (20, 11880, 396, 2000, 2000),
    (21, 19800, 792, 4000, 4000),
    (22, 20250, 1620, 4000, 4000),
    (30, 40500, 1620, 10000, 10000),
    (31, 108_000, 3600, 14000, 14000),
    (32, 216_000, 5120, 20000, 20000),
    (40, 245_760, 8192, 20000, 25000),
    (41, 245_760, 8192, 50000, 62500),
    (42, 522_240, 8704, 50000, 62500),
    (50, 589_824, 22080, 135_000, 135_000),
    (51, 983_040, 36864, 240_000, 240_000),
    (52, 2_073_600, 36864, 240_000, 240_000),
    (62, 16_711_680, 139_264, 800_000, 800_000),
];

/// One row of ITU-T H.265, tables A.8 and A.9: `general_level_idc`, `MaxLumaSr`, `MaxLumaPs`, `MaxBR` and `MaxCPB` of
/// the Main tier in thousands.
const HEVC: [(u8, u64, u64, u64, u64); 13] = [
    (30, 552_960, 36_864, 128, 350),
    (60, 3_686_400, 122_880, 1500, 1500),
    (63, 7_372_800, 245_760, 3000, 3000),
    (90, 16_588_800, 552_960, 6000, 6000),
    (93, 33_177_600, 983_040, 10000, 10000),
    (120, 66_846_720, 2_228_224, 12000, 12000),
    (123, 133_693_440, 2_228_224, 20000, 20000),
    (150, 267_386_880, 8_912_896, 25000, 25000),
    (153, 534_773_760, 8_912_896, 40000, 40000),
    (156, 1_069_547_520, 8_912_896, 60000, 60000),
    (180, 1_069_547_520, 35_651_584, 60000, 60000),
    (183, 2_139_095_040, 35_651_584, 120_000, 120_000),
    (186, 4_278_190_080, 35_651_584, 240_000, 240_000),
];

fn lowest(table: &[(u8, u64, u64, u64, u64)], (rate, size): (u64, u64), bits: RateControl, unit: u64) -> u8 {
    let holds = |row: &&(u8, u64, u64, u64, u64)| {
        let &&(_, max_rate, max_size, max_bits, max_buffer) = row;
        rate <= max_rate
            && size <= max_size
            && u64::from(bits.max_bit_rate) <= max_bits * unit
            && u64::from(bits.buffer_bits) <= max_buffer * unit
    };
    // Over all levels: the highest there is, which decoders may take all the same.
    table.iter().find(holds).or(table.last()).map_or(0, |row| row.0)
}

fn per_second(units: u64, config: &EncoderConfig) -> u64 {
    let (frames, seconds) = config.frame_rate;
    (units * u64::from(frames)).div_ceil(u64::from(seconds.max(1)))
}

/// `level_idc`; `high` is the High profile, whose rates are 1.25 times those of others (A.3.1, A.3.3).
pub(super) fn h264(config: &EncoderConfig, high: bool) -> u8 {
    let size = u64::from(config.size.width.div_ceil(16)) * u64::from(config.size.height.div_ceil(16));
    lowest(&H264, (per_second(size, config), size), config.rate, if high { 1250 } else { 1000 })
}

/// `general_level_idc`
pub(super) fn hevc(config: &EncoderConfig) -> u8 {
    let size = config.size.samples();
    lowest(&HEVC, (per_second(size, config), size), config.rate, 1000)
}
