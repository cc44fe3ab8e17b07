//! The bindings and the words of bit fields against the C headers of Debian's libva-dev: sizes, offsets, constants and
//! places of bits, as a C compiler has them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(
    missing_docs,
    nonstandard_style,
    unreachable_pub,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "generated"
)]
#[rustfmt::skip]
#[path = "../src/ffi/bindings.rs"]
mod va;
#[path = "../examples/support/generated.rs"]
mod generated;
#[allow(dead_code, reason = "the crate uses more of it")]
#[path = "../src/ffi/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Fields of structures as the bindings have them: name, offset, size.
struct Structure {
    name: &'static str,
    size: usize,
    fields: Vec<(&'static str, usize, usize)>,
}

const fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! structures {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {
        vec![$(Structure {
            name: stringify!($name),
            size: size_of::<va::$name>(),
            fields: vec![$((
                stringify!($field),
                std::mem::offset_of!(va::$name, $field),
                size_of_field(|s: &va::$name| &s.$field),
            )),+],
        }),+]
    };
}

macro_rules! constants {
    ($($name:ident),+ $(,)?) => {
        vec![$((stringify!($name), i64::from(va::$name))),+]
    };
}

fn structures() -> Vec<Structure> {
    structures! {
        VAConfigAttrib { type_, value }
        VASurfaceAttrib { type_, flags, value }
        VAGenericValue { type_, value }
        VARectangle { x, y, width, height }
        VAImageFormat { fourcc, byte_order, bits_per_pixel, depth }
        VAImage { image_id, format, buf, width, height, data_size, num_planes, pitches, offsets }
        VACodedBufferSegment { size, bit_offset, status, buf, next }
        VAPictureH264 { picture_id, frame_idx, flags, TopFieldOrderCnt, BottomFieldOrderCnt }
        VAPictureHEVC { picture_id, pic_order_cnt, flags }
        VAPictureParameterBufferH264 {
            CurrPic, ReferenceFrames, picture_width_in_mbs_minus1, picture_height_in_mbs_minus1,
            bit_depth_luma_minus8, bit_depth_chroma_minus8, num_ref_frames, seq_fields, pic_init_qp_minus26,
            pic_init_qs_minus26, chroma_qp_index_offset, second_chroma_qp_index_offset, pic_fields, frame_num,
        }
        VAIQMatrixBufferH264 { ScalingList4x4, ScalingList8x8 }
        VASliceParameterBufferH264 {
            slice_data_size, slice_data_offset, slice_data_flag, slice_data_bit_offset, first_mb_in_slice, slice_type,
            direct_spatial_mv_pred_flag, num_ref_idx_l0_active_minus1, num_ref_idx_l1_active_minus1, cabac_init_idc,
            slice_qp_delta, disable_deblocking_filter_idc, slice_alpha_c0_offset_div2, slice_beta_offset_div2,
            RefPicList0, RefPicList1, luma_log2_weight_denom, chroma_log2_weight_denom, luma_weight_l0_flag,
            luma_weight_l0, luma_offset_l0, chroma_weight_l0_flag, chroma_weight_l0, chroma_offset_l0,
            luma_weight_l1_flag, luma_weight_l1, luma_offset_l1, chroma_weight_l1_flag, chroma_weight_l1,
            chroma_offset_l1,
        }
        VAPictureParameterBufferHEVC {
            CurrPic, ReferenceFrames, pic_width_in_luma_samples, pic_height_in_luma_samples, pic_fields,
            sps_max_dec_pic_buffering_minus1, bit_depth_luma_minus8, bit_depth_chroma_minus8,
            pcm_sample_bit_depth_luma_minus1, pcm_sample_bit_depth_chroma_minus1,
            log2_min_luma_coding_block_size_minus3, log2_diff_max_min_luma_coding_block_size,
            log2_min_transform_block_size_minus2, log2_diff_max_min_transform_block_size,
            log2_min_pcm_luma_coding_block_size_minus3, log2_diff_max_min_pcm_luma_coding_block_size,
            max_transform_hierarchy_depth_intra, max_transform_hierarchy_depth_inter, init_qp_minus26,
            diff_cu_qp_delta_depth, pps_cb_qp_offset, pps_cr_qp_offset, log2_parallel_merge_level_minus2,
            num_tile_columns_minus1, num_tile_rows_minus1, column_width_minus1, row_height_minus1,
            slice_parsing_fields, log2_max_pic_order_cnt_lsb_minus4, num_short_term_ref_pic_sets,
            num_long_term_ref_pic_sps, num_ref_idx_l0_default_active_minus1, num_ref_idx_l1_default_active_minus1,
            pps_beta_offset_div2, pps_tc_offset_div2, num_extra_slice_header_bits, st_rps_bits,
        }
        VAIQMatrixBufferHEVC {
            ScalingList4x4, ScalingList8x8, ScalingList16x16, ScalingList32x32, ScalingListDC16x16,
            ScalingListDC32x32,
        }
        VASliceParameterBufferHEVC {
            slice_data_size, slice_data_offset, slice_data_flag, slice_data_byte_offset, slice_segment_address,
            RefPicList, LongSliceFlags, collocated_ref_idx, num_ref_idx_l0_active_minus1,
            num_ref_idx_l1_active_minus1, slice_qp_delta, slice_cb_qp_offset, slice_cr_qp_offset,
            slice_beta_offset_div2, slice_tc_offset_div2, luma_log2_weight_denom, delta_chroma_log2_weight_denom,
            delta_luma_weight_l0, luma_offset_l0, delta_chroma_weight_l0, ChromaOffsetL0, delta_luma_weight_l1,
            luma_offset_l1, delta_chroma_weight_l1, ChromaOffsetL1, five_minus_max_num_merge_cand,
            num_entry_point_offsets, slice_data_num_emu_prevn_bytes,
        }
        VAEncSequenceParameterBufferH264 {
            seq_parameter_set_id, level_idc, intra_period, intra_idr_period, ip_period, bits_per_second,
            max_num_ref_frames, picture_width_in_mbs, picture_height_in_mbs, seq_fields, frame_cropping_flag,
            frame_crop_right_offset, frame_crop_bottom_offset, vui_parameters_present_flag, vui_fields,
            aspect_ratio_idc, num_units_in_tick, time_scale,
        }
        VAEncPictureParameterBufferH264 {
            CurrPic, ReferenceFrames, coded_buf, frame_num, pic_init_qp, pic_fields,
        }
        VAEncSliceParameterBufferH264 {
            macroblock_address, num_macroblocks, macroblock_info, slice_type, idr_pic_id, RefPicList0, RefPicList1,
            slice_qp_delta,
        }
        VAEncSequenceParameterBufferHEVC {
            general_profile_idc, general_level_idc, intra_period, intra_idr_period, ip_period, bits_per_second,
            pic_width_in_luma_samples, pic_height_in_luma_samples, seq_fields,
            log2_min_luma_coding_block_size_minus3, log2_diff_max_min_luma_coding_block_size,
            log2_min_transform_block_size_minus2, log2_diff_max_min_transform_block_size,
            max_transform_hierarchy_depth_inter, max_transform_hierarchy_depth_intra, vui_parameters_present_flag,
            vui_fields, aspect_ratio_idc, vui_num_units_in_tick, vui_time_scale,
        }
        VAEncPictureParameterBufferHEVC {
            decoded_curr_pic, reference_frames, coded_buf, collocated_ref_pic_index, pic_init_qp, nal_unit_type,
            pic_fields,
        }
        VAEncSliceParameterBufferHEVC {
            slice_segment_address, num_ctu_in_slice, slice_type, ref_pic_list0, ref_pic_list1, max_num_merge_cand,
            slice_qp_delta, slice_fields,
        }
        VAEncPackedHeaderParameterBuffer { type_, bit_length, has_emulation_bytes }
        VAEncMiscParameterRateControl {
            bits_per_second, target_percentage, window_size, initial_qp, min_qp, rc_flags, max_qp, quality_factor,
        }
        VAEncMiscParameterFrameRate { framerate, framerate_flags }
        VAEncMiscParameterHRD { initial_buffer_fullness, buffer_size }
        VAEncMiscParameterBufferQualityLevel { quality_level }
        VAProcColorProperties { chroma_sample_location, color_range, matrix_coefficients }
        VAProcPipelineParameterBuffer {
            surface, surface_region, surface_color_standard, output_region, output_background_color,
            output_color_standard, filter_flags, filters, num_filters, forward_references, num_forward_references,
            backward_references, num_backward_references, input_color_properties, output_color_properties,
        }
        VAProcPipelineCaps { num_forward_references, num_backward_references }
        VAProcFilterParameterBufferDeinterlacing { type_, algorithm, flags }
        VAProcFilterCapDeinterlacing { type_ }
    }
}

fn constants() -> Vec<(&'static str, i64)> {
    constants![
        VAProfileNone,
        VAProfileH264Main,
        VAProfileH264High,
        VAProfileH264ConstrainedBaseline,
        VAProfileHEVCMain,
        VAProfileHEVCMain10,
        VAEntrypointVLD,
        VAEntrypointEncSlice,
        VAEntrypointEncSliceLP,
        VAEntrypointVideoProc,
        VAConfigAttribRTFormat,
        VAConfigAttribRateControl,
        VAConfigAttribEncPackedHeaders,
        VAConfigAttribEncMaxRefFrames,
        VAConfigAttribMaxPictureWidth,
        VAConfigAttribMaxPictureHeight,
        VAConfigAttribEncQualityRange,
        VAConfigAttribPredictionDirection,
        VAConfigAttribEncHEVCFeatures,
        VAConfigAttribEncHEVCBlockSizes,
        VA_RT_FORMAT_YUV420,
        VA_RT_FORMAT_YUV420_10,
        VA_RC_CBR,
        VA_RC_VBR,
        VA_RC_CQP,
        VA_RC_QVBR,
        VA_ENC_PACKED_HEADER_SEQUENCE,
        VA_ENC_PACKED_HEADER_PICTURE,
        VA_ENC_PACKED_HEADER_SLICE,
        VAPictureParameterBufferType,
        VAIQMatrixBufferType,
        VASliceParameterBufferType,
        VASliceDataBufferType,
        VAEncCodedBufferType,
        VAEncSequenceParameterBufferType,
        VAEncPictureParameterBufferType,
        VAEncSliceParameterBufferType,
        VAEncPackedHeaderParameterBufferType,
        VAEncPackedHeaderDataBufferType,
        VAEncMiscParameterBufferType,
        VAProcPipelineParameterBufferType,
        VAProcFilterParameterBufferType,
        VAEncPackedHeaderSequence,
        VAEncPackedHeaderSlice,
        VAEncMiscParameterTypeFrameRate,
        VAEncMiscParameterTypeRateControl,
        VAEncMiscParameterTypeHRD,
        VAEncMiscParameterTypeQualityLevel,
        VASurfaceAttribPixelFormat,
        VAGenericValueTypeInteger,
        VASurfaceRendering,
        VASurfaceReady,
        VAProcFilterNone,
        VAProcFilterDeinterlacing,
        VAProcDeinterlacingBob,
        VAProcDeinterlacingMotionAdaptive,
        VAProcDeinterlacingMotionCompensated,
        VAProcColorStandardNone,
        VAProcColorStandardBT601,
        VAProcColorStandardBT709,
        VAProcColorStandardSMPTE240M,
        VAProcColorStandardBT2020,
        VA_PICTURE_H264_INVALID,
        VA_PICTURE_H264_TOP_FIELD,
        VA_PICTURE_H264_BOTTOM_FIELD,
        VA_PICTURE_H264_SHORT_TERM_REFERENCE,
        VA_PICTURE_H264_LONG_TERM_REFERENCE,
        VA_PICTURE_HEVC_INVALID,
        VA_PICTURE_HEVC_LONG_TERM_REFERENCE,
        VA_PICTURE_HEVC_RPS_ST_CURR_BEFORE,
        VA_PICTURE_HEVC_RPS_ST_CURR_AFTER,
        VA_PICTURE_HEVC_RPS_LT_CURR,
        VA_SLICE_DATA_FLAG_ALL,
        VA_PROGRESSIVE,
        VA_DEINTERLACING_BOTTOM_FIELD_FIRST,
        VA_DEINTERLACING_BOTTOM_FIELD,
        VA_SOURCE_RANGE_REDUCED,
        VA_SOURCE_RANGE_FULL,
        VA_FILTER_SCALING_HQ,
        VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK,
        VA_CODED_BUF_STATUS_BAD_BITSTREAM,
        VA_ATTRIB_NOT_SUPPORTED,
        VA_SURFACE_ATTRIB_SETTABLE,
        VA_INVALID_ID,
        VA_INVALID_SURFACE,
    ]
}

/// Compiles and runs a C program below a folder; its lines.
fn run_c(folder: &Path, program: &str) -> Vec<String> {
    let source = folder.join("probe.c");
    std::fs::write(&source, program).expect("the probe is written");
    let binary = folder.join("probe");
    let compiled =
        Command::new("cc").args(["-Wno-deprecated-declarations", "-o"]).arg(&binary).arg(&source).output();
    let compiled = compiled.expect("a C compiler is installed (make deps)");
    let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
    assert!(compiled.status.success(), "the headers of libva-dev are installed (make deps): {said}");
    let output = Command::new(&binary).output().expect("the probe runs");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bindings_are_what_the_headers_say() {
    let mut program = String::from(
        "#include <stdio.h>\n#include <stddef.h>\n#include <string.h>\n#include <va/va.h>\n\
         #include <va/va_dec_hevc.h>\n#include <va/va_enc_h264.h>\n#include <va/va_enc_hevc.h>\n\
         #include <va/va_vpp.h>\nint main(void) {\n",
    );
    let mut wanted = Vec::new();
    for Structure { name, size, fields } in structures() {
        writeln!(program, "printf(\"{name} %zu\\n\", sizeof({name}));").expect("a string takes it");
        wanted.push(format!("{name} {size}"));
        for (field, offset, size) in fields {
            let c = if field == "type_" { "type" } else { field };
            writeln!(
                program,
                "printf(\"{name}.{field} %zu %zu\\n\", offsetof({name}, {c}), sizeof((({name} *)0)->{c}));"
            )
            .expect("a string takes it");
            wanted.push(format!("{name}.{field} {offset} {size}"));
        }
    }
    for (name, value) in constants() {
        // As the type that the driver gets it in: 32 bits, whether signed or not.
        writeln!(program, "printf(\"{name} %u\\n\", (unsigned)({name}));").expect("a string takes it");
        wanted.push(format!("{name} {}", value & 0xffff_ffff));
    }
    for words::Layout { structure, union, part, fields } in words::LAYOUTS {
        let mut at = 0;
        for (field, width) in *fields {
            writeln!(
                program,
                "{{ {structure} s; memset(&s, 0, sizeof s); s.{union}.{part}.{field} = ~0; \
                 printf(\"{structure}.{union}.{field} %u\\n\", s.{union}.value); }}"
            )
            .expect("a string takes it");
            wanted.push(format!("{structure}.{union}.{field} {}", ((1u64 << width) - 1) << at));
            at += width;
        }
    }
    program.push_str("return 0; }\n");
    let folder = tempfile::tempdir().expect("a folder");
    let found = run_c(folder.path(), &program);
    assert_eq!(found.len(), wanted.len());
    assert!(wanted.len() > 400, "the lists are not empty");
    let faults: Vec<_> = found.iter().zip(&wanted).filter(|(found, wanted)| found != wanted).collect();
    assert!(faults.is_empty(), "headers and bindings differ: {faults:#?}");
}

/// The names of bindings that the sources below a folder use.
fn used(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the crate's sources") {
        let path = entry.expect("the crate's sources").path();
        if path.is_dir() {
            used(&path, names);
        } else if !path.ends_with("ffi/bindings.rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            for (at, _) in text.match_indices("va::VA") {
                let rest = &text[at + "va::".len()..];
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                names.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
}

#[test]
fn whatever_is_used_is_compared() {
    /// Numbers and pointers by another name.
    const TYPES: &[&str] = &[
        "VABufferID",
        "VABufferType",
        "VAConfigAttribType",
        "VAConfigID",
        "VAContextID",
        "VADisplay",
        "VAEncMiscParameterType",
        "VAEncPackedHeaderType",
        "VAEntrypoint",
        "VAProcColorStandardType",
        "VAProcDeinterlacingType",
        "VAProfile",
        "VAStatus",
        "VASurfaceID",
        "VASurfaceStatus",
    ];
    let mut compared: BTreeSet<&str> = structures().iter().map(|structure| structure.name).collect();
    compared.extend(constants().iter().map(|(name, _)| *name).chain(TYPES.iter().copied()));
    let mut names = BTreeSet::new();
    used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 80, "{names:?}");
    let left: Vec<_> = names.iter().filter(|name| !compared.contains(name.as_str())).collect();
    assert!(left.is_empty(), "used, and not compared with a header: {left:?}");
}

#[test]
fn bindings_are_what_bindgen_makes_of_the_headers() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ffi/bindings.rs");
    let committed = std::fs::read_to_string(committed).expect("the bindings");
    let made = generated::generated();
    let differs = made.lines().zip(committed.lines()).position(|(made, committed)| made != committed);
    assert!(
        made == committed,
        "line {:?} differs, of {} and {}: run `cargo run -p vaapi --example bindings` and commit",
        differs.map(|line| line + 1),
        made.lines().count(),
        committed.lines().count(),
    );
}
