//! HEVC: parameter sets, slice headers, and what the driver is told of a picture.

use super::bits::{BitWriter, escaped};
use super::syntax::{Step, video_signal_type};
use super::{EncodeError, EncoderConfig, level};
use crate::caps::EncodeCaps;
use crate::decode::nal::Payload;
use crate::device::Codec;
use crate::ffi::va;
use crate::ffi::words::{EncHevcPicFields, EncHevcSeqFields, EncHevcSliceFields, EncHevcVuiFields};

/// `log2_max_pic_order_cnt_lsb_minus4`
const LOG2_MAX_POC_LSB_MINUS4: u32 = 4;
/// `init_qp_minus26 + 26`
const INIT_QP: u8 = 26;
/// NAL unit types (ITU-T H.265, table 7-1).
const TRAIL_R: u8 = 1;
const IDR_W_RADL: u8 = 19;

/// The coding tools of a stream, as the driver's attributes allow and demand them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tools {
    /// Sizes of blocks, as logarithms.
    ctb: u32,
    min_cb: u32,
    max_tb: u32,
    min_tb: u32,
    depth_inter: u32,
    depth_intra: u32,
    amp: bool,
    sao: bool,
    temporal_mvp: bool,
    strong_intra_smoothing: bool,
    sign_data_hiding: bool,
    constrained_intra_pred: bool,
    transform_skip: bool,
    cu_qp_delta: bool,
    /// Predicted pictures are of B slices with the same reference twice, since the device has no P slices.
    low_delay_b: bool,
}

/// Values of the fields of `VAConfigAttribValEncHEVCFeatures` (`VA_FEATURE_`).
const SUPPORTED: u32 = 1;
const REQUIRED: u32 = 2;
/// `VA_PREDICTION_DIRECTION_BI_NOT_EMPTY`
const BI_NOT_EMPTY: u32 = 4;

impl Tools {
    /// `controlled` says that the driver changes quantisers within a picture.
    fn of(caps: &EncodeCaps, controlled: bool) -> Self {
        // Two bits each, in the order of VAConfigAttribValEncHEVCFeatures. Where a driver says nothing: what the first
        // drivers had, which are older than the attribute (Intel's for Skylake).
        let feature = |index: u32, unsaid: u32| match caps.hevc_features {
            Some(features) => features >> (2 * index) & 3,
            None => unsaid,
        };
        let wished = |index, unsaid| matches!(feature(index, unsaid), SUPPORTED | REQUIRED);
        let forced = |index| feature(index, 0) == REQUIRED;
        // Likewise of VAConfigAttribValEncHEVCBlockSizes.
        let size =
            |index: u32, unsaid: u32| caps.hevc_block_sizes.map_or(unsaid, |sizes| sizes >> (2 * index) & 3);
        let ctb = size(0, 2) + 3;
        let min_cb = size(2, 1) + 3;
        Self {
            ctb,
            min_cb: min_cb.min(ctb),
            max_tb: (size(3, 3) + 2).min(ctb),
            min_tb: size(4, 0) + 2,
            depth_inter: size(5, 3),
            depth_intra: size(7, 3),
            amp: wished(2, SUPPORTED),
            sao: wished(3, 0),
            temporal_mvp: forced(5),
            strong_intra_smoothing: wished(6, 0),
            sign_data_hiding: forced(8),
            constrained_intra_pred: forced(9),
            transform_skip: forced(10),
            cu_qp_delta: forced(11) || controlled && wished(11, SUPPORTED),
            low_delay_b: caps.hevc_prediction.is_some_and(|directions| directions & BI_NOT_EMPTY != 0),
        }
    }
}

/// What the syntax of one encoder's pictures is a function of.
#[derive(Debug, Clone)]
pub(super) struct Syntax {
    config: EncoderConfig,
    level_idc: u8,
    tools: Tools,
}

impl Syntax {
    pub(super) fn new(
        config: &EncoderConfig,
        caps: &EncodeCaps,
        controlled: bool,
    ) -> Result<Self, EncodeError> {
        match config.profile.as_str() {
            "main" => {
                let level_idc = level::hevc(config);
                Ok(Self { config: config.clone(), level_idc, tools: Tools::of(caps, controlled) })
            }
            other => Err(EncodeError::Profile { codec: Codec::Hevc, profile: other.to_owned() }),
        }
    }

    /// Coded sides: whole coding blocks.
    fn coded(&self) -> (u32, u32) {
        let block = 1 << self.tools.min_cb;
        (self.config.size.width.next_multiple_of(block), self.config.size.height.next_multiple_of(block))
    }

