//! The sequence parameter set of H.264 (ITU-T H.264, 7.3.2.1.1 and E.1.1).

use super::super::UnsaidColours;
use super::super::bits::{BitReader, SyntaxError};
use super::scaling::{ScalingList, lists};

const SPS: &str = "H.264 SPS";
/// Longest side that is decoded, in macroblocks: 8192 samples, as far as any device goes.
const MAX_SIDE_MBS: u32 = 512;

/// What decoding needs of a sequence parameter set; names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct Sps {
    pub(super) profile_idc: u8,
    pub(super) constraint_flags: u8,
    pub(super) level_idc: u8,
    pub(super) seq_parameter_set_id: u8,
    pub(super) chroma_format_idc: u8,
    pub(super) separate_colour_plane_flag: bool,
    pub(super) bit_depth_luma_minus8: u8,
    pub(super) bit_depth_chroma_minus8: u8,
    pub(super) qpprime_y_zero_transform_bypass_flag: bool,
    /// None where `seq_scaling_matrix_present_flag` is 0.
    pub(super) scaling_lists: Option<Vec<ScalingList>>,
    pub(super) log2_max_frame_num_minus4: u8,
    pub(super) pic_order_cnt_type: u8,
    pub(super) log2_max_pic_order_cnt_lsb_minus4: u8,
    pub(super) delta_pic_order_always_zero_flag: bool,
    pub(super) offset_for_non_ref_pic: i32,
    pub(super) offset_for_top_to_bottom_field: i32,
    pub(super) offset_for_ref_frame: Vec<i32>,
    pub(super) max_num_ref_frames: u8,
    pub(super) gaps_in_frame_num_value_allowed_flag: bool,
    pub(super) pic_width_in_mbs: u16,
    pub(super) pic_height_in_map_units: u16,
    pub(super) frame_mbs_only_flag: bool,
    pub(super) mb_adaptive_frame_field_flag: bool,
    pub(super) direct_8x8_inference_flag: bool,
    /// Left, right, top, bottom, in samples of luma.
    pub(super) crop: [u32; 4],
    pub(super) vui: Vui,
    /// Where colours could be said and are not.
    pub(super) unsaid: Option<UnsaidColours>,
}

/// What is used of video usability information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vui {
    pub(super) sample_aspect_ratio: (u32, u32),
    pub(super) video_full_range_flag: bool,
    pub(super) matrix_coefficients: u8,
    /// Bits before `pic_struct` in picture timing messages; none where they have none.
    pub(super) pic_struct_at: Option<usize>,
    /// `max_num_reorder_frames` and `max_dec_frame_buffering`.
    pub(super) bitstream_restriction: Option<(u8, u8)>,
}

impl Default for Vui {
    fn default() -> Self {
        // 2 is unspecified.
        Self {
            sample_aspect_ratio: (1, 1),
            video_full_range_flag: false,
            matrix_coefficients: 2,
            pic_struct_at: None,
            bitstream_restriction: None,
        }
    }
}

