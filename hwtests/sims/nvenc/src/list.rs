//! The two functions that the library exports, and the list of all others.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::NV_ENCODE_API_FUNCTION_LIST as List;
use sim_nvidia::pointer::{Fields, Out};

use crate::encoder::library;
use crate::status::{GENERIC, INVALID_PTR, INVALID_VERSION, UNIMPLEMENTED};
use crate::version::{Structure, api_of};
use crate::{buffer, caps, encoder, picture, preset};

/// `NvEncodeAPIGetMaxSupportedVersion`: major in the high bits, minor in the low four.
// SAFETY: the name is libnvidia-encode's, and this is libnvidia-encode.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvEncodeAPI.h names it")]
pub(crate) extern "C" fn NvEncodeAPIGetMaxSupportedVersion(version: Out<u32>) -> u32 {
    let Some(library) = library() else { return GENERIC.0 };
    let (major, minor) = library.api();
    if version.put(major << 4 | minor) { 0 } else { INVALID_PTR.0 }
}

/// What is not simulated: motion estimation alone, events, statistics, reference pictures marked bad.
extern "C" fn unimplemented() -> u32 {
    UNIMPLEMENTED.0
}

/// `NvEncodeAPICreateInstance`.
// SAFETY: the name is libnvidia-encode's, and this is libnvidia-encode.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvEncodeAPI.h names it")]
pub(crate) extern "C" fn NvEncodeAPICreateInstance(list: Fields<List>) -> u32 {
    let Some(library) = library() else { return GENERIC.0 };
    if list.is_null() {
        return INVALID_PTR.0;
    }
    let word = list.get::<u32>(0);
    let api = api_of(word);
    if api > library.api() {
        return INVALID_VERSION.0;
    }
    if word != Structure::FunctionList.word(api) {
        library.misuse(&format!("NvEncodeAPICreateInstance: a version word of {word:#x}"));
        return INVALID_VERSION.0;
    }
    for at in
        (offset_of!(List, nvEncOpenEncodeSession)..offset_of!(List, reserved2)).step_by(size_of::<usize>())
    {
        list.set(at, unimplemented as *const () as usize);
    }
    list.set(offset_of!(List, reserved1), 0_usize);
    macro_rules! fill {
        ($($name:ident = $function:path;)*) => {
            $(list.set(offset_of!(List, $name), $function as *const () as usize);)*
        };
    }
    fill! {
        nvEncOpenEncodeSessionEx = encoder::open;
        nvEncInitializeEncoder = encoder::initialize;
        nvEncReconfigureEncoder = encoder::reconfigure;
        nvEncGetSequenceParams = encoder::sequence_params;
        nvEncSetIOCudaStreams = encoder::set_io_streams;
        nvEncDestroyEncoder = encoder::destroy;
        nvEncGetLastErrorString = encoder::last_error;
        nvEncGetEncodeGUIDCount = caps::codec_count;
        nvEncGetEncodeGUIDs = caps::codecs;
        nvEncGetEncodeProfileGUIDCount = caps::profile_count;
        nvEncGetEncodeProfileGUIDs = caps::profile_list;
        nvEncGetInputFormatCount = caps::format_count;
        nvEncGetInputFormats = caps::format_list;
        nvEncGetEncodeCaps = caps::query;
        nvEncGetEncodePresetCount = caps::preset_count;
        nvEncGetEncodePresetGUIDs = caps::preset_list;
        nvEncGetEncodePresetConfig = preset::get;
        nvEncGetEncodePresetConfigEx = preset::get_ex;
        nvEncCreateInputBuffer = buffer::create_input;
        nvEncDestroyInputBuffer = buffer::destroy_input;
        nvEncLockInputBuffer = buffer::lock_input;
        nvEncUnlockInputBuffer = buffer::unlock_input;
        nvEncCreateBitstreamBuffer = buffer::create_bitstream;
        nvEncDestroyBitstreamBuffer = buffer::destroy_bitstream;
        nvEncRegisterResource = buffer::register;
        nvEncUnregisterResource = buffer::unregister;
        nvEncMapInputResource = buffer::map;
        nvEncUnmapInputResource = buffer::unmap;
        nvEncEncodePicture = picture::encode;
        nvEncLockBitstream = picture::lock;
        nvEncUnlockBitstream = picture::unlock;
        nvEncGetEncodeStats = picture::statistics;
    }
    0
}
