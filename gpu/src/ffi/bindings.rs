//! Bindings are checked, not believed: a C program prints sizes, offsets, bit fields, constants and GUIDs as the vendor's
//! headers have them, and each is compared with what is used here.
//!
//! Two sets of headers: those that `nvidia-video-codec-sdk` was made of (API 12.1, which is what drivers are told), and,
//! as an independent copy, Debian's libffmpeg-nvenc-dev (API 11.1), where what NVIDIA has changed since is listed with
//! its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use cudarc::driver::sys as cu;
use nvidia_video_codec_sdk::sys::{cuviddec as dec, nvEncodeAPI as nv, nvcuvid as parse};

use super::nvenc::{BITS, Cap};

/// What one set of headers is asked, and what is expected.
#[derive(Default)]
struct Probe {
    code: String,
    expected: BTreeMap<String, u64>,
}

impl Probe {
    fn put(&mut self, name: String, c: &str, value: u64) {
        let _ = writeln!(self.code, "  printf(\"{name}=%llu\\n\", (unsigned long long)({c}));");
        let before = self.expected.insert(name, value);
        assert!(before.is_none(), "asked twice");
    }
}

macro_rules! structs {
    ($probe:ident, $without:ident; $($module:ident::$name:ident { $($field:tt),* $(,)? })*) => {$(
        let name = stringify!($name);
        let mut ask = |what: String, c: String, value: usize| {
            if !$without.iter().any(|(left_out, _)| *left_out == what) {
                $probe.put(what, &c, u64::try_from(value).unwrap());
            }
        };
        ask(name.to_owned(), format!("sizeof({name})"), size_of::<$module::$name>());
        $(
            let field = stringify!($field);
            ask(format!("{name}.{field}"), format!("offsetof({name}, {field})"), offset_of!($module::$name, $field));
        )*
    )*};
}

fn nvenc_structs(probe: &mut Probe, without: &[(&str, &str)]) {
    structs!(probe, without;
        nv::NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS { version, deviceType, device, apiVersion }
        nv::NV_ENC_CAPS_PARAM { version, capsToQuery }
        nv::NV_ENC_PRESET_CONFIG { version, presetCfg }
        nv::NV_ENC_CONFIG {
            version, profileGUID, gopLength, frameIntervalP, frameFieldMode, rcParams, encodeCodecConfig,
        }
        nv::NV_ENC_RC_PARAMS {
            rateControlMode, averageBitRate, maxBitRate, vbvBufferSize, vbvInitialDelay, lookaheadDepth,
        }
        nv::NV_ENC_CONFIG_H264 { idrPeriod, chromaFormatIDC, useBFramesAsRef, h264VUIParameters }
        nv::NV_ENC_CONFIG_HEVC { idrPeriod, useBFramesAsRef, hevcVUIParameters }
        nv::NV_ENC_CONFIG_H264_VUI_PARAMETERS {
            videoSignalTypePresentFlag, videoFormat, videoFullRangeFlag, colourDescriptionPresentFlag,
            colourPrimaries, transferCharacteristics, colourMatrix,
        }
        nv::NV_ENC_CONFIG_HEVC_VUI_PARAMETERS {
            videoSignalTypePresentFlag, videoFormat, videoFullRangeFlag, colourDescriptionPresentFlag,
            colourPrimaries, transferCharacteristics, colourMatrix,
        }
        nv::NV_ENC_INITIALIZE_PARAMS {
            version, encodeGUID, presetGUID, encodeWidth, encodeHeight, darWidth, darHeight, frameRateNum,
            frameRateDen, enablePTD, encodeConfig, tuningInfo,
        }
        nv::NV_ENC_RECONFIGURE_PARAMS { version, reInitEncodeParams }
        nv::NV_ENC_SEQUENCE_PARAM_PAYLOAD { version, inBufferSize, spsppsBuffer, outSPSPPSPayloadSize }
        nv::NV_ENC_CREATE_BITSTREAM_BUFFER { version, bitstreamBuffer }
        nv::NV_ENC_REGISTER_RESOURCE {
            version, resourceType, width, height, pitch, resourceToRegister, registeredResource, bufferFormat,
            bufferUsage,
        }
        nv::NV_ENC_MAP_INPUT_RESOURCE { version, registeredResource, mappedResource, mappedBufferFmt }
        nv::NV_ENC_PIC_PARAMS {
            version, inputWidth, inputHeight, inputPitch, encodePicFlags, inputTimeStamp, inputDuration,
            inputBuffer, outputBitstream, bufferFmt, pictureStruct,
        }
        nv::NV_ENC_LOCK_BITSTREAM {
            version, outputBitstream, bitstreamSizeInBytes, outputTimeStamp, bitstreamBufferPtr, pictureType,
        }
        nv::NV_ENCODE_API_FUNCTION_LIST {
            version, nvEncOpenEncodeSessionEx, nvEncGetEncodeGUIDCount, nvEncGetEncodeGUIDs, nvEncGetEncodeCaps,
            nvEncGetEncodePresetConfigEx, nvEncInitializeEncoder, nvEncCreateBitstreamBuffer,
            nvEncDestroyBitstreamBuffer, nvEncEncodePicture, nvEncLockBitstream, nvEncUnlockBitstream,
            nvEncGetSequenceParams, nvEncRegisterResource, nvEncUnregisterResource, nvEncMapInputResource,
            nvEncUnmapInputResource, nvEncReconfigureEncoder, nvEncDestroyEncoder,
        }
    );
}