impl Sps {
    /// Of a payload without emulation prevention.
    pub(in crate::decode) fn parse(payload: &[u8]) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(SPS, payload);
        let profile_idc = r.byte(8, "profile_idc")?;
        let constraint_flags = r.byte(8, "constraint_set0_flag")?;
        let level_idc = r.byte(8, "level_idc")?;
        let seq_parameter_set_id = r.ue_byte(31, "0 to 31", "seq_parameter_set_id")?;
        let mut chroma_format_idc = 1;
        let mut separate_colour_plane_flag = false;
        let (mut bit_depth_luma_minus8, mut bit_depth_chroma_minus8) = (0, 0);
        let mut qpprime_y_zero_transform_bypass_flag = false;
        let mut scaling_lists = None;
        if matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format_idc = r.ue_byte(3, "0 to 3", "chroma_format_idc")?;
            if chroma_format_idc == 3 {
                separate_colour_plane_flag = r.flag("separate_colour_plane_flag")?;
            }
            bit_depth_luma_minus8 = r.ue_byte(6, "0 to 6", "bit_depth_luma_minus8")?;
            bit_depth_chroma_minus8 = r.ue_byte(6, "0 to 6", "bit_depth_chroma_minus8")?;
            qpprime_y_zero_transform_bypass_flag = r.flag("qpprime_y_zero_transform_bypass_flag")?;
            if r.flag("seq_scaling_matrix_present_flag")? {
                scaling_lists = Some(lists(r, if chroma_format_idc == 3 { 6 } else { 2 })?);
            }
        }
        let log2_max_frame_num_minus4 = r.ue_byte(12, "0 to 12", "log2_max_frame_num_minus4")?;
        let pic_order_cnt_type = r.ue_byte(2, "0 to 2", "pic_order_cnt_type")?;
        let mut log2_max_pic_order_cnt_lsb_minus4 = 0;
        let mut delta_pic_order_always_zero_flag = false;
        let (mut offset_for_non_ref_pic, mut offset_for_top_to_bottom_field) = (0, 0);
        let mut offset_for_ref_frame = Vec::new();
        if pic_order_cnt_type == 0 {
            log2_max_pic_order_cnt_lsb_minus4 =
                r.ue_byte(12, "0 to 12", "log2_max_pic_order_cnt_lsb_minus4")?;
        } else if pic_order_cnt_type == 1 {
            delta_pic_order_always_zero_flag = r.flag("delta_pic_order_always_zero_flag")?;
            offset_for_non_ref_pic = r.se_i32("offset_for_non_ref_pic")?;
            offset_for_top_to_bottom_field = r.se_i32("offset_for_top_to_bottom_field")?;
            for _ in 0..r.ue_up_to(255, "0 to 255", "num_ref_frames_in_pic_order_cnt_cycle")? {
                offset_for_ref_frame.push(r.se_i32("offset_for_ref_frame")?);
            }
        }
        let max_num_ref_frames = r.ue_byte(16, "0 to 16", "max_num_ref_frames")?;
        let gaps_in_frame_num_value_allowed_flag = r.flag("gaps_in_frame_num_value_allowed_flag")?;
        let width = r.ue_up_to(MAX_SIDE_MBS - 1, "0 to 511", "pic_width_in_mbs_minus1")? + 1;
        let height = r.ue_up_to(MAX_SIDE_MBS - 1, "0 to 511", "pic_height_in_map_units_minus1")? + 1;
        let frame_mbs_only_flag = r.flag("frame_mbs_only_flag")?;
        let mb_adaptive_frame_field_flag = !frame_mbs_only_flag && r.flag("mb_adaptive_frame_field_flag")?;
        let direct_8x8_inference_flag = r.flag("direct_8x8_inference_flag")?;
        let mut sps = Self {
            profile_idc,
            constraint_flags,
            level_idc,
            seq_parameter_set_id,
            chroma_format_idc,
            separate_colour_plane_flag,
            bit_depth_luma_minus8,
            bit_depth_chroma_minus8,
            qpprime_y_zero_transform_bypass_flag,
            scaling_lists,
            log2_max_frame_num_minus4,
            pic_order_cnt_type,
            log2_max_pic_order_cnt_lsb_minus4,
            delta_pic_order_always_zero_flag,
            offset_for_non_ref_pic,
            offset_for_top_to_bottom_field,
            offset_for_ref_frame,
            max_num_ref_frames,
            gaps_in_frame_num_value_allowed_flag,
            pic_width_in_mbs: u16::try_from(width).unwrap_or(u16::MAX),
            pic_height_in_map_units: u16::try_from(height).unwrap_or(u16::MAX),
            frame_mbs_only_flag,
            mb_adaptive_frame_field_flag,
            direct_8x8_inference_flag,
            crop: [0; 4],
            vui: Vui::default(),
            unsaid: None,
        };
        if r.flag("frame_cropping_flag")? {
            sps.read_crop(r)?;
        }
        sps.unsaid = Some(UnsaidColours::NoUsability(r.position()));
        if r.flag("vui_parameters_present_flag").unwrap_or(false) {
            sps.unsaid = None;
            // What was read before a VUI breaks off still holds; decoders go on without the rest too.
            let _ = sps.vui.read(r, &mut sps.unsaid);
        }
        Ok(sps)
    }

    /// 7.4.2.1.1: units of two samples for 4:2:0, twice as many down where there are fields.
    fn read_crop(&mut self, r: &mut BitReader<'_>) -> Result<(), SyntaxError> {
        let unit_x = if matches!(self.chroma_format_idc, 1 | 2) { 2 } else { 1 };
        let unit_y =
            if self.chroma_format_idc == 1 { 2 } else { 1 } * if self.frame_mbs_only_flag { 1 } else { 2 };
        let (width, height) = self.coded_size();
        let mut side = |first, second, unit: u32, whole: u32| {
            let (first_value, second_value) = (r.ue(first)?, r.ue(second)?);
            let cut = (u64::from(first_value) + u64::from(second_value)) * u64::from(unit);
            if cut >= u64::from(whole) {
                return Err(r.value(second, i64::from(second_value), "less than the picture"));
            }
            Ok((first_value * unit, second_value * unit))
        };
        let (left, right) = side("frame_crop_left_offset", "frame_crop_right_offset", unit_x, width)?;
        let (top, bottom) = side("frame_crop_top_offset", "frame_crop_bottom_offset", unit_y, height)?;
        self.crop = [left, right, top, bottom];
        Ok(())
    }

    /// Width and height of a coded frame.
    pub(super) fn coded_size(&self) -> (u32, u32) {
        (u32::from(self.pic_width_in_mbs) * 16, u32::from(self.frame_height_in_mbs()) * 16)
    }

    /// (7-18)
    pub(super) fn frame_height_in_mbs(&self) -> u16 {
        self.pic_height_in_map_units * if self.frame_mbs_only_flag { 1 } else { 2 }
    }

    /// (7-10)
    pub(super) fn max_frame_num(&self) -> u32 {
        1 << (self.log2_max_frame_num_minus4 + 4)
    }

    /// Frames that the decoded picture buffer holds (A.3.1, table A-1), or what the stream says that it needs.
    pub(super) fn max_dec_frame_buffering(&self) -> usize {
        let by_level = self.max_dpb_frames();
        let asked = match self.vui.bitstream_restriction {
            Some((_, buffering)) => usize::from(buffering),
            None => by_level,
        };
        // A stream may say less than it uses.
        asked.max(usize::from(self.max_num_ref_frames)).clamp(1, 16)
    }

    fn max_dpb_frames(&self) -> usize {
        let max_dpb_mbs: u32 = match self.level_idc {
            11 if self.constraint_flags & 0x10 != 0 && matches!(self.profile_idc, 66 | 77 | 88) => 396,
            9 | 10 => 396,
            11 => 900,
            12 | 13 | 20 => 2376,
            21 => 4752,
            22 | 30 => 8100,
            31 => 18000,
            32 => 20480,
            40 | 41 => 32768,
            42 => 34816,
            50 => 110_400,
            51 | 52 => 184_320,
            _ => 696_320,
        };
        let frame = u32::from(self.pic_width_in_mbs) * u32::from(self.frame_height_in_mbs());
        usize::try_from(max_dpb_mbs / frame.max(1)).unwrap_or(16).clamp(1, 16)
    }

    /// Most frames that precede a frame in decoding order and follow it in the order of showing, where that is known
    /// (E.2.1, and 8.2.1 for type 2).
    pub(super) fn max_num_reorder_frames(&self) -> Option<usize> {
        let intra_only =
            self.constraint_flags & 0x10 != 0 && matches!(self.profile_idc, 44 | 86 | 100 | 110 | 122 | 244);
        match self.vui.bitstream_restriction {
            Some((reorder, _)) => Some(usize::from(reorder)),
            // Baseline has no B slices, though its order could be turned around all the same; nobody does.
            None if self.pic_order_cnt_type == 2 || intra_only || self.profile_idc == 66 => Some(0),
            None => None,
        }
    }
}

