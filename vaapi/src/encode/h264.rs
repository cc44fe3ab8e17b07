//! H.264: parameter sets, slice headers, and what the driver is told of a picture.

use super::bits::{BitWriter, escaped};
use super::syntax::{Step, video_signal_type};
use super::{EncodeError, EncoderConfig, level};
use crate::device::Codec;
use crate::ffi::va;
use crate::ffi::words::{EncH264PicFields, EncH264SeqFields, EncH264VuiFields};

/// `log2_max_frame_num_minus4`: 256 frames, more than lie between any two that depend on each other.
const LOG2_MAX_FRAME_NUM_MINUS4: u32 = 4;
/// Pictures are shown in the order they are coded in.
const PIC_ORDER_CNT_TYPE: u32 = 2;
/// `pic_init_qp_minus26 + 26`
const INIT_QP: u8 = 26;

/// Profiles that are encoded (Annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    /// `profile_idc` 66 with constraint set 1: what all decoders know as Baseline.
    ConstrainedBaseline,
    Main,
    High,
}

/// What the syntax of one encoder's pictures is a function of.
#[derive(Debug, Clone)]
pub(super) struct Syntax {
    config: EncoderConfig,
    profile: Profile,
    level_idc: u8,
}

impl Syntax {
    pub(super) fn new(config: &EncoderConfig) -> Result<Self, EncodeError> {
        let profile = match config.profile.as_str() {
            "baseline" | "constrained-baseline" => Profile::ConstrainedBaseline,
            "main" => Profile::Main,
            "high" => Profile::High,
            other => {
                return Err(EncodeError::Profile { codec: Codec::H264, profile: other.to_owned() });
            }
        };
        let level_idc = level::h264(config, profile == Profile::High);
        Ok(Self { config: config.clone(), profile, level_idc })
    }

    /// The driver's name for the profile.
    pub(super) const fn va_profile(&self) -> va::VAProfile {
        match self.profile {
            Profile::ConstrainedBaseline => va::VAProfileH264ConstrainedBaseline,
            Profile::Main => va::VAProfileH264Main,
            Profile::High => va::VAProfileH264High,
        }
    }

    fn size_in_mbs(&self) -> (u16, u16) {
        let blocks = |side: u32| u16::try_from(side.div_ceil(16)).unwrap_or(u16::MAX);
        (blocks(self.config.size.width), blocks(self.config.size.height))
    }

    /// Right and bottom, in units of two samples.
    fn crop(&self) -> (u32, u32) {
        let off = |side: u32| (side.next_multiple_of(16) - side) / 2;
        (off(self.config.size.width), off(self.config.size.height))
    }

    const fn cabac(&self) -> bool {
        !matches!(self.profile, Profile::ConstrainedBaseline)
    }

    const fn transform_8x8(&self) -> bool {
        matches!(self.profile, Profile::High)
    }

    /// SPS and PPS, with emulation prevention.
    pub(super) fn parameter_sets(&self) -> Vec<Vec<u8>> {
        vec![escaped(&self.sps()), escaped(&self.pps())]
    }

    /// 7.3.2.1.1
    fn sps(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        let (profile_idc, constraints) = match self.profile {
            Profile::ConstrainedBaseline => (66, 0b1100_0000),
            Profile::Main => (77, 0b0100_0000),
            Profile::High => (100, 0),
        };
        w.bits(8, profile_idc);
        w.bits(8, constraints);
        w.bits(8, u32::from(self.level_idc));
        w.ue(0); // seq_parameter_set_id
        if self.profile == Profile::High {
            w.ue(1); // chroma_format_idc: 4:2:0
            w.ue(0); // bit_depth_luma_minus8
            w.ue(0); // bit_depth_chroma_minus8
            w.flag(false); // qpprime_y_zero_transform_bypass_flag
            w.flag(false); // seq_scaling_matrix_present_flag
        }
        w.ue(LOG2_MAX_FRAME_NUM_MINUS4);
        w.ue(PIC_ORDER_CNT_TYPE);
        w.ue(1); // max_num_ref_frames
        w.flag(false); // gaps_in_frame_num_value_allowed_flag
        let (width, height) = self.size_in_mbs();
        w.ue(u32::from(width) - 1);
        w.ue(u32::from(height) - 1);
        w.flag(true); // frame_mbs_only_flag
        w.flag(true); // direct_8x8_inference_flag
        let (right, bottom) = self.crop();
        w.flag(right + bottom > 0);
        if right + bottom > 0 {
            for offset in [0, right, 0, bottom] {
                w.ue(offset);
            }
        }
        w.flag(true); // vui_parameters_present_flag
        self.vui(&mut w);
        w.trailing();
        w.unit(&[0x67])
    }