fn nvenc_structs_of_12(probe: &mut Probe) {
    let none: &[(&str, &str)] = &[];
    structs!(probe, none;
        nv::NV_ENC_CONFIG_AV1 {
            idrPeriod, colorPrimaries, transferCharacteristics, matrixCoefficients, colorRange,
            chromaSamplePosition, useBFramesAsRef,
        }
    );
    macro_rules! versions { ($($name:ident),* $(,)?) => {
        $(probe.put(stringify!($name).to_owned(), stringify!($name), u64::from(nv::$name));)*
    } }
    versions!(
        NVENCAPI_VERSION,
        NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER,
        NV_ENC_CAPS_PARAM_VER,
        NV_ENC_PRESET_CONFIG_VER,
        NV_ENC_CONFIG_VER,
        NV_ENC_INITIALIZE_PARAMS_VER,
        NV_ENC_RECONFIGURE_PARAMS_VER,
        NV_ENC_SEQUENCE_PARAM_PAYLOAD_VER,
        NV_ENC_CREATE_BITSTREAM_BUFFER_VER,
        NV_ENC_REGISTER_RESOURCE_VER,
        NV_ENC_MAP_INPUT_RESOURCE_VER,
        NV_ENC_PIC_PARAMS_VER,
        NV_ENC_LOCK_BITSTREAM_VER,
        NV_ENCODE_API_FUNCTION_LIST_VER,
    );
    guid(probe, "NV_ENC_CODEC_AV1_GUID", nv::NV_ENC_CODEC_AV1_GUID);
    guid(probe, "NV_ENC_AV1_PROFILE_MAIN_GUID", nv::NV_ENC_AV1_PROFILE_MAIN_GUID);
}