    fn blocks(&self) -> u32 {
        let (width, height) = self.coded();
        let side = 1 << self.tools.ctb;
        width.div_ceil(side) * height.div_ceil(side)
    }

    /// VPS, SPS and PPS, with emulation prevention.
    pub(super) fn parameter_sets(&self) -> Vec<Vec<u8>> {
        vec![escaped(&self.vps()), escaped(&self.sps()), escaped(&self.pps())]
    }

    /// 7.3.2.1
    fn vps(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.bits(4, 0); // vps_video_parameter_set_id
        w.flag(true); // vps_base_layer_internal_flag
        w.flag(true); // vps_base_layer_available_flag
        w.bits(6, 0); // vps_max_layers_minus1
        w.bits(3, 0); // vps_max_sub_layers_minus1
        w.flag(true); // vps_temporal_id_nesting_flag
        w.bits(16, 0xffff); // vps_reserved_0xffff_16bits
        self.profile_tier_level(&mut w);
        ordering(&mut w);
        w.bits(6, 0); // vps_max_layer_id
        w.ue(0); // vps_num_layer_sets_minus1
        w.flag(true); // vps_timing_info_present_flag
        let (frames, seconds) = self.config.frame_rate;
        w.bits(32, seconds);
        w.bits(32, frames);
        w.flag(true); // vps_poc_proportional_to_timing_flag
        w.ue(0); // vps_num_ticks_poc_diff_one_minus1
        w.ue(0); // vps_num_hrd_parameters
        w.flag(false); // vps_extension_flag
        w.trailing();
        w.unit(&header(32))
    }

    /// 7.3.3
    fn profile_tier_level(&self, w: &mut BitWriter) {
        w.bits(2, 0); // general_profile_space
        w.flag(false); // general_tier_flag
        w.bits(5, 1); // general_profile_idc: Main
        // Whoever decodes Main 10 decodes Main (A.3.3).
        w.bits(32, 1 << 30 | 1 << 29);
        w.flag(true); // general_progressive_source_flag
        w.flag(false); // general_interlaced_source_flag
        w.flag(true); // general_non_packed_constraint_flag
        w.flag(true); // general_frame_only_constraint_flag
        w.bits(32, 0); // general_reserved_zero_43bits
        w.bits(12, 0);
        w.bits(8, u32::from(self.level_idc));
    }

    /// 7.3.2.2.1
    fn sps(&self) -> Vec<u8> {
        let t = &self.tools;
        let mut w = BitWriter::default();
        w.bits(4, 0); // sps_video_parameter_set_id
        w.bits(3, 0); // sps_max_sub_layers_minus1
        w.flag(true); // sps_temporal_id_nesting_flag
        self.profile_tier_level(&mut w);
        w.ue(0); // sps_seq_parameter_set_id
        w.ue(1); // chroma_format_idc: 4:2:0
        let (width, height) = self.coded();
        w.ue(width);
        w.ue(height);
        let (right, bottom) = ((width - self.config.size.width) / 2, (height - self.config.size.height) / 2);
        w.flag(right + bottom > 0);
        if right + bottom > 0 {
            for offset in [0, right, 0, bottom] {
                w.ue(offset);
            }
        }
        w.ue(0); // bit_depth_luma_minus8
        w.ue(0); // bit_depth_chroma_minus8
        w.ue(LOG2_MAX_POC_LSB_MINUS4);
        ordering(&mut w);
        w.ue(t.min_cb - 3);
        w.ue(t.ctb - t.min_cb);
        w.ue(t.min_tb - 2);
        w.ue(t.max_tb - t.min_tb);
        w.ue(t.depth_inter);
        w.ue(t.depth_intra);
        w.flag(false); // scaling_list_enabled_flag
        w.flag(t.amp);
        w.flag(t.sao);
        w.flag(false); // pcm_enabled_flag
        w.ue(1); // num_short_term_ref_pic_sets: the picture before
        w.ue(1); // num_negative_pics
        w.ue(0); // num_positive_pics
        w.ue(0); // delta_poc_s0_minus1
        w.flag(true); // used_by_curr_pic_s0_flag
        w.flag(false); // long_term_ref_pics_present_flag
        w.flag(t.temporal_mvp);
        w.flag(t.strong_intra_smoothing);
        w.flag(true); // vui_parameters_present_flag
        self.vui(&mut w);
        w.flag(false); // sps_extension_present_flag
        w.trailing();
        w.unit(&header(33))
    }

