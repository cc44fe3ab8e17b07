//! The sequence parameter set of HEVC (ITU-T H.265, 7.3.2.2.1).

use super::super::UnsaidColours;
use super::super::bits::{BitReader, SyntaxError};
use super::references::ShortTermSet;
use super::scaling::ScalingListData;

const SPS: &str = "HEVC SPS";
/// Longest side that is decoded, in samples.
const MAX_SIDE: u32 = 8192;
const MAX_SUB_LAYERS: usize = 7;

/// What decoding needs of a sequence parameter set; names are the standard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct Sps {
    pub(super) sps_seq_parameter_set_id: u8,
    pub(super) chroma_format_idc: u8,
    pub(super) separate_colour_plane_flag: bool,
    pub(super) pic_width_in_luma_samples: u16,
    pub(super) pic_height_in_luma_samples: u16,
    /// Where `conformance_window_flag` stands in the payload, in bits.
    pub(super) window_flag_at: usize,
    /// Left, right, top, bottom, in samples of luma.
    pub(super) window: [u32; 4],
    pub(super) bit_depth_luma_minus8: u8,
    pub(super) bit_depth_chroma_minus8: u8,
    pub(super) log2_max_pic_order_cnt_lsb_minus4: u8,
    /// Of the highest sub-layer.
    pub(super) sps_max_dec_pic_buffering_minus1: u8,
    pub(super) sps_max_num_reorder_pics: u8,
    pub(super) sps_max_latency_increase_plus1: u32,
    pub(super) log2_min_luma_coding_block_size_minus3: u8,
    pub(super) log2_diff_max_min_luma_coding_block_size: u8,
    pub(super) log2_min_luma_transform_block_size_minus2: u8,
    pub(super) log2_diff_max_min_luma_transform_block_size: u8,
    pub(super) max_transform_hierarchy_depth_inter: u8,
    pub(super) max_transform_hierarchy_depth_intra: u8,
    pub(super) scaling_list_enabled_flag: bool,
    pub(super) scaling_list_data: Option<ScalingListData>,
    pub(super) amp_enabled_flag: bool,
    pub(super) sample_adaptive_offset_enabled_flag: bool,
    pub(super) pcm: Option<Pcm>,
    pub(super) short_term_ref_pic_sets: Vec<ShortTermSet>,
    pub(super) long_term_ref_pics_present_flag: bool,
    /// `lt_ref_pic_poc_lsb_sps`, `used_by_curr_pic_lt_sps_flag`
    pub(super) long_term_ref_pics: Vec<(u32, bool)>,
    pub(super) sps_temporal_mvp_enabled_flag: bool,
    pub(super) strong_intra_smoothing_enabled_flag: bool,
    pub(super) vui: Vui,
    /// Where colours could be said and are not.
    pub(super) unsaid: Option<UnsaidColours>,
    /// Extensions of range, layers, 3D or screen content, whose pictures are not decoded here.
    pub(super) extended: bool,
}

/// Blocks of samples as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pcm {
    pub(super) pcm_sample_bit_depth_luma_minus1: u8,
    pub(super) pcm_sample_bit_depth_chroma_minus1: u8,
    pub(super) log2_min_pcm_luma_coding_block_size_minus3: u8,
    pub(super) log2_diff_max_min_pcm_luma_coding_block_size: u8,
    pub(super) pcm_loop_filter_disabled_flag: bool,
}

/// What is used of video usability information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vui {
    pub(super) sample_aspect_ratio: (u32, u32),
    pub(super) video_full_range_flag: bool,
    pub(super) matrix_coeffs: u8,
}