fn cuvid_structs(probe: &mut Probe, without: &[(&str, &str)]) {
    structs!(probe, without;
        dec::CUVIDDECODECAPS {
            eCodecType, eChromaFormat, nBitDepthMinus8, bIsSupported, nNumNVDECs, nMaxWidth, nMaxHeight, nMaxMBCount,
            nMinWidth, nMinHeight,
        }
        dec::CUVIDDECODECREATEINFO {
            ulWidth, ulHeight, ulNumDecodeSurfaces, CodecType, ChromaFormat, ulCreationFlags, bitDepthMinus8,
            ulMaxWidth, ulMaxHeight, display_area, OutputFormat, DeinterlaceMode, ulTargetWidth, ulTargetHeight,
            ulNumOutputSurfaces,
        }
        dec::CUVIDRECONFIGUREDECODERINFO {
            ulWidth, ulHeight, ulTargetWidth, ulTargetHeight, ulNumDecodeSurfaces, display_area,
        }
        dec::CUVIDPICPARAMS { CurrPicIdx }
        dec::CUVIDPROCPARAMS { progressive_frame, second_field, top_field_first, unpaired_field, output_stream }
        dec::CUVIDGETDECODESTATUS { decodeStatus }
        parse::CUVIDEOFORMAT {
            progressive_sequence, bit_depth_luma_minus8, min_num_decode_surfaces, coded_width, coded_height,
            display_area, chroma_format, display_aspect_ratio, video_signal_description,
        }
        parse::CUVIDPARSERPARAMS {
            CodecType, ulMaxNumDecodeSurfaces, ulClockRate, ulErrorThreshold, ulMaxDisplayDelay, pUserData,
            pfnSequenceCallback, pfnDecodePicture, pfnDisplayPicture,
        }
        parse::CUVIDSOURCEDATAPACKET { flags, payload_size, payload, timestamp }
        parse::CUVIDPARSERDISPINFO { picture_index, progressive_frame, top_field_first, timestamp }
    );
    for (name, value) in [
        ("cudaVideoCodec_H264", dec::cudaVideoCodec::cudaVideoCodec_H264 as u64),
        ("cudaVideoCodec_HEVC", dec::cudaVideoCodec::cudaVideoCodec_HEVC as u64),
        ("cudaVideoCodec_AV1", dec::cudaVideoCodec::cudaVideoCodec_AV1 as u64),
        ("cudaVideoChromaFormat_420", dec::cudaVideoChromaFormat::cudaVideoChromaFormat_420 as u64),
        ("cudaVideoSurfaceFormat_NV12", dec::cudaVideoSurfaceFormat::cudaVideoSurfaceFormat_NV12 as u64),
        ("cudaVideoSurfaceFormat_P016", dec::cudaVideoSurfaceFormat::cudaVideoSurfaceFormat_P016 as u64),
        (
            "cudaVideoDeinterlaceMode_Weave",
            dec::cudaVideoDeinterlaceMode::cudaVideoDeinterlaceMode_Weave as u64,
        ),
        (
            "cudaVideoDeinterlaceMode_Adaptive",
            dec::cudaVideoDeinterlaceMode::cudaVideoDeinterlaceMode_Adaptive as u64,
        ),
        ("cudaVideoCreate_PreferCUVID", 4),
        ("cuvidDecodeStatus_Error", 8),
        ("cuvidDecodeStatus_Error_Concealed", 9),
        ("CUVID_PKT_ENDOFSTREAM", 1),
        ("CUVID_PKT_TIMESTAMP", 2),
        ("CUVID_PKT_ENDOFPICTURE", 8),
    ] {
        probe.put(name.to_owned(), name, value);
    }
}

