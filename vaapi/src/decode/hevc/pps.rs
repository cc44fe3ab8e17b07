//! The picture parameter set of HEVC (ITU-T H.265, 7.3.2.3.1).

use super::super::bits::{BitReader, SyntaxError};
use super::scaling::ScalingListData;

const PPS: &str = "HEVC PPS";

/// Names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::decode) struct Pps {
    pub(super) pps_pic_parameter_set_id: u8,
    pub(super) pps_seq_parameter_set_id: u8,
    pub(super) dependent_slice_segments_enabled_flag: bool,
    pub(super) output_flag_present_flag: bool,
    pub(super) num_extra_slice_header_bits: u8,
    pub(super) sign_data_hiding_enabled_flag: bool,
    pub(super) cabac_init_present_flag: bool,
    pub(super) num_ref_idx_default_active_minus1: [u8; 2],
    pub(super) init_qp_minus26: i8,
    pub(super) constrained_intra_pred_flag: bool,
    pub(super) transform_skip_enabled_flag: bool,
    pub(super) cu_qp_delta_enabled_flag: bool,
    pub(super) diff_cu_qp_delta_depth: u8,
    pub(super) pps_cb_qp_offset: i8,
    pub(super) pps_cr_qp_offset: i8,
    pub(super) pps_slice_chroma_qp_offsets_present_flag: bool,
    pub(super) weighted_pred_flag: bool,
    pub(super) weighted_bipred_flag: bool,
    pub(super) transquant_bypass_enabled_flag: bool,
    pub(super) tiles: Option<Tiles>,
    pub(super) entropy_coding_sync_enabled_flag: bool,
    pub(super) pps_loop_filter_across_slices_enabled_flag: bool,
    pub(super) deblocking_filter_override_enabled_flag: bool,
    pub(super) pps_deblocking_filter_disabled_flag: bool,
    pub(super) pps_beta_offset_div2: i8,
    pub(super) pps_tc_offset_div2: i8,
    pub(super) scaling_list_data: Option<ScalingListData>,
    pub(super) lists_modification_present_flag: bool,
    pub(super) log2_parallel_merge_level_minus2: u8,
    pub(super) slice_segment_header_extension_present_flag: bool,
    /// Extensions of range, layers, 3D or screen content, whose pictures are not decoded here.
    pub(super) extended: bool,
}

/// Tiles; widths and heights in coding tree blocks where they are not uniform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) num_tile_columns_minus1: u8,
    pub(super) num_tile_rows_minus1: u8,
    /// `column_width_minus1`, `row_height_minus1`; none where `uniform_spacing_flag` is set.
    pub(super) spacing: Option<(Vec<u16>, Vec<u16>)>,
    pub(super) loop_filter_across_tiles_enabled_flag: bool,
}