    /// E.1.1
    fn vui(&self, w: &mut BitWriter) {
        w.flag(true); // aspect_ratio_info_present_flag
        w.bits(8, 1); // square
        w.flag(false); // overscan_info_present_flag
        video_signal_type(w);
        w.flag(false); // chroma_loc_info_present_flag
        w.flag(true); // timing_info_present_flag
        let (num_units_in_tick, time_scale) = self.tick();
        w.bits(32, num_units_in_tick);
        w.bits(32, time_scale);
        w.flag(true); // fixed_frame_rate_flag
        w.flag(false); // nal_hrd_parameters_present_flag
        w.flag(false); // vcl_hrd_parameters_present_flag
        w.flag(false); // pic_struct_present_flag
        w.flag(true); // bitstream_restriction_flag
        w.flag(true); // motion_vectors_over_pic_boundaries_flag
        w.ue(0); // max_bytes_per_pic_denom: no limit
        w.ue(0); // max_bits_per_mb_denom: no limit
        w.ue(15); // log2_max_mv_length_horizontal
        w.ue(15); // log2_max_mv_length_vertical
        w.ue(0); // max_num_reorder_frames
        w.ue(1); // max_dec_frame_buffering
    }

    /// Ticks are fields, even where there are none (E.2.1).
    const fn tick(&self) -> (u32, u32) {
        let (frames, seconds) = self.config.frame_rate;
        (seconds, frames.saturating_mul(2))
    }

    /// 7.3.2.2
    fn pps(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.ue(0); // pic_parameter_set_id
        w.ue(0); // seq_parameter_set_id
        w.flag(self.cabac());
        w.flag(false); // bottom_field_pic_order_in_frame_present_flag
        w.ue(0); // num_slice_groups_minus1
        w.ue(0); // num_ref_idx_l0_default_active_minus1
        w.ue(0); // num_ref_idx_l1_default_active_minus1
        w.flag(false); // weighted_pred_flag
        w.bits(2, 0); // weighted_bipred_idc
        w.se(i32::from(INIT_QP) - 26);
        w.se(0); // pic_init_qs_minus26
        w.se(0); // chroma_qp_index_offset
        w.flag(true); // deblocking_filter_control_present_flag
        w.flag(false); // constrained_intra_pred_flag
        w.flag(false); // redundant_pic_cnt_present_flag
        if self.transform_8x8() {
            w.flag(true); // transform_8x8_mode_flag
            w.flag(false); // pic_scaling_matrix_present_flag
            w.se(0); // second_chroma_qp_index_offset
        }
        w.trailing();
        w.unit(&[0x68])
    }

    /// A slice header with its NAL unit's, without emulation prevention, and its length in bits (7.3.3).
    pub(super) fn slice_header(&self, step: &Step) -> (Vec<u8>, usize) {
        let mut w = BitWriter::default();
        w.ue(0); // first_mb_in_slice
        w.ue(slice_type(step));
        w.ue(0); // pic_parameter_set_id
        w.bits(LOG2_MAX_FRAME_NUM_MINUS4 + 4, u32::from(frame_num(step)));
        if step.idr {
            w.ue(u32::from(step.idr_number));
        } else {
            w.flag(false); // num_ref_idx_active_override_flag
            w.flag(false); // ref_pic_list_modification_flag_l0
        }
        if step.idr {
            w.flag(false); // no_output_of_prior_pics_flag
            w.flag(false); // long_term_reference_flag
        } else {
            w.flag(false); // adaptive_ref_pic_marking_mode_flag
        }
        if self.cabac() && !step.idr {
            w.ue(0); // cabac_init_idc
        }
        w.se(i32::from(step.qp) - i32::from(INIT_QP));
        w.ue(0); // disable_deblocking_filter_idc
        w.se(0); // slice_alpha_c0_offset_div2
        w.se(0); // slice_beta_offset_div2
        let bits = w.length_bits() + 8;
        (w.unit(&[if step.idr { 0x65 } else { 0x61 }]), bits)
    }

    /// The sequence, with IDR pictures about this many pictures apart.
    pub(super) fn sequence(&self, idr_period: u32) -> va::VAEncSequenceParameterBufferH264 {
        let (width, height) = self.size_in_mbs();
        let (right, bottom) = self.crop();
        let (num_units_in_tick, time_scale) = self.tick();
        let mut sequence = va::VAEncSequenceParameterBufferH264 {
            level_idc: self.level_idc,
            intra_period: idr_period,
            intra_idr_period: idr_period,
            ip_period: 1,
            bits_per_second: self.config.rate.bit_rate,
            max_num_ref_frames: 1,
            picture_width_in_mbs: width,
            picture_height_in_mbs: height,
            frame_cropping_flag: u8::from(right + bottom > 0),
            frame_crop_right_offset: right,
            frame_crop_bottom_offset: bottom,
            vui_parameters_present_flag: 1,
            aspect_ratio_idc: 1,
            num_units_in_tick,
            time_scale,
            ..Default::default()
        };
        sequence.seq_fields._bindgen_opaque_blob = EncH264SeqFields {
            chroma_format_idc: 1,
            frame_mbs_only_flag: 1,
            direct_8x8_inference_flag: 1,
            log2_max_frame_num_minus4: LOG2_MAX_FRAME_NUM_MINUS4,
            pic_order_cnt_type: PIC_ORDER_CNT_TYPE,
            ..Default::default()
        }
        .pack();
        sequence.vui_fields._bindgen_opaque_blob = EncH264VuiFields {
            aspect_ratio_info_present_flag: 1,
            timing_info_present_flag: 1,
            bitstream_restriction_flag: 1,
            log2_max_mv_length_horizontal: 15,
            log2_max_mv_length_vertical: 15,
            fixed_frame_rate_flag: 1,
            motion_vectors_over_pic_boundaries_flag: 1,
            ..Default::default()
        }
        .pack();
        sequence
    }

