//! Words of bit fields: what stands where in them, by the names that libva's headers have.
//!
//! C compilers of the ABIs that libva is built for put the first field of a word lowest. The test `bindings` holds each
//! list to the headers.

/// Where the fields of a word stand.
#[allow(dead_code, reason = "for the test that compares with the headers")]
#[derive(Debug)]
pub(crate) struct Layout {
    /// The structure that holds the word.
    pub(crate) structure: &'static str,
    /// The union in it.
    pub(crate) union: &'static str,
    /// The part of the union that has the fields; the other is called `value`.
    pub(crate) part: &'static str,
    /// Names and widths in bits, lowest first.
    pub(crate) fields: &'static [(&'static str, u32)],
}

macro_rules! words {
    ($($word:ident = $structure:ident.$union:ident.$part:ident { $($field:ident: $width:literal,)+ })+) => {
        $(
            #[doc = concat!("`", stringify!($structure), ".", stringify!($union), "`")]
            #[allow(non_snake_case, reason = "names of the headers")]
            #[derive(Debug, Clone, Copy, Default)]
            pub(crate) struct $word {
                $(pub(crate) $field: u32,)+
            }

            impl $word {
                /// The word; bits of a value above its field's width are dropped.
                pub(crate) fn pack(self) -> u32 {
                    let (mut word, mut at) = (0u32, 0u32);
                    $(
                        word |= (self.$field & ((1u32 << $width) - 1)) << at;
                        at += $width;
                    )+
                    debug_assert!(at <= 32, "a word has 32 bits");
                    word
                }
            }
        )+

        /// All of them.
        #[allow(dead_code, reason = "for the test that compares with the headers")]
        pub(crate) const LAYOUTS: &[Layout] = &[
            $(Layout {
                structure: stringify!($structure),
                union: stringify!($union),
                part: stringify!($part),
                fields: &[$((stringify!($field), $width)),+],
            },)+
        ];
    };
}