impl Pps {
    /// Of a payload without emulation prevention.
    pub(in crate::decode) fn parse(payload: &[u8]) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(PPS, payload);
        let mut pps = Self {
            pps_pic_parameter_set_id: r.ue_byte(63, "0 to 63", "pps_pic_parameter_set_id")?,
            pps_seq_parameter_set_id: r.ue_byte(15, "0 to 15", "pps_seq_parameter_set_id")?,
            dependent_slice_segments_enabled_flag: r.flag("dependent_slice_segments_enabled_flag")?,
            output_flag_present_flag: r.flag("output_flag_present_flag")?,
            num_extra_slice_header_bits: r.byte(3, "num_extra_slice_header_bits")?,
            sign_data_hiding_enabled_flag: r.flag("sign_data_hiding_enabled_flag")?,
            cabac_init_present_flag: r.flag("cabac_init_present_flag")?,
            num_ref_idx_default_active_minus1: [
                r.ue_byte(14, "0 to 14", "num_ref_idx_l0_default_active_minus1")?,
                r.ue_byte(14, "0 to 14", "num_ref_idx_l1_default_active_minus1")?,
            ],
            init_qp_minus26: r.se_within((-74, 25), "-74 to 25", "init_qp_minus26")?,
            constrained_intra_pred_flag: r.flag("constrained_intra_pred_flag")?,
            transform_skip_enabled_flag: r.flag("transform_skip_enabled_flag")?,
            cu_qp_delta_enabled_flag: r.flag("cu_qp_delta_enabled_flag")?,
            ..Self::default()
        };
        if pps.cu_qp_delta_enabled_flag {
            pps.diff_cu_qp_delta_depth = r.ue_byte(3, "0 to 3", "diff_cu_qp_delta_depth")?;
        }
        pps.pps_cb_qp_offset = r.se_within((-12, 12), "-12 to 12", "pps_cb_qp_offset")?;
        pps.pps_cr_qp_offset = r.se_within((-12, 12), "-12 to 12", "pps_cr_qp_offset")?;
        pps.pps_slice_chroma_qp_offsets_present_flag = r.flag("pps_slice_chroma_qp_offsets_present_flag")?;
        pps.weighted_pred_flag = r.flag("weighted_pred_flag")?;
        pps.weighted_bipred_flag = r.flag("weighted_bipred_flag")?;
        pps.transquant_bypass_enabled_flag = r.flag("transquant_bypass_enabled_flag")?;
        let tiles_enabled_flag = r.flag("tiles_enabled_flag")?;
        pps.entropy_coding_sync_enabled_flag = r.flag("entropy_coding_sync_enabled_flag")?;
        if tiles_enabled_flag {
            pps.tiles = Some(tiles(r)?);
        }
        pps.pps_loop_filter_across_slices_enabled_flag =
            r.flag("pps_loop_filter_across_slices_enabled_flag")?;
        if r.flag("deblocking_filter_control_present_flag")? {
            pps.deblocking_filter_override_enabled_flag =
                r.flag("deblocking_filter_override_enabled_flag")?;
            pps.pps_deblocking_filter_disabled_flag = r.flag("pps_deblocking_filter_disabled_flag")?;
            if !pps.pps_deblocking_filter_disabled_flag {
                pps.pps_beta_offset_div2 = r.se_within((-6, 6), "-6 to 6", "pps_beta_offset_div2")?;
                pps.pps_tc_offset_div2 = r.se_within((-6, 6), "-6 to 6", "pps_tc_offset_div2")?;
            }
        }
        if r.flag("pps_scaling_list_data_present_flag")? {
            pps.scaling_list_data = Some(ScalingListData::parse(r)?);
        }
        pps.lists_modification_present_flag = r.flag("lists_modification_present_flag")?;
        pps.log2_parallel_merge_level_minus2 = r.ue_byte(4, "0 to 4", "log2_parallel_merge_level_minus2")?;
        pps.slice_segment_header_extension_present_flag =
            r.flag("slice_segment_header_extension_present_flag")?;
        if r.flag("pps_extension_present_flag")? {
            pps.extended = r.byte(4, "pps_range_extension_flag")? != 0;
        }
        Ok(pps)
    }
}

fn tiles(r: &mut BitReader<'_>) -> Result<Tiles, SyntaxError> {
    // Table A.8: at most 20 columns and 22 rows.
    let num_tile_columns_minus1 = r.ue_byte(19, "0 to 19", "num_tile_columns_minus1")?;
    let num_tile_rows_minus1 = r.ue_byte(21, "0 to 21", "num_tile_rows_minus1")?;
    let mut spacing = None;
    if !r.flag("uniform_spacing_flag")? {
        let mut list = |count: u8, field| -> Result<Vec<u16>, SyntaxError> {
            let mut list = Vec::new();
            for _ in 0..count {
                let size = r.ue_up_to(511, "0 to 511", field)?;
                list.push(u16::try_from(size).unwrap_or(0));
            }
            Ok(list)
        };
        spacing = Some((
            list(num_tile_columns_minus1, "column_width_minus1")?,
            list(num_tile_rows_minus1, "row_height_minus1")?,
        ));
    }
    Ok(Tiles {
        num_tile_columns_minus1,
        num_tile_rows_minus1,
        spacing,
        loop_filter_across_tiles_enabled_flag: r.flag("loop_filter_across_tiles_enabled_flag")?,
    })
}