    /// E.2.1
    fn vui(&self, w: &mut BitWriter) {
        w.flag(true); // aspect_ratio_info_present_flag
        w.bits(8, 1); // square
        w.flag(false); // overscan_info_present_flag
        video_signal_type(w);
        w.flag(false); // chroma_loc_info_present_flag
        w.flag(false); // neutral_chroma_indication_flag
        w.flag(false); // field_seq_flag
        w.flag(false); // frame_field_info_present_flag
        w.flag(false); // default_display_window_flag
        w.flag(true); // vui_timing_info_present_flag
        let (frames, seconds) = self.config.frame_rate;
        w.bits(32, seconds);
        w.bits(32, frames);
        w.flag(true); // vui_poc_proportional_to_timing_flag
        w.ue(0); // vui_num_ticks_poc_diff_one_minus1
        w.flag(false); // vui_hrd_parameters_present_flag
        w.flag(true); // bitstream_restriction_flag
        w.flag(false); // tiles_fixed_structure_flag
        w.flag(true); // motion_vectors_over_pic_boundaries_flag
        w.flag(true); // restricted_ref_pic_lists_flag
        w.ue(0); // min_spatial_segmentation_idc
        w.ue(0); // max_bytes_per_pic_denom: no limit
        w.ue(0); // max_bits_per_min_cu_denom: no limit
        w.ue(15); // log2_max_mv_length_horizontal
        w.ue(15); // log2_max_mv_length_vertical
    }

    /// 7.3.2.3.1
    fn pps(&self) -> Vec<u8> {
        let t = &self.tools;
        let mut w = BitWriter::default();
        w.ue(0); // pps_pic_parameter_set_id
        w.ue(0); // pps_seq_parameter_set_id
        w.flag(false); // dependent_slice_segments_enabled_flag
        w.flag(false); // output_flag_present_flag
        w.bits(3, 0); // num_extra_slice_header_bits
        w.flag(t.sign_data_hiding);
        w.flag(false); // cabac_init_present_flag
        w.ue(0); // num_ref_idx_l0_default_active_minus1
        w.ue(0); // num_ref_idx_l1_default_active_minus1
        w.se(i32::from(INIT_QP) - 26);
        w.flag(t.constrained_intra_pred);
        w.flag(t.transform_skip);
        w.flag(t.cu_qp_delta);
        if t.cu_qp_delta {
            w.ue(0); // diff_cu_qp_delta_depth
        }
        w.se(0); // pps_cb_qp_offset
        w.se(0); // pps_cr_qp_offset
        w.flag(false); // pps_slice_chroma_qp_offsets_present_flag
        w.flag(false); // weighted_pred_flag
        w.flag(false); // weighted_bipred_flag
        w.flag(false); // transquant_bypass_enabled_flag
        w.flag(false); // tiles_enabled_flag
        w.flag(false); // entropy_coding_sync_enabled_flag
        w.flag(true); // pps_loop_filter_across_slices_enabled_flag
        w.flag(false); // deblocking_filter_control_present_flag
        w.flag(false); // pps_scaling_list_data_present_flag
        w.flag(false); // lists_modification_present_flag
        w.ue(0); // log2_parallel_merge_level_minus2
        w.flag(false); // slice_segment_header_extension_present_flag
        w.flag(false); // pps_extension_present_flag
        w.trailing();
        w.unit(&header(34))
    }

    /// A slice header with its NAL unit's, without emulation prevention, and its length in bits (7.3.6.1).
    pub(super) fn slice_header(&self, step: &Step) -> (Vec<u8>, usize) {
        let t = &self.tools;
        let mut w = BitWriter::default();
        w.flag(true); // first_slice_segment_in_pic_flag
        if step.idr {
            w.flag(false); // no_output_of_prior_pics_flag
        }
        w.ue(0); // slice_pic_parameter_set_id
        w.ue(u32::from(self.slice_type(step)));
        if !step.idr {
            w.bits(LOG2_MAX_POC_LSB_MINUS4 + 4, step.since_idr & 0xff);
            w.flag(true); // short_term_ref_pic_set_sps_flag; of one set, it needs no index
            if t.temporal_mvp {
                w.flag(true); // slice_temporal_mvp_enabled_flag
            }
        }
        if t.sao {
            w.flag(true); // slice_sao_luma_flag
            w.flag(true); // slice_sao_chroma_flag
        }
        if !step.idr {
            w.flag(false); // num_ref_idx_active_override_flag
            if t.low_delay_b {
                w.flag(false); // mvd_l1_zero_flag
                if t.temporal_mvp {
                    w.flag(true); // collocated_from_l0_flag
                }
            }
            w.ue(0); // five_minus_max_num_merge_cand
        }
        w.se(i32::from(step.qp) - i32::from(INIT_QP));
        w.flag(true); // slice_loop_filter_across_slices_enabled_flag
        w.trailing(); // byte_alignment()
        let bits = w.length_bits() + 16;
        (w.unit(&header(unit_type(step))), bits)
    }