fn constants(probe: &mut Probe) {
    use Cap as C;
    for (name, cap) in [
        ("NV_ENC_CAPS_NUM_MAX_BFRAMES", C::MaxBFrames),
        ("NV_ENC_CAPS_WIDTH_MAX", C::WidthMax),
        ("NV_ENC_CAPS_HEIGHT_MAX", C::HeightMax),
        ("NV_ENC_CAPS_SUPPORT_DYN_BITRATE_CHANGE", C::DynamicBitRate),
        ("NV_ENC_CAPS_SUPPORT_CUSTOM_VBV_BUF_SIZE", C::CustomVbv),
        ("NV_ENC_CAPS_MB_PER_SEC_MAX", C::MacroblocksPerSecond),
        ("NV_ENC_CAPS_SUPPORT_LOOKAHEAD", C::Lookahead),
        ("NV_ENC_CAPS_SUPPORT_10BIT_ENCODE", C::TenBit),
        ("NV_ENC_CAPS_SUPPORT_BFRAME_REF_MODE", C::BFrameReferences),
        ("NV_ENC_CAPS_WIDTH_MIN", C::WidthMin),
        ("NV_ENC_CAPS_HEIGHT_MIN", C::HeightMin),
    ] {
        probe.put(name.to_owned(), name, cap as u64);
    }
    let statuses = [
        "NV_ENC_SUCCESS",
        "NV_ENC_ERR_NO_ENCODE_DEVICE",
        "NV_ENC_ERR_UNSUPPORTED_DEVICE",
        "NV_ENC_ERR_INVALID_ENCODERDEVICE",
        "NV_ENC_ERR_INVALID_DEVICE",
        "NV_ENC_ERR_DEVICE_NOT_EXIST",
        "NV_ENC_ERR_INVALID_PTR",
        "NV_ENC_ERR_INVALID_EVENT",
        "NV_ENC_ERR_INVALID_PARAM",
        "NV_ENC_ERR_INVALID_CALL",
        "NV_ENC_ERR_OUT_OF_MEMORY",
        "NV_ENC_ERR_ENCODER_NOT_INITIALIZED",
        "NV_ENC_ERR_UNSUPPORTED_PARAM",
        "NV_ENC_ERR_LOCK_BUSY",
        "NV_ENC_ERR_NOT_ENOUGH_BUFFER",
        "NV_ENC_ERR_INVALID_VERSION",
        "NV_ENC_ERR_MAP_FAILED",
        "NV_ENC_ERR_NEED_MORE_INPUT",
        "NV_ENC_ERR_ENCODER_BUSY",
        "NV_ENC_ERR_EVENT_NOT_REGISTERD",
        "NV_ENC_ERR_GENERIC",
        "NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY",
        "NV_ENC_ERR_UNIMPLEMENTED",
        "NV_ENC_ERR_RESOURCE_REGISTER_FAILED",
        "NV_ENC_ERR_RESOURCE_NOT_REGISTERED",
        "NV_ENC_ERR_RESOURCE_NOT_MAPPED",
    ];
    for (status, name) in (0..).zip(statuses) {
        probe.put(name.to_owned(), name, status);
    }
    macro_rules! members { ($($type:ident { $($name:ident),+ })*) => {
        $($(probe.put(stringify!($name).to_owned(), stringify!($name), nv::$type::$name as u64);)+)*
    } }
    members!(
        NV_ENC_PIC_FLAGS { NV_ENC_PIC_FLAG_FORCEIDR, NV_ENC_PIC_FLAG_EOS }
        NV_ENC_PIC_TYPE { NV_ENC_PIC_TYPE_IDR }
        NV_ENC_PIC_STRUCT { NV_ENC_PIC_STRUCT_FRAME }
        NV_ENC_BUFFER_FORMAT { NV_ENC_BUFFER_FORMAT_NV12 }
        NV_ENC_INPUT_RESOURCE_TYPE { NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR }
        NV_ENC_BUFFER_USAGE { NV_ENC_INPUT_IMAGE }
        NV_ENC_DEVICE_TYPE { NV_ENC_DEVICE_TYPE_CUDA }
        NV_ENC_PARAMS_RC_MODE { NV_ENC_PARAMS_RC_VBR, NV_ENC_PARAMS_RC_CBR }
        NV_ENC_PARAMS_FRAME_FIELD_MODE { NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME }
        NV_ENC_TUNING_INFO { NV_ENC_TUNING_INFO_HIGH_QUALITY, NV_ENC_TUNING_INFO_LOW_LATENCY, NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY }
    );
    for (name, value) in [
        ("NV_ENC_BFRAME_REF_MODE_DISABLED", 0),
        ("NVENC_INFINITE_GOPLENGTH", nv::NVENC_INFINITE_GOPLENGTH.into()),
    ] {
        probe.put(name.to_owned(), name, value);
    }
    macro_rules! guids { ($($name:ident),* $(,)?) => { $(guid(probe, stringify!($name), nv::$name);)* } }
    guids!(
        NV_ENC_CODEC_H264_GUID,
        NV_ENC_CODEC_HEVC_GUID,
        NV_ENC_H264_PROFILE_BASELINE_GUID,
        NV_ENC_H264_PROFILE_MAIN_GUID,
        NV_ENC_H264_PROFILE_HIGH_GUID,
        NV_ENC_HEVC_PROFILE_MAIN_GUID,
        NV_ENC_PRESET_P1_GUID,
        NV_ENC_PRESET_P2_GUID,
        NV_ENC_PRESET_P3_GUID,
        NV_ENC_PRESET_P4_GUID,
        NV_ENC_PRESET_P5_GUID,
        NV_ENC_PRESET_P6_GUID,
        NV_ENC_PRESET_P7_GUID,
    );
}

/// A GUID's 16 bytes, as two numbers.
fn guid(probe: &mut Probe, name: &str, guid: nv::GUID) {
    let first = u64::from(guid.Data1) << 32 | u64::from(guid.Data2) << 16 | u64::from(guid.Data3);
    let c = format!(
        "(unsigned long long){name}.Data1 << 32 | (unsigned long long){name}.Data2 << 16 | {name}.Data3"
    );
    probe.put(format!("{name}.123"), &c, first);
    probe.put(format!("{name}.4"), &format!("bytes({name}.Data4)"), u64::from_be_bytes(guid.Data4));
}