impl Sps {
    /// Of a payload without emulation prevention.
    pub(in crate::decode) fn parse(payload: &[u8]) -> Result<Self, SyntaxError> {
        let r = &mut BitReader::new(SPS, payload);
        r.skip(4, "sps_video_parameter_set_id")?;
        let sub_layers = usize::from(r.byte(3, "sps_max_sub_layers_minus1")?);
        if sub_layers >= MAX_SUB_LAYERS {
            return Err(r.value("sps_max_sub_layers_minus1", 7, "0 to 6"));
        }
        r.flag("sps_temporal_id_nesting_flag")?;
        profile_tier_level(r, sub_layers)?;
        let sps_seq_parameter_set_id = r.ue_byte(15, "0 to 15", "sps_seq_parameter_set_id")?;
        let chroma_format_idc = r.ue_byte(3, "0 to 3", "chroma_format_idc")?;
        let separate_colour_plane_flag = chroma_format_idc == 3 && r.flag("separate_colour_plane_flag")?;
        let side = |r: &mut BitReader<'_>, field| match r.ue_up_to(MAX_SIDE, "8 to 8192", field)? {
            value if value < 8 => Err(r.value(field, i64::from(value), "8 to 8192")),
            value => Ok(value),
        };
        let width = side(r, "pic_width_in_luma_samples")?;
        let height = side(r, "pic_height_in_luma_samples")?;
        let window_flag_at = r.position();
        let window = if r.flag("conformance_window_flag")? {
            conformance_window(r, chroma_format_idc, width, height)?
        } else {
            [0; 4]
        };
        let bit_depth_luma_minus8 = r.ue_byte(8, "0 to 8", "bit_depth_luma_minus8")?;
        let bit_depth_chroma_minus8 = r.ue_byte(8, "0 to 8", "bit_depth_chroma_minus8")?;
        let log2_max_pic_order_cnt_lsb_minus4 =
            r.ue_byte(12, "0 to 12", "log2_max_pic_order_cnt_lsb_minus4")?;
        let each = r.flag("sps_sub_layer_ordering_info_present_flag")?;
        let mut ordering = (0, 0, 0);
        for _ in 0..if each { sub_layers + 1 } else { 1 } {
            ordering = (
                r.ue_byte(15, "0 to 15", "sps_max_dec_pic_buffering_minus1")?,
                r.ue_byte(15, "0 to 15", "sps_max_num_reorder_pics")?,
                r.ue("sps_max_latency_increase_plus1")?,
            );
        }
        let log2_min_luma_coding_block_size_minus3 =
            r.ue_byte(3, "0 to 3", "log2_min_luma_coding_block_size_minus3")?;
        let log2_diff_max_min_luma_coding_block_size =
            r.ue_byte(3, "0 to 3", "log2_diff_max_min_luma_coding_block_size")?;
        let ctb = log2_min_luma_coding_block_size_minus3 + 3 + log2_diff_max_min_luma_coding_block_size;
        if !(4..=6).contains(&ctb) {
            return Err(r.value("CtbLog2SizeY", i64::from(ctb), "4 to 6"));
        }
        let minimum = 1u32 << (log2_min_luma_coding_block_size_minus3 + 3);
        if !width.is_multiple_of(minimum) || !height.is_multiple_of(minimum) {
            return Err(r.value("pic_width_in_luma_samples", i64::from(width), "whole coding blocks"));
        }
        let mut sps = Self {
            sps_seq_parameter_set_id,
            chroma_format_idc,
            separate_colour_plane_flag,
            pic_width_in_luma_samples: u16::try_from(width).unwrap_or(u16::MAX),
            pic_height_in_luma_samples: u16::try_from(height).unwrap_or(u16::MAX),
            window_flag_at,
            window,
            bit_depth_luma_minus8,
            bit_depth_chroma_minus8,
            log2_max_pic_order_cnt_lsb_minus4,
            sps_max_dec_pic_buffering_minus1: ordering.0,
            sps_max_num_reorder_pics: ordering.1.min(ordering.0),
            sps_max_latency_increase_plus1: ordering.2,
            log2_min_luma_coding_block_size_minus3,
            log2_diff_max_min_luma_coding_block_size,
            log2_min_luma_transform_block_size_minus2: r.ue_byte(
                3,
                "0 to 3",
                "log2_min_luma_transform_block_size_minus2",
            )?,
            log2_diff_max_min_luma_transform_block_size: r.ue_byte(
                3,
                "0 to 3",
                "log2_diff_max_min_luma_transform_block_size",
            )?,
            max_transform_hierarchy_depth_inter: r.ue_byte(
                4,
                "0 to 4",
                "max_transform_hierarchy_depth_inter",
            )?,
            max_transform_hierarchy_depth_intra: r.ue_byte(
                4,
                "0 to 4",
                "max_transform_hierarchy_depth_intra",
            )?,
            scaling_list_enabled_flag: r.flag("scaling_list_enabled_flag")?,
            scaling_list_data: None,
            amp_enabled_flag: false,
            sample_adaptive_offset_enabled_flag: false,
            pcm: None,
            short_term_ref_pic_sets: Vec::new(),
            long_term_ref_pics_present_flag: false,
            long_term_ref_pics: Vec::new(),
            sps_temporal_mvp_enabled_flag: false,
            strong_intra_smoothing_enabled_flag: false,
            vui: Vui { sample_aspect_ratio: (1, 1), video_full_range_flag: false, matrix_coeffs: 2 },
            unsaid: None,
            extended: false,
        };
        sps.read_tools(r)?;
        Ok(sps)
    }

    fn read_tools(&mut self, r: &mut BitReader<'_>) -> Result<(), SyntaxError> {
        if self.scaling_list_enabled_flag && r.flag("sps_scaling_list_data_present_flag")? {
            self.scaling_list_data = Some(ScalingListData::parse(r)?);
        }
        self.amp_enabled_flag = r.flag("amp_enabled_flag")?;
        self.sample_adaptive_offset_enabled_flag = r.flag("sample_adaptive_offset_enabled_flag")?;
        if r.flag("pcm_enabled_flag")? {
            self.pcm = Some(Pcm {
                pcm_sample_bit_depth_luma_minus1: r.byte(4, "pcm_sample_bit_depth_luma_minus1")?,
                pcm_sample_bit_depth_chroma_minus1: r.byte(4, "pcm_sample_bit_depth_chroma_minus1")?,
                log2_min_pcm_luma_coding_block_size_minus3: r.ue_byte(
                    2,
                    "0 to 2",
                    "log2_min_pcm_luma_coding_block_size_minus3",
                )?,
                log2_diff_max_min_pcm_luma_coding_block_size: r.ue_byte(
                    2,
                    "0 to 2",
                    "log2_diff_max_min_pcm_luma_coding_block_size",
                )?,
                pcm_loop_filter_disabled_flag: r.flag("pcm_loop_filter_disabled_flag")?,
            });
        }
        for _ in 0..r.ue_up_to(64, "0 to 64", "num_short_term_ref_pic_sets")? {
            let set = ShortTermSet::parse(r, &self.short_term_ref_pic_sets, false)?;
            self.short_term_ref_pic_sets.push(set);
        }
        self.long_term_ref_pics_present_flag = r.flag("long_term_ref_pics_present_flag")?;
        if self.long_term_ref_pics_present_flag {
            let bits = u32::from(self.log2_max_pic_order_cnt_lsb_minus4) + 4;
            for _ in 0..r.ue_up_to(32, "0 to 32", "num_long_term_ref_pics_sps")? {
                let lsb = r.bits(bits, "lt_ref_pic_poc_lsb_sps")?;
                self.long_term_ref_pics.push((lsb, r.flag("used_by_curr_pic_lt_sps_flag")?));
            }
        }
        self.sps_temporal_mvp_enabled_flag = r.flag("sps_temporal_mvp_enabled_flag")?;
        self.strong_intra_smoothing_enabled_flag = r.flag("strong_intra_smoothing_enabled_flag")?;
        let vui_at = r.position();
        if r.flag("vui_parameters_present_flag")? {
            // What was read before a VUI breaks off still holds; extensions behind it are of profiles that no driver here
            // is opened for.
            let _ = self.vui.read(r, &mut self.unsaid);
            return Ok(());
        }
        self.unsaid = Some(UnsaidColours::NoUsability(vui_at));
        if r.flag("sps_extension_present_flag").unwrap_or(false) {
            self.extended = r.byte(4, "sps_range_extension_flag").is_ok_and(|flags| flags != 0);
        }
        Ok(())
    }

    /// `CtbLog2SizeY` (7-11)
    pub(super) const fn ctb_log2_size(&self) -> u8 {
        self.log2_min_luma_coding_block_size_minus3 + 3 + self.log2_diff_max_min_luma_coding_block_size
    }

    /// `PicWidthInCtbsY`, `PicHeightInCtbsY` (7-15, 7-17)
    pub(super) fn size_in_ctbs(&self) -> (u32, u32) {
        let side = 1u32 << self.ctb_log2_size();
        (
            u32::from(self.pic_width_in_luma_samples).div_ceil(side),
            u32::from(self.pic_height_in_luma_samples).div_ceil(side),
        )
    }
}