    /// B, P and I (table 7-7).
    const fn slice_type(&self, step: &Step) -> u8 {
        match (step.idr, self.tools.low_delay_b) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// The sequence, with IDR pictures about this many pictures apart.
    pub(super) fn sequence(&self, idr_period: u32) -> va::VAEncSequenceParameterBufferHEVC {
        let t = &self.tools;
        let (width, height) = self.coded();
        let (frames, seconds) = self.config.frame_rate;
        let mut sequence = va::VAEncSequenceParameterBufferHEVC {
            general_profile_idc: 1,
            general_level_idc: self.level_idc,
            intra_period: idr_period,
            intra_idr_period: idr_period,
            ip_period: 1,
            bits_per_second: self.config.rate.bit_rate,
            pic_width_in_luma_samples: u16::try_from(width).unwrap_or(u16::MAX),
            pic_height_in_luma_samples: u16::try_from(height).unwrap_or(u16::MAX),
            log2_min_luma_coding_block_size_minus3: small(t.min_cb - 3),
            log2_diff_max_min_luma_coding_block_size: small(t.ctb - t.min_cb),
            log2_min_transform_block_size_minus2: small(t.min_tb - 2),
            log2_diff_max_min_transform_block_size: small(t.max_tb - t.min_tb),
            max_transform_hierarchy_depth_inter: small(t.depth_inter),
            max_transform_hierarchy_depth_intra: small(t.depth_intra),
            vui_parameters_present_flag: 1,
            aspect_ratio_idc: 1,
            vui_num_units_in_tick: seconds,
            vui_time_scale: frames,
            ..Default::default()
        };
        sequence.seq_fields._bindgen_opaque_blob = EncHevcSeqFields {
            chroma_format_idc: 1,
            strong_intra_smoothing_enabled_flag: u32::from(t.strong_intra_smoothing),
            amp_enabled_flag: u32::from(t.amp),
            sample_adaptive_offset_enabled_flag: u32::from(t.sao),
            sps_temporal_mvp_enabled_flag: u32::from(t.temporal_mvp),
            low_delay_seq: 1,
            ..Default::default()
        }
        .pack();
        sequence.vui_fields._bindgen_opaque_blob = EncHevcVuiFields {
            aspect_ratio_info_present_flag: 1,
            vui_timing_info_present_flag: 1,
            bitstream_restriction_flag: 1,
            motion_vectors_over_pic_boundaries_flag: 1,
            restricted_ref_pic_lists_flag: 1,
            log2_max_mv_length_horizontal: 15,
            log2_max_mv_length_vertical: 15,
            ..Default::default()
        }
        .pack();
        sequence
    }

    pub(super) fn picture(&self, step: &Step) -> va::VAEncPictureParameterBufferHEVC {
        let t = &self.tools;
        let mut references = [NONE; 15];
        if let (Some(first), Some(reference)) = (references.first_mut(), reference(step)) {
            *first = reference;
        }
        let mut picture = va::VAEncPictureParameterBufferHEVC {
            decoded_curr_pic: picture(step.reconstructed, step.since_idr, 0),
            reference_frames: references,
            coded_buf: step.coded_buffer,
            collocated_ref_pic_index: if t.temporal_mvp && !step.idr { 0 } else { 0xff },
            pic_init_qp: INIT_QP,
            nal_unit_type: unit_type(step),
            ..Default::default()
        };
        picture.pic_fields._bindgen_opaque_blob = EncHevcPicFields {
            idr_pic_flag: u32::from(step.idr),
            coding_type: match (step.idr, t.low_delay_b) {
                (true, _) => 1,
                (false, false) => 2,
                (false, true) => 3,
            },
            reference_pic_flag: 1,
            sign_data_hiding_enabled_flag: u32::from(t.sign_data_hiding),
            constrained_intra_pred_flag: u32::from(t.constrained_intra_pred),
            transform_skip_enabled_flag: u32::from(t.transform_skip),
            cu_qp_delta_enabled_flag: u32::from(t.cu_qp_delta),
            pps_loop_filter_across_slices_enabled_flag: 1,
            ..Default::default()
        }
        .pack();
        picture
    }

    pub(super) fn slice(&self, step: &Step) -> va::VAEncSliceParameterBufferHEVC {
        let t = &self.tools;
        let mut list = [NONE; 15];
        if let (Some(first), Some(reference)) = (list.first_mut(), reference(step)) {
            *first = reference;
        }
        let delta = i16::from(step.qp) - i16::from(INIT_QP);
        let mut slice = va::VAEncSliceParameterBufferHEVC {
            num_ctu_in_slice: self.blocks(),
            slice_type: self.slice_type(step),
            ref_pic_list0: list,
            ref_pic_list1: if t.low_delay_b { list } else { [NONE; 15] },
            max_num_merge_cand: 5,
            slice_qp_delta: i8::try_from(delta).unwrap_or(0),
            ..Default::default()
        };
        slice.slice_fields._bindgen_opaque_blob = EncHevcSliceFields {
            last_slice_of_pic_flag: 1,
            slice_temporal_mvp_enabled_flag: u32::from(t.temporal_mvp && !step.idr),
            slice_sao_luma_flag: u32::from(t.sao),
            slice_sao_chroma_flag: u32::from(t.sao),
            slice_loop_filter_across_slices_enabled_flag: 1,
            collocated_from_l0_flag: u32::from(t.temporal_mvp && !step.idr),
            ..Default::default()
        }
        .pack();
        slice
    }

    /// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2) of these sets.
    pub(super) fn record(sets: &[Vec<u8>]) -> Option<Vec<u8>> {
        let of = |kind: u8| {
            let is = move |set: &&Vec<u8>| set.first().is_some_and(|header| header >> 1 & 0x3f == kind);
            sets.iter().filter(is)
        };
        // Of the SPS behind its first byte: profile, compatibility, constraints and level.
        let sps = Payload::new(of(33).next()?, 2, 64).data;
        let general = sps.get(1..13)?;
        let mut record = vec![1];
        record.extend_from_slice(general);
        // No word on segmentation and parallelism; 4:2:0; 8 bits; no word on the mean rate; one temporal layer, nested;
        // lengths of 4 bytes; three arrays.
        record.extend_from_slice(&[0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3]);
        for kind in [32, 33, 34] {
            record.push(0x80 | kind);
            let count = u16::try_from(of(kind).count()).ok().filter(|count| *count > 0)?;
            record.extend_from_slice(&count.to_be_bytes());
            for set in of(kind) {
                record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
                record.extend_from_slice(set);
            }
        }
        Some(record)
    }
}

/// Of a single sub-layer: the current picture and one before it, none of them reordered.
fn ordering(w: &mut BitWriter) {
    w.flag(false); // sub_layer_ordering_info_present_flag
    w.ue(1); // max_dec_pic_buffering_minus1
    w.ue(0); // max_num_reorder_pics
    w.ue(0); // max_latency_increase_plus1
}

/// A NAL unit header of the first layer and sub-layer (7.3.1.2).
const fn header(unit_type: u8) -> [u8; 2] {
    [unit_type << 1, 1]
}

const fn unit_type(step: &Step) -> u8 {
    if step.idr { IDR_W_RADL } else { TRAIL_R }
}

fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

/// No picture.
const NONE: va::VAPictureHEVC = va::VAPictureHEVC {
    picture_id: va::VA_INVALID_SURFACE,
    pic_order_cnt: 0,
    flags: va::VA_PICTURE_HEVC_INVALID,
    va_reserved: [0; 4],
};

/// A picture so many behind the last IDR picture.
fn picture(surface: va::VASurfaceID, since_idr: u32, flags: u32) -> va::VAPictureHEVC {
    let pic_order_cnt = i32::try_from(since_idr & 0x7fff_ffff).unwrap_or(0);
    va::VAPictureHEVC { picture_id: surface, pic_order_cnt, flags, ..NONE }
}

/// The picture before, which a predicted one refers to.
fn reference(step: &Step) -> Option<va::VAPictureHEVC> {
    let surface = step.reference?;
    Some(picture(surface, step.since_idr.wrapping_sub(1), va::VA_PICTURE_HEVC_RPS_ST_CURR_BEFORE))
}