fn cuda_constants(probe: &mut Probe) {
    use cu::CUdevice_attribute as Attribute;
    for (name, value) in [
        ("CU_CTX_SCHED_BLOCKING_SYNC", cu::CUctx_flags::CU_CTX_SCHED_BLOCKING_SYNC as u64),
        ("CU_EVENT_BLOCKING_SYNC", cu::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u64),
        ("CU_MEMORYTYPE_HOST", cu::CUmemorytype::CU_MEMORYTYPE_HOST as u64),
        ("CU_MEMORYTYPE_DEVICE", cu::CUmemorytype::CU_MEMORYTYPE_DEVICE as u64),
        (
            "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as u64,
        ),
        (
            "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR",
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as u64,
        ),
    ] {
        probe.put(name.to_owned(), name, value);
    }
}

/// Every bit field: where its 32 bits lie, and which they are.
fn bit_fields(probe: &mut Probe, without: &[&str]) {
    for (structure, field, offset, bits) in BITS {
        if without.contains(field) || without.contains(structure) {
            continue;
        }
        let mask = ((1u64 << bits.width) - 1) << bits.first;
        let c = format!(
            "({{ {structure} s; memset(&s, 0, sizeof s); s.{field} = ~0u; bits(&s, {offset}, sizeof s); }})"
        );
        probe.put(format!("{structure}.{field} bits"), &c, mask);
    }
}