fn conformance_window(
    r: &mut BitReader<'_>,
    chroma_format_idc: u8,
    width: u32,
    height: u32,
) -> Result<[u32; 4], SyntaxError> {
    let unit_x = if matches!(chroma_format_idc, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma_format_idc == 1 { 2 } else { 1 };
    let mut side = |first, second, unit: u32, whole: u32| {
        let (first_value, second_value) = (r.ue(first)?, r.ue(second)?);
        let cut = (u64::from(first_value) + u64::from(second_value)) * u64::from(unit);
        if cut >= u64::from(whole) {
            return Err(r.value(second, i64::from(second_value), "less than the picture"));
        }
        Ok((first_value * unit, second_value * unit))
    };
    let (left, right) = side("conf_win_left_offset", "conf_win_right_offset", unit_x, width)?;
    let (top, bottom) = side("conf_win_top_offset", "conf_win_bottom_offset", unit_y, height)?;
    Ok([left, right, top, bottom])
}

/// 7.3.3
fn profile_tier_level(r: &mut BitReader<'_>, sub_layers: usize) -> Result<(), SyntaxError> {
    r.skip(88, "general_profile_idc")?;
    r.skip(8, "general_level_idc")?;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((r.flag("sub_layer_profile_present_flag")?, r.flag("sub_layer_level_present_flag")?));
    }
    if sub_layers > 0 {
        r.skip(2 * 8usize.saturating_sub(sub_layers), "reserved_zero_2bits")?;
    }
    for (profile, level) in present {
        r.skip(if profile { 88 } else { 0 }, "sub_layer_profile_idc")?;
        r.skip(if level { 8 } else { 0 }, "sub_layer_level_idc")?;
    }
    Ok(())
}

impl Vui {
    /// E.2.1, as far as colours.
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
                self.matrix_coeffs = r.byte(8, "matrix_coeffs")?;
            }
        }
        Ok(())
    }
}
