//! `libnvidia-encode.so.1` and `libnvcuvid.so.1` as loaders see them.
//!
//! The simulated NVENC and NVDEC use libavcodec. A client may have one of its own and export it, as static builds of
//! ffmpeg do; linked in the usual way the simulation would call the client's, of whatever version that is. So this
//! library, which uses nothing, stands in front: it loads the simulation from beside itself with `RTLD_DEEPBIND`, by
//! which that looks for symbols in its own dependencies first (dlopen(3)), and passes every call on.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// A function of up to six integers or pointers; by the calling conventions of Linux one that has fewer does not see the
/// others.
type Function = extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;

/// What is answered where the simulation cannot be loaded: `NV_ENC_ERR_GENERIC`, and no good `CUresult` either.
const FAILED: usize = 20;

/// The handle of a library beside this one, loaded once.
fn load(name: &str, once: &'static OnceLock<usize>) -> *mut c_void {
    let address = once.get_or_init(|| {
        let mut own = libc::Dl_info {
            dli_fname: std::ptr::null(),
            dli_fbase: std::ptr::null_mut(),
            dli_sname: std::ptr::null(),
            dli_saddr: std::ptr::null_mut(),
        };
        // SAFETY: an address within this library, and a variable to fill.
        let found = unsafe { libc::dladdr(load as *const c_void, &raw mut own) };
        if found == 0 || own.dli_fname.is_null() {
            return 0;
        }
        // SAFETY: dladdr(3) answers a text that ends with a zero.
        let path = unsafe { CStr::from_ptr(own.dli_fname) };
        let beside = Path::new(OsStr::from_bytes(path.to_bytes())).with_file_name(name);
        let Ok(beside_text) = CString::new(beside.as_os_str().as_bytes()) else { return 0 };
        let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_DEEPBIND;
        // SAFETY: the simulation's library has no constructors but Rust's and FFmpeg's.
        let handle = unsafe { libc::dlopen(beside_text.as_ptr(), flags) };
        if handle.is_null() {
            // SAFETY: dlerror(3) answers null or a text that ends with a zero.
            let why = unsafe { libc::dlerror() };
            // SAFETY: as above; it stays until the next call of this thread.
            let why = (!why.is_null()).then(|| unsafe { CStr::from_ptr(why) });
            eprintln!("simulated driver: {} does not load: {why:?}", beside.display());
        }
        handle.expose_provenance()
    });
    std::ptr::with_exposed_provenance_mut(*address)
}

fn resolve(library: *mut c_void, name: &CStr) -> Option<Function> {
    if library.is_null() {
        return None;
    }
    // SAFETY: a library that was loaded, and is never unloaded.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: null becomes none; the simulation's functions take at most six integers or pointers.
    unsafe { std::mem::transmute::<*mut c_void, Option<Function>>(symbol) }
}

/// Defines functions that pass their call on to a library.
macro_rules! pass_on {
    ($library:literal: $($name:ident)*) => {
        const _: () = {
            static LIBRARY: OnceLock<usize> = OnceLock::new();
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                // SAFETY: the name is that of the library which this stands for.
                #[unsafe(no_mangle)]
                #[allow(non_snake_case, reason = "the C interface names it")]
                extern "C" fn $name(a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> usize {
                    static FUNCTION: OnceLock<Option<Function>> = OnceLock::new();
                    let name = concat!(stringify!($name), "\0");
                    let find = || resolve(load($library, &LIBRARY), CStr::from_bytes_with_nul(name.as_bytes()).ok()?);
                    FUNCTION.get_or_init(find).map_or(FAILED, |function| function(a, b, c, d, e, f))
                }
            )*
        };
    };
}

pass_on! { "libsim-nvenc.so": NvEncodeAPICreateInstance NvEncodeAPIGetMaxSupportedVersion }

pass_on! { "libsim-cuvid.so":
    cuvidGetDecoderCaps cuvidCreateDecoder cuvidDestroyDecoder cuvidDecodePicture cuvidGetDecodeStatus
    cuvidReconfigureDecoder cuvidMapVideoFrame cuvidMapVideoFrame64 cuvidUnmapVideoFrame cuvidUnmapVideoFrame64
    cuvidCtxLockCreate cuvidCtxLockDestroy cuvidCtxLock cuvidCtxUnlock cuvidCreateVideoSource cuvidCreateVideoSourceW
    cuvidDestroyVideoSource cuvidSetVideoSourceState cuvidGetVideoSourceState cuvidGetSourceVideoFormat
    cuvidGetSourceAudioFormat cuvidCreateVideoParser cuvidParseVideoData cuvidDestroyVideoParser
}
