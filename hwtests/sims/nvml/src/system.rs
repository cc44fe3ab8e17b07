//! The library itself: start and end, versions, what statuses mean.

use std::ffi::{CStr, c_char};

use sim_nvidia::pointer::Out;
use sim_nvidia::version;

use crate::library::{enter_early, entries, put, put_text};

macro_rules! starts {
    ($($name:ident($($argument:ident: $type:ty)?))*) => {$(
        #[doc = concat!("`", stringify!($name), "` of nvml.h.")]
        // SAFETY: the name is libnvidia-ml's, and this is libnvidia-ml.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "nvml.h names it")]
        pub(crate) extern "C" fn $name($($argument: $type)?) -> u32 {
            enter_early(|library| {
                library.initialise();
                Ok(())
            })
        }
    )*};
}

starts! { nvmlInit() nvmlInit_v2() nvmlInitWithFlags(_flags: u32) }

/// `nvmlErrorString` of nvml.h.
// SAFETY: the name is libnvidia-ml's, and this is libnvidia-ml.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvml.h names it")]
pub(crate) extern "C" fn nvmlErrorString(status: u32) -> *const c_char {
    let text: &CStr = match status {
        0 => c"The operation was successful",
        1 => c"NVML was not first initialized with nvmlInit()",
        2 => c"A supplied argument is invalid",
        3 => c"The requested operation is not available on target device",
        6 => c"A query to find an object was unsuccessful",
        7 => c"An input argument is not large enough",
        10 => c"User provided timeout passed",
        15 => c"The GPU has fallen off the bus or has otherwise become inaccessible",
        _ => c"An internal driver error occurred",
    };
    text.as_ptr()
}

fn cuda(branch: u32) -> i32 {
    let (major, minor) = version::of_branch(branch).cuda;
    i32::try_from(major * 1000 + minor * 10).unwrap_or(0)
}

entries! {
    fn nvmlShutdown(library) {
        library.shut_down()
    }
    fn nvmlSystemGetDriverVersion(library, text: Out<c_char>, room: u32) {
        put_text(text, room, &library.state.plan().driver.text)
    }
    fn nvmlSystemGetNVMLVersion(library, text: Out<c_char>, room: u32) {
        let driver = &library.state.plan().driver;
        put_text(text, room, &format!("{}.{}", cuda(driver.branch) / 1000, driver.text))
    }
    fn nvmlSystemGetCudaDriverVersion(library, out: Out<i32>) {
        put(out, cuda(library.state.plan().driver.branch))
    }
    fn nvmlSystemGetCudaDriverVersion_v2(library, out: Out<i32>) {
        put(out, cuda(library.state.plan().driver.branch))
    }
}