fn run(probe: &Probe, includes: &str, folders: &[&Path]) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("probe.c");
    let program = folder.path().join("probe");
    let text = format!(
        "#include <stdio.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n{includes}\n\
         static unsigned long long bytes(const unsigned char *b) {{ unsigned long long v = 0; for (int i = 0; i < 8; i++)\
          v = v << 8 | b[i]; return v; }}\n\
         /* The 32 bits at an offset; all ones where any other bit of the structure is set. */\n\
         static unsigned long long bits(const void *s, size_t at, size_t size) {{ uint32_t v; const unsigned char *b = s;\
          memcpy(&v, b + at, 4); for (size_t i = 0; i < size; i++) if (b[i] && (i < at || i >= at + 4)) return ~0ull;\
          return v; }}\n\
         int main(void) {{\n{}  return 0;\n}}\n",
        probe.code
    );
    std::fs::write(&source, text).unwrap();
    let mut cc = Command::new("cc");
    cc.arg("-std=gnu11").arg("-w").arg(&source).arg("-o").arg(&program);
    for folder in folders {
        cc.arg("-I").arg(folder);
    }
    let output = cc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn compare(probe: &Probe, found: &BTreeMap<String, u64>) {
    assert!(!probe.expected.is_empty());
    let names = |map: &BTreeMap<String, u64>| map.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&probe.expected), names(found));
    let wrong: Vec<_> = probe
        .expected
        .iter()
        .filter(|(name, value)| found[*name] != **value)
        .map(|(name, value)| format!("{name}: {value} here, {} in C", found[name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where Debian's package puts them.
const DEBIAN: &str = "/usr/include/ffnvcodec";

fn assert_debian() {
    assert!(Path::new(DEBIAN).exists(), "{DEBIAN} is not there: `make deps` installs libffmpeg-nvenc-dev");
}

#[test]
fn bindings_are_as_debians_headers_have_them() {
    assert_debian();
    let without = [
        ("NV_ENC_PIC_PARAMS", "3344 bytes in 11.1: structure version 4, not 6"),
        ("NV_ENC_LOCK_BITSTREAM", "frameIdxDisplay was put in by 12.1: 8 bytes more"),
        ("CUVIDPARSERPARAMS.pfnGetSEIMsg", "put in by 12.0"),
    ];
    let mut probe = Probe::default();
    nvenc_structs(&mut probe, &without);
    cuvid_structs(&mut probe, &without);
    constants(&mut probe);
    // splitEncodeMode and AV1 came with 12.0.
    bit_fields(&mut probe, &["splitEncodeMode", "NV_ENC_CONFIG_AV1"]);
    let none: &[(&str, &str)] = &[];
    structs!(probe, none;
        cu::CUDA_MEMCPY2D {
            srcXInBytes, srcY, srcMemoryType, srcHost, srcDevice, srcArray, srcPitch, dstXInBytes, dstY, dstMemoryType,
            dstHost, dstDevice, dstArray, dstPitch, WidthInBytes, Height,
        }
    );
    cuda_constants(&mut probe);
    let includes = "#include <ffnvcodec/nvEncodeAPI.h>\n#include <ffnvcodec/dynlink_cuda.h>\n\
                    #include <ffnvcodec/dynlink_cuviddec.h>\n#include <ffnvcodec/dynlink_nvcuvid.h>";
    compare(&probe, &run(&probe, includes, &[]));
}

/// The folder of headers that the bindings' package carries.
fn vendored() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // "manifest_path":"/…/nvidia-video-codec-sdk-0.4.0/Cargo.toml"
    let path = text.split('"').find_map(|part| {
        let path = part.strip_suffix("/Cargo.toml")?;
        path.contains("nvidia-video-codec-sdk-").then_some(path)
    });
    let path = path.expect("cargo metadata names the package's manifest");
    Path::new(path).join("src/sys/headers")
}

/// All that the headers of 12.1 are asked for.
fn asked_of_12() -> Probe {
    let mut probe = Probe::default();
    nvenc_structs(&mut probe, &[]);
    nvenc_structs_of_12(&mut probe);
    cuvid_structs(&mut probe, &[]);
    constants(&mut probe);
    bit_fields(&mut probe, &[]);
    probe.put(
        "NV_ENC_CAPS_NUM_ENCODER_ENGINES".into(),
        "NV_ENC_CAPS_NUM_ENCODER_ENGINES",
        Cap::Engines as u64,
    );
    probe.put("NV_ENC_SPLIT_DISABLE_MODE".into(), "NV_ENC_SPLIT_DISABLE_MODE", 15);
    probe
}

#[test]
fn bindings_are_as_the_headers_of_version_12_1_have_them() {
    assert_debian();
    let probe = asked_of_12();
    // Those headers want CUDA's, of which Debian's package has what is needed.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("cuda.h"),
        "#include <ffnvcodec/dynlink_cuda.h>\n#define CUDA_VERSION 12020\n",
    )
    .unwrap();
    let includes = "#include \"nvEncodeAPI.h\"\n#include \"cuviddec.h\"\n#include \"nvcuvid.h\"";
    compare(&probe, &run(&probe, includes, &[&vendored(), folder.path()]));
}

/// The last names of paths that begin with a module of bindings, in all sources below a folder but this one.
fn used(folder: &Path, modules: &[&str], names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            used(&path, modules, names);
        } else if !path.ends_with("ffi/bindings.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for module in modules {
                for (at, _) in text.match_indices(&format!("{module}::")) {
                    let before = text[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                        continue;
                    }
                    let rest = &text[at + module.len() + 2..];
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                    let path = rest[..end.unwrap_or(rest.len())].trim_end_matches("::default");
                    names.insert(path.rsplit("::").next().unwrap().to_owned());
                }
            }
        }
    }
}

#[test]
fn whatever_is_used_is_compared() {
    /// The parts of GUIDs and of NVENCAPI_VERSION are; the others are types of handles, and of an enum's members.
    const KNOWN: &[&str] = &[
        "GUID",
        "NVENCAPI_MAJOR_VERSION",
        "NVENCAPI_MINOR_VERSION",
        "CUvideodecoder",
        "CUvideoparser",
        "cudaVideoCodec",
    ];
    let probe = asked_of_12();
    let asked: BTreeSet<&str> = probe
        .expected
        .keys()
        .map(|key| key.split(['.', ' ']).next().unwrap())
        .chain(KNOWN.iter().copied())
        .collect();
    let mut names = BTreeSet::new();
    used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &["nv", "dec", "parse"], &mut names);
    assert!(names.len() > 60, "{names:?}");
    let left: Vec<_> = names.iter().filter(|name| !asked.contains(name.as_str())).collect();
    assert!(left.is_empty(), "used, and not compared with a header: {left:?}");
}
