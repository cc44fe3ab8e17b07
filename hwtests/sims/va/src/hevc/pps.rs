//! Picture parameter sets (7.3.2.3).

use crate::bits::{BitReader, BitWriter, Exhausted};
use crate::hevc::NAL_PPS;
use crate::hevc::parameter_sets::skip_scaling_lists;

/// Columns and rows of tiles, in coding tree blocks, the last of each left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tiles {
    pub(crate) columns: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) loop_filter_across: bool,
}

/// What a picture parameter set says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pps {
    pub(crate) id: u32,
    pub(crate) sps_id: u32,
    pub(crate) dependent_slice_segments: bool,
    pub(crate) output_flag_present: bool,
    pub(crate) num_extra_slice_header_bits: u32,
    pub(crate) sign_data_hiding: bool,
    pub(crate) cabac_init_present: bool,
    pub(crate) num_ref_idx_default: [u32; 2],
    pub(crate) init_qp_minus26: i32,
    pub(crate) constrained_intra_pred: bool,
    pub(crate) transform_skip: bool,
    /// diff_cu_qp_delta_depth, where QP varies within a picture.
    pub(crate) cu_qp_delta_depth: Option<u32>,
    pub(crate) cb_qp_offset: i32,
    pub(crate) cr_qp_offset: i32,
    pub(crate) slice_chroma_qp_offsets_present: bool,
    pub(crate) weighted_pred: bool,
    pub(crate) weighted_bipred: bool,
    pub(crate) transquant_bypass: bool,
    pub(crate) tiles: Option<Tiles>,
    pub(crate) entropy_coding_sync: bool,
    pub(crate) loop_filter_across_slices: bool,
    pub(crate) deblocking_override_enabled: bool,
    pub(crate) deblocking_disabled: bool,
    pub(crate) beta_offset_div2: i32,
    pub(crate) tc_offset_div2: i32,
    pub(crate) lists_modification_present: bool,
    pub(crate) log2_parallel_merge_level: u32,
    pub(crate) slice_header_extension_present: bool,
}

impl Pps {
    /// Reads a NAL unit without emulation prevention bytes, its header included. Tiles are not read: `None`.
    pub(crate) fn parse(nal: &[u8]) -> Result<Option<Self>, Exhausted> {
        let mut r = BitReader::new(nal);
        r.u(16)?;
        let mut pps = Self { id: r.ue()?, sps_id: r.ue()?, ..Self::default() };
        pps.dependent_slice_segments = r.flag()?;
        pps.output_flag_present = r.flag()?;
        pps.num_extra_slice_header_bits = r.u(3)?;
        pps.sign_data_hiding = r.flag()?;
        pps.cabac_init_present = r.flag()?;
        pps.num_ref_idx_default = [r.ue()? + 1, r.ue()? + 1];
        pps.init_qp_minus26 = r.se()?;
        pps.constrained_intra_pred = r.flag()?;
        pps.transform_skip = r.flag()?;
        pps.cu_qp_delta_depth = if r.flag()? { Some(r.ue()?) } else { None };
        pps.cb_qp_offset = r.se()?;
        pps.cr_qp_offset = r.se()?;
        pps.slice_chroma_qp_offsets_present = r.flag()?;
        pps.weighted_pred = r.flag()?;
        pps.weighted_bipred = r.flag()?;
        pps.transquant_bypass = r.flag()?;
        if r.flag()? {
            return Ok(None);
        }
        pps.entropy_coding_sync = r.flag()?;
        pps.loop_filter_across_slices = r.flag()?;
        if r.flag()? {
            pps.deblocking_override_enabled = r.flag()?;
            pps.deblocking_disabled = r.flag()?;
            if !pps.deblocking_disabled {
                pps.beta_offset_div2 = r.se()?;
                pps.tc_offset_div2 = r.se()?;
            }
        }
        if r.flag()? {
            skip_scaling_lists(&mut r)?;
        }
        pps.lists_modification_present = r.flag()?;
        pps.log2_parallel_merge_level = r.ue()? + 2;
        pps.slice_header_extension_present = r.flag()?;
        Ok(Some(pps))
    }

    /// The NAL unit, without emulation prevention bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.u(NAL_PPS << 9 | 1, 16);
        w.ue(self.id);
        w.ue(self.sps_id);
        w.flag(self.dependent_slice_segments);
        w.flag(self.output_flag_present);
        w.u(self.num_extra_slice_header_bits, 3);
        w.flag(self.sign_data_hiding);
        w.flag(self.cabac_init_present);
        w.ue(self.num_ref_idx_default[0] - 1);
        w.ue(self.num_ref_idx_default[1] - 1);
        w.se(self.init_qp_minus26);
        w.flag(self.constrained_intra_pred);
        w.flag(self.transform_skip);
        w.flag(self.cu_qp_delta_depth.is_some());
        if let Some(depth) = self.cu_qp_delta_depth {
            w.ue(depth);
        }
        w.se(self.cb_qp_offset);
        w.se(self.cr_qp_offset);
        w.flag(self.slice_chroma_qp_offsets_present);
        w.flag(self.weighted_pred);
        w.flag(self.weighted_bipred);
        w.flag(self.transquant_bypass);
        w.flag(self.tiles.is_some());
        w.flag(self.entropy_coding_sync);
        if let Some(tiles) = &self.tiles {
            w.ue(u32::try_from(tiles.columns.len()).unwrap_or(0));
            w.ue(u32::try_from(tiles.rows.len()).unwrap_or(0));
            w.flag(false);
            for size in tiles.columns.iter().chain(&tiles.rows) {
                w.ue(size - 1);
            }
            w.flag(tiles.loop_filter_across);
        }
        w.flag(self.loop_filter_across_slices);
        w.flag(true);
        w.flag(self.deblocking_override_enabled);
        w.flag(self.deblocking_disabled);
        if !self.deblocking_disabled {
            w.se(self.beta_offset_div2);
            w.se(self.tc_offset_div2);
        }
        w.flag(false);
        w.flag(self.lists_modification_present);
        w.ue(self.log2_parallel_merge_level - 2);
        w.flag(self.slice_header_extension_present);
        w.flag(false);
        w.trail();
        w.finish()
    }
}
