//! The statuses' names and explanations (cuda.h).

use std::ffi::{CStr, c_char};

use sim_nvidia::pointer::Out;

/// Those that the simulation answers, or that a client asks about.
const TEXTS: [(u32, &CStr, &CStr); 24] = [
    (0, c"CUDA_SUCCESS", c"no error"),
    (1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (3, c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error"),
    (4, c"CUDA_ERROR_DEINITIALIZED", c"driver shutting down"),
    (46, c"CUDA_ERROR_DEVICE_UNAVAILABLE", c"CUDA-capable device(s) is/are busy or unavailable"),
    (100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
    (101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (200, c"CUDA_ERROR_INVALID_IMAGE", c"device kernel image is invalid"),
    (201, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (218, c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed"),
    (
        222,
        c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        c"the provided PTX was compiled with an unsupported toolchain.",
    ),
    (400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (600, c"CUDA_ERROR_NOT_READY", c"device not ready"),
    (700, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
    (701, c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources requested for launch"),
    (702, c"CUDA_ERROR_LAUNCH_TIMEOUT", c"the launch timed out and was terminated"),
    (708, c"CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", c"cannot set while device is active in this process"),
    (709, c"CUDA_ERROR_CONTEXT_IS_DESTROYED", c"context is destroyed"),
    (719, c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
    (801, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported"),
    (
        803,
        c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        c"system has unsupported display driver / cuda driver combination",
    ),
    (999, c"CUDA_ERROR_UNKNOWN", c"unknown error"),
];

fn answer(out: Out<*const c_char>, text: Option<&'static CStr>) -> u32 {
    let known = text.is_some();
    let written = out.put(text.map_or(std::ptr::null(), CStr::as_ptr));
    u32::from(!(known && written))
}

/// `cuGetErrorName` of cuda.h.
// SAFETY: the name is libcuda's, and this is libcuda.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "cuda.h names it")]
pub(crate) extern "C" fn cuGetErrorName(error: u32, out: Out<*const c_char>) -> u32 {
    answer(out, TEXTS.iter().find(|(code, ..)| *code == error).map(|(_, name, _)| *name))
}

/// `cuGetErrorString` of cuda.h.
// SAFETY: the name is libcuda's, and this is libcuda.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "cuda.h names it")]
pub(crate) extern "C" fn cuGetErrorString(error: u32, out: Out<*const c_char>) -> u32 {
    answer(out, TEXTS.iter().find(|(code, ..)| *code == error).map(|(_, _, text)| *text))
}