    pub(super) fn picture(&self, step: &Step) -> va::VAEncPictureParameterBufferH264 {
        let mut references = [NONE; 16];
        if let (Some(first), Some(reference)) = (references.first_mut(), reference(step)) {
            *first = reference;
        }
        let mut picture = va::VAEncPictureParameterBufferH264 {
            CurrPic: picture(step.reconstructed, step.since_idr, 0),
            ReferenceFrames: references,
            coded_buf: step.coded_buffer,
            frame_num: u16::from(frame_num(step)),
            pic_init_qp: INIT_QP,
            ..Default::default()
        };
        picture.pic_fields._bindgen_opaque_blob = EncH264PicFields {
            idr_pic_flag: u32::from(step.idr),
            reference_pic_flag: 1,
            entropy_coding_mode_flag: u32::from(self.cabac()),
            transform_8x8_mode_flag: u32::from(self.transform_8x8()),
            deblocking_filter_control_present_flag: 1,
            ..Default::default()
        }
        .pack();
        picture
    }

    pub(super) fn slice(&self, step: &Step) -> va::VAEncSliceParameterBufferH264 {
        let (width, height) = self.size_in_mbs();
        let mut list = [NONE; 32];
        if let (Some(first), Some(reference)) = (list.first_mut(), reference(step)) {
            *first = reference;
        }
        let delta = i16::from(step.qp) - i16::from(INIT_QP);
        va::VAEncSliceParameterBufferH264 {
            num_macroblocks: u32::from(width) * u32::from(height),
            macroblock_info: va::VA_INVALID_ID,
            slice_type: u8::try_from(slice_type(step) % 5).unwrap_or(0),
            idr_pic_id: step.idr_number,
            RefPicList0: list,
            RefPicList1: [NONE; 32],
            slice_qp_delta: i8::try_from(delta).unwrap_or(0),
            ..Default::default()
        }
    }

    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2) of these sets.
    pub(super) fn record(sets: &[Vec<u8>]) -> Option<Vec<u8>> {
        let of =
            |kind: u8| sets.iter().filter(move |set| set.first().is_some_and(|header| header & 0x1f == kind));
        let sps = of(7).next()?;
        let &[_, profile, compatibility, level, ..] = sps.as_slice() else { return None };
        // Reserved bits are ones; lengths have 4 bytes.
        let mut record = vec![1, profile, compatibility, level, 0xff];
        for (kind, reserved) in [(7, 0xe0), (8, 0)] {
            record.push(reserved | u8::try_from(of(kind).count()).ok().filter(|count| *count > 0)?);
            for set in of(kind) {
                record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
                record.extend_from_slice(set);
            }
        }
        if matches!(profile, 100 | 110 | 122 | 144) {
            // chroma_format 1 (4:2:0), both bit depths 8, no SPS extension.
            record.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
        }
        Some(record)
    }
}

/// I and P, of which all slices of the picture are (table 7-6).
const fn slice_type(step: &Step) -> u32 {
    if step.idr { 7 } else { 5 }
}

/// All pictures are referred to, so that the number counts pictures.
fn frame_num(step: &Step) -> u8 {
    u8::try_from(step.since_idr & 0xff).unwrap_or(0)
}

/// No picture.
const NONE: va::VAPictureH264 = va::VAPictureH264 {
    picture_id: va::VA_INVALID_SURFACE,
    frame_idx: 0,
    flags: va::VA_PICTURE_H264_INVALID,
    TopFieldOrderCnt: 0,
    BottomFieldOrderCnt: 0,
    va_reserved: [0; 4],
};

/// A picture so many behind the last IDR picture.
fn picture(surface: va::VASurfaceID, since_idr: u32, flags: u32) -> va::VAPictureH264 {
    // (8-11): two counts a frame.
    let count = i32::try_from(since_idr.wrapping_mul(2) & 0x7fff_ffff).unwrap_or(0);
    va::VAPictureH264 {
        picture_id: surface,
        frame_idx: since_idr & 0xff,
        flags,
        TopFieldOrderCnt: count,
        BottomFieldOrderCnt: count,
        ..NONE
    }
}

/// The picture before, which a predicted one refers to.
fn reference(step: &Step) -> Option<va::VAPictureH264> {
    let surface = step.reference?;
    Some(picture(surface, step.since_idr.wrapping_sub(1), va::VA_PICTURE_H264_SHORT_TERM_REFERENCE))
}
