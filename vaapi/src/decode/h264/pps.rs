//! The picture parameter set of H.264 (ITU-T H.264, 7.3.2.2).

use super::super::bits::{BitReader, SyntaxError};
use super::scaling::{ScalingList, lists};

const PPS: &str = "H.264 PPS";

/// Names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct Pps {
    pub(super) pic_parameter_set_id: u8,
    pub(super) seq_parameter_set_id: u8,
    pub(super) entropy_coding_mode_flag: bool,
    pub(super) bottom_field_pic_order_in_frame_present_flag: bool,
    pub(super) num_ref_idx_default_active_minus1: [u8; 2],
    pub(super) weighted_pred_flag: bool,
    pub(super) weighted_bipred_idc: u8,
    pub(super) pic_init_qp_minus26: i8,
    pub(super) pic_init_qs_minus26: i8,
    pub(super) chroma_qp_index_offset: i8,
    pub(super) deblocking_filter_control_present_flag: bool,
    pub(super) constrained_intra_pred_flag: bool,
    pub(super) redundant_pic_cnt_present_flag: bool,
    pub(super) transform_8x8_mode_flag: bool,
    pub(super) scaling_lists: Option<Vec<ScalingList>>,
    pub(super) second_chroma_qp_index_offset: i8,
}

impl Pps {
    /// Of a payload without emulation prevention, of a sequence with 4:2:0 chroma.
    pub(in crate::decode) fn parse(payload: &[u8]) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(PPS, payload);
        let pic_parameter_set_id = r.ue_byte(255, "0 to 255", "pic_parameter_set_id")?;
        let seq_parameter_set_id = r.ue_byte(31, "0 to 31", "seq_parameter_set_id")?;
        let entropy_coding_mode_flag = r.flag("entropy_coding_mode_flag")?;
        let bottom_field_pic_order_in_frame_present_flag =
            r.flag("bottom_field_pic_order_in_frame_present_flag")?;
        // Slice groups are of the Baseline profile, which no hardware decodes in full.
        r.ue_up_to(0, "0: slice groups are not decoded here", "num_slice_groups_minus1")?;
        let num_ref_idx_default_active_minus1 = [
            r.ue_byte(31, "0 to 31", "num_ref_idx_l0_default_active_minus1")?,
            r.ue_byte(31, "0 to 31", "num_ref_idx_l1_default_active_minus1")?,
        ];
        let weighted_pred_flag = r.flag("weighted_pred_flag")?;
        let weighted_bipred_idc = r.byte(2, "weighted_bipred_idc")?;
        let pic_init_qp_minus26 = r.se_within((-62, 25), "-62 to 25", "pic_init_qp_minus26")?;
        let pic_init_qs_minus26 = r.se_within((-26, 25), "-26 to 25", "pic_init_qs_minus26")?;
        let chroma_qp_index_offset = r.se_within((-12, 12), "-12 to 12", "chroma_qp_index_offset")?;
        let deblocking_filter_control_present_flag = r.flag("deblocking_filter_control_present_flag")?;
        let constrained_intra_pred_flag = r.flag("constrained_intra_pred_flag")?;
        let redundant_pic_cnt_present_flag = r.flag("redundant_pic_cnt_present_flag")?;
        let mut pps = Self {
            pic_parameter_set_id,
            seq_parameter_set_id,
            entropy_coding_mode_flag,
            bottom_field_pic_order_in_frame_present_flag,
            num_ref_idx_default_active_minus1,
            weighted_pred_flag,
            weighted_bipred_idc,
            pic_init_qp_minus26,
            pic_init_qs_minus26,
            chroma_qp_index_offset,
            deblocking_filter_control_present_flag,
            constrained_intra_pred_flag,
            redundant_pic_cnt_present_flag,
            transform_8x8_mode_flag: false,
            scaling_lists: None,
            second_chroma_qp_index_offset: chroma_qp_index_offset,
        };
        if r.more_data() {
            pps.transform_8x8_mode_flag = r.flag("transform_8x8_mode_flag")?;
            if r.flag("pic_scaling_matrix_present_flag")? {
                pps.scaling_lists = Some(lists(r, if pps.transform_8x8_mode_flag { 2 } else { 0 })?);
            }
            pps.second_chroma_qp_index_offset =
                r.se_within((-12, 12), "-12 to 12", "second_chroma_qp_index_offset")?;
        }
        Ok(pps)
    }
}