impl Vui {
    fn read(&mut self, r: &mut BitReader<'_>, unsaid: &mut Option<UnsaidColours>) -> Result<(), SyntaxError> {
        if r.flag("aspect_ratio_info_present_flag")? {
            self.sample_aspect_ratio = super::super::sample_aspect_ratio(r)?;
        }
        if r.flag("overscan_info_present_flag")? {
            r.flag("overscan_appropriate_flag")?;
        }
        let signal_at = r.position();
        if !r.flag("video_signal_type_present_flag")? {
            *unsaid = Some(UnsaidColours::NoSignalType(signal_at));
        } else {
            r.skip(3, "video_format")?;
            self.video_full_range_flag = r.flag("video_full_range_flag")?;
            if r.flag("colour_description_present_flag")? {
                r.skip(16, "transfer_characteristics")?;
                self.matrix_coefficients = r.byte(8, "matrix_coefficients")?;
            }
        }
        if r.flag("chroma_loc_info_present_flag")? {
            r.ue("chroma_sample_loc_type_top_field")?;
            r.ue("chroma_sample_loc_type_bottom_field")?;
        }
        if r.flag("timing_info_present_flag")? {
            r.skip(65, "fixed_frame_rate_flag")?;
        }
        let mut delay_bits = 0;
        let nal = r.flag("nal_hrd_parameters_present_flag")?;
        if nal {
            delay_bits = hrd_parameters(r)?;
        }
        let vcl = r.flag("vcl_hrd_parameters_present_flag")?;
        if vcl {
            delay_bits = hrd_parameters(r)?;
        }
        if nal || vcl {
            r.flag("low_delay_hrd_flag")?;
        }
        if r.flag("pic_struct_present_flag")? {
            self.pic_struct_at = Some(delay_bits);
        }
        if r.flag("bitstream_restriction_flag")? {
            r.flag("motion_vectors_over_pic_boundaries_flag")?;
            r.ue("max_bytes_per_pic_denom")?;
            r.ue("max_bits_per_mb_denom")?;
            r.ue("log2_max_mv_length_horizontal")?;
            r.ue("log2_max_mv_length_vertical")?;
            let reorder = r.ue_byte(16, "0 to 16", "max_num_reorder_frames")?;
            let buffering = r.ue_byte(16, "0 to 16", "max_dec_frame_buffering")?;
            self.bitstream_restriction = Some((reorder.min(buffering), buffering));
        }
        Ok(())
    }
}

/// E.1.2. Bits of the two delays in picture timing messages (D.1.3).
fn hrd_parameters(r: &mut BitReader<'_>) -> Result<usize, SyntaxError> {
    let count = r.ue_up_to(31, "0 to 31", "cpb_cnt_minus1")? + 1;
    r.skip(8, "cpb_size_scale")?;
    for _ in 0..count {
        r.ue("bit_rate_value_minus1")?;
        r.ue("cpb_size_value_minus1")?;
        r.flag("cbr_flag")?;
    }
    r.skip(5, "initial_cpb_removal_delay_length_minus1")?;
    let removal = r.byte(5, "cpb_removal_delay_length_minus1")?;
    let output = r.byte(5, "dpb_output_delay_length_minus1")?;
    r.skip(5, "time_offset_length")?;
    Ok(usize::from(removal) + usize::from(output) + 2)
}