words! {
    H264SeqFields = VAPictureParameterBufferH264.seq_fields.bits {
        chroma_format_idc: 2,
        residual_colour_transform_flag: 1,
        gaps_in_frame_num_value_allowed_flag: 1,
        frame_mbs_only_flag: 1,
        mb_adaptive_frame_field_flag: 1,
        direct_8x8_inference_flag: 1,
        MinLumaBiPredSize8x8: 1,
        log2_max_frame_num_minus4: 4,
        pic_order_cnt_type: 2,
        log2_max_pic_order_cnt_lsb_minus4: 4,
        delta_pic_order_always_zero_flag: 1,
    }
    H264PicFields = VAPictureParameterBufferH264.pic_fields.bits {
        entropy_coding_mode_flag: 1,
        weighted_pred_flag: 1,
        weighted_bipred_idc: 2,
        transform_8x8_mode_flag: 1,
        field_pic_flag: 1,
        constrained_intra_pred_flag: 1,
        pic_order_present_flag: 1,
        deblocking_filter_control_present_flag: 1,
        redundant_pic_cnt_present_flag: 1,
        reference_pic_flag: 1,
    }
    HevcPicFields = VAPictureParameterBufferHEVC.pic_fields.bits {
        chroma_format_idc: 2,
        separate_colour_plane_flag: 1,
        pcm_enabled_flag: 1,
        scaling_list_enabled_flag: 1,
        transform_skip_enabled_flag: 1,
        amp_enabled_flag: 1,
        strong_intra_smoothing_enabled_flag: 1,
        sign_data_hiding_enabled_flag: 1,
        constrained_intra_pred_flag: 1,
        cu_qp_delta_enabled_flag: 1,
        weighted_pred_flag: 1,
        weighted_bipred_flag: 1,
        transquant_bypass_enabled_flag: 1,
        tiles_enabled_flag: 1,
        entropy_coding_sync_enabled_flag: 1,
        pps_loop_filter_across_slices_enabled_flag: 1,
        loop_filter_across_tiles_enabled_flag: 1,
        pcm_loop_filter_disabled_flag: 1,
        NoPicReorderingFlag: 1,
        NoBiPredFlag: 1,
    }
    HevcSliceParsingFields = VAPictureParameterBufferHEVC.slice_parsing_fields.bits {
        lists_modification_present_flag: 1,
        long_term_ref_pics_present_flag: 1,
        sps_temporal_mvp_enabled_flag: 1,
        cabac_init_present_flag: 1,
        output_flag_present_flag: 1,
        dependent_slice_segments_enabled_flag: 1,
        pps_slice_chroma_qp_offsets_present_flag: 1,
        sample_adaptive_offset_enabled_flag: 1,
        deblocking_filter_override_enabled_flag: 1,
        pps_disable_deblocking_filter_flag: 1,
        slice_segment_header_extension_present_flag: 1,
        RapPicFlag: 1,
        IdrPicFlag: 1,
        IntraPicFlag: 1,
    }
    HevcLongSliceFlags = VASliceParameterBufferHEVC.LongSliceFlags.fields {
        LastSliceOfPic: 1,
        dependent_slice_segment_flag: 1,
        slice_type: 2,
        color_plane_id: 2,
        slice_sao_luma_flag: 1,
        slice_sao_chroma_flag: 1,
        mvd_l1_zero_flag: 1,
        cabac_init_flag: 1,
        slice_temporal_mvp_enabled_flag: 1,
        slice_deblocking_filter_disabled_flag: 1,
        collocated_from_l0_flag: 1,
        slice_loop_filter_across_slices_enabled_flag: 1,
    }
    EncH264SeqFields = VAEncSequenceParameterBufferH264.seq_fields.bits {
        chroma_format_idc: 2,
        frame_mbs_only_flag: 1,
        mb_adaptive_frame_field_flag: 1,
        seq_scaling_matrix_present_flag: 1,
        direct_8x8_inference_flag: 1,
        log2_max_frame_num_minus4: 4,
        pic_order_cnt_type: 2,
        log2_max_pic_order_cnt_lsb_minus4: 4,
        delta_pic_order_always_zero_flag: 1,
    }
    EncH264VuiFields = VAEncSequenceParameterBufferH264.vui_fields.bits {
        aspect_ratio_info_present_flag: 1,
        timing_info_present_flag: 1,
        bitstream_restriction_flag: 1,
        log2_max_mv_length_horizontal: 5,
        log2_max_mv_length_vertical: 5,
        fixed_frame_rate_flag: 1,
        low_delay_hrd_flag: 1,
        motion_vectors_over_pic_boundaries_flag: 1,
    }
    EncH264PicFields = VAEncPictureParameterBufferH264.pic_fields.bits {
        idr_pic_flag: 1,
        reference_pic_flag: 2,
        entropy_coding_mode_flag: 1,
        weighted_pred_flag: 1,
        weighted_bipred_idc: 2,
        constrained_intra_pred_flag: 1,
        transform_8x8_mode_flag: 1,
        deblocking_filter_control_present_flag: 1,
        redundant_pic_cnt_present_flag: 1,
        pic_order_present_flag: 1,
        pic_scaling_matrix_present_flag: 1,
    }
    EncHevcSeqFields = VAEncSequenceParameterBufferHEVC.seq_fields.bits {
        chroma_format_idc: 2,
        separate_colour_plane_flag: 1,
        bit_depth_luma_minus8: 3,
        bit_depth_chroma_minus8: 3,
        scaling_list_enabled_flag: 1,
        strong_intra_smoothing_enabled_flag: 1,
        amp_enabled_flag: 1,
        sample_adaptive_offset_enabled_flag: 1,
        pcm_enabled_flag: 1,
        pcm_loop_filter_disabled_flag: 1,
        sps_temporal_mvp_enabled_flag: 1,
        low_delay_seq: 1,
        hierachical_flag: 1,
    }
    EncHevcVuiFields = VAEncSequenceParameterBufferHEVC.vui_fields.bits {
        aspect_ratio_info_present_flag: 1,
        neutral_chroma_indication_flag: 1,
        field_seq_flag: 1,
        vui_timing_info_present_flag: 1,
        bitstream_restriction_flag: 1,
        tiles_fixed_structure_flag: 1,
        motion_vectors_over_pic_boundaries_flag: 1,
        restricted_ref_pic_lists_flag: 1,
        log2_max_mv_length_horizontal: 5,
        log2_max_mv_length_vertical: 5,
    }
    EncHevcPicFields = VAEncPictureParameterBufferHEVC.pic_fields.bits {
        idr_pic_flag: 1,
        coding_type: 3,
        reference_pic_flag: 1,
        dependent_slice_segments_enabled_flag: 1,
        sign_data_hiding_enabled_flag: 1,
        constrained_intra_pred_flag: 1,
        transform_skip_enabled_flag: 1,
        cu_qp_delta_enabled_flag: 1,
        weighted_pred_flag: 1,
        weighted_bipred_flag: 1,
        transquant_bypass_enabled_flag: 1,
        tiles_enabled_flag: 1,
        entropy_coding_sync_enabled_flag: 1,
        loop_filter_across_tiles_enabled_flag: 1,
        pps_loop_filter_across_slices_enabled_flag: 1,
        scaling_list_data_present_flag: 1,
        screen_content_flag: 1,
        enable_gpu_weighted_prediction: 1,
        no_output_of_prior_pics_flag: 1,
    }
    EncHevcSliceFields = VAEncSliceParameterBufferHEVC.slice_fields.bits {
        last_slice_of_pic_flag: 1,
        dependent_slice_segment_flag: 1,
        colour_plane_id: 2,
        slice_temporal_mvp_enabled_flag: 1,
        slice_sao_luma_flag: 1,
        slice_sao_chroma_flag: 1,
        num_ref_idx_active_override_flag: 1,
        mvd_l1_zero_flag: 1,
        cabac_init_flag: 1,
        slice_deblocking_filter_disabled_flag: 2,
        slice_loop_filter_across_slices_enabled_flag: 1,
        collocated_from_l0_flag: 1,
    }
    RateControlFlags = VAEncMiscParameterRateControl.rc_flags.bits {
        reset: 1,
        disable_frame_skip: 1,
        disable_bit_stuffing: 1,
        mb_rate_control: 4,
        temporal_id: 8,
        cfs_I_frames: 1,
        enable_parallel_brc: 1,
        enable_dynamic_scaling: 1,
        frame_tolerance_mode: 2,
    }
}
